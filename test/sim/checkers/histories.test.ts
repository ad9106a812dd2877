import { describe, expect, test } from "vitest";
import type { Operation } from "../client-adapter.ts";
import type { Recorded } from "../history.ts";
import { Violation } from "../violation.ts";
import { checkCounter } from "./counters.ts";
import { checkLinearizable, checkNoExpiredReads, findStaleReads } from "./registers.ts";

let nextId = 0;

function recorded(
  operation: Operation,
  span: [number, number],
  end: Partial<Pick<Recorded, "type" | "value" | "outcome">> = {},
): Recorded {
  return {
    id: nextId++,
    caller: "a",
    host: "c1",
    operation,
    callMs: span[0],
    returnMs: span[1],
    type: end.type ?? "ok",
    value: end.value,
    outcome: end.outcome,
    code: undefined,
  };
}

const set = (value: string, span: [number, number], type: Recorded["type"] = "ok", ttlMs = 0) =>
  recorded({ f: "set", key: "k", value, write: "quorum", ttlMs, condition: "none" }, span, {
    type,
    outcome: true,
  });
const remove = (span: [number, number], type: Recorded["type"] = "ok") =>
  recorded({ f: "delete", key: "k", write: "quorum" }, span, { type, outcome: true });
const get = (value: string | undefined, span: [number, number]) =>
  recorded({ f: "get", key: "k", read: "quorum" }, span, { value });
const increment = (outcome: number, span: [number, number], type: Recorded["type"] = "ok") =>
  recorded({ f: "increment", key: "k", by: 1, write: "quorum" }, span, { type, outcome });
const keyed = (...operations: Recorded[]) => new Map([["k", operations]]);

describe("checkLinearizable", () => {
  test("accepts a history with failed, unknown and acknowledged writes in order", () => {
    const history = keyed(
      set("a", [0, 1]),
      set("b", [2, 3], "fail"),
      set("c", [4, 5], "info"),
      get("a", [6, 7]),
      get("c", [8, 9]),
      remove([10, 11]),
      get(undefined, [12, 13]),
    );

    expect(checkLinearizable(history)).toEqual([]);
  });

  test("names the key and the shortest bad beginning when a failed write is read", () => {
    const history = keyed(set("a", [0, 1]), set("b", [2, 3], "fail"), get("b", [4, 5]), get("a", [6, 7]));

    expect(() => checkLinearizable(history)).toThrow(/key k[\s\S]*get\/quorum k -> ok b$/);
  });
});

describe("findStaleReads", () => {
  const all = () => true;

  test("finds a read that misses an acknowledged write", () => {
    const stale = findStaleReads([set("a", [0, 1]), set("b", [2, 3]), get("a", [4, 5])], all);

    expect(stale.map(({ missed }) => missed.operation)).toMatchObject([{ value: "b" }]);
  });

  test("finds a deleted value that comes back", () => {
    expect(findStaleReads([set("a", [0, 1]), remove([2, 3]), get("a", [4, 5])], all)).toHaveLength(1);
  });

  test("allows what an overlapping or an unknown write explains", () => {
    expect(findStaleReads([set("a", [0, 3]), set("b", [2, 3]), get("a", [4, 5])], all)).toEqual([]);
    expect(findStaleReads([set("a", [0, 1], "info"), set("b", [2, 3]), get("a", [4, 5])], all)).toEqual([]);
    expect(findStaleReads([set("a", [0, 1]), set("b", [2, 3]), get("a", [2.5, 5])], all)).toEqual([]);
  });

  test("ignores writes that are not binding", () => {
    expect(findStaleReads([set("a", [0, 1]), get(undefined, [4, 5])], () => false)).toEqual([]);
  });
});

describe("checkNoExpiredReads", () => {
  test("refuses a read after the expiry and its allowance, and no earlier one", () => {
    const write = set("a", [0, 1], "ok", 100);

    expect(() => checkNoExpiredReads(keyed(write, get("a", [110, 111])), 20)).not.toThrow();
    expect(() => checkNoExpiredReads(keyed(write, get("a", [122, 123])), 20)).toThrow(Violation);
  });
});

describe("checkCounter", () => {
  test("accepts increments that each apply once, unknown ones or not", () => {
    const history = [
      increment(1, [0, 1]),
      increment(0, [2, 3], "info"),
      increment(3, [4, 5]),
      get("3", [6, 7]),
    ];

    expect(() => checkCounter("k", history, true)).not.toThrow();
  });

  test("refuses an increment that applied twice", () => {
    expect(() => checkCounter("k", [increment(1, [0, 1]), get("2", [2, 3])], false)).toThrow("applied once");
  });

  test("refuses an effect of an increment that certainly failed", () => {
    const history = [increment(1, [0, 1]), increment(0, [2, 3], "fail"), get("2", [4, 5])];

    expect(() => checkCounter("k", history, false)).toThrow("applied once");
  });

  test("refuses a lost increment only where they are exact", () => {
    const history = [increment(1, [0, 1]), increment(1, [2, 3])];

    expect(() => checkCounter("k", history, false)).not.toThrow();
    expect(() => checkCounter("k", history, true)).toThrow("increment lost");
  });
});
