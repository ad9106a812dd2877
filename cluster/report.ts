// What a load did and what it cost, as facts for a table. Pure.

import { formatDuration } from "../src/base/units.ts";
import type { LoadResult, Verdict } from "./load.ts";
import type { MovedKeys } from "./moved-keys.ts";
import { formatCount, formatShare } from "./text-table.ts";

/** A line of a report. */
export type Fact = readonly [label: string, value: string];

/** Calls, failures, losses, silence and latencies, in the order people ask for them. */
export function loadFacts(result: LoadResult, verdict: Verdict): Fact[] {
  const kinds = Object.entries(result.callsByKind)
    .map(([kind, count]) => `${formatCount(count)} ${kind}`)
    .join(", ");
  const codes = Object.entries(result.failedByCode)
    .map(([code, count]) => `${code} ${formatCount(count)}`)
    .join(", ");
  return [
    ["calls", `${formatCount(result.calls)} (${kinds})`],
    ["failed calls", codes === "" ? "0" : `${formatCount(result.failed)} (${codes})`],
    [
      "acknowledged writes",
      `${formatCount(verdict.acknowledgedWrites)}, on ${formatCount(verdict.keysChecked)} keys`,
    ],
    ["acknowledged writes lost", formatCount(verdict.lost)],
    ...(verdict.phantoms === 0 ? [] : [["values never written", formatCount(verdict.phantoms)] as const]),
    ...(result.staleReads === 0 ? [] : [["stale reads", formatCount(result.staleReads)] as const]),
    ...(result.skipped === 0 ? [] : [["calls never made", formatCount(result.skipped)] as const]),
    ["p50 / p99 / p99.9", [result.p50Ms, result.p99Ms, result.p999Ms].map(formatMs).join(" / ")],
    ["longest silence any caller saw", formatMs(result.silenceMaxMs)],
  ];
}

/** `16.9 % (ideal 16.7 %)` */
export function movedFact({ moved, ideal }: MovedKeys): Fact {
  return ["keys moved by the new node", `${formatShare(moved)} (ideal ${formatShare(ideal)})`];
}

/** A latency: two digits that matter. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return formatDuration(ms);
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}
