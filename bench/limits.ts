// What happens at a node's limits? Three questions: ten times the memory budget written under a limit of the system's (R1), event loops that stand
// still for 100 ms once a second (R7), and keys made to collide (H5).
//
// Goals: never killed, resident growth within a tenth of what the node accounts for; no member taken for dead, and calls that take as long as the
// stall and no longer; inserting at most half as slowly again as random keys.
//
// Run with `npm run bench:limits`, or with one of `memory`, `stalls`, `keys` behind it. `memory` limits the node with a memory cgroup where one
// can be made (version 1, as root) and says so where not.

import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { askNode } from "../cluster/node-http.ts";
import { type NodeProcess, startNodeProcess } from "../cluster/node-process.ts";
import { residentBytesOf } from "../cluster/os-process.ts";
import { slotOfKey } from "../src/base/hash.ts";
import { SegmentStore } from "../src/core/store/segment-store.ts";
import { connect, startNode } from "../src/index.ts";
import { loadHashes } from "../src/io/hashes.ts";
import { Histogram } from "./histogram.ts";

const MIB = 2 ** 20;
const BUDGET_MB = 256;
/** 1.25 times the budget and 150 MB. */
const LIMIT_MB = BUDGET_MB * 1.25 + 150;
const CGROUP = "/sys/fs/cgroup/memory/ringhold-bench";
const STALL_MS = 100;
const STALLS_MS = 15_000;
const KEYS = 1_000_000;

