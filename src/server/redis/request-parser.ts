// Requests of Redis clients out of a stream of bytes, however it is cut: arrays of bulk strings, or inline commands as a person types
// them. It speaks the same limits and words as Redis' own parser (networking.c), because clients and test suites know them.
//
// Invariants:
// 1. Any split of the same bytes gives the same requests, then the same error.
// 2. Nothing is allocated for what was only announced: memory grows with the bytes that have arrived, and those are bounded by
//    `requestBytesMax` for one request. What is complete but not taken yet is bounded by whoever feeds it.
// 3. A byte is copied at most twice (requests that arrive in many pieces gather in a buffer that doubles), and looked at once: what was
//    understood of half a request is not parsed again.
// 4. After an error the stream has no meaning any more: every further call returns that error.

import { Request } from "./request.ts";

/** How much one request may ask for. */
export interface RequestLimits {
  /** Arguments of one request, its name included. */
  readonly argumentsMax: number;
  /** Bytes of one argument. */
  readonly argumentBytesMax: number;
  /** Bytes of one request, all of it. */
  readonly requestBytesMax: number;
}

/**
 * How lines of an HTTP request begin. A page of the web can make the browser of whoever visits it post to this machine's ports: the lines of its
 * body must not be run as commands, so the connection ends at the first of these, as in Redis.
 */
const HTTP_WORDS = new Set(["post", "host:"]);
/** A line without an end is refused past this, be it an inline command or a length. */
export const INLINE_BYTES_MAX = 64 * 1024;

/** What cannot be parsed; `message` is what Redis says of it, without its "Protocol error: ". */
export class RequestError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const LF = 10;
const CR = 13;
const STAR = 42;
const DOLLAR = 36;
/** Digits of a length: more cannot be one. */
const LENGTH_DIGITS_MAX = 10;
const EMPTY = Buffer.alloc(0);

