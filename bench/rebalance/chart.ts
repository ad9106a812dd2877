// Latency over time, as a picture: in block letters for the terminal, and as an SVG file. Pure. One panel per subject, all with the
// same axes, so that they can be compared by eye; time from left to right, milliseconds upwards on a logarithmic scale. Moves are
// shaded. A point is a quarter of a second; where a terminal column covers several, it shows the worst.

import { escapeXml } from "../escape-xml.ts";
import type { Phase, SubjectResult } from "./scenario.ts";
import type { Bucket } from "./timeline.ts";

const BARS = "▁▂▃▄▅▆▇█";

/** p99 over time, one row per subject, at most as wide as asked; below it a ruler that says which step was under way. */
export function terminalChart(results: readonly SubjectResult[], widthMax = 72): string[] {
  const scale = scaleOf(results);
  const lines: string[] = [];
  for (const result of results) {
    const width = Math.max(1, Math.min(widthMax, result.buckets.length));
    const seconds = secondsOf(result);
    const columns = Array.from({ length: width }, (_, column) => {
      const [from, to] = [(column * seconds) / width, ((column + 1) * seconds) / width];
      const inside = result.buckets.filter(({ atSeconds }) => atSeconds >= from && atSeconds < to);
      return Math.max(0, ...inside.map(({ p99Ms }) => p99Ms));
    });
    const bars = columns.map((ms) =>
      ms === 0 ? " " : BARS[Math.round(scale.share(ms) * (BARS.length - 1))]!,
    );
    lines.push(`${result.subject}: p99 per ${((seconds * 1000) / width).toFixed(0)} ms, ${scale.text}`);
    lines.push(`  ${bars.join("")}`, `  ${ruler(result.phases, seconds, width)}`);
  }
  return lines;
}

/** `----add-----` under the moves. */
function ruler(phases: readonly Phase[], seconds: number, width: number): string {
  const cells = new Array<string>(width).fill(" ");
  for (const { name, isMove, fromSeconds, toSeconds } of phases) {
    if (!isMove) continue;
    const from = Math.floor((fromSeconds / seconds) * width);
    const to = Math.max(from + 1, Math.ceil((toSeconds / seconds) * width));
    for (let column = from; column < Math.min(width, to); column++) cells[column] = "─";
    for (const [index, letter] of [...name].entries()) {
      if (from + index < width) cells[from + index] = letter;
    }
  }
  return cells.join("").trimEnd();
}

interface Scale {
  /** 0 to 1, by the logarithm. */
  share(ms: number): number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly text: string;
}

/** From the quickest p50 to the slowest call, in whole decades. */
function scaleOf(results: readonly SubjectResult[]): Scale {
  const all = results.flatMap(({ buckets }) => buckets.filter(({ calls }) => calls > 0));
  const low = Math.min(1, ...all.map(({ p50Ms }) => p50Ms));
  const high = Math.max(10, ...all.map(({ maxMs }) => maxMs));
  const [minDecade, maxDecade] = [Math.floor(Math.log10(Math.max(0.01, low))), Math.ceil(Math.log10(high))];
  const [minMs, maxMs] = [10 ** minDecade, 10 ** maxDecade];
  const share = (ms: number): number =>
    Math.min(1, Math.max(0, (Math.log10(Math.max(minMs, ms)) - minDecade) / (maxDecade - minDecade)));
  return { share, minMs, maxMs, text: `from ${msText(minMs)} (▁) to ${msText(maxMs)} (█), logarithmic` };
}

const PANEL = { left: 64, right: 16, top: 34, width: 820, height: 190, gap: 62 } as const;
const SERIES: readonly {
  readonly name: string;
  readonly colour: string;
  readonly of: (bucket: Bucket) => number;
}[] = [
  { name: "slowest", colour: "#c9c9c9", of: ({ maxMs }) => maxMs },
  { name: "p99", colour: "#d1495b", of: ({ p99Ms }) => p99Ms },
  { name: "p50", colour: "#30638e", of: ({ p50Ms }) => p50Ms },
];

