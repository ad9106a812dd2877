// The seeded generator: the same numbers for ever (failing seeds are kept by name), and numbers that look random.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/prng.ts";

const draw = (prng: Prng, count: number) => Array.from({ length: count }, () => prng.uint32());

/** sfc32 in big integers, seeded and warmed up the same way. */
function slowSfc32(seed: number, count: number): number[] {
  const u32 = (value: bigint) => BigInt.asUintN(32, value);
  let [a, b, c, counter] = [
    u32(0x9e3779b9n ^ BigInt(seed)),
    u32(0x243f6a88n + BigInt(seed)),
    0xb7e15162n,
    1n,
  ];
  const drawn: number[] = [];
  for (let round = 0; round < 12 + count; round++) {
    const sum = u32(a + b + counter);
    counter = u32(counter + 1n);
    a = b ^ (b >> 9n);
    b = u32(c + (c << 3n));
    c = u32(((c << 21n) | (c >> 11n)) + sum);
    drawn.push(Number(sum));
  }
  return drawn.slice(12);
}

describe("Prng", () => {
  test("is sfc32 whatever the seed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (seed) => {
        expect(draw(new Prng(seed), 50)).toEqual(slowSfc32(seed, 50));
      }),
    );
  });

  test("gives the same numbers when the seed is the same and others when it is not", () => {
    expect(draw(new Prng(7), 100)).toEqual(draw(new Prng(7), 100));
    expect(draw(new Prng(7), 100)).not.toEqual(draw(new Prng(8), 100));
  });

  test("fork depends on the concern's name and not on what other forks draw", () => {
    const one = new Prng(7);
    const left = one.fork("network");
    draw(left, 1000);
    const right = one.fork("disk");

    const again = new Prng(7);
    again.fork("network");

    expect(draw(again.fork("disk"), 20)).toEqual(draw(right, 20));
    expect(draw(new Prng(7).fork("disk"), 20)).not.toEqual(draw(new Prng(7).fork("network"), 20));
  });

  test("fork does not repeat its parent's numbers", () => {
    const parent = new Prng(7);
    const child = parent.fork("network");

    const parents = new Set(draw(parent, 1000));

    expect(draw(child, 1000).filter((value) => parents.has(value)).length).toBeLessThan(3);
  });

  test("below spreads evenly over its range", () => {
    const prng = new Prng(1);
    const counts = new Uint32Array(10);
    for (let round = 0; round < 100_000; round++) counts[prng.below(10)]! += 1;

    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });

  test("below reaches both ends and nothing else when the range is small or whole", () => {
    const prng = new Prng(2);
    expect(new Set(Array.from({ length: 200 }, () => prng.below(3)))).toEqual(new Set([0, 1, 2]));
    expect(prng.below(1)).toBe(0);
    for (let round = 0; round < 1000; round++) expect(prng.below(2 ** 32)).toBeLessThan(2 ** 32);
  });

  test("float stays in [0, 1) and has the mean and spread of an even distribution", () => {
    const prng = new Prng(3);
    const values = Array.from({ length: 100_000 }, () => prng.float());

    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(mean).toBeCloseTo(0.5, 2);
    expect(variance).toBeCloseTo(1 / 12, 2);
  });

  test("sets every bit about half of the time, with seeds that differ in one bit too", () => {
    const ones = new Uint32Array(32);
    for (let seed = 0; seed < 2000; seed++) {
      const value = new Prng(seed).uint32();
      for (let bit = 0; bit < 32; bit++) ones[bit]! += (value >>> bit) & 1;
    }

    for (const count of ones) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test("chance is never at 0, always at 1, and now and then between", () => {
    const prng = new Prng(4);
    const hits = (probability: number) =>
      Array.from({ length: 10_000 }, () => prng.chance(probability)).filter(Boolean).length;

    expect(hits(0)).toBe(0);
    expect(hits(1)).toBe(10_000);
    expect(Math.abs(hits(0.3) - 3000)).toBeLessThan(250);
  });

  test("pick takes any element and nothing from an empty list", () => {
    const prng = new Prng(5);

    expect(prng.pick([])).toBeUndefined();
    expect(new Set(Array.from({ length: 100 }, () => prng.pick(["a", "b", "c"])))).toEqual(
      new Set(["a", "b", "c"]),
    );
  });

  test("shuffled returns every order equally often and leaves its argument alone", () => {
    const prng = new Prng(6);
    const items = Object.freeze([1, 2, 3]);
    const counts = new Map<string, number>();
    for (let round = 0; round < 6000; round++) {
      const order = prng.shuffled(items).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }

    expect([...counts.keys()].sort()).toEqual(["123", "132", "213", "231", "312", "321"]);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
