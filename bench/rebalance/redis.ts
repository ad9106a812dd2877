// Redis Cluster as the benchmark's subject: masters without replicas and without persistence, moved by the tool that comes with it
// (`redis-cli --cluster`, default settings), called by ioredis. Node processes and tool run as their distribution has them.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findFreePorts } from "../../cluster/free-port.ts";
import type { LoadTarget } from "../../cluster/load.ts";
import { waitFor } from "../../cluster/wait.ts";
import type { Moved, Step, Subject, SubjectOptions } from "./subject.ts";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const MASTERS_MIN = 3;
const TOOL_TIMEOUT_MS = 180_000;

/** Why the comparison cannot be made here, or `undefined`. */
export async function redisObstacle({ nodes }: { readonly nodes: number }): Promise<string | undefined> {
  if (nodes < MASTERS_MIN) return `a Redis Cluster has at least ${MASTERS_MIN} masters, --nodes is ${nodes}`;
  for (const program of ["redis-server", "redis-cli"]) {
    if ((await versionOf(program)) === undefined)
      return `${program} is not installed (Debian: redis-server, redis-tools)`;
  }
  try {
    require.resolve("ioredis6");
    return undefined;
  } catch {
    return "the client ioredis is not installed (it is a development dependency: npm ci)";
  }
}

/** Starts the masters, joins them and connects. */
export async function startRedis(options: SubjectOptions): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), "redis-rebalance-"));
  const version = (await versionOf("redis-server")) ?? "unknown";
  const subject = new RedisSubject({ directory, options, version });
  try {
    await subject.start();
    return subject;
  } catch (error) {
    await subject.stop();
    throw error;
  }
}

/** The part of ioredis that is used. */
interface RedisClient {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  del(key: string): Promise<number>;
  incr(key: string): Promise<number>;
  once(event: "ready", listener: () => void): unknown;
  on(event: "error", listener: () => void): unknown;
  disconnect(): void;
}

interface RedisModule {
  readonly Cluster: new (
    nodes: readonly { readonly host: string; readonly port: number }[],
    options: Readonly<Record<string, unknown>>,
  ) => RedisClient;
}

interface Master {
  readonly port: number;
  readonly process: ChildProcess;
}

interface Parts {
  readonly directory: string;
  readonly options: SubjectOptions;
  readonly version: string;
}

