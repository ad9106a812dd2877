// The change of the ring that is under way, as one node sees it and as people want to know it: is one being rehearsed, or has one
// been enacted and the slots settle; who comes and goes, who is waited for, and how far this node's own copying is. Pure: it
// follows from the member records, the plan made of them (ring-change.ts) and the progress of the node's copies (fill.ts).

import type { MemberId, RingId } from "../base/ids.ts";
import { isInRing, type MemberRecord } from "./messages.ts";
import type { FillProgress } from "./replication/fill.ts";
import type { RingPlan, RingStateChange } from "./ring-change.ts";

/** See the top of the file. The slots are this node's own: what it copies for the change. */
export interface ChangeStatus {
  /** `rehearsing`: the change is planned, and copied before it happens. `settling`: it happened, and what differs is copied. */
  readonly phase: "none" | "rehearsing" | "settling";
  /** Who enters and who goes with the planned change; empty without one. */
  readonly entering: readonly MemberId[];
  readonly going: readonly MemberId[];
  /** Who gets another weight or zone with it. */
  readonly moving: readonly MemberId[];
  /** Members alive that are not done with the phase, in the order of the records. */
  readonly waitingFor: readonly MemberId[];
  /** Slots that this node copies in this phase: done, and in all. */
  readonly slotsDone: number;
  readonly slotsTotal: number;
  /** Milliseconds since this node began with them; 0 when it has nothing to copy. */
  readonly elapsedMs: number;
}

/** What a change's status is made from. */
export interface ChangeStatusInput {
  readonly records: readonly MemberRecord[];
  readonly ringId: RingId | "";
  readonly plan: RingPlan | undefined;
  readonly plannedRingId: RingId | "";
  readonly rehearsal: FillProgress | undefined;
  readonly warming: FillProgress | undefined;
  readonly monoMs: number;
}

const NOBODY: readonly MemberId[] = Object.freeze([]);

/** Tells what is under way. Settling comes first: nothing is enacted before everybody settled. */
export function changeStatus(input: ChangeStatusInput): ChangeStatus {
  const { records, ringId, plan, plannedRingId, rehearsal, warming } = input;
  const unsettled = records.filter(
    ({ ringState, liveness, settledRingId }) =>
      isInRing(ringState) && liveness !== "dead" && settledRingId !== ringId,
  );
  const changes = plan?.changes ?? [];
  const planned = {
    entering: idsOf(changes, ({ ringState, place }) => place === undefined && ringState === "warming"),
    going: idsOf(changes, ({ ringState, place }) => place === undefined && ringState !== "warming"),
    moving: idsOf(changes, ({ place }) => place !== undefined),
  };
  if (ringId !== "" && (unsettled.length > 0 || warming !== undefined)) {
    const waitingFor = unsettled.map(({ id }) => id);
    return { phase: "settling", ...planned, waitingFor, ...progressOf(warming, input.monoMs) };
  }
  if (plan === undefined) {
    return { phase: "none", ...planned, waitingFor: NOBODY, ...progressOf(undefined, input.monoMs) };
  }
  const waitingFor = plan.members
    .filter(({ liveness, preparedRingId }) => liveness !== "dead" && preparedRingId !== plannedRingId)
    .map(({ id }) => id);
  return { phase: "rehearsing", ...planned, waitingFor, ...progressOf(rehearsal, input.monoMs) };
}

function idsOf(
  changes: readonly RingStateChange[],
  predicate: (change: RingStateChange) => boolean,
): readonly MemberId[] {
  return changes.filter(predicate).map(({ id }) => id);
}

function progressOf(
  progress: FillProgress | undefined,
  monoMs: number,
): Pick<ChangeStatus, "slotsDone" | "slotsTotal" | "elapsedMs"> {
  if (progress === undefined) return { slotsDone: 0, slotsTotal: 0, elapsedMs: 0 };
  const { slotsDone, slotsTotal, sinceMs } = progress;
  return { slotsDone, slotsTotal, elapsedMs: Math.max(0, Math.round(monoMs - sinceMs)) };
}
