// When the ring changes, and for whom.

import { describe, expect, test } from "vitest";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import type { MemberRecord } from "../../src/core/messages.ts";
import {
  arbiterOf,
  changesToEnact,
  ownNextState,
  planOf,
  type RingChangeView,
} from "../../src/core/ring-change.ts";

const NOW = "0000000000000001" as RingId;
const NEXT = "0000000000000002" as RingId;
const OTHER = "0000000000000003" as RingId;

/** A settled, rehearsed member of the ring. */
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
    preparedRingId: NEXT,
    ...over,
  };
}

const WISH: Partial<MemberRecord> = { placeSeq: 2, wanted: { seq: 3, zone: "b", weight: 2 } };

function viewOf(
  self: string,
  records: readonly MemberRecord[],
  over: Partial<RingChangeView> = {},
): RingChangeView {
  const own = records.find(({ id }) => id === self)!;
  const plan = planOf(records, 3);
  const rest = { ringId: NOW, plan, plannedRingId: NEXT, isFilled: true, isReachable: () => true };
  return { self: own, records, ...rest, ...over };
}

const RING = [member("a"), member("b"), member("c")];
const JOINER = member("d", { ringState: "joining", settledRingId: "" });
const LEAVING = { ringState: "leaving" } as const;
const CONDEMNED = { ringState: "condemned", liveness: "dead" } as const;

describe("planOf", () => {
  const planned = (records: readonly MemberRecord[]) => {
    const plan = planOf(records, 3);
    return (
      plan && [
        plan.members.map(({ id }) => id).join(""),
        plan.changes.map(({ id, ringState }) => `${id} ${ringState}`).join(", "),
      ]
    );
  };

  test.each([
    ["nobody wants anything", RING, undefined],
    [
      "one is condemned and one joins: at once",
      [
        ...RING,
        { ...JOINER, ringState: "active" },
        member("e", CONDEMNED),
        { ...JOINER, id: "f" as MemberId },
      ],
      ["abcdf", "f warming, e evicted"],
    ],
    [
      "one is condemned and one joins while another fills its slots: the eviction alone",
      [
        ...RING,
        { ...JOINER, ringState: "warming" },
        member("e", CONDEMNED),
        { ...JOINER, id: "f" as MemberId },
      ],
      ["abcd", "e evicted"],
    ],
    ["one joins", [...RING, JOINER], ["abcd", "d warming"]],
    ["one asks for another place", [...RING, member("d", WISH)], ["abcd", "d active"]],
    [
      "one asks for another place and one joins: at once",
      [...RING, member("d", WISH), { ...JOINER, id: "e" as MemberId }],
      ["abcde", "d active, e warming"],
    ],
    [
      "one asks for another place while another is dead: not now",
      [...RING, member("d", WISH), member("e", { liveness: "dead" })],
      undefined,
    ],
    [
      "one asks for another place and does not answer: not now",
      [...RING, member("d", { ...WISH, liveness: "suspect" })],
      undefined,
    ],
    ["one has got the place that it asked for", [...RING, member("d", { ...WISH, placeSeq: 3 })], undefined],
    [
      "one asks for the place that it has",
      [...RING, member("d", { ...WISH, zone: "b", weight: 2 })],
      undefined,
    ],
    [
      "several join: all of them",
      [...RING, { ...JOINER, id: "e" as MemberId }, JOINER],
      ["abcde", "d warming, e warming"],
    ],
    [
      "more join than are there: as many as there are, the lowest ids",
      [...RING, ...["g", "f", "e", "d"].map((id) => ({ ...JOINER, id: id as MemberId }))],
      ["abcdef", "d warming, e warming, f warming"],
    ],
    [
      "more join than are there, which are fewer than copies: all of them",
      [member("a"), { ...JOINER, id: "e" as MemberId }, JOINER],
      ["ade", "d warming, e warming"],
    ],
    ["one joins while another is dead", [member("a"), member("b", { liveness: "dead" }), JOINER], undefined],
    ["the one that joins is not alive", [...RING, { ...JOINER, liveness: "dead" as const }], undefined],
    ["two leave", [member("a"), member("b", LEAVING), member("c", LEAVING)], ["a", "b left, c left"]],
    [
      "one leaves, one joins, one is condemned",
      [member("a"), member("b", LEAVING), member("c", CONDEMNED), JOINER],
      ["ad", "d warming, b left, c evicted"],
    ],
    [
      "who leaves is dead: not before it is back or condemned",
      [member("a"), member("b", { ...LEAVING, liveness: "dead" })],
      undefined,
    ],
    ["the condemned one lives", [member("a"), member("b", { ringState: "condemned" })], undefined],
    [
      "all leave: the lowest id alive stays",
      [member("a", { ...LEAVING, liveness: "dead" }), member("b", LEAVING), member("c", LEAVING)],
      ["ab", "c left"],
    ],
    [
      "all who live leave: the lowest id of them stays",
      [member("a", { liveness: "dead" }), member("b", LEAVING), member("c", LEAVING)],
      ["ab", "c left"],
    ],
    ["the last one leaves", [member("a", { ringState: "left" }), member("b", LEAVING)], undefined],
  ] as const)("%s", (_what, records, expected) => {
    expect(planned(records)).toEqual(expected);
  });
});

