import { expect, test } from "vitest";
import { readNow } from "../../src/io/clock.ts";

test("readNow reads a clock that does not go back, and the wall clock", () => {
  const before = Date.now();
  const first = readNow();
  const second = readNow();

  expect(second.monoMs).toBeGreaterThanOrEqual(first.monoMs);
  expect(first.wallMs).toBeGreaterThanOrEqual(before);
  expect(second.wallMs).toBeLessThanOrEqual(Date.now());
});
