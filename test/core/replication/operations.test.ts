import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationTable } from "../../../src/core/replication/operations.ts";

describe("OperationTable", () => {
  test("knows nothing of an operation it has not seen", () => {
    expect(new OperationTable(10).find(1, 1)).toEqual({ fence: 0, version: 0, attempt: 0, number: 0 });
  });

  test("records what was stored and by which attempt", () => {
    const table = new OperationTable(10);

    table.record(1, 5, { version: 100, attempt: 2, number: 7 });

    expect(table.find(1, 5)).toEqual({ fence: 2, version: 100, attempt: 2, number: 7 });
    expect(table.find(2, 5).version).toBe(0);
  });

  test("a fence only rises and keeps what is known", () => {
    const table = new OperationTable(10);
    table.record(1, 1, { version: 9, attempt: 1, number: 0 });

    table.fence(1, 1, 3);
    table.fence(1, 1, 2);

    expect(table.find(1, 1)).toEqual({ fence: 3, version: 9, attempt: 1, number: 0 });
  });

  test("remembers the latest attempt that stored a version, whoever tells of it again", () => {
    const table = new OperationTable(10);
    table.record(1, 1, { version: 9, attempt: 3, number: 7 });

    table.record(1, 1, { version: 9, attempt: 1, number: 7 });

    expect(table.find(1, 1)).toEqual({ fence: 3, version: 9, attempt: 3, number: 7 });
  });

  test("forgets the oldest at its bound", () => {
    const table = new OperationTable(2);

    for (const seq of [1, 2, 3]) table.record(1, seq, { version: seq, attempt: 1, number: 0 });

    expect(table.size).toBe(2);
    expect(table.find(1, 1).version).toBe(0);
    expect(table.find(1, 3).version).toBe(3);
  });

  test("keeps nothing of writes without an operation", () => {
    const table = new OperationTable(2);

    table.record(0, 1, { version: 1, attempt: 1, number: 0 });

    expect(table.size).toBe(0);
  });
});

describe("OperationTable against a Map", () => {
  test("agrees after any operations at any bound", () => {
    const step = fc.record({
      isFence: fc.boolean(),
      client: fc.constantFrom(1, 2, 2 ** 40, 2 ** 48 - 1),
      seq: fc.integer({ min: 1, max: 60 }),
      attempt: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 80 }), fc.array(step, { maxLength: 400 }), (countMax, steps) => {
        const table = new OperationTable(countMax);
        const model = new Map<string, { fence: number; version: number; attempt: number; number: number }>();

        for (const [index, { isFence, client, seq, attempt }] of steps.entries()) {
          const key = `${client}:${seq}`;
          const known = model.get(key) ?? { fence: 0, version: 0, attempt: 0, number: 0 };
          const fence = Math.max(known.fence, attempt);
          const stored = { version: index + 1, attempt, number: -index };
          if (isFence) table.fence(client, seq, attempt);
          else table.record(client, seq, stored);
          model.set(key, isFence ? { ...known, fence } : { fence, ...stored });
          if (model.size > countMax) model.delete(model.keys().next().value!);
        }

        expect(table.size).toBe(model.size);
        for (const client of [1, 2, 2 ** 40, 2 ** 48 - 1]) {
          for (let seq = 1; seq <= 60; seq++) {
            const expected = model.get(`${client}:${seq}`) ?? { fence: 0, version: 0, attempt: 0, number: 0 };
            expect(table.find(client, seq)).toEqual(expected);
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});
