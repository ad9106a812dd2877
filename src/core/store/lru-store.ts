// The store engine on lru-cache: plain objects on the JavaScript heap, one per entry. It is meant to be read: the engine to
// trust, and to compare faster ones with.
//
// Each slot has a Map from key to what is held. A value is besides in one of two orders of use: `hot`, what callers wrote or
// read, and `cold`, what transfers and repair brought and nobody has asked for. A cold value that is read becomes hot. Space is
// made from the cold order first, then from the hot one, least recently used first: so cold entries, however many come, push
// out at most one entry's bytes of hot values. Tombstones are in no order of use; they go when they are due, or the oldest
// ones early when they exceed their share.
//
// Invariants, beside the rules of store.ts:
// 1. What is held is in its slot's Map; a value also in exactly one order of use, and in `expiries` if it expires; a tombstone
//    in `tombstones`. Hence both queues together are never longer than the store, however often keys are overwritten.
// 2. A slot's floor is at or above its cleared version.
// 3. Between calls: tombstone bytes <= tombstoneBytesMax, all bytes <= bytesMax.

import { assert } from "../../base/assert.ts";
import { invalidOption } from "../../base/errors.ts";
import type { Hashes } from "../../base/hash.ts";
import { SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Entry, SlotDigest } from "../messages.ts";
import { addToDigest, entryHash, subtractFromDigest } from "./digest.ts";
import { type Due, DueQueue } from "./due-queue.ts";
import { compareVersions, headOf, isExpired, isLive, tombstoneOf } from "./entry.ts";
import {
  type EntryHead,
  type MergeResult,
  RESERVED_SHARE_MAX,
  type Store,
  type StoreStats,
} from "./store.ts";
import { USE_ORDER_SIZE_MAX, UseOrder } from "./use-order.ts";

/**
 * What an entry takes beside the bytes of its key: its objects and numbers, its places in Map and queue. Measured as growth of
 * resident memory per tombstone, 200,000 of them with keys of 24 bytes, Node 20, after collection: 448 beside the key.
 */
export const ENTRY_OVERHEAD_BYTES = 450;
/**
 * What a value takes on top, beside its own bytes: its array with buffer, its place in the order of use. Measured likewise, at
 * 100 bytes: 941 in all without and 978 with an expiry, so 817 to 854 beside key and value. Values up to 64 bytes, which V8
 * keeps on its heap, take some 200 less than they are charged.
 */
export const VALUE_OVERHEAD_BYTES = 400;

/** Of the budget, for one entry and for all tombstones: together they always fit. */
const ENTRY_SHARE_MAX = 0.5;
const TOMBSTONE_SHARE_MAX = 0.5;

const STORED: MergeResult = Object.freeze({ status: "stored" });
const FULL: MergeResult = Object.freeze({ status: "full" });

/** How an {@link LruStore} is sized. */
export interface LruStoreOptions {
  /** Budget for keys, values and overhead, in bytes: a safe integer from 1. One entry takes at most half of it. */
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
}

/** What is held under one key. Replaced as a whole when the entry changes. */
interface Held extends Due {
  readonly slot: Slot;
  readonly entry: Entry;
  readonly bytes: number;
  /** hash32 of the key as a signed integer (which V8 keeps without a box). */
  readonly keyHash: number;
  /** For a value its expiry, 0 for none (then it is not queued); for a tombstone the instant to drop it. */
  readonly dueAt: number;
  dueIndex: number;
  /** The order of use it is in; `undefined` for a tombstone. Changes when a cold value is used. */
  order: UseOrder<Held> | undefined;
}

/** See the top of the file. Everything has constant or logarithmic cost unless said otherwise in {@link Store}. */
export class LruStore implements Store {
  readonly #bytesMax: number;
  readonly #tombstoneBytesMax: number;
  readonly #tombstoneTtlMs: number;
  readonly #hashes: Hashes;

