import { describe, expect, test } from "vitest";
import { checkRegister, type RegisterOperation } from "../../../cluster/linearizability.ts";
import { Prng } from "../../../src/base/prng.ts";
import { isLinearizableByForce } from "./brute-force.ts";

const NEVER = Number.POSITIVE_INFINITY;
const write = (state: number, callMs: number, returnMs: number): RegisterOperation => ({
  f: "write",
  state,
  callMs,
  returnMs,
});
const read = (state: number, callMs: number, returnMs: number): RegisterOperation => ({
  f: "read",
  state,
  callMs,
  returnMs,
});

describe("checkRegister", () => {
  const cases: [string, RegisterOperation[], "linearizable" | "violated"][] = [
    ["accepts nothing at all", [], "linearizable"],
    ["accepts a read of what was written before", [write(1, 0, 1), read(1, 2, 3)], "linearizable"],
    ["refuses a lost write", [write(1, 0, 1), read(0, 2, 3)], "violated"],
    ["refuses a phantom", [read(7, 0, 1)], "violated"],
    ["refuses a stale read", [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], "violated"],
    [
      "accepts either order of overlapping writes",
      [write(1, 0, 5), write(2, 0, 5), read(1, 6, 7)],
      "linearizable",
    ],
    [
      "refuses two reads that disagree about the order of writes",
      [write(1, 0, 5), write(2, 0, 5), read(1, 6, 7), read(2, 8, 9)],
      "violated",
    ],
    [
      "refuses a value that is read, then unread, during its write",
      [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)],
      "violated",
    ],
    [
      "accepts an unknown write that took effect late",
      [write(1, 0, NEVER), read(0, 2, 3), read(1, 9, 10)],
      "linearizable",
    ],
    ["accepts an unknown write that never took effect", [write(1, 0, NEVER), read(0, 9, 10)], "linearizable"],
    ["refuses a deleted value that comes back", [write(1, 0, 1), write(0, 2, 3), read(1, 4, 5)], "violated"],
    [
      "accepts a deleted value while an unknown write of it may still come",
      [write(1, 0, NEVER), write(0, 2, 3), read(1, 4, 5)],
      "linearizable",
    ],
  ];
  test.each(cases)("%s", (_name, operations, verdict) => {
    expect(checkRegister(operations)).toBe(verdict);
  });

  test("agrees with brute force on 20,000 random small histories", () => {
    const prng = new Prng(7);
    const verdicts = { linearizable: 0, violated: 0 };
    for (let round = 0; round < 20_000; round++) {
      const operations = randomHistory(prng);
      const expected = isLinearizableByForce(operations) ? "linearizable" : "violated";
      verdicts[expected]++;
      expect(checkRegister(operations), JSON.stringify(operations)).toBe(expected);
    }
    // Both verdicts must be common, or the comparison says little.
    expect(verdicts.linearizable).toBeGreaterThan(2000);
    expect(verdicts.violated).toBeGreaterThan(2000);
  });
});

function randomHistory(prng: Prng): RegisterOperation[] {
  const operations: RegisterOperation[] = [];
  for (let count = 2 + prng.below(5); count > 0; count--) {
    const callMs = prng.below(10);
    const isWrite = prng.chance(0.5);
    const isUnknown = isWrite && prng.chance(0.2);
    operations.push({
      f: isWrite ? "write" : "read",
      state: prng.below(3),
      callMs,
      returnMs: isUnknown ? NEVER : callMs + 1 + prng.below(6),
    });
  }
  return operations;
}
