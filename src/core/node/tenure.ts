// This node's own place in the ring: how it comes, counts, enacts changes as the arbiter, leaves, and lets go.
//
// The rules are in ring-change.ts (what is to become of whom) and change-patience.ts (when to give a change up); here they are applied
// to this node's record, step by step, as soon as something that they depend on has changed.

import type { MemberId, RingId } from "../../base/ids.ts";
import { JoinPatience, LeavePatience } from "../change-patience.ts";
import type { Now } from "../machine.ts";
import { isInRing, type RingState } from "../messages.ts";
import type { CopyCounts } from "../replication/copy.ts";
import type { Fill } from "../replication/fill.ts";
import type { Hints } from "../replication/hints.ts";
import type { Outbox } from "../replication/outbox.ts";
import type { SlotStates } from "../replication/slot-states.ts";
import { changesToEnact, hasMajority, ownNextState } from "../ring-change.ts";
import type { Cluster } from "./cluster.ts";

/** A node that left waits this long for the others to take over, then goes anyway: each slot has its other copies. */
const RELEASE_PATIENCE_MS = 600_000;

/** What a tenure works on. */
export interface TenureParts {
  readonly cluster: Cluster;
  readonly fill: Fill;
  readonly hints: Hints;
  readonly slots: SlotStates;
  readonly outbox: Outbox;
  /** What was copied to this node so far. */
  readonly copied: CopyCounts;
}

