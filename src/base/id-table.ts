// Items by number, where numbers are handed out one after the other and items go in about the order in which they came: a circular array,
// and no hash. An item that stays while the numbers go round makes its successor in place skip a number, never lose its own.

/** Items that know their number. */
export interface Numbered {
  readonly id: number;
}

const SIZE_MIN = 64;

/** Numbers are unsigned 32-bit integers, above 0 until they go round. */
export class IdTable<T extends Numbered> {
  #items: (T | undefined)[] = new Array<T | undefined>(SIZE_MIN).fill(undefined);
  #mask = SIZE_MIN - 1;
  #size = 0;
  #last = 0;

  get size(): number {
    return this.#size;
  }

  /** A number that no item has. The caller adds its item before it asks for another. Amortised constant. */
  nextId(): number {
    // At most half full, so that a free place is near.
    if (2 * this.#size > this.#mask) this.#grow();
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#items[this.#last & this.#mask] !== undefined);
    return this.#last;
  }

  /** Adds an item under the number that {@link nextId} gave last. */
  add(item: T): void {
    this.#items[item.id & this.#mask] = item;
    this.#size++;
  }

  get(id: number): T | undefined {
    const item = this.#items[id & this.#mask];
    return item?.id === id ? item : undefined;
  }

  /** Returns whether it was there. */
  delete(id: number): boolean {
    if (this.get(id) === undefined) return false;
    this.#items[id & this.#mask] = undefined;
    this.#size--;
    return true;
  }

  /** All items, by number as long as numbers have not gone round. */
  values(): T[] {
    const items = this.#items.filter((item) => item !== undefined);
    return items.sort((a, b) => a.id - b.id);
  }

  clear(): void {
    this.#items.fill(undefined);
    this.#size = 0;
  }

  /** Items whose numbers differed in the old places differ in the new ones too. */
  #grow(): void {
    const before = this.#items;
    this.#mask = 2 * this.#mask + 1;
    this.#items = new Array<T | undefined>(this.#mask + 1).fill(undefined);
    for (const item of before) if (item !== undefined) this.#items[item.id & this.#mask] = item;
  }
}
