// When the ring changes, and for whom: one planned change at a time, rehearsed by all, enacted in one step.
//
//   planned ----> rehearsed by everybody ----> enacted by the arbiter ----> settled by everybody ----> the next one
//
// The plan follows from the member records alone, so all members have the same: who asked to leave and lives or was condemned goes, who
// asked for another weight or zone gets it, who waits to join comes, at most as many as are there already (any number while there are fewer than copies: a young cluster becomes
// whole at once), and nobody while a member is dead and may come back: a slot with a dead replica and a new one has no majority. Everybody who will be in the planned ring copies what it would gain
// there and says so in its record; writes go to it as well meanwhile. When all have, and all are settled on the present ring, the
// arbiter (the lowest id alive in the ring) writes the new states of all those members in one message: everybody goes from one ring
// to the next, without rings in between. A change is safe whenever it happens (replication/slot-states.ts says why); the order is
// kept because two changes at once can leave slots without enough counted replicas to serve. Two arbiters that disagree (a
// partition) can at worst make two changes: that costs availability for a moment, never data.
//
// Evictions alone do not wait for members that fill their slots, those of a start or those of the present ring: they may wait for the evicted.
// (Whom they copy from is not changed by the next ring: replication/fill.ts.) Every change waits for members that are
// dead and stay until they know the present ring, or go: whoever missed a ring would count for slots that it lost there, if the
// next one gave them back.
//
//   joining --enacted--> warming --all slots count--> active --leave asked--> leaving --enacted--> left
//                                                     active --dead for long--> condemned --enacted--> evicted
//
// A joiner whose rehearsal gets nowhere withdraws, and comes back later (change-patience.ts).
// A restart is no ring change: the node comes back as `warming` at once.

import { compareIds, type MemberId, type RingId } from "../base/ids.ts";
import { isInRing, type MemberRecord, type Place, placed, type RingState, wantedPlace } from "./messages.ts";
import { RING_MEMBERS_MAX } from "./ring/ring.ts";

/** What becomes of one member. */
export interface RingStateChange {
  readonly id: MemberId;
  /** The present one when only its place changes. */
  readonly ringState: RingState;
  readonly place?: Place;
}

/** A change of the ring. */
export interface RingPlan {
  /** Who will be in the ring, with the weights and zones that they will have. */
  readonly members: readonly MemberRecord[];
  readonly changes: readonly RingStateChange[];
}

/** What a decision needs to see. */
export interface RingChangeView {
  readonly self: MemberRecord;
  readonly records: readonly MemberRecord[];
  readonly ringId: RingId | "";
  readonly plan: RingPlan | undefined;
  /** The ring that the plan makes; "" without one. */
  readonly plannedRingId: RingId | "";
  /** Whether all slots of this node count. */
  readonly isFilled: boolean;
  /** Whether the member answers now: a cut may be too young for suspicions. True for this node itself. */
  isReachable(member: MemberId): boolean;
}

/** The change that the records ask for; `undefined` when they ask for none. `replicas`: copies wanted of each key. */
export function planOf(records: readonly MemberRecord[], replicas: number): RingPlan | undefined {
  const staying = records.filter(isStaying);
  const leaving = records.filter((record) => isInRing(record.ringState) && !isStaying(record));
  // A member that fills its slots may wait for one of those that are gone: they go first, and alone.
  const isFilling = staying.some(({ ringState }) => ringState === "warming");
  const isAnyGone = leaving.some(({ liveness }) => liveness === "dead");
  const isWhole = staying.every(({ liveness }) => liveness !== "dead") && !(isFilling && isAnyGone);
  // Whoever finds no room waits.
  const room = Math.max(0, RING_MEMBERS_MAX - staying.length);
  const joining = records
    .filter(({ ringState, liveness }) => isWhole && ringState === "joining" && liveness === "alive")
    .sort((a, b) => compareIds(a.id, b.id))
    .slice(0, staying.length < replicas ? room : Math.min(room, staying.length));
  const moving = isWhole ? staying.flatMap(moveOf) : [];
  if (leaving.length + joining.length + moving.length === 0) return undefined;
  const members = [...staying, ...joining].map((record) => {
    const place = moving.find(({ id }) => id === record.id)?.place;
    return place === undefined ? record : placed(record, place);
  });
  // When all who live leave, the lowest id of them stays until it is alone: there is no ring of nobody, nor of the dead.
  const last = members.every(({ liveness }) => liveness === "dead") ? lowestAlive(leaving) : undefined;
  if (last !== undefined) members.push(last);
  if (members.length === 0) return undefined;
  const changes: RingStateChange[] = [
    ...moving,
    ...joining.map(({ id }): RingStateChange => ({ id, ringState: "warming" })),
  ];
  for (const { id, liveness } of leaving) {
    if (id !== last?.id) changes.push({ id, ringState: liveness === "dead" ? "evicted" : "left" });
  }
  return changes.length === 0 ? undefined : { members, changes };
}

