// What every store engine must do, whatever it is made of: the rules of store.ts as tables, then properties, among them one
// that compares the engine with the obvious store. An engine's own test file calls `describeStore` and adds what only it
// promises (which value is evicted next, how bytes are counted).

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import type { Slot } from "../../src/base/ids.ts";
import type { Entry } from "../../src/core/messages.ts";
import type { Store } from "../../src/core/store/store.ts";
import { ModelStore } from "./model-store.ts";

/** What the suite asks of the engine's constructor. */
export interface ContractStoreOptions {
  readonly bytesMax: number;
  readonly tombstoneShare: number;
  readonly tombstoneTtlMs: number;
}

export type MakeStore = (options: ContractStoreOptions, hashes: Hashes) => Store;

/** A wall clock's reading. */
export const T0 = 1_700_000_000_000;
export const SLOT = 7 as Slot;
export const OTHER_SLOT = 8 as Slot;
export const TOMBSTONE_TTL_MS = 1_000;
const ROOMY: ContractStoreOptions = {
  bytesMax: 16 * 1024 * 1024,
  tombstoneShare: 0.5,
  tombstoneTtlMs: TOMBSTONE_TTL_MS,
};

/** FNV-1a: spreads well enough for tests and needs no loading. */
export const TEST_HASHES: Hashes = {
  hash32(text, seed = 0) {
    let hash = 0x811c9dc5 ^ seed;
    for (let index = 0; index < text.length; index++)
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    return hash >>> 0;
  },
  hash64Hex: () => "0".repeat(16),
};

/** A value entry; `fields` replaces what matters to the test. */
export function value(key: string, version: number, fields: Partial<Entry> = {}): Entry {
  return {
    key,
    version,
    origin: 1,
    expiresAt: 0,
    format: 2,
    value: new Uint8Array([version % 256]),
    opClient: 5,
    opSeq: version,
    opAttempt: 1,
    ...fields,
  };
}

export function tombstone(key: string, version: number, fields: Partial<Entry> = {}): Entry {
  return value(key, version, { value: undefined, format: 0, ...fields });
}

/** Runs the suite against one engine. */
export function describeStore(name: string, makeStore: MakeStore): void {
  const make = (options: Partial<ContractStoreOptions> = {}): Store =>
    makeStore({ ...ROOMY, ...options }, TEST_HASHES);

  describe(`${name} as a Store`, () => {
    describeMerge(make);
    describeFloors(make);
    describeExpiry(make);
    describeSlots(make);
    describeSweep(make);
    describeBudget(make);
    describeOwnership(make);
    describeProperties(make);
  });
}

type Make = (options?: Partial<ContractStoreOptions>) => Store;

function describeMerge(make: Make): void {
  const held = value("k", 10, { origin: 5 });
  const rows: readonly [string, Entry, Entry, string][] = [
    ["a newer version over a value", held, value("k", 11, { origin: 1 }), "stored"],
    ["an equal version with a higher origin", held, value("k", 10, { origin: 6 }), "stored"],
    ["a newer tombstone over a value", held, tombstone("k", 11), "stored"],
    ["a newer value over a tombstone", tombstone("k", 10), value("k", 11), "stored"],
    ["a newer tombstone over a tombstone", tombstone("k", 10), tombstone("k", 11), "stored"],
    ["an older version over a value", held, value("k", 9, { origin: 9 }), "newer"],
    ["an equal version with a lower origin", held, value("k", 10, { origin: 4 }), "newer"],
    ["an older tombstone over a value", held, tombstone("k", 9), "newer"],
    ["an older value over a tombstone", tombstone("k", 10), value("k", 9), "newer"],
  ];

  test.each(rows)("merge decides by (version, origin): %s", (_, first, second, status) => {
    const store = make();
    store.merge(SLOT, first, T0);

    const result = store.merge(SLOT, second, T0);

    expect(result).toEqual(status === "stored" ? { status } : { status, heldVersion: first.version });
    expect(store.peek(SLOT, "k")).toEqual(status === "stored" ? second : first);
  });

  test("merge answers stored and changes nothing when exactly this version is held", () => {
    const store = make();
    store.merge(SLOT, held, T0);
    const before = store.stats();

    const result = store.merge(SLOT, { ...held, value: new Uint8Array(1000) }, T0);

    expect(result).toEqual({ status: "stored" });
    expect(store.peek(SLOT, "k")).toEqual(held);
    expect(store.stats()).toEqual(before);
  });

  test("merge keeps every field of an entry, and an empty value is a value", () => {
    const store = make();
    const entry = value("k", 2 ** 53 - 1, {
      origin: 2 ** 32 - 1,
      expiresAt: T0 + 5,
      format: 1,
      value: new Uint8Array(0),
      opClient: 2 ** 52,
      opSeq: 77,
      opAttempt: 3,
    });

    store.merge(SLOT, entry, T0);

    expect(store.get(SLOT, "k", T0)).toEqual(entry);
  });
}

