// The off-heap engine: the contract of all engines, then what only it has to get right: records of every size across the ends of
// tiny segments, cleaning and eviction underneath what is held, slots dropped faster than they are buried, harmed headers.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AssertionError } from "../../../src/base/assert.ts";
import type { Slot } from "../../../src/base/ids.ts";
import type { Entry } from "../../../src/core/messages.ts";
import { Holdings } from "../../../src/core/store/holdings.ts";
import { KeyBuffer } from "../../../src/core/store/key-buffer.ts";
import { SMALL } from "../../../src/core/store/log.ts";
import { LruStore } from "../../../src/core/store/lru-store.ts";
import { SegmentPool } from "../../../src/core/store/segment-pool.ts";
import { SegmentStore } from "../../../src/core/store/segment-store.ts";
import type { Store, StoreWatch } from "../../../src/core/store/store.ts";
import { ModelStore } from "../../contract/model-store.ts";
import {
  describeStore,
  SLOT,
  T0,
  TEST_HASHES,
  TOMBSTONE_TTL_MS,
  tombstone,
  value,
} from "../../contract/store-contract.ts";

describeStore("SegmentStore", (options, hashes) => new SegmentStore(options, hashes));
describeStore(
  "SegmentStore with tiny segments",
  (options, hashes) => new SegmentStore({ ...options, segmentBytes: 1024 }, hashes),
);

/** Bytes that tell where they belong: a chunk in the wrong place shows. */
function bytesOf(seed: number, length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (seed * 31 + index * 7 + (index >> 8)) & 0xff);
}

const KEYS = Array.from({ length: 24 }, (_, index) => `${"k".repeat(1 + ((index * 7) % 60))}${index}`);
KEYS.push("schlüssel", "鍵", "🗝", "🗝".repeat(20), "lone\ud800", "lone\ufffd", "");
const slotOf = (key: string): Slot => (3 + (key.length % 3)) as Slot;
const SLOTS = [3, 4, 5] as Slot[];