  /** Per slot, created when the first key comes and let go with the last. */
  readonly #slots: (Map<string, Held> | undefined)[] = new Array(SLOT_COUNT).fill(undefined);
  readonly #valueCounts = new Uint32Array(SLOT_COUNT);
  readonly #floors = new Float64Array(SLOT_COUNT);
  readonly #cleared = new Float64Array(SLOT_COUNT);
  readonly #digests = new Float64Array(SLOT_COUNT);
  readonly #newest = new Float64Array(SLOT_COUNT);

  readonly #hot = new UseOrder<Held>();
  readonly #cold = new UseOrder<Held>();
  readonly #expiries = new DueQueue<Held>();
  readonly #tombstones = new DueQueue<Held>();

  #bytes = 0;
  /** What others have of the budget. */
  #reservedBytes = 0;
  #tombstoneBytes = 0;
  #evictionsTotal = 0;
  #expirationsTotal = 0;

  /** @throws {CacheError} ERR_INVALID_OPTION when an option is out of range */
  constructor(options: LruStoreOptions, hashes: Hashes) {
    const { bytesMax, tombstoneShare, tombstoneTtlMs } = resolveLruStoreOptions(options);
    this.#bytesMax = bytesMax;
    this.#tombstoneBytesMax = Math.floor(bytesMax * tombstoneShare);
    this.#tombstoneTtlMs = tombstoneTtlMs;
    this.#hashes = hashes;
  }

  peek(slot: Slot, key: string): Entry | undefined {
    return this.#slots[slot]?.get(key)?.entry;
  }

  head(slot: Slot, key: string): EntryHead | undefined {
    const held = this.#slots[slot]?.get(key);
    return held === undefined ? undefined : headOf(held.entry);
  }

  get(slot: Slot, key: string, wallMs: number): Entry | undefined {
    const held = this.#slots[slot]?.get(key);
    if (held?.order === undefined || !isLive(held.entry, wallMs)) return undefined;
    this.#use(held, held.order);
    return held.entry;
  }

