// The chart: lengths, order, and names that are no markup.

import { expect, test } from "vitest";
import { drawChart } from "../../bench/chart.ts";

/** Widths and classes of the bars, and all texts, in order. */
function readChart(svg: string) {
  const bars = [...svg.matchAll(/<rect class="(\w+)" [^>]*width="(\d+)"/g)].map(([, kind, width]) => ({
    kind,
    width: Number(width),
  }));
  const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  return { bars, texts };
}

test("drawChart draws each group's bars in proportion to its longest", () => {
  const svg = drawChart(
    "Calls a second",
    [
      {
        title: "get",
        bars: [
          { label: "a", value: 1_000_000, isOwn: true },
          { label: "b", value: 250_000, isOwn: false },
        ],
      },
      { title: "set", bars: [{ label: "a", value: 3, isOwn: true }] },
    ],
    "a machine",
  );

  const { bars, texts } = readChart(svg);
  expect(bars.map(({ kind }) => kind)).toEqual(["own", "peer", "own"]);
  const [first, second, third] = bars.map(({ width }) => width);
  expect(first! / second!).toBeCloseTo(4);
  expect(third).toBe(first);
  expect(texts).toEqual([
    "Calls a second",
    ...["get", "a", "1,000,000", "b", "250,000"],
    ...["set", "a", "3"],
    "a machine",
  ]);
});

test("drawChart draws nothing as nothing, and names as they are", () => {
  const svg = drawChart('<b> & "c"', [{ title: "x", bars: [{ label: "<i>", value: 0, isOwn: false }] }], "");

  expect(readChart(svg).bars).toEqual([{ kind: "peer", width: 0 }]);
  expect(svg).not.toContain("<b>");
  expect(svg).not.toContain("<i>");
  expect(svg).toContain("&lt;b&gt; &amp; &quot;c&quot;");
});
