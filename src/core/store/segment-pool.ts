// The memory of the off-heap store: equal segments, each an ArrayBuffer of its own, taken and given back by number. The log of
// records and the pages of the index take from the same pool, so memory moves freely between them and one limit bounds both.
//
// A segment is allocated when it is first taken and then kept for the next taker: a JavaScript process that frees and
// allocates buffers pays with the garbage collector's time and, until it ran, with memory. Idle ones are let go a few at a time.

import { assert } from "../../base/assert.ts";

const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);

/** See the top of the file. Segments are numbered from 0. */
export class SegmentPool {
  readonly segmentBytes: number;
  /** The most segments that can ever be in use. */
  readonly countMax: number;
  /** By number: the segment as 32-bit words and as bytes. Empty while it has no memory. */
  readonly words: Int32Array[] = [];
  readonly bytes: Uint8Array[] = [];
  /** Given back and still allocated; and without memory. */
  readonly #idle: number[] = [];
  readonly #bare: number[] = [];
  #inUse = 0;
  #limit: number;

  constructor(segmentBytes: number, countMax: number) {
    this.segmentBytes = segmentBytes;
    this.countMax = countMax;
    this.#limit = countMax;
  }

  /** How many may be in use now: at most {@link countMax}, less while other memory shares the budget. */
  setLimit(limit: number): void {
    this.#limit = Math.min(limit, this.countMax);
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** How many more may be taken; below 0 after the limit fell. */
  get freeCount(): number {
    return this.#limit - this.#inUse;
  }

  /** Segments that have memory and are not in use. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** A segment with whatever bytes its last taker left. May exceed the limit, never {@link countMax}. */
  take(): number {
    assert(this.#inUse < this.countMax, "a segment to take");
    this.#inUse++;
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const segment = this.#bare.pop() ?? this.words.length;
    const buffer = new ArrayBuffer(this.segmentBytes);
    this.words[segment] = new Int32Array(buffer);
    this.bytes[segment] = new Uint8Array(buffer);
    return segment;
  }

  give(segment: number): void {
    this.#inUse--;
    this.#idle.push(segment);
  }

  /** Lets the memory of one idle segment go, if more than `keep` are idle. */
  maybeRelease(keep: number): boolean {
    if (this.#idle.length <= keep) return false;
    const segment = this.#idle.pop()!; // more than `keep`, hence not empty
    this.words[segment] = NO_WORDS;
    this.bytes[segment] = NO_BYTES;
    this.#bare.push(segment);
    return true;
  }
}
