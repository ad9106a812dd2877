// A walk over all slots, one question at a time: which node to ask next, about which slots, and what its answer leaves to be asked. Pure:
// whoever walks makes the calls and keeps the time.
//
// What was acknowledged may be missing on one replica of three for a while. So a slot is asked of its first replica, which knows whether it may
// answer alone (as for reads of mode `one`, and in touch with all the others); where that one cannot be asked or may not, of N - W + 1
// replicas that count, one of which has whatever was acknowledged. Then a key may come twice. What was acknowledged since a cut that the
// first replica has not noticed yet may be missed.

import { batchesOf } from "../base/batches.ts";
import { SLOT_COUNT, type Slot } from "../base/ids.ts";
import { sourcesNeeded } from "../core/replication/cluster-view.ts";
import { SLOTS_MAX } from "../wire/limits.ts";
import type { ClientCore } from "./client-core.ts";

/** Slots to be asked of one node. */
export interface SlotBatch {
  readonly address: string;
  /** Ascending, at most 1,024. */
  readonly slots: readonly Slot[];
}

/** The next question of a walk: its batch, of which the first slot is begun after a key ("" for none). */
export interface SlotQuestion extends SlotBatch {
  readonly after: string;
  /** Whether nobody else is asked about these slots. */
  readonly isAlone: boolean;
}

/** What planning needs to know of a client's core. */
export type SlotRouting = Pick<ClientCore, "view" | "isConnected" | "connected">;

/** Every slot, ascending. */
export function allSlots(): Slot[] {
  return Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);
}

/** See the top of the file. Ends when there is no question left. Bounded by the replicas of all slots. */
export class SlotWalk {
  readonly #routing: SlotRouting;
  readonly #avoided = new Set<string>();
  #batches: (SlotBatch & { readonly isAlone: boolean })[];
  /** Of slots that several are asked about: who has been, or will be. */
  readonly #chosen = new Map<Slot, Set<string>>();
  #after = "";

  constructor(routing: SlotRouting) {
    this.#routing = routing;
    this.#batches = planSlots(routing, allSlots(), this.#avoided).map((batch) => ({
      ...batch,
      isAlone: true,
    }));
  }

  /** What is to be asked next; `undefined` at the end. */
  get question(): SlotQuestion | undefined {
    const batch = this.#batches[0];
    return batch === undefined ? undefined : { ...batch, after: this.#after };
  }

  /** The first `slotsDone` slots of the question are done, and the next one up to the key `after`. */
  answered({ slotsDone, after }: { readonly slotsDone: number; readonly after: string }): void {
    const batch = this.#batches.shift();
    if (batch === undefined) return;
    this.#after = after;
    if (slotsDone < batch.slots.length)
      this.#batches.unshift({ ...batch, slots: batch.slots.slice(slotsDone) });
  }

  /** The node could not answer, or may not alone: enough others are asked. The slot that is half done begins anew. */
  failed(): void {
    const batch = this.#batches.shift();
    if (batch === undefined) return;
    this.#after = "";
    this.#avoided.add(batch.address);
    for (const slot of batch.slots) this.#chosen.get(slot)?.delete(batch.address);
    const rounds = Math.max(1, ...batch.slots.map((slot) => this.#needed(slot)));
    for (let round = 0; round < rounds; round++) {
      const open = batch.slots.filter((slot) => (this.#chosen.get(slot)?.size ?? 0) < this.#needed(slot));
      const batches = slotBatches(open, (slot) => this.#choose(slot));
      this.#batches.unshift(...batches.map((each) => ({ ...each, isAlone: false })));
    }
  }

  /** One is asked, in vain, also where no replica is known. */
  #needed(slot: Slot): number {
    return Math.max(1, sourcesNeeded(this.#routing.view.preferenceList(slot).length));
  }

  /** A further replica. When there is none that can be asked, whoever is asked in vain says so. */
  #choose(slot: Slot): string {
    const chosen = this.#chosen.get(slot) ?? new Set();
    this.#chosen.set(slot, chosen);
    const address = chooseAddress(
      this.#routing,
      this.#routing.view.preferenceList(slot),
      this.#avoided,
      chosen,
    );
    chosen.add(address);
    return address;
  }
}

/**
 * Which node to ask about which slots: for each slot the first of its replicas that is connected, not avoided and filled, as far as
 * there is one. The batches are in the order of their first slots.
 */
export function planSlots(
  routing: SlotRouting,
  slots: readonly Slot[],
  avoided: ReadonlySet<string>,
): readonly SlotBatch[] {
  // Equal preference lists are one array, so there are few to choose for.
  const chosen = new Map<readonly string[], string>();
  return slotBatches(slots, (slot) => {
    const list = routing.view.preferenceList(slot);
    const address = chosen.get(list) ?? chooseAddress(routing, list, avoided, NOBODY);
    chosen.set(list, address);
    return address;
  });
}

const NOBODY: ReadonlySet<string> = new Set();

function slotBatches(slots: readonly Slot[], addressOf: (slot: Slot) => string): readonly SlotBatch[] {
  return batchesOf(slots, addressOf, SLOTS_MAX).map(({ to, items }) => ({ address: to, slots: items }));
}

function chooseAddress(
  routing: SlotRouting,
  list: ReturnType<SlotRouting["view"]["preferenceList"]>,
  avoided: ReadonlySet<string>,
  except: ReadonlySet<string>,
): string {
  const members = list
    .flatMap((id) => routing.view.member(id) ?? [])
    .filter(({ address }) => !except.has(address));
  const connected = members.filter(({ address }) => routing.isConnected(address));
  const fresh = connected.filter(({ address }) => !avoided.has(address));
  return (
    fresh.find(({ ringState }) => ringState !== "warming")?.address ??
    fresh[0]?.address ??
    connected[0]?.address ??
    members[0]?.address ??
    routing.connected[0] ??
    ""
  );
}
