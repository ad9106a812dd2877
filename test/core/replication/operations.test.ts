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
