// Which texts may name a member, and the order of names.

import { describe, expect, test } from "vitest";
import { compareIds, isMemberId } from "../../src/base/ids.ts";

describe("isMemberId", () => {
  test.each(["a", "node-1", "10.0.0.1_7400", "A".repeat(64)])("accepts %j", (text) => {
    expect(isMemberId(text)).toBe(true);
  });

  test.each(["", "A".repeat(65), "a b", "a:1", "a/b", "é", "a\n", "\na", "\u0000", "😀"])(
    "refuses %j",
    (text) => {
      expect(isMemberId(text)).toBe(false);
    },
  );
});

describe("compareIds", () => {
  test("orders by bytes, not by locale or by number", () => {
    expect(["b", "a10", "a9", "B", "_", "a", "-"].sort(compareIds)).toEqual([
      "-",
      "B",
      "_",
      "a",
      "a10",
      "a9",
      "b",
    ]);
    expect(compareIds("a", "a")).toBe(0);
  });
});
