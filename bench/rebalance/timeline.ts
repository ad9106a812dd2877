// Every call of a run with the instant it was due, so that any span of time can be judged afterwards: phases for the table, short
// buckets for the charts. Twenty bytes a call; a run of minutes at thousands of calls a second is some megabytes.

import type { CallEnd, CallOutcome } from "../../cluster/load.ts";

/** What a span of a run did to the callers; latencies in milliseconds from the instant a call was due. */
export interface SpanStats {
  readonly calls: number;
  readonly failed: number;
  /** Reads that found nothing where a key must be, and reads of less than was acknowledged before. */
  readonly missed: number;
  readonly stale: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** One bucket of a chart. */
export interface Bucket {
  /** Seconds since the timeline's origin, at the bucket's beginning. */
  readonly atSeconds: number;
  readonly calls: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** See the top of the file. */
export class Timeline {
  readonly #dueMs: number[] = [];
  readonly #tookMs: number[] = [];
  readonly #outcomes: CallOutcome[] = [];

  /** Adds a call. Calls come in the order of their ends. */
  readonly add = ({ dueMs, tookMs, outcome }: CallEnd): void => {
    this.#dueMs.push(dueMs);
    this.#tookMs.push(tookMs);
    this.#outcomes.push(outcome);
  };

  /** The calls that were due from `fromMs` to before `toMs`. */
  span(fromMs: number, toMs: number): SpanStats {
    const took: number[] = [];
    const counts: Record<CallOutcome, number> = { ok: 0, failed: 0, missed: 0, stale: 0 };
    for (let index = 0; index < this.#dueMs.length; index++) {
      const dueMs = this.#dueMs[index]!;
      if (dueMs < fromMs || dueMs >= toMs) continue;
      took.push(this.#tookMs[index]!);
      counts[this.#outcomes[index]!]++;
    }
    took.sort((a, b) => a - b);
    return {
      calls: took.length,
      ...{ failed: counts.failed, missed: counts.missed, stale: counts.stale },
      ...{ p50Ms: percentile(took, 50), p99Ms: percentile(took, 99), p999Ms: percentile(took, 99.9) },
      maxMs: took.at(-1) ?? 0,
    };
  }

  /** The span cut into buckets of `bucketMs`, each with its calls; a bucket without calls has zeros. */
  buckets(fromMs: number, toMs: number, bucketMs: number): Bucket[] {
    const count = Math.max(0, Math.ceil((toMs - fromMs) / bucketMs));
    const took: number[][] = Array.from({ length: count }, () => []);
    const failed = new Array<number>(count).fill(0);
    for (let index = 0; index < this.#dueMs.length; index++) {
      const bucket = Math.floor((this.#dueMs[index]! - fromMs) / bucketMs);
      if (bucket < 0 || bucket >= count) continue;
      took[bucket]!.push(this.#tookMs[index]!);
      if (this.#outcomes[index] === "failed") failed[bucket]! += 1;
    }
    return took.map((times, bucket) => {
      times.sort((a, b) => a - b);
      return {
        atSeconds: (bucket * bucketMs) / 1000,
        calls: times.length,
        failed: failed[bucket]!,
        p50Ms: percentile(times, 50),
        p99Ms: percentile(times, 99),
        maxMs: times.at(-1) ?? 0,
      };
    });
  }
}

/** The smallest of the ascending values that at least `percent` % of them do not exceed; 0 for none. */
export function percentile(ascending: readonly number[], percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * ascending.length - 1e-9));
  return ascending[rank - 1] ?? 0;
}
