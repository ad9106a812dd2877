// What the replication layer needs from a store of entries. Two engines stand behind it: the lru-cache engine (objects on the
// JavaScript heap: slow, obviously right, the model that others are compared with) and the off-heap one, which nodes use.
//
// Rules every engine keeps:
// 1. A key has at most one entry: a value or a tombstone. The newest by (version, origin) wins, whatever the order of arrival.
// 2. Dropping a tombstone before its time, or at it, raises the slot's floor to its version; an older version of a key that is
//    absent is then refused. So a late hint or a returning replica cannot bring a deleted value back.
// 3. Evicting a value for space leaves no tombstone, and raises the slot's floor as well: another replica may have missed it and hold
//    the value before, which would come back as soon as it is the newest there is.
// 4. An expired entry is a miss from its instant on. It is kept as a tombstone (without its bytes), because it too has
//    versions to win against.
// 5. Bytes, tombstones included, stay within the budget; tombstones within their share of it.
// 6. The store owns its bytes: it copies what it is given, and what it hands out stays as it is for as long as somebody holds it,
//    whatever happens to the store.

import type { Slot } from "../../base/ids.ts";
import type { Entry, SlotDigest } from "../messages.ts";

/** The most of the budget that {@link Store.reserve} leaves to others. */
export const RESERVED_SHARE_MAX = 0.25;

/** The outcome of {@link Store.merge}. */
export type MergeResult =
  /** Held now; also when exactly this version was held already. */
  | { readonly status: "stored" }
  /** Something newer is held, or the slot's floor or cleared version forbids it: `heldVersion` says how new. */
  | { readonly status: "newer"; readonly heldVersion: number }
  /** The entry alone is larger than the store's budget allows. */
  | { readonly status: "full" };

export interface StoreStats {
  /** Live values (expired ones not yet noticed included). */
  readonly entries: number;
  readonly tombstones: number;
  /** Bytes accounted for: keys, values, per-entry overhead. */
  readonly bytes: number;
  readonly bytesMax: number;
  readonly evictionsTotal: number;
  readonly expirationsTotal: number;
}

/** An entry without its bytes: what can be told at a cost that does not grow with the value. */
export interface EntryHead extends Omit<Entry, "value"> {
  /** Length of the value in bytes; `undefined` for a tombstone. */
  readonly size: number | undefined;
}

/** Who wants to know what changes in a store, so that what was read from it can be taken back. Called within the store's calls: it must not use the store. */
export interface StoreWatch {
  /** Whether anybody watches the slot. Asked before anything is told of it, once for each change. */
  watches(slot: Slot): boolean;
  /** The entry is held now, in place of whatever was. */
  changed(slot: Slot, entry: Entry): void;
  /** The value under the key expired or was evicted. */
  gone(slot: Slot, key: string): void;
  /** All of the slot up to some version was removed. */
  cleared(slot: Slot): void;
}

/** Nobody watches. */
export const NO_WATCH: StoreWatch = Object.freeze({
  watches: () => false,
  changed: () => {},
  gone: () => {},
  cleared: () => {},
});

export interface Store {
  /** The entry held under `key`, be it a value, an expired value or a tombstone. Does not count as a use. */
  peek(slot: Slot, key: string): Entry | undefined;
  /** What {@link Store.peek} answers, without the bytes. */
  head(slot: Slot, key: string): EntryHead | undefined;
  /** The live value under `key`: not a tombstone, not expired at `wallMs`. Counts as a use for eviction. */
  get(slot: Slot, key: string, wallMs: number): Entry | undefined;
  /** Takes back a value that {@link Store.get} answered and nobody holds any more: its memory may serve for the next one. Never needed. */
  giveBack?(value: Uint8Array): void;
  /**
   * Keeps `entry` if it is newer than what is held. `cold` inserts it where it is evicted first (transfers and repair must
   * not push out what callers use).
   */
  merge(slot: Slot, entry: Entry, wallMs: number, options?: { readonly cold?: boolean }): MergeResult;
  /** The highest version that an absent key of the slot may not be at or below; 0 for none. */
  floor(slot: Slot): number;
  /** Everything of the slot up to this version has been cleared; 0 for none. */
  clearedVersion(slot: Slot): number;
  /** At or above the version of everything the slot holds; 0 when it never held anything. Constant cost. */
  newest(slot: Slot): number;
  /** Raises the floor; lower values do nothing. */
  raiseFloor(slot: Slot, version: number): void;
  /** Removes everything of the slot up to `version`, raises the floor to it and remembers it as cleared. Returns how many live values went. */
  clear(slot: Slot, version: number): number;
  /** Every entry of the slot, tombstones included, in no particular order; cost proportional to the slot. Not to be interleaved with changes. */
  entries(slot: Slot): Iterable<Entry>;
  /** What {@link Store.entries} yields, without the bytes. */
  heads(slot: Slot): Iterable<EntryHead>;
  /** Live values in the slot. */
  count(slot: Slot): number;
  /** Order-free digest of the slot's (key, version, origin), tombstones included. Constant cost. */
  digest(slot: Slot): SlotDigest;
  /** Forgets the slot altogether, floors included: this node is no replica of it any more. */
  drop(slot: Slot): void;
  /** Does at most `budget` units of upkeep: turns expired values into tombstones, drops old tombstones. Returns when it next has work (wall ms; never later than something falls due, but for engines that rest between two looks), `Infinity` for none. */
  sweep(wallMs: number, budget: number): number;
  /**
   * Leaves `bytes` of the budget to what the node keeps beside its entries, instead of what it left before; the writes that follow
   * make the room. Returns false, and changes nothing, for more than {@link RESERVED_SHARE_MAX} of the budget.
   */
  reserve(bytes: number): boolean;
  stats(): StoreStats;
}