const key = fc.constantFrom(...KEYS);
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 60 }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 700 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 9_000 }) },
);
const command = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      type: fc.constant("merge" as const),
      key,
      size: fc.option(size, { nil: undefined, freq: 6 }),
      ttlMs: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
      attempt: fc.constantFrom(1, 1, 1, 2047, 2048, 2 ** 32 - 1),
      opSeq: fc.constantFrom(7, 2 ** 33, 2 ** 43 - 1, 2 ** 43, 2 ** 53 - 1),
      cold: fc.boolean(),
    }),
  },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("get" as const), key }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("sweep" as const),
      ms: fc.integer({ min: 0, max: 200 }),
      budget: fc.integer({ min: 0, max: 50 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("clear" as const),
      slot: fc.constantFrom(...SLOTS),
      back: fc.integer({ min: 0, max: 12 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("drop" as const), slot: fc.constantFrom(...SLOTS) }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** Carries a command out on several stores alike; versions only rise. Returns their answers. */
class Player {
  version = 10;
  wallMs = T0;
  readonly #stores: readonly Store[];

  constructor(stores: readonly Store[]) {
    this.#stores = stores;
  }

  play(step: Command): unknown[] {
    if (step.type === "merge") {
      this.version++;
      const { ttlMs, attempt: opAttempt, opSeq } = step;
      const content = step.size === undefined ? undefined : bytesOf(this.version, step.size);
      const expiresAt = content === undefined || ttlMs === undefined ? 0 : this.wallMs + ttlMs;
      const entry =
        content === undefined
          ? tombstone(step.key, this.version, { opAttempt, opSeq })
          : value(step.key, this.version, { value: content, expiresAt, opAttempt, opSeq });
      return this.#stores.map((store) =>
        store.merge(slotOf(step.key), entry, this.wallMs, { cold: step.cold }),
      );
    }
    if (step.type === "get")
      return this.#stores.map((store) => store.get(slotOf(step.key), step.key, this.wallMs));
    if (step.type === "clear")
      return this.#stores.map((store) => store.clear(step.slot, this.version - step.back));
    if (step.type === "drop") return this.#stores.map((store) => store.drop(step.slot));
    this.wallMs += step.ms;
    this.#stores.map((store) => store.sweep(this.wallMs, step.budget));
    return [];
  }
}

/** Expired values count as tombstones of theirs: engines notice expiry at different times. */
function seen(entry: Entry | undefined, wallMs: number): unknown {
  if (entry === undefined) return undefined;
  const isOver = entry.expiresAt !== 0 && entry.expiresAt <= wallMs;
  return isOver ? { ...entry, value: undefined, format: 0, expiresAt: 0 } : entry;
}

function heldBy(store: Store, slot: Slot, wallMs: number): unknown[] {
  const entries = [...store.entries(slot)].sort((a, b) => (a.key < b.key ? -1 : 1));
  return entries.map((entry) => seen(entry, wallMs));
}

describe("SegmentStore against the engine on lru-cache", () => {
  test("answers alike after any sequence of calls while nothing has to be evicted, whatever is cleaned", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 150 }), (steps) => {
        const options = { bytesMax: 2_000_000, tombstoneShare: 0.5, tombstoneTtlMs: 1e9 };
        const segments = new SegmentStore({ ...options, segmentBytes: 512 }, TEST_HASHES);
        const lru = new LruStore(options, TEST_HASHES);
        const player = new Player([segments, lru]);
        for (const step of steps) {
          // A clear counts the expired values that were not noticed yet, and engines notice at different times.
          if (step.type === "clear" || step.type === "drop")
            for (const store of [segments, lru]) store.sweep(player.wallMs, 1e6);
          const [one, other] = player.play(step);
          expect(one).toEqual(other);
        }
        segments.sweep(player.wallMs, 1e6);
        lru.sweep(player.wallMs, 1e6);
        for (const slot of SLOTS) {
          expect(heldBy(segments, slot, player.wallMs)).toEqual(heldBy(lru, slot, player.wallMs));
          expect(segments.digest(slot)).toEqual(lru.digest(slot));
          expect(segments.count(slot)).toBe(lru.count(slot));
          expect(segments.floor(slot)).toBe(lru.floor(slot));
        }
      }),
      { numRuns: 150 },
    );
  });

  test("holds nothing but what was put there last, within its budget, while it cleans and evicts all the time", () => {
    fc.assert(
      fc.property(
        fc.array(command, { minLength: 50, maxLength: 400 }),
        fc.constantFrom(24_000, 40_000, 80_000),
        (steps, bytesMax) => {
          const store = new SegmentStore(
            { bytesMax, tombstoneShare: 0.2, tombstoneTtlMs: 600, segmentBytes: 512 },
            TEST_HASHES,
          );
          const model = new ModelStore({ tombstoneTtlMs: 600 }, TEST_HASHES);
          const player = new Player([store, model]);
          for (const step of steps) {
            player.play(step);
            expect(store.stats().bytes).toBeLessThanOrEqual(bytesMax);
          }
          expectSubset(store, model, player.wallMs);
        },
      ),
      { numRuns: 150 },
    );
  });

  /** Each key is held as in the model, or not at all; counts and digests are those of what is held. */
  function expectSubset(store: Store, model: Store, wallMs: number): void {
    let entries = 0;
    for (const slot of SLOTS) {
      const held = [...store.entries(slot)];
      for (const entry of held) {
        const expected = model.peek(slot, entry.key);
        // The model drops tombstones at their time, which the store may not have noticed.
        if (expected !== undefined) expect(seen(entry, wallMs)).toEqual(seen(expected, wallMs));
        else expect(seen(entry, wallMs)).toMatchObject({ value: undefined });
        expect(store.peek(slot, entry.key)).toEqual(entry);
      }
      const copy = new ModelStore({ tombstoneTtlMs: 1 }, TEST_HASHES);
      for (const entry of held) copy.merge(slot, entry, 0);
      expect(store.digest(slot)).toEqual(copy.digest(slot));
      expect(store.count(slot)).toBe(held.filter((entry) => entry.value !== undefined).length);
      entries += store.count(slot);
    }
    expect(store.stats().entries).toBe(entries);
  }
});