/** See the top of the file. */
export class RequestParser {
  #limits: RequestLimits;
  /** What has arrived: `[#start, #end)` of it belongs to the request that is being parsed, and to those after it. */
  #buffer: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** Where to go on parsing; `#start <= #position <= #end`. */
  #position = 0;
  /** Whether `#buffer` is this parser's own, with room to append; otherwise it is a chunk that was handed in. */
  #isOwn = false;
  /** Arguments of the request that are still to come; 0 between requests. */
  #missing = 0;
  /** Length of the argument that is being read; -1 when its header is next. */
  #length = -1;
  /** Starts and ends of the arguments found, relative to `#start`. */
  #bounds: number[] = [];
  #error: RequestError | undefined;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** Applies from the next length on: a connection may ask for more once it has proved itself. */
  set limits(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** Bytes that have arrived and are part of no request that was taken. */
  get pendingBytes(): number {
    return this.#end - this.#position;
  }

  /** Takes the next bytes over: they must not be changed afterwards. */
  push(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    if (this.#start === this.#end) {
      this.#buffer = chunk;
      this.#isOwn = false;
      this.#start = 0;
      this.#position = 0;
      this.#end = chunk.length;
      return;
    }
    this.#append(chunk);
  }

  /** The next request (it stays valid), an error, or `undefined` when more bytes are needed. */
  next(): Request | RequestError | undefined {
    if (this.#error !== undefined) return this.#error;
    for (;;) {
      if (this.#missing === 0) {
        if (this.#position === this.#end) return undefined;
        const request = this.#buffer[this.#position] === STAR ? this.#header() : this.#inline();
        if (request !== CONTINUE) return request;
        continue;
      }
      const request = this.#arguments();
      return request;
    }
  }

  // ---- arrays of bulk strings

  /** The `*<count>` line. */
  #header(): typeof CONTINUE | RequestError | undefined {
    const lineEnd = this.#lineEnd("too big mbulk count string");
    if (typeof lineEnd !== "number") return lineEnd;
    const count = this.#integer(this.#position + 1, lineEnd);
    if (count === undefined || count > this.#limits.argumentsMax) {
      return this.#fail(
        this.#limits.argumentsMax <= 10 ? "unauthenticated multibulk length" : "invalid multibulk length",
      );
    }
    this.#position = lineEnd + 2;
    if (count <= 0) {
      this.#start = this.#position;
    } else {
      this.#missing = count;
      this.#bounds = [];
      this.#length = -1;
    }
    return CONTINUE;
  }

  #arguments(): Request | RequestError | undefined {
    const buffer = this.#buffer;
    while (this.#missing > 0) {
      if (this.#length < 0) {
        if (this.#position === this.#end) return undefined;
        const problem = this.#bulkHeader();
        if (problem !== CONTINUE) return problem;
      }
      // Redis, too, takes whatever stands where the line should end.
      const argumentEnd = this.#position + this.#length;
      if (argumentEnd + 2 > this.#end) return undefined;
      this.#bounds.push(this.#position - this.#start, argumentEnd - this.#start);
      this.#position = argumentEnd + 2;
      this.#length = -1;
      this.#missing--;
    }
    const request = new Request(buffer, this.#start, this.#bounds);
    this.#start = this.#position;
    return request;
  }

  /** The `$<length>` line. */
  #bulkHeader(): typeof CONTINUE | RequestError | undefined {
    const first = this.#buffer[this.#position]!;
    if (first !== DOLLAR) return this.#fail(`expected '$', got '${printable(first)}'`);
    const lineEnd = this.#lineEnd("too big bulk count string");
    if (typeof lineEnd !== "number") return lineEnd;
    const length = this.#integer(this.#position + 1, lineEnd);
    const { argumentBytesMax, requestBytesMax, argumentsMax } = this.#limits;
    if (length === undefined || length < 0 || length > argumentBytesMax) {
      return this.#fail(argumentsMax <= 10 ? "unauthenticated bulk length" : "invalid bulk length");
    }
    this.#position = lineEnd + 2;
    if (this.#position - this.#start + length > requestBytesMax) return this.#fail("request too large");
    this.#length = length;
    return CONTINUE;
  }

  /** Where the line's carriage return is; the line feed has arrived too. */
  #lineEnd(tooLong: string): number | RequestError | undefined {
    const from = this.#position;
    const limit = Math.min(this.#end, from + INLINE_BYTES_MAX);
    for (let index = from + 1; index < limit; index++) {
      if (this.#buffer[index] === CR) return index + 1 < this.#end ? index : undefined;
    }
    return this.#end - from >= INLINE_BYTES_MAX ? this.#fail(tooLong) : undefined;
  }

  /** A decimal integer as Redis reads it: no spaces, no plus, no leading zeros. */
  #integer(from: number, to: number): number | undefined {
    const isNegative = this.#buffer[from] === 45;
    const first = isNegative ? from + 1 : from;
    if (first === to || to - first > LENGTH_DIGITS_MAX) return undefined;
    if (this.#buffer[first] === 48 && (to - first > 1 || isNegative)) return undefined;
    let value = 0;
    for (let index = first; index < to; index++) {
      const digit = this.#buffer[index]! - 48;
      if (digit < 0 || digit > 9) return undefined;
      value = value * 10 + digit;
    }
    return isNegative ? -value : value;
  }

  // ---- inline commands

  #inline(): Request | RequestError | typeof CONTINUE | undefined {
    const limit = Math.min(this.#end, this.#position + INLINE_BYTES_MAX);
    let lineEnd = this.#position;
    while (lineEnd < limit && this.#buffer[lineEnd] !== LF) lineEnd++;
    if (lineEnd === limit) {
      return this.#end - this.#position >= INLINE_BYTES_MAX
        ? this.#fail("too big inline request")
        : undefined;
    }
    const hasReturn = lineEnd > this.#position && this.#buffer[lineEnd - 1] === CR;
    const parts = splitArguments(this.#buffer.subarray(this.#position, hasReturn ? lineEnd - 1 : lineEnd));
    this.#position = lineEnd + 1;
    this.#start = this.#position;
    if (parts === undefined) return this.#fail("unbalanced quotes in request");
    if (parts.length > this.#limits.argumentsMax) return this.#fail("too many arguments");
    if (HTTP_WORDS.has(parts[0]?.toString("latin1").toLowerCase() ?? "")) return this.#fail("this is HTTP");
    return parts.length === 0 ? CONTINUE : Request.of(parts);
  }

  // ---- bytes

  #append(chunk: Buffer): void {
    const kept = this.#end - this.#start;
    if (!this.#isOwn || this.#end + chunk.length > this.#buffer.length) {
      // Requests that were taken are views of the old buffer: what is left moves to a new one.
      const grown = Buffer.allocUnsafeSlow(Math.max(4096, 2 * (kept + chunk.length)));
      this.#buffer.copy(grown, 0, this.#start, this.#end);
      this.#buffer = grown;
      this.#isOwn = true;
      this.#position -= this.#start;
      this.#start = 0;
      this.#end = kept;
    }
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  #fail(message: string): RequestError {
    this.#error = new RequestError(message);
    this.#buffer = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#position = 0;
    return this.#error;
  }
}

/** Told from `undefined`: there may be more in what has arrived. */
const CONTINUE = Symbol("continue");

function printable(byte: number): string {
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "?";
}

const QUOTE = 34;
const APOSTROPHE = 39;
const BACKSLASH = 92;
const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, b: 8, a: 7 };

/** The words of a line; quotes and escapes as in `sdssplitargs`. `undefined` when quotes do not close. */
export function splitArguments(line: Uint8Array): Buffer[] | undefined {
  const words: Buffer[] = [];
  let index = 0;
  while (index < line.length) {
    if (isSpace(line[index]!)) {
      index++;
      continue;
    }
    const word: number[] = [];
    const end = readWord(line, index, word);
    if (end === undefined) return undefined;
    words.push(Buffer.from(word));
    index = end;
  }
  return words;
}

/** Appends the bytes of the word that begins at `from`; returns where it ends. */
function readWord(line: Uint8Array, from: number, word: number[]): number | undefined {
  let index = from;
  while (index < line.length && !isSpace(line[index]!)) {
    const byte = line[index]!;
    if (byte !== QUOTE && byte !== APOSTROPHE) {
      word.push(byte);
      index++;
      continue;
    }
    const end = readQuoted(line, index + 1, byte, word);
    // A quote closes a word.
    if (end === undefined || (end < line.length && !isSpace(line[end]!))) return undefined;
    return end;
  }
  return index;
}

function readQuoted(line: Uint8Array, from: number, quote: number, word: number[]): number | undefined {
  for (let index = from; index < line.length; index++) {
    const byte = line[index]!;
    if (byte === quote) return index + 1;
    if (byte !== BACKSLASH || index + 1 >= line.length) {
      word.push(byte);
      continue;
    }
    const next = line[index + 1]!;
    if (quote === APOSTROPHE) {
      if (next === APOSTROPHE) index++;
      word.push(next === APOSTROPHE ? next : byte);
      continue;
    }
    const hex = next === 120 ? hexByte(line, index + 2) : undefined;
    word.push(hex ?? ESCAPES[String.fromCharCode(next)] ?? next);
    index += hex === undefined ? 1 : 3;
  }
  return undefined;
}

function hexByte(line: Uint8Array, at: number): number | undefined {
  const text = String.fromCharCode(line[at] ?? 0, line[at + 1] ?? 0);
  return /^[0-9a-fA-F]{2}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13) || byte === 0;
}