  merge(slot: Slot, entry: Entry, wallMs: number, options?: { readonly cold?: boolean }): MergeResult {
    const held = this.#slots[slot]?.get(entry.key);
    if (held === undefined) {
      const floor = this.#floors[slot]!;
      if (entry.version <= floor) return { status: "newer", heldVersion: floor };
    } else {
      const order = compareVersions(entry, held.entry);
      if (order === 0) return STORED;
      if (order < 0) return { status: "newer", heldVersion: held.entry.version };
    }
    if (entry.value === undefined || isExpired(entry, wallMs)) {
      const dropAt = (entry.value === undefined ? wallMs : entry.expiresAt) + this.#tombstoneTtlMs;
      this.#holdTombstone(slot, entry, { replaced: held, dropAt });
      return STORED;
    }
    if (valueEntryBytes(entry.key, entry.value) > this.#bytesMax * ENTRY_SHARE_MAX) return FULL;
    // What callers use stays hot, whoever brings its next version.
    const isCold = options?.cold === true && held?.order !== this.#hot;
    this.#holdValue(slot, entry, {
      replaced: held,
      value: entry.value,
      order: isCold ? this.#cold : this.#hot,
    });
    return STORED;
  }

  floor(slot: Slot): number {
    return this.#floors[slot]!;
  }

  clearedVersion(slot: Slot): number {
    return this.#cleared[slot]!;
  }

  newest(slot: Slot): number {
    return this.#newest[slot]!;
  }

  raiseFloor(slot: Slot, version: number): void {
    if (version > this.#floors[slot]!) this.#floors[slot] = version;
  }

  clear(slot: Slot, version: number): number {
    const before = this.#valueCounts[slot]!;
    for (const held of this.#slots[slot]?.values() ?? []) {
      if (held.entry.version <= version) this.#remove(held);
    }
    // Both at once, so that the floor alone decides about absent keys (invariant 2).
    this.raiseFloor(slot, version);
    if (version > this.#cleared[slot]!) this.#cleared[slot] = version;
    return before - this.#valueCounts[slot]!;
  }

  *entries(slot: Slot): Generator<Entry, void> {
    for (const held of this.#slots[slot]?.values() ?? []) yield held.entry;
  }

  *heads(slot: Slot): Generator<EntryHead, void> {
    for (const held of this.#slots[slot]?.values() ?? []) yield headOf(held.entry);
  }

  count(slot: Slot): number {
    return this.#valueCounts[slot]!;
  }

  digest(slot: Slot): SlotDigest {
    return { sum: this.#digests[slot]!, count: this.#slots[slot]?.size ?? 0 };
  }

  drop(slot: Slot): void {
    for (const held of this.#slots[slot]?.values() ?? []) this.#remove(held);
    this.#floors[slot] = 0;
    this.#cleared[slot] = 0;
    this.#newest[slot] = 0;
  }

  sweep(wallMs: number, budget: number): number {
    for (let unit = 0; unit < budget; unit++) {
      const isDrop = this.#tombstones.nextDueAt <= this.#expiries.nextDueAt;
      const held = (isDrop ? this.#tombstones : this.#expiries).peek();
      if (held === undefined || held.dueAt > wallMs) break;
      if (isDrop) this.#dropTombstone(held);
      else this.#expire(held);
    }
    return Math.min(this.#tombstones.nextDueAt, this.#expiries.nextDueAt);
  }

  reserve(bytes: number): boolean {
    if (bytes > this.#bytesMax * RESERVED_SHARE_MAX) return false;
    this.#reservedBytes = bytes;
    return true;
  }

  stats(): StoreStats {
    return {
      entries: this.#hot.size + this.#cold.size,
      tombstones: this.#tombstones.size,
      bytes: this.#bytes,
      bytesMax: this.#bytesMax,
      evictionsTotal: this.#evictionsTotal,
      expirationsTotal: this.#expirationsTotal,
    };
  }

  /** Counts a read: the value is now the most recently used of the hot ones. */
  #use(held: Held, order: UseOrder<Held>): void {
    if (order === this.#hot) {
      order.use(held);
    } else {
      order.remove(held);
      this.#hot.add(held);
      held.order = this.#hot;
    }
  }

  #expire(held: Held): void {
    this.#expirationsTotal++;
    this.#holdTombstone(held.slot, held.entry, { replaced: held, dropAt: held.dueAt + this.#tombstoneTtlMs });
  }

  #holdValue(
    slot: Slot,
    entry: Entry,
    { replaced, value, order }: { replaced: Held | undefined; value: Uint8Array; order: UseOrder<Held> },
  ): void {
    const bytes = valueEntryBytes(entry.key, value);
    if (replaced !== undefined) this.#remove(replaced);
    this.#makeRoom(bytes);
    this.#hold({
      slot,
      entry: ownedEntry(entry, value),
      bytes,
      keyHash: replaced?.keyHash ?? this.#keyHash(entry.key),
      dueAt: entry.expiresAt,
      dueIndex: -1,
      order,
    });
  }

  #holdTombstone(
    slot: Slot,
    entry: Entry,
    { replaced, dropAt }: { replaced: Held | undefined; dropAt: number },
  ): void {
    if (replaced !== undefined) this.#remove(replaced);
    this.#hold({
      slot,
      entry: tombstoneOf(entry),
      bytes: tombstoneEntryBytes(entry.key),
      keyHash: replaced?.keyHash ?? this.#keyHash(entry.key),
      dueAt: dropAt,
      dueIndex: -1,
      order: undefined,
    });
    // Only now, because the new one may itself be the oldest, or larger than the whole share.
    while (this.#tombstoneBytes > this.#tombstoneBytesMax) this.#dropTombstone(this.#tombstones.peek()!);
    this.#makeRoom(0);
  }

  /** Forgets a tombstone, at its time or before: from now on the floor speaks for it (rule 2). */
  #dropTombstone(held: Held): void {
    this.#remove(held);
    this.raiseFloor(held.slot, held.entry.version);
  }

  /** Evicts values until `bytes` more fit. They leave their version as the floor (rule 3). */
  #makeRoom(bytes: number): void {
    const bytesMax = this.#bytesMax - this.#reservedBytes;
    while (this.#bytes + bytes > bytesMax || this.#hot.size + this.#cold.size >= USE_ORDER_SIZE_MAX) {
      const victim = this.#cold.peek() ?? this.#hot.peek();
      if (victim === undefined) {
        assert(this.#bytes + bytes <= this.#bytesMax, "one entry and the tombstones within the budget");
        return;
      }
      this.#remove(victim);
      this.raiseFloor(victim.slot, victim.entry.version);
      this.#evictionsTotal++;
    }
  }

  /** Enters `held` everywhere (invariant 1). Its key must be absent. */
  #hold(held: Held): void {
    const { slot, entry, order } = held;
    let keys = this.#slots[slot];
    if (keys === undefined) {
      keys = new Map();
      this.#slots[slot] = keys;
    }
    keys.set(entry.key, held);
    if (entry.version > this.#newest[slot]!) this.#newest[slot] = entry.version;
    this.#bytes += held.bytes;
    this.#digests[slot] = addToDigest(this.#digests[slot]!, entryHash(held.keyHash, entry));
    if (order === undefined) {
      this.#tombstones.add(held);
      this.#tombstoneBytes += held.bytes;
    } else {
      order.add(held);
      this.#valueCounts[slot]!++;
      if (held.dueAt !== 0) this.#expiries.add(held);
    }
  }

  /** Undoes {@link #hold}. */
  #remove(held: Held): void {
    const { slot, entry, order } = held;
    const keys = this.#slots[slot]!; // it has the key
    keys.delete(entry.key);
    if (keys.size === 0) this.#slots[slot] = undefined;
    this.#bytes -= held.bytes;
    this.#digests[slot] = subtractFromDigest(this.#digests[slot]!, entryHash(held.keyHash, entry));
    if (order === undefined) {
      this.#tombstones.remove(held);
      this.#tombstoneBytes -= held.bytes;
    } else {
      order.remove(held);
      this.#valueCounts[slot]!--;
      if (held.dueAt !== 0) this.#expiries.remove(held);
    }
  }

  #keyHash(key: string): number {
    return this.#hashes.hash32(key) | 0;
  }
}

