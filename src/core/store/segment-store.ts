// The off-heap store: entries as records in segments outside the JavaScript heap. The garbage collector sees some thousand
// buffers, however many entries there are, so it neither pauses for them nor pays for them.
//
// The parts, each in its file: `segment-pool.ts` the memory, `log.ts` records in segments in queues, `slot-index.ts` hash tables
// by slot, `slot-ledger.ts` counts, digests and floors by slot, `holdings.ts` these four in agreement, `reclaimer.ts` cleaning and
// eviction, `sweeper.ts` expiry. Here is what the Store interface asks, decided as the rules of store.ts say.
//
// Invariants, beside those rules:
// 1. Between calls: segments in use, the ghosts among them, are within the budget.
// 2. Nothing that was handed out lies in a segment: readers get copies, valid for as long as they hold them.
// 3. No call walks over more than a few segments: what is larger is cut up and paid for by the calls that follow. The exceptions
//    are large values, for which as much must go as they take, and clearing a slot up to a version older than some of it.

import { assert } from "../../base/assert.ts";
import { invalidOption } from "../../base/errors.ts";
import type { Hashes } from "../../base/hash.ts";
import type { Slot } from "../../base/ids.ts";
import type { Entry, SlotDigest } from "../messages.ts";
import { compareVersions, isExpired, tombstoneOf } from "./entry.ts";
import { Ghosts } from "./ghosts.ts";
import { Holdings } from "./holdings.ts";
import { KeyBuffer } from "./key-buffer.ts";
import { COLD, FIRST_OFFSET, type Log, MAIN, NONE, type Queue, SMALL, TOMBSTONES } from "./log.ts";
import { Reclaimer } from "./reclaimer.ts";
import { DEAD, dueAt, hashAt, setUsesAt, sizeAt, slotAt, TOMBSTONE, USES_MAX, usesAt } from "./record.ts";
import { SegmentPool } from "./segment-pool.ts";
import {
  type EntryHead,
  type MergeResult,
  NO_WATCH,
  RESERVED_SHARE_MAX,
  type Store,
  type StoreStats,
  type StoreWatch,
} from "./store.ts";
import { Sweeper } from "./sweeper.ts";

/** References have 32 bits and count units of 8 bytes. */
const BYTES_MAX = 2 ** 35;
const SEGMENT_BYTES_MIN = 512;
/** Emptying one takes half a millisecond when it holds entries of 100 bytes. */
const SEGMENT_BYTES_MAX = 256 * 1024;
const SEGMENTS_WANTED = 256;

/** Of the budget, for one entry and for all tombstones. */
const ENTRY_SHARE_MAX = 0.5;
const TOMBSTONE_SHARE_MAX = 0.5;

/** Segments that are free before a record is put: for the index, and for what the reclaimer moves. */
const FREE_MIN = 4;
/** Below this part of all segments free, every write pays for some reclaiming. */
const FREE_SHARE = 1 / 64;
/** What a write pays in reclaiming, in multiples of its own bytes: from the first where some are free to the second where none are. */
const PACE_MIN = 2;
const PACE_MAX = 24;
/** The most of the budget that is kept free for large values, and what is left of it with each sweep: half after a minute of none. */
const LARGE_SHARE_MAX = 1 / 16;
const LARGE_DECAY = 0.9995;
/** What sweeping costs in bytes of reclaiming: as much as one record. */
const RECLAIM_PER_UNIT = 512;
/** Slots with at most so many records are dropped one by one: no burial is due for them. */
const EAGER_DROP_MAX = 8;
/** Idle memory that is kept: part of the budget. The rest is let go, a segment with each sweep. */
const IDLE_SHARE = 1 / 16;

const STORED: MergeResult = Object.freeze({ status: "stored" });
const FULL: MergeResult = Object.freeze({ status: "full" });

/** No slot has this number. */
const NO_SLOT = -1;

/** How a {@link SegmentStore} is sized. */
export interface SegmentStoreOptions {
  /**
   * Budget for segments (records and index) and ghosts, in bytes: a safe integer from 1 to 32 GiB. One entry takes at most half of
   * it. Beside it there is a fixed megabyte for the slots.
   */
  readonly bytesMax: number;
  /**
   * Share of `bytesMax` that tombstones may take, from 0 to 0.5; past it the oldest are dropped early. Less leaves more room for
   * values and raises floors sooner, so that more late copies are refused. @default 0.05
   */
  readonly tombstoneShare?: number;
  /**
   * How long a tombstone is kept, in ms from 1: from its arrival for a delete, from the expiry for an expired value. Must exceed
   * the time that hints are kept. @default 15 minutes
   */
  readonly tombstoneTtlMs?: number;
  /**
   * Size of a segment: a power of two from 512 to 262,144. Larger ones lose less at their ends; smaller ones are emptied in
   * shorter steps. Keys longer than a third of a segment do not fit. @default a 256th of the budget, 1 KiB to 256 KiB
   */
  readonly segmentBytes?: number;
}

