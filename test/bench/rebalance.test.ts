// The rebalance benchmark's arithmetic and pictures, on made-up calls: its figures must be those of the calls.

import { describe, expect, test } from "vitest";
import { svgChart, terminalChart } from "../../bench/rebalance/chart.ts";
import { disturbances, isClean, renderMoves, renderPhases } from "../../bench/rebalance/report.ts";
import type { Phase, SubjectResult } from "../../bench/rebalance/scenario.ts";
import { percentile, Timeline } from "../../bench/rebalance/timeline.ts";
import type { CallOutcome, LoadResult } from "../../cluster/load.ts";

function aTimeline(): Timeline {
  const timeline = new Timeline();
  const add = (dueMs: number, tookMs: number, outcome: CallOutcome) =>
    timeline.add({ dueMs, tookMs, queuedMs: 0, outcome });
  for (let call = 0; call < 1_000; call++) add(call, 1, "ok");
  for (let call = 0; call < 100; call++) add(1_000 + call, call + 1, call === 7 ? "failed" : "ok");
  add(1_050, 0.5, "missed");
  return timeline;
}

function aPhase(name: string, over: Partial<Phase> = {}): Phase {
  const stats = { calls: 10, failed: 0, missed: 0, stale: 0, p50Ms: 1, p99Ms: 2, p999Ms: 3, maxMs: 4 };
  return { name, isMove: false, fromSeconds: 0, toSeconds: 1, stats, ...over };
}

function aResult(subject: string, phases: readonly Phase[]): SubjectResult {
  const timeline = aTimeline();
  return {
    ...{ subject, description: "made up", copies: 3, keys: 10, fillSeconds: 1, phases },
    buckets: timeline.buckets(0, 1_100, 250),
    load: { skipped: 0, ownDelayMaxMs: 0 } as LoadResult,
    verdict: { acknowledgedWrites: 1, keysChecked: 1, lost: 0, phantoms: 0, examples: [] },
  };
}

const MOVED = {
  ...{ node: "node-4", startMs: 500, moveMs: 2_000, keysMoved: 1_000, bytesMoved: 2_048 },
  ...{ keysPlanned: 900, keysIdeal: 800 },
};

const RESULT = aResult("A & B", [
  aPhase("before"),
  aPhase("add", {
    isMove: true,
    fromSeconds: 0.5,
    toSeconds: 1,
    moved: MOVED,
    stats: { calls: 5, failed: 1, missed: 0, stale: 0, p50Ms: 1, p99Ms: 3, p999Ms: 3, maxMs: 9 },
  }),
]);

describe("Timeline", () => {
  test("judges the calls that were due within the span, and no others", () => {
    const timeline = aTimeline();

    expect(timeline.span(0, 1_000)).toMatchObject({ calls: 1_000, failed: 0, p50Ms: 1, p999Ms: 1, maxMs: 1 });
    expect(timeline.span(1_000, 2_000)).toMatchObject({
      calls: 101,
      failed: 1,
      missed: 1,
      p50Ms: 50,
      maxMs: 100,
    });
    expect(timeline.span(5_000, 6_000)).toMatchObject({ calls: 0, p99Ms: 0, maxMs: 0 });
  });

  test("cuts a span into buckets that hold all of its calls", () => {
    const buckets = aTimeline().buckets(0, 1_100, 250);

    expect(buckets.map(({ calls }) => calls)).toEqual([250, 250, 250, 250, 101]);
    expect(buckets.at(-1)).toMatchObject({ atSeconds: 1, failed: 1, maxMs: 100 });
  });

  test.each([
    [[], 50, 0],
    [[7], 99.9, 7],
    [[1, 2, 3, 4], 50, 2],
    [[1, 2, 3, 4], 51, 3],
    [[1, 2, 3, 4], 100, 4],
  ])("percentile of %j at %d is %d", (values, percent, expected) => {
    expect(percentile(values, percent)).toBe(expected);
  });
});

describe("The report", () => {
  test("sets what moved against the ideal, and the disturbance against the quiet time before", () => {
    expect(disturbances(RESULT)).toEqual([{ step: "add", p99Ratio: 1.5 }]);
    expect(renderMoves([RESULT])[1]).toMatch(
      /^A & B +add +1,000 +2\.0 KiB +800 +1\.25 +0\.5 +2\.0 +500 +1\.50$/,
    );
    expect(renderPhases([RESULT])).toHaveLength(3);
  });

  test("calls a run clean only when nothing failed, was missed or lost", () => {
    expect(isClean(RESULT)).toBe(false);
    const clean = aResult("A", [aPhase("before")]);
    expect(isClean(clean)).toBe(true);
    expect(isClean({ ...clean, verdict: { ...clean.verdict, lost: 1 } })).toBe(false);
  });
});

describe("The charts", () => {
  test("draw one bar per bucket in the terminal, and name the step below its time", () => {
    const lines = terminalChart([RESULT]);

    expect(lines).toHaveLength(3);
    expect(lines[1]?.trim()).toMatch(/^[▁▂▃▄▅▆▇█]{4}█?[▁▂▃▄▅▆▇█]?$/);
    expect(lines[2]).toMatch(/^ {4,}add/);
  });

  test("are well-formed SVG with labelled axes, and text that cannot break out", () => {
    const svg = svgChart([RESULT, aResult("C", [aPhase("before")])], "a <title>");

    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(svg).toContain("<title>a &lt;title&gt;</title>");
    expect(svg).toContain("A &amp; B");
    expect(svg.match(/latency of a call/g)).toHaveLength(2);
    expect(svg.match(/seconds</g)).toHaveLength(2);
    expect(svg.match(/<polyline/g)).toHaveLength(6);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const opened = svg.match(/<(text|svg)\b/g)?.length;
    expect(svg.match(/<\/(text|svg)>/g)).toHaveLength(opened!);
  });
});
