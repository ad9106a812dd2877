// What do many connections cost a node, and does it serve them alike? One node with 5,000 idle clients: the memory and the processor time of each;
// then 200 clients beside them that each make one call after the other: how evenly they are served. The node has one half of the machine's
// cores and all clients the other.
//
// Baseline: the same node before they came, and the same 200 clients without the crowd. Goals: at most 20 KiB an idle connection; the least
// served client at least half of what the most served one gets.
//
// Run with `npm run bench:crowd`, or with the number of idle clients behind it.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { residentBytesOf } from "../cluster/os-process.ts";
import { type Cache, connect, startNode } from "../src/index.ts";
import { keepTo } from "./cores.ts";
import { cpuMicrosOf } from "./load/cpu.ts";

/** Connected at a time: a node lets so many strangers of one address in, and many more. */
const TOGETHER = 50;
/** Before active clients are counted, they serve to compile what is measured. */
const WARMUP_SHARE = 0.2;

/** How many clients, and how long each state is watched. */
export interface CrowdSize {
  readonly idle: number;
  readonly active: number;
  /** Twice: until what connecting takes is over, and then to measure. */
  readonly settleMs: number;
  readonly serveMs: number;
}

/** How active clients were served. */
export interface Service {
  readonly callsPerSecond: number;
  /** Calls of the least and of the most served client, over those of the median one. */
  readonly least: number;
  readonly most: number;
}

/** What the crowd cost. */
export interface CrowdResult {
  readonly alone: Service;
  readonly beside: Service;
  /** Resident memory and a second's processor time of the node, for each idle client. */
  readonly idleKib: number;
  readonly idleCpuMicros: number;
}

const SIZE: CrowdSize = { idle: 5_000, active: 200, settleMs: 5_000, serveMs: 5_000 };

/** What a process is to be, beside the one that reports. */
type Part =
  | { readonly part: "node" }
  | { readonly part: "idle"; readonly address: string; readonly count: number }
  | { readonly part: "active"; readonly address: string; readonly count: number; readonly serveMs: number };

/** Starts everything, measures, and ends it. */
export async function measureCrowd({ idle, active, settleMs, serveMs }: CrowdSize): Promise<CrowdResult> {
  const node = start({ part: "node" });
  try {
    const address = await told<string>(node);
    const actives = { part: "active", address, count: active, serveMs } as const;
    // The first load makes the node's code and buffers, which is not what connections cost.
    const alone = await serve(actives);
    await sleep(settleMs);
    const bytesBefore = residentBytesOf(node.pid!);
    const crowd = start({ part: "idle", address, count: idle });
    try {
      await told(crowd);
      await sleep(settleMs);
      const cpuBefore = cpuMicrosOf([node.pid!]);
      await sleep(settleMs);
      const idleCpuMicros = (cpuMicrosOf([node.pid!]) - cpuBefore) / idle / (settleMs / 1_000);
      const idleKib = (residentBytesOf(node.pid!) - bytesBefore) / idle / 1_024;
      return { alone, beside: await serve(actives), idleKib, idleCpuMicros };
    } finally {
      crowd.kill("SIGKILL");
    }
  } finally {
    node.kill("SIGKILL");
  }
}

async function serve(part: Extract<Part, { part: "active" }>): Promise<Service> {
  const active = start(part);
  const ended = once(active, "exit");
  const calls = await told<number[]>(active);
  await ended;
  calls.sort((a, b) => a - b);
  const all = calls.reduce((sum, count) => sum + count, 0);
  const median = Math.max(1, calls[calls.length >> 1]!);
  return {
    callsPerSecond: (all * 1_000) / part.serveMs,
    least: calls[0]! / median,
    most: calls.at(-1)! / median,
  };
}

function start(part: Part): ChildProcess {
  const file = fileURLToPath(import.meta.url);
  const child = fork(file, [JSON.stringify(part)], {
    execArgv: file.endsWith(".ts") ? ["--import", "tsx"] : [],
  });
  child.once("exit", (code) => {
    if (code !== 0 && code !== null) throw new Error(`the ${part.part} process ended with ${code}`);
  });
  return child;
}

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, "message")) as [T];
  return message;
}

async function run(part: Part): Promise<void> {
  keepTo(part.part === "node" ? "first" : "second");
  if (part.part === "node") {
    const node = await startNode({
      listen: "127.0.0.1:0",
      memory: "256mb",
      connectionsMax: 20_000,
      connectionsPerAddressMax: 20_000,
    });
    process.send!(node.url.replace(/^.*\/\//, ""));
    return;
  }
  const caches = await connectMany(part.address, part.count);
  if (part.part === "idle") {
    process.send!("connected");
    return;
  }
  process.send!(await countCalls(caches, part.serveMs));
  await Promise.all(caches.map((cache) => cache.close()));
  process.disconnect();
}

async function connectMany(address: string, count: number): Promise<readonly Cache[]> {
  const caches: Cache[] = [];
  while (caches.length < count) {
    const some = Array.from({ length: Math.min(TOGETHER, count - caches.length) }, () =>
      connect(`ringhold://${address}`, { timeout: 20_000 }),
    );
    caches.push(...(await Promise.all(some)));
  }
  return caches;
}

/** Each makes one call after the other. */
async function countCalls(caches: readonly Cache[], serveMs: number): Promise<readonly number[]> {
  let isOver = false;
  const calls = new Array<number>(caches.length).fill(0);
  const loops = caches.map(async (cache, client) => {
    for (; !isOver; calls[client]!++) await cache.get(`key:${client}`);
  });
  await sleep(serveMs * WARMUP_SHARE);
  calls.fill(0);
  await sleep(serveMs);
  const counted = [...calls];
  isOver = true;
  await Promise.all(loops);
  return counted;
}

function describeService({ callsPerSecond, least, most }: Service): string {
  const rate = Math.round(callsPerSecond).toLocaleString("en");
  return `${rate} calls a second, of the median client's calls the least served has ${least.toFixed(2)} and the most served ${most.toFixed(2)}`;
}

async function main(size: CrowdSize): Promise<void> {
  const { alone, beside, idleKib, idleCpuMicros } = await measureCrowd(size);
  process.stdout.write(
    [
      `${size.active} active clients alone: ${describeService(alone)}`,
      `${size.idle} idle clients: ${idleKib.toFixed(1)} KiB and ${idleCpuMicros.toFixed(1)} us of CPU a second each`,
      `${size.active} active clients beside them: ${describeService(beside)}`,
      "",
    ].join("\n"),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [argument] = process.argv.slice(2);
  if (argument?.startsWith("{") === true) await run(JSON.parse(argument) as Part);
  else await main({ ...SIZE, idle: Number(argument ?? SIZE.idle) });
}
