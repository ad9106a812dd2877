// What does a caller notice when a node is killed? One SIGKILL under a steady load of sets and gets of fresh keys, on Ringhold and, where it is
// installed, on a Redis Cluster of 3 masters and 3 replicas through ioredis.
//
// Baseline: ioredis on the Redis Cluster, at its default node timeout (15 s) and at a short one (2 s). Ideal: no failed call, and no call
// that takes longer than a heartbeat. Open loop: each call is measured from the instant it was due.
//
// Run with `npm run bench:failover`, or `ringhold bench failover`; `--quick` leaves out the default node timeout, which takes a minute.

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { above0, runBenchmark } from "./arguments.ts";
import { Histogram } from "./histogram.ts";
import { hasClient, openTarget } from "./load/clients.ts";
import type { Target, TargetSpec } from "./load/target.ts";
import { type Servers, startRedisCluster, startRingholdNodes, versionOf } from "./peers/servers.ts";
import { FAILOVER_USAGE } from "./usage.ts";

/** What the callers saw from a moment before the kill on. */
export interface FailoverResult {
  readonly name: string;
  readonly calls: number;
  readonly failed: number;
  /** From the kill to the end of the last call that failed or took longer than 250 ms; 0 when none did. */
  readonly disturbedMs: number;
  readonly p50Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** How long a call may take to count as undisturbed. */
const CALM_MS_MAX = 250;
const CALM_BEFORE_MS = 1_500;

/** Kills the server `victim` under load and watches for `watchMs`. */
export async function measureFailover(
  name: string,
  servers: Servers,
  options: {
    readonly client: TargetSpec["client"];
    readonly victim: number;
    readonly rate: number;
    readonly watchMs: number;
  },
): Promise<FailoverResult> {
  const { addresses, pids } = servers;
  const target = await openTarget({ client: options.client, addresses, pids, timeoutMs: 5_000 });
  const load = new Load(target, options.rate);
  load.start();
  await sleep(CALM_BEFORE_MS);
  const killedMs = performance.now();
  load.killedMs = killedMs;
  process.kill(pids[options.victim]!, "SIGKILL");
  await sleep(options.watchMs);
  await load.stop();
  await target.close();
  const { histogram, failed, lastTroubleMs } = load;
  return {
    name,
    calls: histogram.count,
    failed,
    disturbedMs: Math.max(0, lastTroubleMs - killedMs),
    p50Ms: histogram.percentileMs(50),
    p999Ms: histogram.percentileMs(99.9),
    maxMs: histogram.maxMs,
  };
}

/** Calls at fixed instants: a set of a fresh key, then a get of it, in turns. */
class Load {
  readonly #target: Target;
  readonly #gapMs: number;
  readonly histogram = new Histogram();
  failed = 0;
  killedMs = Number.POSITIVE_INFINITY;
  lastTroubleMs = 0;
  #open = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(target: Target, rate: number) {
    this.#target = target;
    this.#gapMs = 1_000 / rate;
  }

  start(): void {
    const startMs = performance.now();
    let made = 0;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      for (; startMs + made * this.#gapMs <= nowMs; made++)
        void this.#call(made, startMs + made * this.#gapMs);
    }, 1);
  }

  async #call(number: number, dueMs: number): Promise<void> {
    const key = `failover:${number >> 1}`;
    this.#open++;
    let hasFailed = false;
    try {
      await (number % 2 === 0 ? this.#target.set(key, "value") : this.#target.get(key));
    } catch {
      hasFailed = true;
    }
    this.#open--;
    const endMs = performance.now();
    if (dueMs < this.killedMs && endMs < this.killedMs) return;
    this.histogram.record(endMs - dueMs);
    if (hasFailed) this.failed++;
    if (hasFailed || endMs - dueMs > CALM_MS_MAX) this.lastTroubleMs = endMs;
  }

  /** Makes no more calls; resolves when all have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#open > 0) await sleep(10);
  }
}

function report(result: FailoverResult): void {
  const facts = [
    `${result.failed} of ${result.calls} calls failed`,
    `disturbed for ${(result.disturbedMs / 1_000).toFixed(2)} s`,
    `p50 ${result.p50Ms.toFixed(1)} ms, p99.9 ${result.p999Ms.toFixed(0)} ms, longest ${result.maxMs.toFixed(0)} ms`,
  ];
  process.stdout.write(`${result.name.padEnd(40)} ${facts.join("; ")}\n`);
}

interface Settings {
  readonly rate: number;
  readonly quick: boolean;
  readonly only: string;
}

function readSettings(args: readonly string[]): Settings | undefined {
  const options = {
    rate: { type: "string", default: "2000" },
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return undefined;
  const rate = above0("rate", values.rate);
  if (!["", "ringhold", "redis"].includes(values.only))
    throw new Error(`--only must be ringhold or redis, received ${values.only}`);
  return { ...values, rate };
}

/** Runs what the arguments ask for. Returns the exit code. */
export function runFailover(args: readonly string[]): Promise<number> {
  return runBenchmark({ help: FAILOVER_USAGE, read: readSettings, run: compare }, args);
}

async function compare({ rate, quick, only }: Settings): Promise<void> {
  if (only !== "redis") {
    const ringhold = await startRingholdNodes(3, []);
    try {
      const options = { client: "ringhold", victim: 1, rate, watchMs: 8_000 } as const;
      report(await measureFailover("ringhold, 3 nodes", ringhold, options));
    } finally {
      await ringhold.stop();
    }
  }
  if (only === "ringhold") return;
  if (versionOf("redis-server") === undefined || !hasClient("ioredis")) {
    process.stdout.write("skipped: redis-server or the package for ioredis is not installed\n");
    return;
  }
  for (const nodeTimeoutMs of quick ? [2_000] : [2_000, 15_000]) {
    const redis = await startRedisCluster(1, ["--cluster-node-timeout", `${nodeTimeoutMs}`]);
    try {
      const options = { client: "ioredis", victim: 0, rate, watchMs: nodeTimeoutMs + 10_000 } as const;
      report(
        await measureFailover(`ioredis, 3 + 3, node timeout ${nodeTimeoutMs / 1_000} s`, redis, options),
      );
    } finally {
      await redis.stop();
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await runFailover(process.argv.slice(2));
