import { describe, expect, test } from "vitest";
import { WINDOW_MAX, Window } from "../../src/client/window.ts";

/** Answers to a full window, each after so many milliseconds, one round trip after the other. */
function rounds(window: Window, count: number, answerMs: number, fromMs = 0): number {
  let nowMs = fromMs;
  for (let round = 0; round < count; round++) {
    const sentMs = nowMs;
    nowMs += answerMs;
    for (let calls = window.size; calls > 0; calls--) window.answered(sentMs, window.size, nowMs);
  }
  return nowMs;
}

describe("Window", () => {
  test("doubles per round trip until the first sign of too much, up to its ceiling", () => {
    const window = new Window();
    const start = window.size;

    rounds(window, 1, 2);
    expect(window.size).toBe(2 * start);
    rounds(window, 10, 2);

    expect(window.size).toBe(WINDOW_MAX);
  });

  test("does not grow while it is not used", () => {
    const window = new Window();
    const { size } = window;

    for (let call = 0; call < 1_000; call++) window.answered(call, 20, call + 2);

    expect(window.size).toBe(size);
  });

  test("shrinks once for all that was sent before the last cut", () => {
    const window = new Window();
    const { size } = window;

    for (let call = 0; call < 50; call++) window.refused(10, 20);
    window.timedOut(15, 30);
    expect(window.size).toBe(Math.floor(size * 0.7));
    window.refused(31, 40);

    expect(window.size).toBe(Math.floor(size * 0.7 * 0.7));
  });

  test("shrinks when answers take 80 ms longer than the fastest, and grows slowly afterwards", () => {
    const window = new Window();
    let nowMs = rounds(window, 1, 3);
    const { size } = window;

    window.answered(nowMs, 900, nowMs + 82);
    expect(window.size).toBe(size);
    window.answered(nowMs, 900, nowMs + 84);
    const cut = window.size;
    expect(cut).toBe(Math.floor(size * 0.85));
    window.answered(nowMs + 85, 900, nowMs + 85 + 163);
    expect(window.size).toBe(Math.floor(size * 0.85 * 0.5));
    const before = window.size;
    nowMs = rounds(window, 1, 3, nowMs + 300);

    expect(window.size - before).toBeGreaterThanOrEqual(7);
    expect(window.size - before).toBeLessThanOrEqual(9);
  });

  test("takes a far node for far, not for slow", () => {
    const window = new Window();
    const { size } = window;

    rounds(window, 3, 150);

    expect(window.size).toBeGreaterThan(size);
  });

  test("does not take this process's own lateness for the node's", () => {
    const window = new Window();
    rounds(window, 1, 3);
    const { size } = window;

    window.answered(10, 900, 410, 350);

    expect(window.size).toBe(size);
  });

  test("never falls below what keeps a frame worth sending", () => {
    const window = new Window();

    for (let atMs = 0; atMs < 100; atMs++) window.refused(atMs + 0.5, atMs + 1);

    expect(window.size).toBe(16);
  });

  test("tells how long a queue takes, and for half a second that the node refused", () => {
    const window = new Window();
    rounds(window, 1, 10);

    window.refused(20, 21);

    expect(window.drainMs(window.size)).toBeGreaterThan(8);
    expect([window.isOverloaded(520), window.isOverloaded(521)]).toEqual([true, false]);
  });
});
