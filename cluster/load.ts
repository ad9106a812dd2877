// A load of mixed calls at a steady rate, made by many callers in this process, and a verdict on it afterwards.
//
// Open loop: calls are due at fixed instants, whether earlier ones have been answered or not, and each is measured from the
// instant it was due. A cluster that stands still for a second therefore shows a second, not one slow call ("coordinated
// omission", Gil Tene). Each caller makes one call at a time; what falls due meanwhile waits in its queue. Every key has one
// writing caller, so that the ledger can say what each key must hold at the end.

import { setTimeout as sleep } from "node:timers/promises";
import { Histogram } from "../bench/histogram.ts";
import { CacheError } from "../src/base/errors.ts";
import { Prng } from "../src/base/prng.ts";
import { CounterLedger, type Finding, Ledger, ledgerValue, type WriteEnd } from "./ledger.ts";

/** What a load needs of a cache: the public client has all of it. */
export interface LoadTarget {
  get(key: string): Promise<unknown>;
  set(key: string, value: string): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  increment(key: string): Promise<number>;
  getMany(keys: readonly string[]): Promise<readonly unknown[]>;
  setMany(entries: readonly (readonly [string, string])[]): Promise<unknown>;
}

/** The kinds of call a load makes. */
export const LOAD_CALLS = ["get", "set", "delete", "increment"] as const;
export type LoadCall = (typeof LOAD_CALLS)[number];

/** How one call went. `missed`: a read found nothing where a key must be; `stale`: it found less than was acknowledged before. */
export type CallOutcome = "ok" | "failed" | "missed" | "stale";

/** One call that is over. Times in milliseconds, `dueMs` on the scale of `performance.now()`. */
export interface CallEnd {
  readonly dueMs: number;
  /** From when it was due. */
  readonly tookMs: number;
  /** Part of that: behind earlier calls of its caller. */
  readonly queuedMs: number;
  readonly outcome: CallOutcome;
}

/** Shape and pace of a load. */
export interface LoadOptions {
  /** Calls a second. @default 2000 */
  readonly rate?: number;
  /** Callers; each makes one call at a time. @default 64 */
  readonly callers?: number;
  /** Keys that are read, set and deleted: `key:0` to `key:(keys - 1)`. @default 10000 */
  readonly keys?: number;
  /** Bytes of a value, for ASCII keys. @default 100 */
  readonly valueBytes?: number;
  /** Weights of the kinds of call. @default 70 get, 25 set, 2 delete, 3 increment */
  readonly mix?: Readonly<Record<LoadCall, number>>;
  /** @default 1 */
  readonly seed?: number;
  /** Due calls that may wait behind a slow one, per caller; more are skipped and counted. @default 10000 */
  readonly queueMax?: number;
  /** Told of every call that is over. Must not throw. */
  readonly onCall?: (end: CallEnd) => void;
}

/** What happened. Durations in milliseconds, measured from the instant each call was due. */
export interface LoadResult {
  readonly calls: number;
  readonly callsByKind: Readonly<Record<LoadCall, number>>;
  readonly failed: number;
  readonly failedByCode: Readonly<Record<string, number>>;
  /** Up to ten messages of failed calls. */
  readonly failures: readonly string[];
  /** Never made, because a caller's queue was full. */
  readonly skipped: number;
  /** Reads that returned less than what had been acknowledged before they were sent. */
  readonly staleReads: number;
  /** Those of them that found nothing. */
  readonly missedReads: number;
  /** Up to ten of them, for people. */
  readonly staleExamples: readonly string[];
  /** The longest time any caller with a call outstanding waited for a completion. */
  readonly silenceMaxMs: number;
  /** How late the load itself was at worst: its own process was held up, and latencies include that. */
  readonly ownDelayMaxMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Since the load began, or since the last round's result was taken. */
  readonly elapsedMs: number;
}

/** What {@link LoadGenerator.verify} found. */
export interface Verdict {
  readonly acknowledgedWrites: number;
  readonly keysChecked: number;
  /** Keys whose last acknowledged write is gone. */
  readonly lost: number;
  /** Keys that hold what was never written, or was said not to have been. */
  readonly phantoms: number;
  /** Up to ten findings, for people. */
  readonly examples: readonly string[];
}

