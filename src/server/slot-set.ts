// A set of slots: 2 KiB, whatever is in it.

import { SLOT_COUNT, type Slot } from "../base/ids.ts";

/** See the top of the file. */
export class SlotSet {
  readonly #words = new Int32Array(SLOT_COUNT / 32);

  has(slot: Slot): boolean {
    return (this.#words[slot >> 5]! & (1 << (slot & 31))) !== 0;
  }

  add(slot: Slot): void {
    this.#words[slot >> 5]! |= 1 << (slot & 31);
  }

  addAll(): void {
    this.#words.fill(-1);
  }

  /** Adds what the other set holds. */
  addEvery(other: SlotSet): void {
    for (let index = 0; index < this.#words.length; index++) this.#words[index]! |= other.#words[index]!;
  }
}
