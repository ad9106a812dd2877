// Small runs of the benchmarks, so that they cannot rot: that they measure and agree with themselves, not how fast anything is.

import { describe, expect, test } from "vitest";
import { measureFloor } from "../../bench/floors.ts";
import { hasClient, openTarget } from "../../bench/load/clients.ts";
import { cpuMicrosOf } from "../../bench/load/cpu.ts";
import { fill, keyOf, measure } from "../../bench/load/work.ts";
import { measurePath } from "../../bench/path.ts";

const WORK = { valueBytes: 100, keys: 200, outstanding: 8, warmupMs: 20, measureMs: 60 } as const;

describe("measure", () => {
  test("counts calls, and finds all values right, against a client that asks nobody", async () => {
    const target = await openTarget({ client: "null", addresses: [], pids: [] });
    await fill(target, WORK);

    const result = await measure(target, { ...WORK, operation: "get" }, []);

    expect(result.operationsPerSecond).toBeGreaterThan(0);
    expect(result.wrong).toBe(0);
    expect(result.p50Ms).toBeLessThanOrEqual(result.p999Ms);
    expect(result.serverCpuMicros).toBe(0);
  });

  test("counts values that are not what was stored", async () => {
    const target = await openTarget({ client: "null", addresses: [], pids: [] });

    const result = await measure(target, { ...WORK, operation: "getMany", batch: 10 }, []);

    expect(result.wrong).toBeGreaterThan(0);
  });

  test("keeps to the rate of an open loop", async () => {
    const target = await openTarget({ client: "null", addresses: [], pids: [] });
    await fill(target, WORK);

    const result = await measure(target, { ...WORK, operation: "get", rate: 2_000, measureMs: 300 }, []);

    expect(result.operationsPerSecond).toBeGreaterThan(1_000);
    expect(result.operationsPerSecond).toBeLessThan(4_000);
  });
});

test("keyOf makes keys of 24 bytes that differ by size and number", () => {
  const keys = [keyOf(100, 1), keyOf(100, 2), keyOf(1_024, 1)];

  expect(new Set(keys).size).toBe(3);
  for (const key of keys) expect(key.length).toBe(24);
});

test("cpuMicrosOf sees this process work and knows nothing of one that is not there", () => {
  expect(cpuMicrosOf([process.pid])).toBeGreaterThan(0);
  expect(cpuMicrosOf([2 ** 22 + 1])).toBe(0);
});

test("hasClient says so when a package is not needed", () => {
  expect(hasClient("null")).toBe(true);
  expect(hasClient("ringhold")).toBe(true);
});

test.each(["get", "set", "getMany"] as const)(
  "the way without sockets answers a %s rightly",
  async (operation) => {
    const result = await measurePath({ operation, outstanding: 8, keys: 100, measureMs: 150 });

    expect(result.operationsPerSecond).toBeGreaterThan(0);
    expect(result.wrong).toBe(0);
  },
);

test.each(["tcp", "ws"] as const)("an echo over %s comes back", async (echo) => {
  const floor = await measureFloor(echo, 64, 60);

  expect(floor.perSecond).toBeGreaterThan(0);
  expect(floor.p50Ms).toBeGreaterThan(0);
});
