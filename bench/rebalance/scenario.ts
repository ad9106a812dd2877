// The scenario: fill a cluster, offer it a steady load, look at it in peace, take the steps (add a node, remove it, ...), look at it in
// peace again, then compare every key with what was acknowledged. The load is open loop: calls are due at fixed instants whatever
// became of earlier ones, and are measured from then (cluster/load.ts).

import { setTimeout as sleep } from "node:timers/promises";
import { LoadGenerator, type LoadResult, type Verdict } from "../../cluster/load.ts";
import type { Moved, Step, Subject } from "./subject.ts";
import { type Bucket, type SpanStats, Timeline } from "./timeline.ts";

/** Shape of a run. */
export interface ScenarioOptions {
  readonly keys: number;
  readonly valueBytes: number;
  /** Calls a second. */
  readonly rate: number;
  readonly steps: readonly Step[];
  /** Milliseconds of peace before the first step, between steps and after the last one. */
  readonly quietMs: number;
  readonly onProgress: (line: string) => void;
}

/** A stretch of the run and what callers saw of it. */
export interface Phase {
  /** `before`, `add`, `after add`, ... */
  readonly name: string;
  /** Whether a step was under way. */
  readonly isMove: boolean;
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stats: SpanStats;
  /** Of a move. */
  readonly moved?: Moved;
}

/** Everything that one subject did. */
export interface SubjectResult {
  readonly subject: string;
  readonly description: string;
  readonly copies: number;
  readonly keys: number;
  readonly fillSeconds: number;
  readonly phases: readonly Phase[];
  readonly buckets: readonly Bucket[];
  readonly load: LoadResult;
  readonly verdict: Verdict;
}

/** Compilation and connections settle before anything is judged. */
const WARM_UP_MS = 3_000;
/** One point of a chart: at 2,000 calls a second, p99 is of 500 calls. */
const BUCKET_MS = 250;

/** Runs the scenario once. Does not stop the subject. */
export async function runScenario(subject: Subject, options: ScenarioOptions): Promise<SubjectResult> {
  const { keys, valueBytes, rate, steps, quietMs, onProgress } = options;
  const timeline = new Timeline();
  const load = new LoadGenerator(subject.target, { keys, valueBytes, rate, onCall: timeline.add });
  const fillSeconds = (await timed(() => load.fill())) / 1000;
  onProgress(`${subject.name}: ${keys} keys written in ${fillSeconds.toFixed(1)} s`);
  load.start();
  try {
    await sleep(WARM_UP_MS);
    load.takeResult();
    const originMs = performance.now();
    const phases: Phase[] = [];
    const phase = async (name: string, run: () => Promise<Moved | undefined>): Promise<void> => {
      const fromMs = performance.now();
      const moved = await run();
      const toMs = performance.now();
      const stats = timeline.span(fromMs, toMs);
      const [fromSeconds, toSeconds] = [(fromMs - originMs) / 1000, (toMs - originMs) / 1000];
      const isMove = moved !== undefined;
      phases.push({ name, isMove, fromSeconds, toSeconds, stats, ...(isMove ? { moved } : {}) });
      onProgress(`${subject.name}: ${phaseLine(phases.at(-1)!)}`);
    };
    const peace = async (): Promise<undefined> => {
      await sleep(quietMs);
    };
    await phase("before", peace);
    for (const step of steps) {
      await phase(step, () => subject.take(step));
      await subject.untilTidy();
      await phase(`after ${step}`, peace);
    }
    const endMs = performance.now();
    const result = await load.stop();
    onProgress(`${subject.name}: comparing every key with what was acknowledged`);
    const verdict = await load.verify();
    return {
      ...{ subject: subject.name, description: subject.description, copies: subject.copies, keys },
      ...{
        fillSeconds,
        phases,
        buckets: timeline.buckets(originMs, endMs, BUCKET_MS),
        load: result,
        verdict,
      },
    };
  } finally {
    await load.stop();
  }
}

function phaseLine({ name, fromSeconds, toSeconds, stats, moved }: Phase): string {
  const seconds = (toSeconds - fromSeconds).toFixed(1);
  const keys =
    moved === undefined ? "" : `, ${moved.keysMoved} copies in ${(moved.moveMs / 1000).toFixed(1)} s`;
  return `${name} ${seconds} s${keys}: p50 ${stats.p50Ms.toFixed(2)} p99 ${stats.p99Ms.toFixed(2)} p99.9 ${stats.p999Ms.toFixed(2)} max ${stats.maxMs.toFixed(0)} ms, ${stats.failed} failed, ${stats.missed} missed`;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const sinceMs = performance.now();
  await work();
  return performance.now() - sinceMs;
}
