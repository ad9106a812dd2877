// The walk and the zone rule on hand-made owners, so that the expected list can be read off the table.

import { describe, expect, test } from "vitest";
import { SLOT_COUNT } from "../../../src/base/ids.ts";
import { computeReplicaTable, computeZoneRule } from "../../../src/core/ring/preference.ts";

const member = (zone: string, weight = 1) => ({ zone, weight });

/** Owners that repeat a pattern all around the ring. */
function repeated(pattern: readonly number[]): Uint16Array {
  return Uint16Array.from({ length: SLOT_COUNT }, (_, slot) => pattern[slot % pattern.length]!);
}

function replicasOf(slot: number, pattern: readonly number[], zones: string, copies = 3): number[] {
  const members = [...zones].map((zone) => member(zone));
  const table = computeReplicaTable({ owners: repeated(pattern), members, copies });
  return [...table.subarray(slot * copies, (slot + 1) * copies)];
}

describe("computeZoneRule", () => {
  test.each([
    ["one zone and one copy", "aaaa", 1, "distinct"],
    ["one zone and two copies", "aaaa", 2, "preferred"],
    ["as many zones as copies", "abc", 3, "distinct"],
    ["fewer zones than copies", "aabb", 3, "preferred"],
    ["zones of 4, 4 and 2 members", "aaaabbbbcc", 3, "distinct"],
    ["a zone of half its fair share", "aabbc", 3, "distinct"],
    ["zones of 4, 4 and 1 members", "aaaabbbbc", 3, "preferred"],
    ["one small zone among many", "aaabbbcccdddee", 3, "distinct"],
    ["one tiny zone among many", "aaabbbcccddde", 3, "preferred"],
  ])("sees %s", (_, zones, copies, expected) => {
    const members = [...zones].map((zone) => member(zone));

    expect(computeZoneRule(members, copies)).toBe(expected);
  });

  test("goes by the weight of zones and not by the number of their members", () => {
    expect(computeZoneRule([member("a", 8), member("b", 8), member("c", 1)], 3)).toBe("preferred");
    expect(computeZoneRule([member("a"), member("a"), member("a"), member("b", 3), member("c", 2)], 3)).toBe(
      "distinct",
    );
  });
});

describe("computeReplicaTable", () => {
  test("takes the next owners clockwise, each once, when there is one zone", () => {
    expect(replicasOf(0, [0, 0, 1, 0, 1, 2, 3, 0], "zzzz")).toEqual([0, 1, 2]);
    expect(replicasOf(6, [0, 0, 1, 0, 1, 2, 3, 0], "zzzz")).toEqual([3, 0, 1]);
  });

  test("goes on at slot 0 when the walk passes the last slot", () => {
    expect(replicasOf(SLOT_COUNT - 1, [0, 1, 2, 3], "zzzz")).toEqual([3, 0, 1]);
  });

  test("skips zones already used when zones must be distinct", () => {
    expect(replicasOf(0, [0, 1, 2, 3, 4, 5], "aabbcc")).toEqual([0, 2, 4]);
    expect(replicasOf(1, [0, 1, 2, 3, 4, 5], "aabbcc")).toEqual([1, 2, 4]);
  });

  test("takes the nearest other zone second and then whoever is next when zones are too few", () => {
    expect(replicasOf(0, [0, 1, 2, 3], "aaab")).toEqual([0, 3, 1]);
    expect(replicasOf(2, [0, 1, 2, 3], "aaab")).toEqual([2, 3, 0]);
  });

  test("has the owner alone when one copy is kept, whatever the zones", () => {
    expect(replicasOf(0, [0, 1], "ab", 1)).toEqual([0]);
  });

  test("does without a zone whose members own no slots", () => {
    expect(replicasOf(0, [0, 1, 2], "aaab")).toEqual([0, 1, 2]);
  });

  test("throws when fewer members own slots than there are copies", () => {
    expect(() => replicasOf(0, [0, 1], "zzzz")).toThrow("as many members");
  });
});
