import { describe, expect, test } from "vitest";
import {
  compareVersions,
  isExpired,
  isLive,
  isTombstone,
  tombstoneOf,
} from "../../../src/core/store/entry.ts";
import { T0, tombstone, value } from "../../contract/store-contract.ts";

describe("compareVersions", () => {
  test.each([
    [{ version: 1, origin: 9 }, { version: 2, origin: 1 }, -1],
    [{ version: 2, origin: 1 }, { version: 2, origin: 2 }, -1],
    [{ version: 2, origin: 2 }, { version: 2, origin: 2 }, 0],
    [{ version: 2 ** 53 - 1, origin: 0 }, { version: 2 ** 53 - 2, origin: 2 ** 32 - 1 }, 1],
    [{ version: 5, origin: 2 ** 32 - 1 }, { version: 5, origin: 0 }, 1],
  ])("orders %j against %j as %i, and the other way round", (a, b, sign) => {
    expect(Math.sign(compareVersions(a, b))).toBe(sign);
    expect(Math.sign(compareVersions(b, a))).toBe(sign === 0 ? 0 : -sign);
  });
});

describe("isTombstone, isExpired and isLive", () => {
  test.each([
    ["a value without expiry", value("k", 1), { isGone: false, hasExpired: false, lives: true }],
    [
      "an empty value",
      value("k", 1, { value: new Uint8Array(0) }),
      { isGone: false, hasExpired: false, lives: true },
    ],
    [
      "a value a moment before its expiry",
      value("k", 1, { expiresAt: T0 + 1 }),
      { isGone: false, hasExpired: false, lives: true },
    ],
    [
      "a value at its expiry",
      value("k", 1, { expiresAt: T0 }),
      { isGone: false, hasExpired: true, lives: false },
    ],
    ["a tombstone", tombstone("k", 1), { isGone: true, hasExpired: false, lives: false }],
  ])("tell %s", (_, entry, { isGone, hasExpired, lives }) => {
    expect([isTombstone(entry), isExpired(entry, T0), isLive(entry, T0)]).toEqual([
      isGone,
      hasExpired,
      lives,
    ]);
  });
});

describe("tombstoneOf", () => {
  test("keeps key, version, origin and operation, and nothing else", () => {
    const entry = value("k", 7, { origin: 3, expiresAt: T0, format: 1, opClient: 8, opSeq: 9, opAttempt: 2 });

    expect(tombstoneOf(entry)).toEqual({ ...entry, value: undefined, expiresAt: 0, format: 0 });
  });
});
