import { describe, expect, test } from "vitest";
import { valueText } from "../../src/cli/output.ts";

describe("valueText", () => {
  test("shows an object that looks like a Buffer's JSON as it is", () => {
    expect(valueText({ type: "Buffer", data: ["x"] })).toBe('{"type":"Buffer","data":["x"]}');
    expect(valueText({ bytes: Buffer.from("x") })).toBe('{"bytes":{"base64":"eA=="}}');
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "does not show %s as null, which is another value",
    (value) => {
      expect(valueText(value)).toBe(String(value));
    },
  );
});
