// Scores against a second implementation in big integers, and the evenness that the ring's balance rests on.

import { describe, expect, test } from "vitest";
import { SLOT_COUNT } from "../../../src/base/ids.ts";
import { BLOCK_SIZE, claimSlots, score } from "../../../src/core/ring/score.ts";

const MASK = 0xffff_ffffn;
const slots = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
const SEEDS = [0, 1, 0x7fffffff, 0x80000000, 0xdeadbeef, 0xffffffff];

function slowMix(value: bigint): bigint {
  let mixed = value & MASK;
  mixed = ((mixed ^ (mixed >> 16n)) * 0x85ebca6bn) & MASK;
  mixed = ((mixed ^ (mixed >> 13n)) * 0xc2b2ae35n) & MASK;
  return mixed ^ (mixed >> 16n);
}

/** The definition, for readers who port it to another language. */
function slowScore(slot: number, seed: number, weight: number): number {
  const seedOf = (position: number) => slowMix(BigInt(position + 1) * 0x9e3779b1n);
  let best = 0n;
  for (let copy = 0n; copy < weight; copy++) {
    const member = (BigInt(seed) + copy * 0x61c88647n) & MASK;
    const key = slowMix(seedOf(SLOT_COUNT + Math.floor(slot / 128)) ^ member);
    let place = BigInt(slot % 128);
    place = (place * (key | 1n) + (key >> 7n)) % 128n;
    place ^= place / 8n;
    place = (place * ((key >> 14n) | 1n) + (key >> 21n)) % 128n;
    place ^= place / 16n;
    const value = place * 2n ** 25n + (slowMix(seedOf(slot) ^ member) >> 7n);
    if (value > best) best = value;
  }
  return Number(best);
}

describe("score", () => {
  test("equals the definition in big integers", () => {
    for (const seed of SEEDS) {
      for (const weight of [1, 2, 5]) {
        for (let slot = 0; slot < SLOT_COUNT; slot += 61) {
          expect(score(slot, { seed, weight })).toBe(slowScore(slot, seed, weight));
        }
      }
    }
  });

  test("has one slot of each 128th of its range in every block when the weight is 1", () => {
    for (const seed of SEEDS) {
      for (let start = 0; start < SLOT_COUNT; start += BLOCK_SIZE) {
        const strata = Array.from(
          { length: BLOCK_SIZE },
          (_, place) => score(start + place, { seed, weight: 1 }) >>> 25,
        );
        expect(new Set(strata).size).toBe(BLOCK_SIZE);
      }
    }
  });

  test("puts the best slots of two members at different places", () => {
    const best = SEEDS.map((seed) => slots.filter((slot) => score(slot, { seed, weight: 1 }) >>> 25 === 127));
    const shared = best.flatMap((a, index) =>
      best.slice(index + 1).map((b) => b.filter((slot) => a.includes(slot)).length),
    );

    // 128 best slots each, one per block: chance makes them meet once per pair.
    expect(Math.max(...shared)).toBeLessThan(8);
  });
});

describe("claimSlots", () => {
  test("keeps the highest score and its first member for every slot", () => {
    const members = SEEDS.map((seed, index) => ({ seed, weight: 1 + (index % 3) }));
    const scores = new Uint32Array(SLOT_COUNT);
    const owners = new Uint16Array(SLOT_COUNT);

    [...members, members[0]!].forEach((each, index) => {
      claimSlots(index, each, { scores, owners });
    });

    const expected = slots.map((slot) => members.map((each) => score(slot, each)));
    expect([...scores]).toEqual(expected.map((all) => Math.max(...all)));
    expect([...owners]).toEqual(expected.map((all) => all.indexOf(Math.max(...all))));
  });
});
