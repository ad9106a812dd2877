import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { Broadcasts, transmitsMax } from "../../../src/core/membership/broadcasts.ts";
import { recordOf } from "./records.ts";

const put = (queue: Broadcasts, id: string, incarnation = 0) =>
  queue.put({ record: recordOf(id, { incarnation }), accuser: "" });
const ids = (updates: readonly { record: { id: string } }[]) => updates.map(({ record }) => record.id);

describe("transmitsMax", () => {
  test.each([
    [1, 4],
    [5, 4],
    [9, 4],
    [10, 8],
    [99, 8],
    [100, 12],
  ])("transmitsMax for %i members is %i at multiplier 4", (members, expected) => {
    expect(transmitsMax(members, 4)).toBe(expected);
  });
});

describe("Broadcasts", () => {
  test("Broadcasts drops an update once it was sent often enough", () => {
    const queue = new Broadcasts();
    put(queue, "a");

    expect(queue.take(10, 2)).toHaveLength(1);
    expect(queue.take(10, 2)).toHaveLength(1);
    expect(queue.take(10, 2)).toHaveLength(0);
    expect(queue.size).toBe(0);
  });

  test("Broadcasts keeps only the newest update of a member, and counts it afresh", () => {
    const queue = new Broadcasts();
    put(queue, "a", 1);
    queue.take(10, 2);
    put(queue, "a", 2);

    expect(queue.size).toBe(1);
    expect(queue.take(10, 2)[0]?.record.incarnation).toBe(2);
    expect(queue.take(10, 2)).toHaveLength(1);
  });

  test("Broadcasts sends first what was sent least, then what is newest", () => {
    const queue = new Broadcasts();
    put(queue, "old");
    queue.take(1, 9);
    put(queue, "b");
    put(queue, "c");

    expect(ids(queue.take(3, 9))).toEqual(["c", "b", "old"]);
  });

  test("Broadcasts takes no more than asked for and skips the excepted member", () => {
    const queue = new Broadcasts();
    for (const id of ["a", "b", "c"]) put(queue, id);

    expect(ids(queue.take(1, 9, "c" as MemberId))).toEqual(["b"]);
    expect(ids(queue.take(9, 9, "c" as MemberId))).toEqual(["a", "b"]);
  });
});
