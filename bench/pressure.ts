// What do callers notice of a node whose heap is nearly full of live objects (R4), and what do the other nodes spend on a peer that stands still (R2)?
//
// `heap`: a process of 512 MB of heap, nine tenths of it live objects of the application that it is embedded in, serves half sets and half gets at a
// steady rate. Ideal: the same process without those objects. Goal: no collection and no call above 200 ms.
// `peer`: of three nodes one is stopped while values are written at a steady rate. Baseline: the same rate before. Goals: the others grow by at most
// 64 MB, their callers' p99 at most doubles once the stopped one is known for dead, and all copies are in place again after it goes on.
//
// Run with `npm run bench:pressure`, or with `heap` or `peer` behind it. Open loops: calls are timed from the instant they were due.

import { fork } from "node:child_process";
import { once } from "node:events";
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { getHeapStatistics } from "node:v8";
import { askNode } from "../cluster/node-http.ts";
import { residentBytesOf } from "../cluster/os-process.ts";
import { type Cache, connect, startNode } from "../src/index.ts";
import { callAtRate } from "./call-at-rate.ts";
import { startRingholdNodes } from "./peers/servers.ts";

const HEAP_MB = 512;
const HEAP_SHARE = 0.9;
const HEAP_MS = 15_000;
const HEAP_RATE = 1_000;
const PEER_RATE = 100;
const PEER_KEYS = 200;
const PEER_VALUE_BYTES = 64 * 1024;
const QUIET_MS = 5_000;
/** Until everybody takes it for dead. */
const DYING_MS = 5_000;
const STOPPED_MS = 15_000;
const MIB = 2 ** 20;

function print(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

// ---- R4

/** An application with a node in it and so many megabytes of live objects. */
async function application(isFull: boolean): Promise<void> {
  const node = await startNode({ listen: "127.0.0.1:0", memory: "64mb" });
  const ballast: object[] = [];
  const isWanted = () => {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    return isFull && used < HEAP_SHARE * limit;
  };
  while (isWanted()) {
    for (let index = 0; index < 10_000; index++)
      ballast.push({ id: ballast.length, name: `object ${ballast.length}`, links: [ballast.length] });
    await sleep(0);
  }
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  let pauseMsMax = 0;
  let pauseMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      pauseMsMax = Math.max(pauseMsMax, duration);
      pauseMs += duration;
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  process.on("message", () => {
    // Read at the end, so that all of it lives until then.
    const objects = ballast.reduce((count, item) => count + ("id" in item ? 1 : 0), 0);
    process.send?.({ pauseMsMax: Math.round(pauseMsMax), pauseMs: Math.round(pauseMs), objects });
  });
  process.send?.({ url: node.url, heapShare: Number((used / limit).toFixed(2)) });
}

async function heap(): Promise<void> {
  for (const kind of ["empty", "full"]) {
    const child = fork(fileURLToPath(import.meta.url), ["application", kind], {
      execArgv: [`--max-old-space-size=${HEAP_MB}`],
    });
    const [{ url, heapShare }] = (await once(child, "message")) as [{ url: string; heapShare: number }];
    const cache = await connect(url, { timeout: 2_000 });
    const make = (index: number): Promise<unknown> =>
      index % 2 === 0
        ? cache.set(`key:${index % 1_000}`, "v".repeat(100))
        : cache.get(`key:${index % 1_000}`);
    await callAtRate({ ms: 1_000, rate: HEAP_RATE, make });
    const { times, failed } = await callAtRate({ ms: HEAP_MS, rate: HEAP_RATE, make });
    child.send("report");
    const [report] = (await once(child, "message")) as [object];
    print({
      row: "R4",
      heap: kind,
      heapMb: HEAP_MB,
      heapShare,
      calls: times.count,
      failed,
      p50Ms: times.percentileMs(50),
      p99Ms: times.percentileMs(99),
      maxMs: Math.round(times.maxMs),
      ...report,
    });
    await cache.close();
    child.kill("SIGKILL");
  }
}

// ---- R2

async function isSafe(address: string): Promise<boolean> {
  const { status } = await askNode(address, "/safez", { timeoutMs: 2_000 });
  return status === 200;
}

async function peer(): Promise<void> {
  const servers = await startRingholdNodes(3, ["--memory", "128mb"]);
  const [address = ""] = servers.addresses;
  const others = servers.pids.slice(0, 2);
  const stopped = servers.pids[2]!;
  const cache: Cache = await connect(`ringhold://${servers.addresses.join(",")}`, { timeout: 2_000 });
  const value = new Uint8Array(PEER_VALUE_BYTES);
  const callFor = (ms: number) =>
    callAtRate({ ms, rate: PEER_RATE, make: (index) => cache.set(`key:${index % PEER_KEYS}`, value) });
  try {
    await callFor(QUIET_MS);
    const quiet = await callFor(QUIET_MS);
    const before = others.map(residentBytesOf);
    let growthBytes = 0;
    const watch = setInterval(() => {
      growthBytes = Math.max(
        growthBytes,
        ...others.map((pid, index) => residentBytesOf(pid) - before[index]!),
      );
    }, 100);
    process.kill(stopped, "SIGSTOP");
    const dying = await callFor(DYING_MS);
    const without = await callFor(STOPPED_MS);
    process.kill(stopped, "SIGCONT");
    const resumedMs = performance.now();
    const again = await callFor(QUIET_MS);
    while (!(await isSafe(address))) await sleep(50);
    clearInterval(watch);
    print({
      row: "R2, paused peer",
      writtenMb: Math.round((PEER_RATE * (DYING_MS + STOPPED_MS) * PEER_VALUE_BYTES) / 1_000 / MIB),
      quietP99Ms: quiet.times.percentileMs(99),
      dyingP99Ms: dying.times.percentileMs(99),
      dyingMaxMs: Math.round(dying.times.maxMs),
      withoutP99Ms: without.times.percentileMs(99),
      resumedP99Ms: again.times.percentileMs(99),
      failed: { ...dying.failed, ...without.failed, ...again.failed },
      growthMb: Math.round(growthBytes / MIB),
      safeWithinMs: Math.round(performance.now() - resumedMs),
    });
  } finally {
    await cache.close();
    await servers.stop();
  }
}

const [part, kind] = process.argv.slice(2);
if (part === "application") await application(kind === "full");
else {
  if (part === undefined || part === "heap") await heap();
  if (part === undefined || part === "peer") await peer();
}
