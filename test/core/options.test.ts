import { describe, expect, test } from "vitest";
import { MEMBERSHIP_DEFAULTS, resolveNodeCoreOptions } from "../../src/core/options.ts";

const IDENTITY = { id: "n1", address: "127.0.0.1:7400", generation: 1 };

describe("resolveNodeCoreOptions", () => {
  test.each([
    { deadGraceMs: 60_000, leaseMs: 5_000 },
    { deadGraceMs: 10_000, leaseMs: 5_000 },
    { deadGraceMs: 4_000, leaseMs: 2_000 },
    { deadGraceMs: 1, leaseMs: 1 },
  ])("makes leases of $leaseMs ms when the dead are kept for $deadGraceMs", ({ deadGraceMs, leaseMs }) => {
    expect(resolveNodeCoreOptions({ ...IDENTITY, membership: { deadGraceMs } }).membership).toEqual({
      ...MEMBERSHIP_DEFAULTS,
      deadGraceMs,
      leaseMs,
    });
  });

  test("refuses a lease that outlives the grace", () => {
    const membership = { leaseMs: 10_001, deadGraceMs: 10_000 };

    expect(() => resolveNodeCoreOptions({ ...IDENTITY, membership })).toThrow("at most deadGraceMs");
  });
});
