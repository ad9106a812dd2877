import { describe, expect, test } from "vitest";
import { RegisterStorm, type StormTarget } from "../../cluster/register-storm.ts";
import { CacheError } from "../../src/base/errors.ts";

/** One map behind all calls: every history of it is linearizable. */
function memory(): StormTarget & { readonly values: Map<string, string> } {
  const values = new Map<string, string>();
  return {
    values,
    get: async (key) => values.get(key),
    set: async (key, value) => values.set(key, value),
    delete: async (key) => values.delete(key),
  };
}

async function verdictOn(target: StormTarget, calls: number) {
  let made = 0;
  const counting = <T>(call: () => T): T => {
    made++;
    return call();
  };
  const counted: StormTarget = {
    get: (key) => counting(() => target.get(key)),
    set: (key, value) => counting(() => target.set(key, value)),
    delete: (key) => counting(() => target.delete(key)),
  };
  const storm = new RegisterStorm(counted, { seed: 1, restMs: 0.1, keys: 2, callers: 4 });
  storm.start();
  await expect.poll(() => made, { interval: 1 }).toBeGreaterThan(calls);
  return storm.stop();
}

describe("RegisterStorm", () => {
  test("finds nothing wrong with a map", async () => {
    const verdict = await verdictOn(memory(), 200);

    expect(verdict).toMatchObject({ violatedKeys: [], undecidedKeys: [], unknown: 0, failed: 0 });
  });

  test("finds reads of values that were overwritten", async () => {
    const target = memory();
    const first = new Map<string, string>();
    const stale: StormTarget = {
      ...target,
      get: async (key) => first.get(key) ?? target.values.get(key),
      set: async (key, value) => {
        if (!first.has(key)) first.set(key, value);
        target.values.set(key, value);
      },
    };

    expect((await verdictOn(stale, 200)).violatedKeys).not.toEqual([]);
  });

  test("finds values that nobody wrote", async () => {
    const target = { ...memory(), get: async () => "something else" };

    expect((await verdictOn(target, 50)).violatedKeys).not.toEqual([]);
  });

  test("takes a write without an answer for one that may have happened, and a refused one for one that has not", async () => {
    const target = memory();
    let writes = 0;
    const flaky: StormTarget = {
      ...target,
      set: async (key, value) => {
        const kind = writes++ % 3;
        if (kind === 2) throw new CacheError("ERR_NO_QUORUM", "refused", { applied: "no" });
        target.values.set(key, value);
        if (kind === 1) throw new CacheError("ERR_TIMEOUT", "no answer", { applied: "maybe" });
      },
    };

    const verdict = await verdictOn(flaky, 200);

    expect(verdict.violatedKeys).toEqual([]);
    expect(verdict.unknown).toBeGreaterThan(0);
    expect(verdict.failed).toBeGreaterThan(0);
    expect(verdict.failures.length).toBeGreaterThan(0);
  });
});