const DEFAULT_MIX: Readonly<Record<LoadCall, number>> = { get: 70, set: 25, delete: 2, increment: 3 };
/** Keys per call of the bulk phases. */
const BATCH = 500;
/** Bulk calls made one at a time at first: processes that have just started run their code ten times slower than later. */
const FILL_ROUNDS_SLOW = 20;
const EXAMPLES_MAX = 10;

interface Caller {
  readonly index: number;
  /** Instants at which calls were due that have not been made yet. */
  readonly due: number[];
  isBusy: boolean;
  lastCompletionMs: number;
}

/** One load against one target. Not reusable for two runs at a time. */
export class LoadGenerator {
  readonly #target: LoadTarget;
  readonly #options: Required<LoadOptions>;
  readonly #prng: Prng;
  readonly #ledger = new Ledger();
  readonly #counters = new CounterLedger();
  #latencies = new Histogram();
  readonly #callsByKind: Record<LoadCall, number> = { get: 0, set: 0, delete: 0, increment: 0 };
  #failedByCode: Record<string, number> = {};
  #failures: string[] = [];
  readonly #callers: Caller[];
  readonly #mixTotal: number;
  #failed = 0;
  #skipped = 0;
  #staleReads = 0;
  #missedReads = 0;
  #staleExamples: string[] = [];
  #silenceMaxMs = 0;
  #phaseSilenceMaxMs = 0;
  #ownDelayMaxMs = 0;
  #isRunning = false;
  #inFlight = 0;
  #sinceMs = performance.now();
  #run: Promise<void> | undefined;

