// Redrawing, as the text that goes to the terminal.

import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { clip, redraw, replaceLines } from "../../src/cli/live-view.ts";

describe("replaceLines", () => {
  test("moves up over what was drawn, clears each line and what is left below", () => {
    expect(replaceLines(0, ["a"])).toBe("\r\x1b[2Ka\n\x1b[J");
    expect(replaceLines(3, ["a", "b"])).toBe("\x1b[3A\r\x1b[2Ka\n\r\x1b[2Kb\n\x1b[J");
  });
});

describe("clip", () => {
  test("cuts to the width without counting or cutting colours", () => {
    expect(clip("\x1b[32mhello\x1b[39m world", 7)).toBe("\x1b[32mhello\x1b[39m w");
    expect(clip("\x1b[32mhello\x1b[39m", 3)).toBe("\x1b[32mhel\x1b[39m");
  });
});

describe("redraw", () => {
  test("prints a plain line only when it changed where nothing is redrawn", async () => {
    const controller = new AbortController();
    const seen = ["one", "one", "two"];
    let written = "";
    const stream = new Writable({
      write(chunk, _encoding, done) {
        written += String(chunk);
        done();
      },
    });

    await redraw({
      stream: stream as unknown as NodeJS.WriteStream,
      isLive: false,
      intervalMs: 5,
      signal: controller.signal,
      lines: async () => [],
      plain: async () => {
        const line = seen.shift() ?? "";
        // The abort must cut the wait after the last line short.
        if (seen.length === 0) setImmediate(() => controller.abort());
        return line;
      },
    });

    expect(written).toBe("one\ntwo\n");
  });
});
