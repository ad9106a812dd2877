// Rendered text, compared as text.

import { describe, expect, test } from "vitest";
import { formatCount, formatShare, renderFacts, renderTable } from "../../cluster/text-table.ts";

describe("renderTable", () => {
  test("pads every column to its widest cell and leaves no spaces at the ends of lines", () => {
    const lines = renderTable(
      [{ title: "node" }, { title: "keys", align: "right" }, { title: "state" }],
      [
        ["node-1", "7", "alive"],
        ["b", "12345", ""],
      ],
    );

    expect(lines).toEqual(["node     keys  state", "node-1      7  alive", "b       12345"]);
  });

  test("paints whole cells so that their width stays", () => {
    const lines = renderTable([{ title: "a" }, { title: "b" }], [["x", "y"]], {
      paint: (look, text) => `<${look}>${text}</>`,
      look: (_row, column) => (column === 0 ? "red" : undefined),
    });

    expect(lines).toEqual(["<dim>a</>  <dim>b</>", "<red>x</>  y"]);
  });
});

describe("renderFacts", () => {
  test("aligns the values", () => {
    expect(
      renderFacts([
        ["calls", "10"],
        ["failed calls", "0"],
      ]),
    ).toEqual(["calls         10", "failed calls  0"]);
  });
});

test("formatCount groups digits by three, and formatShare shows one decimal", () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
  expect(formatShare(0.2006)).toBe("20.1 %");
});
