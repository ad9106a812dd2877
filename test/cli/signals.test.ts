// The first signal asks to stop, a second one forces; its echo does nothing.

import { afterEach, expect, test, vi } from "vitest";
import { untilInterrupted } from "../../src/cli/signals.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("untilInterrupted takes a signal that npm hands on for the one that the terminal sent", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const onSecond = vi.fn();
  let end = (): void => {};

  const work = untilInterrupted((signal) => {
    return new Promise<void>((resolve) => {
      end = resolve;
      signal.addEventListener("abort", () => {}, { once: true });
    });
  }, onSecond);
  process.emit("SIGINT");
  process.emit("SIGINT");
  expect(onSecond).not.toHaveBeenCalled();

  vi.advanceTimersByTime(600);
  process.emit("SIGINT");
  expect(onSecond).toHaveBeenCalledOnce();

  end();
  await work;
});