describe("planOf, of a ring that is nearly full,", () => {
  test("lets in as many as there is room for", () => {
    const names = Array.from({ length: 1_020 }, (_, index) => `m${String(index).padStart(4, "0")}`);
    const joiners = Array.from({ length: 10 }, (_, index) => member(`z${index}`, { ringState: "joining" }));

    const plan = planOf([...names.map((name) => member(name)), ...joiners], 3);

    expect(plan?.members.length).toBe(1_024);
    expect(plan?.changes.map(({ id }) => id)).toEqual(["z0", "z1", "z2", "z3"]);
  });
});

describe("changesToEnact", () => {
  const isEnacted = (self: string, records: readonly MemberRecord[], over: Partial<RingChangeView> = {}) =>
    changesToEnact(viewOf(self, records, over)).length > 0;
  const withLate = (late: MemberRecord) =>
    [...RING, JOINER].map((record) => (record.id === late.id ? late : record));

  test("only the arbiter enacts, and only what is planned", () => {
    expect(changesToEnact(viewOf("a", [...RING, JOINER]))).toEqual([{ id: "d", ringState: "warming" }]);
    expect(isEnacted("b", [...RING, JOINER])).toBe(false);
    expect(isEnacted("a", RING)).toBe(false);
    expect(isEnacted("a", [...RING, JOINER], { ringId: "" })).toBe(false);
    expect(isEnacted("a", [...RING, JOINER], { isReachable: (id) => id === "a" })).toBe(false);
  });

  test.each([
    ["a member that stays has not rehearsed", withLate(member("b", { preparedRingId: "" })), false],
    ["the joiner has not rehearsed", withLate({ ...JOINER, preparedRingId: OTHER }), false],
    [
      "a dead member has not rehearsed",
      [...RING, member("d", LEAVING), member("e", { preparedRingId: "", liveness: "dead" })],
      true,
    ],
    [
      "a member that leaves has not rehearsed",
      [...RING, member("d", { ...LEAVING, preparedRingId: "" })],
      true,
    ],
    ["somebody alive is not settled", withLate(member("b", { settledRingId: OTHER })), false],
    [
      "somebody suspect is not settled",
      withLate(member("b", { settledRingId: OTHER, liveness: "suspect" })),
      false,
    ],
    [
      "somebody dead who stays is not settled",
      [...RING, member("d", LEAVING), member("e", { settledRingId: OTHER, liveness: "dead" })],
      false,
    ],
    [
      "somebody dead who stays is settled",
      [...RING, member("d", LEAVING), member("e", { liveness: "dead" })],
      true,
    ],
    [
      "somebody dead who goes as well is not settled",
      [...RING, member("d", LEAVING), member("e", { ...CONDEMNED, settledRingId: OTHER })],
      true,
    ],
    [
      "half of the ring is dead",
      [member("a"), member("b", LEAVING), member("c", { liveness: "dead" }), member("d", CONDEMNED)],
      false,
    ],
    [
      "the condemned is dead and the rest is a majority",
      [...RING, member("d", { ...CONDEMNED, preparedRingId: "", settledRingId: "" })],
      true,
    ],
    [
      "somebody fills its slots, perhaps from the condemned",
      [...RING, member("d", CONDEMNED), member("e", { ringState: "warming", settledRingId: "" })],
      true,
    ],
    [
      "somebody fills slots of the present ring, perhaps from the condemned",
      [...RING, member("d", CONDEMNED), member("e", { settledRingId: OTHER })],
      true,
    ],
    [
      "somebody fills slots of the present ring, and has not rehearsed the next one",
      [...RING, member("d", CONDEMNED), member("e", { settledRingId: OTHER, preparedRingId: "" })],
      false,
    ],
    [
      "one is condemned, and somebody dead who stays is not settled",
      [...RING, member("d", CONDEMNED), member("e", { settledRingId: OTHER, liveness: "dead" })],
      false,
    ],
    [
      "somebody fills its slots, and one wants to leave",
      [...RING, member("d", LEAVING), member("e", { ringState: "warming", settledRingId: "" })],
      false,
    ],
  ] as const)("%s: enacts is %3$s", (_what, records, enacts) => {
    expect(isEnacted("a", records)).toBe(enacts);
  });
});

describe("ownNextState", () => {
  test("is active once all slots of a warming node count", () => {
    const records = [...RING, member("d", { ringState: "warming" })];

    expect(ownNextState(viewOf("d", records, { isFilled: false }))).toBeUndefined();
    expect(ownNextState(viewOf("d", records))).toBe("active");
  });

  test("is left for the last one that leaves, and for nobody else", () => {
    const last = member("b", LEAVING);

    expect(ownNextState(viewOf("b", [member("a", { ringState: "left" }), last]))).toBe("left");
    expect(ownNextState(viewOf("b", [member("a"), last]))).toBeUndefined();
  });
});

describe("arbiterOf", () => {
  test("is the lowest id alive in the ring", () => {
    expect(arbiterOf([member("b"), member("a", { liveness: "suspect" }), member("c")])).toBe("b");
    expect(arbiterOf([{ ...JOINER, id: "0" as MemberId }, member("c")])).toBe("c");
    expect(arbiterOf([JOINER])).toBeUndefined();
  });
});
