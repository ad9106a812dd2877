// Callers: each has one operation under way at a time and records what it saw. Background load is just more callers.

import type { Prng } from "../../src/base/prng.ts";
import type { ReadMode, WriteMode } from "../../src/core/messages.ts";
import type { Operation, Settled } from "./client-adapter.ts";
import type { ClientProcess } from "./client-process.ts";
import type { EventQueue } from "./event-queue.ts";
import type { History, Recorded } from "./history.ts";
import { prngFor } from "./randomness.ts";
import { Violation } from "./violation.ts";

/** What a group of callers does. Kinds of keys are told apart by their prefix: `r` registers, `n` counters, `t` with ttl. */
export interface WorkloadOptions {
  /** Names the callers, their keys' prefix and their generators. */
  readonly name: string;
  readonly callers: number;
  /** Keys shared by the callers, of each kind that has a weight. */
  readonly keys: number;
  /** Mean pause between two operations of one caller. */
  readonly pauseMs: number;
  /** After a burst of operations, 1 to twice this many of them, a caller rests for `restMs` on average. 0: never. */
  readonly burst: number;
  readonly restMs: number;
  /** Which of the callers there are; for the minimiser. @default all */
  readonly only?: readonly number[];
  /** Share of the gets that are of several keys at one moment. @default 0 */
  readonly bulkReads?: number;
  readonly timeoutMs: number;
  readonly write: WriteMode;
  readonly read: ReadMode;
  /** Relative frequencies. */
  readonly weights: {
    readonly get?: number;
    readonly set?: number;
    readonly delete?: number;
    /** Increments of counters that all callers share. */
    readonly increment?: number;
    /** Increments of a counter that only this caller writes. */
    readonly ownIncrement?: number;
    /** Sets with a ttl. */
    readonly ttl?: number;
    /** Sets that only create. */
    readonly ifAbsent?: number;
    /** Everything is removed. */
    readonly clear?: number;
  };
}

export const WORKLOAD: WorkloadOptions = {
  name: "w",
  callers: 6,
  keys: 8,
  pauseMs: 20,
  burst: 0,
  restMs: 0,
  timeoutMs: 2000,
  write: "quorum",
  read: "quorum",
  weights: { get: 5, set: 4, delete: 1 },
};

type Kind = keyof WorkloadOptions["weights"];

/** A settled call later than its timeout by this much counts as a hang. */
const SETTLE_ALLOWANCE_MS = 60;
/** Keys of a read of several, from two. */
const BULK_KEYS_MAX = 8;

/** Runs callers until stopped. */
export class Workload {
  readonly #queue: EventQueue;
  readonly #history: History;
  readonly #options: WorkloadOptions;
  #isStopped = false;
  #active = 0;

  constructor(parts: {
    seed: number;
    queue: EventQueue;
    history: History;
    clients: readonly ClientProcess[];
    options: WorkloadOptions;
  }) {
    this.#queue = parts.queue;
    this.#history = parts.history;
    this.#options = parts.options;
    for (let index = 0; index < parts.options.callers; index++) {
      if (parts.options.only?.includes(index) === false) continue;
      const client = parts.clients[index % parts.clients.length]!;
      const name = `${parts.options.name}${index}`;
      const caller = {
        name,
        client,
        prng: prngFor(parts.seed, `caller ${name}`),
        bulk: prngFor(parts.seed, `bulk ${name}`),
        operations: 0,
        lives: 0,
        left: 0,
      };
      this.#queue.after(caller.prng.float() * parts.options.pauseMs, () => this.#next(caller));
    }
  }

  /** Operations under way. */
  get active(): number {
    return this.#active;
  }

  /** No caller begins anything new. */
  stop(): void {
    this.#isStopped = true;
  }

  #next(caller: Caller): void {
    if (this.#isStopped) return;
    const { timeoutMs, bulkReads = 0 } = this.#options;
    const operation = this.#draw(caller);
    if (operation.f === "get" && caller.bulk.chance(bulkReads)) {
      this.#readMany(caller, operation);
      return;
    }
    const recorded = this.#begin(caller, operation);
    caller.client.call(operation, timeoutMs, (settled) => {
      this.#end(recorded, settled);
      if (recorded.type === "info") caller.lives++;
      this.#goOn(caller);
    });
  }

