// The ring in Redis Cluster's words: every member is a master of the slots that it owns. Slots of members whose door is not known (they
// have none, or it was not told yet) are shown as this node's, which forwards; so the map is always whole, and it follows the ring by
// itself because it is made from it.

import { createHash } from "node:crypto";
import { parseAddress } from "../../base/address.ts";
import { type MemberId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { ClusterView } from "../../core/replication/cluster-view.ts";
import type { Ring } from "../../core/ring/ring.ts";

/** A member as Redis clients see it. */
export interface MapNode {
  readonly member: MemberId;
  /** 40 hex digits, made from the member's id: the same on every node. */
  readonly nodeId: string;
  readonly host: string;
  readonly port: number;
  /** First and last slots, ascending. */
  readonly ranges: readonly (readonly [number, number])[];
}

/** See the top of the file. */
export class ClusterMap {
  readonly #view: ClusterView;
  readonly #self: { readonly host: string; readonly port: number };
  readonly #doors = new Map<MemberId, { readonly host: string; readonly port: number }>();
  #made:
    | { readonly ring: Ring | undefined; readonly key: string; readonly nodes: readonly MapNode[] }
    | undefined;
  #doorsVersion = 0;
  /** Counts the maps made: what CLUSTER INFO calls the epoch. */
  #epoch = 0;

  /** @param self Where Redis clients reach this node. */
  constructor(view: ClusterView, self: { readonly host: string; readonly port: number }) {
    this.#view = view;
    this.#self = self;
  }

  /** A member told where its door is; "" when it has none. Addresses that are none are taken for "". */
  setDoor(member: MemberId, address: string): void {
    const parsed = address === "" ? undefined : parseAddress(address);
    if (parsed === undefined) this.#doors.delete(member);
    else this.#doors.set(member, parsed);
    this.#doorsVersion++;
  }

  get epoch(): number {
    this.nodes();
    return this.#epoch;
  }

  /** Members that can be shown, this node first. Those that cannot be reached now are left out, and their slots are this node's. */
  nodes(): readonly MapNode[] {
    const { ring } = this.#view;
    const shown = (ring?.members ?? [])
      .map(({ id }) => id)
      .filter((id) => id === this.#view.self || (this.#doors.has(id) && this.#view.isUsable(id)));
    const key = `${this.#doorsVersion}:${shown.join()}`;
    if (this.#made === undefined || this.#made.ring !== ring || this.#made.key !== key) {
      this.#epoch++;
      this.#made = { ring, key, nodes: this.#make(ring, new Set(shown)) };
    }
    return this.#made.nodes;
  }

  /** The slots that the map shows as this node's, ascending. */
  ownSlots(): readonly Slot[] {
    const own = this.nodes().find(({ member }) => member === this.#view.self);
    const slots: Slot[] = [];
    for (const [first, last] of own?.ranges ?? []) {
      for (let slot = first; slot <= last; slot++) slots.push(slot as Slot);
    }
    return slots;
  }

  #make(ring: Ring | undefined, shown: ReadonlySet<MemberId>): readonly MapNode[] {
    const { self } = this.#view;
    const ranges = new Map<MemberId, [number, number][]>([[self, []]]);
    let last: { member: MemberId; range: [number, number] } | undefined;
    for (let slot = 0; slot < SLOT_COUNT && ring !== undefined; slot++) {
      // The first of its replicas that has a door is the one that answers soonest.
      const member = ring.preferenceList(slot as Slot).find((id) => shown.has(id)) ?? self;
      if (last?.member === member) {
        last.range[1] = slot;
        continue;
      }
      last = { member, range: [slot, slot] };
      const own = ranges.get(member);
      if (own === undefined) ranges.set(member, [last.range]);
      else own.push(last.range);
    }
    return [...ranges].map(([member, slots]) => {
      const { host, port } = member === self ? this.#self : this.#doors.get(member)!;
      return { member, nodeId: nodeIdOf(member), host, port, ranges: slots };
    });
  }
}

/** 40 hex digits that stand for a member. */
export function nodeIdOf(member: MemberId): string {
  return createHash("sha1").update(`ringhold:${member}`).digest("hex");
}
