// Small runs of the benchmarks that need real processes, so that they cannot rot: that they run and report, not what.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { measureCrowd } from "../../bench/crowd.ts";
import { measureFailover } from "../../bench/failover.ts";
import { startRingholdNodes } from "../../bench/peers/servers.ts";

const run = promisify(execFile);

test("bench/versus.ts compares the contenders it is asked for, prints their medians and draws them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringhold-bench-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const chart = join(folder, "chart.svg");
  const times = ["--rounds", "1", "--seconds", "0.2", "--warmup", "0.1", "--keys", "200"];
  const flags = ["--only", "get-64", "--clients", "ringhold,null", "--svg", chart, ...times];

  const { stdout } = await run(process.execPath, ["--import", "tsx", "bench/versus.ts", ...flags]);

  expect(stdout).toMatch(/^ringhold +[\d,]+ .*1\.00$/m);
  expect(stdout).toMatch(/^null +[\d,]+ /m);
  expect(stdout).not.toContain("WRONG");
  // Nobody would run the client that does nothing.
  const drawn = readFileSync(chart, "utf8");
  expect(drawn.match(/<rect /g)).toHaveLength(1);
  expect(drawn).toContain("get, 100 bytes, 64 outstanding");
});

test("bench/failover.ts kills a node and counts what callers noticed", async () => {
  const servers = await startRingholdNodes(3, []);
  try {
    const options = { client: "ringhold", victim: 1, rate: 100, watchMs: 1_500 } as const;
    const result = await measureFailover("small", servers, options);

    expect(result.calls).toBeGreaterThan(50);
    expect(result.failed).toBe(0);
  } finally {
    await servers.stop();
  }
});

test("bench/crowd.ts serves active clients alone and beside idle ones, and says what those cost", async () => {
  const result = await measureCrowd({ idle: 20, active: 4, settleMs: 100, serveMs: 200 });

  for (const { callsPerSecond, least, most } of [result.alone, result.beside]) {
    expect(callsPerSecond).toBeGreaterThan(0);
    expect(least).toBeLessThanOrEqual(1);
    expect(most).toBeGreaterThanOrEqual(1);
  }
  expect(result.idleCpuMicros).toBeGreaterThanOrEqual(0);
});
