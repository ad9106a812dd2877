import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Slot } from "../../../src/base/ids.ts";
import {
  ENTRY_OVERHEAD_BYTES,
  LruStore,
  type LruStoreOptions,
  VALUE_OVERHEAD_BYTES,
} from "../../../src/core/store/lru-store.ts";
import {
  describeStore,
  OTHER_SLOT,
  SLOT,
  T0,
  TEST_HASHES,
  TOMBSTONE_TTL_MS,
  tombstone,
  value,
} from "../../contract/store-contract.ts";

describeStore("LruStore", (options, hashes) => new LruStore(options, hashes));

const VALUE_SIZE = 100;
/** What a value with a key of two characters and `VALUE_SIZE` bytes is charged. */
const CHARGE = ENTRY_OVERHEAD_BYTES + VALUE_OVERHEAD_BYTES + 2 + VALUE_SIZE;

/** A store with room for exactly `count` values with keys of two characters. */
function storeFor(count: number, options: Partial<LruStoreOptions> = {}): LruStore {
  return new LruStore(
    { bytesMax: count * CHARGE, tombstoneTtlMs: TOMBSTONE_TTL_MS, ...options },
    TEST_HASHES,
  );
}

let lastVersion = 0;

/** Puts a value that is newer than all before: an evicted one keeps what is older from coming back. */
function put(store: LruStore, key: string, options?: { cold?: boolean }): void {
  lastVersion++;
  const entry = value(key, lastVersion, { value: new Uint8Array(VALUE_SIZE) });
  expect(store.merge(SLOT, entry, T0, { cold: options?.cold ?? false })).toEqual({ status: "stored" });
}

function keys(store: LruStore): string[] {
  return [...store.entries(SLOT)].map((entry) => entry.key).sort();
}

describe("LruStore's eviction", () => {
  test("takes the least recently used value when space is needed", () => {
    const store = storeFor(3);
    for (const key of ["k1", "k2", "k3"]) put(store, key);

    put(store, "k4");

    expect(keys(store)).toEqual(["k2", "k3", "k4"]);
    expect(store.stats()).toMatchObject({ entries: 3, bytes: 3 * CHARGE, evictionsTotal: 1 });
  });

  test.each([
    ["get counts as a use", (store: LruStore) => store.get(SLOT, "k1", T0), ["k1", "k3", "k4"]],
    ["overwriting counts as a use", (store: LruStore) => put(store, "k1"), ["k1", "k3", "k4"]],
    ["peek does not count as a use", (store: LruStore) => store.peek(SLOT, "k1"), ["k2", "k3", "k4"]],
    [
      "get of another key does not count as a use",
      (store: LruStore) => store.get(OTHER_SLOT, "k1", T0),
      ["k2", "k3", "k4"],
    ],
    [
      "merging the held version again does not count as a use",
      (store: LruStore) => store.merge(SLOT, store.peek(SLOT, "k1")!, T0),
      ["k2", "k3", "k4"],
    ],
  ])("%s", (_, use, expected) => {
    const store = storeFor(3);
    for (const key of ["k1", "k2", "k3"]) put(store, key);
    use(store);

    put(store, "k4");

    expect(keys(store)).toEqual(expected);
  });

  test("takes cold values before any other, the oldest of them first", () => {
    const store = storeFor(4);
    put(store, "h1");
    for (const key of ["c1", "c2", "c3"]) put(store, key, { cold: true });

    put(store, "h2");
    expect(keys(store)).toEqual(["c2", "c3", "h1", "h2"]);
    put(store, "h3");
    put(store, "h4");
    expect(keys(store)).toEqual(["h1", "h2", "h3", "h4"]);
  });

  test("takes hot values when no cold one is left", () => {
    const store = storeFor(2);
    for (const key of ["h1", "h2", "h3"]) put(store, key);

    expect(keys(store)).toEqual(["h2", "h3"]);
  });

  test("gives up one hot value at most for any number of cold ones", () => {
    const store = storeFor(4);
    for (const key of ["h1", "h2", "h3", "h4"]) put(store, key);

    for (let index = 10; index < 99; index++) put(store, `${index}`, { cold: true });

    expect(keys(store)).toEqual(["98", "h2", "h3", "h4"]);
  });

  test.each([
    ["get makes a cold value hot", (store: LruStore) => store.get(SLOT, "c1", T0)],
    ["a write makes a cold value hot", (store: LruStore) => put(store, "c1")],
  ])("%s", (_, use) => {
    const store = storeFor(3);
    for (const key of ["c1", "c2", "c3"]) put(store, key, { cold: true });
    use(store);

    put(store, "h1");
    put(store, "h2");

    expect(keys(store)).toEqual(["c1", "h1", "h2"]);
  });

  test("a cold overwrite leaves a hot value hot", () => {
    const store = storeFor(3);
    put(store, "h1");
    put(store, "h1", { cold: true });
    put(store, "c1", { cold: true });

    put(store, "h2");
    put(store, "h3");

    expect(keys(store)).toEqual(["h1", "h2", "h3"]);
  });

  test("never takes the value that is being overwritten by a larger one", () => {
    const store = storeFor(4);
    for (const key of ["k1", "k2", "k3", "k4"]) put(store, key);

    const larger = value("k1", lastVersion + 1, {
      value: new Uint8Array(2 * CHARGE - ENTRY_OVERHEAD_BYTES - VALUE_OVERHEAD_BYTES - 2),
    });
    store.merge(SLOT, larger, T0);

    expect(keys(store)).toEqual(["k1", "k3", "k4"]);
    expect(store.peek(SLOT, "k1")?.version).toBe(lastVersion + 1);
  });

  test("keeps working after a segment has been emptied and refilled", () => {
    const store = storeFor(3);
    for (let round = 1; round <= 3; round++) {
      for (const key of ["k1", "k2", "k3"]) put(store, key, { cold: true });
      for (const key of ["k1", "k2", "k3"]) store.get(SLOT, key, T0);
      store.clear(SLOT, lastVersion);
      expect(store.stats()).toMatchObject({ entries: 0, bytes: 0 });
    }
    for (const key of ["k1", "k2", "k3", "k4"]) put(store, key);

    expect(keys(store)).toEqual(["k2", "k3", "k4"]);
  });
});

