// `npm run chaos [-- --rounds N] [--keys N] [--only NAME,...] [--json]`: every scenario against real processes, ten rounds each of what may happen any time, and a table of
// what was promised and what was seen. It takes about ten minutes.
// `npm run chaos -- --minutes N [--seed S] [--faults NAME,...] [--plain] [--json]`: a tour of faults of hosts, network and clocks
// (fault-tour.ts), and a table of what each did. Both exit 0 only when every promise was kept.

import { parseArgs, styleText } from "node:util";
import { deletesWhileAway, expiryThroughFailover } from "./aging.ts";
import { isTourRowKept, runTour, TOUR_KINDS, type TourResult, type TourRow } from "./fault-tour.ts";
import {
  type Check,
  killAll,
  killOne,
  killOneAsync,
  pauseOne,
  rollingKill,
  rollingRestart,
  type ScenarioOptions,
  type ScenarioResult,
} from "./scenarios.ts";
import { formatCount, renderTable } from "./text-table.ts";

const SCENARIOS: Readonly<Record<string, (options: ScenarioOptions) => Promise<ScenarioResult>>> = {
  kill: killOne,
  pause: pauseOne,
  "kill-async": killOneAsync,
  "rolling-restart": rollingRestart,
  "rolling-kill": rollingKill,
  "all-dead": killAll,
  deletes: deletesWhileAway,
  ttl: expiryThroughFailover,
};

/** Runs what was asked for and returns the exit code. */
async function runChaos(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      keys: { type: "string" },
      only: { type: "string" },
      json: { type: "boolean", default: false },
      minutes: { type: "string" },
      seed: { type: "string" },
      faults: { type: "string" },
      plain: { type: "boolean", default: false },
    },
  });
  if (values.minutes !== undefined) return tour({ ...values, minutes: values.minutes });
  const names = values.only?.split(",") ?? Object.keys(SCENARIOS);
  const unknown = names.find((name) => SCENARIOS[name] === undefined);
  const [rounds, keys] = [countOf(values.rounds), countOf(values.keys)];
  if (unknown !== undefined || rounds === 0 || keys === 0) {
    process.stderr.write(
      `usage: chaos [--rounds COUNT] [--keys COUNT] [--only ${Object.keys(SCENARIOS).join(",")}] [--json]\n`,
    );
    return 2;
  }
  const results: ScenarioResult[] = [];
  for (const name of names) {
    results.push(
      await SCENARIOS[name]!({
        ...(rounds === undefined ? {} : { rounds }),
        ...(keys === undefined ? {} : { keys }),
        onProgress: (line) => process.stderr.write(`${line}\n`),
      }),
    );
  }
  process.stdout.write(
    values.json ? `${JSON.stringify(results)}\n` : `${renderResults(results).join("\n")}\n`,
  );
  return results.every((result) => result.checks.every((check) => check.isKept)) ? 0 : 1;
}

/** A whole number from 1 on; 0 for anything else that was given. */
function countOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  return Number.isInteger(count) && count > 0 ? count : 0;
}

async function tour(values: {
  readonly minutes: string;
  readonly seed?: string | undefined;
  readonly faults?: string | undefined;
  readonly plain: boolean;
  readonly json: boolean;
}): Promise<number> {
  const [minutes, seed] = [Number(values.minutes), Number(values.seed ?? 1)];
  const only = values.faults?.split(",");
  const unknown = only?.find((name) => !TOUR_KINDS.includes(name));
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || unknown !== undefined) {
    process.stderr.write(
      `usage: chaos --minutes COUNT [--seed NUMBER] [--plain] [--json] [--faults NAME,...], of: ${TOUR_KINDS.join(", ")}\n`,
    );
    return 2;
  }
  const result = await runTour({
    minutes,
    seed,
    isPlain: values.plain,
    ...(only === undefined ? {} : { only }),
    onProgress: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${renderTour(result).join("\n")}\n`);
  return result.rows.length > 0 && result.rows.every(isTourRowKept) ? 0 : 1;
}

function renderTour({ seed, obstacle, missing, rows }: TourResult): string[] {
  const titles = [
    "calls",
    "failed",
    "storm failed",
    "lost",
    "not linearizable",
    "longest silence, ms",
    "p99, ms",
    "normal after, ms",
    "queues worked off after, ms",
    "safe after, ms",
  ];
  const columns = [
    { title: "fault" },
    { title: "nodes" },
    ...titles.map((title) => ({ title, align: "right" as const })),
    { title: "kept" },
  ];
  const cells = rows.map(tourCells);
  const kept = columns.length - 1;
  return [
    "",
    `seed ${seed}${obstacle === undefined ? "" : `, plain processes: ${obstacle}`}`,
    ...renderTable(columns, cells, {
      paint: (look, text) => styleText(look, text),
      look: (row, column) => (column === kept && cells[row]?.[kept] === "NO" ? "red" : undefined),
    }),
    ...(missing.length === 0 ? [] : [`not done here: ${missing.join(", ")}`]),
    ...rows.flatMap((row) => row.findings.map((finding) => `  ${row.fault}: ${finding}`)),
  ];
}

function tourCells(row: TourRow): string[] {
  const { fault, nodes, calls, failed, mayFail, lost, notLinearizable, safeMs } = row;
  const times = [row.silenceMs, row.p99Ms, row.normalMs, row.workedOffMs].map((ms) =>
    formatCount(Math.round(ms)),
  );
  return [
    fault,
    nodes.join(", "),
    formatCount(calls),
    `${formatCount(failed)}${mayFail ? " (may)" : ""}`,
    `${row.stormFailed} of ${formatCount(row.stormCalls)}`,
    formatCount(lost),
    formatCount(notLinearizable),
    ...times,
    safeMs === undefined ? "never" : formatCount(Math.round(safeMs)),
    isTourRowKept(row) ? "yes" : "NO",
  ];
}

function renderResults(results: readonly ScenarioResult[]): string[] {
  const rows = results.flatMap((result) => result.checks.map((check) => checkRow(result.scenario, check)));
  const columns = [
    { title: "scenario" },
    { title: "promise" },
    { title: "seen", align: "right" as const },
    { title: "at most", align: "right" as const },
    { title: "kept" },
  ];
  return [
    "",
    ...renderTable(columns, rows, {
      paint: (look, text) => styleText(look, text),
      look: (row, column) => (column === 4 && rows[row]?.[4] === "NO" ? "red" : undefined),
    }),
    ...results.flatMap((result) =>
      result.failures.slice(0, 5).map((line) => `  ${result.scenario}: ${line}`),
    ),
  ];
}

function checkRow(scenario: string, { what, seen, limit, isKept }: Check): string[] {
  const stated = limit === undefined;
  return [
    scenario,
    what,
    formatCount(seen),
    stated ? "-" : formatCount(limit),
    stated ? "stated" : isKept ? "yes" : "NO",
  ];
}

try {
  process.exitCode = await runChaos();
} catch (error) {
  process.stderr.write(
    `The run could not go on: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
}
