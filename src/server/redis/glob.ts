// Redis' patterns: `*`, `?`, `[a-c]`, `[^a]`, `\x`. The match never backtracks further than to the last star, so that its cost is at most
// pattern times text (Redis' own recursion blew up twice on patterns of many stars: CVE-2022-36021, CVE-2024-31228).

/** Compares code unit by code unit. A pattern that ends within a class or after a backslash is taken as if it went on. */
export function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let starAt = -1;
  let retryAt = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === "*") {
      starAt = p++;
      retryAt = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t]!) : -1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++retryAt;
    } else {
      return false;
    }
  }
  while (p < pattern.length && pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Where the pattern goes on after the one character that it matches at `at`; -1 when it does not match it. */
function matchOne(pattern: string, at: number, character: string): number {
  const symbol = pattern[at];
  if (symbol === "?") return at + 1;
  if (symbol === "[") return matchClass(pattern, at + 1, character);
  if (symbol === "\\" && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : -1;
  return symbol === character ? at + 1 : -1;
}

function matchClass(pattern: string, from: number, character: string): number {
  let at = from;
  const isNegated = pattern[at] === "^";
  if (isNegated) at++;
  let isIn = false;
  for (; at < pattern.length && pattern[at] !== "]"; at++) {
    if (pattern[at] === "\\" && at + 1 < pattern.length) {
      at++;
      if (pattern[at] === character) isIn = true;
    } else if (pattern[at + 1] === "-" && at + 2 < pattern.length) {
      const [a, b] = [pattern[at]!, pattern[at + 2]!];
      if (a <= b ? a <= character && character <= b : b <= character && character <= a) isIn = true;
      at += 2;
    } else if (pattern[at] === character) {
      isIn = true;
    }
  }
  if (isIn === isNegated) return -1;
  return Math.min(at + 1, pattern.length);
}

/** The text that every match begins with: what stands before the first special character. */
export function globPrefix(pattern: string): string {
  const special = pattern.search(/[*?[\\]/);
  return special === -1 ? pattern : pattern.slice(0, special);
}
