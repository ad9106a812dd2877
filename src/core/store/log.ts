// The log of the off-heap store: records appended to segments, and the segments in queues, oldest first. The queues are those of
// S3-FIFO, so the order of eviction costs no bytes per entry: it is the order of the log.
//
// A reference names a record: its address in the pool, in one signed 32-bit integer; 0 names none. It changes when
// the record moves, so only the index and the chunk lists of large values hold references.
//
// Invariants:
// 1. A segment in use by the log is in exactly one queue. It is open (appended to), or the receiving one of its queue (the
//    cleaner's), or closed.
// 2. `live` of a segment is the sum of its records not marked dead; one whose `live` falls to 0 is given back at once.
// 3. `dueMs` of a segment is at or before the due time of each of its live records.

import { assert } from "../../base/assert.ts";
import { DEAD, sizeAt } from "./record.ts";
import type { SegmentPool } from "./segment-pool.ts";

/** The queues: transfers nobody asked for, new, proven, deleted. */
export const COLD = 1;
export const SMALL = 2;
export const MAIN = 3;
export const TOMBSTONES = 4;
const QUEUE_COUNT = 5;
export type Queue = typeof COLD | typeof SMALL | typeof MAIN | typeof TOMBSTONES;

/** No segment. */
export const NONE = -1;
/** The first unit of a segment is unused, so that no reference is 0. */
export const FIRST_OFFSET = 8;

/** See the top of the file. */
export class Log {
  readonly pool: SegmentPool;
  readonly #segmentBytes: number;

  /** By segment. */
  readonly #queue: Uint8Array;
  readonly #used: Int32Array;
  readonly #live: Int32Array;
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  readonly #births: Uint32Array;
  readonly dueMs: Float64Array;

  /** By queue. */
  readonly #oldest = new Int32Array(QUEUE_COUNT).fill(NONE);
  readonly #newest = new Int32Array(QUEUE_COUNT).fill(NONE);
  readonly #open = new Int32Array(QUEUE_COUNT).fill(NONE);
  readonly #receiving = new Int32Array(QUEUE_COUNT).fill(NONE);
  readonly #liveBytes = new Float64Array(QUEUE_COUNT);
  readonly #segments = new Int32Array(QUEUE_COUNT);
  #killed = 0;

  constructor(pool: SegmentPool) {
    this.pool = pool;
    this.#segmentBytes = pool.segmentBytes;
    this.#queue = new Uint8Array(pool.numberMax);
    this.#used = new Int32Array(pool.numberMax);
    this.#live = new Int32Array(pool.numberMax);
    this.#older = new Int32Array(pool.numberMax).fill(NONE);
    this.#newer = new Int32Array(pool.numberMax).fill(NONE);
    this.#births = new Uint32Array(pool.numberMax);
    this.dueMs = new Float64Array(pool.numberMax).fill(Number.POSITIVE_INFINITY);
  }

  segmentOf(ref: number): number {
    return this.pool.segmentOf(ref);
  }

  /** The word at which the record begins, within its arena. */
  wordOf(ref: number): number {
    return this.pool.wordOf(ref);
  }

  /** The words of the arena that the record lies in; {@link bytesOf} the same memory as bytes. */
  wordsOf(ref: number): Int32Array {
    return this.pool.wordsAt(ref);
  }

  bytesOf(ref: number): Uint8Array {
    return this.pool.bytesAt(ref);
  }

  /** The word of a segment's arena that lies `offset` bytes behind the segment's beginning. */
  wordAt(segment: number, offset: number): number {
    return this.pool.startOf(segment) + (offset >> 2);
  }

  /** The reference of the record of a segment that begins at word `at` of its arena. */
  refOf(segment: number, at: number): number {
    return this.pool.addressOf(segment, at);
  }

  queueOf(ref: number): Queue {
    return this.#queue[this.segmentOf(ref)] as Queue; // a record's segment is in one (invariant 1)
  }

  /** The queue of a segment; 0 when the log does not use it. */
  queueOfSegment(segment: number): Queue | 0 {
    return this.#queue[segment] as Queue | 0;
  }

  /** Changes each time the segment is taken into use: a walk that finds another number has lost its place. */
  birthOf(segment: number): number {
    return this.#births[segment]!;
  }

  /** The offset after the last record. */
  usedOf(segment: number): number {
    return this.#used[segment]!;
  }

  liveOf(segment: number): number {
    return this.#live[segment]!;
  }

  liveBytes(queue: Queue): number {
    return this.#liveBytes[queue]!;
  }

  oldest(queue: Queue): number {
    return this.#oldest[queue]!;
  }

  isClosed(segment: number): boolean {
    const queue = this.#queue[segment]!;
    return queue !== 0 && this.#open[queue] !== segment && this.#receiving[queue] !== segment;
  }