function describeFloors(make: Make): void {
  test.each([
    { version: 9, floor: 10, status: "newer" },
    { version: 10, floor: 10, status: "newer" },
    { version: 11, floor: 10, status: "stored" },
    { version: 1, floor: 0, status: "stored" },
  ])(
    "merge of version $version under an absent key with floor $floor is $status",
    ({ version, floor, status }) => {
      const store = make();
      store.raiseFloor(SLOT, floor);

      const results = [
        store.merge(SLOT, value("a", version), T0),
        store.merge(SLOT, tombstone("b", version), T0),
      ];

      const expected = status === "stored" ? { status } : { status, heldVersion: floor };
      expect(results).toEqual([expected, expected]);
    },
  );

  test("merge lets a held key move on below the floor", () => {
    const store = make();
    store.merge(SLOT, value("k", 5), T0);
    store.raiseFloor(SLOT, 10);

    expect(store.merge(SLOT, value("k", 7), T0)).toEqual({ status: "stored" });
    expect(store.peek(SLOT, "k")?.version).toBe(7);
  });

  test("raiseFloor never lowers, and touches one slot only", () => {
    const store = make();
    store.raiseFloor(SLOT, 10);
    store.raiseFloor(SLOT, 4);

    expect([store.floor(SLOT), store.floor(OTHER_SLOT)]).toEqual([10, 0]);
    expect(store.clearedVersion(SLOT)).toBe(0);
  });

  test("dropping a tombstone at its time raises the floor to its version", () => {
    const store = make();
    store.merge(SLOT, tombstone("k", 10), T0);

    store.sweep(T0 + TOMBSTONE_TTL_MS - 1, 100);
    expect([store.stats().tombstones, store.floor(SLOT)]).toEqual([1, 0]);

    store.sweep(T0 + TOMBSTONE_TTL_MS, 100);
    expect([store.stats().tombstones, store.floor(SLOT)]).toEqual([0, 10]);
    expect(store.merge(SLOT, value("k", 9), T0).status).toBe("newer");
  });

  test("dropping tombstones early, over their share, raises the floor and takes the oldest first", () => {
    const store = make({ bytesMax: 200_000, tombstoneShare: 0.05 });
    let version = 0;
    while (store.floor(SLOT) === 0 && version < 1000) {
      version++;
      store.merge(SLOT, tombstone(`k${version}`, version), T0 + version);
    }

    expect(store.floor(SLOT)).toBe(1);
    expect(store.peek(SLOT, "k1")).toBeUndefined();
    expect(store.peek(SLOT, "k2")).toBeDefined();
    expect(store.merge(SLOT, value("k1", 1), T0).status).toBe("newer");
  });

  test("a delete holds even with no room at all for tombstones", () => {
    const store = make({ tombstoneShare: 0 });
    store.merge(SLOT, value("k", 9), T0);

    expect(store.merge(SLOT, tombstone("k", 10), T0)).toEqual({ status: "stored" });

    expect(store.peek(SLOT, "k")).toBeUndefined();
    expect(store.merge(SLOT, value("k", 9), T0)).toEqual({ status: "newer", heldVersion: 10 });
  });
}

