// Ring diffs and moved shares against counts by hand.

import { describe, expect, test } from "vitest";
import { type MemberId, SLOT_COUNT, type Slot } from "../../../src/base/ids.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import {
  idealMovedCopiesShare,
  idealMovedShare,
  movedCopiesShare,
  movedShare,
  ringDiff,
} from "../../../src/core/ring/ring-diff.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { member, plainMembers } from "./members.ts";

const hashes = await loadHashes();
const build = (members = plainMembers(5), replicas = 3) =>
  Ring.build(members, ringParameters(replicas), hashes);
const slots = Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);
const five = build();
const six = build(plainMembers(6));

describe("ringDiff", () => {
  test("gains everything a member keeps when there was no ring before", () => {
    const id = "node-2" as MemberId;

    expect(ringDiff(undefined, five, id)).toEqual({ gained: five.replicaSlots(id), lost: [] });
  });

  test("is empty when the rings are equal", () => {
    expect(ringDiff(five, build([...plainMembers(5)].reverse()), "node-1" as MemberId)).toEqual({
      gained: [],
      lost: [],
    });
  });

  test("names the slots that each member gains and loses when one joins", () => {
    for (const { id } of six.members) {
      const { gained, lost } = ringDiff(five, six, id);

      expect(gained).toEqual(slots.filter((slot) => !five.isReplica(slot, id) && six.isReplica(slot, id)));
      expect(lost).toEqual(slots.filter((slot) => five.isReplica(slot, id) && !six.isReplica(slot, id)));
    }
  });

  test("loses everything a member kept when it leaves the ring", () => {
    const id = "node-6" as MemberId;

    expect(ringDiff(six, five, id)).toEqual({ gained: [], lost: six.replicaSlots(id) });
  });
});

describe("movedShare and movedCopiesShare", () => {
  test("count owners and copies that changed", () => {
    const owners = slots.filter((slot) => five.ownerOf(slot) !== six.ownerOf(slot)).length;
    const copies = six.members.reduce((sum, { id }) => sum + ringDiff(five, six, id).gained.length, 0);

    expect(movedShare(five, six)).toBe(owners / SLOT_COUNT);
    expect(movedCopiesShare(five, six)).toBe(copies / (3 * SLOT_COUNT));
  });

  test("are 0 when nothing changed and 1 when everybody is new", () => {
    const strangers = build([member("x"), member("y"), member("z")]);

    expect([movedShare(five, five), movedCopiesShare(five, five)]).toEqual([0, 0]);
    expect([movedShare(five, strangers), movedCopiesShare(five, strangers)]).toEqual([1, 1]);
  });
});

describe("idealMovedShare and idealMovedCopiesShare", () => {
  test("are the joiner's share when all weights are equal", () => {
    expect(idealMovedShare(five, six)).toBeCloseTo(1 / 6, 12);
    expect(idealMovedCopiesShare(five, six)).toBeCloseTo(1 / 6, 12);
  });

  test("are the joiner's share by weight when weights differ", () => {
    const heavier = build([...plainMembers(5), member("big", 2)]);

    expect(idealMovedShare(five, heavier)).toBeCloseTo(2 / 7, 12);
  });

  test("are the leaver's share when one leaves", () => {
    expect(idealMovedShare(six, five)).toBeCloseTo(1 / 6, 12);
    expect(idealMovedCopiesShare(six, five)).toBeCloseTo(1 / 6, 12);
  });

  test("ask for no copies when every member keeps everything before and after", () => {
    const three = build(plainMembers(3));
    const two = build(plainMembers(2));

    expect(idealMovedCopiesShare(three, two)).toBe(0);
    expect(movedCopiesShare(three, two)).toBe(0);
    expect(idealMovedShare(three, two)).toBeCloseTo(1 / 3, 12);
  });
});
