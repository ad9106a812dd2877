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
    ["text", entry({ format: 1, value: ascii("5") }), 1],
    ["bytes", entry(), 1],
    ["a sum beyond exact integers", entry({ format: 3, value: ascii("9007199254740991") }), 1],
    ["an infinite sum", entry({ format: 3, value: ascii(String(Number.MAX_VALUE)) }), Number.MAX_VALUE],
  ])("increment refuses %s", (_name, current, by) => {
    expect(decide({ type: "increment", by, ttlMs: 0 }, current, NOW)).toMatchObject({
      type: "refuse",
      code: "ERR_NOT_A_NUMBER",
    });
  });

  test("needsCurrent is false only for an unconditional set", () => {
    expect(needsCurrent(set())).toBe(false);
    expect(needsCurrent(set({ condition: "absent" }))).toBe(true);
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
