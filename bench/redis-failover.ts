// How long does a key not answer when its node is killed under an ioredis Cluster load? Three nodes behind their Redis doors
// (`--redis-cluster`), and beside them a Redis Cluster of three masters and three replicas with its defaults (node timeout 15 s). 64 workers
// ask one key each, over and over; what counts is the longest time between two successes of one worker, and calls that failed.
//
// And under `redis-benchmark --cluster`, which ends with the first connection that breaks, whatever the server: what counts is when, after the
// kill, a run first began that ended without an error.
//
// Needs redis-server, redis-benchmark and redis-cli (Debian's redis-server and redis-tools) for the baseline, and a built dist.
// usage: npx tsx bench/redis-failover.ts [ROUNDS]

import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis6";
import { findFreePorts } from "../cluster/free-port.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";

const rounds = Number(process.argv[2] ?? 3);
const WORKERS = 64;
const CALM_MS = 2_000;

interface Target {
  readonly ports: readonly number[];
  readonly victimPid: number;
  /** How long it is watched after the kill. */
  readonly watchMs: number;
  stop(): Promise<void>;
}

async function ringhold(): Promise<Target> {
  const cluster = await LocalCluster.start({
    ...{
      stateDirectory: mkdtempSync(join(tmpdir(), "redis-failover-")),
      nodes: 3,
      basePort: 0,
      redisBasePort: 0,
    },
    nodeArguments: ["--redis-cluster", "--log-level", "error"],
  });
  await cluster.untilSafe();
  const nodes = cluster.nodes();
  const ports = nodes.map(({ redisAddress }) => Number(redisAddress?.split(":")[1]));
  return { ports, victimPid: nodes[2]!.pid!, watchMs: 5_000, stop: () => cluster.destroy() };
}

async function redisCluster(): Promise<Target> {
  // The bus of a Redis Cluster listens 10,000 ports above.
  const ports = (await findFreePorts(12)).filter((port) => port < 55_000).slice(0, 6);
  if (ports.length < 6) throw new Error("Too few free ports below 55000: try again");
  const servers: ChildProcess[] = ports.map((port) => {
    const cwd = mkdtempSync(join(tmpdir(), "redis-cluster-"));
    const flags = [
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--cluster-enabled",
      "yes",
      "--save",
      "",
      "--appendonly",
      "no",
    ];
    return spawn("redis-server", flags, { cwd, stdio: "ignore" });
  });
  await sleep(1_500);
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const create = ["--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes"];
  execFileSync("redis-cli", create, { stdio: "ignore" });
  // Replicas that have not copied yet do not take over.
  await sleep(13_000);
  return {
    ports: ports.slice(0, 3),
    victimPid: servers[2]!.pid!,
    watchMs: 25_000,
    async stop() {
      for (const server of servers) server.kill("SIGKILL");
    },
  };
}

async function measure({ ports, victimPid, watchMs }: Target): Promise<string> {
  const nodes = ports.map((port) => ({ host: "127.0.0.1", port }));
  const client = new Redis.Cluster(nodes, { clusterRetryStrategy: () => 50 });
  client.on("error", () => {});
  await new Promise<void>((resolve) => client.once("ready", () => resolve()));
  let [calls, failed, longestMs, isOver, isKilled] = [0, 0, 0, false, false];
  const work = async (worker: number): Promise<void> => {
    let lastMs = performance.now();
    for (let round = 0; !isOver; round++) {
      try {
        await (round % 2 === 0 ? client.set(`key:${worker}`, "value") : client.get(`key:${worker}`));
        const nowMs = performance.now();
        if (isKilled) longestMs = Math.max(longestMs, nowMs - lastMs);
        lastMs = nowMs;
        calls++;
      } catch {
        failed++;
      }
      await sleep(2);
    }
  };
  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker));
  await sleep(CALM_MS);
  isKilled = true;
  process.kill(victimPid, "SIGKILL");
  await sleep(watchMs);
  isOver = true;
  await Promise.race([Promise.all(workers), sleep(5_000)]);
  client.disconnect();
  return `${calls} calls, ${failed} failed, longest time without success of one key ${Math.round(longestMs)} ms`;
}

/** Runs redis-benchmark once; resolves to whether it ended without an error. */
function benchmark(port: number, requests: number): Promise<boolean> {
  const flags = [
    "-p",
    `${port}`,
    "--cluster",
    "-t",
    "set,get",
    "-n",
    `${requests}`,
    "-c",
    "16",
    "-r",
    "10000",
  ];
  return new Promise((resolve) => {
    const done = (error: unknown, stdout: string, stderr: string): void =>
      resolve(error === null && !/error/i.test(stdout + stderr));
    execFile("redis-benchmark", [...flags, "--csv"], { timeout: 3_000, maxBuffer: 2 ** 24 }, done);
  });
}

async function measureBenchmark({ ports, victimPid, watchMs }: Target): Promise<string> {
  const port = ports[0]!;
  const underWay = benchmark(port, 10_000_000);
  await sleep(1_000);
  process.kill(victimPid, "SIGKILL");
  const killedMs = performance.now();
  await underWay;
  const endedMs = performance.now() - killedMs;
  for (;;) {
    const beganMs = performance.now() - killedMs;
    const isGood = await benchmark(port, 2_000);
    if (isGood || beganMs > 2 * watchMs)
      return `redis-benchmark ended ${Math.round(endedMs)} ms after the kill; ${isGood ? "a run succeeded that began" : "none had succeeded"} ${Math.round(beganMs)} ms after it`;
    await sleep(20);
  }
}

for (const [name, start] of [
  ["ringhold", ringhold],
  ["Redis Cluster", redisCluster],
] as const) {
  for (let round = 0; round < rounds; round++) {
    for (const judge of [measure, measureBenchmark]) {
      const target = await start();
      try {
        console.log(`${name}: ${await judge(target)}`);
      } finally {
        await target.stop();
      }
    }
  }
}
process.exit(0);
