// When this node may enter or leave the ring.
//
// A ring change is safe whenever it happens (replication/slot-states.ts says why), but two at once can leave slots without
// enough counted replicas to serve. So changes go one at a time: whoever wants one rehearses it first (pre-copies the slots that
// would change hands), then asks the arbiter, the lowest id alive in the ring. The arbiter grants when everybody it sees is
// settled on the present ring and no other grant is open. A grant names the ring it was given for and is void under any other.
// Two arbiters that disagree (a partition) can at worst grant two changes: that costs availability for a moment, never data.
//
//   joining --rehearse, grant--> warming --all slots count--> active --leave asked--> leaving --all rehearsed, grant--> left
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
  /** The planned ring this node has rehearsed. */
  readonly preparedRingId: RingId | "";
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
    if (targetRingId === "" || ringId === "" || now.monoMs - this.#askedMs < ASK_SPACING_MS) return undefined;
    const isPrepared =
      self.ringState === "joining" ? view.preparedRingId === targetRingId : this.#isLeavePrepared(view);
    const arbiter = arbiterOf(view.records);
    if (!isPrepared || arbiter === undefined) return undefined;
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

  /** Everybody alive who stays has rehearsed the ring without this node; alone there is nobody to hand over to. */
  #isLeavePrepared({ self, records, targetRingId }: RingChangeView): boolean {
    return records.every(
      ({ id, ringState, liveness, preparedRingId }) =>
        id === self.id || !isInRing(ringState) || liveness === "dead" || preparedRingId === targetRingId,
    );
  }
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
