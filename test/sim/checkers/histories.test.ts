import { describe, expect, test } from "vitest";
import type { Operation } from "../client-adapter.ts";
import type { Recorded } from "../history.ts";
import { Violation } from "../violation.ts";
import { checkCounter } from "./counters.ts";
import { checkCount, checkScan, checkTouched } from "./lookers.ts";
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

describe("checkScan", () => {
  const scan = (keys: string[], span: [number, number]) => ({
    ...recorded({ f: "scan", key: "" }, span),
    keys,
  });

  test.each<[string, Recorded[], string[], boolean]>([
    ["finds a key that stays", [set("x", [0, 1])], ["k"], true],
    ["misses a key that stays", [set("x", [0, 1])], [], false],
    ["misses a key that is being written", [set("x", [0, 3_005])], [], true],
    ["misses a key that is new", [set("x", [1_000, 1_005])], [], true],
    ["misses a key that was removed", [set("x", [0, 1]), remove([2, 3])], [], true],
    ["misses a key that is being removed", [set("x", [0, 1]), remove([3_002, 3_030])], [], true],
    [
      "misses a key of which nobody knows whether it was removed",
      [set("x", [0, 1]), remove([2, 3], "info")],
      [],
      true,
    ],
    ["misses a key that was written again", [remove([0, 1]), set("x", [2, 3])], [], false],
    ["misses a key that may expire", [set("x", [0, 1], "ok", 500)], [], true],
    ["finds what nobody wrote", [], ["k"], false],
  ])("judges a walk that %s", (_, operations, keys, isRight) => {
    const judge = () => checkScan(scan(keys, [3_000, 3_010]), operations);

    if (isRight) judge();
    else expect(judge).toThrow(Violation);
  });

  test("judges counts above what was ever written", () => {
    const count = (outcome: number) => recorded({ f: "count", key: "" }, [10, 20], { outcome });

    checkCount(count(1), [set("x", [0, 1])]);
    expect(() => checkCount(count(2), [set("x", [0, 1])])).toThrow(Violation);
  });
});

describe("checkTouched", () => {
  const touch = (outcome: boolean, span: [number, number], type: Recorded["type"] = "ok") =>
    recorded({ f: "touch", key: "k", ttlMs: 5_000, write: "quorum" }, span, { outcome, type });
  const timed = set("x", [0, 10], "ok", 5_000);

  test.each<[string, Recorded[], boolean]>([
    ["is there until it ends", [timed, get("x", [3_000, 3_010])], true],
    ["is gone too early", [timed, get(undefined, [3_000, 3_010])], false],
    ["is gone when it may be", [timed, get(undefined, [4_500, 4_510])], true],
    ["is there too late", [timed, get("x", [6_100, 6_110])], false],
    ["lives on when touched", [timed, touch(true, [4_000, 4_010]), get("x", [7_000, 7_010])], true],
    ["is gone although touched", [timed, touch(true, [4_000, 4_010]), get(undefined, [7_000, 7_010])], false],
    ["is brought back", [timed, touch(true, [6_100, 6_110])], false],
    ["is touched and not found", [timed, touch(false, [1_000, 1_010])], false],
    ["is said to be touched after it was deleted", [timed, remove([20, 30]), touch(true, [40, 50])], false],
    ["may have been touched", [timed, touch(true, [4_000, 4_010], "info"), get("x", [7_000, 7_010])], true],
  ])("judges a value that %s", (_, operations, isRight) => {
    const judge = () => checkTouched(operations, { isEvicting: false });

    if (isRight) judge();
    else expect(judge).toThrow(Violation);
  });
});