  /** Bytes in closed segments that no live record uses: what cleaning could win. */
  get deadBytes(): number {
    let dead = 0;
    for (let queue = COLD; queue <= TOMBSTONES; queue++) {
      dead += this.#segments[queue]! * this.#segmentBytes - this.#liveBytes[queue]!;
      for (const segment of [this.#open[queue]!, this.#receiving[queue]!]) {
        if (segment !== NONE) dead -= this.#segmentBytes - this.#live[segment]!;
      }
    }
    return dead;
  }

  /** Bytes left in the open segment of the queue. */
  roomIn(queue: Queue): number {
    const segment = this.#open[queue]!;
    return segment === NONE ? 0 : this.#segmentBytes - this.#used[segment]!;
  }

  /** Makes room for a record at the young end of the queue. Takes a segment when the open one is full. */
  append(queue: Queue, size: number): number {
    let segment = this.#open[queue]!;
    if (segment === NONE || this.#used[segment]! + size > this.#segmentBytes) {
      segment = this.#begin(queue);
      this.#linkNewest(segment, queue);
      this.#open[queue] = segment;
    }
    return this.#advance(segment, size);
  }

  /** Makes room for a record of the same queue and about the same age as the closed segment `beside`. */
  appendBeside(beside: number, size: number): number {
    const queue = this.#queue[beside]!;
    let segment = this.#receiving[queue]!;
    if (segment === NONE || this.#used[segment]! + size > this.#segmentBytes) {
      segment = this.#begin(queue as Queue); // `beside` is in use
      this.#linkBefore(segment, beside);
      this.#receiving[queue] = segment;
    }
    return this.#advance(segment, size);
  }

  /** Ends appending to a segment. */
  close(segment: number): void {
    const queue = this.#queue[segment]!;
    if (this.#open[queue] === segment) this.#open[queue] = NONE;
    if (this.#receiving[queue] === segment) this.#receiving[queue] = NONE;
  }

  /** Notes that the segment has a live record that is due then. */
  noteDue(segment: number, dueMs: number): void {
    if (dueMs < this.dueMs[segment]!) this.dueMs[segment] = dueMs;
  }

  /** Marks a record dead. Gives its segment back when it was the last live one. */
  kill(ref: number): void {
    const segment = this.segmentOf(ref);
    const words = this.wordsOf(ref);
    const at = this.wordOf(ref);
    assert((words[at]! & DEAD) === 0, "a live record");
    const size = sizeAt(words, at);
    words[at] = words[at]! | DEAD;
    this.#killed++;
    this.#liveBytes[this.#queue[segment]!]! -= size;
    this.#live[segment]! -= size;
    if (this.#live[segment] === 0) this.#give(segment);
  }

  /** Records killed so far: while it does not change, no reference does. */
  get killed(): number {
    return this.#killed;
  }

  /** The closed segment with the least live bytes; {@link NONE} when none is closed. Cost: one pass over the segments. */
  emptiest(): number {
    let best = NONE;
    let least = this.#segmentBytes + 1;
    const queues = this.#queue;
    const live = this.#live;
    const count = this.pool.numberEnd;
    for (let segment = 0; segment < count; segment++) {
      if (queues[segment] === 0 || live[segment]! >= least || !this.isClosed(segment)) continue;
      least = live[segment]!;
      best = segment;
    }
    return best;
  }

  #begin(queue: Queue): number {
    const segment = this.pool.take();
    this.#queue[segment] = queue;
    this.#used[segment] = FIRST_OFFSET;
    this.#births[segment]!++;
    this.#segments[queue]!++;
    return segment;
  }

  #advance(segment: number, size: number): number {
    const offset = this.#used[segment]!;
    assert(offset + size <= this.#segmentBytes, "a record that fits into a segment");
    this.#used[segment] = offset + size;
    this.#live[segment]! += size;
    this.#liveBytes[this.#queue[segment]!]! += size;
    return this.refOf(segment, this.wordAt(segment, offset));
  }

  #linkNewest(segment: number, queue: Queue): void {
    const before = this.#newest[queue]!;
    this.#older[segment] = before;
    this.#newer[segment] = NONE;
    if (before === NONE) this.#oldest[queue] = segment;
    else this.#newer[before] = segment;
    this.#newest[queue] = segment;
  }

  #linkBefore(segment: number, next: number): void {
    const queue = this.#queue[next]!;
    const before = this.#older[next]!;
    this.#older[segment] = before;
    this.#newer[segment] = next;
    this.#older[next] = segment;
    if (before === NONE) this.#oldest[queue] = segment;
    else this.#newer[before] = segment;
  }

  #give(segment: number): void {
    const queue = this.#queue[segment]!;
    const older = this.#older[segment]!;
    const newer = this.#newer[segment]!;
    if (older === NONE) this.#oldest[queue] = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest[queue] = older;
    else this.#older[newer] = older;
    this.close(segment);
    this.#queue[segment] = 0;
    this.#segments[queue]!--;
    this.dueMs[segment] = Number.POSITIVE_INFINITY;
    this.pool.give(segment);
  }
}
