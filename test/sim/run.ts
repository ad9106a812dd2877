// `npm run sim`: runs seeds of scenarios and prints what was found.
//
//   npm run sim -- --seeds 200 --scenario swarm        200 seeds from 1 on, each twice
//   npm run sim -- --seed 17 --scenario swarm          one seed; repeats a failure
//   npm run sim -- --seed 17 --scenario swarm --trace  with every step, or --trace TEXT for lines that hold TEXT
//   npm run sim -- --seeds 20                          20 seeds of every scenario
//   --from N          first seed (default 1)
//   --control NAME    with a deliberately broken part, which must be caught
//   --once            without the second run that compares fingerprints
//   --keep-going      do not stop at the first failure

import { parseArgs } from "node:util";
import { loadHashes } from "../../src/io/hashes.ts";
import { CONTROLS, controlNamed } from "./controls.ts";
import {
  describeFailure,
  type RunOptions,
  type RunResult,
  runOnce,
  runSeed,
  type Scenario,
} from "./run-seed.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios/index.ts";

/** When the last progress line was printed. */
let lastLineMs = 0;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    scenario: { type: "string" },
    control: { type: "string" },
    trace: { type: "boolean" },
    match: { type: "string" },
    once: { type: "boolean" },
    "keep-going": { type: "boolean" },
    help: { type: "boolean" },
  },
});

if (values.help) {
  console.log(
    `npm run sim -- [--seed N | --seeds COUNT [--from N]] [--scenario NAME] [--control NAME] [--once] [--keep-going] [--trace [--match TEXT]]

scenarios:\n${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(14)} ${title}`).join("\n")}
controls:\n${CONTROLS.map(({ name, title }) => `  ${name.padEnd(22)} ${title}`).join("\n")}`,
  );
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const scenarios = values.scenario === undefined ? SCENARIOS : [scenarioNamed(values.scenario)];
  const first = Number(values.seed ?? values.from ?? 1);
  const count = values.seed === undefined ? Number(values.seeds ?? 10) : 1;
  const options = await runOptions();
  const startedMs = performance.now();
  const results: RunResult[] = [];
  let failures = 0;
  for (const scenario of scenarios) {
    for (let seed = first; seed < first + count; seed++) {
      const result = (values.once ? runOnce : runSeed)(seed, scenario, options);
      results.push(result);
      if (result.violation !== undefined) {
        failures++;
        console.log(`\n${describeFailure(result)}\n`);
        if (!values["keep-going"]) return summarize(results, startedMs, failures);
      }
      progress(scenario, results, startedMs);
    }
  }
  return summarize(results, startedMs, failures);
}

async function runOptions(): Promise<RunOptions> {
  const { match } = values;
  const trace = values.trace
    ? (line: string) => {
        if (match === undefined || line.includes(match)) console.log(line.slice(0, 600));
      }
    : undefined;
  const control = values.control === undefined ? {} : controlNamed(values.control).overrides;
  return { hashes: await loadHashes(), overrides: { ...control, ...(trace === undefined ? {} : { trace }) } };
}

function progress(scenario: Scenario, results: readonly RunResult[], startedMs: number): void {
  const nowMs = performance.now();
  if (nowMs - lastLineMs < 2000) return;
  lastLineMs = nowMs;
  const seconds = (nowMs - startedMs) / 1000;
  const simulated = results.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0) / 1000;
  console.log(
    `${scenario.name} seed ${results.at(-1)!.seed}: ${results.length} runs, ${Math.round((results.length / seconds) * 60)} seeds/min, ${Math.round(simulated / seconds)} simulated s per s`,
  );
}

function summarize(results: readonly RunResult[], startedMs: number, failures: number): number {
  const seconds = (performance.now() - startedMs) / 1000;
  const simulated = results.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0) / 1000;
  const events = results.reduce((sum, result) => sum + result.events, 0);
  const sum = (pick: (result: RunResult) => number) =>
    results.reduce((total, result) => total + pick(result), 0);
  console.log(
    `${results.length} seeds in ${seconds.toFixed(1)} s (${Math.round((results.length / seconds) * 60)}/min, ${Math.round(simulated / seconds)} simulated s per s, ${Math.round(events / seconds)} events/s)`,
  );
  console.log(
    `operations: ${sum(({ operations }) => operations.ok)} ok, ${sum(({ operations }) => operations.fail)} failed, ${sum(({ operations }) => operations.info)} unknown`,
  );
  const counts = new Map<string, number>();
  for (const { eventCounts } of results) {
    for (const [type, count] of eventCounts) counts.set(type, (counts.get(type) ?? 0) + count);
  }
  const listed = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, count]) => `${type} ${count}`);
  console.log(`events: ${listed.join(", ")}`);
  console.log(failures === 0 ? "no violation" : `${failures} runs with violations`);
  return failures === 0 ? 0 : 1;
}
