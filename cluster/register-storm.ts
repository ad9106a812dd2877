// A storm of reads, writes and deletes on a few keys, recorded and judged: is every key's history linearizable? Meant for quorum
// writes with quorum reads, which promise that whatever fails (goal C1 of test/README.md).
//
// Each caller makes one call at a time; many share a key. Values are never written twice. A call without an answer may still take
// effect at any time, and is recorded so; one that certainly failed is left out.

import { setTimeout as sleep } from "node:timers/promises";
import { CacheError } from "../src/base/errors.ts";
import { Prng } from "../src/base/prng.ts";
import { checkRegister, type RegisterOperation } from "./linearizability.ts";

/** What a storm needs of a cache that was connected with quorum reads and writes. */
export interface StormTarget {
  get(key: string): Promise<unknown>;
  set(key: string, value: string): Promise<unknown>;
  delete(key: string): Promise<unknown>;
}

/** Shape and pace of a storm. */
export interface StormOptions {
  /** @default 10 */
  readonly callers?: number;
  /** @default 6 */
  readonly keys?: number;
  /** Milliseconds a caller rests between two calls, on average. @default 20 */
  readonly restMs?: number;
  readonly seed: number;
}

/** What was found. */
export interface StormVerdict {
  readonly calls: number;
  /** Without an answer: they may have happened. */
  readonly unknown: number;
  /** Certainly not done. */
  readonly failed: number;
  /** Up to ten messages of calls without success. */
  readonly failures: readonly string[];
  /** Keys whose history no order of its calls explains. */
  readonly violatedKeys: readonly string[];
  /** Keys whose search was given up. */
  readonly undecidedKeys: readonly string[];
}

const FAILURES_MAX = 10;

/** One storm; each run uses keys of its own. */
export class RegisterStorm {
  readonly #target: StormTarget;
  readonly #callers: number;
  readonly #restMs: number;
  readonly #keys: readonly string[];
  readonly #prng: Prng;
  readonly #histories = new Map<string, RegisterOperation[]>();
  #calls = 0;
  #unknown = 0;
  #failed = 0;
  readonly #failures: string[] = [];
  #lastValue = 0;
  #isRunning = false;
  #run: Promise<unknown> | undefined;

  constructor(target: StormTarget, { callers = 10, keys = 6, restMs = 20, seed }: StormOptions) {
    this.#target = target;
    this.#callers = callers;
    this.#restMs = restMs;
    this.#prng = new Prng(seed).fork("storm");
    this.#keys = Array.from({ length: keys }, (_, index) => `storm:${seed}:${index}`);
    for (const key of this.#keys) this.#histories.set(key, []);
  }

  /** Begins to make calls; they go on until {@link stop}. */
  start(): void {
    this.#isRunning = true;
    const callers = Array.from({ length: this.#callers }, (_, index) =>
      this.#call(this.#prng.fork(`${index}`)),
    );
    this.#run = Promise.all(callers);
  }

  /** Waits for the calls under way, reads every key once more, and judges. */
  async stop(): Promise<StormVerdict> {
    this.#isRunning = false;
    await this.#run;
    for (const key of this.#keys) await this.#record(key, "read");
    const verdicts = [...this.#histories].map(([key, history]) => [key, checkRegister(history)] as const);
    const keysOf = (wanted: string) =>
      verdicts.filter(([, verdict]) => verdict === wanted).map(([key]) => key);
    return {
      calls: this.#calls,
      unknown: this.#unknown,
      failed: this.#failed,
      failures: this.#failures,
      violatedKeys: keysOf("violated"),
      undecidedKeys: keysOf("unknown"),
    };
  }

  async #call(prng: Prng): Promise<void> {
    while (this.#isRunning) {
      await sleep(this.#restMs * (0.5 + prng.float()));
      const draw = prng.float();
      await this.#record(prng.pick(this.#keys)!, draw < 0.5 ? "read" : draw < 0.9 ? "write" : "delete");
    }
  }

  /** Makes one call and records it. Never rejects. */
  async #record(key: string, what: "read" | "write" | "delete"): Promise<void> {
    const history = this.#histories.get(key)!;
    const value = what === "write" ? ++this.#lastValue : 0;
    const callMs = performance.now();
    this.#calls++;
    try {
      if (what === "read") {
        const state = stateOf(await this.#target.get(key));
        history.push({ f: "read", state, callMs, returnMs: performance.now() });
        return;
      }
      if (what === "write") await this.#target.set(key, `v${value}`);
      else await this.#target.delete(key);
      history.push({ f: "write", state: value, callMs, returnMs: performance.now() });
    } catch (error) {
      if (this.#failures.length < FAILURES_MAX) this.#failures.push(`${what}: ${describe(error)}`);
      const isDone = error instanceof CacheError && error.applied === "no";
      if (what === "read" || isDone) this.#failed++;
      else {
        this.#unknown++;
        history.push({ f: "write", state: value, callMs, returnMs: Number.POSITIVE_INFINITY });
      }
    }
  }
}

function describe(error: unknown): string {
  return error instanceof CacheError ? `${error.code} ${error.message}` : String(error);
}

/** What nobody wrote is a state that nobody can explain. */
function stateOf(value: unknown): number {
  if (value === undefined) return 0;
  const number = typeof value === "string" && value.startsWith("v") ? Number(value.slice(1)) : Number.NaN;
  return Number.isSafeInteger(number) ? number : -1;
}
