import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { type Candidate, EvictionGuard } from "../../../src/core/membership/eviction.ts";
import { MEMBERSHIP_DEFAULTS } from "../../../src/core/options.ts";

const id = (name: string) => name as MemberId;
const GRACE_MS = MEMBERSHIP_DEFAULTS.deadGraceMs;

function alive(name: string, patch: Partial<Candidate> = {}): Candidate {
  return {
    id: id(name),
    weight: 1,
    liveness: "alive",
    isActive: true,
    deadForMs: 0,
    witnesses: new Set(),
    ...patch,
  };
}

function dead(name: string, witnesses: string, patch: Partial<Candidate> = {}): Candidate {
  const said = new Set([...witnesses].map(id));
  return alive(name, { liveness: "dead", deadForMs: GRACE_MS, witnesses: said, ...patch });
}

const guardOf = (self: string) => new EvictionGuard(id(self), MEMBERSHIP_DEFAULTS);

describe("EvictionGuard", () => {
  test("EvictionGuard evicts a member that has been dead for the grace and that three hold dead", () => {
    const ring = [alive("a"), alive("b"), alive("c"), alive("d"), dead("e", "bc")];

    expect(guardOf("a").decide(ring, 0)).toEqual({ evict: ["e"], ask: [] });
  });

  test("EvictionGuard waits for the grace", () => {
    const ring = [
      alive("a"),
      alive("b"),
      alive("c"),
      alive("d"),
      dead("e", "bcd", { deadForMs: GRACE_MS - 1 }),
    ];

    expect(guardOf("a").decide(ring, 0).evict).toEqual([]);
  });

  test("EvictionGuard asks the alive that have not said it is dead, and does not count the dead as witnesses", () => {
    const ring = [alive("a"), alive("b"), alive("c"), alive("d"), dead("e", "bz")];

    expect(guardOf("a").decide(ring, 0)).toEqual({ evict: [], ask: ["c", "d"] });
  });

  test("EvictionGuard is content with all that are alive where they are fewer than three", () => {
    const ring = [alive("a"), alive("b"), dead("c", "b")];

    expect(guardOf("a").decide(ring, 0).evict).toEqual(["c"]);
    expect(guardOf("a").decide([alive("a"), alive("b"), dead("c", "")], 0)).toEqual({
      evict: [],
      ask: ["b"],
    });
  });

  test.each([
    ["one of two", [alive("a"), dead("b", "")]],
    ["two of four", [alive("a"), alive("b"), dead("c", "b"), dead("d", "b")]],
    ["two of five", [alive("a"), alive("b"), dead("c", "b"), dead("d", "b"), dead("e", "b")]],
    [
      "three of five with one of them suspect",
      [alive("a"), alive("b"), alive("c", { liveness: "suspect" }), dead("d", "b"), dead("e", "b")],
    ],
  ])("EvictionGuard never evicts when it sees %s", (_, ring) => {
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 120_000) {
      expect(guardOf("a").decide(ring, nowMs).evict).toEqual([]);
    }
  });

  test("EvictionGuard leaves it to the lowest active id, and takes over after 10 s per place in line", () => {
    const ring = [alive("a", { isActive: false }), alive("b"), alive("c"), alive("d"), dead("e", "abcd")];
    const first = guardOf("b");
    const second = guardOf("c");
    const never = guardOf("a");

    expect(never.decide(ring, 0).evict).toEqual([]);
    expect(never.decide(ring, 60_000).evict).toEqual([]);
    expect(first.decide(ring, 0).evict).toEqual(["e"]);
    expect(second.decide(ring, 0).evict).toEqual([]);
    expect(second.decide(ring, 9_999).evict).toEqual([]);
    expect(second.decide(ring, 10_000).evict).toEqual(["e"]);
  });

  test("EvictionGuard evicts in one batch, and waits up to 5 s for those about to join it", () => {
    const others = ["a", "b", "c", "d", "e", "f", "g"].map((name) => alive(name));
    const guard = guardOf("a");
    const soon = dead("y", "bc", { deadForMs: GRACE_MS - 2_000 });

    expect(guard.decide([...others, dead("x", "bc"), soon], 0).evict).toEqual([]);
    const later = guard.decide(
      [...others, dead("x", "bc", { deadForMs: GRACE_MS + 2_000 }), dead("y", "bc")],
      2_000,
    );

    expect(later.evict).toEqual(["x", "y"]);
  });

  test("EvictionGuard does not wait longer than 5 s for a batch", () => {
    const others = ["a", "b", "c", "d", "e"].map((name) => alive(name));
    const ring = [...others, alive("s", { liveness: "suspect" }), dead("x", "bc")];
    const guard = guardOf("a");

    expect(guard.decide(ring, 0).evict).toEqual([]);
    expect(guard.decide(ring, 4_999).evict).toEqual([]);
    expect(guard.decide(ring, 5_000).evict).toEqual(["x"]);
  });

  test("EvictionGuard keeps its distance from the last eviction, whoever made it", () => {
    const ring = ["a", "b", "c", "d", "e", "f"].map((name) => alive(name));
    const guard = guardOf("a");

    guard.note(1, 1_000);

    expect(guard.decide([...ring, dead("x", "bc")], 30_999).evict).toEqual([]);
    expect(guard.decide([...ring, dead("x", "bc")], 31_000).evict).toEqual(["x"]);
  });

  test("EvictionGuard evicts at most a third of the weight in ten minutes, the longest dead first", () => {
    const ring = ["a", "b", "c", "d", "e"].map((name) => alive(name));
    const lost = [
      dead("w", "bc"),
      dead("x", "bc", { deadForMs: GRACE_MS + 5 }),
      dead("y", "bc", { deadForMs: GRACE_MS + 9 }),
    ];
    const guard = guardOf("a");

    expect(guard.decide([...ring, ...lost], 0).evict).toEqual(["y", "x"]);
    for (const weight of [1, 1]) guard.note(weight, 0);
    const rest = [...ring, dead("w", "bc")];
    expect(guard.decide(rest, 599_999).evict).toEqual([]);
    expect(guard.decide(rest, 600_000).evict).toEqual(["w"]);
  });

  test("EvictionGuard always may evict one, however heavy", () => {
    const ring = [alive("a"), alive("b"), alive("c"), dead("x", "bc", { weight: 64 })];

    expect(guardOf("a").decide(ring, 0).evict).toEqual(["x"]);
  });

  test("EvictionGuard does not count a stall of its own as waiting in line", () => {
    const ring = [alive("b"), alive("c"), alive("d"), dead("e", "bcd")];
    const second = guardOf("c");
    second.decide(ring, 0);

    second.shift(60_000);

    expect(second.decide(ring, 61_000).evict).toEqual([]);
    expect(second.decide(ring, 70_000).evict).toEqual(["e"]);
  });
});
