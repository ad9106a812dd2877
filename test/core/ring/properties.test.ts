// The ring's invariants R1 to R5 (ring.ts) over random clusters, and the whole ring against a slow second implementation.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mix32 } from "../../../src/base/hash.ts";
import { type MemberId, SLOT_COUNT, type Slot } from "../../../src/base/ids.ts";
import { Ring, type RingMember, ringParameters } from "../../../src/core/ring/ring.ts";
import { score } from "../../../src/core/ring/score.ts";
import { computeCaps, computeShares } from "../../../src/core/ring/shares.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { arbitraryMembers, member, plainMembers } from "./members.ts";
import { slowOwners, slowReplicas } from "./slow-ring.ts";

const hashes = await loadHashes();
const build = (members: readonly RingMember[], replicas = 3) =>
  Ring.build(members, ringParameters(replicas), hashes);
const slots = Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);
const replicas = fc.integer({ min: 1, max: 5 });
const anyMembers = arbitraryMembers(12, 4, ["", "a", "b", "c"]);

const listsOf = (ring: Ring) => slots.map((slot) => ring.preferenceList(slot).join());
const zonesOf = (ring: Ring) => new Map(ring.members.map(({ id, zone }) => [id, zone]));

/** Slots whose owner changes between members that are in both rings. */
function movedBetweenOldMembers(from: Ring, to: Ring): number {
  return slots.filter((slot) => {
    const [before, after] = [from.ownerOf(slot), to.ownerOf(slot)];
    return before !== after && from.has(after) && to.has(before);
  }).length;
}

describe("Ring", () => {
  test("is the same when the same members come in any order (R1)", () => {
    const shuffled = anyMembers.chain((members) =>
      fc.record({
        members: fc.constant(members),
        other: fc.shuffledSubarray(members, { minLength: members.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, replicas, ({ members, other }, copies) => {
        const [ring, again] = [build(members, copies), build(other, copies)];
        expect(again.id).toBe(ring.id);
        expect(listsOf(again)).toEqual(listsOf(ring));
      }),
      { numRuns: 15 },
    );
  });

  test("keeps every slot on min(replicas, members) distinct members (R2)", () => {
    fc.assert(
      fc.property(anyMembers, replicas, (members, copies) => {
        const ring = build(members, copies);
        const expected = Math.min(copies, members.length);
        const isRight = (slot: Slot) => new Set(ring.preferenceList(slot)).size === expected;
        expect(
          slots.filter((slot) => !isRight(slot) || ring.preferenceList(slot).length !== expected),
        ).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  test("gives nobody more slots than its cap (R3)", () => {
    fc.assert(
      fc.property(arbitraryMembers(40, 8), replicas, (members, copies) => {
        const ring = build(members, copies);
        for (const { id } of ring.members) {
          expect(ring.slotsOwnedBy(id)).toBeLessThan(1.04 * SLOT_COUNT * ring.idealShare(id) + 1);
        }
        expect(ring.members.reduce((sum, { id }) => sum + ring.slotsOwnedBy(id), 0)).toBe(SLOT_COUNT);
      }),
      { numRuns: 20 },
    );
  });

  test("moves at most 2 % between old members when one joins or leaves (R4)", () => {
    fc.assert(
      fc.property(arbitraryMembers(100), fc.nat(), (members, pick) => {
        fc.pre(members.length >= 2);
        const gone = pick % members.length;
        const all = build(members);
        const fewer = build(members.filter((_, index) => index !== gone));
        expect(movedBetweenOldMembers(fewer, all)).toBeLessThanOrEqual(0.02 * SLOT_COUNT);
        expect(movedBetweenOldMembers(all, fewer)).toBe(movedBetweenOldMembers(fewer, all));
      }),
      { numRuns: 20 },
    );
    const hundred = plainMembers(100);
    expect(movedBetweenOldMembers(build(hundred.slice(1)), build(hundred))).toBeLessThanOrEqual(
      0.02 * SLOT_COUNT,
    );
  });

  test("keeps copies in distinct zones when there are enough zones of some size (R5)", () => {
    const zoned = fc.record({
      zones: fc.integer({ min: 3, max: 5 }),
      perZone: fc.integer({ min: 1, max: 4 }),
      copies: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(zoned, ({ zones, perZone, copies }) => {
        const members = Array.from({ length: zones * perZone }, (_, index) =>
          member(`m${index}`, 1, `z${index % zones}`),
        );
        const ring = build(members, copies);
        expect(ring.zoneRule).toBe("distinct");
        const zoneOf = zonesOf(ring);
        const zonesOfSlot = (slot: Slot) => new Set(ring.preferenceList(slot).map((id) => zoneOf.get(id)));
        expect(slots.filter((slot) => zonesOfSlot(slot).size !== copies)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test("keeps the first two copies in different zones when zones are too few or too small (R5)", () => {
    fc.assert(
      fc.property(arbitraryMembers(10, 2, ["a", "a", "a", "b"]), (members) => {
        fc.pre(new Set(members.map(({ zone }) => zone)).size === 2);
        const ring = build(members);
        const zoneOf = zonesOf(ring);
        const isTogether = ([first, second]: readonly MemberId[]) =>
          zoneOf.get(first!) === zoneOf.get(second!);
        expect(slots.filter((slot) => isTogether(ring.preferenceList(slot)))).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test("equals a slow, obvious second implementation", () => {
    fc.assert(
      fc.property(
        arbitraryMembers(7, 3, ["", "a", "b"]),
        fc.integer({ min: 1, max: 3 }),
        (members, copies) => {
          const ring = build(members, copies);
          const shares = computeShares(
            ring.members.map(({ weight }) => weight),
            Math.min(copies, members.length),
          );
          const caps = computeCaps(shares, SLOT_COUNT, 104);
          const table = ring.members.map(({ id, weight }) => {
            const scorer = { seed: mix32(hashes.hash32(id)), weight };
            return Uint32Array.from(slots, (slot) => score(slot, scorer));
          });

          const owners = slowOwners(members.length, caps, (slot, index) => table[index]![slot]!);

          expect(slots.map((slot) => ring.ownerOf(slot))).toEqual(
            owners.map((index) => ring.members[index]!.id),
          );
          for (let slot = 0; slot < SLOT_COUNT; slot += 37) {
            const expected = slowReplicas(slot, owners, ring.members, copies).map(
              (index) => ring.members[index]!.id,
            );
            expect(ring.preferenceList(slot as Slot)).toEqual(expected);
          }
        },
      ),
      { numRuns: 6 },
    );
  }, 60_000);
});
