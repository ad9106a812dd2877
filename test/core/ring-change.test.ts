// Who may enter or leave the ring, and when.

import { describe, expect, test } from "vitest";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import type { Effect } from "../../src/core/machine.ts";
import type { ChangeGrant, ChangeRequest, MemberRecord } from "../../src/core/messages.ts";
import { Outbox } from "../../src/core/replication/outbox.ts";
import { arbiterOf, plannedMembers, RingChange, type RingChangeView } from "../../src/core/ring-change.ts";

const NOW = "0000000000000001" as RingId;
const NEXT = "0000000000000002" as RingId;
const OTHER = "0000000000000003" as RingId;

function at(monoMs: number) {
  return { monoMs, wallMs: 1_800_000_000_000 + monoMs };
}

/** A settled, rehearsed member of the ring. */
function member(id: string, over: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id: id as MemberId,
    address: `${id}:1`,
    zone: "",
    weight: 1,
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

function viewOf(
  self: string,
  records: readonly MemberRecord[],
  over: Partial<RingChangeView> = {},
): RingChangeView {
  const own = records.find(({ id }) => id === self)!;
  return { self: own, records, ringId: NOW, targetRingId: NEXT, isFilled: true, ...over };
}

function makeChange() {
  const outbox = new Outbox((id) => `${id}:1`);
  const messages = () =>
    outbox
      .take()
      .filter((effect): effect is Extract<Effect, { kind: "send" }> => effect.kind === "send")
      .map(({ to, message }) => [to, message.kind]);
  return { change: new RingChange(outbox), messages };
}

const JOIN: ChangeRequest = { kind: "changeRequest", change: "join", fromRingId: NOW, toRingId: NEXT };
const GRANT: ChangeGrant = { kind: "changeGrant", fromRingId: NOW, toRingId: NEXT };
const RING = [member("a"), member("b"), member("c")];
const JOINER = member("d", { ringState: "joining", settledRingId: "" });

describe("RingChange as the asker", () => {
  test("asks the arbiter when everybody has rehearsed, and not again at once", () => {
    const { change, messages } = makeChange();
    const view = viewOf("d", [...RING, JOINER]);

    expect(change.advance(view, at(0))).toBeUndefined();
    expect(messages()).toEqual([["a", "changeRequest"]]);
    change.advance(view, at(20));
    expect(messages()).toEqual([]);
    change.advance(view, at(60));
    expect(messages()).toEqual([["a", "changeRequest"]]);
  });

  test.each([
    ["a member that stays", member("b", { preparedRingId: "" }), false],
    ["the joiner", { ...JOINER, preparedRingId: "" as const }, false],
    ["a member that is dead", member("b", { preparedRingId: "", liveness: "dead" }), true],
    ["a member that leaves", member("b", { preparedRingId: "", ringState: "leaving" }), true],
  ] as const)("%s has not rehearsed: asks is %3$s", (_who, late, asks) => {
    const { change, messages } = makeChange();
    const records = [...RING, JOINER].map((record) => (record.id === late.id ? late : record));

    change.advance(viewOf("d", records), at(0));

    expect(messages().length > 0).toBe(asks);
  });

  test("becomes active when its slots count", () => {
    const warming = member("d", { ringState: "warming" });
    const records = [...RING, warming];

    expect(makeChange().change.advance(viewOf("d", records, { isFilled: false }), at(0))).toBeUndefined();
    expect(makeChange().change.advance(viewOf("d", records, { targetRingId: "" }), at(0))).toBe("active");
  });

  test("enters or leaves by a grant for the rings it sees, and by no other", () => {
    const { change } = makeChange();
    const joining = viewOf("d", [...RING, JOINER]);
    const leaving = viewOf("c", [member("a"), member("b"), member("c", { ringState: "leaving" })]);

    expect(change.grantedTo(GRANT, joining)).toBe("warming");
    expect(change.grantedTo(GRANT, leaving)).toBe("left");
    expect(change.grantedTo({ ...GRANT, fromRingId: OTHER }, joining)).toBeUndefined();
    expect(change.grantedTo({ ...GRANT, toRingId: OTHER }, joining)).toBeUndefined();
    expect(change.grantedTo(GRANT, viewOf("b", RING))).toBeUndefined();
  });

  test("leaves without asking when it is the last one", () => {
    const records = [member("a", { ringState: "left" }), member("b", { ringState: "leaving" })];

    expect(makeChange().change.advance(viewOf("b", records, { targetRingId: "" }), at(0))).toBe("left");
  });
});

describe("RingChange as the arbiter", () => {
  function isGranted(
    records: readonly MemberRecord[],
    over: Partial<RingChangeView> = {},
    self = "a",
  ): boolean {
    const { change, messages } = makeChange();
    change.requested("d" as MemberId, JOIN, viewOf(self, records, over), at(0));
    return messages().length > 0;
  }

  test.each([
    ["everybody is settled", [...RING, JOINER], true],
    [
      "somebody alive is not settled",
      [member("a"), member("b", { settledRingId: OTHER }), member("c")],
      false,
    ],
    [
      "somebody suspect is not settled",
      [member("a"), member("b", { settledRingId: OTHER, liveness: "suspect" }), member("c")],
      false,
    ],
    [
      "somebody dead is not settled",
      [member("a"), member("b", { settledRingId: OTHER, liveness: "dead" }), member("c")],
      true,
    ],
    ["half of the ring is dead", [member("a"), member("b", { liveness: "dead" })], false],
  ] as const)("%s: grants is %3$s", (_what, records, grants) => {
    expect(isGranted(records)).toBe(grants);
  });

  test("grants nothing for another ring, nor when it is not the arbiter", () => {
    expect(isGranted(RING, { ringId: OTHER })).toBe(false);
    expect(isGranted(RING, {}, "b")).toBe(false);
  });

  test("grants one change at a time, the same one again, and another when that came to nothing", () => {
    const { change, messages } = makeChange();
    const view = viewOf("a", RING);
    const ask = (toRingId: RingId, ms: number) => {
      change.requested("d" as MemberId, { ...JOIN, toRingId }, view, at(ms));
      return messages().length > 0;
    };

    expect(ask(NEXT, 0)).toBe(true);
    expect(ask(OTHER, 100)).toBe(false);
    expect(ask(NEXT, 200)).toBe(true);
    expect(ask(OTHER, 3_100)).toBe(false);
    expect(ask(OTHER, 3_300)).toBe(true);
  });

  test("is the lowest id alive in the ring", () => {
    expect(arbiterOf([member("b"), member("a", { liveness: "suspect" }), member("c")])).toBe("b");
    expect(arbiterOf([{ ...JOINER, id: "0" as MemberId }, member("c")])).toBe("c");
    expect(arbiterOf([JOINER])).toBeUndefined();
  });
});

describe("plannedMembers", () => {
  const idsOf = (records: readonly MemberRecord[]) => plannedMembers(records)?.map(({ id }) => id);
  const leaving = { ringState: "leaving" } as const;

  test.each([
    ["nobody wants anything", RING, undefined],
    [
      "two join: the lowest id first",
      [...RING, { ...JOINER, id: "e" as MemberId }, JOINER],
      ["a", "b", "c", "d"],
    ],
    ["the one that joins is not alive", [...RING, { ...JOINER, liveness: "dead" as const }], undefined],
    ["two leave: both", [member("a"), member("b", leaving), member("c", leaving)], ["a"]],
    ["one leaves and one joins: the leave first", [member("a"), member("b", leaving), JOINER], ["a"]],
    [
      "all leave: the lowest id alive stays",
      [member("a", { ...leaving, liveness: "dead" }), member("b", leaving), member("c", leaving)],
      ["b"],
    ],
  ] as const)("%s", (_what, records, expected) => {
    expect(idsOf(records)).toEqual(expected);
  });
});
