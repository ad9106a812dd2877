import { describe, expect, test } from "vitest";
import { minimise } from "./minimise.ts";
import { drawPlan, type SwarmPlan } from "./swarm-plan.ts";

/** A plan with many faults. */
function longPlan(): SwarmPlan {
  for (let seed = 1; ; seed++) {
    const plan = drawPlan(seed);
    if (plan.faults.length > 30 && plan.workload.callers >= 4) return plan;
  }
}

describe("minimise", () => {
  test("keeps only the faults and the caller that matter, and ends soon after the last of them", () => {
    const plan = longPlan();
    const needed = [plan.faults[7]!, plan.faults[23]!];
    const fails = ({ faults, workload }: SwarmPlan) =>
      needed.every((fault) => faults.includes(fault)) && workload.only?.includes(2) !== false;

    const smallest = minimise(plan, fails, () => {});

    expect(smallest.faults).toEqual(needed);
    expect(smallest.workload.only).toEqual([2]);
    expect(smallest.durationMs).toBeGreaterThan(needed[1]!.atMs);
    expect(smallest.durationMs).toBeLessThan(needed[1]!.atMs + 200);
  });

  test("leaves a plan alone of which nothing can go", () => {
    const plan = longPlan();

    expect(
      minimise(
        plan,
        (candidate) => candidate === plan,
        () => {},
      ),
    ).toBe(plan);
  });
});
