import { describe, expect, test } from "vitest";
import { ReadWindow } from "../../../src/server/redis/read-window.ts";

describe("ReadWindow", () => {
  test("opens to its most while answers are small", () => {
    const window = new ReadWindow(512);
    expect(window.count).toBe(32);

    for (let index = 0; index < 10; index++) window.answered(100);

    expect(window.count).toBe(512);
  });

  test("shrinks at once to what 8 MiB hold of large answers, and never to nothing", () => {
    const window = new ReadWindow(512);

    window.answered(1024 * 1024);
    expect(window.count).toBe(8);
    window.answered(64 * 1024 * 1024);
    expect(window.count).toBe(1);
  });

  test("opens again when large answers are some time ago", () => {
    const window = new ReadWindow(512);
    window.answered(8 * 1024 * 1024);

    for (let index = 0; index < 200; index++) window.answered(10);

    expect(window.count).toBe(512);
  });
});
