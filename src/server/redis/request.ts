// One request of a Redis client: where its arguments lie in the bytes that were read. Most commands need the text of a key and one value,
// so views and texts are made when they are asked for, and not for every argument of every request.
//
// The bytes must not change while the request lives.

import { CommandError } from "./errors.ts";
import { keyOf } from "./values.ts";

/** See the top of the file. */
export class Request {
  /** Arguments, the command's name included. */
  readonly length: number;
  readonly #buffer: Buffer;
  readonly #start: number;
  /** Starts and ends of the arguments in turn, relative to `#start`. */
  readonly #bounds: readonly number[];
  #all: readonly Buffer[] | undefined;
  #firstKey: string | undefined;

  constructor(buffer: Buffer, start: number, bounds: readonly number[]) {
    this.#buffer = buffer;
    this.#start = start;
    this.#bounds = bounds;
    this.length = bounds.length / 2;
  }

  /** Of arguments that lie anywhere; they are copied. */
  static of(args: readonly Uint8Array[]): Request {
    const bounds: number[] = [];
    let length = 0;
    for (const arg of args) {
      bounds.push(length, length + arg.length);
      length += arg.length;
    }
    return new Request(Buffer.concat(args, length), 0, bounds);
  }

  /** Bytes of all arguments. */
  get bytes(): number {
    let bytes = 0;
    for (let index = 0; index < this.#bounds.length; index += 2)
      bytes += this.#bounds[index + 1]! - this.#bounds[index]!;
    return bytes;
  }

  /** An argument as a view. It must be there. */
  at(index: number): Buffer {
    return this.#buffer.subarray(this.#from(index), this.#to(index));
  }

  /** Every argument as a view. */
  get all(): readonly Buffer[] {
    this.#all ??= Array.from({ length: this.length }, (_, index) => this.at(index));
    return this.#all;
  }

  /** An argument byte for byte a character: for options and numbers. It must be there. */
  text(index: number): string {
    return this.#buffer.toString("latin1", this.#from(index), this.#to(index));
  }

  /** {@link text} of argument 1, which most commands have for a key: made once. */
  get firstKeyText(): string {
    this.#firstKey ??= this.text(1);
    return this.#firstKey;
  }

  /**
   * The key in an argument.
   *
   * @throws {CommandError} when it cannot be a key
   */
  key(index: number): string {
    const from = this.#from(index);
    const to = this.#to(index);
    let bits = 0;
    for (let at = from; at < to; at++) bits |= this.#buffer[at]!;
    // ASCII, and neither empty nor too long.
    const isPlain = bits < 0x80 && to - from <= PLAIN_MAX && to > from;
    if (!isPlain) return keyOf(this.at(index));
    return index === 1 ? this.firstKeyText : this.#buffer.toString("latin1", from, to);
  }

  /** Hash of the name, whatever its case: see {@link hashOfName}. */
  get nameHash(): number {
    let hash = 0;
    const to = this.#to(0);
    if (to - this.#from(0) > NAME_MAX) return 0;
    for (let at = this.#from(0); at < to; at++) hash = (Math.imul(hash, 31) + (this.#buffer[at]! | CASE)) | 0;
    return hash;
  }

  /** Whether it has this name, given in lower case, whatever its own case. */
  isNamed(name: string): boolean {
    const from = this.#from(0);
    if (this.#to(0) - from !== name.length) return false;
    for (let index = 0; index < name.length; index++)
      if ((this.#buffer[from + index]! | CASE) !== name.charCodeAt(index)) return false;
    return true;
  }

  #from(index: number): number {
    const bound = this.#bounds[2 * index];
    if (bound === undefined) throw new CommandError("ERR syntax error");
    return this.#start + bound;
  }

  #to(index: number): number {
    return this.#start + this.#bounds[2 * index + 1]!;
  }
}

/** The bit that tells small letters from capitals. */
const CASE = 0x20;
/** No command's name is longer. */
const NAME_MAX = 32;
/** Keys up to here need no other look than for their bytes being ASCII. */
const PLAIN_MAX = 256;

/** What {@link Request.nameHash} is for a request of this name, given in lower case. */
export function hashOfName(name: string): number {
  let hash = 0;
  for (let index = 0; index < name.length; index++) hash = (Math.imul(hash, 31) + name.charCodeAt(index)) | 0;
  return hash;
}
