// Question: what do the store engines cost per call, in process: the off-heap one that nodes use, and the one on lru-cache?
// Baselines: a bare lru-cache with string keys and a byte budget, and a bare Map, which copy the value's bytes on `set` as the
// stores do, but have no versions, slots, floors, digests or expiry.
// Ideal: the baselines' time. What is above it is the price of the stores' rules; the aim is one to two microseconds a call.
//
// Every sample is a batch of 1,000 calls on keys in a fixed random order, divided by 1,000: percentiles are over batches, so a
// single slow call (a collection) shows only as its share. Run: `npx tsx bench/store.ts`.

import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { LRUCache } from "lru-cache";
import { Bench } from "tinybench";
import { slotOfKey } from "../src/base/hash.ts";
import type { Slot } from "../src/base/ids.ts";
import { Prng } from "../src/base/prng.ts";
import type { Entry } from "../src/core/messages.ts";
import { ENTRY_OVERHEAD_BYTES, LruStore, VALUE_OVERHEAD_BYTES } from "../src/core/store/lru-store.ts";
import { SegmentStore } from "../src/core/store/segment-store.ts";
import type { Store } from "../src/core/store/store.ts";
import { loadHashes } from "../src/io/hashes.ts";

const SEED = 1;
const HELD = 100_000;
/** New keys come round again only long after they were evicted. */
const NEW_KEYS = 300_000;
const KEY_LENGTH = 24;
const VALUE_SIZE = 100;
const BATCH = 1_000;
const WALL_MS = 1_700_000_000_000;
const CHARGE = ENTRY_OVERHEAD_BYTES + VALUE_OVERHEAD_BYTES + KEY_LENGTH + VALUE_SIZE;

const hashes = await loadHashes();
const frame = new Uint8Array(64 * 1024).map((_, index) => index % 256);
const order = new Prng(SEED).shuffled(Array.from({ length: HELD }, (_, index) => index));
let version = 1_700_000_000_000_000;
let checksum = 0;

interface Placed {
  readonly key: string;
  readonly slot: Slot;
}

function keysNamed(prefix: string, count: number): Placed[] {
  return Array.from({ length: count }, (_, index) => {
    const key = prefix + String(index).padStart(KEY_LENGTH - prefix.length, "0");
    return { key, slot: slotOfKey(key) };
  });
}

const held = keysNamed("held:", HELD);
const absent = keysNamed("absent:", HELD);
const fresh = keysNamed("fresh:", NEW_KEYS);

/** A view of a frame, as the wire layer hands it in. */
function someValue(index: number): Uint8Array {
  const start = (index * 64) % (frame.length - VALUE_SIZE);
  return frame.subarray(start, start + VALUE_SIZE);
}

function someEntry(key: string, index: number, expiresAt: number): Entry {
  version++;
  return {
    key,
    version,
    origin: 4_000_000_000,
    expiresAt,
    format: 2,
    value: someValue(index),
    opClient: 5_000_000_000_000,
    opSeq: index,
    opAttempt: 1,
  };
}

type MakeStore = () => Store;
const makeLru: MakeStore = () => new LruStore({ bytesMax: HELD * CHARGE }, hashes);
/** Room for as many entries, when a few percent are not in use. */
const makeSegments: MakeStore = () => new SegmentStore({ bytesMax: HELD * 190 }, hashes);

function fullStore(make: MakeStore, expiresAt = 0): Store {
  const store = make();
  for (const [index, { key, slot }] of held.entries()) {
    store.merge(slot, someEntry(key, index, expiresAt === 0 ? 0 : expiresAt + index), WALL_MS);
  }
  return store;
}

function fullMap(): Map<string, Uint8Array> {
  return new Map(held.map(({ key }, index) => [key, new Uint8Array(someValue(index))]));
}

