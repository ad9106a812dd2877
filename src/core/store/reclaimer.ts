// Makes room: empties one segment after another, record by record, so that any caller can pay for a little of it.
//
// A segment is emptied in one of two ways. Cleaned: its live records move into a receiving segment of the same queue and about
// the same age; the gain is what was dead. Evicted, as S3-FIFO does (Yang et al., SOSP 2023), the oldest segment of a queue: of
// the cold queue first (what transfers brought and nobody has asked for), then of the small one while it is over a tenth of
// all, then of the main one. What was used moves to the main queue, the rest goes, remembered by a ghost. Cleaning comes first
// where it gains enough: eviction costs hits.
//
// Expired values are evicted like others here: turning them into tombstones is the sweeper's work.

import { Ghosts } from "./ghosts.ts";
import type { Holdings } from "./holdings.ts";
import { COLD, FIRST_OFFSET, MAIN, NONE, SMALL, TOMBSTONES } from "./log.ts";
import { CHUNK, DEAD, hashAt, setUsesAt, sizeAt, slotAt, usesAt } from "./record.ts";
import type { SegmentPool } from "./segment-pool.ts";

/** S3-FIFO's share of the small queue. */
const SMALL_SHARE = 0.1;
/** Below this part of dead bytes nothing is cleaned: at a tenth, cleaning copies some four bytes for each it gains. */
const DEAD_SHARE_MIN = 0.1;
/** A segment is worth cleaning from this part of dead bytes on: more than a segment's end can lose to records that do not fit. */
const GAIN_MIN = 0.125;
/** What a record costs beside its bytes, in bytes of copying: the index and the ledger are touched. */
const RECORD_COST = 256;
/** After so many segments in one go without enough room, used values are evicted as well: the step must end. */
const PATIENCE_SEGMENTS = 4;

/** A value goes: told while its record is still there. */
export type OnEvicted = (ref: number) => void;

/** See the top of the file. */
export class Reclaimer {
  readonly #holdings: Holdings;
  readonly #pool: SegmentPool;
  readonly #onEvicted: OnEvicted;
  readonly #dropTombstone: (ref: number) => void;
  readonly ghosts = new Ghosts();

  #victim = NONE;
  #birth = 0;
  #offset = 0;
  #isEvicting = false;

  constructor(
    parts: {
      readonly holdings: Holdings;
      readonly pool: SegmentPool;
      /** Removes a tombstone before its time and raises the floor. */
      readonly dropTombstone: (ref: number) => void;
    },
    onEvicted: OnEvicted,
  ) {
    this.#holdings = parts.holdings;
    this.#pool = parts.pool;
    this.#dropTombstone = parts.dropTombstone;
    this.#onEvicted = onEvicted;
  }