describe("SegmentStore", () => {
  const tiny = (bytesMax: number) =>
    new SegmentStore({ bytesMax, segmentBytes: 512, tombstoneTtlMs: TOMBSTONE_TTL_MS }, TEST_HASHES);

  test("keeps what was read as it was, whatever happens to the store meanwhile", () => {
    const store = tiny(40_000);
    const lengths = [0, 1, 31, 100, 2_000];
    for (const [index, length] of lengths.entries())
      store.merge(SLOT, value(`k${index}`, 1, { value: bytesOf(index, length) }), T0);
    const read = lengths.map((_, index) => store.get(SLOT, `k${index}`, T0)!.value!);

    for (let round = 2; round < 300; round++)
      for (const [index, length] of lengths.entries())
        store.merge(SLOT, value(`k${index}`, round, { value: bytesOf(round, length + (round % 3)) }), T0);
    store.drop(SLOT);

    for (const [index, length] of lengths.entries()) expect(read[index]).toEqual(bytesOf(index, length));
  });

  test("giveBack uses the memory of what get answered again, and never that of what peek answered", () => {
    const store = new SegmentStore({ bytesMax: 64_000_000 }, TEST_HASHES);
    for (const length of [10_000, 20_000]) {
      store.merge(SLOT, value("a", length, { value: bytesOf(1, length) }), T0);
      store.merge(SLOT, value("b", length, { value: bytesOf(2, length) }), T0);
      const peeked = store.peek(SLOT, "a")!.value!;
      const got = store.get(SLOT, "a", T0)!.value!;

      store.giveBack(peeked);
      store.giveBack(got);
      const [first, second] = [store.get(SLOT, "b", T0)!.value!, store.get(SLOT, "b", T0)!.value!];

      expect(first.buffer).toBe(got.buffer);
      expect(second.buffer).not.toBe(got.buffer);
      expect([first, second, peeked]).toEqual([bytesOf(2, length), bytesOf(2, length), bytesOf(1, length)]);
    }
  });

  test("drops slots with many entries over and over, and holds nothing of what was dropped", () => {
    const store = tiny(400_000);
    for (let round = 1; round <= 600; round++) {
      for (let index = 0; index < 12; index++) store.merge(SLOT, value(`k${index}`, round), T0);
      store.drop(SLOT);
      expect(store.peek(SLOT, "k3")).toBeUndefined();
      if (round === 400) store.sweep(T0, 5);
    }
    store.merge(SLOT, value("k3", 1), T0);
    while (store.sweep(T0, 100) <= T0);

    expect([...store.entries(SLOT)].map((entry) => entry.key)).toEqual(["k3"]);
    expect(store.stats()).toMatchObject({ entries: 1, tombstones: 0 });
    expect(store.stats().bytes).toBeLessThanOrEqual(2 * 512);
  });

  test("holds a hundred thousand keys of one slot, and lets them go again", () => {
    const store = new SegmentStore({ bytesMax: 32 * 1024 * 1024 }, TEST_HASHES);
    const count = 100_000;
    for (let index = 0; index < count; index++) store.merge(SLOT, value(`{tag}${index}`, 1), T0);

    expect(store.count(SLOT)).toBe(count);
    for (let index = 0; index < count; index += 997)
      expect(store.peek(SLOT, `{tag}${index}`)?.key).toBe(`{tag}${index}`);
    expect(new Set([...store.entries(SLOT)].map((entry) => entry.key)).size).toBe(count);
    expect(store.clear(SLOT, 1)).toBe(count);
    while (store.sweep(T0, 1000) <= T0);
    expect(store.stats().bytes).toBe(0);
  });

  test("refuses keys whose hashes are all alike when there are too many, and goes on", () => {
    const hashes = { ...TEST_HASHES, hash32: () => 7 };
    const store = new SegmentStore({ bytesMax: 4 * 1024 * 1024 }, hashes);
    const statuses = Array.from(
      { length: 2_000 },
      (_, index) => store.merge(SLOT, value(`k${index}`, 1), T0).status,
    );

    expect(statuses.filter((status) => status === "stored").length).toBeGreaterThan(1_000);
    expect(statuses.at(-1)).toBe("full");
    expect(store.peek(SLOT, "k1")).toEqual(value("k1", 1));
    expect(store.merge(SLOT, tombstone("new", 5), T0)).toEqual({ status: "stored" });
    expect(store.floor(SLOT)).toBe(5);
  });

  test("reuses the memory of large values for small ones and the reverse", () => {
    const bytesMax = 1_000_000;
    const store = new SegmentStore({ bytesMax, segmentBytes: 4096 }, TEST_HASHES);
    const fill = (prefix: string, length: number, count: number) => {
      for (let index = 0; index < count; index++)
        store.merge(SLOT, value(`${prefix}${index}`, 1, { value: bytesOf(index, length) }), T0);
      let held = 0;
      for (const entry of store.entries(SLOT)) held += entry.key.length + (entry.value?.length ?? 0);
      return held / bytesMax;
    };

    const shares = [fill("large", 100_000, 40), fill("small", 100, 40_000), fill("again", 100_000, 200)];

    expect(shares[0]).toBeGreaterThan(0.6);
    expect(shares[1]).toBeGreaterThan(0.5);
    expect(shares[2]).toBeGreaterThan(0.5);
    expect(store.stats().bytes).toBeLessThanOrEqual(bytesMax);
  });

  test("keeps within what others leave of the budget, and takes it again when they give it back", () => {
    const store = tiny(100_000);
    const fill = (from: number) => {
      for (let index = from; index < from + 3_000; index++)
        store.merge(SLOT, value(`k${index}`, index + 1), T0);
      return store.stats().bytes;
    };
    expect(fill(0)).toBeGreaterThan(90_000);

    expect(store.reserve(25_000)).toBe(true);
    expect(store.reserve(25_001)).toBe(false);
    expect(fill(3_000)).toBeLessThanOrEqual(75_000);

    expect(store.reserve(0)).toBe(true);
    expect(fill(6_000)).toBeGreaterThan(90_000);
  });

  test.each([
    ["bytesMax", { bytesMax: 0 }],
    ["bytesMax", { bytesMax: 2 ** 36 }],
    ["tombstoneShare", { bytesMax: 1e6, tombstoneShare: 0.6 }],
    ["tombstoneTtlMs", { bytesMax: 1e6, tombstoneTtlMs: 0 }],
    ["segmentBytes", { bytesMax: 1e6, segmentBytes: 1000 }],
    ["segmentBytes", { bytesMax: 1e6, segmentBytes: 256 }],
  ])("refuses %s out of range", (name, options) => {
    expect(() => new SegmentStore(options, TEST_HASHES)).toThrow(name);
  });

  test.each([1, 100, 3_000, 6_000])(
    "with a budget of %i bytes stores or refuses, and forgets no delete",
    (bytesMax) => {
      const store = tiny(bytesMax);
      for (let version = 1; version < 60; version++) {
        const each =
          version % 3 === 0 ? tombstone(`k${version % 7}`, version) : value(`k${version % 7}`, version);
        const { status } = store.merge(SLOT, each, T0);
        if (each.value === undefined) expect(status).toBe("stored");
        expect(store.stats().bytes).toBeLessThanOrEqual(bytesMax);
        if (each.value === undefined)
          expect(store.merge(SLOT, value(`k${version % 7}`, version - 1), T0).status).toBe("newer");
      }
    },
  );
});

