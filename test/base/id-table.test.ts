// The table of numbered items against a Map.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IdTable } from "../../src/base/id-table.ts";

describe("IdTable", () => {
  test("agrees with a Map after any calls", () => {
    const step = fc.record({ isDelete: fc.boolean(), pick: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const table = new IdTable<{ readonly id: number }>();
        const model = new Map<number, { readonly id: number }>();

        for (const { isDelete, pick } of steps) {
          if (isDelete && model.size > 0) {
            const id = [...model.keys()][pick % model.size]!;
            model.delete(id);
            expect(table.delete(id)).toBe(true);
            expect(table.delete(id)).toBe(false);
          } else {
            const item = { id: table.nextId() };
            expect(model.has(item.id)).toBe(false);
            table.add(item.id, item);
            model.set(item.id, item);
          }
        }

        expect(table.size).toBe(model.size);
        expect(table.ids()).toEqual([...model.keys()]);
        expect(table.values()).toEqual([...model.values()]);
        for (let id = 0; id <= 700; id++) expect(table.get(id)).toBe(model.get(id));
      }),
      { numRuns: 30 },
    );
  });

  test("holds one item under several numbers, and another in its place under one of them", () => {
    const table = new IdTable<string>();
    const ids = Array.from({ length: 300 }, () => {
      const id = table.nextId();
      table.add(id, "one");
      return id;
    });

    table.replace(ids[7]!, "another");
    table.replace(100_000, "nobody");
    table.delete(ids[8]!);
    table.replace(ids[8]!, "gone");

    expect(table.ids()).toEqual(ids.filter((id) => id !== ids[8]));
    expect(table.get(ids[6]!)).toBe("one");
    expect(table.get(ids[7]!)).toBe("another");
    expect(table.get(ids[8]!)).toBeUndefined();
    expect(table.size).toBe(299);
  });

  test("gives no number again while others come and go", () => {
    const table = new IdTable<{ readonly id: number }>();
    const stays = { id: table.nextId() };
    table.add(stays.id, stays);
    const seen = new Set<number>([stays.id]);

    for (let round = 0; round < 10_000; round++) {
      const item = { id: table.nextId() };
      table.add(item.id, item);
      table.delete(item.id);
      seen.add(item.id);
    }

    expect(seen.size).toBe(10_001);
    expect(table.get(stays.id)).toBe(stays);
  });
});
