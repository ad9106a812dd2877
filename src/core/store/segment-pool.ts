// The memory of the off-heap store: equal segments, taken and given back by number. The log of records and the pages of the
// index take from the same pool, so memory moves freely between them and one limit bounds both.
//
// Neighbouring segments lie in an arena, which is one ArrayBuffer: with a buffer for each segment, reading a record begins with
// looking for the buffer, and at some thousand of them that alone is a miss of the processor's cache. An arena of 16 MiB can
// moreover be backed by large pages of 2 MiB, where the system is asked for them: what does not fill one is lost at both ends.
// The system gives an arena's memory page by page as it is written to. An arena is kept when all of it is idle, and used again; what is
// idle beyond a share is let go, an arena at a time. The lowest numbers are taken first, so that it is the highest arenas
// that become idle.

import { assert } from "../../base/assert.ts";

const ARENA_SHIFT = 6;
/** Segments of an arena. */
export const ARENA_SEGMENTS = 1 << ARENA_SHIFT;

/** What addresses count in. */
const UNIT_BYTES = 8;

const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);

/** See the top of the file. Segments are numbered from 0. */
export class SegmentPool {
  readonly segmentBytes: number;
  /** The most segments that can ever be in use. */
  readonly countMax: number;
  /** Every segment's number is below this. */
  readonly numberMax: number;
  /** By arena: its segments as 32-bit words and as bytes. Empty while it has no memory. */
  readonly words: Int32Array[] = [];
  readonly bytes: Uint8Array[] = [];
  /** By segment: 1 while it has memory and is not in use. */
  readonly #isIdle: Uint8Array;
  /** By arena: its idle segments. */
  readonly #idleIn: Uint8Array;
  /** No segment below this one is idle. */
  #idleFrom = 0;
  #idleCount = 0;
  /** Arenas without memory. */
  readonly #bare: number[] = [];
  readonly #segmentWords: number;
  /** Bits of an address within its segment, and within its arena. */
  readonly #unitBits: number;
  readonly #arenaBits: number;
  readonly #arenaMask: number;
  #inUse = 0;
  #limit: number;

  constructor(segmentBytes: number, countMax: number) {
    this.segmentBytes = segmentBytes;
    this.#segmentWords = segmentBytes / 4;
    this.#unitBits = Math.log2(segmentBytes / UNIT_BYTES);
    this.#arenaBits = this.#unitBits + ARENA_SHIFT;
    this.#arenaMask = 2 ** this.#arenaBits - 1;
    this.countMax = countMax;
    const arenas = Math.ceil(countMax / ARENA_SEGMENTS);
    this.numberMax = arenas * ARENA_SEGMENTS;
    this.#isIdle = new Uint8Array(this.numberMax);
    this.#idleIn = new Uint8Array(arenas);
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
    return this.#idleCount;
  }

  /** Every segment that ever had memory has a number below this. */
  get numberEnd(): number {
    return this.words.length << ARENA_SHIFT;
  }

  /** An address names a place of 8 bytes, segment and offset in one signed 32-bit integer: {@link addressOf} makes it. */
  segmentOf(address: number): number {
    return address >>> this.#unitBits;
  }

  /** The place's first word within its arena. */
  wordOf(address: number): number {
    return (address & this.#arenaMask) << 1;
  }

  /** The words of the arena that the place lies in; {@link bytesAt} the same memory as bytes. */
  wordsAt(address: number): Int32Array {
    return this.words[address >>> this.#arenaBits]!;
  }

  bytesAt(address: number): Uint8Array {
    return this.bytes[address >>> this.#arenaBits]!;
  }

  /** The address of word `at` (even) of the arena that the segment lies in. */
  addressOf(segment: number, at: number): number {
    return ((segment << this.#unitBits) & ~this.#arenaMask) | (at >>> 1);
  }

  /** The words of the arena that a segment lies in. */
  wordsOf(segment: number): Int32Array {
    return this.words[segment >>> ARENA_SHIFT]!;
  }

  /** The segment's first word within its arena. */
  startOf(segment: number): number {
    return (segment & (ARENA_SEGMENTS - 1)) * this.#segmentWords;
  }

  /** A segment with whatever bytes its last taker left. May exceed the limit, never {@link countMax}. */
  take(): number {
    assert(this.#inUse < this.countMax, "a segment to take");
    this.#inUse++;
    if (this.#idleCount === 0) this.#addArena();
    const segment = this.#isIdle.indexOf(1, this.#idleFrom);
    this.#isIdle[segment] = 0;
    this.#idleIn[segment >>> ARENA_SHIFT]!--;
    this.#idleFrom = segment + 1;
    this.#idleCount--;
    return segment;
  }

  give(segment: number): void {
    this.#inUse--;
    this.#isIdle[segment] = 1;
    this.#idleIn[segment >>> ARENA_SHIFT]!++;
    this.#idleCount++;
    if (segment < this.#idleFrom) this.#idleFrom = segment;
  }

  /** Lets the memory of one arena go, if all of it is idle and more than `keep` segments are besides. Cost: a pass over the arenas. */
  maybeRelease(keep: number): boolean {
    if (this.#idleCount < keep + ARENA_SEGMENTS) return false;
    const arena = this.#idleIn.lastIndexOf(ARENA_SEGMENTS);
    if (arena === -1) return false;
    this.#setIdle(arena, 0);
    this.words[arena] = NO_WORDS;
    this.bytes[arena] = NO_BYTES;
    this.#bare.push(arena);
    return true;
  }

  #addArena(): void {
    const arena = this.#bare.pop() ?? this.words.length;
    const buffer = new ArrayBuffer(this.segmentBytes * ARENA_SEGMENTS);
    this.words[arena] = new Int32Array(buffer);
    this.bytes[arena] = new Uint8Array(buffer);
    this.#setIdle(arena, 1);
    this.#idleFrom = Math.min(this.#idleFrom, arena << ARENA_SHIFT);
  }

  /** All of an arena: with memory and not in use, or without. */
  #setIdle(arena: number, isIdle: 0 | 1): void {
    this.#isIdle.fill(isIdle, arena << ARENA_SHIFT, (arena + 1) << ARENA_SHIFT);
    this.#idleIn[arena] = isIdle * ARENA_SEGMENTS;
    this.#idleCount += isIdle === 1 ? ARENA_SEGMENTS : -ARENA_SEGMENTS;
  }
}
