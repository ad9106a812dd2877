// What do honest callers notice while a node is attacked? One node with a secret; callers at a steady rate in an open loop, first by themselves, then
// under one attack after the other from processes that do not hold the secret, or that hold it and do not read what they ask for.
//
// Baseline: the quiet 99th percentile, measured right before each attack. Ideal: the same attacker at work on a bare TCP server that keeps 512
// connections and closes all others, while the node beside it is left in peace: what is slower then is slow because attackers share the machine.
// The node has one half of the machine's cores, and all others the other half, where attackers run when nobody else wants the processor (SCHED_IDLE, where
// there is `chrt`): those of another machine would not take it from node and callers, and what is asked is what the node does to its callers. What the
// attacker got done, and what it and the node took of a core, is printed beside.
//
// Goals: at most twice of the quiet one, nothing lost, at most 64 MB more resident memory. Medians of rounds; the first two seconds of an attack are
// told apart from the rest.
//
// Run with `npm run bench:attack`, or `npm run bench:attack -- --only half-open --rounds 3`.

import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { constants, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { type NodeProcess, startNodeProcess } from "../cluster/node-process.ts";
import { residentBytesOf } from "../cluster/os-process.ts";
import { type Cache, connect } from "../src/index.ts";
import { clientIdentity, dialLink } from "../src/io/link.ts";
import { callAtRate } from "./call-at-rate.ts";
import { keepTo } from "./cores.ts";
import { cpuMicrosOf } from "./load/cpu.ts";
import { median } from "./median.ts";

const SECRET = "a secret of more than sixteen bytes";
const SLOW_READERS = "100 readers of 1 MiB that never read";
const ATTACKS = {
  "5,000 half-open connections": halfOpen,
  "garbage before authentication": garbage,
  "handshakes with a wrong secret": wrongSecret,
  [SLOW_READERS]: slowReaders,
} as const;
type Attack = keyof typeof ATTACKS;

const QUIET_MS = 2_000;
const BEGINNING_MS = 2_000;
const ATTACK_MS = 4_000;
const RATE = 500;
const MIB = 2 ** 20;
const SETTLE_MS = 3_000;
/** As many strangers of one address as a node hears, and as long. */
const KEPT_MAX = 512;
const KEPT_MS = 4_500;

// ---- attackers, each in a process of its own

/** Connections that this attacker made. */
let made = 0;

function halfOpen(port: number): void {
  let open = 0;
  // All of them within a second, and as many again each second of those that were cut.
  const fill = () => {
    for (let count = 0; count < 500 && open < 5_000; count++) {
      open++;
      made++;
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("close", () => open--);
    }
  };
  setInterval(fill, 100);
}

function garbage(port: number): void {
  setInterval(() => {
    for (let count = 0; count < 25; count++, made++) {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("connect", () => {
        const upgrade =
          "GET /client HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        if (count % 2 === 0) socket.write(upgrade);
        socket.write(randomBytes(4_096));
      });
      setTimeout(() => socket.destroy(), 500);
    }
  }, 50);
}

function wrongSecret(port: number): void {
  setInterval(() => {
    for (let count = 0; count < 10; count++, made++) {
      connect(`ringhold://127.0.0.1:${port}`, {
        secret: "another secret of sixteen bytes",
        connectTimeout: 500,
      }).catch(() => {});
    }
  }, 50);
}

/** They hold the secret, ask for far more than a connection may buffer, and read nothing. */
function slowReaders(port: number): void {
  // One after the other: the socket that was opened last is that of the link that was.
  let last: Promise<void> = Promise.resolve();
  const begin = () => {
    last = last.then(open).catch(() => void setTimeout(begin, 200));
  };
  const open = async () => {
    made++;
    const link = await dialLink({
      address: `127.0.0.1:${port}`,
      path: "client",
      secret: SECRET,
      identity: clientIdentity({ clientId: 9 }),
      timeoutMs: 5_000,
      onLink: () => ({ onMessages: () => {}, onClose: () => void setTimeout(begin, 200) }),
    });
    if (opened !== undefined) stopReading(opened);
    for (let id = 1; id <= 200; id++)
      link.send({ kind: "get", id, key: "large", read: "one", want: "value", notAfter: 0 });
  };
  for (let count = 0; count < 100; count++) begin();
}

/** For good: a link reads on once it has sent something. */
function stopReading(webSocket: WebSocket): void {
  webSocket.pause();
  webSocket.resume = () => {};
}

/** Links do not tell their sockets: the last one is found where ws speaks of it. */
let opened: WebSocket | undefined;
const emit = WebSocket.prototype.emit;
WebSocket.prototype.emit = function (this: WebSocket, ...given: Parameters<typeof emit>) {
  if (given[0] === "open") opened = this;
  return emit.apply(this, given);
};

/** Lets everybody else have the processor first. */
function standBack(): void {
  try {
    execFileSync("chrt", ["--idle", "--pid", "0", `${process.pid}`], { stdio: "ignore" });
  } catch {
    setPriority(constants.priority.PRIORITY_LOW);
  }
}

// ---- honest callers

interface Heard {
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly calls: number;
  readonly failed: number;
}

/** One attack, its beginning told apart. */
interface Attacked {
  readonly first: Heard;
  readonly rest: Heard;
  /** Connections a second that the attacker made. */
  readonly rate: number;
  /** Shares of a core. */
  readonly attackerShare: number;
  readonly nodeShare: number;
}

/** Half sets and half gets. */
async function call(cache: Cache, ms: number): Promise<Heard> {
  const make = (index: number): Promise<unknown> => {
    const key = `key:${index % 1_000}`;
    return index % 2 === 0 ? cache.get(key) : cache.set(key, "v".repeat(100));
  };
  const { times, failed } = await callAtRate({ ms, rate: RATE, make });
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  return { p99Ms: times.percentileMs(99), maxMs: times.maxMs, calls: times.count, failed: failures };
}

/** A server that does as little with a stranger as can be done. */
function bareServer(): void {
  keepTo("first");
  const kept = new Set<Socket>();
  const server = createServer((socket) => {
    if (kept.size >= KEPT_MAX) {
      socket.destroy();
      return;
    }
    kept.add(socket);
    const timer = setTimeout(() => socket.destroy(), KEPT_MS);
    socket.on("error", () => {});
    socket.on("close", () => {
      kept.delete(socket);
      clearTimeout(timer);
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
}

function forkHere(...args: readonly string[]): ChildProcess {
  return fork(fileURLToPath(import.meta.url), args);
}

/** Calls while `attack` is at work on `address`, which process `pid` listens on. */
async function under(attack: Attack, address: string, pid: number, cache: Cache): Promise<Attacked> {
  const attacker = forkHere(attack, address.split(":")[1]!);
  let connections = 0;
  attacker.on("message", (count: number) => {
    connections = count;
  });
  const startMs = performance.now();
  const nodeBefore = cpuMicrosOf([pid]);
  await sleep(300);
  const first = await call(cache, BEGINNING_MS);
  const rest = await call(cache, ATTACK_MS);
  const ms = performance.now() - startMs;
  const shareOf = (micros: number) => Number((micros / 1_000 / ms).toFixed(2));
  const attackerShare = shareOf(cpuMicrosOf([attacker.pid!]));
  const nodeShare = shareOf(cpuMicrosOf([pid]) - nodeBefore);
  attacker.kill("SIGKILL");
  // What the attacker left is got rid of.
  await sleep(SETTLE_MS);
  return { first, rest, rate: Math.round((connections * 1_000) / ms), attackerShare, nodeShare };
}

const p99 = (all: readonly Heard[]) => median(all.map(({ p99Ms }) => p99Ms));
const failedIn = (all: readonly Heard[]) => all.reduce((sum, { failed }) => sum + failed, 0);

/** One attack, round after round: quiet, beside the node, quiet, on the node. */
async function measure(attack: Attack, rounds: number, node: NodeProcess, cache: Cache): Promise<object> {
  const [quiet, beside, begun, attacked]: [Heard[], Heard[], Heard[], Heard[]] = [[], [], [], []];
  const attacks: Attacked[] = [];
  let growthBytes = 0;
  for (let round = 0; round < rounds; round++) {
    if (attack !== SLOW_READERS) {
      quiet.push(await call(cache, QUIET_MS));
      const bare = forkHere("bare");
      const [barePort] = (await once(bare, "message")) as [number];
      beside.push((await under(attack, `127.0.0.1:${barePort}`, bare.pid!, cache)).rest);
      bare.kill("SIGKILL");
    }
    quiet.push(await call(cache, QUIET_MS));
    const before = residentBytesOf(node.pid);
    const watch = setInterval(() => {
      growthBytes = Math.max(growthBytes, residentBytesOf(node.pid) - before);
    }, 100);
    const one = await under(attack, node.address, node.pid, cache);
    clearInterval(watch);
    attacks.push(one);
    begun.push(one.first);
    attacked.push(one.rest);
  }
  const ratio = (all: readonly Heard[]) => Number((p99(all) / p99(quiet)).toFixed(2));
  return {
    attack,
    rounds,
    quietP99Ms: p99(quiet),
    besideP99Ms: p99(beside),
    beginningP99Ms: p99(begun),
    attackedP99Ms: p99(attacked),
    besideRatio: ratio(beside),
    attackedRatio: ratio(attacked),
    maxMs: Math.round(Math.max(...[...begun, ...attacked].map(({ maxMs }) => maxMs))),
    failed: failedIn([...begun, ...attacked]),
    growthMb: Math.round(growthBytes / MIB),
    connectionsPerSecond: median(attacks.map(({ rate }) => rate)),
    attackerShare: median(attacks.map(({ attackerShare }) => attackerShare)),
    nodeShare: median(attacks.map(({ nodeShare }) => nodeShare)),
    isKept: (await cache.get("kept")) === "safe",
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: "string", default: "" }, rounds: { type: "string", default: "3" } },
  });
  keepTo("first");
  const directory = mkdtempSync(join(tmpdir(), "ringhold-attack-"));
  const secretFile = join(directory, "secret");
  writeFileSync(secretFile, SECRET, { mode: 0o600 });
  const node = await startNodeProcess(["--secret-file", secretFile]);
  keepTo("second");
  const cache = await connect(`ringhold://${node.address}`, { secret: SECRET, timeout: 2_000 });
  try {
    await cache.set("large", new Uint8Array(MIB));
    await cache.set("kept", "safe");
    await call(cache, 2_000);
    for (const attack of Object.keys(ATTACKS) as Attack[]) {
      if (!attack.includes(values.only)) continue;
      const result = await measure(attack, Number(values.rounds), node, cache);
      process.stdout.write(`${JSON.stringify(result)}\n`);
    }
  } finally {
    await cache.close();
    await node.kill();
    rmSync(directory, { recursive: true });
  }
}

const [role, port] = process.argv.slice(2);
if (role === "bare") bareServer();
else if (role !== undefined && role in ATTACKS) {
  standBack();
  setInterval(() => process.send?.(made), 100);
  ATTACKS[role as Attack](Number(port));
} else await main();
