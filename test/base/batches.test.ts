import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchesOf } from "../../src/base/batches.ts";

describe("batchesOf", () => {
  test("sorts by destination, in the order of the first items, and begins another batch when one is full", () => {
    const batches = batchesOf([1, 2, 3, 4, 5, 7, 9], (number) => (number % 2 === 0 ? "even" : "odd"), 3);

    expect(batches).toEqual([
      { to: "odd", items: [1, 3, 5] },
      { to: "even", items: [2, 4] },
      { to: "odd", items: [7, 9] },
    ]);
  });

  test("asks for each destination once, and keeps every item in its place, for any items", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.integer({ min: 1, max: 5 }), (items, sizeMax) => {
        let asked = 0;
        const destinationOf = (item: number): number => {
          asked++;
          return item % 4;
        };

        const batches = batchesOf(items, destinationOf, sizeMax);

        expect(asked).toBe(items.length);
        for (const { to, items: batch } of batches) {
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(sizeMax);
          expect(batch.every((item) => item % 4 === to)).toBe(true);
        }
        for (const to of [0, 1, 2, 3]) {
          const sent = batches.filter((batch) => batch.to === to).flatMap((batch) => batch.items);
          expect(sent).toEqual(items.filter((item) => item % 4 === to));
        }
      }),
    );
  });
});
