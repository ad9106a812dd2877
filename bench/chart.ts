// A chart of what was measured, as SVG without script or fonts of its own: groups of bars, in each group the longest as long as there
// is room, because only what stands in one group may be compared.

import { escapeXml } from "./escape-xml.ts";

/** One bar. */
export interface Bar {
  readonly label: string;
  /** 0 or more. */
  readonly value: number;
  /** Drawn in the colour of what the chart is about. */
  readonly isOwn: boolean;
}

export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 760;
const LABEL_WIDTH = 170;
const BAR_WIDTH = 480;
const ROW_HEIGHT = 20;
const BAR_HEIGHT = 13;
const GROUP_GAP = 14;
const TOP = 44;

const STYLE = [
  "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}.group{font-weight:600}",
  ".own{fill:#0969da}.peer{fill:#8c959f}",
  "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.own{fill:#4493f8}.peer{fill:#6e7681}}",
].join("");

/** The chart as the text of an SVG file. Values are written with their thousands apart. */
export function drawChart(title: string, groups: readonly BarGroup[], footer: string): string {
  const parts: string[] = [];
  let y = TOP;
  const text = (x: number, line: string, more = ""): void => {
    parts.push(`<text x="${x}" y="${y}"${more}>${escapeXml(line)}</text>`);
  };
  for (const { title: name, bars } of groups) {
    text(0, name, ' class="group"');
    y += ROW_HEIGHT;
    const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
    for (const { label, value, isOwn } of bars) {
      const width = Math.round((BAR_WIDTH * value) / longest);
      text(LABEL_WIDTH - 10, label, ' text-anchor="end"');
      parts.push(
        `<rect class="${isOwn ? "own" : "peer"}" x="${LABEL_WIDTH}" y="${y - BAR_HEIGHT + 3}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
      );
      text(LABEL_WIDTH + width + 8, Math.round(value).toLocaleString("en"));
      y += ROW_HEIGHT;
    }
    y += GROUP_GAP;
  }
  text(0, footer);
  const height = y + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeXml(title)}</title><style>${STYLE}</style>`,
    `<text class="title" x="0" y="18">${escapeXml(title)}</text>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}