/** The same as an SVG file: one panel per subject with labelled axes, and a legend. */
export function svgChart(results: readonly SubjectResult[], title: string): string {
  const scale = scaleOf(results);
  const seconds = Math.max(1, ...results.map(secondsOf));
  const width = PANEL.left + PANEL.width + PANEL.right;
  const height = 30 + results.length * (PANEL.top + PANEL.height + PANEL.gap);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${PANEL.left}" y="20" font-size="15">${escapeXml(title)}</text>`,
    ...results.flatMap((result, index) => {
      const top = 30 + PANEL.top + index * (PANEL.top + PANEL.height + PANEL.gap);
      return panel(result, { scale, seconds, top });
    }),
    "</svg>",
    "",
  ].join("\n");
}

function panel(
  result: SubjectResult,
  { scale, seconds, top }: { readonly scale: Scale; readonly seconds: number; readonly top: number },
): string[] {
  const x = (atSeconds: number): number => PANEL.left + (atSeconds / seconds) * PANEL.width;
  const y = (ms: number): number => top + PANEL.height * (1 - scale.share(ms));
  const bottom = top + PANEL.height;
  const lines = [
    `<text x="${PANEL.left}" y="${top - 10}" font-weight="bold">${escapeXml(result.subject)}</text>`,
  ];
  for (const { name, isMove, fromSeconds, toSeconds } of result.phases) {
    if (!isMove) continue;
    const wide = Math.max(1, x(toSeconds) - x(fromSeconds));
    lines.push(
      `<rect x="${fixed(x(fromSeconds))}" y="${top}" width="${fixed(wide)}" height="${PANEL.height}" fill="#fff3cd"/>`,
      `<text x="${fixed(x(fromSeconds) + 3)}" y="${top + 13}" fill="#8a6d1d">${escapeXml(name)} ${(toSeconds - fromSeconds).toFixed(1)} s</text>`,
    );
  }
  for (let ms = scale.minMs; ms <= scale.maxMs * 1.001; ms *= 10) {
    lines.push(
      `<line x1="${PANEL.left}" x2="${PANEL.left + PANEL.width}" y1="${fixed(y(ms))}" y2="${fixed(y(ms))}" stroke="#e5e5e5"/>`,
      `<text x="${PANEL.left - 6}" y="${fixed(y(ms) + 4)}" text-anchor="end">${msText(ms)}</text>`,
    );
  }
  const tick = tickOf(seconds);
  for (let at = 0; at <= seconds; at += tick) {
    lines.push(
      `<line x1="${fixed(x(at))}" x2="${fixed(x(at))}" y1="${bottom}" y2="${bottom + 4}" stroke="#444444"/>`,
      `<text x="${fixed(x(at))}" y="${bottom + 17}" text-anchor="middle">${at}</text>`,
    );
  }
  lines.push(
    `<path d="M${PANEL.left} ${top}V${bottom}H${PANEL.left + PANEL.width}" fill="none" stroke="#444444"/>`,
    `<text x="${PANEL.left + PANEL.width}" y="${bottom + 33}" text-anchor="end">seconds</text>`,
    `<text x="16" y="${top + PANEL.height / 2}" text-anchor="middle" transform="rotate(-90 16 ${top + PANEL.height / 2})">latency of a call</text>`,
  );
  for (const [index, { name, colour, of }] of SERIES.entries()) {
    const points = result.buckets.filter(({ calls }) => calls > 0);
    const path = points.map((bucket) => `${fixed(x(bucket.atSeconds))},${fixed(y(of(bucket)))}`).join(" ");
    const legendX = PANEL.left + PANEL.width - 210 + index * 75;
    lines.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.2"/>`,
      `<line x1="${legendX}" x2="${legendX + 18}" y1="${top - 14}" y2="${top - 14}" stroke="${colour}" stroke-width="3"/>`,
      `<text x="${legendX + 22}" y="${top - 10}">${name}</text>`,
    );
  }
  return lines;
}

function secondsOf({ buckets, phases }: SubjectResult): number {
  return Math.max(buckets.at(-1)?.atSeconds ?? 0, phases.at(-1)?.toSeconds ?? 0, 0.25);
}

/** About ten marks, at 1, 2, 5, 10, 20, ... seconds. */
function tickOf(seconds: number): number {
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
  return steps.find((step) => seconds / step <= 12) ?? 1_200;
}

function msText(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${Number(ms.toPrecision(3))} ms`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}
