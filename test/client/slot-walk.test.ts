import { describe, expect, test } from "vitest";
import { type MemberId, SLOT_COUNT, type Slot } from "../../src/base/ids.ts";
import { type SlotRouting, SlotWalk } from "../../src/client/slot-walk.ts";

const LIST = ["a", "b", "c"] as MemberId[];

/** Every slot is kept by a, b and c, in this order. */
function routing(connected: readonly string[] = LIST): SlotRouting {
  const view = {
    preferenceList: () => LIST,
    member: (id: MemberId) => ({ id, address: id, ringState: "active" }),
  };
  return { view, connected, isConnected: (address: string) => connected.includes(address) } as never;
}

/** Walks to the end; returns who was asked about each slot. `fails`: who cannot answer. */
function walk(all: SlotRouting, fails: (address: string, isAlone: boolean) => boolean) {
  const askedOf = new Map<Slot, string[]>();
  const walk = new SlotWalk(all);
  for (let question = walk.question; question !== undefined; question = walk.question) {
    if (fails(question.address, question.isAlone)) {
      walk.failed();
      continue;
    }
    for (const slot of question.slots)
      askedOf.set(slot, [
        ...(askedOf.get(slot) ?? []),
        `${question.address}${question.isAlone ? " alone" : ""}`,
      ]);
    walk.answered({ slotsDone: question.slots.length, after: "" });
  }
  return askedOf;
}

describe("SlotWalk", () => {
  test("asks the first replica of each slot alone", () => {
    const askedOf = walk(routing(), () => false);

    expect(askedOf.size).toBe(SLOT_COUNT);
    expect(new Set([...askedOf.values()].flat())).toEqual(new Set(["a alone"]));
  });

  test("asks two others where the first may not answer alone", () => {
    const askedOf = walk(routing(), (_, isAlone) => isAlone);

    expect(askedOf.size).toBe(SLOT_COUNT);
    for (const asked of askedOf.values()) expect([...asked].sort()).toEqual(["b", "c"]);
  });

  test("asks the first replica as well when one of the others fails", () => {
    const askedOf = walk(routing(), (address, isAlone) => isAlone || address === "b");

    for (const asked of askedOf.values()) expect([...asked].sort()).toEqual(["a", "c"]);
  });

  test("never ends with one replica where two are needed", () => {
    const all = new SlotWalk(routing(["c"]));
    for (let tries = 0; tries < 50 && all.question !== undefined; tries++) {
      const { address, slots, isAlone } = all.question;
      if (address === "c" && !isAlone) all.answered({ slotsDone: slots.length, after: "" });
      else all.failed();
    }

    expect(all.question).toBeDefined();
  });

  test("goes on behind the last key within a slot", () => {
    const all = new SlotWalk(routing());
    const first = all.question!;

    all.answered({ slotsDone: 3, after: "k" });

    expect(all.question).toMatchObject({ after: "k", slots: first.slots.slice(3) });
  });
});
