// The ring and a planned change of it, as text. Pure.

import { formatCount, formatShare, renderTable } from "../../cluster/text-table.ts";
import { formatBytes, formatDuration } from "../base/units.ts";
import type { ChangePlan, MemberPlan, Place } from "./ring-plan.ts";

const right = { align: "right" as const };
const ABSENT = "-";

/** What a plan would do: a sentence, a row per member, and what moves in how much time. */
export function renderPlan(plan: ChangePlan): string[] {
  const comes = plan.members.filter(({ before }) => before === undefined).map(({ id }) => id);
  const goes = plan.members.filter(({ after }) => after === undefined).map(({ id }) => id);
  const words = [
    ...(comes.length === 0 ? [] : [`${comes.join(", ")} would enter`]),
    ...(goes.length === 0 ? [] : [`${goes.join(", ")} would go`]),
    ...plan.moved.map(
      ({ id, weight, zone }) => `${id} would have weight ${weight}${zone && ` in zone ${zone}`}`,
    ),
  ];
  const columns = [
    { title: "node" },
    { title: "slots", ...right },
    { title: "copies", ...right },
    { title: "share", ...right },
    { title: "held", ...right },
    { title: "receives", ...right },
  ];
  return [
    `${words.join(", ")}: ring ${plan.ringIdBefore} to ${plan.ringIdAfter}, ${plan.replicas} copies of each key. Nothing was changed.`,
    "",
    ...renderTable(columns, plan.members.map(planRow)),
    "",
    movesLine(plan),
    timeLine(plan),
  ];
}

function planRow({ id, before, after, slotsGained, entriesReceived, bytesReceived }: MemberPlan): string[] {
  const change = (show: (place: Place) => string): string => {
    const [then, now] = [
      after === undefined ? ABSENT : show(after),
      before === undefined ? ABSENT : show(before),
    ];
    return `${now} → ${then}`;
  };
  return [
    id,
    change(({ slotsOwned }) => formatCount(slotsOwned)),
    change(({ slotsReplicated }) => formatCount(slotsReplicated)),
    change(({ share }) => formatShare(share)),
    change(({ bytes }) => formatBytes(bytes)),
    slotsGained === 0
      ? ABSENT
      : `${formatCount(slotsGained)} slots, ${formatCount(entriesReceived)} keys, ${formatBytes(bytesReceived)}`,
  ];
}

function movesLine({
  slotsMoved,
  slotsMovedIdeal,
  slotCopies,
  entriesMoved,
  bytesMoved,
}: ChangePlan): string {
  const share = slotCopies === 0 ? 0 : slotsMoved / slotCopies;
  const ideal = slotCopies === 0 ? 0 : slotsMovedIdeal / slotCopies;
  return `moves  ${formatCount(slotsMoved)} of ${formatCount(slotCopies)} copies of slots (${formatShare(share)}, ideal ${formatShare(ideal)}): about ${formatCount(entriesMoved)} keys, ${formatBytes(bytesMoved)}`;
}

function timeLine({ seconds, rate, entriesMoved }: ChangePlan): string {
  if (entriesMoved === 0) return "time   nothing to copy";
  const { entriesPerSecond, measuredAt, pace } = rate;
  const source =
    measuredAt === undefined
      ? "no node of this cluster has copied enough to tell; the benchmark's figure"
      : `${measuredAt} copied ${formatCount(pace.entries)} keys in ${formatDuration(pace.ms)}`;
  return `time   ${seconds < 1 ? "under 1 s" : `about ${formatDuration(seconds * 1000)}`} at ${formatCount(entriesPerSecond)} keys a second for each node that receives (${source})`;
}

/** One member of the present ring. */
export interface RingRow {
  readonly id: string;
  readonly zone: string;
  readonly weight: number;
  readonly slotsOwned: number;
  readonly slotsReplicated: number;
  readonly share: number;
  readonly shareIdeal: number;
  /** `undefined` for a member that did not answer. */
  readonly entries: number | undefined;
  readonly bytes: number | undefined;
}

/** The present ring: its name, a row per member, and how even it is. */
export function renderRing(ring: {
  readonly ringId: string;
  readonly replicas: number;
  readonly members: readonly RingRow[];
}): string[] {
  const columns = [
    { title: "node" },
    { title: "zone" },
    { title: "weight", ...right },
    { title: "slots", ...right },
    { title: "copies", ...right },
    { title: "share", ...right },
    { title: "ideal", ...right },
    { title: "keys", ...right },
    { title: "held", ...right },
  ];
  const rows = ring.members.map((member) => [
    member.id,
    member.zone === "" ? ABSENT : member.zone,
    String(member.weight),
    formatCount(member.slotsOwned),
    formatCount(member.slotsReplicated),
    formatShare(member.share),
    formatShare(member.shareIdeal),
    member.entries === undefined ? ABSENT : formatCount(member.entries),
    member.bytes === undefined ? ABSENT : formatBytes(member.bytes),
  ]);
  const slots = ring.members.reduce((sum, { slotsOwned }) => sum + slotsOwned, 0);
  const peak = Math.max(
    0,
    ...ring.members.map(({ share, shareIdeal }) => (shareIdeal === 0 ? 0 : share / shareIdeal)),
  );
  const name = `ring ${ring.ringId}: ${formatCount(slots)} slots on ${ring.members.length} nodes, ${Math.min(ring.replicas, ring.members.length)} copies of each`;
  return [
    name,
    "",
    ...renderTable(columns, rows),
    "",
    `the fullest node owns ${peak.toFixed(3)} times its share`,
  ];
}
