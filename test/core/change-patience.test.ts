import { describe, expect, test } from "vitest";
import { JoinPatience, LeavePatience } from "../../src/core/change-patience.ts";

describe("JoinPatience", () => {
  test("withdraws a joiner after a minute without progress, and not one that gets somewhere", () => {
    const patience = new JoinPatience();

    for (let second = 0; second <= 59; second++) expect(patience.look("a", second * 1_000)).toBeUndefined();
    expect(patience.look("b", 60_000)).toBeUndefined();
    expect(patience.look("b", 119_999)).toBeUndefined();
    expect(patience.look("b", 120_000)).toBe("withdraw");
    expect(patience.isOut).toBe(true);
  });

  test("has nothing to lose while there is no rehearsal", () => {
    const patience = new JoinPatience();
    patience.look("a", 0);
    patience.look(undefined, 50_000);

    expect(patience.look("a", 70_000)).toBeUndefined();
    expect(patience.look("a", 129_000)).toBeUndefined();
  });

  test("lets it come back after half a minute, and after twice as long each time", () => {
    const patience = new JoinPatience();
    const outMs: number[] = [];
    let nowMs = 0;
    for (let time = 0; time < 7; time++) {
      while (patience.look("a", nowMs) !== "withdraw") nowMs += 1_000;
      const sinceMs = nowMs;
      while (patience.look("a", nowMs) !== "return") nowMs += 1_000;
      outMs.push(nowMs - sinceMs);
    }

    expect(outMs).toEqual([30_000, 60_000, 120_000, 240_000, 480_000, 480_000, 480_000]);
  });
});

describe("LeavePatience", () => {
  test("is over after two minutes without a break", () => {
    const patience = new LeavePatience();

    expect(patience.isOver(false, 0)).toBe(false);
    expect(patience.isOver(true, 100_000)).toBe(false);
    expect(patience.isOver(false, 110_000)).toBe(false);
    expect(patience.isOver(false, 229_999)).toBe(false);
    expect(patience.isOver(false, 230_000)).toBe(true);
  });
});