function print(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** Limits the process's memory; whether that worked. */
function limit(pid: number): boolean {
  try {
    mkdirSync(CGROUP, { recursive: true });
    writeFileSync(`${CGROUP}/memory.limit_in_bytes`, `${LIMIT_MB * MIB}`);
    writeFileSync(`${CGROUP}/cgroup.procs`, `${pid}`);
    return true;
  } catch {
    return false;
  }
}

/** Megabytes of a node, by its own account and by the system's. */
interface Memory {
  readonly resident: number;
  /** Entries and their index. */
  readonly store: number;
  /** All memory outside the heap: the store's, and buffers of the network that are in use or wait for a collection. */
  readonly outside: number;
  readonly heap: number;
}

async function memoryOf({ pid, address }: NodeProcess): Promise<Memory> {
  const resident = residentBytesOf(pid) / MIB;
  const status = JSON.parse((await askNode(address, "/status")).body) as { store: { bytes: number } };
  const { body } = await askNode(address, "/metrics");
  const metric = (name: string) => Number(new RegExp(`^${name} (\\d+)`, "m").exec(body)?.[1] ?? 0) / MIB;
  return {
    resident,
    store: status.store.bytes / MIB,
    outside: metric("nodejs_external_memory_bytes"),
    heap: metric("nodejs_heap_size_used_bytes"),
  };
}

async function memory(): Promise<void> {
  const node = await startNodeProcess(["--memory", `${BUDGET_MB}mb`]);
  let ended: string | undefined;
  node.child.once("exit", (code, signal) => {
    ended = signal ?? `${code}`;
  });
  const isLimited = limit(node.pid);
  const start = await memoryOf(node);
  const cache = await connect(`ringhold://${node.address}`, { timeout: 20_000 });
  let written = 0;
  let failed = 0;
  let most = start;
  for (let index = 0; written < 10 * BUDGET_MB * MIB && ended === undefined; ) {
    const calls: Promise<unknown>[] = [];
    for (let bytes = 0; bytes < 2 * MIB; index++) {
      // From 1 byte to 1 MiB, every power of two as often as the others.
      const size = 2 ** (index % 21);
      bytes += size;
      written += size;
      calls.push(
        cache.set(`key:${index}`, new Uint8Array(size)).catch(() => {
          failed++;
        }),
      );
    }
    await Promise.all(calls);
    if (residentBytesOf(node.pid) > most.resident * MIB) most = await memoryOf(node);
  }
  const grown = (part: keyof Memory) => Math.round(most[part] - start[part]);
  print({
    row: "R1",
    isLimited,
    limitMb: LIMIT_MB,
    writtenMb: Math.round(written / MIB),
    failed,
    ended: ended ?? "no",
    mostMb: Math.round(most.resident),
    growthMb: grown("resident"),
    storeMb: grown("store"),
    outsideHeapMb: grown("outside"),
    heapMb: grown("heap"),
  });
  await cache.close();
  await node.kill();
  if (isLimited) rmdirSync(CGROUP);
}

/** A node whose event loop stands still for 100 ms once a second. */
async function stallingNode(join: string): Promise<void> {
  const node = await startNode({
    listen: "127.0.0.1:0",
    ...(join === "" ? {} : { join }),
    onEvent: (event) => {
      if (event.type === "memberLiveness" && event.liveness !== "alive") process.send?.(event.liveness);
    },
  });
  process.send?.({ address: node.url.replace(/^.*\/\//, "") });
  process.on("message", () => {
    setInterval(() => {
      const untilMs = performance.now() + STALL_MS;
      while (performance.now() < untilMs);
    }, 1_000);
  });
}

async function stalls(): Promise<void> {
  const children: ChildProcess[] = [];
  const addresses: string[] = [];
  let suspected = 0;
  let dead = 0;
  let isCounting = false;
  for (let index = 0; index < 3; index++) {
    const child = fork(fileURLToPath(import.meta.url), ["node", addresses[0] ?? ""]);
    children.push(child);
    addresses.push(
      await new Promise<string>((resolve) => {
        child.on("message", (message: "suspect" | "dead" | { address: string }) => {
          if (typeof message === "object") resolve(message.address);
          else if (isCounting && message === "dead") dead++;
          else if (isCounting) suspected++;
        });
      }),
    );
  }
  const cache = await connect(`ringhold://${addresses.join(",")}`, { timeout: 2_000 });
  await sleep(4_000);
  isCounting = true;
  for (const child of children) child.send("begin");
  const times = new Histogram();
  let failed = 0;
  const startMs = performance.now();
  while (performance.now() - startMs < STALLS_MS) {
    const dueMs = performance.now();
    void cache
      .set(`key:${times.count % 500}`, "v")
      .catch(() => {
        failed++;
      })
      .finally(() => times.record(performance.now() - dueMs));
    await sleep(5);
  }
  await sleep(500);
  print({
    row: "R7",
    stallMs: STALL_MS,
    calls: times.count,
    failed,
    p50Ms: times.percentileMs(50),
    p99Ms: times.percentileMs(99),
    maxMs: Math.round(times.maxMs),
    suspected,
    dead,
  });
  await cache.close();
  for (const child of children) child.kill("SIGKILL");
}

async function keys(): Promise<void> {
  const hashes = await loadHashes();
  const kinds: Record<string, (index: number) => string> = {
    random: (index) => `${hashes.hash32(String(index), 7)}:${hashes.hash32(String(index), 9)}`,
    "multiples of 65,536": (index) => String(index * 65_536),
    "the same first bytes": (index) => `aaaaaaaaaaaaaaaa${index}`,
    "one slot": (index) => `{a}${index}`,
  };
  let baselineMs = 0;
  for (const [kind, keyOf] of Object.entries(kinds)) {
    const store = new SegmentStore({ bytesMax: 512 * MIB }, hashes);
    const names = Array.from({ length: KEYS }, (_, index) => keyOf(index));
    const value = new Uint8Array(20);
    const rest = { origin: 1, expiresAt: 0, format: 2, value, opClient: 0, opSeq: 0, opAttempt: 1 } as const;
    const startMs = performance.now();
    for (let index = 0; index < KEYS; index++) {
      const key = names[index]!;
      store.merge(slotOfKey(key), { key, version: index + 1, ...rest }, 1_800_000_000_000);
    }
    const ms = performance.now() - startMs;
    if (baselineMs === 0) baselineMs = ms;
    print({
      row: "H5",
      keys: kind,
      held: store.stats().entries,
      ms: Math.round(ms),
      ratio: Number((ms / baselineMs).toFixed(2)),
    });
  }
}

const [part, join = ""] = process.argv.slice(2);
if (part === "node") await stallingNode(join);
else {
  if (part === undefined || part === "keys") await keys();
  if (part === undefined || part === "stalls") await stalls();
  if (part === undefined || part === "memory") await memory();
}