function fullCache(): LRUCache<string, Uint8Array> {
  const cache = new LRUCache<string, Uint8Array>({
    maxSize: HELD * CHARGE,
    sizeCalculation: () => CHARGE,
  });
  for (const [index, { key }] of held.entries()) cache.set(key, new Uint8Array(someValue(index)));
  return cache;
}

/** A task of `BATCH` calls that goes on through `keys` where the last batch stopped. */
function batch(keys: readonly Placed[], call: (placed: Placed, index: number) => number): () => void {
  let position = 0;
  return () => {
    for (let count = 0; count < BATCH; count++) {
      const index = keys.length === HELD ? order[position]! : position;
      checksum = (checksum + call(keys[index]!, index)) % 1_000_000_007;
      position = (position + 1) % keys.length;
    }
  };
}

function storeTasks(bench: Bench, name: string, make: MakeStore): void {
  const read = fullStore(make);
  bench.add(
    `${name} get hit`,
    batch(held, ({ slot, key }) => read.get(slot, key, WALL_MS)!.value!.length),
  );
  bench.add(
    `${name} get miss`,
    batch(absent, ({ slot, key }) => (read.get(slot, key, WALL_MS) === undefined ? 1 : 0)),
  );
  const written = fullStore(make);
  bench.add(
    `${name} merge overwrite`,
    batch(held, ({ slot, key }, index) => stored(written, slot, someEntry(key, index, 0))),
  );
  const expiring = fullStore(make, WALL_MS + 3_600_000);
  bench.add(
    `${name} merge overwrite, ttl`,
    batch(held, ({ slot, key }, index) =>
      stored(expiring, slot, someEntry(key, index, WALL_MS + 3_600_000 + (version % 1_000_000))),
    ),
  );
  const growing = fullStore(make);
  bench.add(
    `${name} merge new, evicting`,
    batch(fresh, ({ slot, key }, index) => stored(growing, slot, someEntry(key, index, 0))),
  );
}

function stored(store: Store, slot: Slot, entry: Entry): number {
  return store.merge(slot, entry, WALL_MS).status === "stored" ? 1 : 0;
}

function baselineTasks(bench: Bench): void {
  const read = fullCache();
  bench.add(
    "lru-cache get hit",
    batch(held, ({ key }) => read.get(key)!.length),
  );
  bench.add(
    "lru-cache get miss",
    batch(absent, ({ key }) => (read.get(key) === undefined ? 1 : 0)),
  );
  const written = fullCache();
  bench.add(
    "lru-cache set overwrite",
    batch(held, ({ key }, index) => written.set(key, new Uint8Array(someValue(index))).size),
  );
  const map = fullMap();
  bench.add(
    "map get hit",
    batch(held, ({ key }) => map.get(key)!.length),
  );
  bench.add(
    "map set overwrite",
    batch(held, ({ key }, index) => map.set(key, new Uint8Array(someValue(index))).size),
  );
  const growing = fullCache();
  bench.add(
    "lru-cache set new, evicting",
    batch(fresh, ({ key }, index) => growing.set(key, new Uint8Array(someValue(index))).size),
  );
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

const bench = new Bench({ time: 1_000, warmupTime: 300 });
storeTasks(bench, "segments", makeSegments);
storeTasks(bench, "lru-store", makeLru);
baselineTasks(bench);
await bench.run();

console.log(`${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores; Node ${process.version}; ${commit()}`);
console.log(`seed ${SEED}; ${HELD} entries, keys of ${KEY_LENGTH}, values of ${VALUE_SIZE} bytes`);
for (const { name, result } of bench.tasks) {
  if (!("latency" in result)) throw new Error(`Cannot report ${name}: it did not complete`);
  const nanos = (ms: number) => `${Math.round((ms * 1e6) / BATCH)}`.padStart(6);
  const { p50, p99 } = result.latency;
  console.log(`${name.padEnd(32)} p50 ${nanos(p50)} ns/call   p99 ${nanos(p99)} ns/call`);
}
console.log(`checksum ${checksum}`);