  /** Works until about `cost` bytes' worth is done, or nothing is left to do. */
  work(cost: number): void {
    let rest = cost;
    while (rest > 0 && (this.#hasVictim() || this.#choose(false))) rest -= this.#empty(rest, false);
  }

  /** Works until so many segments are free. Returns false when that cannot be had. */
  free(segments: number): boolean {
    const { segmentBytes } = this.#pool;
    let patience = PATIENCE_SEGMENTS * (segmentBytes + (RECORD_COST * segmentBytes) / 128);
    let rounds = 4 * (this.#pool.inUse + segments);
    while (this.#pool.freeCount < segments) {
      if (rounds-- <= 0) return false;
      const isHard = patience <= 0;
      if (!this.#hasVictim() && !this.#choose(isHard)) return false;
      patience -= this.#empty(Number.POSITIVE_INFINITY, isHard);
    }
    return true;
  }

  #hasVictim(): boolean {
    const { log } = this.#holdings;
    return (
      this.#victim !== NONE &&
      log.queueOfSegment(this.#victim) !== 0 &&
      log.birthOf(this.#victim) === this.#birth
    );
  }

  /** Picks the next segment to empty. */
  #choose(isHard: boolean): boolean {
    return (
      (!isHard && this.#maybeClean(GAIN_MIN)) ||
      this.#maybeEvict() ||
      this.#maybeClean(0.01) ||
      this.#maybeDropTombstones()
    );
  }

  #maybeClean(gainMin: number): boolean {
    const { log, index } = this.#holdings;
    const { segmentBytes } = this.#pool;
    const dead = log.deadBytes;
    if (
      dead < segmentBytes ||
      dead <
        (this.#pool.inUse - index.pageCount) * segmentBytes * (gainMin < DEAD_SHARE_MIN ? 0 : DEAD_SHARE_MIN)
    )
      return false;
    const emptiest = log.emptiest();
    if (emptiest === NONE || log.liveOf(emptiest) > segmentBytes * (1 - gainMin)) return false;
    return this.#begin(emptiest, false);
  }

  #maybeEvict(): boolean {
    const { log } = this.#holdings;
    const small = log.liveBytes(SMALL);
    const main = log.liveBytes(MAIN);
    const isSmallFull = small > (small + main) * SMALL_SHARE;
    for (const queue of isSmallFull ? ([COLD, SMALL, MAIN] as const) : ([COLD, MAIN, SMALL] as const)) {
      const oldest = log.oldest(queue);
      if (oldest !== NONE) return this.#begin(oldest, true);
    }
    return false;
  }

  #maybeDropTombstones(): boolean {
    const oldest = this.#holdings.log.oldest(TOMBSTONES);
    return oldest !== NONE && this.#begin(oldest, true);
  }

  #begin(segment: number, isEvicting: boolean): boolean {
    const { log } = this.#holdings;
    log.close(segment);
    this.#victim = segment;
    this.#birth = log.birthOf(segment);
    this.#offset = FIRST_OFFSET;
    this.#isEvicting = isEvicting;
    return true;
  }

  /** Goes on through the victim. Returns what it cost; the victim is gone when its last live record is. */
  #empty(budget: number, isHard: boolean): number {
    const { log } = this.#holdings;
    const segment = this.#victim;
    const words = this.#pool.wordsOf(segment);
    let cost = 0;
    while (cost < budget && this.#hasVictim() && this.#offset < log.usedOf(segment)) {
      const at = log.wordAt(segment, this.#offset);
      const size = sizeAt(words, at);
      this.#offset += size;
      cost += 16;
      if ((words[at]! & DEAD) !== 0) continue;
      cost += size + RECORD_COST;
      this.#dispose(log.refOf(segment, at), words, at, isHard);
    }
    return Math.max(cost, 1);
  }

  #dispose(ref: number, words: Int32Array, at: number, isHard: boolean): void {
    const { log } = this.#holdings;
    if (this.#holdings.isForeign(words, at)) {
      log.kill(ref);
      return;
    }
    const queue = log.queueOf(ref);
    // Without a free segment to receive it, a record cannot be kept.
    const mayMove = this.#pool.freeCount > 0 || this.#pool.inUse < this.#pool.countMax - 1;
    if (!this.#isEvicting && mayMove) {
      this.#holdings.move(ref, queue, this.#victim);
      return;
    }
    if (queue === TOMBSTONES) {
      this.#dropTombstone(ref);
      return;
    }
    const isChunk = (words[at]! & CHUNK) !== 0;
    const entry = isChunk ? this.#holdings.ownerOf(ref) : ref;
    const entryWords = log.wordsOf(entry);
    const entryAt = log.wordOf(entry);
    const uses = usesAt(entryWords, entryAt);
    if (uses === 0 || isHard || !mayMove) {
      this.#evict(entry, hashAt(entryWords, entryAt));
      return;
    }
    const moved = this.#holdings.move(ref, MAIN, undefined);
    if (!isChunk) setUsesAt(log.wordsOf(moved), log.wordOf(moved), queue === MAIN ? uses - 1 : 0);
  }

  /** What is older than an evicted value must not take its place: the slot's floor remembers how new it was. */
  #evict(ref: number, hash: number): void {
    const { ledger, log } = this.#holdings;
    const queue = log.queueOf(ref);
    ledger.raiseFloor(slotAt(log.wordsOf(ref), log.wordOf(ref)), this.#holdings.versionOf(ref).version);
    this.#onEvicted(ref);
    this.#holdings.remove(ref);
    if (queue !== MAIN) {
      this.ghosts.setWindow(this.#holdings.ledger.total);
      this.ghosts.remember(hash);
    }
  }
}
