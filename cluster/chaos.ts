// `npm run chaos [-- --rounds N] [--only NAME,...] [--json]`: every scenario against real processes, ten rounds each, and a table of
// what was promised and what was seen. Exits 0 only when every promise was kept. It takes about ten minutes.

import { parseArgs, styleText } from "node:util";
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
};

/** Runs what was asked for and returns the exit code. */
async function runChaos(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      only: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const names = values.only?.split(",") ?? Object.keys(SCENARIOS);
  const unknown = names.find((name) => SCENARIOS[name] === undefined);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (unknown !== undefined || (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))) {
    process.stderr.write(
      `usage: chaos [--rounds COUNT] [--only ${Object.keys(SCENARIOS).join(",")}] [--json]\n`,
    );
    return 2;
  }
  const results: ScenarioResult[] = [];
  for (const name of names) {
    results.push(
      await SCENARIOS[name]!({
        ...(rounds === undefined ? {} : { rounds }),
        onProgress: (line) => process.stderr.write(`${line}\n`),
      }),
    );
  }
  process.stdout.write(
    values.json ? `${JSON.stringify(results)}\n` : `${renderResults(results).join("\n")}\n`,
  );
  return results.every((result) => result.checks.every((check) => check.isKept)) ? 0 : 1;
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