/** An entry that is newer than what is held under its key. */
interface Arrival {
  readonly slot: Slot;
  readonly hash: number;
  readonly entry: Entry;
  /** The record held, 0 for none. */
  readonly held: number;
}

/** See the top of the file. */
export class SegmentStore implements Store {
  readonly #options: Readonly<Required<SegmentStoreOptions>>;
  readonly #tombstoneBytesMax: number;
  readonly #entryBytesMax: number;
  readonly #freeWanted: number;
  readonly #watch: StoreWatch;
  readonly #pool: SegmentPool;
  readonly #holdings: Holdings;
  readonly #log: Log;
  readonly #reclaimer: Reclaimer;
  readonly #sweeper: Sweeper;
  /** The key that the call under way is about. */
  readonly #key: KeyBuffer;
  /** What {@link SegmentStore.#find} found last; `NO_SLOT` after any change. */
  #foundSlot = NO_SLOT;
  #foundKey = "";
  #found = 0;
  #evictionsTotal = 0;
  #expirationsTotal = 0;
  /** What others have of the budget. */
  #reservedBytes = 0;
  /** Segments kept free for the next large value, after the last ones; falls slowly. */
  #largeWanted = 0;

  /** The walk over the oldest segment of tombstones, for those that go early. */
  #dropSegment = NONE;
  #dropBirth = 0;
  #dropOffset = 0;