/** See the top of the file. */
export class Tenure {
  readonly #parts: TenureParts;
  readonly #joinPatience = new JoinPatience();
  readonly #leavePatience = new LeavePatience();
  #isLeaving = false;
  #leftMs = Number.POSITIVE_INFINITY;
  #isReleased = false;
  /** How often others were asked whether they have taken over. */
  #asked = 0;
  /** What was known when the ring change was last looked at. */
  #looked: {
    readonly viewVersion: number;
    readonly preparedRingId: RingId | "";
    readonly isFilled: boolean;
  } = {
    viewVersion: -1,
    preparedRingId: "",
    isFilled: false,
  };

  constructor(parts: TenureParts) {
    this.#parts = parts;
  }

  /** Whether this node knows more of a ring change than when it last looked: cheap, and asked after every input. */
  get hasProgressed(): boolean {
    const { cluster, fill } = this.#parts;
    return (
      cluster.viewVersion !== this.#looked.viewVersion ||
      fill.preparedRingId !== this.#looked.preparedRingId ||
      this.#isFilled !== this.#looked.isFilled
    );
  }

  /** Takes the ring change as far as this node can. */
  advance(now: Now): void {
    const { cluster, fill, outbox } = this.#parts;
    const { viewVersion } = cluster;
    const { preparedRingId } = fill;
    this.#looked = { viewVersion, preparedRingId, isFilled: this.#isFilled };
    const view = {
      self: cluster.own,
      records: cluster.membership.records(),
      ringId: cluster.ringId,
      plan: cluster.plan,
      plannedRingId: cluster.plannedRingId,
      isFilled: this.#isFilled,
      isReachable: (member: MemberId) => cluster.isUsable(member),
    };
    const next = ownNextState(view);
    if (next !== undefined) this.#enter(next, now);
    const changes = changesToEnact(view);
    if (changes.length > 0) {
      cluster.membership.enact(changes, now, outbox.effects);
      cluster.refresh(now);
    } else if (next === undefined) {
      this.#tellProgress(now);
    }
  }

  /** Leaves the ring once everything is handed over. Does nothing the second time. */
  leave(now: Now): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    const { cluster, outbox } = this.#parts;
    outbox.event({ type: "leaving" });
    const isAlone = cluster.ring === undefined || cluster.ring.members.length === 1;
    this.#enter(isInRing(cluster.own.ringState) && !isAlone ? "leaving" : "left", now);
  }

  /** To be called now and then: gives up what gets nowhere, and lets the process go that is not needed any more. */
  review(now: Now): void {
    this.#maybeGiveWay(now);
    this.#maybeRelease(now);
  }

  get #isFilled(): boolean {
    return this.#parts.slots.warmingCount === 0;
  }

  /** The others wait for what this node has settled and rehearsed. */
  #tellProgress(now: Now): void {
    const { cluster, fill, outbox } = this.#parts;
    const { own, ringId } = cluster;
    const { preparedRingId } = fill;
    const isSettled = ringId !== "" && this.#isFilled && isInRing(own.ringState);
    // A ring may come back before the one between was settled: slots that were lost with that one are to be filled again.
    const isTakenBack = own.settledRingId === ringId;
    const settledRingId = isSettled ? ringId : isTakenBack ? "" : own.settledRingId;
    if (settledRingId === own.settledRingId && preparedRingId === own.preparedRingId) return;
    if (settledRingId !== own.settledRingId && settledRingId !== "")
      outbox.event({ type: "settled", ringId: settledRingId });
    cluster.membership.setSelf({ settledRingId, preparedRingId }, now, outbox.effects);
    cluster.refresh(now);
  }

  #enter(state: RingState, now: Now): void {
    const { cluster, outbox } = this.#parts;
    const { ringId } = cluster;
    const isActive = state === "active" && ringId !== "";
    if (isActive) outbox.event({ type: "settled", ringId });
    const patch = isActive ? { ringState: state, settledRingId: ringId } : { ringState: state };
    cluster.membership.setSelf(patch, now, outbox.effects);
    cluster.refresh(now);
  }

  /** A change that this node holds up is given up. */
  #maybeGiveWay(now: Now): void {
    const { cluster, fill, copied } = this.#parts;
    const { ringState } = cluster.own;
    // It was evicted before it could leave, and has started over: its slots are given away already, and it is not to take others.
    if (this.#isLeaving && ringState === "joining") {
      this.#enter("left", now);
      this.#release();
      return;
    }
    const rehearsal = ringState === "joining" ? fill.rehearsalProgress : undefined;
    const isUnderWay = rehearsal !== undefined && rehearsal.slotsDone < rehearsal.slotsTotal;
    const progress = `${cluster.plannedRingId} ${rehearsal?.slotsDone} ${copied.entriesTotal}`;
    const next = this.#joinPatience.look(isUnderWay ? progress : undefined, now.monoMs);
    if (next === "withdraw") this.#enter("left", now);
    else if (next === "return" && !this.#isLeaving) cluster.startOver(now);
    const isHopeful =
      ringState !== "leaving" ||
      hasMajority(cluster.membership.records(), (member) => cluster.isUsable(member));
    if (this.#leavePatience.isOver(isHopeful, now.monoMs)) this.#release();
  }

  /** The others have all they need: the process may end. */
  #maybeRelease(now: Now): void {
    const { cluster, hints, outbox } = this.#parts;
    const hasWithdrawn = this.#joinPatience.isOut && !this.#isLeaving;
    if (cluster.own.ringState !== "left" || this.#isReleased || hasWithdrawn) return;
    this.#leftMs = Math.min(this.#leftMs, now.monoMs);
    const others = cluster.membership
      .records()
      .filter(({ id, ringState }) => id !== cluster.self && isInRing(ringState));
    const hasAll = (id: MemberId) => hints.drain(id).isDrained || !cluster.isUsable(id);
    const isTaken = others.every(
      ({ id, liveness, settledRingId }) =>
        liveness === "dead" || (settledRingId === cluster.ring?.id && hasAll(id)),
    );
    if (isTaken || now.monoMs - this.#leftMs >= RELEASE_PATIENCE_MS) {
      this.#release();
      return;
    }
    // One that is out accuses nobody and hears no defence: whom it suspected as it went, or held dead, stays suspect here until others say that
    // it is dead; whom it did not stays alive. So all are asked in turn, until one answers.
    const members = others.filter(({ liveness }) => liveness !== "dead");
    const member = members[this.#asked++ % members.length]?.id;
    if (member !== undefined) cluster.membership.syncWith(member, now, outbox.effects);
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#parts.outbox.event({ type: "released" });
    this.#parts.outbox.effects.push({ kind: "released" });
  }
}