  /** Each read is one of a caller of its own. */
  #readMany(caller: Caller, first: Operation & { readonly f: "get" }): void {
    const { keys, timeoutMs } = this.#options;
    const { bulk } = caller;
    const gets = [first];
    for (let count = 1 + bulk.below(BULK_KEYS_MAX - 1); count > 0; count--)
      gets.push({ ...first, key: this.#anyKey(caller, bulk.below(keys), bulk) });
    const recorded = gets.map((get, index) => this.#begin(caller, get, index === 0 ? "" : `+${index}`));
    let left = gets.length;
    const names = gets.map(({ key }) => key);
    caller.client.getMany(names, { read: first.read, timeoutMs }, (index, settled) => {
      this.#end(recorded[index]!, settled);
      left--;
      if (left === 0) this.#goOn(caller);
    });
  }

  #begin(caller: Caller, operation: Operation, suffix = ""): Recorded {
    this.#active++;
    const name = `${caller.name}.${caller.lives}${suffix}`;
    return this.#history.begin(name, caller.client.host, operation, this.#queue.nowMs);
  }

  #end(recorded: Recorded, settled: Settled): void {
    const { nowMs } = this.#queue;
    const { timeoutMs } = this.#options;
    this.#active--;
    this.#history.end(recorded, settled, nowMs);
    if (nowMs - recorded.callMs > timeoutMs + SETTLE_ALLOWANCE_MS) {
      const waitedMs = nowMs - recorded.callMs;
      throw new Violation("deadline", `${recorded.caller} waited ${waitedMs} ms of ${timeoutMs}`);
    }
  }

  /** In its own turn: a caller's next call never runs inside the client's step. */
  #goOn(caller: Caller): void {
    this.#queue.after(this.#drawPauseMs(caller), () => this.#next(caller));
  }

  #drawPauseMs(caller: Caller): number {
    const { pauseMs, burst, restMs } = this.#options;
    const { prng } = caller;
    if (burst === 0 || caller.left-- > 0) return prng.float() * 2 * pauseMs;
    caller.left = prng.below(2 * burst);
    return prng.float() * 2 * restMs;
  }

  #draw(caller: Caller): Operation {
    const { keys, name, read, write } = this.#options;
    const { prng } = caller;
    const kind = drawKind(prng, this.#options.weights);
    const number = prng.below(keys);
    const value = `${caller.name}:${++caller.operations}`;
    const register = `${name}-r${number}`;
    const set = { f: "set", value, write, ttlMs: 0, condition: "none" } as const;
    switch (kind) {
      case "get":
        return { f: "get", key: this.#anyKey(caller, number), read };
      case "set":
        return { ...set, key: register };
      case "clear":
        return { f: "clear", key: "", write };
      case "delete":
        return { f: "delete", key: register, write };
      case "increment":
        return { f: "increment", key: `${name}-n${number}`, by: 1, write };
      case "ownIncrement":
        return { f: "increment", key: `${name}-o${caller.name}`, by: 1, write };
      case "ttl":
        return { ...set, key: `${name}-t${number}`, ttlMs: 200 + prng.below(3000) };
      case "ifAbsent":
        return { ...set, key: `${name}-a${number}`, condition: "absent" };
    }
  }

  /** A key of any kind that is written, registers most often. */
  #anyKey(caller: Caller, number: number, prng = caller.prng): string {
    const { name, weights } = this.#options;
    const { set = 0, ifAbsent = 0, increment = 0, ownIncrement = 0, ttl = 0 } = weights;
    const kind = drawKind(prng, { set, ifAbsent, increment, ownIncrement, ttl });
    if (kind === "ownIncrement") return `${name}-o${caller.name}`;
    const prefix = { set: "r", ifAbsent: "a", increment: "n", ttl: "t" } as const;
    return `${name}-${prefix[kind as keyof typeof prefix]}${number}`;
  }
}

interface Caller {
  readonly name: string;
  readonly client: ClientProcess;
  readonly prng: Prng;
  /** For reads of several keys. */
  readonly bulk: Prng;
  operations: number;
  /** Raised after an unknown outcome: from then on it is somebody else. */
  lives: number;
  /** Operations left of the present burst. */
  left: number;
}

function drawKind(prng: Prng, weights: WorkloadOptions["weights"]): Kind {
  const entries = Object.entries(weights) as [Kind, number][];
  let left = prng.float() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [kind, weight] of entries) {
    left -= weight;
    if (left < 0) return kind;
  }
  return entries.at(-1)![0];
}
