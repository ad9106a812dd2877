// What the off-heap store knows of each slot beside its records: how many there are, their digest, floor and cleared version, and
// the generation that tells records of today from those of a slot that was dropped. A slot with many records is dropped by
// raising its generation; the records are buried later, when somebody walks over them.
//
// Invariant: a generation is not used again before every record of its last use is buried. Generations have 8 bits, so a slot
// can be dropped that way 255 times between two burials; then its records are removed one by one.

import { SLOT_COUNT } from "../../base/ids.ts";
import type { SlotDigest } from "../messages.ts";
import { addToDigest, entryHash, subtractFromDigest } from "./digest.ts";
import type { EntryVersion } from "./entry.ts";

const GENERATIONS = 256;

/** A slot's numbers lie side by side, in one line of the processor's cache: a write needs most of them. */
const STRIDE = 8;
const SUM = 0;
const ALL = 1;
const VALUES = 2;
const FLOOR = 3;
const CLEARED = 4;
/** At or above the version of every record of the slot. */
const NEWEST = 5;
/** Generations begun since the last burial. */
const RAISED = 6;

/** See the top of the file. Constant cost. */
export class SlotLedger {
  readonly #slots = new Float64Array(SLOT_COUNT * STRIDE);
  /** Apart from the rest: every read looks at it, and these few bytes stay in the processor's cache. */
  readonly #generations = new Uint8Array(SLOT_COUNT);
  #valueTotal = 0;
  #total = 0;

  /** Values of all slots. */
  get values(): number {
    return this.#valueTotal;
  }

  /** Values and tombstones of all slots. */
  get total(): number {
    return this.#total;
  }

  add(slot: number, hash: number, version: EntryVersion, isValue: boolean): void {
    const slots = this.#slots;
    const at = slot * STRIDE;
    slots[at + SUM] = addToDigest(slots[at + SUM]!, entryHash(hash, version));
    slots[at + ALL]!++;
    this.#total++;
    if (isValue) {
      slots[at + VALUES]!++;
      this.#valueTotal++;
    }
    if (version.version > slots[at + NEWEST]!) slots[at + NEWEST] = version.version;
  }

  subtract(slot: number, hash: number, version: EntryVersion, isValue: boolean): void {
    const slots = this.#slots;
    const at = slot * STRIDE;
    slots[at + SUM] = subtractFromDigest(slots[at + SUM]!, entryHash(hash, version));
    slots[at + ALL]!--;
    this.#total--;
    if (isValue) {
      slots[at + VALUES]!--;
      this.#valueTotal--;
    }
  }

  valuesIn(slot: number): number {
    return this.#slots[slot * STRIDE + VALUES]!;
  }

  allIn(slot: number): number {
    return this.#slots[slot * STRIDE + ALL]!;
  }

  digest(slot: number): SlotDigest {
    return { sum: this.#slots[slot * STRIDE + SUM]!, count: this.allIn(slot) };
  }

  floor(slot: number): number {
    return this.#slots[slot * STRIDE + FLOOR]!;
  }

  raiseFloor(slot: number, version: number): void {
    if (version > this.floor(slot)) this.#slots[slot * STRIDE + FLOOR] = version;
  }

  cleared(slot: number): number {
    return this.#slots[slot * STRIDE + CLEARED]!;
  }

  /** Raises the cleared version, and the floor with it: it alone decides about absent keys. */
  raiseCleared(slot: number, version: number): void {
    this.raiseFloor(slot, version);
    if (version > this.cleared(slot)) this.#slots[slot * STRIDE + CLEARED] = version;
  }

  resetFloors(slot: number): void {
    this.#slots[slot * STRIDE + FLOOR] = 0;
    this.#slots[slot * STRIDE + CLEARED] = 0;
  }

  /** At or above the version of every record of the slot. */
  newest(slot: number): number {
    return this.#slots[slot * STRIDE + NEWEST]!;
  }

  /** From 0 to 255. */
  generation(slot: number): number {
    return this.#generations[slot]!;
  }

  /** Whether the slot's records can all be disowned at once. */
  canDisown(slot: number): boolean {
    return this.#slots[slot * STRIDE + RAISED]! < GENERATIONS - 1;
  }

  /** Makes all records of the slot foreign, and its counts zero. */
  disown(slot: number): void {
    const slots = this.#slots;
    const at = slot * STRIDE;
    this.#total -= slots[at + ALL]!;
    this.#valueTotal -= slots[at + VALUES]!;
    slots[at + SUM] = 0;
    slots[at + ALL] = 0;
    slots[at + VALUES] = 0;
    slots[at + NEWEST] = 0;
    this.#generations[slot]!++;
    slots[at + RAISED]!++;
  }

  /** Every foreign record has been buried since the last call of {@link disown}. */
  allBuried(): void {
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.#slots[slot * STRIDE + RAISED] = 0;
  }
}
