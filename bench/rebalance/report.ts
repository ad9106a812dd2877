// The benchmark's result as a table: one column of figures per phase, subject after subject. Pure.

import { formatMs } from "../../cluster/report.ts";
import { formatCount, renderTable } from "../../cluster/text-table.ts";
import { formatBytes } from "../../src/base/units.ts";
import type { Phase, SubjectResult } from "./scenario.ts";

/** What a move's disturbance is measured by. */
export interface Disturbance {
  readonly step: string;
  /** p99 during the move over p99 before the first move. */
  readonly p99Ratio: number;
}

/** p99 of each move against the quiet time before the first one. */
export function disturbances({ phases }: SubjectResult): Disturbance[] {
  const quiet = phases.find(({ isMove }) => !isMove)?.stats.p99Ms ?? 0;
  return phases
    .filter(({ isMove }) => isMove)
    .map(({ name, stats }) => ({ step: name, p99Ratio: quiet === 0 ? 0 : stats.p99Ms / quiet }));
}

/** What moved: one row per subject and step. */
export function renderMoves(results: readonly SubjectResult[]): string[] {
  const columns = [
    { title: "moves" },
    { title: "step" },
    { title: "copies moved", align: "right" as const },
    { title: "bytes", align: "right" as const },
    { title: "ideal", align: "right" as const },
    { title: "moved/ideal", align: "right" as const },
    { title: "start s", align: "right" as const },
    { title: "move s", align: "right" as const },
    { title: "copies/s", align: "right" as const },
    { title: "p99/quiet", align: "right" as const },
  ];
  const rows = results.flatMap((result) => {
    const ratios = disturbances(result);
    const moves = result.phases.filter(({ moved }) => moved !== undefined);
    return moves.map((phase, index) => moveRow(result.subject, phase, ratios[index]?.p99Ratio ?? 0));
  });
  return renderTable(columns, rows);
}

function moveRow(subject: string, { name, moved }: Phase, p99Ratio: number): string[] {
  if (moved === undefined) return [subject, name];
  const { keysMoved, bytesMoved, keysIdeal, startMs, moveMs } = moved;
  return [
    subject,
    name,
    formatCount(keysMoved),
    formatBytes(bytesMoved),
    formatCount(keysIdeal),
    keysIdeal === 0 ? "-" : (keysMoved / keysIdeal).toFixed(2),
    (startMs / 1000).toFixed(1),
    (moveMs / 1000).toFixed(1),
    moveMs === 0 ? "-" : formatCount((keysMoved * 1000) / moveMs),
    p99Ratio.toFixed(2),
  ];
}

/** What callers saw: one row per subject and phase. */
export function renderPhases(results: readonly SubjectResult[]): string[] {
  const right = { align: "right" as const };
  const columns = [
    { title: "callers" },
    { title: "phase" },
    { title: "seconds", ...right },
    { title: "calls", ...right },
    { title: "failed", ...right },
    { title: "missed", ...right },
    { title: "stale", ...right },
    { title: "p50", ...right },
    { title: "p99", ...right },
    { title: "p99.9", ...right },
    { title: "slowest", ...right },
  ];
  const rows = results.flatMap(({ subject, phases }) =>
    phases.map(({ name, fromSeconds, toSeconds, stats }) => [
      ...[subject, name, (toSeconds - fromSeconds).toFixed(1)],
      ...[stats.calls, stats.failed, stats.missed, stats.stale].map(formatCount),
      ...[stats.p50Ms, stats.p99Ms, stats.p999Ms, stats.maxMs].map(formatMs),
    ]),
  );
  return renderTable(columns, rows);
}

/** One line per subject: what was lost. */
export function renderVerdicts(results: readonly SubjectResult[]): string[] {
  return results.map(({ subject, verdict, load, fillSeconds, keys }) => {
    const facts = [
      `${formatCount(keys)} keys filled in ${fillSeconds.toFixed(1)} s`,
      `${formatCount(verdict.acknowledgedWrites)} writes acknowledged, ${formatCount(verdict.lost)} lost`,
      `${formatCount(verdict.phantoms)} values never written`,
      `${formatCount(load.skipped)} calls never made`,
      `the load itself was late by ${formatMs(load.ownDelayMaxMs)} at most`,
    ];
    return `${subject}: ${facts.join("; ")}`;
  });
}

/** A sum over what every run must give again: kinds of figures, not times. */
export function isClean({ phases, verdict, load }: SubjectResult): boolean {
  const isQuiet = phases.every(({ stats }) => stats.failed === 0 && stats.missed === 0);
  return isQuiet && verdict.lost === 0 && verdict.phantoms === 0 && load.skipped === 0;
}
