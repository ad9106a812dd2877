// The histogram against sorting: the slow, obvious way to a percentile.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Histogram } from "../../bench/histogram.ts";

function percentileBySorting(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length - 1e-9) - 1)]!;
}

describe("Histogram", () => {
  test("percentileMs is within 1.6 % of the exact percentile when given any durations", () => {
    const micros = fc.array(fc.integer({ min: 0, max: 4_000_000_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(micros, fc.constantFrom(0, 50, 90, 99, 99.9, 100), (values, percent) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value / 1000);

        const exact = percentileBySorting(values, percent) / 1000;
        const got = histogram.percentileMs(percent);

        expect(got).toBeGreaterThanOrEqual(exact - 1e-9);
        expect(got).toBeLessThanOrEqual(exact * 1.016 + 1e-9);
      }),
    );
  });

  test("maxMs and count are exact when durations were recorded, and 0 when none was", () => {
    const histogram = new Histogram();
    expect([histogram.count, histogram.maxMs, histogram.percentileMs(99)]).toEqual([0, 0, 0]);

    for (const ms of [3.25, 812.5, 1]) histogram.record(ms);

    expect([histogram.count, histogram.maxMs, histogram.percentileMs(100)]).toEqual([3, 812.5, 812.5]);
  });

  test("add gives the same answers as recording everything in one histogram", () => {
    const [left, right, both] = [new Histogram(), new Histogram(), new Histogram()];
    for (let ms = 1; ms <= 100; ms++) {
      (ms % 3 === 0 ? left : right).record(ms);
      both.record(ms);
    }

    left.add(right);

    expect(left.count).toBe(both.count);
    for (const percent of [1, 50, 99]) expect(left.percentileMs(percent)).toBe(both.percentileMs(percent));
  });
});
