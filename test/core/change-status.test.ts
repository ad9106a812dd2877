// What a node tells of the change of the ring that is under way.

import { describe, expect, test } from "vitest";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import { type ChangeStatusInput, changeStatus } from "../../src/core/change-status.ts";
import type { MemberRecord } from "../../src/core/messages.ts";
import { planOf } from "../../src/core/ring-change.ts";

const NOW = "0000000000000001" as RingId;
const NEXT = "0000000000000002" as RingId;

function member(id: string, over: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id: id as MemberId,
    address: `${id}:1`,
    zone: "",
    weight: 1,
    placeSeq: 0,
    wanted: undefined,
    generation: 1,
    incarnation: 0,
    liveness: "alive",
    ringSeq: 1,
    ringState: "active",
    settledRingId: NOW,
    preparedRingId: "",
    ...over,
  };
}

function inputOf(records: readonly MemberRecord[], over: Partial<ChangeStatusInput> = {}): ChangeStatusInput {
  const plan = planOf(records, 3);
  const plannedRingId = plan === undefined ? "" : NEXT;
  return {
    ...{ records, ringId: NOW, plan, plannedRingId, rehearsal: undefined, warming: undefined },
    ...{ monoMs: 5_000, ...over },
  };
}

describe("changeStatus", () => {
  test("is none when nobody comes or goes and everybody is settled", () => {
    const status = changeStatus(inputOf([member("a"), member("b")]));

    expect(status).toMatchObject({
      phase: "none",
      entering: [],
      going: [],
      moving: [],
      waitingFor: [],
      slotsTotal: 0,
    });
  });

  test("names who enters, who goes and who has not rehearsed it, and how far this node is", () => {
    const records = [
      member("a", { preparedRingId: NEXT }),
      member("b", { ringState: "leaving" }),
      member("c", { ringState: "condemned", liveness: "dead" }),
      member("d", { ringState: "joining" }),
    ];

    const status = changeStatus(
      inputOf(records, { rehearsal: { slotsDone: 10, slotsTotal: 40, sinceMs: 3_000 } }),
    );

    expect(status).toEqual({
      phase: "rehearsing",
      entering: ["d"],
      going: ["b", "c"],
      moving: [],
      waitingFor: ["d"],
      slotsDone: 10,
      slotsTotal: 40,
      elapsedMs: 2_000,
    });
  });

  test("names who gets another place, whatever its state", () => {
    const wanted = { seq: 1, zone: "", weight: 2 };
    const records = [member("a"), member("b", { wanted }), member("c", { wanted, ringState: "warming" })];

    expect(changeStatus(inputOf(records))).toMatchObject({ entering: [], going: [], moving: ["b", "c"] });
  });

  test("is settling while a living member of the ring is not settled, also when the next change is planned", () => {
    const records = [
      member("a"),
      member("b", { settledRingId: NEXT, ringState: "warming" }),
      member("c", { settledRingId: NEXT, liveness: "dead" }),
      member("d", { ringState: "joining" }),
    ];

    const status = changeStatus(inputOf(records));

    expect(status).toMatchObject({ phase: "settling", waitingFor: ["b"], slotsDone: 0, slotsTotal: 0 });
  });

  test("tells of its own warming slots while it settles", () => {
    const warming = { slotsDone: 1, slotsTotal: 4, sinceMs: 4_990 };

    const status = changeStatus(inputOf([member("a"), member("b")], { warming }));

    expect(status).toMatchObject({ phase: "settling", slotsDone: 1, slotsTotal: 4, elapsedMs: 10 });
  });

  test("is none before there is a ring", () => {
    expect(changeStatus(inputOf([member("a")], { ringId: "" })).phase).toBe("none");
  });
});
