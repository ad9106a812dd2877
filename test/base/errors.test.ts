// The one public error class, and assertions for bugs.

import { describe, expect, test } from "vitest";
import { AssertionError, assert, assertNever } from "../../src/base/assert.ts";
import { CacheError, cacheErrorWithoutStack, ERROR_CODES } from "../../src/base/errors.ts";

describe("CacheError", () => {
  test("carries its code, message, details, cause and whether it was applied", () => {
    const cause = new Error("socket closed");
    const error = new CacheError("ERR_TIMEOUT", "Set timed out after 1000 ms", {
      details: { key: "user:1" },
      cause,
      applied: "maybe",
    });

    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe("CacheError");
    expect(error.code).toBe("ERR_TIMEOUT");
    expect(error.message).toBe("Set timed out after 1000 ms");
    expect(error.details).toEqual({ key: "user:1" });
    expect(error.cause).toBe(cause);
    expect(error.applied).toBe("maybe");
  });

  test("has empty details, no applied and no cause at all when none are given", () => {
    const error = new CacheError("ERR_CLOSED", "Cache is closed");

    expect(error.details).toEqual({});
    expect(error.applied).toBeUndefined();
    expect("cause" in error).toBe(false);
  });

  test("shows its name and message when printed", () => {
    expect(String(new CacheError("ERR_CLOSED", "Cache is closed"))).toBe("CacheError: Cache is closed");
  });
});

describe("ERROR_CODES", () => {
  test("are the documented ones, without repeats", () => {
    expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length);
    expect([...ERROR_CODES].sort()).toEqual([
      "ERR_CLOSED",
      "ERR_FORBIDDEN",
      "ERR_INVALID_ARGUMENT",
      "ERR_INVALID_OPTION",
      "ERR_NOT_A_NUMBER",
      "ERR_NO_QUORUM",
      "ERR_OVERLOADED",
      "ERR_PROTOCOL",
      "ERR_TIMEOUT",
      "ERR_TOO_LARGE",
      "ERR_UNAUTHORIZED",
      "ERR_UNREACHABLE",
    ]);
  });
});

test("cacheErrorWithoutStack makes the same error without taking a stack, and leaves the next one its own", () => {
  const error = cacheErrorWithoutStack("ERR_OVERLOADED", "Too much", { applied: "no", details: { slot: 3 } });

  expect(error).toBeInstanceOf(CacheError);
  expect(error).toMatchObject({ code: "ERR_OVERLOADED", applied: "no", details: { slot: 3 } });
  expect(error.stack).toBe("CacheError: Too much");
  expect(new Error("other").stack).toContain("errors.test.ts");
});

describe("assert", () => {
  test("does nothing when the condition holds", () => {
    expect(() => assert(true, "the truth")).not.toThrow();
  });

  test("throws an AssertionError that says what was expected when it does not", () => {
    expect(() => assert(false, "a slot from 0 to 16383")).toThrow(AssertionError);
    expect(() => assert(false, "a slot from 0 to 16383")).toThrow(
      "Assertion failed, expected a slot from 0 to 16383",
    );
  });
});

describe("assertNever", () => {
  test("throws and shows the value it was not meant to see", () => {
    expect(() => assertNever({ kind: "surprise" } as never)).toThrow('{"kind":"surprise"}');
  });
});
