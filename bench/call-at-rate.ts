// Callers at a steady rate in an open loop: a call is made when it is due, whether or not those before it have been answered, and its time counts from the
// instant it was due. So a server that stands still is seen in all the calls that were due meanwhile, not in one.

import { setTimeout as sleep } from "node:timers/promises";
import { Histogram } from "./histogram.ts";

/** What is called, and how often. */
export interface Calls {
  readonly ms: number;
  /** Calls a second. */
  readonly rate: number;
  /** Makes the call of this number, from 0. */
  make(index: number): Promise<unknown>;
}

/** How calls went. */
export interface CallsMade {
  readonly times: Histogram;
  /** How many failed, by the error's code. */
  readonly failed: Readonly<Record<string, number>>;
}

/** Makes the calls, and resolves when the last is answered. */
export async function callAtRate({ ms, rate, make }: Calls): Promise<CallsMade> {
  const times = new Histogram();
  const failed: Record<string, number> = {};
  const startMs = performance.now();
  let open = 0;
  // All that are due, so that those due in a stall at the end count too.
  for (let made = 0; made < (ms * rate) / 1_000; ) {
    const dueMs = startMs + (made * 1_000) / rate;
    if (dueMs > performance.now()) {
      await sleep(1);
      continue;
    }
    open++;
    void make(made++)
      .catch((error: { code?: string }) => {
        const code = error.code ?? String(error);
        failed[code] = (failed[code] ?? 0) + 1;
      })
      .finally(() => {
        open--;
        times.record(performance.now() - dueMs);
      });
  }
  while (open > 0) await sleep(5);
  return { times, failed };
}
