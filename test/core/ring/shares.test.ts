// Shares and caps by table, and what must hold for any weights.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { computeCaps, computeShares } from "../../../src/core/ring/shares.ts";

const fractions = (weights: readonly number[], copies: number) => {
  const { numerators, denominator } = computeShares(weights, copies);
  return numerators.map((numerator) => numerator / denominator);
};

describe("computeShares", () => {
  test.each([
    { weights: [1], copies: 1, expected: [1] },
    { weights: [5], copies: 1, expected: [1] },
    { weights: [1, 3], copies: 1, expected: [1 / 4, 3 / 4] },
    { weights: [1, 3], copies: 2, expected: [1 / 2, 1 / 2] },
    { weights: [1, 1, 1, 1, 2], copies: 3, expected: [1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3] },
    { weights: [1, 1, 1, 2], copies: 3, expected: [2 / 9, 2 / 9, 2 / 9, 1 / 3] },
    { weights: [8, 1, 1, 4], copies: 3, expected: [1 / 3, 1 / 6, 1 / 6, 1 / 3] },
    { weights: [64, 1, 1, 1], copies: 4, expected: [1 / 4, 1 / 4, 1 / 4, 1 / 4] },
  ])("gives $expected for weights $weights and $copies copies", ({ weights, copies, expected }) => {
    fractions(weights, copies).forEach((share, index) => {
      expect(share).toBeCloseTo(expected[index]!, 12);
    });
  });

  const anyWeights = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 50 });

  test("adds up to 1, exceeds 1/copies for nobody, and is never less for more weight", () => {
    fc.assert(
      fc.property(anyWeights, fc.integer({ min: 1, max: 7 }), (weights, wanted) => {
        const copies = Math.min(wanted, weights.length);
        const { numerators, denominator } = computeShares(weights, copies);

        expect(numerators.reduce((sum, numerator) => sum + numerator, 0)).toBe(denominator);
        for (const [index, weight] of weights.entries()) {
          expect(numerators[index]! * copies).toBeLessThanOrEqual(denominator);
          const lighter = weights.findIndex((other) => other < weight);
          if (lighter !== -1) expect(numerators[index]).toBeGreaterThanOrEqual(numerators[lighter]!);
        }
      }),
    );
  });

  test("leaves caps that together have room for every slot", () => {
    fc.assert(
      fc.property(anyWeights, fc.integer({ min: 100, max: 110 }), (weights, percent) => {
        const caps = computeCaps(computeShares(weights, Math.min(3, weights.length)), 16_384, percent);

        expect(caps.reduce((sum, cap) => sum + cap, 0)).toBeGreaterThanOrEqual(16_384);
        expect(Math.min(...caps)).toBeGreaterThanOrEqual(1);
      }),
    );
  });
});

describe("computeCaps", () => {
  test("rounds up, and not beyond a whole number", () => {
    expect(computeCaps(computeShares([1, 1], 1), 100, 104)).toEqual([52, 52]);
    expect(computeCaps(computeShares([1, 1, 1], 1), 16_384, 104)).toEqual([5680, 5680, 5680]);
  });
});
