// Durations and sizes by table: what people write, and what must not pass.

import { describe, expect, test } from "vitest";
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from "../../src/base/units.ts";

describe("parseDurationMs", () => {
  test.each([
    ["0ms", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["1.5s", 1500],
    ["0.5ms", 0.5],
    [" 30 s ", 30_000],
  ])("reads %j", (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected);
  });

  test.each([
    "",
    "abc",
    "30",
    "s",
    "-5s",
    "+5s",
    "5 sec",
    "5S",
    "1e3s",
    "1.s",
    ".5s",
    "5s5s",
    "5ms1",
    "NaN",
    "Infinity",
    "٣s",
  ])("is undefined when the text is %j", (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});

describe("parseBytes", () => {
  test.each([
    ["0", 0],
    ["512", 512],
    ["512b", 512],
    ["1kb", 1024],
    ["256mb", 268_435_456],
    ["256MB", 268_435_456],
    ["256 MiB", 268_435_456],
    ["1.5gb", 1_610_612_736],
    ["1GiB", 1_073_741_824],
    ["1.7", 1],
  ])("reads %j", (text, expected) => {
    expect(parseBytes(text)).toBe(expected);
  });

  test.each(["", "mb", "-1", "1tb", "1 0", "0x10", "1e6", "1,5gb", "ten", "NaN", "Infinity"])(
    "is undefined when the text is %j",
    (text) => {
      expect(parseBytes(text)).toBeUndefined();
    },
  );
});

describe("formatBytes", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [268_435_456, "256.0 MiB"],
    [2 ** 40, "1.0 TiB"],
    [2 ** 50, "1024.0 TiB"],
  ])("writes %d bytes as %j", (bytes, expected) => {
    expect(formatBytes(bytes)).toBe(expected);
  });
});

describe("formatDuration", () => {
  test.each([
    [0, "0 ms"],
    [849.6, "850 ms"],
    [1000, "1.0 s"],
    [4200, "4.2 s"],
    [119_000, "119.0 s"],
    [180_000, "3 min"],
  ])("writes %d ms as %j", (ms, expected) => {
    expect(formatDuration(ms)).toBe(expected);
  });
});