describe("Holdings", () => {
  /** The bits that say how often an entry was used: any value of them is right. */
  const USES = 0b11_0000;

  test.each([
    ["a value", value("some key", 2 ** 40 + 5, { expiresAt: T0 }), 11],
    ["a tombstone", tombstone("some key", 2 ** 40 + 5), 9],
    ["a value in chunks", value("some key", 7, { value: bytesOf(1, 3_000), opSeq: 2 ** 50 }), 13],
  ])("asserts that the header of %s is whole: no bit of it can change unnoticed", (_, entry, headerWords) => {
    const pool = new SegmentPool(1024, 16);
    const holdings = new Holdings(pool);
    const key = new KeyBuffer(TEST_HASHES);
    key.set(entry.key);
    const { hash } = key;
    const put = {
      slot: SLOT,
      hash,
      key,
      entry,
      queue: SMALL,
      uses: 0,
      dueMs: entry.expiresAt,
      replaced: 0,
    } as const;
    holdings.put(put);
    const ref = holdings.find(SLOT, hash, key);
    const words = holdings.log.wordsOf(ref);
    const at = holdings.log.wordOf(ref);

    for (let bit = 0; bit < 32 * headerWords; bit++) {
      const mask = 1 << (bit % 32);
      const word = at + (bit >> 5);
      if (word === at && (mask & USES) !== 0) continue;
      words[word] = words[word]! ^ mask;
      expect(() => holdings.find(SLOT, hash, key), `bit ${bit}`).toThrow(AssertionError);
      words[word] = words[word]! ^ mask;
    }
    expect(holdings.entryOf(holdings.find(SLOT, hash, key), entry.key)).toEqual(entry);
  });
});

