// Tables for terminals: columns padded to their widest cell, two spaces between them. Pure, so that tests compare text.
// Colour comes in as a function, because only the caller knows whether the output is a terminal.

/** How a column's cells are padded. */
export interface Column {
  readonly title: string;
  /** @default "left" */
  readonly align?: "left" | "right";
}

/** Gives `text` a look; {@link plainPaint} gives none. The visible width must stay the same. */
export type Paint = (look: "bold" | "dim" | "red" | "green" | "yellow", text: string) => string;

/** Changes nothing. */
export const plainPaint: Paint = (_look, text) => text;

/** Decides the look of a cell after its padding is known; `undefined` for none. */
export type CellLook = (row: number, column: number) => Parameters<Paint>[0] | undefined;

/**
 * The table as lines without trailing spaces: the titles first, then one line per row in the order given. Missing cells are
 * empty.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: { readonly paint?: Paint; readonly look?: CellLook } = {},
): string[] {
  const paint = options.paint ?? plainPaint;
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  const line = (cells: readonly string[], lookOf: (column: number) => ReturnType<CellLook>): string =>
    columns
      .map((column, index) => {
        const padded = pad(cells[index] ?? "", widths[index]!, {
          align: column.align ?? "left",
          isLast: index === columns.length - 1,
        });
        const look = lookOf(index);
        return look === undefined ? padded : paint(look, padded);
      })
      .join("  ")
      .trimEnd();
  const titles = columns.map((column) => column.title);
  return [
    line(titles, () => "dim"),
    ...rows.map((row, rowIndex) => line(row, (column) => options.look?.(rowIndex, column))),
  ];
}

/** `label  value` lines with the values aligned. */
export function renderFacts(facts: readonly (readonly [label: string, value: string])[]): string[] {
  const width = Math.max(0, ...facts.map(([label]) => label.length));
  return facts.map(([label, value]) => `${label.padEnd(width)}  ${value}`.trimEnd());
}

/** `1234567` as `1,234,567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A share of 0 to 1 as `20.1 %`. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function pad(
  text: string,
  width: number,
  place: { readonly align: "left" | "right"; readonly isLast: boolean },
): string {
  if (place.align === "right") return text.padStart(width);
  return place.isLast ? text : text.padEnd(width);
}
