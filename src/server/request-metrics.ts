// Counts and times the requests of clients: by kind and outcome, and by kind in a histogram with fixed buckets. One request costs
// a lookup, a short scan and two additions, and no memory.

import { ERROR_CODES, type ErrorCode } from "../base/errors.ts";
import type { ClientRequest } from "../core/messages.ts";
import type { MetricWriter } from "./prometheus.ts";

/** What is timed: everything a client asks, heartbeats excepted. */
export type RequestKind = Exclude<ClientRequest["kind"], "ping">;
export type RequestOutcome = "ok" | ErrorCode;

const KINDS = ["get", "write", "scan", "clear", "count", "command", "place"] as const satisfies RequestKind[];
const OUTCOMES: readonly RequestOutcome[] = ["ok", ...ERROR_CODES];
/** Upper bounds in milliseconds: from a get out of memory to a write that waited for its deadline. */
const BUCKETS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000] as const;

interface KindMetrics {
  readonly outcomes: Float64Array;
  /** One more than there are bounds: the last counts what is above them all. */
  readonly buckets: Float64Array;
  sumMs: number;
}

/** See the top of the file. */
export class RequestMetrics {
  readonly #kinds = new Map<string, KindMetrics>(
    KINDS.map((kind) => [
      kind,
      {
        outcomes: new Float64Array(OUTCOMES.length),
        buckets: new Float64Array(BUCKETS_MS.length + 1),
        sumMs: 0,
      },
    ]),
  );
  readonly #outcomeIndex = new Map(OUTCOMES.map((outcome, index) => [outcome, index]));

  /** One request that was answered `ms` milliseconds after it arrived. */
  observe(kind: RequestKind, outcome: RequestOutcome, ms: number): void {
    const metrics = this.#kinds.get(kind);
    const index = this.#outcomeIndex.get(outcome);
    if (metrics === undefined || index === undefined) return;
    metrics.outcomes[index]! += 1;
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && ms > BUCKETS_MS[bucket]!) bucket++;
    metrics.buckets[bucket]! += 1;
    metrics.sumMs += ms;
  }

  /** Writes both metrics; outcomes that never happened are left out, kinds are not. */
  write(writer: MetricWriter): void {
    writer.metric("ringhold_requests_total", "counter", "Requests of clients answered, by kind and outcome");
    for (const [kind, { outcomes }] of this.#kinds) {
      for (const [index, outcome] of OUTCOMES.entries()) {
        const count = outcomes[index] ?? 0;
        if (count > 0 || outcome === "ok") writer.sample("ringhold_requests_total", { kind, outcome }, count);
      }
    }
    const name = "ringhold_request_seconds";
    writer.metric(name, "histogram", "From the arrival of a request to its answer, within the node");
    for (const [kind, { buckets, sumMs }] of this.#kinds) {
      let count = 0;
      for (const [index, inBucket] of buckets.entries()) {
        count += inBucket;
        const bound = BUCKETS_MS[index];
        writer.sample(
          `${name}_bucket`,
          { kind, le: bound === undefined ? "+Inf" : `${bound / 1000}` },
          count,
        );
      }
      writer.sample(`${name}_sum`, { kind }, sumMs / 1000);
      writer.sample(`${name}_count`, { kind }, count);
    }
  }
}