describe("SegmentStore's steps", () => {
  test("stay short while it fills, cleans and evicts: a merge moves or evicts at most a segment's worth of records", () => {
    // 1,024 segments of 4 KiB, some 30 records each: the same proportions as a gigabyte in segments of 256 KiB.
    const store = new SegmentStore({ bytesMax: 4 * 1024 * 1024, segmentBytes: 4096 }, TEST_HASHES);
    let worst = 0;
    for (let index = 0; index < 60_000; index++) {
      const isNew = index < 30_000 || index % 3 === 0;
      const name = `k${isNew ? index : (index * 7919) % 30_000}`;
      const before = store.recordsKilledTotal;
      store.merge(SLOT, value(name, index + 1, { value: bytesOf(index, 40 + (index % 60)) }), T0);
      if (index % 2 === 0) store.get(SLOT, `k${(index * 31) % 30_000}`, T0);
      worst = Math.max(worst, store.recordsKilledTotal - before);
    }

    expect(store.stats().evictionsTotal).toBeGreaterThan(1_000);
    expect(worst).toBeLessThan(64);
  });

  test("dropping or clearing a large slot removes no record at once", () => {
    const store = new SegmentStore({ bytesMax: 4 * 1024 * 1024 }, TEST_HASHES);
    for (let index = 0; index < 10_000; index++) store.merge(SLOT, value(`k${index}`, 1), T0);
    const before = store.recordsKilledTotal;

    expect(store.clear(SLOT, 1)).toBe(10_000);
    expect(store.recordsKilledTotal).toBe(before);
    store.sweep(T0, 100);
    expect(store.recordsKilledTotal - before).toBeGreaterThan(100);
    expect(store.recordsKilledTotal - before).toBeLessThan(10_000);
  });
});

describe("SegmentStore with a watch", () => {
  function setUp(bytesMax = 4 * 1024 * 1024) {
    const told: string[] = [];
    const watch: StoreWatch = {
      watches: (slot) => slot === SLOT,
      changed: (_slot, { key, version }) => told.push(`${key} ${version}`),
      gone: (_slot, key) => told.push(`${key} gone`),
      cleared: (slot) => told.push(`slot ${slot}`),
    };
    return { told, store: new SegmentStore({ bytesMax, segmentBytes: 1024 }, TEST_HASHES, watch) };
  }

  test("tells of every version that is stored, and of none that is refused", () => {
    const { store, told } = setUp();

    store.merge(SLOT, value("k", 2), T0);
    store.merge(SLOT, value("k", 1), T0);
    store.merge(SLOT, value("k", 2), T0);
    store.merge(SLOT, tombstone("k", 3), T0);
    store.merge(4 as Slot, value("other", 1), T0);
    store.clear(SLOT, 9);

    expect(told).toEqual(["k 2", "k 3", `slot ${SLOT}`]);
  });

  test("tells of values that expire or are evicted, by their keys", () => {
    const { store, told } = setUp(64 * 1024);
    store.merge(SLOT, value("short", 1, { expiresAt: T0 + 10 }), T0);
    store.sweep(T0 + 11, 1_000);
    expect(told).toEqual(["short 1", "short gone"]);

    for (let index = 0; index < 200; index++)
      store.merge(SLOT, value(`k${index}`, index + 2, { value: bytesOf(index, 600) }), T0 + 11);

    const evicted = told.filter((text) => text.endsWith("gone")).length - 1;
    expect(evicted).toBe(store.stats().evictionsTotal);
    expect(evicted).toBeGreaterThan(50);
  });
});
