// The ring's interface on small, readable clusters. Balance, properties and golden tables have files of their own.

import { describe, expect, test } from "vitest";
import { type MemberId, SLOT_COUNT, type Slot } from "../../../src/base/ids.ts";
import { computeRingId, Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { member, plainMembers } from "./members.ts";

const hashes = await loadHashes();
const PARAMETERS = ringParameters(3);
const build = (members = plainMembers(5), replicas = 3) =>
  Ring.build(members, ringParameters(replicas), hashes);
const slots = Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);
const stranger = "stranger" as MemberId;

describe("Ring.build", () => {
  test("throws when there are no members", () => {
    expect(() => build([])).toThrow("at least one member");
  });

  test("throws when two members share an id", () => {
    expect(() => build([member("a"), member("b"), member("a", 2)])).toThrow("unique");
  });

  test.each([0, 65, 1.5, Number.NaN])("throws when a weight is %d", (weight) => {
    expect(() => build([member("a"), member("b", weight)])).toThrow("weight");
  });

  test.each([0, -1, 1.5])("throws when replicas is %d", (replicas) => {
    expect(() => build(plainMembers(3), replicas)).toThrow("replica");
  });

  test("throws when the caps together are below the number of slots", () => {
    expect(() => Ring.build(plainMembers(3), { replicas: 3, capPercent: 99 }, hashes)).toThrow("cap");
  });

  test("keeps the given list and its members when they are changed afterwards", () => {
    const members = [...plainMembers(3)];
    const ring = build(members);

    members.pop();

    expect(ring.members.map(({ id }) => id)).toEqual(["node-1", "node-2", "node-3"]);
    expect(Object.isFrozen(ring.members)).toBe(true);
    expect(ring.members.every(Object.isFrozen)).toBe(true);
  });

  test("sorts members byte-wise when their names would sort otherwise by number or by locale", () => {
    const ring = build(["node-10", "node-9", "a", "B"].map((id) => member(id)));

    expect(ring.members.map(({ id }) => id)).toEqual(["B", "a", "node-10", "node-9"]);
  });

  test("survives two ids with the same hash", () => {
    const ring = Ring.build(plainMembers(4), PARAMETERS, { ...hashes, hash32: () => 7 });

    const owned = ring.members.map(({ id }) => ring.slotsOwnedBy(id));
    expect(Math.max(...owned)).toBeLessThanOrEqual(Math.ceil((1.04 * SLOT_COUNT) / 4));
  });
});

describe("Ring.preferenceList", () => {
  test("has min(replicas, members) ids when there are few members", () => {
    for (const [count, replicas] of [
      [1, 3],
      [2, 3],
      [3, 3],
      [7, 3],
      [9, 7],
      [4, 1],
    ] as const) {
      const ring = build(plainMembers(count), replicas);

      expect(ring.replicas).toBe(replicas);
      expect(ring.preferenceList(0 as Slot)).toHaveLength(Math.min(count, replicas));
    }
  });

  test("walks clockwise over the owners when there is one zone", () => {
    const ring = build();

    for (const slot of slots) {
      const walked = new Set<MemberId>();
      for (let step = 0; walked.size < 3; step++)
        walked.add(ring.ownerOf(((slot + step) % SLOT_COUNT) as Slot));
      expect(ring.preferenceList(slot)).toEqual([...walked]);
    }
  });

  test("returns one frozen array for equal lists, the same on every call", () => {
    const ring = build();

    const lists = new Set(slots.map((slot) => ring.preferenceList(slot)));

    expect(lists.size).toBeLessThanOrEqual(5 * 4 * 3);
    expect(lists.size).toBe(new Set([...lists].map((list) => list.join())).size);
    expect([...lists].every(Object.isFrozen)).toBe(true);
  });

  test.each([-1, SLOT_COUNT, 0.5, Number.NaN])("throws when the slot is %d", (slot) => {
    expect(() => build().preferenceList(slot as Slot)).toThrow("slot");
  });
});

describe("Ring lookups", () => {
  test("count what the preference lists say", () => {
    const ring = build(plainMembers(7));

    for (const { id } of ring.members) {
      const owned = slots.filter((slot) => ring.ownerOf(slot) === id);
      const replicated = slots.filter((slot) => ring.preferenceList(slot).includes(id));
      expect(ring.has(id)).toBe(true);
      expect(ring.slotsOwnedBy(id)).toBe(owned.length);
      expect(ring.slotsReplicatedBy(id)).toBe(replicated.length);
      expect(ring.replicaSlots(id)).toEqual(replicated);
      expect(slots.filter((slot) => ring.isReplica(slot, id))).toEqual(replicated);
    }
  });

  test("say nothing of a stranger", () => {
    const ring = build();

    expect(ring.has(stranger)).toBe(false);
    expect(ring.isReplica(0 as Slot, stranger)).toBe(false);
    expect(ring.slotsOwnedBy(stranger)).toBe(0);
    expect(ring.slotsReplicatedBy(stranger)).toBe(0);
    expect(ring.replicaSlots(stranger)).toEqual([]);
    expect(ring.idealShare(stranger)).toBe(0);
  });

  test("give shares by weight that add up to 1", () => {
    const ring = build([member("a"), member("b"), member("c"), member("d"), member("e", 2)]);

    expect(ring.idealShare("a" as MemberId)).toBeCloseTo(1 / 6, 12);
    expect(ring.idealShare("e" as MemberId)).toBeCloseTo(2 / 6, 12);
    expect(ring.members.reduce((sum, { id }) => sum + ring.idealShare(id), 0)).toBeCloseTo(1, 12);
  });
});

describe("computeRingId", () => {
  const members = [member("a", 1, "x"), member("b", 2, "y"), member("c", 1, "x")];
  const id = computeRingId(members, PARAMETERS, hashes);

  test("is 16 hex digits and the id of the ring built from the same members", () => {
    expect(id).toMatch(/^[0-9a-f]{16}$/);
    expect(Ring.build(members, PARAMETERS, hashes).id).toBe(id);
  });

  test("is the same when the members come in another order or carry more than the ring needs", () => {
    const dressed = members.map((each) => ({ ...each, address: "127.0.0.1:7400" }));

    expect(computeRingId(dressed.reverse(), PARAMETERS, hashes)).toBe(id);
  });

  test.each([
    ["a member is missing", members.slice(1), PARAMETERS],
    ["a member is new", [...members, member("d")], PARAMETERS],
    ["an id differs", [member("A", 1, "x"), ...members.slice(1)], PARAMETERS],
    ["a weight differs", [member("a", 2, "x"), ...members.slice(1)], PARAMETERS],
    ["a zone differs", [member("a", 1, "y"), ...members.slice(1)], PARAMETERS],
    ["replicas differs", members, ringParameters(2)],
    ["the cap differs", members, { replicas: 3, capPercent: 105 }],
  ])("is another one when %s", (_, others, parameters) => {
    expect(computeRingId(others, parameters, hashes)).not.toBe(id);
  });

  test("is another one when text moves from one field to the next", () => {
    const ids = [member("a", 1, "1b"), member("a1", 1, "b"), member("a", 11, "b")].map((each) =>
      computeRingId([each], PARAMETERS, hashes),
    );

    expect(new Set(ids).size).toBe(3);
  });
});
