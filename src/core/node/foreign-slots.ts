// Copies of slots that moved away are kept until everybody is settled on the present ring: until then this node may be their last
// source. So they are while it joins, for it may have been in the ring before. Then they are dropped, some at a time.

import { SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Fill } from "../replication/fill.ts";
import type { SlotStates } from "../replication/slot-states.ts";
import type { Store } from "../store/store.ts";
import type { Cluster } from "./cluster.ts";

/** Slots looked at in one round of upkeep. */
const DROPS_PER_ROUND = 256;

/** What the drops work on. */
export interface ForeignSlotsParts {
  readonly cluster: Cluster;
  readonly fill: Fill;
  readonly slots: SlotStates;
  readonly store: Store;
}

/** See the top of the file. */
export class ForeignSlots {
  readonly #parts: ForeignSlotsParts;
  #cursor = SLOT_COUNT;

  constructor(parts: ForeignSlotsParts) {
    this.#parts = parts;
  }

  /** The ring changed: all slots are to be looked at. */
  restart(): void {
    this.#cursor = 0;
  }

  /** One round of drops, as soon as nobody can need them. */
  dropSome(): void {
    const { cluster, fill, slots, store } = this.#parts;
    if (this.#cursor >= SLOT_COUNT || cluster.own.ringState === "joining") return;
    if (cluster.ring === undefined || !cluster.isSettled) return;
    const end = Math.min(SLOT_COUNT, this.#cursor + DROPS_PER_ROUND);
    for (; this.#cursor < end; this.#cursor++) {
      const slot = this.#cursor as Slot;
      if (!slots.isForeign(slot) || fill.isRehearsed(slot)) continue;
      slots.releaseFormer(slot);
      store.drop(slot);
    }
  }
}
