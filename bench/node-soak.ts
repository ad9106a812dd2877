// Question: does a node keep to its memory? One real `ringhold node` process with Node's default flags is filled by this one and then
// written and read for minutes, and its resident memory is compared with the budget that it was given.
// Baseline: the bound of a tenth around the budget. Ideal: the budget, in the last minute as in the first.
//
// Needs `npm run build`: the node is the compiled one. Run:
// `npx tsx bench/node-soak.ts [--entries 10000000] [--value 100] [--memory 2gb] [--seconds 600] [--outstanding 256]`
// The load is mixed: 60 % gets, 25 % overwrites with sizes from half to one and a half, 10 % new keys, 5 % deletes, all keys random.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { fetchNodeStatus } from "../cluster/node-http.ts";
import { residentBytesOf } from "../cluster/os-process.ts";
import { CacheError, connect } from "../src/index.ts";
import { Histogram } from "./histogram.ts";
import { cpuMicrosOf } from "./load/cpu.ts";
import { startRingholdNodes } from "./peers/servers.ts";

const { values: args } = parseArgs({
  options: {
    entries: { type: "string", default: "10000000" },
    value: { type: "string", default: "100" },
    memory: { type: "string", default: "2gb" },
    seconds: { type: "string", default: "600" },
    outstanding: { type: "string", default: "256" },
  },
});
const ENTRIES = Number(args.entries);
const VALUE_SIZE = Number(args.value);
const SECONDS = Number(args.seconds);
const OUTSTANDING = Number(args.outstanding);
const FILL_BATCH = 256;
const FILL_BATCHES_OUTSTANDING = 3;
/** What a call that was refused waits for before the next: a node with more to do than it can says so. */
const REST_MS = 100;
const SAMPLE_MS = 5_000;
const REPORT_MS = 60_000;
const MIB = 2 ** 20;

const bytes = new Uint8Array(VALUE_SIZE * 2).map((_, index) => index % 251);
const full = bytes.subarray(0, VALUE_SIZE);
const keyOf = (index: number) => `user:${String(index).padStart(19, "0")}`;
let seed = 1;

function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
  return Math.floor(((seed >>> 0) / 2 ** 32) * below);
}

const servers = await startRingholdNodes(1, ["--memory", args.memory, "--replicas", "1"]);
const [pid, address] = [servers.pids[0]!, servers.addresses[0]!]; // one node was started
const cache = await connect(`ringhold://${address}`, { timeout: 10_000 });
const residentBytes = () => residentBytesOf(pid);
const emptyBytes = residentBytes();

/** Only what a busy node refuses is tried again or counted; all else ends the run. */
async function refused(error: unknown): Promise<false> {
  const isBusy =
    error instanceof CacheError && (error.code === "ERR_OVERLOADED" || error.code === "ERR_TIMEOUT");
  if (!isBusy) throw error;
  failed++;
  await sleep(REST_MS);
  return false;
}

async function fill(): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < ENTRIES) {
      const from = next;
      next = Math.min(ENTRIES, from + FILL_BATCH);
      const batch = Array.from({ length: next - from }, (_, index) => [keyOf(from + index), full] as const);
      for (let isDone = false; !isDone; ) isDone = await cache.setMany(batch).then(() => true, refused);
    }
  };
  await Promise.all(Array.from({ length: FILL_BATCHES_OUTSTANDING }, work));
}

let calls = 0;
let failed = 0;
let nextNew = ENTRIES;
let histogram = new Histogram();

function call(): Promise<unknown> {
  const dice = random(100);
  const key = keyOf(random(ENTRIES));
  if (dice < 60) return cache.get(key);
  if (dice < 85) return cache.set(key, bytes.subarray(0, (VALUE_SIZE >> 1) + random(VALUE_SIZE)));
  if (dice < 95) return cache.set(keyOf(nextNew++), full);
  return cache.delete(key);
}

async function runUntil(endMs: number): Promise<void> {
  const work = async () => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await call().catch(refused);
      histogram.record(performance.now() - startMs);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, work));
}

async function report(name: string, rss: readonly number[]): Promise<void> {
  const { store, hints } = await fetchNodeStatus(address);
  const percent = (part: number) => `${((100 * part) / store.bytesMax).toFixed(1)} %`;
  console.log(
    `${name}: resident ${(Math.min(...rss) / MIB).toFixed(0)} to ${(Math.max(...rss) / MIB).toFixed(0)} MiB, ${percent(Math.min(...rss))} to ${percent(Math.max(...rss))} of the budget; store accounts for ${percent(store.bytes)}, hints for ${percent(hints.bytes)}; ${store.entries} entries, ${store.tombstones} tombstones, ${store.evictionsTotal} evicted`,
  );
}

try {
  console.log(
    `Node ${process.version}; ${ENTRIES} entries of ${VALUE_SIZE} bytes, one node with --memory ${args.memory}, empty: ${(emptyBytes / MIB).toFixed(0)} MiB`,
  );
  let startMs = performance.now();
  await fill();
  await report(`filled in ${((performance.now() - startMs) / 1000).toFixed(0)} s`, [residentBytes()]);
  startMs = performance.now();
  const endMs = startMs + SECONDS * 1000;
  const usedMicros = cpuMicrosOf([pid]);
  const samples: number[] = [];
  let minute: number[] = [];
  const sampler = setInterval(() => {
    samples.push(residentBytes());
    minute.push(residentBytes());
  }, SAMPLE_MS);
  while (performance.now() < endMs) {
    await runUntil(Math.min(endMs, performance.now() + REPORT_MS));
    if (minute.length === 0) minute.push(residentBytes());
    const at = ((performance.now() - startMs) / 1000).toFixed(0);
    const micros = ((cpuMicrosOf([pid]) - usedMicros) / calls).toFixed(1);
    await report(`after ${at} s`, minute);
    console.log(
      `  ${calls} calls, ${failed} failed; p50 ${histogram.percentileMs(50).toFixed(2)} p99 ${histogram.percentileMs(99).toFixed(1)} p99.9 ${histogram.percentileMs(99.9).toFixed(1)} max ${histogram.maxMs.toFixed(0)} ms; ${micros} us of the node's processor a call`,
    );
    minute = [];
    histogram = new Histogram();
  }
  clearInterval(sampler);
  if (samples.length > 0) await report(`all of ${SECONDS} s`, samples);
} finally {
  await cache.close();
  await servers.stop();
}
