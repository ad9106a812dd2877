// The obvious store: a list that is searched from front to back, without a budget. What an engine holds after any sequence of
// calls must be what this one holds, as long as the engine's budget is not reached.

import type { Hashes } from "../../src/base/hash.ts";
import type { Slot } from "../../src/base/ids.ts";
import type { Entry, SlotDigest } from "../../src/core/messages.ts";
import { entryHash } from "../../src/core/store/digest.ts";
import { headOf } from "../../src/core/store/entry.ts";
import type { EntryHead, MergeResult, Store, StoreStats } from "../../src/core/store/store.ts";

interface Item {
  slot: Slot;
  entry: Entry;
  /** When a tombstone goes; unused for values. */
  dropAt: number;
}

export class ModelStore implements Store {
  #items: Item[] = [];
  #floors = new Map<Slot, number>();
  #cleared = new Map<Slot, number>();
  #expirationsTotal = 0;
  readonly #tombstoneTtlMs: number;
  readonly #hashes: Hashes;

  constructor(options: { readonly tombstoneTtlMs: number }, hashes: Hashes) {
    this.#tombstoneTtlMs = options.tombstoneTtlMs;
    this.#hashes = hashes;
  }

  peek(slot: Slot, key: string): Entry | undefined {
    return this.#items.find((item) => item.slot === slot && item.entry.key === key)?.entry;
  }

  head(slot: Slot, key: string): EntryHead | undefined {
    const entry = this.peek(slot, key);
    return entry === undefined ? undefined : headOf(entry);
  }

  get(slot: Slot, key: string, wallMs: number): Entry | undefined {
    const entry = this.peek(slot, key);
    if (entry?.value === undefined) return undefined;
    return entry.expiresAt > 0 && entry.expiresAt <= wallMs ? undefined : entry;
  }

  merge(slot: Slot, entry: Entry, wallMs: number): MergeResult {
    const held = this.peek(slot, entry.key);
    const bar = Math.max(this.floor(slot), this.clearedVersion(slot));
    if (held === undefined && entry.version <= bar) return { status: "newer", heldVersion: bar };
    if (held?.version === entry.version && held.origin === entry.origin) return { status: "stored" };
    const isNewer =
      held === undefined ||
      entry.version > held.version ||
      (entry.version === held.version && entry.origin > held.origin);
    if (!isNewer) return { status: "newer", heldVersion: held.version };

    this.#items = this.#items.filter((item) => item.slot !== slot || item.entry.key !== entry.key);
    const hasExpired = entry.value !== undefined && entry.expiresAt > 0 && entry.expiresAt <= wallMs;
    if (hasExpired) this.#items.push(this.#expired(slot, entry));
    else this.#items.push({ slot, entry, dropAt: wallMs + this.#tombstoneTtlMs });
    return { status: "stored" };
  }

  floor(slot: Slot): number {
    return this.#floors.get(slot) ?? 0;
  }

  newest(slot: Slot): number {
    const versions = this.#items.filter((item) => item.slot === slot).map(({ entry }) => entry.version);
    return Math.max(0, ...versions);
  }

  clearedVersion(slot: Slot): number {
    return this.#cleared.get(slot) ?? 0;
  }

  raiseFloor(slot: Slot, version: number): void {
    this.#floors.set(slot, Math.max(this.floor(slot), version));
  }

  clear(slot: Slot, version: number): number {
    const gone = this.#items.filter((item) => item.slot === slot && item.entry.version <= version);
    this.#items = this.#items.filter((item) => !gone.includes(item));
    this.raiseFloor(slot, version);
    this.#cleared.set(slot, Math.max(this.clearedVersion(slot), version));
    return gone.filter((item) => item.entry.value !== undefined).length;
  }

  entries(slot: Slot): Entry[] {
    return this.#items.filter((item) => item.slot === slot).map((item) => item.entry);
  }

  heads(slot: Slot): EntryHead[] {
    return this.entries(slot).map(headOf);
  }

  count(slot: Slot): number {
    return this.entries(slot).filter((entry) => entry.value !== undefined).length;
  }

  /** Summed anew from all entries, in arithmetic that cannot round. */
  digest(slot: Slot): SlotDigest {
    let sum = 0n;
    for (const entry of this.entries(slot)) {
      sum += BigInt(entryHash(this.#hashes.hash32(entry.key), entry));
    }
    return { sum: Number(sum % 2n ** 53n), count: this.entries(slot).length };
  }

  drop(slot: Slot): void {
    this.#items = this.#items.filter((item) => item.slot !== slot);
    this.#floors.delete(slot);
    this.#cleared.delete(slot);
  }

  /** Ignores the budget: does everything that is due. */
  sweep(wallMs: number): number {
    this.#items = this.#items.map((item) => {
      const { slot, entry } = item;
      if (entry.value === undefined || entry.expiresAt === 0 || entry.expiresAt > wallMs) return item;
      this.#expirationsTotal++;
      return this.#expired(slot, entry);
    });
    for (const { slot, entry, dropAt } of this.#items) {
      if (entry.value === undefined && dropAt <= wallMs) this.raiseFloor(slot, entry.version);
    }
    this.#items = this.#items.filter((item) => item.entry.value !== undefined || item.dropAt > wallMs);
    const dues = this.#items.map(({ entry, dropAt }) =>
      entry.value === undefined ? dropAt : entry.expiresAt,
    );
    return Math.min(...dues.filter((dueAt) => dueAt > 0), Number.POSITIVE_INFINITY);
  }

  /** It has no budget. */
  reserve(): boolean {
    return true;
  }

  stats(): StoreStats {
    const entries = this.#items.filter((item) => item.entry.value !== undefined).length;
    return {
      entries,
      tombstones: this.#items.length - entries,
      bytes: 0,
      bytesMax: Number.POSITIVE_INFINITY,
      evictionsTotal: 0,
      expirationsTotal: this.#expirationsTotal,
    };
  }

  #expired(slot: Slot, entry: Entry): Item {
    const tombstone: Entry = { ...entry, value: undefined, format: 0, expiresAt: 0 };
    return { slot, entry: tombstone, dropAt: entry.expiresAt + this.#tombstoneTtlMs };
  }
}
