import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SLOT_COUNT } from "../../../src/base/ids.ts";
import { isScaled, SCALED, scaleSource } from "./constants.ts";

describe("the scaled-down build", () => {
  test.each(Object.keys(SCALED))("finds its constants in %s", (file) => {
    const source = readFileSync(file, "utf8");

    const scaled = scaleSource(`file:///somewhere/${file}`, source);

    for (const [name, value] of Object.entries(SCALED[file]!)) {
      expect(scaled).toMatch(new RegExp(`const ${name} = ${value}\\b`));
    }
  });

  test("says so when a constant is gone, and leaves other modules alone", () => {
    expect(() => scaleSource("/x/src/base/ids.ts", "export const SLOTS = 3;")).toThrow("SLOT_COUNT");
    expect(isScaled("/x/src/base/idle.ts")).toBe(false);
    expect(isScaled("/x/.sim/src/base/ids.js?v=1")).toBe(true);
  });

  test("is what the simulator's tests run", () => {
    expect(SLOT_COUNT).toBe(SCALED["src/base/ids.ts"]!.SLOT_COUNT);
  });
});
