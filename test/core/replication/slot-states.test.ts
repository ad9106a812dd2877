import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import type { MemberId, Slot } from "../../../src/base/ids.ts";
import { SlotStates } from "../../../src/core/replication/slot-states.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";

const SELF = "a" as MemberId;
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function ringOf(...ids: string[]): Ring {
  const members = ids.map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
  return Ring.build(members, ringParameters(3), hashes);
}

/** A slot that `member` holds under the first ring, and whether it does under the second. */
function slotWith(from: Ring, to: Ring, member: MemberId, before: boolean, after: boolean): Slot {
  for (let index = 0; index < 16_384; index++) {
    const slot = index as Slot;
    if (from.isReplica(slot, member) === before && to.isReplica(slot, member) === after) return slot;
  }
  throw new Error("no such slot");
}

describe("SlotStates", () => {
  test("counts everything at once when the cluster is founded", () => {
    const slots = new SlotStates();

    const gained = slots.adopt(ringOf("a"), SELF, true);

    expect(gained).toEqual([]);
    expect(slots.counts(0 as Slot)).toBe(true);
    expect(slots.warmingCount).toBe(0);
  });

  test.each([
    ["a start", false],
    ["a change of the ring", true],
  ])("knows after %s since when a slot counts, and whether it was lost here: %s", (_, isChange) => {
    const slots = new SlotStates();
    slots.adopt(ringOf("a", "b", "c"), SELF, false, isChange);

    slots.settle(0 as Slot, 1_000);

    expect(slots.countsSince(0 as Slot, 999)).toBe(false);
    expect(slots.isNewcomer(0 as Slot)).toBe(isChange);
    expect(slots.countsSince(0 as Slot, 1_000)).toBe(true);
  });

  test("warms what it holds for the first time, until settled", () => {
    const slots = new SlotStates();

    const gained = slots.adopt(ringOf("a", "b", "c"), SELF, false);

    expect(gained).toHaveLength(16_384);
    expect(slots.counts(3 as Slot)).toBe(false);
    expect(slots.isEntitled(3 as Slot)).toBe(false);
    slots.settle(3 as Slot, 0);
    expect(slots.counts(3 as Slot)).toBe(true);
    expect(slots.warmingCount).toBe(16_383);
  });

  test("stays a source after losing a slot until it is released, and only when it had counted", () => {
    const three = ringOf("a", "b", "c");
    const six = ringOf("a", "b", "c", "d", "e", "f");
    const seven = ringOf("a", "b", "c", "d", "e", "f", "g");
    const slots = new SlotStates();
    slots.adopt(three, SELF, true);
    const lost = slotWith(six, seven, SELF, false, false);
    const kept = slotWith(three, six, SELF, true, true);

    slots.adopt(six, SELF, false);

    expect(slots.counts(lost)).toBe(false);
    expect(slots.isEntitled(lost)).toBe(true);
    expect(slots.counts(kept)).toBe(true);
    expect(slots.lostCount).toBe(16_384 - six.replicaSlots(SELF).length);
    slots.adopt(seven, SELF, false);
    expect(slots.isEntitled(lost)).toBe(true);
    slots.releaseFormer(lost);
    expect(slots.isEntitled(lost)).toBe(false);
  });

  test("is no source for a slot that it gained and lost again before it counted", () => {
    const [three, six] = [ringOf("a", "b", "c"), ringOf("a", "b", "c", "d", "e", "f")];
    const slots = new SlotStates();
    slots.adopt(three, SELF, false, true);

    slots.adopt(six, SELF, false, true);

    expect(slots.isEntitled(slotWith(three, six, SELF, true, false))).toBe(false);
    expect(slots.lostCount).toBe(0);
  });

  test("a doubtful slot counts and is not trusted", () => {
    const slots = new SlotStates();
    slots.adopt(ringOf("a"), SELF, true);

    slots.doubt(5 as Slot);

    expect(slots.counts(5 as Slot)).toBe(true);
    expect(slots.isTrusted(5 as Slot)).toBe(false);
    expect(slots.doubtfulCount).toBe(1);
    slots.compare(5 as Slot);
    slots.settle(5 as Slot, 0);
    expect(slots.isTrusted(5 as Slot)).toBe(true);
    expect(slots.doubtfulCount).toBe(0);
  });

  test("a slot that is doubted again while it is compared stays doubtful", () => {
    const slots = new SlotStates();
    slots.adopt(ringOf("a"), SELF, true);
    slots.doubt(5 as Slot);
    slots.compare(5 as Slot);

    slots.doubt(5 as Slot);
    slots.settle(5 as Slot, 0);

    expect(slots.isTrusted(5 as Slot)).toBe(false);
    expect(slots.doubtfulCount).toBe(1);
  });

  test("a warming slot that is doubted counts when it is filled and is not trusted", () => {
    const slots = new SlotStates();
    slots.adopt(ringOf("a", "b", "c"), SELF, false);

    slots.doubt(5 as Slot);
    slots.settle(5 as Slot, 0);

    expect(slots.counts(5 as Slot)).toBe(true);
    expect(slots.isTrusted(5 as Slot)).toBe(false);
  });

  test("doubt does nothing to a slot of others", () => {
    const slots = new SlotStates();

    slots.doubt(5 as Slot);

    expect(slots.doubtfulCount).toBe(0);
  });
});
