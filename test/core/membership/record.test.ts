import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  GENERATION_AHEAD_MS_MAX,
  isPlausible,
  mergeRecords,
  SEQUENCE_MAX,
} from "../../../src/core/membership/record.ts";
import type { MemberRecord } from "../../../src/core/messages.ts";
import { anyRecord, GENERATION, recordOf } from "./records.ts";

describe("mergeRecords is a join", () => {
  test("mergeRecords gives the same whichever side comes first", () => {
    fc.assert(
      fc.property(anyRecord, anyRecord, (a, b) => {
        expect(mergeRecords(a, b)).toEqual(mergeRecords(b, a));
      }),
      { numRuns: 500 },
    );
  });

  test("mergeRecords gives the same however three are grouped", () => {
    fc.assert(
      fc.property(anyRecord, anyRecord, anyRecord, (a, b, c) => {
        expect(mergeRecords(mergeRecords(a, b), c)).toEqual(mergeRecords(a, mergeRecords(b, c)));
      }),
      { numRuns: 1_000 },
    );
  });

  test("mergeRecords returns the known record itself when nothing is added", () => {
    fc.assert(
      fc.property(anyRecord, anyRecord, (a, b) => {
        const joined = mergeRecords(a, b);

        expect(mergeRecords(joined, a)).toBe(joined);
        expect(mergeRecords(joined, b)).toBe(joined);
        expect(mergeRecords(joined, { ...joined })).toBe(joined);
      }),
    );
  });

  test("mergeRecords of any order and repetition of the same news ends in one record", () => {
    fc.assert(
      fc.property(
        fc.array(anyRecord, { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        (news, picks) => {
          const join = (records: readonly MemberRecord[]) => records.reduce(mergeRecords);
          const again = [...news].reverse();
          for (const pick of picks.take(6)) again.push(news[pick % news.length]!);

          expect(join(again)).toEqual(join(news));
        },
      ),
    );
  });

  test("mergeRecords never brings a member back that left in the same generation", () => {
    fc.assert(
      fc.property(anyRecord, anyRecord, (a, b) => {
        fc.pre(a.generation === b.generation);
        fc.pre(a.ringState === "left" || a.ringState === "evicted");

        expect(["left", "evicted"]).toContain(mergeRecords(a, b).ringState);
      }),
    );
  });
});

describe("mergeRecords lets the greater win", () => {
  const cases: [string, Partial<MemberRecord>, Partial<MemberRecord>][] = [
    ["a suspicion over the same incarnation alive", { liveness: "suspect" }, { liveness: "alive" }],
    ["a death over the same incarnation suspected", { liveness: "dead" }, { liveness: "suspect" }],
    ["a refutation over an earlier death", { incarnation: 1 }, { incarnation: 0, liveness: "dead" }],
    ["a later place in the ring", { ringSeq: 2, ringState: "warming" }, { ringSeq: 1, ringState: "active" }],
    ["an eviction over the same place", { ringState: "evicted" }, { ringState: "leaving" }],
    [
      "having left over any later place",
      { ringState: "left", ringSeq: 1 },
      { ringState: "active", ringSeq: 9 },
    ],
    [
      "a later boot over everything",
      { generation: GENERATION + 1, ringState: "joining", address: "new:1" },
      { incarnation: 9, liveness: "dead", ringSeq: 9, ringState: "evicted" },
    ],
  ];

  test.each(cases)("mergeRecords prefers %s", (_, greater, lesser) => {
    const winner = recordOf("m", greater);

    expect(mergeRecords(winner, recordOf("m", lesser))).toEqual(winner);
    expect(mergeRecords(recordOf("m", lesser), winner)).toEqual(winner);
  });

  test("mergeRecords joins a suspicion and a change of place that crossed", () => {
    const suspected = recordOf("m", { liveness: "suspect" });
    const moved = recordOf("m", { ringSeq: 1, ringState: "leaving" });

    expect(mergeRecords(suspected, moved)).toEqual({ ...moved, liveness: "suspect" });
  });
});

describe("isPlausible", () => {
  test("isPlausible refuses boots from more than a day ahead and numbers nobody can have reached", () => {
    const wallMs = GENERATION;
    const edge = GENERATION + GENERATION_AHEAD_MS_MAX;

    expect(isPlausible(recordOf("m", { generation: edge }), wallMs)).toBe(true);
    expect(isPlausible(recordOf("m", { generation: edge + 1 }), wallMs)).toBe(false);
    expect(isPlausible(recordOf("m", { incarnation: SEQUENCE_MAX }), wallMs)).toBe(true);
    expect(isPlausible(recordOf("m", { incarnation: SEQUENCE_MAX + 1 }), wallMs)).toBe(false);
    expect(isPlausible(recordOf("m", { ringSeq: SEQUENCE_MAX + 1 }), wallMs)).toBe(false);
  });
});
