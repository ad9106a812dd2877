// `npm run sim`: runs seeds of scenarios and prints what was found. `--help` lists everything it takes.

import { readFileSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { loadHashes } from "../../src/io/hashes.ts";
import { type Job, type JobResult, jobResult, jobsOf, Tally } from "./campaign.ts";
import { CONTROLS, controlNamed } from "./controls.ts";
import { type MembershipFigures, measureMembership, membershipTable } from "./membership-scale.ts";
import { describePlan, minimise } from "./minimise.ts";
import { describeFailure, type RunOptions, runOnce, runSeed, type Scenario } from "./run-seed.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios/index.ts";
import {
  drawClearingPlan,
  drawDensePlan,
  drawForgetfulPlan,
  drawPlan,
  drawPressurePlan,
  runPlan,
  type SwarmPlan,
} from "./swarm-plan.ts";
import { runOnWorkers, serveJobs } from "./workers.ts";

const PROGRESS_MS = 5000;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    scenario: { type: "string" },
    control: { type: "string" },
    workers: { type: "string" },
    trace: { type: "boolean" },
    match: { type: "string" },
    once: { type: "boolean" },
    "twice-every": { type: "string" },
    "keep-going": { type: "boolean" },
    minimise: { type: "boolean" },
    nodes: { type: "string" },
    plan: { type: "string" },
    full: { type: "boolean" },
    worker: { type: "boolean" },
    help: { type: "boolean" },
  },
});

const HELP = `npm run sim -- [options]

  --seeds COUNT         seeds of each scenario (default 10); --from N is the first (default 1)
  --seed N              one seed: repeats a failure
  --scenario A,B        only these (default: all)
  --workers N           processes (default 1)
  --keep-going          do not stop at the first violation
  --once                without the second run of each seed that compares fingerprints
  --twice-every N       run only every Nth seed twice
  --control NAME        with a deliberately broken part, which must be caught
  --minimise            with --seed of swarm, dense, pressure, forgetful or clearing: shrinks the failure and writes its plan to a file
  --plan FILE           with --seed: runs such a plan
  --nodes A,B           membership alone at these sizes, as a table; --seeds seeds each (default 3)
  --trace               print every step; --match TEXT only lines that hold TEXT
  --full                all 16,384 slots and every limit as in production (test/sim/scaled/constants.ts has the others)

scenarios:
${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(16)} ${title}`).join("\n")}
controls:
${CONTROLS.map(({ name, title }) => `  ${name.padEnd(22)} ${title}`).join("\n")}`;

const PLANS: Readonly<Record<string, (seed: number) => SwarmPlan>> = {
  swarm: drawPlan,
  dense: drawDensePlan,
  pressure: drawPressurePlan,
  forgetful: drawForgetfulPlan,
  clearing: drawClearingPlan,
};

if (values.help) console.log(HELP);
else if (values.worker) await serve();
else if (values.nodes !== undefined) measure(values.nodes.split(",").map(Number));
else if (values.minimise) await minimiseSeed(Number(values.seed));
else if (values.plan !== undefined) process.exitCode = await runPlanFile(values.plan);
else process.exitCode = await campaign();

function measure(sizes: readonly number[]): void {
  const rows: MembershipFigures[] = [];
  for (const nodes of sizes) {
    for (let seed = 1; seed <= Number(values.seeds ?? 3); seed++) rows.push(measureMembership(nodes, seed));
  }
  console.log(membershipTable(rows));
}

async function serve(): Promise<void> {
  const options = await runOptions();
  serveJobs((job) => runJob(job, options));
}

function runJob({ scenario, seed, twice }: Job, options: RunOptions): JobResult {
  const result = (twice ? runSeed : runOnce)(seed, scenarioNamed(scenario), options);
  return jobResult(result, twice ? 2 : 1, describeFailure(result));
}

async function campaign(): Promise<number> {
  const scenarios = values.scenario?.split(",") ?? SCENARIOS.map(({ name }) => name);
  for (const name of scenarios) scenarioNamed(name);
  const first = Number(values.seed ?? values.from ?? 1);
  const count = values.seed === undefined ? Number(values.seeds ?? 10) : 1;
  const twiceEvery = values.once ? 0 : Number(values["twice-every"] ?? 1);
  const jobs = jobsOf({ scenarios, first, count, twiceEvery });
  const total = count * scenarios.length;
  const tally = new Tally();
  const startedMs = performance.now();
  let lastMs = startedMs;
  // Whoever ends a campaign early gets the summary of what was run.
  let isStopped = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      isStopped = true;
    });
  }
  const take = (result: JobResult): boolean => {
    tally.add(result);
    if (result.failure !== "") console.log(`\n${result.failure}\n`);
    const nowMs = performance.now();
    if (nowMs - lastMs >= PROGRESS_MS) {
      lastMs = nowMs;
      console.log(tally.progress(total, nowMs - startedMs));
    }
    return !isStopped && (result.failure === "" || values["keep-going"] === true);
  };
  const workers = Number(values.workers ?? 1);
  if (workers > 1) {
    await runOnWorkers(jobs, workers, take);
  } else {
    const options = await runOptions();
    for (const job of jobs) {
      if (!take(runJob(job, options))) break;
      // Lets signals in.
      await setImmediate();
    }
  }
  console.log(tally.summary(performance.now() - startedMs));
  return tally.failures === 0 ? 0 : 1;
}

/** The scenario of one plan. */
function scenarioOf(plan: SwarmPlan): Scenario {
  return { name: "plan", title: describePlan(plan), run: (make) => runPlan(make, plan) };
}

async function minimiseSeed(seed: number): Promise<void> {
  const options = await runOptions();
  const scenario = values.scenario ?? "swarm";
  const draw = PLANS[scenario];
  if (draw === undefined) throw new Error(`Only ${Object.keys(PLANS).join(", ")} are made of plans`);
  const plan = draw(seed);
  const first = runOnce(seed, scenarioOf(plan), options).violation;
  if (first === undefined) throw new Error(`Seed ${seed} breaks nothing`);
  console.log(`seed ${seed} breaks "${first.invariant}": ${describePlan(plan)}`);
  const fails = (candidate: SwarmPlan) =>
    runOnce(seed, scenarioOf(candidate), options).violation?.invariant === first.invariant;
  const file = `${scenario}-${seed}.plan.json`;
  writeFileSync(file, JSON.stringify(minimise(plan, fails, console.log), undefined, 1));
  console.log(`repeat: npm run sim -- --seed ${seed} --plan ${file}`);
}

async function runPlanFile(file: string): Promise<number> {
  const plan = JSON.parse(readFileSync(file, "utf8")) as SwarmPlan;
  const result = runOnce(Number(values.seed), scenarioOf(plan), await runOptions());
  console.log(result.violation === undefined ? "no violation" : describeFailure(result));
  return result.violation === undefined ? 0 : 1;
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