class RedisSubject implements Subject {
  readonly name = "Redis Cluster";
  readonly description: string;
  readonly copies = 1;
  readonly target: LoadTarget;
  readonly #parts: Parts;
  #masters: Master[] = [];
  #client: RedisClient | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.description = `Redis ${parts.version}, masters without replicas (1 copy), redis-cli --cluster rebalance, ioredis`;
    this.target = this.#makeTarget();
  }

  async start(): Promise<void> {
    const { nodes, callTimeoutMs } = this.#parts.options;
    for (let index = 0; index < nodes; index++) await this.#startMaster();
    await this.#tool("create", ...this.#masters.map(addressOf), "--cluster-yes");
    await this.#untilAgreed();
    const { Cluster } = require("ioredis6") as RedisModule;
    const seeds = this.#masters.map(({ port }) => ({ host: "127.0.0.1", port }));
    const client = new Cluster(seeds, { redisOptions: { commandTimeout: callTimeoutMs } });
    client.on("error", () => {});
    this.#client = client;
    await new Promise<void>((resolve) => client.once("ready", resolve));
  }

  can(step: Step): boolean {
    // Without replicas a killed master's keys are gone: there is nothing to make anew.
    return step !== "kill";
  }

  async take(step: Step): Promise<Moved> {
    return step === "add" ? this.#add() : this.#remove();
  }

  async #add(): Promise<Moved> {
    const seed = this.#masters[0]!;
    const beginMs = performance.now();
    const added = await this.#startMaster();
    await this.#tool("add-node", addressOf(added), addressOf(seed));
    await this.#untilAgreed();
    const sinceMs = performance.now();
    await this.#tool("rebalance", addressOf(seed), "--cluster-use-empty-masters");
    await this.#untilAgreed();
    return this.#moved({
      node: addressOf(added),
      startMs: sinceMs - beginMs,
      sinceMs,
      keys: await keysOf(added),
    });
  }

  async #remove(): Promise<Moved> {
    const seed = this.#masters[0]!;
    const gone = this.#masters.at(-1)!;
    const keys = await keysOf(gone);
    const id = (await command(gone, "cluster", "myid")).trim();
    const sinceMs = performance.now();
    await this.#tool("rebalance", addressOf(seed), "--cluster-weight", `${id}=0`);
    await this.#untilAgreed();
    const moved = this.#moved({ node: addressOf(gone), startMs: 0, sinceMs, keys });
    // Their own ends are not the move: it is over when the slots are elsewhere.
    await this.#tool("del-node", addressOf(seed), id);
    this.#masters = this.#masters.filter((master) => master !== gone);
    await endOf(gone.process);
    return moved;
  }

  #moved(facts: { node: string; startMs: number; sinceMs: number; keys: number }): Moved {
    const { node, startMs, sinceMs, keys } = facts;
    const { keys: all, valueBytes } = this.#parts.options;
    const masters = this.#masters.length;
    return {
      ...{ node, startMs, moveMs: performance.now() - sinceMs },
      keysMoved: keys,
      bytesMoved: keys * (valueBytes + `key:${all - 1}`.length),
      keysPlanned: keys,
      keysIdeal: Math.round(all / masters),
    };
  }

  async untilTidy(): Promise<void> {}

  async stop(): Promise<void> {
    this.#client?.disconnect();
    await Promise.all(this.#masters.map(({ process }) => endOf(process)));
    this.#masters = [];
    rmSync(this.#parts.directory, { recursive: true, force: true });
  }

  async #startMaster(): Promise<Master> {
    const [port, busPort] = await findFreePorts(2);
    const child = spawn(
      "redis-server",
      [
        ...["--port", `${port}`, "--bind", "127.0.0.1", "--dir", this.#parts.directory],
        ...["--cluster-enabled", "yes", "--cluster-port", `${busPort}`],
        ...["--cluster-config-file", `nodes-${port}.conf`, "--save", "", "--appendonly", "no"],
      ],
      { stdio: "ignore" },
    );
    const master = { port: port!, process: child };
    this.#masters.push(master);
    await waitFor(() => command(master, "ping").then(isPong, () => false), {
      what: `redis-server on port ${port}`,
      intervalMs: 20,
    });
    return master;
  }

  #tool(verb: string, ...args: readonly string[]): Promise<unknown> {
    return run("redis-cli", ["--cluster", verb, ...args], {
      timeout: TOOL_TIMEOUT_MS,
      maxBuffer: 64 * 1024 ** 2,
    });
  }

  /** All masters see all slots served, and each other. */
  async #untilAgreed(): Promise<void> {
    const isAgreed = async (): Promise<boolean> => {
      const infos = await Promise.all(this.#masters.map((master) => command(master, "cluster", "info")));
      return infos.every(
        (info) =>
          info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${this.#masters.length}\r`),
      );
    };
    await waitFor(isAgreed, { what: "the masters to agree", intervalMs: 50 });
  }

  #makeTarget(): LoadTarget {
    const client = (): RedisClient => this.#client!;
    const get = async (key: string): Promise<unknown> => {
      const text = await client().get(key);
      if (text === null) return undefined;
      return key.startsWith("counter:") ? Number(text) : text;
    };
    return {
      get,
      set: (key, value) => client().set(key, value),
      delete: (key) => client().del(key),
      increment: (key) => client().incr(key),
      // Keys of several slots cannot go in one command: single ones, which ioredis sends without waiting for answers.
      getMany: (keys) => Promise.all(keys.map(get)),
      setMany: (entries) => Promise.all(entries.map(([key, value]) => client().set(key, value))),
    };
  }
}

function addressOf({ port }: { readonly port: number }): string {
  return `127.0.0.1:${port}`;
}

async function command({ port }: Master, ...words: readonly string[]): Promise<string> {
  return (await run("redis-cli", ["-p", `${port}`, ...words], { timeout: 10_000 })).stdout;
}

function isPong(answer: string): boolean {
  return answer.trim() === "PONG";
}

async function keysOf(master: Master): Promise<number> {
  return Number(await command(master, "dbsize"));
}

async function versionOf(program: string): Promise<string | undefined> {
  try {
    return /\d+\.\d+\.\d+/.exec((await run(program, ["--version"])).stdout)?.[0];
  } catch {
    return undefined;
  }
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}
