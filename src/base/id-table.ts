// Items by number, where numbers are handed out one after the other and items go in about the order in which they came: a circular array,
// and no hash. An item that stays while the numbers go round makes its successor in place skip a number, never lose its own. One item may
// have several numbers.

const SIZE_MIN = 64;

/** Numbers are unsigned 32-bit integers, above 0 until they go round. */
export class IdTable<T> {
  #items: (T | undefined)[] = new Array<T | undefined>(SIZE_MIN).fill(undefined);
  /** The number of the item in each place; what is left of one that went away means nothing. */
  #ids = new Uint32Array(SIZE_MIN);
  #mask = SIZE_MIN - 1;
  #size = 0;
  #last = 0;

  /** Numbers in use. */
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
  add(id: number, item: T): void {
    const place = id & this.#mask;
    this.#items[place] = item;
    this.#ids[place] = id;
    this.#size++;
  }

  get(id: number): T | undefined {
    const place = id & this.#mask;
    return this.#ids[place] === id ? this.#items[place] : undefined;
  }

  /** Puts an item in the place of the one that has the number. Does nothing when there is none. */
  replace(id: number, item: T): void {
    if (this.get(id) !== undefined) this.#items[id & this.#mask] = item;
  }

  /** Returns whether it was there. */
  delete(id: number): boolean {
    if (this.get(id) === undefined) return false;
    this.#items[id & this.#mask] = undefined;
    this.#size--;
    return true;
  }

  /** Numbers in use, ascending as long as they have not gone round. */
  ids(): number[] {
    const ids = [];
    for (const [place, item] of this.#items.entries()) if (item !== undefined) ids.push(this.#ids[place]!);
    return ids.sort((a, b) => a - b);
  }

  /** All items, by number as {@link ids}. */
  values(): T[] {
    return this.ids().map((id) => this.get(id)!);
  }

  clear(): void {
    this.#items.fill(undefined);
    this.#size = 0;
  }

  /** Items whose numbers differed in the old places differ in the new ones too. */
  #grow(): void {
    const items = this.#items;
    const ids = this.#ids;
    this.#mask = 2 * this.#mask + 1;
    this.#items = new Array<T | undefined>(this.#mask + 1).fill(undefined);
    this.#ids = new Uint32Array(this.#mask + 1);
    this.#size = 0;
    for (const [place, item] of items.entries()) if (item !== undefined) this.add(ids[place]!, item);
  }
}
