// What happens at three times of what a cluster can do? Measures the capacity in a closed loop, then offers a multiple of it in an open loop from
// processes that wait for nothing, then a tenth of it again.
//
// Baseline: the capacity itself. Ideal: the same goodput, whoever is not served is told at once, no node is taken for dead, and
// the calls after it are as fast as those before. Goals: goodput of at least 80 % of the capacity, refusals within 50 ms, no
// member suspected for good, and the quiet 99th percentile again within 2 s. Nodes keep to one half of the machine's cores and callers to the other, in
// all phases: what calls and refusals cost the callers would be missing in the goodput. With `--shared` they take from each other what they can.
//
// Run with `npm run bench:overload -- --seconds 60`.

import { parseArgs } from "node:util";
import { askNode } from "../cluster/node-http.ts";
import { keepTo } from "./cores.ts";
import { type Callers, type Phase, type PhaseReport, startCallers } from "./overload/callers.ts";
import { startRingholdNodes } from "./peers/servers.ts";

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "3" },
    seconds: { type: "string", default: "60" },
    times: { type: "string", default: "3" },
    callers: { type: "string", default: "2" },
    sets: { type: "string", default: "0.5" },
    shared: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const CAPACITY_MS = 2_000;
/** Callers per process that the capacity is looked for with. */
const OUTSTANDING = [128, 512, 1_024, 2_048];
const QUIET_MS = 4_000;
const AFTER_MS = 6_000;
/** Back to normal: the quiet p99 with half as much again, and a few milliseconds for what a tick of the system costs. */
const NORMAL_FACTOR = 1.5;
const NORMAL_MS = 5;

/** All processes in the same phase. */
async function together(callers: readonly Callers[], phase: Phase): Promise<readonly PhaseReport[]> {
  const share = phase.rate === undefined ? phase : { ...phase, rate: phase.rate / callers.length };
  return Promise.all(callers.map((each) => each.run(share)));
}

function sum(reports: readonly PhaseReport[], of: (report: PhaseReport) => number): number {
  return reports.reduce((total, report) => total + of(report), 0);
}

function most(reports: readonly PhaseReport[], of: (report: PhaseReport) => number): number {
  return Math.max(...reports.map(of));
}

function failures(reports: readonly PhaseReport[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const { failed } of reports) {
    for (const [code, count] of Object.entries(failed)) all[code] = (all[code] ?? 0) + count;
  }
  return all;
}

/** One counter or gauge of all nodes: its largest value, and the sum. */
async function metric(addresses: readonly string[], pattern: RegExp): Promise<{ max: number; sum: number }> {
  let max = 0;
  let total = 0;
  for (const address of addresses) {
    const { body } = await askNode(address, "/metrics", { timeoutMs: 5_000 });
    for (const line of body.split("\n")) {
      if (!pattern.test(line)) continue;
      const value = Number(line.slice(line.lastIndexOf(" ") + 1));
      max = Math.max(max, value);
      total += value;
    }
  }
  return { max, sum: total };
}

const DEATHS = /^ringhold_member_liveness_changes_total\{liveness="dead"\}/;
const SUSPICIONS = /^ringhold_member_liveness_changes_total\{liveness="suspect"\}/;
const REFUSALS = /^ringhold_requests_total\{.*outcome="ERR_OVERLOADED"\}/;
const RESIDENT = /^process_resident_memory_bytes/;

/** The first quarter of a second from which on no percentile is above the bound, in milliseconds; `undefined` for none. */
function normalAfterMs(reports: readonly PhaseReport[], boundMs: number): number | undefined {
  const length = Math.max(...reports.map(({ quarters }) => quarters.length));
  let normal: number | undefined;
  for (let index = length - 2; index >= 0; index--) {
    const isNormal = reports.every(({ quarters }) => (quarters[index]?.p99Ms ?? 0) <= boundMs);
    if (!isNormal) break;
    normal = index;
  }
  return normal === undefined ? undefined : normal * 250;
}

async function main(): Promise<void> {
  const sets = Number(values.sets);
  const seconds = Number(values.seconds);
  const areApart = !values.shared && keepTo("first");
  const servers = await startRingholdNodes(Number(values.nodes), ["--memory", "256mb"]);
  const callers: Callers[] = [];
  try {
    for (let index = 0; index < Number(values.callers); index++)
      callers.push(await startCallers(servers.addresses, areApart));
    await together(callers, { ms: 2_000, callers: 128, sets });
    // The more callers, the fuller the frames; from some number on they only wait. The most it ever does is the capacity.
    let capacity = 0;
    for (const outstanding of OUTSTANDING) {
      const reports = await together(callers, { ms: CAPACITY_MS, callers: outstanding, sets });
      capacity = Math.max(capacity, (sum(reports, ({ succeeded }) => succeeded) * 1_000) / CAPACITY_MS);
    }
    const loaded = await together(callers, { ms: CAPACITY_MS, rate: 2 * capacity, sets });
    capacity = Math.max(capacity, (sum(loaded, ({ succeeded }) => succeeded) * 1_000) / CAPACITY_MS);
    const quiet = await together(callers, { ms: QUIET_MS, rate: capacity / 10, sets });
    const before = [await metric(servers.addresses, DEATHS), await metric(servers.addresses, SUSPICIONS)];
    const over = await together(callers, {
      ms: seconds * 1_000,
      rate: capacity * Number(values.times),
      sets,
    });
    const after = await together(callers, { ms: AFTER_MS, rate: capacity / 10, sets });
    const later = [await metric(servers.addresses, DEATHS), await metric(servers.addresses, SUSPICIONS)];
    const refusedByNodes = await metric(servers.addresses, REFUSALS);
    const resident = await metric(servers.addresses, RESIDENT);
    const quietP99Ms = most(quiet, ({ p99Ms }) => p99Ms);
    const refused = sum(over, ({ refused: count }) => count);
    const lastEndMs = Math.max(seconds * 1_000, ...over.map(({ quarters }) => quarters.length * 250));
    const result = {
      areApart,
      capacityPerSecond: Math.round(capacity),
      quietP99Ms,
      offeredPerSecond: Math.round(sum(over, ({ made }) => made) / seconds),
      goodputShare: sum(over, ({ succeeded }) => succeeded) / (lastEndMs / 1_000) / capacity,
      goodputP50Ms: most(over, ({ p50Ms }) => p50Ms),
      goodputP99Ms: most(over, ({ p99Ms }) => p99Ms),
      refused,
      refusedByNodes: refusedByNodes.sum,
      refusalP99Ms: most(over, ({ refusalP99Ms }) => refusalP99Ms),
      refusalMaxMs: most(over, ({ refusalMaxMs }) => refusalMaxMs),
      refusedLateShare: sum(over, ({ refusedLate }) => refusedLate) / Math.max(1, refused),
      otherFailures: failures(over),
      failuresAfter: { ...failures(after), refused: sum(after, ({ refused: count }) => count) },
      deaths: later[0]!.sum - before[0]!.sum,
      suspicions: later[1]!.sum - before[1]!.sum,
      normalAfterMs: normalAfterMs(after, quietP99Ms * NORMAL_FACTOR + NORMAL_MS),
      residentMbMax: Math.round(resident.max / 1_048_576),
    };
    process.stdout.write(`${JSON.stringify(result, undefined, values.json ? 0 : 2)}\n`);
  } finally {
    for (const each of callers) each.stop();
    await servers.stop();
  }
}

await main();
