// A queue of things that fall due: a binary min-heap in which every item knows its place, so that an item can leave before its
// time at logarithmic cost. An overwritten or evicted entry therefore takes its deadline with it: the queue never holds more
// than the store does, however often keys are overwritten. (With the plain heap of base/ stale deadlines would stay until they
// are due, and an hour's ttl under steady overwriting would keep an hour of them.)
//
// Invariant: items[i].dueIndex === i for every item queued here, and no item is in two queues.

import { assert } from "../../base/assert.ts";

/** What can be queued. Both fields belong to the queue from {@link DueQueue.add} until the item has left. */
export interface Due {
  /** Wall time in ms. Not to be changed while queued. */
  readonly dueAt: number;
  /** Place in the queue's array; -1 outside. Only the queue writes it. */
  dueIndex: number;
}

/** An indexed min-heap by `dueAt`. Items due at the same instant leave in an order fixed by the sequence of calls. */
export class DueQueue<T extends Due> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The item due first, left in place. */
  peek(): T | undefined {
    return this.#items[0];
  }

  /** When the first item is due; `Infinity` when the queue is empty. */
  get nextDueAt(): number {
    return this.#items[0]?.dueAt ?? Number.POSITIVE_INFINITY;
  }

  /** Logarithmic cost; constant when the item is due last. */
  add(item: T): void {
    assert(item.dueIndex === -1, "an item that is not queued");
    this.#items.push(item);
    this.#rise(this.#items.length - 1, item);
  }

  /** Logarithmic cost. */
  remove(item: T): void {
    const index = item.dueIndex;
    assert(this.#items[index] === item, "an item of this queue");
    const last = this.#items.pop()!; // not empty: it holds the item
    item.dueIndex = -1;
    if (last === item) return;
    // The last item fills the gap; it may belong above it or below it.
    if (this.#rise(index, last) === index) this.#sink(index, last);
  }

  /** Puts `item` at `index` or, while it is due earlier, in its parent's place. Returns where it ended. */
  #rise(start: number, item: T): number {
    const items = this.#items;
    let index = start;
    while (index > 0) {
      const parent = items[(index - 1) >> 1]!;
      if (parent.dueAt <= item.dueAt) break;
      this.#put(index, parent);
      index = (index - 1) >> 1;
    }
    this.#put(index, item);
    return index;
  }

  #sink(start: number, item: T): void {
    const items = this.#items;
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.dueAt < items[child]!.dueAt) child++;
      if (item.dueAt <= items[child]!.dueAt) break;
      this.#put(index, items[child]!);
      index = child;
    }
    this.#put(index, item);
  }

  #put(index: number, item: T): void {
    this.#items[index] = item;
    item.dueIndex = index;
  }
}
