// The rules of a write, as a table.

import { describe, expect, test } from "vitest";
import type { Change, Entry } from "../../../src/core/messages.ts";
import { decide, needsCurrent, numberIn } from "../../../src/core/replication/decide.ts";

const NOW = 1_800_000_000_000;
const BYTES = new Uint8Array([1, 2, 3]);

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function entry(over: Partial<Entry> = {}): Entry {
  const base = {
    key: "k",
    version: 7,
    origin: 1,
    expiresAt: 0,
    format: 2,
    value: BYTES,
    opClient: 0,
    opSeq: 0,
    opAttempt: 1,
  } as const;
  return { ...base, ...over };
}

function set(over: Partial<Extract<Change, { type: "set" }>> = {}): Change {
  return { type: "set", value: BYTES, format: 2, ttlMs: 0, condition: "none", ifVersion: 0, ...over };
}

describe("decide", () => {
  test.each([
    set({ ttlMs: Number.MAX_SAFE_INTEGER }),
    { type: "touch", ttlMs: Number.MAX_SAFE_INTEGER },
    { type: "increment", by: 1, ttlMs: Number.MAX_SAFE_INTEGER },
  ] satisfies Change[])("lets nothing live beyond the exact integers: %o", (change) => {
    const current = change.type === "touch" ? entry() : undefined;

    expect(decide(change, current, NOW)).toMatchObject({ expiresAt: Number.MAX_SAFE_INTEGER });
  });

  test.each([
    ["none, nothing there", "none", undefined, true],
    ["none, something there", "none", entry(), true],
    ["absent, nothing there", "absent", undefined, true],
    ["absent, something there", "absent", entry(), false],
    ["present, nothing there", "present", undefined, false],
    ["present, something there", "present", entry(), true],
    ["version, nothing there", "version", undefined, false],
    ["version, the same", "version", entry({ version: 7 }), true],
    ["version, another", "version", entry({ version: 8 }), false],
  ] as const)("set with condition %s", (_name, condition, current, isWritten) => {
    const decision = decide(set({ condition, ifVersion: 7 }), current, NOW);

    expect(decision.type).toBe(isWritten ? "write" : "keep");
    expect(decision).toHaveProperty("outcome", isWritten);
  });

  test("set fixes an absolute expiry from the ttl", () => {
    expect(decide(set({ ttlMs: 1500 }), undefined, NOW)).toHaveProperty("expiresAt", NOW + 1500);
    expect(decide(set(), undefined, NOW)).toHaveProperty("expiresAt", 0);
  });

  test("set without a ttl ends an earlier one", () => {
    expect(decide(set(), entry({ expiresAt: NOW + 5 }), NOW)).toHaveProperty("expiresAt", 0);
  });

  test("delete writes a tombstone over a value and nothing over nothing", () => {
    expect(decide({ type: "delete" }, entry(), NOW)).toMatchObject({
      type: "write",
      value: undefined,
      outcome: true,
    });
    expect(decide({ type: "delete" }, undefined, NOW)).toEqual({ type: "keep", outcome: false });
  });

  test("touch keeps the value and moves the expiry", () => {
    const decision = decide({ type: "touch", ttlMs: 10 }, entry({ expiresAt: NOW + 1 }), NOW);

    expect(decision).toMatchObject({
      type: "write",
      value: BYTES,
      format: 2,
      expiresAt: NOW + 10,
      outcome: true,
    });
    expect(decide({ type: "touch", ttlMs: 10 }, undefined, NOW)).toEqual({ type: "keep", outcome: false });
  });

  test.each([
    [undefined, 1, 1],
    ["41", 1, 42],
    ["1.5", 0.25, 1.75],
    ["-3", 3, 0],
    ["9007199254740990", 1, 9007199254740991],
  ])("increment of %s by %d gives %d", (held, by, sum) => {
    const current =
      held === undefined ? undefined : entry({ format: 3, value: ascii(held), expiresAt: NOW + 9 });

    const decision = decide({ type: "increment", by, ttlMs: 50 }, current, NOW);

    expect(decision).toMatchObject({ type: "write", outcome: sum, format: 3, value: ascii(String(sum)) });
    expect(decision).toHaveProperty("expiresAt", current === undefined ? NOW + 50 : NOW + 9);
  });

  test.each([
    ["text that is no number", entry({ format: 1, value: ascii("five") }), 1],
    ["a number in another spelling", entry({ format: 1, value: ascii("05") }), 1],
    ["msgpack that looks like a number", entry({ format: 0, value: ascii("5") }), 1],
    ["bytes", entry(), 1],
    ["a sum beyond exact integers", entry({ format: 3, value: ascii("9007199254740991") }), 1],
    ["an infinite sum", entry({ format: 3, value: ascii(String(Number.MAX_VALUE)) }), Number.MAX_VALUE],
  ])("increment refuses %s", (_name, current, by) => {
    expect(decide({ type: "increment", by, ttlMs: 0 }, current, NOW)).toMatchObject({
      type: "refuse",
      code: "ERR_NOT_A_NUMBER",
    });
  });

  test.each([1, 2] as const)("increment counts on from a number that was stored as format %d", (format) => {
    const current = entry({ format, value: ascii("41") });

    expect(decide({ type: "increment", by: 1, ttlMs: 0 }, current, NOW)).toMatchObject({
      type: "write",
      outcome: 42,
      format: 3,
    });
  });

  test("increment with integersOnly refuses to count on from a fraction", () => {
    const change = { type: "increment", by: 1, ttlMs: 0, integersOnly: true } as const;

    expect(decide(change, entry({ format: 3, value: ascii("1.5") }), NOW)).toHaveProperty("type", "refuse");
    expect(decide(change, entry({ format: 3, value: ascii("1") }), NOW)).toHaveProperty("outcome", 2);
  });

  test("put leaves exactly what it says, or nothing, where its condition holds", () => {
    const put = { type: "put", value: BYTES, format: 1, expiresAt: NOW + 7 } as const;
    const onVersion = { ...put, condition: "version", ifVersion: 7 } as const;
    const none = { ...onVersion, value: undefined } as const;

    expect(decide({ ...put, condition: "none", ifVersion: 0 }, undefined, NOW)).toEqual({
      type: "write",
      outcome: true,
      value: BYTES,
      format: 1,
      expiresAt: NOW + 7,
    });
    expect(decide(onVersion, entry({ version: 8 }), NOW)).toEqual({ type: "keep", outcome: false });
    expect(decide(none, entry(), NOW)).toMatchObject({ type: "write", value: undefined, expiresAt: 0 });
  });

  test("needsCurrent is false only for an unconditional set", () => {
    expect(needsCurrent(set())).toBe(false);
    expect(needsCurrent(set({ condition: "absent" }))).toBe(true);
    const put = { type: "put", value: BYTES, format: 1, expiresAt: 0, ifVersion: 0 } as const;
    expect(needsCurrent({ ...put, condition: "none" })).toBe(false);
    expect(needsCurrent({ ...put, condition: "version" })).toBe(true);
    expect(needsCurrent({ type: "delete" })).toBe(true);
    expect(needsCurrent({ type: "touch", ttlMs: 1 })).toBe(true);
    expect(needsCurrent({ type: "increment", by: 1, ttlMs: 0 })).toBe(true);
  });

  test("numberIn reads decimal text and nothing else", () => {
    expect(numberIn(entry({ format: 3, value: ascii("-12.5e3") }))).toBe(-12500);
    expect(numberIn(entry({ format: 3, value: ascii("x") }))).toBeUndefined();
    expect(numberIn(entry({ format: 3, value: undefined }))).toBeUndefined();
  });
});
