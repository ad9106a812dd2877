// What do many connections cost a node, and does it serve them alike? One node with 5,000 idle clients: the memory and the processor time of each;
// then 200 clients beside them that each make one call after the other: how evenly they are served.
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
import { connect, startNode } from "../src/index.ts";
import { cpuMicrosOf } from "./load/cpu.ts";

const IDLE = 5_000;
const ACTIVE = 200;
/** Connected at a time: a node lets so many strangers of one address in, and many more. */
const TOGETHER = 50;
const SETTLE_MS = 5_000;
const SERVE_MS = 5_000;

/** What this process is to be, beside the one that reports. */
type Part =
  | { readonly part: "node" }
  | { readonly part: "idle" | "active"; readonly address: string; readonly count: number };

async function run(part: Part): Promise<void> {
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
  const { address, count } = part;
  const caches: Awaited<ReturnType<typeof connect>>[] = [];
  while (caches.length < count) {
    const some = Array.from({ length: Math.min(TOGETHER, count - caches.length) }, () =>
      connect(`ringhold://${address}`, { timeout: 20_000 }),
    );
    caches.push(...(await Promise.all(some)));
  }
  if (part.part === "active") {
    let isOver = false;
    const calls = new Array<number>(count).fill(0);
    const loops = caches.map(async (cache, client) => {
      for (; !isOver; calls[client]!++) await cache.get(`key:${client}`);
    });
    await sleep(1_000);
    calls.fill(0);
    await sleep(SERVE_MS);
    process.send!([...calls]);
    isOver = true;
    await Promise.all(loops);
    await Promise.all(caches.map((cache) => cache.close()));
    process.disconnect();
    return;
  }
  process.send!("connected");
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

async function serve(address: string): Promise<string> {
  const active = start({ part: "active", address, count: ACTIVE });
  const ended = once(active, "exit");
  const calls = await told<number[]>(active);
  await ended;
  calls.sort((a, b) => a - b);
  const all = calls.reduce((sum, count) => sum + count, 0);
  const median = calls[ACTIVE / 2]!;
  const rate = Math.round((all * 1_000) / SERVE_MS).toLocaleString("en");
  return `${rate} calls a second, of the median client's calls the least served has ${(calls[0]! / median).toFixed(2)} and the most served ${(calls.at(-1)! / median).toFixed(2)}`;
}

async function main(count: number): Promise<void> {
  const node = start({ part: "node" });
  try {
    const address = await told<string>(node);
    const residentBytes = () => residentBytesOf(node.pid!);
    // The first load makes the node's code and buffers, which is not what connections cost.
    process.stdout.write(`${ACTIVE} active clients alone: ${await serve(address)}\n`);
    await sleep(SETTLE_MS);
    const before = residentBytes();
    const crowd = start({ part: "idle", address, count });
    try {
      await told(crowd);
      await sleep(SETTLE_MS);
      const cpuBefore = cpuMicrosOf([node.pid!]);
      await sleep(SETTLE_MS);
      const micros = (cpuMicrosOf([node.pid!]) - cpuBefore) / count / (SETTLE_MS / 1_000);
      const kib = (residentBytes() - before) / count / 1_024;
      process.stdout.write(
        `${count} idle clients: ${kib.toFixed(1)} KiB and ${micros.toFixed(1)} us of CPU a second each\n`,
      );
      process.stdout.write(`${ACTIVE} active clients beside them: ${await serve(address)}\n`);
    } finally {
      crowd.kill("SIGKILL");
    }
  } finally {
    node.kill("SIGKILL");
  }
}

const [argument] = process.argv.slice(2);
if (argument?.startsWith("{") === true) await run(JSON.parse(argument) as Part);
else await main(Number(argument ?? IDLE));
