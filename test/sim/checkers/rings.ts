// Ring invariants as an onlooker sees them: two nodes that name the same ring id have the same members, hence the same table.
// Keeps the tables by id for the other checkers.

import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId, RingId } from "../../../src/base/ids.ts";
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
