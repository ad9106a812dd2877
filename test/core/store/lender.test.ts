// The lender: copies that stay as they are, and buffers that come back.

import { describe, expect, test } from "vitest";
import { Lender } from "../../../src/core/store/lender.ts";

const LARGE = 8_192;
const source = Int32Array.from({ length: LARGE / 4 }, (_, index) => index);

function lent(lender: Lender, length: number): Uint8Array {
  const copy = lender.copy(source, 0, length);
  lender.lend(copy);
  return copy;
}

describe("Lender", () => {
  test("copy hands out bytes that stay as they are when the source changes", () => {
    const lender = new Lender();
    const words = Int32Array.of(1, 2, 3);

    const copy = lender.copy(words, 1, 5);
    words.fill(9);

    expect([...copy]).toEqual([2, 0, 0, 0, 3]);
  });

  test("copy uses the memory of a large value again that was lent and given back", () => {
    const lender = new Lender();
    const first = lent(lender, LARGE);

    lender.giveBack(first);
    const second = lender.copy(source, 1, LARGE - 8);

    expect(second.buffer).toBe(first.buffer);
    expect([...new Int32Array(second.buffer, 0, 3)]).toEqual([1, 2, 3]);
    expect(second.length).toBe(LARGE - 8);
  });

  test("giveBack does nothing for what was not lent, and nothing the second time", () => {
    const lender = new Lender();
    const copied = lender.copy(source, 0, LARGE);
    lender.giveBack(copied);
    expect(lender.copy(source, 0, LARGE).buffer).not.toBe(copied.buffer);

    const value = lent(lender, LARGE);
    lender.giveBack(value);
    lender.giveBack(value);
    const buffers = new Set([lender.copy(source, 0, LARGE).buffer, lender.copy(source, 0, LARGE).buffer]);

    expect(buffers.size).toBe(2);
  });

  test("giveBack does not take small values, which share their buffer", () => {
    const lender = new Lender();
    const small = lent(lender, 100);
    const before = [...small];

    lender.giveBack(small);
    lent(lender, LARGE).fill(255);
    lender.copy(source, 50, 100);

    expect([...small]).toEqual(before);
  });

  test("copy takes no spare buffer that is far too large for the value", () => {
    const lender = new Lender();
    const large = lender.room(100_000);
    lender.lend(large);

    lender.giveBack(large);

    expect(lender.copy(source, 0, LARGE).buffer).not.toBe(large.buffer);
  });

  test("giveBack keeps four megabytes at most", () => {
    const lender = new Lender();
    const values = Array.from({ length: 5 }, () => lender.room(1024 * 1024));
    for (const value of values) lender.lend(value);

    for (const value of values) lender.giveBack(value);
    const again = new Set(values.map(() => lender.room(1024 * 1024).buffer));

    expect(values.filter(({ buffer }) => again.has(buffer))).toHaveLength(4);
  });
});
