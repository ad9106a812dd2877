import { expect, test } from "vitest";
import { Awareness } from "../../../src/core/membership/awareness.ts";

test("Awareness stretches the interval by its score and stays within its range", () => {
  const awareness = new Awareness(8);

  awareness.apply(-1);
  expect(awareness.scale(500)).toBe(500);

  awareness.apply(2);
  expect(awareness.scale(500)).toBe(1_500);

  awareness.apply(100);
  expect(awareness.score).toBe(7);
});
