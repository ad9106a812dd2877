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

/** See the top of the file. Constant cost. */
export class SlotLedger {
  readonly #values = new Uint32Array(SLOT_COUNT);
  readonly #all = new Uint32Array(SLOT_COUNT);
  readonly #sums = new Float64Array(SLOT_COUNT);
  readonly #floors = new Float64Array(SLOT_COUNT);
  readonly #cleared = new Float64Array(SLOT_COUNT);
  /** At or above the version of every record of the slot. */
  readonly #newest = new Float64Array(SLOT_COUNT);
  readonly #generations = new Uint8Array(SLOT_COUNT);
  /** Generations begun since the last burial. */
  readonly #raised = new Uint8Array(SLOT_COUNT);
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
    this.#all[slot]!++;
    this.#total++;
    if (isValue) {
      this.#values[slot]!++;
      this.#valueTotal++;
    }
    if (version.version > this.#newest[slot]!) this.#newest[slot] = version.version;
    this.#sums[slot] = addToDigest(this.#sums[slot]!, entryHash(hash, version));
  }

  subtract(slot: number, hash: number, version: EntryVersion, isValue: boolean): void {
    this.#all[slot]!--;
    this.#total--;
    if (isValue) {
      this.#values[slot]!--;
      this.#valueTotal--;
    }
    this.#sums[slot] = subtractFromDigest(this.#sums[slot]!, entryHash(hash, version));
  }

  valuesIn(slot: number): number {
    return this.#values[slot]!;
  }

  allIn(slot: number): number {
    return this.#all[slot]!;
  }

  digest(slot: number): SlotDigest {
    return { sum: this.#sums[slot]!, count: this.#all[slot]! };
  }

  floor(slot: number): number {
    return this.#floors[slot]!;
  }

  raiseFloor(slot: number, version: number): void {
    if (version > this.#floors[slot]!) this.#floors[slot] = version;
  }

  cleared(slot: number): number {
    return this.#cleared[slot]!;
  }

  /** Raises the cleared version, and the floor with it: it alone decides about absent keys. */
  raiseCleared(slot: number, version: number): void {
    this.raiseFloor(slot, version);
    if (version > this.#cleared[slot]!) this.#cleared[slot] = version;
  }

  resetFloors(slot: number): void {
    this.#floors[slot] = 0;
    this.#cleared[slot] = 0;
  }

  /** At or above the version of every record of the slot. */
  newest(slot: number): number {
    return this.#newest[slot]!;
  }

  generation(slot: number): number {
    return this.#generations[slot]!;
  }

  /** Whether the slot's records can all be disowned at once. */
  canDisown(slot: number): boolean {
    return this.#raised[slot]! < GENERATIONS - 1;
  }

  /** Makes all records of the slot foreign, and its counts zero. */
  disown(slot: number): void {
    this.#generations[slot]!++;
    this.#raised[slot]!++;
    this.#total -= this.#all[slot]!;
    this.#valueTotal -= this.#values[slot]!;
    this.#all[slot] = 0;
    this.#values[slot] = 0;
    this.#sums[slot] = 0;
    this.#newest[slot] = 0;
  }

  /** Every foreign record has been buried since the last call of {@link disown}. */
  allBuried(): void {
    this.#raised.fill(0);
  }
}
