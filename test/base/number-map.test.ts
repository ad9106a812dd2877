// The map of numbers against the language's own.

import fc from "fast-check";
import { expect, test } from "vitest";
import { NumberMap } from "../../src/base/number-map.ts";

test("NumberMap agrees with a Map after any calls", () => {
  const number = fc.oneof(fc.nat({ max: 60 }), fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1));
  const step = fc.tuple(fc.constantFrom("set", "set", "delete", "take", "get"), number);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500 }), (steps) => {
      const map = new NumberMap<{ readonly at: number }>();
      const model = new Map<number, { readonly at: number }>();

      for (const [at, [call, key]] of steps.entries()) {
        if (call === "set") {
          const item = { at };
          map.set(key, item);
          model.set(key, item);
        } else if (call === "delete") {
          expect(map.delete(key)).toBe(model.delete(key));
        } else if (call === "take") {
          expect(map.take(key)).toBe(model.get(key));
          model.delete(key);
        }
        expect(map.get(key)).toBe(model.get(key));
        expect(map.has(key)).toBe(model.has(key));
        expect(map.size).toBe(model.size);
      }

      expect(map.values()).toEqual([...model].sort(([a], [b]) => a - b).map(([, item]) => item));
    }),
  );
});

test("NumberMap is empty, and small again, after everything has gone", () => {
  const map = new NumberMap<string>();
  for (let key = 0; key < 10_000; key++) map.set(key, `item ${key}`);
  for (let key = 0; key < 10_000; key++) expect(map.delete(key)).toBe(true);
  map.set(7, "seven");

  expect(map.values()).toEqual(["seven"]);
  map.clear();
  expect(map.size).toBe(0);
  expect(map.get(7)).toBeUndefined();
});
