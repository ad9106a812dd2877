// Callers in a process of their own: told one phase after the other (so many callers in a closed loop, or so many calls a second), they report what
// became of their calls. Half of the calls are gets, half sets, unless told otherwise.
//
// In an open loop calls are made at fixed instants, whatever has been answered. A success is timed from the instant it was due, a refusal from the
// call: how late this process was to call says nothing of who refused.

import { fork } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Cache, CacheError, connect } from "../../src/index.ts";
import { keepTo } from "../cores.ts";
import { Histogram } from "../histogram.ts";

/** One phase; `rate` makes it an open loop, without it `callers` make their next call when the last has ended. */
export interface Phase {
  readonly ms: number;
  readonly callers?: number;
  readonly rate?: number;
  /** Share of the calls that are sets, 0 to 1. */
  readonly sets: number;
}

/** What became of the calls that were made in a phase. Times in milliseconds. */
export interface PhaseReport {
  readonly made: number;
  readonly succeeded: number;
  readonly refused: number;
  /** Neither: by code. */
  readonly failed: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refusalP50Ms: number;
  readonly refusalP99Ms: number;
  readonly refusalMaxMs: number;
  /** Refusals that took longer than 50 ms. */
  readonly refusedLate: number;
  /** Per quarter of a second: successes that ended in it, and their 99th percentile. */
  readonly quarters: readonly { readonly succeeded: number; readonly p99Ms: number }[];
}

const KEYS = 20_000;
const VALUE = "abcdefghij".repeat(10);
const LATE_MS = 50;
const QUARTER_MS = 250;
const BURST = 64;

/** A process that makes calls. */
export interface Callers {
  run(phase: Phase): Promise<PhaseReport>;
  stop(): void;
}

/** Starts one and connects it; on the second half of the cores, if they are to be apart from the nodes. */
export async function startCallers(addresses: readonly string[], areApart: boolean): Promise<Callers> {
  const file = fileURLToPath(import.meta.url);
  const child = fork(file, [JSON.stringify(addresses), areApart ? "apart" : "shared"], {
    execArgv: file.endsWith(".ts") ? ["--import", "tsx"] : [],
  });
  const next = () =>
    new Promise<unknown>((resolve, reject) => {
      child.once("message", resolve);
      child.once("exit", (code) => reject(new Error(`A process of callers ended with ${code}`)));
    });
  await next();
  return {
    run: async (phase) => {
      const report = next();
      child.send(phase);
      return (await report) as PhaseReport;
    },
    stop: () => child.disconnect(),
  };
}

class Run {
  readonly #cache: Cache;
  readonly #phase: Phase;
  readonly #startMs = performance.now();
  readonly #times = new Histogram();
  readonly #refusals = new Histogram();
  readonly #quarters: Histogram[] = [];
  readonly #failed: Record<string, number> = {};
  readonly #keys = Array.from({ length: KEYS }, (_, index) => `key:${index}`);
  #random = 0x9e3779b9;
  #made = 0;
  #open = 0;
  #refusedLate = 0;

  constructor(cache: Cache, phase: Phase) {
    this.#cache = cache;
    this.#phase = phase;
  }

  async run(): Promise<PhaseReport> {
    const { rate, callers = 0 } = this.#phase;
    if (rate !== undefined) await this.#openLoop(rate);
    else await Promise.all(Array.from({ length: callers }, () => this.#closedLoop()));
    return {
      made: this.#made,
      succeeded: this.#times.count,
      refused: this.#refusals.count,
      failed: this.#failed,
      p50Ms: this.#times.percentileMs(50),
      p99Ms: this.#times.percentileMs(99),
      refusalP50Ms: this.#refusals.percentileMs(50),
      refusalP99Ms: this.#refusals.percentileMs(99),
      refusalMaxMs: this.#refusals.maxMs,
      refusedLate: this.#refusedLate,
      quarters: this.#quarters.map((times) => ({
        succeeded: times.count,
        p99Ms: times.percentileMs(99),
      })),
    };
  }

  get #isOver(): boolean {
    return performance.now() - this.#startMs >= this.#phase.ms;
  }

  async #closedLoop(): Promise<void> {
    while (!this.#isOver) await this.#call(performance.now());
  }

  async #openLoop(rate: number): Promise<void> {
    const gapMs = 1000 / rate;
    let started = 0;
    while (!this.#isOver) {
      const nowMs = performance.now();
      for (let dueMs = this.#startMs + started * gapMs; dueMs <= nowMs; dueMs += gapMs) {
        started++;
        void this.#call(dueMs);
        // Who was refused is to hear of it before the others have called.
        if (started % BURST === 0) await undefined;
      }
      // A low rate leaves the processor to the nodes: timers are precise enough for what takes milliseconds.
      await sleep(1);
    }
    while (this.#open > 0) await sleep(1);
  }

  /** No async function: what the callers cost is missing in the goodput. */
  #call(dueMs: number): Promise<void> {
    const calledMs = performance.now();
    this.#made++;
    this.#open++;
    const key = this.#keys[this.#next() % KEYS]!;
    const isSet = (this.#next() & 0xffff) / 0x10000 < this.#phase.sets;
    const call: Promise<unknown> = isSet ? this.#cache.set(key, VALUE) : this.#cache.get(key);
    return call.then(
      () => this.#succeeded(dueMs),
      (error) => this.#note(error, performance.now() - calledMs),
    );
  }

  #succeeded(dueMs: number): void {
    this.#open--;
    const nowMs = performance.now();
    this.#times.record(nowMs - dueMs);
    const quarter = Math.floor((nowMs - this.#startMs) / QUARTER_MS);
    while (this.#quarters.length <= quarter) this.#quarters.push(new Histogram());
    this.#quarters[quarter]!.record(nowMs - dueMs);
  }

  #note(error: unknown, ms: number): void {
    this.#open--;
    const code = error instanceof CacheError ? error.code : String(error);
    if (code !== "ERR_OVERLOADED") {
      this.#failed[code] = (this.#failed[code] ?? 0) + 1;
      return;
    }
    this.#refusals.record(ms);
    if (ms > LATE_MS) this.#refusedLate++;
  }

  /** Xorshift: cheap, and good enough to pick keys. */
  #next(): number {
    let random = this.#random;
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    this.#random = random;
    return random >>> 0;
  }
}

async function serve(addresses: readonly string[]): Promise<void> {
  const cache = await connect(`ringhold://${addresses.join(",")}`, {
    timeout: 1_000,
    connectTimeout: 10_000,
  });
  process.on("message", (phase: Phase) => {
    void new Run(cache, phase).run().then((report) => process.send?.(report));
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.("ready");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[3] === "apart") keepTo("second");
  await serve(JSON.parse(process.argv[2]!) as string[]);
}
