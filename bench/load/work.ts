// One measurement: a kind of call, made so many at a time (closed loop) or so many a second (open loop), against one target.
//
// The closed loop tells what a client can do: so many callers, each making its next call when the last one has been answered. It says
// little about latency, because a cache that stands still is asked nothing meanwhile. The open loop makes calls at fixed
// instants, whatever has been answered, and measures each from the instant at which it was to be made.

import { setTimeout as sleep } from "node:timers/promises";
import { Histogram } from "../histogram.ts";
import { cpuMicrosOf, ownCpuMicros } from "./cpu.ts";
import type { Target } from "./target.ts";

export const OPERATIONS = ["get", "set", "setAndWait", "getMany", "setMany"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What to measure. */
export interface Work {
  readonly operation: Operation;
  readonly valueBytes: number;
  /** Different keys, asked for with equal chances. */
  readonly keys: number;
  /** Callers of the closed loop. */
  readonly outstanding: number;
  /** Keys per call of `getMany` and `setMany`. */
  readonly batch?: number;
  /** Calls a second: makes it an open loop. */
  readonly rate?: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** What came out. An operation is one key, also where a call names many. */
export interface Measurement {
  readonly operationsPerSecond: number;
  /** Of calls, in milliseconds; in an open loop from the instant each was due. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Microseconds of CPU per operation. */
  readonly clientCpuMicros: number;
  readonly serverCpuMicros: number;
  /** Calls that failed or returned something else than what was stored. */
  readonly wrong: number;
}

/** Calls of an open loop that may wait for an answer; further ones are counted as wrong. */
const OPEN_MAX = 50_000;

/** How often {@link fill} tries each key, and the pause between. */
const FILL_TRIES_MAX = 20;
const FILL_PAUSE_MS = 100;

/** The key of that number: 24 bytes, and different for every size of values, so that sizes do not overwrite each other. */
export function keyOf(valueBytes: number, index: number): string {
  return `key:${String(valueBytes).padStart(7, "0")}:${String(index).padStart(12, "0")}`;
}

/** Writes every key once. */
export async function fill(target: Target, work: Pick<Work, "keys" | "valueBytes">): Promise<void> {
  const value = textOf(work.valueBytes);
  const batch = Math.max(8, Math.min(512, Math.floor(1_000_000 / work.valueBytes)));
  for (let start = 0; start < work.keys; start += batch) {
    const end = Math.min(work.keys, start + batch);
    const calls = [];
    for (let index = start; index < end; index++)
      calls.push(setAtLast(target, keyOf(work.valueBytes, index), value));
    await Promise.all(calls);
  }
}

/** Servers that have just been started may refuse for a moment. */
async function setAtLast(target: Target, key: string, value: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await target.set(key, value);
      return;
    } catch (error) {
      if (tries === FILL_TRIES_MAX) throw error;
      await sleep(FILL_PAUSE_MS);
    }
  }
}

/** Runs the work and reports it. The keys must have been written by {@link fill}. */
export async function measure(target: Target, work: Work, pids: readonly number[]): Promise<Measurement> {
  const run = new Run(target, work);
  const ended = run.start();
  await sleep(work.warmupMs);
  run.reset();
  const serversBefore = cpuMicrosOf(pids);
  const clientBefore = ownCpuMicros();
  const startMs = performance.now();
  await sleep(work.measureMs);
  const { count, wrong } = run;
  const elapsedMs = performance.now() - startMs;
  const clientMicros = ownCpuMicros() - clientBefore;
  const serverMicros = cpuMicrosOf(pids) - serversBefore;
  run.stop();
  await ended;
  const operations = count * (work.operation.endsWith("Many") ? (work.batch ?? 1) : 1);
  const { histogram } = run;
  return {
    operationsPerSecond: (operations * 1000) / elapsedMs,
    p50Ms: histogram.percentileMs(50),
    p99Ms: histogram.percentileMs(99),
    p999Ms: histogram.percentileMs(99.9),
    maxMs: histogram.maxMs,
    clientCpuMicros: clientMicros / Math.max(1, operations),
    serverCpuMicros: serverMicros / Math.max(1, operations),
    wrong,
  };
}

class Run {
  readonly #target: Target;
  readonly #work: Work;
  readonly #keys: readonly string[];
  readonly #value: string;
  histogram = new Histogram();
  count = 0;
  wrong = 0;
  #isOver = false;
  /** Xorshift: cheap, and good enough to pick keys. */
  #random = 0x9e3779b9;

  constructor(target: Target, work: Work) {
    this.#target = target;
    this.#work = work;
    this.#keys = Array.from({ length: work.keys }, (_, index) => keyOf(work.valueBytes, index));
    this.#value = textOf(work.valueBytes);
  }

  /** Resolves when everything has been answered after {@link stop}. */
  async start(): Promise<void> {
    if (this.#work.rate !== undefined) await this.#openLoop(this.#work.rate);
    else await Promise.all(Array.from({ length: this.#work.outstanding }, () => this.#closedLoop()));
  }

  reset(): void {
    this.histogram = new Histogram();
    this.count = 0;
    this.wrong = 0;
  }

  stop(): void {
    this.#isOver = true;
  }

  async #closedLoop(): Promise<void> {
    while (!this.#isOver) {
      const startMs = performance.now();
      try {
        await this.#call();
      } catch {
        this.wrong++;
      }
      this.count++;
      this.histogram.record(performance.now() - startMs);
    }
  }

  /** Looks at the clock once per turn of the event loop, which never sleeps: timers of a millisecond would blur everything. */
  async #openLoop(rate: number): Promise<void> {
    const startMs = performance.now();
    const gapMs = 1000 / rate;
    let started = 0;
    let open = 0;
    const makeCall = async (dueMs: number) => {
      open++;
      try {
        await this.#call();
      } catch {
        this.wrong++;
      }
      open--;
      this.count++;
      this.histogram.record(performance.now() - dueMs);
    };
    while (!this.#isOver) {
      const nowMs = performance.now();
      for (let dueMs = startMs + started * gapMs; dueMs <= nowMs; dueMs = startMs + started * gapMs) {
        started++;
        if (open < OPEN_MAX) void makeCall(dueMs);
        else this.wrong++;
      }
      await turn();
    }
    while (open > 0) await turn();
  }

  /** Makes one call and checks what came back by its length. */
  async #call(): Promise<void> {
    const target = this.#target;
    switch (this.#work.operation) {
      case "get":
        if ((await target.get(this.#pick()))?.length !== this.#value.length) this.wrong++;
        return;
      case "set":
        await target.set(this.#pick(), this.#value);
        return;
      case "setAndWait":
        await target.setAndWait?.(this.#pick(), this.#value);
        return;
      case "getMany": {
        const values = await target.getMany(this.#pickMany());
        for (const value of values) if (value?.length !== this.#value.length) this.wrong++;
        return;
      }
      case "setMany":
        await target.setMany(this.#pickMany().map((key) => [key, this.#value] as const));
    }
  }

  #pick(): string {
    let random = this.#random;
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    this.#random = random;
    return this.#keys[(random >>> 0) % this.#keys.length]!;
  }

  #pickMany(): string[] {
    return Array.from({ length: this.#work.batch ?? 100 }, () => this.#pick());
  }
}

/** ASCII text of that many bytes. */
function textOf(bytes: number): string {
  return "abcdefghij".repeat(Math.ceil(bytes / 10)).slice(0, bytes);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
