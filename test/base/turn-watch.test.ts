import { describe, expect, test } from "vitest";
import { TurnWatch } from "../../src/base/turn-watch.ts";

/** Turns as [began, ended]; the wait of what enters `lateMs` into the last one. */
function waitedAfter(turns: readonly (readonly [beganMs: number, endedMs: number])[], lateMs = 0): number {
  const watch = new TurnWatch();
  for (const [beganMs, endedMs] of turns.slice(0, -1)) {
    watch.enter(beganMs);
    watch.end(endedMs);
  }
  const [beganMs] = turns.at(-1)!;
  watch.enter(beganMs);
  return watch.waitedMs(beganMs + lateMs);
}

describe("TurnWatch", () => {
  test.each([
    ["nothing, in the first turn of all", [[5, 5]], 0, 0],
    ["what this turn took so far", [[5, 5]], 7, 7],
    [
      "half of the turn before as well, when this one followed at once",
      [
        [0, 30],
        [30.5, 31],
      ],
      4,
      19,
    ],
    [
      "nothing of the turn before, when the loop rested in between",
      [
        [0, 30],
        [46, 46],
      ],
      4,
      4,
    ],
  ] as const)("counts %s", (_name, turns, lateMs, expected) => {
    expect(waitedAfter(turns, lateMs)).toBe(expected);
  });

  test("tells what of a round trip was this process's own", () => {
    const watch = new TurnWatch();
    watch.enter(0);
    watch.end(30);
    watch.enter(31);

    expect(watch.ownMs(36)).toBe(35);
  });

  test("says once per turn that it began", () => {
    const watch = new TurnWatch();

    const first = [watch.enter(0), watch.enter(1)];
    watch.end(2);

    expect([...first, watch.enter(3)]).toEqual([true, false, true]);
  });
});
