// Ghosts: the hashes of keys that were evicted soon after they came. A key that comes back while its ghost is remembered was
// evicted too early, and goes to the main queue at once (S3-FIFO, Yang et al., SOSP 2023).
//
// A table of buckets of four; each item is 32 bits: 16 of the key's hash and 16 of a clock that ticks 256 times per window.
// A full bucket forgets its oldest. Two keys may share an item: then one enters the main queue without having earned it.

import { mix32 } from "../../base/hash.ts";

const BUCKET = 4;
const TICKS_PER_WINDOW = 256;
const TICK_MASK = 0xffff;
const BYTES_PER_ITEM = 4;
const ITEMS_MIN = 64;

/** Keys evicted lately, at most as many as the window. Constant cost. */
export class Ghosts {
  #items = new Uint32Array(0);
  #window = 0;
  #remembered = 0;
  #tick = 1;

  get bytes(): number {
    return this.#items.length * BYTES_PER_ITEM;
  }

  /** What the table takes for so many entries in the store, in bytes: the budget keeps it free before it is needed. */
  static bytesFor(entries: number): number {
    return itemsFor(entries) * BYTES_PER_ITEM;
  }

  /** Remembers as many evictions as the store has entries. The table is replaced, and all is forgotten, when that doubles or falls to a quarter. */
  setWindow(entries: number): void {
    this.#window = entries;
    const items = itemsFor(entries);
    if (items <= this.#items.length && items * 4 > this.#items.length) return;
    this.#items = new Uint32Array(items);
  }

  remember(hash: number): void {
    const ticks = ++this.#remembered * TICKS_PER_WINDOW;
    if (ticks >= this.#window) {
      this.#remembered = 0;
      // 0 marks an empty item.
      this.#tick = this.#tick === TICK_MASK ? 1 : this.#tick + 1;
    }
    const mixed = mix32(hash);
    const start = this.#bucket(mixed);
    let oldest = start;
    let oldestAge = -1;
    for (let at = start; at < start + BUCKET; at++) {
      const age = this.#items[at] === 0 ? TICK_MASK + 1 : this.#age(this.#items[at]!);
      if (age > oldestAge) {
        oldest = at;
        oldestAge = age;
      }
    }
    this.#items[oldest] = ((tagOf(mixed) << 16) | this.#tick) >>> 0;
  }

  /** Whether the key was evicted lately; forgets it if so. */
  recall(hash: number): boolean {
    if (this.#items.length === 0) return false;
    const mixed = mix32(hash);
    const start = this.#bucket(mixed);
    const tag = tagOf(mixed);
    for (let at = start; at < start + BUCKET; at++) {
      const item = this.#items[at]!;
      if (item === 0 || item >>> 16 !== tag || this.#age(item) > TICKS_PER_WINDOW) continue;
      this.#items[at] = 0;
      return true;
    }
    return false;
  }

  #bucket(mixed: number): number {
    return (mixed & (this.#items.length / BUCKET - 1)) * BUCKET;
  }

  #age(item: number): number {
    return (this.#tick - (item & TICK_MASK)) & TICK_MASK;
  }
}

/** The bits of the hash that do not choose the bucket, mostly. */
function tagOf(mixed: number): number {
  return Math.imul(mixed, 0x9e3779b1) >>> 16;
}

/** The power of two at or above. */
function itemsFor(entries: number): number {
  return entries <= ITEMS_MIN ? ITEMS_MIN : 1 << (32 - Math.clz32(entries - 1));
}
