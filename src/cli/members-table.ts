// The members table and the verdict line, as text. Pure: what is known comes in, lines go out.
//
// One node is asked how it sees the cluster; that gives the members, their states and shares. What only a node itself knows (keys,
// memory, uptime) comes from the other nodes' own answers, as far as they gave any.

import { formatCount, formatShare, type Paint, plainPaint, renderTable } from "../../cluster/text-table.ts";
import { formatBytes, formatDuration } from "../base/units.ts";
import type { MemberStatus, NodeStatus } from "../core/status.ts";
import { changeLine } from "./change-line.ts";

/** What is known of a cluster at one time. */
export interface ClusterView {
  /** The answer of the node that was asked. */
  readonly asked: NodeStatus;
  /** Own answers by member id; the asked node's included. */
  readonly answers: ReadonlyMap<string, NodeStatus>;
  /** Of a local cluster: the processes by name. */
  readonly processes?: ReadonlyMap<string, MemberProcess>;
}

/** A local node's process. */
export interface MemberProcess {
  readonly pid: number | undefined;
  readonly state: "running" | "paused" | "gone";
}

const UNKNOWN = "-";

/** The table, an empty line, the change of the ring that is under way, and the verdict. One row per member in the order of their ids, then processes that are no members. */
export function renderMembers(view: ClusterView, paint: Paint = plainPaint): string[] {
  const { processes } = view;
  const columns = [
    { title: "node" },
    { title: "state" },
    { title: "zone" },
    { title: "slots", align: "right" as const },
    { title: "copies", align: "right" as const },
    { title: "share", align: "right" as const },
    { title: "ideal", align: "right" as const },
    { title: "keys", align: "right" as const },
    { title: "memory", align: "right" as const },
    { title: "uptime", align: "right" as const },
    { title: "address" },
    ...(processes === undefined ? [] : [{ title: "pid", align: "right" as const }]),
  ];
  const members = view.asked.members.filter((member) => !isOut(member) || processes?.has(member.id));
  const rows = members.map((member) => memberRow(member, view));
  const known = new Set<string>(members.map((member) => member.id));
  for (const [name, process] of processes ?? []) {
    if (!known.has(name)) rows.push([name, process.state === "gone" ? "stopped" : process.state]);
  }
  const table = renderTable(columns, rows, {
    paint,
    look: (row, column) => (column === 1 ? lookOfState(rows[row]?.[1] ?? "") : undefined),
  });
  const change = changeLine(view);
  return [
    ...table,
    "",
    ...(change === undefined ? [] : [paint("yellow", change)]),
    ...secretLines(view).map((line) => paint("yellow", line)),
    renderVerdict(view, paint),
  ];
}

/** A line for each member that a change of the secret has not reached, or not wholly. */
function secretLines({ asked }: ClusterView): string[] {
  const behind = asked.secrets?.behind ?? [];
  return behind.map(({ member, difference }) => `SECRETS: ${member} ${difference}`);
}

/** `SAFE: ...` in the words of the asked node, or of the first other node that does not agree that all is safe. */
export function renderVerdict(view: ClusterView, paint: Paint = plainPaint): string {
  const { asked, answers } = view;
  const doubter = [asked, ...answers.values()].find((status) => !status.isSafe);
  if (doubter === undefined) return paint("green", withPrefix("SAFE", asked.verdict));
  const verdict = withPrefix("DEGRADED", doubter.verdict);
  return paint("yellow", doubter === asked ? verdict : `${verdict} (as ${doubter.id} sees it)`);
}

/** A member's state in one word: what a person must know first. */
export function stateOf(member: MemberStatus, process?: MemberProcess): string {
  if (process?.state === "paused") return "paused";
  if (isOut(member)) return member.ringState;
  if (member.liveness !== "alive") return member.liveness;
  return member.ringState === "active" && !member.isSettled ? "filling" : member.ringState;
}

function memberRow(member: MemberStatus, view: ClusterView): string[] {
  const process = view.processes?.get(member.id);
  // Only an alive member's own answer is news; a dead one has none.
  const own = view.answers.get(member.id);
  const pid =
    view.processes === undefined ? [] : [process?.pid === undefined ? UNKNOWN : String(process.pid)];
  return [
    member.id,
    stateOf(member, process),
    member.zone === "" ? UNKNOWN : member.zone,
    formatCount(member.slotsOwned),
    formatCount(member.slotsReplicated),
    formatShare(member.share),
    formatShare(member.shareIdeal),
    own === undefined ? UNKNOWN : formatCount(own.store.entries),
    own === undefined ? UNKNOWN : `${formatBytes(own.store.bytes)} / ${formatBytes(own.store.bytesMax)}`,
    own === undefined ? UNKNOWN : formatDuration(own.uptimeMs),
    member.address,
    ...pid,
  ];
}

function isOut(member: MemberStatus): boolean {
  return member.ringState === "left" || member.ringState === "evicted";
}

function lookOfState(state: string): Parameters<Paint>[0] | undefined {
  if (state === "active") return "green";
  if (["dead", "stopped", "evicted"].includes(state)) return "red";
  return state === "left" ? "dim" : "yellow";
}

function withPrefix(word: "SAFE" | "DEGRADED", verdict: string): string {
  return /^[A-Z]+:/.test(verdict) ? verdict : `${word}: ${verdict}`;
}
