// The change of the ring that is under way, on one line: who comes and goes, how much has been copied, and about how long the rest
// will take. Pure. Each node tells of its own slots; the line adds up what the nodes said that answered.

import { formatCount } from "../../cluster/text-table.ts";
import { formatDuration } from "../base/units.ts";
import type { ChangeStatus } from "../core/change-status.ts";
import type { NodeStatus } from "../core/status.ts";
import type { ClusterView } from "./members-table.ts";

/** The line, or `undefined` when the ring does not change. */
export function changeLine(view: Pick<ClusterView, "asked" | "answers">): string | undefined {
  const leading = leadingChange(view);
  if (leading === undefined) return undefined;
  const { phase, entering, going, moving = [], waitingFor } = leading;
  const own = [...view.answers.values()].map(({ change }) => change).filter((it) => it?.phase === phase);
  const done = own.reduce((sum, { slotsDone }) => sum + slotsDone, 0);
  const total = own.reduce((sum, { slotsTotal }) => sum + slotsTotal, 0);
  const words = [
    ...(entering.length === 0 ? [] : [`${entering.join(", ")} to enter`]),
    ...(going.length === 0 ? [] : [`${going.join(", ")} to go`]),
    ...(moving.length === 0 ? [] : [`${moving.join(", ")} to move`]),
    ...(total === 0 ? [] : [`${formatCount(done)} of ${formatCount(total)} slots copied${leftText(own)}`]),
    ...(waitingFor.length === 0 ? [] : [`waiting for ${waitingFor.join(", ")}`]),
  ];
  const what = phase === "rehearsing" ? "REHEARSING the next ring" : "SETTLING into the new ring";
  return words.length === 0 ? what : `${what}: ${words.join("; ")}`;
}

/** The asked node's, or the first other node's that sees a change: one node may know of it before the others. */
function leadingChange({ asked, answers }: Pick<ClusterView, "asked" | "answers">): ChangeStatus | undefined {
  const all: readonly NodeStatus[] = [asked, ...answers.values()];
  // Nodes of an earlier version do not tell.
  return all.map(({ change }) => change).find((change) => change !== undefined && change.phase !== "none");
}

/** The slowest node decides when a phase ends: its slots left at the pace that it had so far. */
function leftText(changes: readonly ChangeStatus[]): string {
  let leftMs = 0;
  for (const { slotsDone, slotsTotal, elapsedMs } of changes) {
    if (slotsTotal === slotsDone) continue;
    if (slotsDone === 0) return "";
    leftMs = Math.max(leftMs, ((slotsTotal - slotsDone) * elapsedMs) / slotsDone);
  }
  return leftMs === 0 ? "" : `, about ${formatDuration(leftMs)} left`;
}