describe("LruStore's accounting", () => {
  test("charges keys, values and a measured overhead, and gives all of it back", () => {
    const store = storeFor(10, { tombstoneShare: 0.5 });
    put(store, "k1");
    expect(store.stats().bytes).toBe(CHARGE);

    store.merge(SLOT, tombstone("k1", lastVersion + 1), T0);
    expect(store.stats().bytes).toBe(ENTRY_OVERHEAD_BYTES + 2);

    store.sweep(T0 + TOMBSTONE_TTL_MS, 1);
    expect(store.stats().bytes).toBe(0);
  });

  test("equals the sum over all entries, with tombstones within their share, after any sequence of merges", () => {
    const bytesMax = 20 * CHARGE;
    const tombstoneShare = 0.2;
    const merge = fc.record({
      key: fc.string({ minLength: 1, maxLength: 40 }),
      slot: fc.constantFrom(SLOT, OTHER_SLOT),
      version: fc.integer({ min: 1, max: 50 }),
      size: fc.option(fc.integer({ min: 0, max: 2 * CHARGE }), { nil: undefined }),
      expiresAt: fc.constantFrom(0, T0, T0 + 20),
      cold: fc.boolean(),
    });

    fc.assert(
      fc.property(fc.array(merge, { minLength: 20, maxLength: 100 }), (merges) => {
        const store = new LruStore({ bytesMax, tombstoneShare, tombstoneTtlMs: 10 }, TEST_HASHES);
        for (const [index, { slot, cold, size, ...fields }] of merges.entries()) {
          const content = size === undefined ? undefined : new Uint8Array(size);
          store.merge(slot, value(fields.key, fields.version, { ...fields, value: content }), T0 + index, {
            cold,
          });
          store.sweep(T0 + index, 1);

          const charged = chargedBytes(store);
          expect(store.stats().bytes).toBe(charged.all);
          expect(charged.all).toBeLessThanOrEqual(bytesMax);
          expect(charged.tombstones).toBeLessThanOrEqual(bytesMax * tombstoneShare);
        }
      }),
      { numRuns: 60 },
    );
  });

  function chargedBytes(store: LruStore): { all: number; tombstones: number } {
    const sum = { all: 0, tombstones: 0 };
    for (const slot of [SLOT, OTHER_SLOT]) {
      for (const entry of store.entries(slot)) {
        const base = ENTRY_OVERHEAD_BYTES + entry.key.length;
        if (entry.value === undefined) sum.tombstones += base;
        sum.all += entry.value === undefined ? base : base + VALUE_OVERHEAD_BYTES + entry.value.length;
      }
    }
    return sum;
  }

  test("holds a value in a buffer of its own, exactly as long", () => {
    const store = storeFor(10);
    store.merge(SLOT, value("k1", 1, { value: new Uint8Array(64 * 1024).subarray(5, 8) }), T0);

    expect(store.peek(SLOT, "k1")?.value?.buffer.byteLength).toBe(3);
  });
});

describe("new LruStore", () => {
  test.each([
    [{ bytesMax: 0 }, "bytesMax"],
    [{ bytesMax: 1.5 }, "bytesMax"],
    [{ bytesMax: Number.NaN }, "bytesMax"],
    [{ bytesMax: 1000, tombstoneShare: -0.1 }, "tombstoneShare"],
    [{ bytesMax: 1000, tombstoneShare: 0.6 }, "tombstoneShare"],
    [{ bytesMax: 1000, tombstoneShare: Number.NaN }, "tombstoneShare"],
    [{ bytesMax: 1000, tombstoneTtlMs: 0 }, "tombstoneTtlMs"],
  ])("refuses %j", (options, option) => {
    expect(() => new LruStore(options, TEST_HASHES)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_OPTION", details: { option } }),
    );
  });

  test("keeps tombstones for 15 minutes in a twentieth of the budget by default", () => {
    const store = new LruStore({ bytesMax: 20 * (ENTRY_OVERHEAD_BYTES + 2) }, TEST_HASHES);
    store.merge(SLOT, tombstone("k1", 1), T0);
    expect([store.stats().tombstones, store.sweep(T0, 1)]).toEqual([1, T0 + 15 * 60_000]);

    store.merge(SLOT, tombstone("k2", 2), T0 + 1);
    expect([store.stats().tombstones, store.floor(SLOT)]).toEqual([1, 1]);
  });

  test("accepts the first and the last slot", () => {
    const store = storeFor(4);
    for (const slot of [0, 16_383] as Slot[]) store.merge(slot, value("k1", 1), T0);

    expect([store.count(0 as Slot), store.count(16_383 as Slot)]).toEqual([1, 1]);
  });
});
