// The load generator against caches whose faults are known: it must report exactly those.

import { describe, expect, test } from "vitest";
import { type CallEnd, LoadGenerator, type LoadTarget } from "../../cluster/load.ts";
import { waitFor } from "../../cluster/wait.ts";
import { CacheError } from "../../src/base/errors.ts";

/** A right cache in this process; `before` runs ahead of every single call and may delay or fail it. */
class MemoryTarget implements LoadTarget {
  readonly values = new Map<string, unknown>();
  before: (kind: string, key: string) => Promise<void> | void = () => {};

  async get(key: string): Promise<unknown> {
    await this.before("get", key);
    return this.values.get(key);
  }

  async set(key: string, value: string): Promise<void> {
    await this.before("set", key);
    this.values.set(key, value);
  }

  async delete(key: string): Promise<boolean> {
    await this.before("delete", key);
    return this.values.delete(key);
  }

  async increment(key: string): Promise<number> {
    await this.before("increment", key);
    const next = ((this.values.get(key) as number | undefined) ?? 0) + 1;
    this.values.set(key, next);
    return next;
  }

  async getMany(keys: readonly string[]): Promise<unknown[]> {
    return keys.map((key) => this.values.get(key));
  }

  async setMany(entries: readonly (readonly [string, string])[]): Promise<void> {
    for (const [key, value] of entries) this.values.set(key, value);
  }
}

async function runUntil(load: LoadGenerator, calls: number): Promise<void> {
  load.start();
  await waitFor(() => load.result().calls >= calls, { what: `${calls} calls`, intervalMs: 2 });
}

describe("LoadGenerator", () => {
  test("reports no failure, no loss and no stale read when the cache is right", async () => {
    const load = new LoadGenerator(new MemoryTarget(), { keys: 700, rate: 20_000, callers: 7 });
    await load.fill();
    await runUntil(load, 500);

    const result = await load.stop();
    const verdict = await load.verify();

    expect(result).toMatchObject({ failed: 0, staleReads: 0, skipped: 0 });
    expect(verdict).toMatchObject({ lost: 0, phantoms: 0 });
    expect(verdict.keysChecked).toBeGreaterThanOrEqual(700);
    expect(verdict.acknowledgedWrites).toBeGreaterThanOrEqual(700);
    expect(result.callsByKind.get).toBeGreaterThan(result.callsByKind.set);
  });

  test("finds the keys that are gone or older when the cache lost writes", async () => {
    const target = new MemoryTarget();
    const load = new LoadGenerator(target, { keys: 100 });
    await load.fill();
    target.values.delete("key:3");
    target.values.set("key:7", "key:7|0|");

    const verdict = await load.verify();

    expect(verdict).toMatchObject({ lost: 2, phantoms: 0, keysChecked: 100 });
    expect(verdict.examples).toEqual(["lost: key:3 holds nothing", "lost: key:7 holds key:7|0|"]);
  });

  test("counts failed calls by code, and what they may have written as undecided", async () => {
    const target = new MemoryTarget();
    const load = new LoadGenerator(target, { keys: 50, rate: 20_000, callers: 5 });
    await load.fill();
    target.before = (kind) => {
      if (kind === "set") throw new CacheError("ERR_TIMEOUT", "too slow", { applied: "maybe" });
    };
    await runUntil(load, 300);

    const result = await load.stop();

    expect(result.failed).toBe(result.callsByKind.set);
    expect(result.failedByCode).toEqual({ ERR_TIMEOUT: result.failed });
    expect(result.failures[0]).toBe("set: ERR_TIMEOUT too slow");
    expect(await load.verify()).toMatchObject({ lost: 0, phantoms: 0 });
  });

  test("sees a standstill as silence and in the latencies of all calls that fell due in it", async () => {
    const target = new MemoryTarget();
    let gate: Promise<void> | undefined;
    let open = () => {};
    target.before = () => gate;
    const ends: CallEnd[] = [];
    const onCall = (end: CallEnd) => ends.push(end);
    const load = new LoadGenerator(target, { keys: 50, rate: 1000, callers: 5, onCall });
    await runUntil(load, 100);

    gate = new Promise((resolve) => {
      open = resolve;
    });
    const sinceMs = performance.now();
    await waitFor(() => performance.now() - sinceMs > 150, { what: "150 ms", intervalMs: 5 });
    gate = undefined;
    open();
    const result = await load.stop();

    expect(result.silenceMaxMs).toBeGreaterThan(100);
    // 150 of some 300 calls waited, most of them far longer than the five that were under way.
    expect(result.p99Ms).toBeGreaterThan(100);
    const slow = ends.filter(({ tookMs, queuedMs }) => tookMs - queuedMs > 100);
    expect(slow.length).toBeLessThanOrEqual(5);
    expect(ends.filter(({ queuedMs }) => queuedMs > 20).length).toBeGreaterThan(50);
  });

  test("calls reads stale that return less than was acknowledged before", async () => {
    const target = new MemoryTarget();
    const load = new LoadGenerator(target, {
      keys: 20,
      rate: 20_000,
      callers: 5,
      mix: { get: 1, set: 0, delete: 0, increment: 0 },
    });
    await load.fill();
    target.values.clear();
    await runUntil(load, 50);

    const result = await load.stop();

    expect(result.staleReads).toBe(result.calls);
  });

  test("skips calls and says so when a caller's queue is full", async () => {
    const target = new MemoryTarget();
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    target.before = () => gate;
    const load = new LoadGenerator(target, { keys: 20, rate: 10_000, callers: 2, queueMax: 3 });
    load.start();
    await waitFor(() => load.result().skipped > 5, { what: "skipped calls", intervalMs: 2 });

    open();
    const result = await load.stop();

    expect(result.calls).toBeGreaterThanOrEqual(8);
    expect(result.failed).toBe(0);
  });
});
