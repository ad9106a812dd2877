import { describe, expect, test } from "vitest";
import { Admission, CALM_MS, STANDING_MS, TARGET_MS } from "../../src/core/admission.ts";

/** Frames as [at, waited]; what became of each. */
function run(frames: readonly (readonly [atMs: number, waitedMs: number])[]): readonly number[] {
  const admission = new Admission();
  return frames.map(([atMs, waitedMs]) => admission.consider(waitedMs, atMs));
}

/** Every 5 ms of a time, waited the same. */
function steady(fromMs: number, toMs: number, waitedMs: number): [number, number][] {
  const frames: [number, number][] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += 5) frames.push([atMs, waitedMs]);
  return frames;
}

describe("Admission", () => {
  test.each([
    ["frames that did not wait", steady(0, 2_000, 0)],
    ["waits below the target", steady(0, 2_000, TARGET_MS - 0.1)],
    ["one burst, however long its last frame waited", steady(0, STANDING_MS, 400)],
    [
      "waits with a frame now and then that did not",
      steady(0, 2_000, 60).map(([atMs, waitedMs], index): [number, number] => [
        atMs,
        index % 15 === 0 ? 3 : waitedMs,
      ]),
    ],
  ])("takes %s", (_name, frames) => {
    expect(run(frames).every((retryAfterMs) => retryAfterMs === 0)).toBe(true);
  });

  test("refuses what waited above the target once the queue stands, and takes what did not", () => {
    const standing = steady(0, STANDING_MS + 1, 30);
    const results = run([...standing, [110, TARGET_MS], [111, TARGET_MS - 1], [112, 25]]);

    expect(results.slice(0, -4).every((each) => each === 0)).toBe(true);
    expect(results.slice(-4).map((each) => each > 0)).toEqual([true, true, false, true]);
  });

  test("asks for a pause of twice the wait, within 20 and 250 ms", () => {
    expect(run([...steady(0, STANDING_MS, 21), [100, 21], [101, 90], [102, 5_000]]).slice(-3)).toEqual([
      42, 180, 250,
    ]);
  });

  test("ends the overload when nothing waited for a while, with frames or without", () => {
    const admission = new Admission();
    for (const [atMs, waitedMs] of steady(0, STANDING_MS + 5, 30)) admission.consider(waitedMs, atMs);
    expect(admission.isRefusing).toBe(true);

    admission.consider(1, 100 + CALM_MS - 1);
    expect(admission.isRefusing).toBe(true);
    admission.review(100 + CALM_MS);

    expect(admission.isRefusing).toBe(false);
    expect(admission.consider(30, 100 + CALM_MS + 1)).toBe(0);
  });

  test("does not take a process that stood still for an overloaded one", () => {
    const admission = new Admission();
    admission.consider(90, 0);
    admission.stalled();

    expect(admission.consider(90, STANDING_MS)).toBe(0);
  });

  test("says that background work should give way as soon as a frame waited, and for a while after", () => {
    const admission = new Admission();
    expect(admission.isBusy(0)).toBe(false);

    admission.consider(TARGET_MS, 10);

    expect([admission.isBusy(10), admission.isBusy(259), admission.isBusy(260)]).toEqual([true, true, false]);
  });
});
