import { describe, expect, test } from "vitest";
import type { MemberId } from "../../src/base/ids.ts";
import { ViewLease } from "../../src/core/view-lease.ts";

const LEASE_MS = 5_000;

function at(monoMs: number) {
  return { monoMs, wallMs: 1_800_000_000_000 + monoMs };
}

/** The lease of `a` in a ring of so many members; `answered`: when the latest heartbeats were sent that the first others answered. */
function makeLease(members: number, answered: readonly number[]) {
  const ring = Array.from({ length: members }, (_, index) => String.fromCharCode(97 + index) as MemberId);
  const times = new Map(answered.map((ms, index) => [ring[index + 1]!, ms]));
  const parts = {
    self: "a" as MemberId,
    leaseMs: LEASE_MS,
    ringMemberIds: () => ring,
    answeredMs: (member: MemberId) => times.get(member) ?? Number.NEGATIVE_INFINITY,
  };
  return { lease: new ViewLease(parts), ring, times };
}

describe("ViewLease", () => {
  test.each([
    { members: 1, others: 0 },
    { members: 2, others: 0 },
    { members: 3, others: 1 },
    { members: 4, others: 1 },
    { members: 5, others: 2 },
    { members: 6, others: 2 },
    { members: 7, others: 3 },
  ])(
    "is held in a ring of $members when $others others answered, and by fewer not",
    ({ members, others }) => {
      const answers = Array.from({ length: others }, () => 1_000);

      expect(makeLease(members, answers).lease.isHeld(at(1_001))).toBe(true);
      if (others > 0) expect(makeLease(members, answers.slice(1)).lease.isHeld(at(1_001))).toBe(false);
    },
  );

  test("ends so long after the heartbeat was sent that half of the ring has answered", () => {
    const { lease } = makeLease(5, [9_000, 8_000, 2_000]);

    expect(lease.isHeld(at(9_000))).toBe(true);
    expect(lease.isHeld(at(12_999))).toBe(true);
    expect(lease.isHeld(at(13_000))).toBe(false);
  });

  test("goes on while members answer, and comes back when they do again", () => {
    const { lease, times, ring } = makeLease(3, [1_000]);
    expect(lease.isHeld(at(1_500))).toBe(true);

    times.set(ring[1]!, 5_900);
    expect(lease.isHeld(at(6_100))).toBe(true);
    expect(lease.isHeld(at(10_900))).toBe(false);
    times.set(ring[2]!, 11_000);

    expect(lease.isHeld(at(11_001))).toBe(true);
  });

  test("is not held without a ring, nor by a node outside the ring that nobody in it has answered", () => {
    const { lease, ring } = makeLease(2, []);
    ring[0] = "z" as MemberId;

    expect(makeLease(0, []).lease.isHeld(at(0))).toBe(false);
    expect(lease.isHeld(at(0))).toBe(false);
  });
});