/** What this node is to become by itself, if anything. */
export function ownNextState({ self, records, ringId, isFilled }: RingChangeView): RingState | undefined {
  if (self.ringState === "warming" && isFilled && ringId !== "") return "active";
  // The last one has nobody to hand over to.
  const isAlone = records.every(({ id, ringState }) => id === self.id || !isInRing(ringState));
  return self.ringState === "leaving" && isAlone ? "left" : undefined;
}

/** What this node is to enact now as the arbiter; empty when it is not the one, or not all is ready. */
export function changesToEnact(view: RingChangeView): readonly RingStateChange[] {
  const { self, records, ringId, plan, plannedRingId, isReachable } = view;
  if (plan === undefined || ringId === "" || arbiterOf(records) !== self.id) return [];
  // Who is dead and stays may be back in time: it must not have missed a whole ring, in which slots were not its own.
  const concerned = records.filter(
    (record) => isInRing(record.ringState) && (record.liveness !== "dead" || isStaying(record)),
  );
  // Whoever fills its slots may wait for the very members that are to be evicted, and never be settled.
  const isEviction = plan.changes.every(({ ringState }) => ringState === "evicted");
  const isSettled = concerned.every(
    ({ settledRingId, ringState, liveness }) =>
      settledRingId === ringId || (isEviction && (ringState === "warming" || liveness !== "dead")),
  );
  const isRehearsed = plan.members.every(
    ({ liveness, preparedRingId }) => liveness === "dead" || preparedRingId === plannedRingId,
  );
  return isSettled && isRehearsed && hasMajority(records, isReachable) ? plan.changes : [];
}

/** Whether a majority of the ring is alive and answers. */
export function hasMajority(
  records: readonly MemberRecord[],
  isReachable: (member: MemberId) => boolean,
): boolean {
  const ring = records.filter(({ ringState }) => isInRing(ringState));
  const answering = ring.filter(({ id, liveness }) => liveness !== "dead" && isReachable(id));
  return 2 * answering.length > ring.length;
}

/** The lowest id alive in the ring. */
export function arbiterOf(records: readonly MemberRecord[]): MemberId | undefined {
  return lowestAlive(records.filter(({ ringState }) => isInRing(ringState)))?.id;
}

/** Whoever asks for another place, and is there to take it. */
function moveOf(record: MemberRecord): readonly RingStateChange[] {
  const { id, ringState, liveness } = record;
  const place = wantedPlace(record);
  const isThere = liveness === "alive" && (ringState === "active" || ringState === "warming");
  return place !== undefined && isThere ? [{ id, ringState, place }] : [];
}

/**
 * A condemned member that turns out to live stays; it is about to say so itself. One that leaves and is dead goes when it is back or is
 * condemned: before, it may have a lease, and a majority of some slot with others that leave (view-lease.ts).
 */
function isStaying({ ringState, liveness }: MemberRecord): boolean {
  if (ringState === "condemned") return liveness !== "dead";
  return isInRing(ringState) && (ringState !== "leaving" || liveness === "dead");
}

function lowestAlive(records: readonly MemberRecord[]): MemberRecord | undefined {
  let lowest: MemberRecord | undefined;
  for (const record of records) {
    if (record.liveness !== "alive") continue;
    if (lowest === undefined || compareIds(record.id, lowest.id) < 0) lowest = record;
  }
  return lowest;
}