  constructor(target: LoadTarget, options: LoadOptions = {}) {
    this.#target = target;
    this.#options = {
      rate: options.rate ?? 2000,
      callers: options.callers ?? 64,
      keys: options.keys ?? 10_000,
      valueBytes: options.valueBytes ?? 100,
      mix: options.mix ?? DEFAULT_MIX,
      seed: options.seed ?? 1,
      queueMax: options.queueMax ?? 10_000,
      onCall: options.onCall ?? (() => {}),
    };
    this.#prng = new Prng(this.#options.seed).fork("load");
    this.#mixTotal = LOAD_CALLS.reduce((sum, call) => sum + this.#options.mix[call], 0);
    this.#callers = Array.from({ length: this.#options.callers }, (_, index) => ({
      index,
      due: [],
      isBusy: false,
      lastCompletionMs: 0,
    }));
  }

  /** Writes every key once with bulk calls. A batch that fails counts as undecided, and is thrown. */
  async fill(options: { readonly onProgress?: (written: number) => void } = {}): Promise<void> {
    const { keys, valueBytes } = this.#options;
    let start = 0;
    for (let round = 0; start < keys; round++) {
      const end = Math.min(keys, start + BATCH * (round < FILL_ROUNDS_SLOW ? 1 : 4));
      const batches: Promise<void>[] = [];
      for (let from = start; from < end; from += BATCH) {
        batches.push(this.#fillBatch(from, Math.min(end, from + BATCH), valueBytes));
      }
      await Promise.all(batches);
      start = end;
      options.onProgress?.(end);
    }
  }

  /** Begins to make calls; they go on until {@link stop}. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#sinceMs = performance.now();
    this.#run = this.#pump();
  }

  /** Makes no new calls, waits for those under way, and says what happened since the last {@link takeResult}. */
  async stop(): Promise<LoadResult> {
    this.#isRunning = false;
    await this.#run;
    while (this.#inFlight > 0) await sleep(2);
    return this.result();
  }

  /** What has happened since the last time this was asked, or since the beginning: one round of several, measured alone. */
  takeResult(): LoadResult {
    const result = this.result();
    for (const call of LOAD_CALLS) this.#callsByKind[call] = 0;
    this.#failedByCode = {};
    this.#failures = [];
    this.#staleExamples = [];
    this.#latencies = new Histogram();
    this.#failed = this.#skipped = this.#staleReads = this.#missedReads = 0;
    this.#silenceMaxMs = this.#ownDelayMaxMs = 0;
    this.#sinceMs = performance.now();
    return result;
  }

  /** What has happened so far, or since the last {@link takeResult}. */
  result(): LoadResult {
    const calls = LOAD_CALLS.reduce((sum, call) => sum + this.#callsByKind[call], 0);
    return {
      calls,
      callsByKind: { ...this.#callsByKind },
      failed: this.#failed,
      failedByCode: { ...this.#failedByCode },
      failures: [...this.#failures],
      skipped: this.#skipped,
      staleReads: this.#staleReads,
      missedReads: this.#missedReads,
      staleExamples: [...this.#staleExamples],
      silenceMaxMs: this.#silenceMaxMs,
      ownDelayMaxMs: this.#ownDelayMaxMs,
      p50Ms: this.#latencies.percentileMs(50),
      p99Ms: this.#latencies.percentileMs(99),
      p999Ms: this.#latencies.percentileMs(99.9),
      maxMs: this.#latencies.maxMs,
      elapsedMs: performance.now() - this.#sinceMs,
    };
  }

  /** The longest silence since the last time this was asked: what one phase of a run did to the callers. Results keep it too. */
  takeSilenceMs(): number {
    const ms = this.#phaseSilenceMaxMs;
    this.#phaseSilenceMaxMs = 0;
    return ms;
  }

  /** Writes acknowledged so far, those of {@link fill} included, increments not. */
  get acknowledgedWrites(): number {
    return this.#ledger.acknowledgedCount;
  }

  /** Reads every key that was ever written and compares it with the ledger. To be called after {@link stop}. */
  async verify(): Promise<Verdict> {
    const found = { ok: 0, lost: 0, phantom: 0 };
    const examples: string[] = [];
    const look = async (keys: string[], check: (key: string, value: unknown) => Finding): Promise<void> => {
      for (let from = 0; from < keys.length; from += BATCH) {
        const batch = keys.slice(from, from + BATCH);
        const values = await this.#target.getMany(batch);
        for (const [index, key] of batch.entries()) {
          const finding = check(key, values[index]);
          found[finding]++;
          if (finding !== "ok" && examples.length < EXAMPLES_MAX) {
            examples.push(`${finding}: ${key} holds ${shown(values[index])}`);
          }
        }
      }
    };
    await look([...this.#ledger.keys()], (key, value) => this.#ledger.check(key, value));
    await look([...this.#counters.keys()], (key, value) => this.#counters.check(key, value));
    return {
      acknowledgedWrites: this.#ledger.acknowledgedCount + this.#counters.acknowledgedCount,
      keysChecked: found.ok + found.lost + found.phantom,
      lost: found.lost,
      phantoms: found.phantom,
      examples,
    };
  }

  async #fillBatch(from: number, to: number, valueBytes: number): Promise<void> {
    const writes = Array.from({ length: to - from }, (_, offset) =>
      this.#ledger.begin(`key:${from + offset}`, { isDelete: false }),
    );
    let end: WriteEnd = "maybe";
    try {
      await this.#target.setMany(
        writes.map(({ key, sequence }) => [key, ledgerValue(key, sequence, valueBytes)] as const),
      );
      end = "acknowledged";
    } finally {
      for (const write of writes) this.#ledger.settle(write, end);
    }
  }

  async #pump(): Promise<void> {
    const startMs = performance.now();
    const intervalMs = 1000 / this.#options.rate;
    let issued = 0;
    while (this.#isRunning) {
      const nowMs = performance.now();
      let dueMs = startMs + issued * intervalMs;
      this.#ownDelayMaxMs = Math.max(this.#ownDelayMaxMs, nowMs - dueMs);
      for (; dueMs <= nowMs; dueMs = startMs + issued * intervalMs) {
        this.#offer(this.#callers[issued % this.#callers.length]!, dueMs);
        issued++;
      }
      // One timer tick: at 2,000 calls a second, two calls fall due in it.
      await sleep(1);
    }
  }

  #offer(caller: Caller, dueMs: number): void {
    if (caller.due.length >= this.#options.queueMax) {
      this.#skipped++;
      return;
    }
    caller.due.push(dueMs);
    if (!caller.isBusy) void this.#serve(caller);
  }

  /** Works off the caller's queue, one call after the other. Never rejects. */
  async #serve(caller: Caller): Promise<void> {
    caller.isBusy = true;
    this.#inFlight++;
    for (let dueMs = caller.due.shift(); dueMs !== undefined; dueMs = caller.due.shift()) {
      const queuedMs = performance.now() - dueMs;
      const outcome = await this.#call(caller);
      const nowMs = performance.now();
      this.#options.onCall({ dueMs, tookMs: nowMs - dueMs, queuedMs, outcome });
      this.#latencies.record(nowMs - dueMs);
      this.#noteSilence(nowMs - Math.max(dueMs, caller.lastCompletionMs));
      caller.lastCompletionMs = nowMs;
    }
    this.#inFlight--;
    caller.isBusy = false;
  }

  #noteSilence(ms: number): void {
    this.#silenceMaxMs = Math.max(this.#silenceMaxMs, ms);
    this.#phaseSilenceMaxMs = Math.max(this.#phaseSilenceMaxMs, ms);
  }

  async #call(caller: Caller): Promise<CallOutcome> {
    const kind = this.#pickKind();
    this.#callsByKind[kind]++;
    try {
      if (kind === "get") return await this.#read();
      if (kind === "increment") await this.#increment(caller);
      else await this.#write(caller, kind === "delete");
      return "ok";
    } catch (error) {
      this.#failed++;
      const code = error instanceof CacheError ? error.code : error instanceof Error ? error.name : "unknown";
      this.#failedByCode[code] = (this.#failedByCode[code] ?? 0) + 1;
      if (this.#failures.length < EXAMPLES_MAX) this.#failures.push(`${kind}: ${code} ${messageOf(error)}`);
      return "failed";
    }
  }

  async #read(): Promise<CallOutcome> {
    const mark = this.#ledger.markRead(`key:${this.#prng.below(this.#options.keys)}`);
    const sinceMs = performance.now();
    const value = await this.#target.get(mark.key);
    if (this.#ledger.judgeRead(mark, value) !== "stale") return "ok";
    const outcome = value === undefined ? "missed" : "stale";
    this.#staleReads++;
    if (outcome === "missed") this.#missedReads++;
    if (this.#staleExamples.length >= EXAMPLES_MAX) return outcome;
    const tookMs = Math.round(performance.now() - sinceMs);
    this.#staleExamples.push(
      `stale: ${mark.key} read as ${shown(value)} in ${tookMs} ms, write ${mark.acknowledged} was acknowledged before (${new Date().toISOString()})`,
    );
    return outcome;
  }

  async #write(caller: Caller, isDelete: boolean): Promise<void> {
    const write = this.#ledger.begin(this.#ownKey(caller), { isDelete });
    let end: WriteEnd = "acknowledged";
    try {
      if (isDelete) await this.#target.delete(write.key);
      else {
        await this.#target.set(write.key, ledgerValue(write.key, write.sequence, this.#options.valueBytes));
      }
    } catch (error) {
      end = endOf(error);
      throw error;
    } finally {
      this.#ledger.settle(write, end);
    }
  }

  async #increment(caller: Caller): Promise<void> {
    const key = `counter:${caller.index}`;
    let end: WriteEnd = "acknowledged";
    try {
      await this.#target.increment(key);
    } catch (error) {
      end = endOf(error);
      throw error;
    } finally {
      this.#counters.settle(key, end);
    }
  }

  /** A random one of the keys that only this caller writes: those whose number is its own modulo the callers. */
  #ownKey(caller: Caller): string {
    const { callers, keys } = this.#options;
    const own = Math.max(1, Math.ceil((keys - caller.index) / callers));
    return `key:${caller.index + callers * this.#prng.below(own)}`;
  }

  #pickKind(): LoadCall {
    let number = this.#prng.float() * this.#mixTotal;
    for (const call of LOAD_CALLS) {
      number -= this.#options.mix[call];
      if (number < 0) return call;
    }
    return "get";
  }
}

/** A call that does not say that it was certainly not applied may have been. */
function endOf(error: unknown): WriteEnd {
  return error instanceof CacheError && error.applied === "no" ? "no" : "maybe";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? value.replace(/\.+$/, "") : String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
