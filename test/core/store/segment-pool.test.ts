// The memory behind the off-heap store: numbers are handed out once, memory is kept for the next taker, and what stays idle goes.

import { describe, expect, test } from "vitest";
import { ARENA_SEGMENTS, SegmentPool } from "../../../src/core/store/segment-pool.ts";

const takeAll = (pool: SegmentPool, count: number): number[] =>
  Array.from({ length: count }, () => pool.take());

describe("SegmentPool", () => {
  test("hands out every segment once, each with memory that no other one shares", () => {
    const pool = new SegmentPool(512, 40);
    const segments = takeAll(pool, 40);
    for (const segment of segments)
      pool.wordsOf(segment).fill(segment, pool.startOf(segment), pool.startOf(segment) + 128);

    expect(new Set(segments).size).toBe(40);
    expect(Math.max(...segments)).toBeLessThan(pool.numberMax);
    for (const segment of segments) {
      const start = pool.startOf(segment);
      expect(new Set(pool.wordsOf(segment).subarray(start, start + 128))).toEqual(new Set([segment]));
    }
    expect(pool.freeCount).toBe(0);
    expect(() => pool.take()).toThrow("a segment to take");
  });

  test("takes what was given back before it asks for more memory, the lowest number first", () => {
    const pool = new SegmentPool(512, 4 * ARENA_SEGMENTS);
    const segments = takeAll(pool, 2 * ARENA_SEGMENTS);
    for (const segment of [30, 3, 17]) pool.give(segments[segment]!);

    expect(takeAll(pool, 3)).toEqual([3, 17, 30]);
    expect(pool.words.length).toBe(2);
  });

  test("lets memory go that is idle, and has it again when it is needed", () => {
    const count = 4 * ARENA_SEGMENTS;
    const pool = new SegmentPool(512, count);
    const segments = takeAll(pool, count);
    for (const segment of segments) if (segment !== 5) pool.give(segment);

    let released = 0;
    while (pool.maybeRelease(4)) released++;

    expect(released).toBe(3);
    expect(pool.words.filter((words) => words.length === 0).length).toBe(released);
    expect(pool.idleCount).toBe(count - 1 - released * ARENA_SEGMENTS);
    expect(new Set(takeAll(pool, count - 1)).size).toBe(count - 1);
    expect(pool.words.every((words) => words.length > 0)).toBe(true);
  });
});
