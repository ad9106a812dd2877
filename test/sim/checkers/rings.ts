// Ring invariants as an onlooker sees them: two nodes that name the same ring id have the same members, hence the same table;
// every table has its copies on distinct members and keeps to the caps. Keeps the tables by id for the other checkers.

import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../../../src/base/ids.ts";
import { isInRing } from "../../../src/core/messages.ts";
import { Ring, type RingMember, ringParameters } from "../../../src/core/ring/ring.ts";
import type { NodeProcess } from "../node-process.ts";
import { Violation } from "../violation.ts";

export class RingRegistry {
  readonly #hashes: Hashes;
  readonly #rings = new Map<string, Ring>();
  readonly #members = new Map<string, string>();

  constructor(hashes: Hashes) {
    this.#hashes = hashes;
  }

  /** A node has changed its ring. */
  seen(node: NodeProcess): void {
    const { status } = node;
    if (status === undefined || status.ringId === "") return;
    const members: RingMember[] = status.members
      .filter(({ ringState }) => isInRing(ringState))
      .map(({ id, weight, zone }) => ({ id, weight, zone }));
    const listed = members
      .map(({ id, weight, zone }) => `${id} ${weight} ${zone}`)
      .sort()
      .join("\n");
    const known = this.#members.get(status.ringId);
    if (known === undefined) {
      const ring = Ring.build(members, ringParameters(status.replicas), this.#hashes);
      if (ring.id !== status.ringId) {
        throw new Violation("ring id", `${node.id} says ${status.ringId} for the members of ${ring.id}`);
      }
      checkTable(ring);
      this.#members.set(status.ringId, listed);
      this.#rings.set(status.ringId, ring);
    } else if (known !== listed) {
      throw new Violation("same ring id, same ring", `${status.ringId}:\n${known}\nand\n${listed}`);
    }
  }

  get(ringId: RingId | ""): Ring | undefined {
    return this.#rings.get(ringId);
  }

  /** The natural replicas of a key in a ring that some node has had. */
  replicasOf(ringId: RingId | "", key: string): readonly MemberId[] {
    return this.get(ringId)?.preferenceList(slotOfKey(key)) ?? [];
  }
}

/** Every slot has min(replicas, members) distinct members, and nobody owns more than its cap (106 % of its share, and one). */
function checkTable(ring: Ring): void {
  const copies = Math.min(ring.replicas, ring.members.length);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const list = ring.preferenceList(slot as Slot);
    if (list.length !== copies || new Set(list).size !== copies || list[0] !== ring.ownerOf(slot as Slot)) {
      throw new Violation("distinct replicas", `slot ${slot} of ring ${ring.id}: ${list.join()}`);
    }
  }
  for (const { id } of ring.members) {
    const owned = ring.slotsOwnedBy(id);
    if (owned > 1.06 * ring.idealShare(id) * SLOT_COUNT + 1) {
      throw new Violation("balanced ring", `${id} owns ${owned} slots of ring ${ring.id}`);
    }
  }
}