  /**
   * @param watch Told of every change in the slots that it watches
   * @throws {CacheError} ERR_INVALID_OPTION when an option is out of range
   */
  constructor(options: SegmentStoreOptions, hashes: Hashes, watch: StoreWatch = NO_WATCH) {
    this.#watch = watch;
    this.#options = resolveSegmentStoreOptions(options);
    const { bytesMax, segmentBytes, tombstoneShare } = this.#options;
    const countMax = Math.max(1, Math.floor(bytesMax / segmentBytes));
    this.#tombstoneBytesMax = Math.floor(bytesMax * tombstoneShare);
    this.#entryBytesMax = Math.min(bytesMax * ENTRY_SHARE_MAX, (countMax - 2 * FREE_MIN) * segmentBytes);
    this.#freeWanted = Math.max(FREE_MIN + 2, Math.floor(countMax * FREE_SHARE));
    this.#key = new KeyBuffer(hashes);
    this.#pool = new SegmentPool(segmentBytes, countMax);
    this.#holdings = new Holdings(this.#pool);
    this.#log = this.#holdings.log;
    this.#reclaimer = new Reclaimer(
      {
        holdings: this.#holdings,
        pool: this.#pool,
        dropTombstone: (ref) => this.#dropTombstone(ref),
      },
      (ref) => {
        this.#evictionsTotal++;
        this.#tellGone(ref);
      },
    );
    this.#sweeper = new Sweeper(this.#holdings, (ref) => this.#onDue(ref));
  }

  peek(slot: Slot, key: string): Entry | undefined {
    const ref = this.#find(slot, key);
    return ref === 0 ? undefined : this.#holdings.entryOf(ref, key);
  }

  head(slot: Slot, key: string): EntryHead | undefined {
    const ref = this.#find(slot, key);
    return ref === 0 ? undefined : this.#holdings.headOf(ref, key);
  }

  get(slot: Slot, key: string, wallMs: number): Entry | undefined {
    const holdings = this.#holdings;
    const ref = this.#find(slot, key);
    if (ref === 0) return undefined;
    const words = this.#log.wordsOf(ref);
    const at = this.#log.wordOf(ref);
    if ((words[at]! & TOMBSTONE) !== 0) return undefined;
    const dueMs = dueAt(words, at);
    if (dueMs !== 0 && wallMs >= dueMs) return undefined;
    const uses = usesAt(words, at);
    if (uses < USES_MAX) setUsesAt(words, at, uses + 1);
    const entry = holdings.entryOf(ref, key);
    if (entry.value !== undefined) holdings.lender.lend(entry.value);
    return entry;
  }

  giveBack(value: Uint8Array): void {
    this.#holdings.lender.giveBack(value);
  }

  merge(slot: Slot, entry: Entry, wallMs: number, options?: { readonly cold?: boolean }): MergeResult {
    const held = this.#find(slot, entry.key);
    const { hash } = this.#key;
    this.#foundSlot = NO_SLOT;
    if (held === 0) {
      const floor = this.#holdings.ledger.floor(slot);
      if (entry.version <= floor) return { status: "newer", heldVersion: floor };
    } else {
      const heldVersion = this.#holdings.versionOf(held);
      const order = compareVersions(entry, heldVersion);
      if (order === 0) return STORED;
      if (order < 0) return { status: "newer", heldVersion: heldVersion.version };
    }
    if (entry.value === undefined || isExpired(entry, wallMs)) {
      const dropAt = (entry.value === undefined ? wallMs : entry.expiresAt) + this.#options.tombstoneTtlMs;
      this.#holdTombstone({ slot, hash, entry: tombstoneOf(entry), held }, dropAt);
      if (this.#watch.watches(slot)) this.#watch.changed(slot, entry);
      return STORED;
    }
    const result = this.#holdValue({ slot, hash, entry, held }, options?.cold === true);
    if (result === STORED && this.#watch.watches(slot)) this.#watch.changed(slot, entry);
    return result;
  }

  floor(slot: Slot): number {
    return this.#holdings.ledger.floor(slot);
  }

  clearedVersion(slot: Slot): number {
    return this.#holdings.ledger.cleared(slot);
  }

  newest(slot: Slot): number {
    return this.#holdings.ledger.newest(slot);
  }

  raiseFloor(slot: Slot, version: number): void {
    this.#holdings.ledger.raiseFloor(slot, version);
  }

  clear(slot: Slot, version: number): number {
    this.#foundSlot = NO_SLOT;
    const { ledger } = this.#holdings;
    const before = ledger.valuesIn(slot);
    if (version >= ledger.newest(slot)) this.#removeAll(slot);
    else this.#removeUpTo(slot, version);
    ledger.raiseCleared(slot, version);
    if (this.#watch.watches(slot)) this.#watch.cleared(slot);
    return before - ledger.valuesIn(slot);
  }

  *entries(slot: Slot): Generator<Entry, void> {
    for (const ref of this.#holdings.index.refs(slot)) {
      yield this.#holdings.entryOf(ref, this.#holdings.keyOf(ref));
    }
  }

  *heads(slot: Slot): Generator<EntryHead, void> {
    for (const ref of this.#holdings.index.refs(slot)) {
      yield this.#holdings.headOf(ref, this.#holdings.keyOf(ref));
    }
  }

  count(slot: Slot): number {
    return this.#holdings.ledger.valuesIn(slot);
  }

  digest(slot: Slot): SlotDigest {
    return this.#holdings.ledger.digest(slot);
  }

  drop(slot: Slot): void {
    this.#foundSlot = NO_SLOT;
    this.#removeAll(slot);
    this.#holdings.ledger.resetFloors(slot);
  }

  sweep(wallMs: number, budget: number): number {
    this.#foundSlot = NO_SLOT;
    this.#sweeper.sweep(wallMs, budget);
    if (budget > 0) {
      this.#largeWanted *= LARGE_DECAY;
      if (this.#isShort) this.#reclaimer.work(budget * RECLAIM_PER_UNIT);
      this.#pool.maybeRelease(Math.ceil(this.#pool.countMax * IDLE_SHARE));
    }
    return this.#isShort ? wallMs : this.#sweeper.nextDueMs();
  }

  reserve(bytes: number): boolean {
    if (bytes > this.#options.bytesMax * RESERVED_SHARE_MAX) return false;
    this.#reservedBytes = bytes;
    return true;
  }

  stats(): StoreStats {
    const { ledger } = this.#holdings;
    return {
      entries: ledger.values,
      tombstones: ledger.total - ledger.values,
      bytes: this.#pool.inUse * this.#pool.segmentBytes + this.#reclaimer.ghosts.bytes,
      bytesMax: this.#options.bytesMax,
      evictionsTotal: this.#evictionsTotal,
      expirationsTotal: this.#expirationsTotal,
    };
  }

  /** Records that were overwritten, moved, evicted or removed so far: what single calls cost, counted and not timed. */
  get recordsKilledTotal(): number {
    return this.#log.killed;
  }

  /** Fewer segments are free than the next writes may need. */
  get #isShort(): boolean {
    return this.#pool.freeCount < Math.max(this.#freeWanted, this.#largeWanted);
  }

  /**
   * The record held under the key, 0 for none. A replica looks at what it holds and then merges: the second search of a key
   * is spared, unless something has changed in between.
   */
  #find(slot: Slot, key: string): number {
    if (this.#foundSlot === slot && this.#foundKey === key) return this.#found;
    this.#foundKey = key;
    this.#foundSlot = slot;
    this.#key.set(key);
    this.#found = this.#holdings.find(slot, this.#key.hash, this.#key);
    return this.#found;
  }

  #holdValue({ slot, hash, entry, held }: Arrival, isCold: boolean): MergeResult {
    const holdings = this.#holdings;
    const killed = this.#log.killed;
    const key = this.#key;
    const dueMs = entry.expiresAt;
    if (holdings.bytesFor(entry, { keyBytes: key.length, dueMs }) > this.#entryBytesMax) return FULL;
    if (!this.#makeRoom(entry) || !holdings.index.hasRoom(slot, hash)) return FULL;
    // Making room may have moved or evicted it.
    const replaced = this.#log.killed === killed ? held : holdings.find(slot, hash, key);
    const { queue, uses } = this.#placeOf(replaced, hash, isCold);
    holdings.put({ slot, hash, key, entry, queue, uses, dueMs, replaced });
    return STORED;
  }

  /** What callers use stays where it is, whoever brings its next version; what transfers bring is cold until it is used. */
  #placeOf(held: number, hash: number, isCold: boolean): { readonly queue: Queue; readonly uses: number } {
    const heldQueue = held === 0 ? TOMBSTONES : this.#log.queueOf(held);
    if (heldQueue === TOMBSTONES) {
      if (isCold) return { queue: COLD, uses: 0 };
      return { queue: this.#reclaimer.ghosts.recall(hash) ? MAIN : SMALL, uses: 0 };
    }
    const uses = usesAt(this.#log.wordsOf(held), this.#log.wordOf(held));
    if (isCold) return { queue: heldQueue, uses };
    return { queue: heldQueue === MAIN ? MAIN : SMALL, uses: Math.min(USES_MAX, uses + 1) };
  }

  #holdTombstone({ slot, hash, entry, held }: Arrival, dropAt: number): void {
    const holdings = this.#holdings;
    const killed = this.#log.killed;
    const key = this.#key;
    const bytes = holdings.bytesFor(entry, { keyBytes: key.length, dueMs: dropAt });
    const hasRoom =
      bytes <= this.#tombstoneBytesMax && this.#makeRoom(entry) && holdings.index.hasRoom(slot, hash);
    const replaced = this.#log.killed === killed ? held : holdings.find(slot, hash, key);
    if (!hasRoom) {
      // It would go at once: the floor speaks for it (rule 2).
      if (replaced !== 0) holdings.remove(replaced);
      this.raiseFloor(slot, entry.version);
      return;
    }
    holdings.put({ slot, hash, key, entry, queue: TOMBSTONES, uses: 0, dueMs: dropAt, replaced });
    this.#dropOverShare();
  }

  /** Forgets a tombstone, at its time or before: from now on the floor speaks for it (rule 2). */
  #dropTombstone(ref: number): void {
    const slot = slotAt(this.#log.wordsOf(ref), this.#log.wordOf(ref));
    this.#holdings.ledger.raiseFloor(slot, this.#holdings.versionOf(ref).version);
    this.#holdings.remove(ref);
  }

  /** Drops the oldest tombstones until the rest keep to their share. Constant cost per tombstone ever held. */
  #dropOverShare(): void {
    const log = this.#log;
    while (log.liveBytes(TOMBSTONES) > this.#tombstoneBytesMax) {
      const segment = log.oldest(TOMBSTONES);
      assert(segment !== NONE, "a segment of tombstones");
      if (segment !== this.#dropSegment || log.birthOf(segment) !== this.#dropBirth) {
        this.#dropSegment = segment;
        this.#dropBirth = log.birthOf(segment);
        this.#dropOffset = FIRST_OFFSET;
      }
      assert(this.#dropOffset < log.usedOf(segment), "a live tombstone in the segment");
      const words = this.#pool.wordsOf(segment);
      const at = log.wordAt(segment, this.#dropOffset);
      this.#dropOffset += sizeAt(words, at);
      if ((words[at]! & DEAD) !== 0) continue;
      const ref = log.refOf(segment, at);
      if (this.#holdings.isForeign(words, at)) log.kill(ref);
      else this.#dropTombstone(ref);
    }
  }

  /** Sees to it that the entry can be put. Returns false when it cannot. */
  #makeRoom(entry: Entry): boolean {
    const pool = this.#pool;
    this.#limitPool();
    const shortage = this.#freeWanted - pool.freeCount;
    if (shortage > 0) {
      const bytes = 256 + (entry.value?.length ?? 0);
      const pace =
        PACE_MIN + ((PACE_MAX - PACE_MIN) * Math.min(shortage, this.#freeWanted)) / this.#freeWanted;
      this.#reclaimer.work(Math.min(bytes, pool.segmentBytes) * pace);
    }
    const needed = FREE_MIN + this.#holdings.segmentsFor(entry) - 3;
    // Evicting as much as a large value takes is no short step: from now on so much is kept free.
    if (needed > FREE_MIN) {
      this.#largeWanted = Math.min(Math.max(this.#largeWanted, needed), pool.countMax * LARGE_SHARE_MAX);
    }
    return pool.freeCount >= needed || this.#reclaimer.free(needed);
  }

  /** Keeps room for the ghosts that so many entries will have, and for what others keep. */
  #limitPool(): void {
    const { ghosts } = this.#reclaimer;
    const ghostBytes = Math.max(ghosts.bytes, Ghosts.bytesFor(this.#holdings.ledger.total));
    const bytesMax = this.#options.bytesMax - ghostBytes - this.#reservedBytes;
    this.#pool.setLimit(Math.floor(bytesMax / this.#pool.segmentBytes));
  }

  #removeAll(slot: Slot): void {
    const { ledger } = this.#holdings;
    if (ledger.allIn(slot) === 0) return;
    if (ledger.allIn(slot) <= EAGER_DROP_MAX || !this.#holdings.maybeDisown(slot)) {
      this.#removeUpTo(slot, Number.POSITIVE_INFINITY);
    } else this.#sweeper.slotDisowned();
  }

  /** Cost: all records of the slot. */
  #removeUpTo(slot: Slot, version: number): void {
    const holdings = this.#holdings;
    const gone = [...holdings.index.refs(slot)].filter((ref) => holdings.versionOf(ref).version <= version);
    for (const ref of gone) holdings.remove(ref);
  }

  #tellGone(ref: number): void {
    const slot = slotAt(this.#log.wordsOf(ref), this.#log.wordOf(ref)) as Slot;
    if (this.#watch.watches(slot)) this.#watch.gone(slot, this.#holdings.keyOf(ref));
  }

  /** The sweeper found a value that expired, or a tombstone whose time is over. */
  #onDue(ref: number): void {
    const holdings = this.#holdings;
    if (holdings.isTombstone(ref)) {
      this.#dropTombstone(ref);
      return;
    }
    this.#expirationsTotal++;
    this.#tellGone(ref);
    const words = this.#log.wordsOf(ref);
    const at = this.#log.wordOf(ref);
    const [slot, dueMs] = [slotAt(words, at) as Slot, holdings.dueOf(ref)];
    const entry = holdings.tombstoneOf(ref);
    this.#key.set(entry.key);
    const arrival = { slot, hash: hashAt(words, at), entry, held: ref };
    this.#holdTombstone(arrival, dueMs + this.#options.tombstoneTtlMs);
  }
}

/**
 * Checks every option and fills in the defaults.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the field and the value received
 */
function resolveSegmentStoreOptions(options: SegmentStoreOptions): Readonly<Required<SegmentStoreOptions>> {
  const { bytesMax, tombstoneShare = 0.05, tombstoneTtlMs = 15 * 60_000 } = options;
  if (!Number.isSafeInteger(bytesMax) || bytesMax < 1 || bytesMax > BYTES_MAX)
    throw invalidOption("bytesMax", `a safe integer from 1 to ${BYTES_MAX}`, bytesMax);
  const { segmentBytes = defaultSegmentBytes(bytesMax) } = options;
  if (!(tombstoneShare >= 0 && tombstoneShare <= TOMBSTONE_SHARE_MAX))
    throw invalidOption("tombstoneShare", `a number from 0 to ${TOMBSTONE_SHARE_MAX}`, tombstoneShare);
  if (!Number.isSafeInteger(tombstoneTtlMs) || tombstoneTtlMs < 1)
    throw invalidOption("tombstoneTtlMs", "a safe integer from 1", tombstoneTtlMs);
  const isPower = Number.isSafeInteger(segmentBytes) && Number.isInteger(Math.log2(segmentBytes));
  if (!isPower || segmentBytes < SEGMENT_BYTES_MIN || segmentBytes > SEGMENT_BYTES_MAX)
    throw invalidOption("segmentBytes", "a power of two from 512 to 262144", segmentBytes);
  return Object.freeze({ bytesMax, tombstoneShare, tombstoneTtlMs, segmentBytes });
}

function defaultSegmentBytes(bytesMax: number): number {
  let bytes = 1024;
  while (bytes < SEGMENT_BYTES_MAX && bytes * SEGMENTS_WANTED < bytesMax) bytes *= 2;
  return bytes;
}
