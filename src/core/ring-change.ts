// When this node may enter or leave the ring.
//
// A ring change is safe whenever it happens (replication/slot-states.ts says why), but two at once can leave slots without
// enough counted replicas to serve. So changes go one at a time: whoever wants one rehearses it first (pre-copies the slots that
// would change hands), then asks the arbiter, the lowest id alive in the ring. The arbiter grants when everybody it sees is
// settled on the present ring and no other grant is open. A grant names the ring it was given for and is void under any other.
// Two arbiters that disagree (a partition) can at worst grant two changes: that costs availability for a moment, never data.
//
//   joining --all rehearsed, grant--> warming --all slots count--> active --leave asked--> leaving --all rehearsed, grant--> left
//
// A restart is no ring change: the node comes back as `warming` at once.

import { compareIds, type MemberId, type RingId } from "../base/ids.ts";
import type { Now } from "./machine.ts";
import {
  type ChangeGrant,
  type ChangeRequest,
  isInRing,
  type MemberRecord,
  type RingState,
} from "./messages.ts";
import type { Outbox } from "./replication/outbox.ts";

const ASK_SPACING_MS = 50;
/** A grant that led to nothing is forgotten after this long: its holder died or lost it. */
const GRANT_LIFE_MS = 3_000;

/** What the decision needs to see. Read anew at every step. */
export interface RingChangeView {
  readonly self: MemberRecord;
  readonly records: readonly MemberRecord[];
  readonly ringId: RingId | "";
  /** The ring that this node's entering or leaving would make; "" when it wants neither. */
  readonly targetRingId: RingId | "";
  /** Whether all slots of this node count. */
  readonly isFilled: boolean;
}

/** One node's part in ring changes: its own, and the arbiter's. */
export class RingChange {
  readonly #outbox: Outbox;
  #askedMs = Number.NEGATIVE_INFINITY;
  #granted: { readonly fromRingId: RingId; readonly toRingId: RingId; readonly atMs: number } | undefined;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  /** Asks the arbiter when there is something to ask. Returns the state to go to, if any. */
  advance(view: RingChangeView, now: Now): RingState | undefined {
    const { self, ringId, targetRingId } = view;
    if (self.ringState === "warming" && view.isFilled && ringId !== "") return "active";
    // The last one has nobody to hand over to.
    if (self.ringState === "leaving" && isAlone(view)) return "left";
    if (targetRingId === "" || ringId === "" || now.monoMs - this.#askedMs < ASK_SPACING_MS) return undefined;
    const arbiter = arbiterOf(view.records);
    if (arbiter === undefined || !isRehearsed(view)) return undefined;
    this.#askedMs = now.monoMs;
    const change = self.ringState === "joining" ? "join" : "leave";
    const request: ChangeRequest = {
      kind: "changeRequest",
      change,
      fromRingId: ringId,
      toRingId: targetRingId,
    };
    if (arbiter !== self.id) {
      this.#outbox.gossip(arbiter, request);
      return undefined;
    }
    return this.#mayGrant(request, view, now) ? "left" : undefined;
  }

  /** As the arbiter. */
  requested(from: MemberId, request: ChangeRequest, view: RingChangeView, now: Now): void {
    if (arbiterOf(view.records) !== view.self.id || !this.#mayGrant(request, view, now)) return;
    const { fromRingId, toRingId } = request;
    this.#outbox.gossip(from, { kind: "changeGrant", fromRingId, toRingId });
  }

  /** As the asker: the state to go to, or `undefined` when the grant is void by now. */
  grantedTo(grant: ChangeGrant, view: RingChangeView): RingState | undefined {
    const isValid = grant.fromRingId === view.ringId && grant.toRingId === view.targetRingId;
    if (!isValid) return undefined;
    if (view.self.ringState === "joining") return "warming";
    return view.self.ringState === "leaving" ? "left" : undefined;
  }

  #mayGrant(request: ChangeRequest, view: RingChangeView, now: Now): boolean {
    const { records, ringId } = view;
    const open = this.#granted;
    const isOpen = open !== undefined && now.monoMs - open.atMs < GRANT_LIFE_MS && open.fromRingId === ringId;
    if (isOpen && open.toRingId !== request.toRingId) return false;
    if (request.fromRingId !== ringId) return false;
    const ringMembers = records.filter(({ ringState }) => isInRing(ringState));
    const alive = ringMembers.filter(({ liveness }) => liveness !== "dead");
    const isSettled = alive.every(({ settledRingId }) => settledRingId === ringId);
    if (!isSettled || 2 * alive.length <= ringMembers.length) return false;
    this.#granted = { fromRingId: request.fromRingId, toRingId: request.toRingId, atMs: now.monoMs };
    return true;
  }
}

function isAlone({ self, records }: RingChangeView): boolean {
  return records.every(({ id, ringState }) => id === self.id || !isInRing(ringState));
}

/** Everybody alive who will be in the planned ring has copied what it would gain there. */
function isRehearsed({ self, records, targetRingId }: RingChangeView): boolean {
  return records.every(({ id, ringState, liveness, preparedRingId }) => {
    const isStaying = isInRing(ringState) && ringState !== "leaving" && liveness !== "dead";
    const isEntering = id === self.id && ringState === "joining";
    return preparedRingId === targetRingId || !(isStaying || isEntering);
  });
}

/**
 * Who enters and leaves with the next change: all that leave, or else one that joins, the lowest id of those alive. When
 * everybody leaves, the lowest id alive of them stays until it is alone: there is no empty ring. Every member plans the same
 * from the same records, and rehearses it.
 */
export function plannedMembers(records: readonly MemberRecord[]): readonly MemberRecord[] | undefined {
  const staying = records.filter(({ ringState }) => isInRing(ringState) && ringState !== "leaving");
  if (records.some(({ ringState }) => ringState === "leaving")) {
    const last = staying.length === 0 ? lowestAlive(records, "leaving") : undefined;
    return last === undefined ? staying : [last];
  }
  const joining = lowestAlive(records, "joining");
  return joining === undefined ? undefined : [...staying, joining];
}

function lowestAlive(records: readonly MemberRecord[], state: RingState): MemberRecord | undefined {
  let lowest: MemberRecord | undefined;
  for (const record of records) {
    if (record.ringState !== state || record.liveness !== "alive") continue;
    if (lowest === undefined || compareIds(record.id, lowest.id) < 0) lowest = record;
  }
  return lowest;
}

/** The lowest id alive in the ring. */
export function arbiterOf(records: readonly MemberRecord[]): MemberId | undefined {
  let arbiter: MemberId | undefined;
  for (const { id, liveness, ringState } of records) {
    if (!isInRing(ringState) || liveness !== "alive") continue;
    if (arbiter === undefined || compareIds(id, arbiter) < 0) arbiter = id;
  }
  return arbiter;
}
