// Redis' patterns: `*`, `?`, `[a-c]`, `[^a]`, `\x`. The match never backtracks further than to the last star, so that its cost is at most
// pattern times text (Redis' own recursion blew up twice on patterns of many stars: CVE-2022-36021, CVE-2024-31228). A class is looked
// through once for each character, and not each time that one is met: one of thousands of characters would hold a node up for seconds.

import { CommandError } from "./errors.ts";

/** Bytes of a pattern, and of a channel's name: as many as of a key. */
export const PATTERN_BYTES_MAX = 1_024;

/** @throws {CommandError} when a pattern or a channel's name is longer than {@link PATTERN_BYTES_MAX} */
export function checkPattern(bytes: Uint8Array): void {
  if (bytes.length <= PATTERN_BYTES_MAX) return;
  throw new CommandError(
    `ERR patterns and channels may have at most ${PATTERN_BYTES_MAX} bytes, received ${bytes.length}`,
  );
}

/** Whether a text matches a pattern. */
export type Glob = (text: string) => boolean;

/** What stands for one character of the text: the character, any, or those of a class; or for any number of them. */
type Token = string | typeof ANY | typeof STAR | CharacterClass;

const ANY = Symbol("?");
const STAR = Symbol("*");

/** Compares code unit by code unit. A pattern that ends within a class or after a backslash is taken as if it went on. */
export function globOf(pattern: string): Glob {
  const tokens = tokensOf(pattern);
  return (text) => matches(tokens, text);
}

/** {@link globOf}, for a single text. */
export function matchesGlob(pattern: string, text: string): boolean {
  return matches(tokensOf(pattern), text);
}

function matches(tokens: readonly Token[], text: string): boolean {
  let p = 0;
  let t = 0;
  let starAt = -1;
  let retryAt = 0;
  while (t < text.length) {
    const token = tokens[p];
    if (token === STAR) {
      // Nothing behind it: whatever is left fits.
      if (p + 1 === tokens.length) return true;
      starAt = p++;
      retryAt = t;
    } else if (token !== undefined && isMatch(token, text[t]!)) {
      p++;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++retryAt;
    } else {
      return false;
    }
  }
  while (tokens[p] === STAR) p++;
  return p === tokens.length;
}

function isMatch(token: Exclude<Token, typeof STAR>, character: string): boolean {
  if (typeof token === "string") return token === character;
  return token === ANY || token.has(character);
}

function tokensOf(pattern: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const symbol = pattern[at]!;
    if (symbol === "*") tokens.push(STAR);
    else if (symbol === "?") tokens.push(ANY);
    else if (symbol === "[") {
      const found = new CharacterClass(pattern, at + 1);
      tokens.push(found);
      at = found.end;
    } else if (symbol === "\\" && at + 1 < pattern.length) tokens.push(pattern[++at]!);
    else tokens.push(symbol);
  }
  return tokens;
}

class CharacterClass {
  /** Where its bracket closes, or the pattern ends. */
  readonly end: number;
  readonly #isNegated: boolean;
  /** First and last characters of its ranges, in turn. */
  readonly #ranges: string[] = [];
  readonly #known = new Map<string, boolean>();

  /** @param from Where it begins in the pattern, behind its bracket. */
  constructor(pattern: string, from: number) {
    let at = from;
    this.#isNegated = pattern[at] === "^";
    if (this.#isNegated) at++;
    for (; at < pattern.length && pattern[at] !== "]"; at++) {
      const isEscaped = pattern[at] === "\\" && at + 1 < pattern.length;
      if (isEscaped) at++;
      const first = pattern[at]!;
      const isRange = !isEscaped && pattern[at + 1] === "-" && at + 2 < pattern.length;
      if (isRange) at += 2;
      const last = pattern[at]!;
      if (first <= last) this.#ranges.push(first, last);
      else this.#ranges.push(last, first);
    }
    this.end = at;
  }

  has(character: string): boolean {
    let isIn = this.#known.get(character);
    if (isIn === undefined) {
      isIn = this.#isInRanges(character) !== this.#isNegated;
      this.#known.set(character, isIn);
    }
    return isIn;
  }

  #isInRanges(character: string): boolean {
    const ranges = this.#ranges;
    for (let index = 0; index < ranges.length; index += 2)
      if (ranges[index]! <= character && character <= ranges[index + 1]!) return true;
    return false;
  }
}

/** The text that every match begins with: what stands before the first special character. */
export function globPrefix(pattern: string): string {
  const special = pattern.search(/[*?[\\]/);
  return special === -1 ? pattern : pattern.slice(0, special);
}
