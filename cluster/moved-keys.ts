// How much of the ring a change of members moves, against the least that could move: computed from the same tables that nodes
// and clients use.

import type { MemberId } from "../src/base/ids.ts";
import { isInRing } from "../src/core/messages.ts";
import { Ring, ringParameters } from "../src/core/ring/ring.ts";
import { idealMovedShare, movedShare } from "../src/core/ring/ring-diff.ts";
import type { NodeStatus } from "../src/core/status.ts";
import { loadHashes } from "../src/io/hashes.ts";

/** Shares of all keys, 0 to 1. */
export interface MovedKeys {
  readonly moved: number;
  readonly ideal: number;
}

/** What the entry of `newcomer` into the ring of `status` moves. `status` may be from before or after the entry. */
export async function movedByJoin(status: NodeStatus, newcomer: string): Promise<MovedKeys> {
  const hashes = await loadHashes();
  const others = status.members
    .filter((member) => isInRing(member.ringState) && member.id !== newcomer)
    .map(({ id, weight, zone }) => ({ id, weight, zone }));
  const parameters = ringParameters(status.replicas);
  const member = status.members.find(({ id }) => id === newcomer);
  const joined = { id: newcomer as MemberId, weight: member?.weight ?? 1, zone: member?.zone ?? "" };
  const before = Ring.build(others, parameters, hashes);
  const after = Ring.build([...others, joined], parameters, hashes);
  return { moved: movedShare(before, after), ideal: idealMovedShare(before, after) };
}