/**
 * Checks every option and fills in the defaults.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the field and the value received
 */
function resolveLruStoreOptions(options: LruStoreOptions): Readonly<Required<LruStoreOptions>> {
  const { bytesMax, tombstoneShare = 0.05, tombstoneTtlMs = 15 * 60_000 } = options;
  if (!Number.isSafeInteger(bytesMax) || bytesMax < 1)
    throw invalidOption("bytesMax", "a safe integer from 1", bytesMax);
  if (!(tombstoneShare >= 0 && tombstoneShare <= TOMBSTONE_SHARE_MAX))
    throw invalidOption("tombstoneShare", `a number from 0 to ${TOMBSTONE_SHARE_MAX}`, tombstoneShare);
  if (!Number.isSafeInteger(tombstoneTtlMs) || tombstoneTtlMs < 1)
    throw invalidOption("tombstoneTtlMs", "a safe integer from 1", tombstoneTtlMs);
  return Object.freeze({ bytesMax, tombstoneShare, tombstoneTtlMs });
}

/** A copy that pins nothing of the caller's: exactly the value's bytes, which may be a view of a whole network frame. */
function ownedEntry(entry: Entry, value: Uint8Array): Entry {
  return {
    key: entry.key,
    version: entry.version,
    origin: entry.origin,
    expiresAt: entry.expiresAt,
    format: entry.format,
    value: new Uint8Array(value),
    opClient: entry.opClient,
    opSeq: entry.opSeq,
    opAttempt: entry.opAttempt,
  };
}

/** Keys count one byte per UTF-16 unit: right for Latin-1, half for the rest. */
function tombstoneEntryBytes(key: string): number {
  return ENTRY_OVERHEAD_BYTES + key.length;
}

function valueEntryBytes(key: string, value: Uint8Array): number {
  return ENTRY_OVERHEAD_BYTES + VALUE_OVERHEAD_BYTES + key.length + value.length;
}