function describeExpiry(make: Make): void {
  test.each([
    { wallMs: T0 + 99, isLive: true },
    { wallMs: T0 + 100, isLive: false },
    { wallMs: T0 + 101, isLive: false },
  ])("get at $wallMs of a value that expires at T0 + 100 hits: $isLive", ({ wallMs, isLive }) => {
    const store = make();
    store.merge(SLOT, value("k", 1, { expiresAt: T0 + 100 }), T0);

    expect(store.get(SLOT, "k", wallMs) !== undefined).toBe(isLive);
    expect(store.peek(SLOT, "k")?.value).toBeDefined();
  });

  test("get misses tombstones and absent keys", () => {
    const store = make();
    store.merge(SLOT, tombstone("k", 1), T0);

    expect(store.get(SLOT, "k", T0)).toBeUndefined();
    expect(store.get(SLOT, "absent", T0)).toBeUndefined();
    expect(store.peek(SLOT, "absent")).toBeUndefined();
  });

  test("an expired value becomes a tombstone of its version, kept for the tombstone time after its expiry", () => {
    const store = make();
    const entry = value("k", 10, { expiresAt: T0 + 100 });
    store.merge(SLOT, entry, T0);

    const nextDue = store.sweep(T0 + 300, 100);

    expect(store.peek(SLOT, "k")).toEqual({ ...entry, value: undefined, format: 0, expiresAt: 0 });
    expect(nextDue).toBe(T0 + 100 + TOMBSTONE_TTL_MS);
    expect(store.stats()).toMatchObject({ entries: 0, tombstones: 1, expirationsTotal: 1 });
    expect(store.merge(SLOT, value("k", 9), T0 + 300).status).toBe("newer");
  });

  test("an entry that arrives expired is kept as a tombstone of its version", () => {
    const store = make();
    store.merge(SLOT, value("k", 9), T0);

    const result = store.merge(SLOT, value("k", 10, { expiresAt: T0 }), T0);

    expect(result).toEqual({ status: "stored" });
    expect(store.peek(SLOT, "k")).toMatchObject({ version: 10, value: undefined, expiresAt: 0 });
    expect(store.count(SLOT)).toBe(0);
  });

  test("the tombstone of an entry that arrives expired is kept from its expiry, not from its arrival", () => {
    const store = make();
    store.merge(SLOT, value("k", 10, { expiresAt: T0 - 200 }), T0);

    expect(store.sweep(T0, 100)).toBe(T0 - 200 + TOMBSTONE_TTL_MS);
  });

  test("overwriting an expiring value takes its deadline away", () => {
    const store = make();
    store.merge(SLOT, value("k", 1, { expiresAt: T0 + 100 }), T0);
    store.merge(SLOT, value("k", 2), T0);

    expect(store.sweep(T0 + 200, 100)).toBe(Number.POSITIVE_INFINITY);
    expect(store.get(SLOT, "k", T0 + 200)?.version).toBe(2);
  });
}

