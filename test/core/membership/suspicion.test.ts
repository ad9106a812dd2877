import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { Suspicion, suspicionTimeoutMs, suspicionTimes } from "../../../src/core/membership/suspicion.ts";
import { MEMBERSHIP_DEFAULTS } from "../../../src/core/options.ts";

const id = (name: string) => name as MemberId;
const timesOf = (members: number) => suspicionTimes(members, MEMBERSHIP_DEFAULTS);

describe("suspicionTimes", () => {
  test.each([
    // members, shortest, longest, confirmations: mult x max(1, log10 n) x 500 ms, six times that, mult - 2 or 0.
    [2, 2_000, 12_000, 0],
    [3, 2_000, 12_000, 0],
    [4, 2_000, 12_000, 2],
    [10, 2_000, 12_000, 2],
    [100, 4_000, 24_000, 2],
    [1_000, 6_000, 36_000, 2],
  ])(
    "suspicionTimes of %i members are %i to %i ms with %i confirmations",
    (members, min, max, confirmations) => {
      const times = timesOf(members);

      expect(times.minMs).toBeCloseTo(min, 6);
      expect(times.maxMs).toBeCloseTo(max, 6);
      expect(times.confirmationsMax).toBe(confirmations);
    },
  );
});

describe("suspicionTimeoutMs", () => {
  test("suspicionTimeoutMs falls with each confirmation, fast at first, down to the shortest", () => {
    const times = timesOf(10);

    expect(suspicionTimeoutMs(times, 0)).toBe(12_000);
    expect(suspicionTimeoutMs(times, 1)).toBeCloseTo(12_000 - 10_000 * (Math.log(2) / Math.log(3)), 6);
    expect(suspicionTimeoutMs(times, 2)).toBe(2_000);
    expect(suspicionTimeoutMs(times, 3)).toBe(2_000);
  });

  test("suspicionTimeoutMs is the shortest at once when nobody could confirm", () => {
    expect(suspicionTimeoutMs(timesOf(3), 0)).toBe(2_000);
  });
});

describe("Suspicion", () => {
  test("Suspicion counts each accuser once and at most K further ones", () => {
    const suspicion = new Suspicion(timesOf(10), id("a"), 0);

    expect(suspicion.confirm(id("a"), 1)).toBe(false);
    expect(suspicion.confirm(id("b"), 1)).toBe(true);
    expect(suspicion.confirm(id("b"), 1)).toBe(false);
    expect(suspicion.confirm(id("c"), 1)).toBe(true);
    expect(suspicion.confirm(id("d"), 1)).toBe(false);
    expect(suspicion.deadlineMs).toBe(2_000);
  });

  test("Suspicion ends now, not in the past, when a late confirmation shortens it", () => {
    const suspicion = new Suspicion(timesOf(10), id("a"), 0);

    suspicion.confirm(id("b"), 9_000);
    suspicion.confirm(id("c"), 9_000);

    expect(suspicion.deadlineMs).toBe(9_000);
  });

  test("Suspicion gives back the time of a stall", () => {
    const suspicion = new Suspicion(timesOf(3), id("a"), 100);

    suspicion.shift(1_500);

    expect(suspicion.deadlineMs).toBe(3_600);
  });

  test("Suspicion can be put off once only", () => {
    const suspicion = new Suspicion(timesOf(3), id("a"), 0);

    suspicion.postpone(2_100);
    suspicion.postpone(2_200);

    expect(suspicion.deadlineMs).toBe(2_100);
  });
});
