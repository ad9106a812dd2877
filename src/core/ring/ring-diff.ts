// What changes from one ring to the next: which slots a member must fetch or may drop, and how much data moves in all
// against the least that could.

import { type MemberId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Ring } from "./ring.ts";

/** Slots of which one member gains or loses its copy; both ascending. */
export interface RingDiff {
  readonly gained: readonly Slot[];
  readonly lost: readonly Slot[];
}

/** Compares a member's slots in two rings; without a `from`, all its slots are gained. */
export function ringDiff(from: Ring | undefined, to: Ring, member: MemberId): RingDiff {
  const gained = to.replicaSlots(member).filter((slot) => !(from?.isReplica(slot, member) ?? false));
  const lost = (from?.replicaSlots(member) ?? []).filter((slot) => !to.isReplica(slot, member));
  return { gained, lost };
}

/** The part of all slots that change their owner, 0 to 1. */
export function movedShare(from: Ring, to: Ring): number {
  let moved = 0;
  for (const slot of allSlots()) if (from.ownerOf(slot) !== to.ownerOf(slot)) moved++;
  return moved / SLOT_COUNT;
}

/** The least {@link movedShare} that could be: what the members whose share grows are entitled to more than before. */
export function idealMovedShare(from: Ring, to: Ring): number {
  return to.members.reduce((sum, { id }) => sum + Math.max(0, to.idealShare(id) - from.idealShare(id)), 0);
}

/** The part of all copies in `to` that are at a member which had none of that slot in `from`, 0 to 1: what is transferred. */
export function movedCopiesShare(from: Ring, to: Ring): number {
  let moved = 0;
  for (const slot of allSlots()) {
    for (const id of to.preferenceList(slot)) if (!from.isReplica(slot, id)) moved++;
  }
  return moved / (SLOT_COUNT * copiesOf(to));
}

/** The least {@link movedCopiesShare} that could be. */
export function idealMovedCopiesShare(from: Ring, to: Ring): number {
  const copies = (ring: Ring, id: MemberId): number => ring.idealShare(id) * copiesOf(ring);
  const gained = to.members.reduce((sum, { id }) => sum + Math.max(0, copies(to, id) - copies(from, id)), 0);
  return gained / copiesOf(to);
}

function copiesOf(ring: Ring): number {
  return Math.min(ring.replicas, ring.members.length);
}

function* allSlots(): Generator<Slot> {
  for (let slot = 0; slot < SLOT_COUNT; slot++) yield slot as Slot;
}