function describeSlots(make: Make): void {
  function filled(): Store {
    const store = make();
    store.merge(SLOT, value("a", 1), T0);
    store.merge(SLOT, value("b", 2), T0);
    store.merge(SLOT, tombstone("c", 3), T0);
    store.merge(SLOT, value("d", 4), T0);
    store.merge(OTHER_SLOT, value("e", 1), T0);
    return store;
  }

  test("entries, count and digest tell about one slot, tombstones in all but the count", () => {
    const store = filled();

    expect(keysOf(store, SLOT)).toEqual(["a", "b", "c", "d"]);
    expect([store.count(SLOT), store.digest(SLOT).count]).toEqual([3, 4]);
    expect(keysOf(store, OTHER_SLOT)).toEqual(["e"]);
    expect([store.count(9 as Slot), store.digest(9 as Slot)]).toEqual([0, { sum: 0, count: 0 }]);
  });

  test("clear removes up to its version, counts live values, and refuses what comes late", () => {
    const store = filled();

    expect(store.clear(SLOT, 3)).toBe(2);

    expect(keysOf(store, SLOT)).toEqual(["d"]);
    expect([store.floor(SLOT), store.clearedVersion(SLOT)]).toEqual([3, 3]);
    expect(store.merge(SLOT, value("a", 3), T0)).toEqual({ status: "newer", heldVersion: 3 });
    expect(store.clear(SLOT, 2)).toBe(0);
    expect([store.floor(SLOT), store.clearedVersion(SLOT)]).toEqual([3, 3]);
    expect(keysOf(store, OTHER_SLOT)).toEqual(["e"]);
  });

  test("drop forgets the slot, floors included, and nothing else", () => {
    const store = filled();
    store.clear(SLOT, 3);

    store.drop(SLOT);

    expect([store.floor(SLOT), store.clearedVersion(SLOT), store.count(SLOT)]).toEqual([0, 0, 0]);
    expect(store.digest(SLOT)).toEqual({ sum: 0, count: 0 });
    expect(store.merge(SLOT, value("a", 1), T0)).toEqual({ status: "stored" });
    expect(store.stats()).toMatchObject({ entries: 2, tombstones: 0 });
  });

  test("drop of every slot leaves no byte accounted for and nothing due", () => {
    const store = filled();
    store.merge(SLOT, value("f", 9, { expiresAt: T0 + 5 }), T0);

    store.drop(SLOT);
    store.drop(OTHER_SLOT);

    expect(store.stats()).toMatchObject({ entries: 0, tombstones: 0, bytes: 0 });
    expect(store.sweep(T0, 1)).toBe(Number.POSITIVE_INFINITY);
  });

  test("digest does not depend on the order of arrival, nor on who has noticed an expiry", () => {
    const [one, two] = [make(), make()];
    const a = value("a", 2 ** 50 + 3, { expiresAt: T0 + 10 });
    for (const entry of [a, value("b", 4), tombstone("c", 5)]) one.merge(SLOT, entry, T0);
    for (const entry of [tombstone("c", 5), value("b", 3), value("b", 4), a]) two.merge(SLOT, entry, T0);
    one.sweep(T0 + 10, 100);

    expect(one.digest(SLOT)).toEqual(two.digest(SLOT));
  });

  test.each([
    ["key", value("b", 5, { origin: 3 })],
    ["version", value("a", 6, { origin: 3 })],
    ["version beyond 32 bits", value("a", 5 + 2 ** 40, { origin: 3 })],
    ["origin", value("a", 5, { origin: 4 })],
  ])("digest differs when only the %s does", (_, entry) => {
    const [one, two] = [make(), make()];
    one.merge(SLOT, value("a", 5, { origin: 3 }), T0);
    two.merge(SLOT, entry, T0);

    expect(one.digest(SLOT).sum).not.toBe(two.digest(SLOT).sum);
  });
}

function describeSweep(make: Make): void {
  test("sweep does at most its budget, and says when to come back", () => {
    const store = make();
    for (let index = 0; index < 5; index++) {
      store.merge(SLOT, value(`k${index}`, index + 1, { expiresAt: T0 + 10 + index }), T0);
    }

    expect(store.sweep(T0 + 100, 2)).toBeLessThanOrEqual(T0 + 12);
    expect([store.count(SLOT), store.stats().tombstones]).toEqual([3, 2]);
    expect(store.peek(SLOT, "k1")?.value).toBeUndefined();
    expect(store.peek(SLOT, "k2")?.value).toBeDefined();

    expect(store.sweep(T0 + 100, 2)).toBeLessThanOrEqual(T0 + 14);
    expect(store.sweep(T0 + 100, 4)).toBe(T0 + 10 + TOMBSTONE_TTL_MS);
    expect([store.count(SLOT), store.stats().tombstones]).toEqual([0, 5]);
  });

  test("sweep does nothing before its time, and nothing with a budget of 0", () => {
    const store = make();
    store.merge(SLOT, value("k", 1, { expiresAt: T0 + 10 }), T0);

    expect(store.sweep(T0 + 9, 100)).toBe(T0 + 10);
    expect(store.sweep(T0 + 50, 0)).toBe(T0 + 10);
    expect(store.count(SLOT)).toBe(1);
  });

  test("sweep has nothing to do in a store without expiries and tombstones", () => {
    const store = make();
    store.merge(SLOT, value("k", 1), T0);

    expect(store.sweep(T0 + 1e12, 100)).toBe(Number.POSITIVE_INFINITY);
  });
}

