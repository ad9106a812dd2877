// Question: do callers notice that nodes fill up and begin to evict? Three real nodes serve calls at a fixed rate; in turns the sets go to a
// few keys (quiet: nothing grows) and to new ones, from empty to the budget of every node and on, while it evicts.
// Baseline: the 99th percentile of the quiet turns. Ideal: the same; the bound is twice as much, and no node suspected of another.
//
// Open loop: a call's time counts from the instant it was due. The turns alternate because the machine may be shared; medians of the
// turns are compared. Needs `npm run build`: the nodes are the compiled ones.
//
// Run: `npx tsx bench/fill.ts [--rounds 3] [--rate 1000] [--memory 24mb] [--value 4096] [--quiet 8] [--seconds 20]`

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { askNode, fetchNodeStatus } from "../cluster/node-http.ts";
import { type Cache, connect } from "../src/index.ts";
import { Histogram } from "./histogram.ts";
import { median } from "./median.ts";
import { startRingholdNodes } from "./peers/servers.ts";

const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    rate: { type: "string", default: "1000" },
    memory: { type: "string", default: "24mb" },
    value: { type: "string", default: "4096" },
    quiet: { type: "string", default: "8" },
    seconds: { type: "string", default: "20" },
  },
});
const ROUNDS = Number(args.rounds);
const GAP_MS = 1_000 / Number(args.rate);
const QUIET_KEYS = 1_000;
/** Gets look for one of so many keys set last. */
const RECENT_KEYS = 1_000;
/** Calls of a turn's beginning that do not count. */
const WARMUP_MS = 1_000;
/** Calls due and not answered; past it none is made, which counts as failed. */
const OPEN_MAX = 20_000;

const value = new Uint8Array(Number(args.value)).map((_, index) => index % 251);

/** Half sets and half gets at fixed instants. */
class Turn {
  readonly histogram = new Histogram();
  failed = 0;
  readonly #cache: Cache;
  readonly #keyOf: (set: number) => string;
  readonly #startMs = performance.now();
  #open = 0;
  #sets = 0;

  constructor(cache: Cache, keyOf: (set: number) => string) {
    this.#cache = cache;
    this.#keyOf = keyOf;
  }

  async run(seconds: number): Promise<this> {
    const endMs = this.#startMs + seconds * 1_000;
    for (let made = 0; performance.now() < endMs; await sleep(1)) {
      const nowMs = Math.min(endMs, performance.now());
      for (; this.#startMs + made * GAP_MS <= nowMs; made++)
        void this.#call(made, this.#startMs + made * GAP_MS);
    }
    while (this.#open > 0) await sleep(10);
    return this;
  }

  async #call(number: number, dueMs: number): Promise<void> {
    const isCounted = dueMs - this.#startMs >= WARMUP_MS;
    if (this.#open >= OPEN_MAX) {
      this.failed++;
      return;
    }
    this.#open++;
    try {
      if (number % 2 === 0) await this.#cache.set(this.#keyOf(this.#sets++), value);
      else await this.#cache.get(this.#keyOf(Math.max(0, this.#sets - 1 - (number % RECENT_KEYS))));
    } catch {
      this.failed++;
    }
    this.#open--;
    if (isCounted) this.histogram.record(performance.now() - dueMs);
  }
}

async function suspicions(addresses: readonly string[]): Promise<number> {
  let sum = 0;
  for (const address of addresses) {
    const { body } = await askNode(address, "/metrics", { timeoutMs: 5_000 });
    for (const line of body.split("\n")) {
      if (/^ringhold_member_liveness_changes_total\{liveness="(suspect|dead)"\}/.test(line))
        sum += Number(line.slice(line.lastIndexOf(" ") + 1));
    }
  }
  return sum;
}

async function evictions(addresses: readonly string[]): Promise<number[]> {
  const statuses = await Promise.all(addresses.map((address) => fetchNodeStatus(address)));
  return statuses.map(({ store }) => store.evictionsTotal);
}

function report(name: string, { histogram, failed }: Turn): void {
  const ms = (percent: number) => histogram.percentileMs(percent).toFixed(2);
  console.log(
    `${name}: p50 ${ms(50)} p99 ${ms(99)} p99.9 ${ms(99.9)} max ${histogram.maxMs.toFixed(0)} ms; ${failed} of ${histogram.count} failed`,
  );
}

const servers = await startRingholdNodes(3, ["--memory", args.memory]);
const cache = await connect(`ringhold://${servers.addresses.join(",")}`, { timeout: 5_000 });
try {
  const quietP99: number[] = [];
  const fillingP99: number[] = [];
  const suspectedBefore = await suspicions(servers.addresses);
  for (let round = 0; round <= ROUNDS; round++) {
    const quiet = await new Turn(cache, (set) => `quiet:${set % QUIET_KEYS}`).run(Number(args.quiet));
    await cache.clear({ timeout: 10_000 });
    const evictedBefore = await evictions(servers.addresses);
    const filling = await new Turn(cache, (set) => `fill:${round}:${set}`).run(Number(args.seconds));
    const evicted = (await evictions(servers.addresses)).map((total, node) => total - evictedBefore[node]!);
    await cache.clear({ timeout: 10_000 });
    // In the first round everything compiles.
    if (round === 0) continue;
    report(`round ${round}, quiet`, quiet);
    report(`round ${round}, filling, ${evicted.join(" + ")} evicted`, filling);
    quietP99.push(quiet.histogram.percentileMs(99));
    fillingP99.push(filling.histogram.percentileMs(99));
  }
  const suspected = (await suspicions(servers.addresses)) - suspectedBefore;
  const [quiet, filling] = [median(quietP99), median(fillingP99)];
  console.log(
    `p99: quiet ${quiet.toFixed(2)} ms, filling and evicting ${filling.toFixed(2)} ms, ratio ${(filling / quiet).toFixed(2)}; suspicions: ${suspected}`,
  );
} finally {
  await cache.close();
  await servers.stop();
}
