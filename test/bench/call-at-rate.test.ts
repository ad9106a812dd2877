// The open loop that benches call with.

import { expect, test } from "vitest";
import { callAtRate } from "../../bench/call-at-rate.ts";

test("callAtRate makes calls when they are due, and times a stall in each call that was due in it", async () => {
  const made: number[] = [];
  const make = async (index: number) => {
    made.push(index);
    if (index === 10) for (const startMs = performance.now(); performance.now() - startMs < 100; );
    if (index === 11) throw Object.assign(new Error("No"), { code: "ERR_TIMEOUT" });
  };

  const { times, failed } = await callAtRate({ ms: 200, rate: 100, make });

  expect(made).toEqual(Array.from({ length: 20 }, (_, index) => index));
  expect(times.count).toBe(20);
  expect(times.maxMs).toBeGreaterThanOrEqual(99);
  // The five calls that were due in the later half of the stall waited for its end.
  expect(times.percentileMs(70)).toBeGreaterThan(10);
  expect(failed).toEqual({ ERR_TIMEOUT: 1 });
});