function describeBudget(make: Make): void {
  const bytesMax = 200_000;

  /** Merges values of `size` bytes under `prefix` until `bytes` of them have gone in. */
  function fill(store: Store, prefix: string, { bytes, cold }: { bytes: number; cold: boolean }): number {
    const size = 1000;
    const count = Math.ceil(bytes / size);
    for (let index = 0; index < count; index++) {
      const entry = value(`${prefix}${index}`, index + 1, { value: new Uint8Array(size) });
      expect(store.merge(SLOT, entry, T0, { cold })).toEqual({ status: "stored" });
    }
    return count;
  }

  test("merge evicts values for space, which leaves no tombstone, and the newest version as the floor", () => {
    const store = make({ bytesMax });
    const count = fill(store, "k", { bytes: 10 * bytesMax, cold: false });

    const stats = store.stats();
    expect(stats.bytes).toBeLessThanOrEqual(bytesMax);
    expect(stats.bytes).toBeGreaterThan(bytesMax / 2);
    expect(stats.evictionsTotal).toBeGreaterThan(1000);
    const floor = store.floor(SLOT);
    expect(stats.tombstones).toBe(0);
    expect(floor).toBeGreaterThan(0);
    expect(floor).toBeLessThanOrEqual(count);
    expect(store.merge(SLOT, value("k0", 1), T0)).toEqual({ status: "newer", heldVersion: floor });
    expect(store.merge(SLOT, value("k0", count + 1), T0)).toEqual({ status: "stored" });
  });

  test("cold entries, however many, do not push out what callers use", () => {
    const store = make({ bytesMax });
    const used = fill(store, "used", { bytes: bytesMax / 4, cold: false });
    for (let index = 0; index < used; index++) store.get(SLOT, `used${index}`, T0);
    fill(store, "cold", { bytes: 10 * bytesMax, cold: true });

    const kept = keysOf(store, SLOT).filter((key) => key.startsWith("used"));
    expect(kept).toHaveLength(used);
  });

  test("tombstones do not push out values beyond their share", () => {
    const store = make({ bytesMax, tombstoneShare: 0.05 });
    fill(store, "k", { bytes: bytesMax * 2, cold: false });
    const before = store.stats();
    for (let index = 0; index < 2000; index++) store.merge(OTHER_SLOT, tombstone(`t${index}`, index + 1), T0);

    const after = store.stats();
    expect(after.bytes).toBeLessThanOrEqual(bytesMax);
    expect(after.entries).toBeGreaterThanOrEqual(Math.floor(before.entries * 0.9));
    expect(after.tombstones).toBeGreaterThan(0);
  });

  test.each([
    { name: "more than the whole budget", size: bytesMax + 1, status: "full" },
    { name: "more than half of it", size: bytesMax / 2 + 1, status: "full" },
    { name: "a third of it", size: bytesMax / 3, status: "stored" },
  ])("merge of a value that takes $name is $status", ({ size, status }) => {
    const store = make({ bytesMax });
    store.merge(SLOT, value("k", 1), T0);

    const result = store.merge(SLOT, value("k", 2, { value: new Uint8Array(size) }), T0);

    expect(result).toEqual({ status });
    expect(store.peek(SLOT, "k")?.version).toBe(status === "stored" ? 2 : 1);
    expect(store.stats().bytes).toBeLessThanOrEqual(bytesMax);
  });

  test("merge of a value that is too large but already expired is stored as a tombstone", () => {
    const store = make({ bytesMax });
    const entry = value("k", 2, { value: new Uint8Array(bytesMax), expiresAt: T0 });

    expect(store.merge(SLOT, entry, T0)).toEqual({ status: "stored" });
    expect(store.peek(SLOT, "k")?.value).toBeUndefined();
  });
}

