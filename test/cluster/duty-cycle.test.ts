import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { startDutyCycle } from "../../cluster/duty-cycle.ts";

/** Remembers when which signal was given. */
function recorder() {
  const signals: string[] = [];
  const startMs = Date.now();
  const note = (word: string) => (name: string) =>
    void signals.push(`${Date.now() - startMs} ${word} ${name}`);
  return { signals, pause: note("stop"), resume: note("go") };
}

describe("startDutyCycle", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("startDutyCycle stops the node and lets it go on in turns", () => {
    const cluster = recorder();

    startDutyCycle(cluster, "node-1", { stopMs: 80, goMs: 20 });
    vi.advanceTimersByTime(190);

    expect(cluster.signals).toEqual(["0 stop node-1", "80 go node-1", "100 stop node-1", "180 go node-1"]);
  });

  test("startDutyCycle leaves the node running when it is ended in the middle of a stop", () => {
    const cluster = recorder();

    const end = startDutyCycle(cluster, "node-1", { stopMs: 80, goMs: 20 });
    vi.advanceTimersByTime(110);
    end();
    vi.advanceTimersByTime(1_000);

    expect(cluster.signals.at(-1)).toBe("110 go node-1");
  });
});
