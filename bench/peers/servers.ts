// Starts what is compared: a Ringhold cluster, Redis Clusters, memcached servers. All on free loopback ports, in memory only, in temporary
// directories, and gone when the benchmark ends.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePorts } from "../../cluster/free-port.ts";
import { LocalCluster } from "../../cluster/local-cluster.ts";
import { waitFor } from "../../cluster/wait.ts";

/** Servers that run. */
export interface Servers {
  readonly addresses: readonly string[];
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

/** The version a program reports, or `undefined` when it is not installed. */
export function versionOf(program: string): string | undefined {
  try {
    const text = execFileSync(program, ["--version"], { encoding: "utf8" });
    return /\d+\.\d+\.\d+/.exec(text)?.[0];
  } catch {
    return undefined;
  }
}

/** A Ringhold cluster of real processes; a single node has nobody to copy to. */
export async function startRingholdNodes(nodes: number, nodeArguments: readonly string[]): Promise<Servers> {
  const stateDirectory = mkdtempSync(join(tmpdir(), "ringhold-bench-"));
  const cluster = await LocalCluster.start({ stateDirectory, nodes, basePort: 0, nodeArguments });
  if (nodes > 1) await cluster.untilSafe();
  const running = cluster.nodes();
  return {
    addresses: running.map(({ address }) => address),
    pids: running.flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
    stop: () => cluster.destroy(),
  };
}

/** A Redis Cluster of 3 masters, each with `replicasEach` replicas, without persistence. */
export async function startRedisCluster(
  replicasEach: number,
  config: readonly string[] = [],
): Promise<Servers> {
  const count = 3 + 3 * replicasEach;
  const directory = mkdtempSync(join(tmpdir(), "redis-bench-"));
  const ports = await findFreePorts(2 * count);
  const clientPorts = ports.slice(0, count);
  const children = clientPorts.map((port, index) =>
    spawn(
      "redis-server",
      [
        ...["--port", `${port}`, "--bind", "127.0.0.1", "--dir", directory],
        ...["--cluster-enabled", "yes", "--cluster-port", `${ports[count + index]}`],
        ...["--cluster-config-file", `nodes-${port}.conf`, "--save", "", "--appendonly", "no"],
        ...["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"],
        ...config,
      ],
      { stdio: "ignore" },
    ),
  );
  const addresses = clientPorts.map((port) => `127.0.0.1:${port}`);
  const servers = { addresses, pids: pidsOf(children), stop: () => stopAll(children, directory) };
  try {
    await Promise.all(clientPorts.map(untilListening));
    const flags = [
      "--cluster",
      "create",
      ...addresses,
      "--cluster-replicas",
      `${replicasEach}`,
      "--cluster-yes",
    ];
    execFileSync("redis-cli", flags, { stdio: "ignore", timeout: 60_000 });
    await waitFor(() => clientPorts.every((port) => isRedisReady(port, replicasEach)), {
      what: "the Redis Cluster to be ready",
      timeoutMs: 30_000,
      intervalMs: 200,
    });
  } catch (error) {
    await servers.stop();
    throw error;
  }
  return servers;
}

function isRedisReady(port: number, replicasEach: number): boolean {
  const ask = (...command: string[]) =>
    execFileSync("redis-cli", ["-p", `${port}`, ...command], { encoding: "utf8" });
  if (!ask("cluster", "info").includes("cluster_state:ok")) return false;
  const replication = ask("info", "replication");
  return replication.includes("role:slave")
    ? replication.includes("master_link_status:up")
    : replication.includes(`connected_slaves:${replicasEach}`);
}

/** Memcached servers with one thread each: as many cores as one node of the others uses. */
export async function startMemcached(count: number): Promise<Servers> {
  const ports = await findFreePorts(count);
  const children = ports.map((port) =>
    spawn("memcached", ["-p", `${port}`, "-l", "127.0.0.1", "-t", "1", "-m", "1024", "-u", "nobody"], {
      stdio: "ignore",
    }),
  );
  await Promise.all(ports.map(untilListening));
  return {
    addresses: ports.map((port) => `127.0.0.1:${port}`),
    pids: pidsOf(children),
    stop: () => stopAll(children, undefined),
  };
}

async function untilListening(port: number): Promise<void> {
  const isListening = () =>
    new Promise<boolean>((resolve) => {
      const socket = createConnection({ port, host: "127.0.0.1" });
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
  await waitFor(isListening, { what: `port ${port} to be listened on`, timeoutMs: 10_000, intervalMs: 20 });
}

function pidsOf(children: readonly ChildProcess[]): number[] {
  return children.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
}

async function stopAll(children: readonly ChildProcess[], directory: string | undefined): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once("exit", () => resolve());
          child.kill("SIGKILL");
        }),
    ),
  );
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
}