function describeOwnership(make: Make): void {
  test("merge copies the bytes: what the caller does to its frame later changes nothing", () => {
    const store = make();
    const frame = new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]);
    store.merge(SLOT, value("k", 1, { value: frame.subarray(2, 5) }), T0);

    frame.fill(9);

    expect(store.get(SLOT, "k", T0)?.value).toEqual(new Uint8Array([2, 3, 4]));
  });

  test("merge keeps none of a pooled Buffer", () => {
    const store = make();
    const pooled = Buffer.from("hello");
    store.merge(SLOT, value("k", 1, { value: pooled }), T0);

    pooled.fill(0);

    const held = store.get(SLOT, "k", T0)?.value;
    expect(held).toEqual(new TextEncoder().encode("hello"));
    expect(held?.buffer).not.toBe(pooled.buffer);
  });
}

function describeProperties(make: Make): void {
  const slotOf = (key: string): Slot => (key < "c" ? SLOT : OTHER_SLOT);
  const keys = ["a", "b", "c", "d"];
  const key = fc.constantFrom(...keys);
  const slot = fc.constantFrom(SLOT, OTHER_SLOT);
  const version = fc.integer({ min: 1, max: 12 });
  const entry: fc.Arbitrary<Entry> = fc
    .record({
      key,
      version,
      origin: fc.integer({ min: 1, max: 2 }),
      content: fc.option(fc.uint8Array({ maxLength: 4 }), { nil: undefined }),
      ttlMs: fc.option(fc.integer({ min: 0, max: 800 }), { nil: undefined }),
    })
    .map(({ content, ttlMs, ...rest }) => {
      if (content === undefined) return tombstone(rest.key, rest.version, rest);
      return value(rest.key, rest.version, {
        ...rest,
        value: content,
        expiresAt: ttlMs === undefined ? 0 : T0 + ttlMs,
      });
    });

  test("holds what the obvious store holds after any sequence of calls", () => {
    const command = fc.oneof(
      { weight: 8, arbitrary: fc.record({ type: fc.constant("merge"), entry, cold: fc.boolean() }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("get"), key }) },
      {
        weight: 3,
        arbitrary: fc.record({ type: fc.constant("sweep"), ms: fc.integer({ min: 0, max: 600 }) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("raiseFloor"), slot, version }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("clear"), slot, version }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("drop"), slot }) },
    );
    type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

    function apply(store: Store, step: Command, wallMs: number): unknown {
      if ("entry" in step)
        return store.merge(slotOf(step.entry.key), step.entry, wallMs, { cold: step.cold });
      if ("key" in step) return store.get(slotOf(step.key), step.key, wallMs);
      if ("ms" in step) return void store.sweep(wallMs, 1000);
      if ("version" in step && step.type === "clear") return store.clear(step.slot, step.version);
      if ("version" in step) return store.raiseFloor(step.slot, step.version);
      return store.drop(step.slot);
    }

    function observe(store: Store, wallMs: number): unknown {
      const { entries, tombstones, expirationsTotal } = store.stats();
      return {
        slots: [SLOT, OTHER_SLOT].map((each) => ({
          entries: [...store.entries(each)].sort((a, b) => (a.key < b.key ? -1 : 1)),
          heads: [...store.heads(each)].sort((a, b) => (a.key < b.key ? -1 : 1)),
          count: store.count(each),
          digest: store.digest(each),
          floor: store.floor(each),
          cleared: store.clearedVersion(each),
        })),
        peeks: keys.map((each) => store.peek(slotOf(each), each)),
        gets: keys.map((each) => store.get(slotOf(each), each, wallMs)),
        heads: keys.map((each) => store.head(slotOf(each), each)),
        stats: { entries, tombstones, expirationsTotal },
      };
    }

    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (steps) => {
        const store = make();
        const model = new ModelStore({ tombstoneTtlMs: TOMBSTONE_TTL_MS }, TEST_HASHES);
        let wallMs = T0;
        for (const step of steps) {
          if ("ms" in step) wallMs += step.ms;
          expect(apply(store, step, wallMs)).toEqual(apply(model, step, wallMs));
          expect(observe(store, wallMs)).toEqual(observe(model, wallMs));
        }
      }),
      { numRuns: 200 },
    );
  });

  test("stays within its budget and counts right after any sequence of merges", () => {
    const bytesMax = 30_000;
    const merge = fc.record({
      key: fc.integer({ min: 0, max: 60 }),
      version: fc.integer({ min: 1, max: 1000 }),
      size: fc.option(fc.integer({ min: 0, max: 12_000 }), { nil: undefined }),
      ttlMs: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
      cold: fc.boolean(),
    });

    fc.assert(
      fc.property(fc.array(merge, { maxLength: 120 }), (merges) => {
        const store = make({ bytesMax, tombstoneShare: 0.1 });
        for (const [index, { key: name, version: at, size, ttlMs, cold }] of merges.entries()) {
          const content = size === undefined ? undefined : new Uint8Array(size);
          const expiresAt = ttlMs === undefined || size === undefined ? 0 : T0 + ttlMs;
          const each = value(`k${name}`, at, { value: content, expiresAt });
          store.merge(SLOT, each, T0 + index, { cold });
          if (index % 7 === 0) store.sweep(T0 + index, 2);

          const stats = store.stats();
          expect(stats.bytes).toBeLessThanOrEqual(bytesMax);
          expect(stats.entries + stats.tombstones).toBe([...store.entries(SLOT)].length);
          expect(stats.entries).toBe(store.count(SLOT));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a deleted value never comes back, whatever the order and repetition of arrivals and sweeps", () => {
    const history = fc.uniqueArray(entry, {
      minLength: 1,
      maxLength: 14,
      selector: (each) => `${each.key} ${each.version} ${each.origin}`,
    });
    const arrivals = history.chain((versions) =>
      fc.record({
        versions: fc.constant(versions),
        // Every version at least once, in any order, some of them again.
        order: fc
          .array(fc.constantFrom(...versions), { maxLength: 14 })
          .chain((again) =>
            fc.shuffledSubarray([...versions, ...again], { minLength: versions.length + again.length }),
          ),
        sweepEvery: fc.integer({ min: 1, max: 5 }),
        // From none to a handful of tombstones at a time.
        tombstoneShare: fc.constantFrom(0, 0.0001, 0.0003, 0.5),
      }),
    );

    fc.assert(
      fc.property(arrivals, ({ versions, order, sweepEvery, tombstoneShare }) => {
        const store = make({ tombstoneShare });
        let wallMs = T0;
        for (const [index, each] of order.entries()) {
          wallMs += 100;
          store.merge(slotOf(each.key), each, wallMs);
          if (index % sweepEvery === 0) store.sweep(wallMs, 1);
        }
        expectNewestOrNothing(store, versions);

        // Long after, nothing but floors is left of the deletes; then everything comes once more.
        wallMs += 1e6;
        store.sweep(wallMs, 1000);
        expect(store.stats().tombstones).toBe(0);
        for (const each of order) store.merge(slotOf(each.key), each, wallMs);

        expectNewestOrNothing(store, versions);
        for (const each of newestPerKey(versions)) {
          if (each.value === undefined) expect(store.get(slotOf(each.key), each.key, wallMs)).toBeUndefined();
        }
      }),
      { numRuns: 300 },
    );
  });

  function newestPerKey(versions: readonly Entry[]): Entry[] {
    const newest = new Map<string, Entry>();
    for (const each of versions) {
      const best = newest.get(each.key);
      if (
        best === undefined ||
        each.version > best.version ||
        (each.version === best.version && each.origin > best.origin)
      )
        newest.set(each.key, each);
    }
    return [...newest.values()];
  }

  /** Under each key there is its newest version or, where a floor came first, nothing: never an older one. */
  function expectNewestOrNothing(store: Store, versions: readonly Entry[]): void {
    for (const { key: name, version: newest, origin } of newestPerKey(versions)) {
      const held = store.peek(slotOf(name), name);
      if (held !== undefined) expect([held.version, held.origin]).toEqual([newest, origin]);
    }
  }
}

function keysOf(store: Store, slot: Slot): string[] {
  return [...store.entries(slot)].map((entry) => entry.key).sort();
}
