// The order in which values were last used, kept by lru-cache. It is used for order alone: its ttl and its own size limit stay
// out of play, because the first reads clocks and the second cannot share one byte budget between two orders and the tombstones.

import { LRUCache } from "lru-cache";

/** A JavaScript Map, which lru-cache builds on, throws at 2^24 keys; the store evicts before it gets there. */
export const USE_ORDER_SIZE_MAX = 2 ** 24 - 1;

/** Items from the least to the most recently used, each at most once, compared by identity. All calls have constant cost. */
export class UseOrder<T extends object> {
  #cache = emptyCache<T>();

  get size(): number {
    return this.#cache.size;
  }

  /** Adds an item as the most recently used. The caller keeps the size within {@link USE_ORDER_SIZE_MAX}. */
  add(item: T): void {
    this.#cache.set(item, item);
  }

  /** Makes a present item the most recently used. */
  use(item: T): void {
    this.#cache.get(item);
  }

  remove(item: T): void {
    // To delete its last key, lru-cache clears arrays that are as long as it ever was. A new cache costs a microsecond.
    if (this.#cache.size === 1 && this.#cache.has(item)) this.#cache = emptyCache();
    else this.#cache.delete(item);
  }

  /** The least recently used item, left in place. */
  peek(): T | undefined {
    return this.#cache.rkeys().next().value ?? undefined;
  }
}

function emptyCache<T extends object>(): LRUCache<T, T> {
  // Every item counts one. `max` would say the same, but allocates for that many at once.
  return new LRUCache<T, T>({ maxSize: USE_ORDER_SIZE_MAX, sizeCalculation: () => 1 });
}
