import { describe, expect, test } from "vitest";
import { nearestName } from "../../src/base/suggest.ts";

describe("nearestName", () => {
  const names = ["listen", "advertise", "join", "replicas", "memory"];

  test.each([
    ["listn", "listen"],
    ["LISTEN", "listen"],
    ["jion", "join"],
    ["replica", "replicas"],
    ["advertize", "advertise"],
  ])("finds for %s the name %s", (name, expected) => {
    expect(nearestName(name, names)).toBe(expected);
  });

  test.each(["", "zzz", "port", "x".repeat(1000)])("finds nothing for %j", (name) => {
    expect(nearestName(name, names)).toBeUndefined();
  });
});
