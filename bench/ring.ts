// Question: what do building a ring, finding a key's slot and finding its replicas cost, and how much does a join move?
// Baseline: a ring of 256 random tokens per member (hash of id and number, sorted; binary search for the owner), as most
// consistent hashing libraries have it, and xxHash32 in WebAssembly for the hash of a key.
// Ideal: a build well under the 20 ms at 50 members that an event loop can bear; a lookup that is one array access; a slot at a
// few nanoseconds per byte of the key; primaries at 1.00 times the mean, and a join that moves 1.00 times the joiner's share.
//
// Samples of lookups are batches of 10,000 calls in a fixed random order. Run: `npx tsx bench/ring.ts`.

import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { Bench } from "tinybench";
import { mix32, slotOfKey } from "../src/base/hash.ts";
import { type MemberId, SLOT_COUNT, type Slot } from "../src/base/ids.ts";
import { Prng } from "../src/base/prng.ts";
import { Ring, type RingMember, ringParameters } from "../src/core/ring/ring.ts";
import {
  idealMovedCopiesShare,
  idealMovedShare,
  movedCopiesShare,
  movedShare,
} from "../src/core/ring/ring-diff.ts";
import { loadHashes } from "../src/io/hashes.ts";

const SEED = 1;
const BATCH = 10_000;
const TOKENS_PER_MEMBER = 256;
const REPLICAS = 3;
const SIZES = [5, 50];

const hashes = await loadHashes();
const prng = new Prng(SEED);
const keys = Array.from(
  { length: BATCH },
  (_, index) => `user:${String(prng.below(1e9)).padStart(9, "0")}:cart:${index % 10}`,
);
const slots = Array.from({ length: BATCH }, () => prng.below(SLOT_COUNT) as Slot);
const points = Array.from({ length: BATCH }, () => prng.uint32());
let checksum = 0;

const members = (count: number): RingMember[] =>
  Array.from({ length: count }, (_, index) => ({ id: `node-${index + 1}` as MemberId, weight: 1, zone: "" }));
const buildRing = (count: number): Ring => Ring.build(members(count), ringParameters(REPLICAS), hashes);

interface TokenRing {
  /** Ascending. */
  readonly tokens: Float64Array;
}

/** Token and member in one number, so that a numeric sort keeps them together. */
function buildTokenRing(count: number): TokenRing {
  const tokens = new Float64Array(count * TOKENS_PER_MEMBER);
  members(count).forEach(({ id }, member) => {
    for (let token = 0; token < TOKENS_PER_MEMBER; token++) {
      tokens[member * TOKENS_PER_MEMBER + token] = mix32(hashes.hash32(id, token)) * 1024 + member;
    }
  });
  return { tokens: tokens.sort() };
}

function tokenOwner({ tokens }: TokenRing, point: number): number {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tokens[middle]! < point * 1024) low = middle + 1;
    else high = middle;
  }
  return tokens[low === tokens.length ? 0 : low]! % 1024;
}

function batch<T>(items: readonly T[], call: (item: T) => number): () => void {
  return () => {
    let sum = 0;
    for (const item of items) sum += call(item);
    checksum = (checksum + sum) % 1_000_000_007;
  };
}

const build = new Bench({ time: 1_500, warmupTime: 500 });
const lookup = new Bench({ time: 800, warmupTime: 300 });
for (const count of SIZES) {
  const ring = buildRing(count);
  const tokenRing = buildTokenRing(count);
  build.add(`build, ${count} members`, () => {
    checksum = (checksum + buildRing(count).preferenceList(0 as Slot).length) % 1_000_000_007;
  });
  build.add(`build token ring, ${count} members`, () => {
    checksum = (checksum + buildTokenRing(count).tokens.length) % 1_000_000_007;
  });
  lookup.add(
    `preferenceList, ${count} members`,
    batch(slots, (slot) => ring.preferenceList(slot).length),
  );
  lookup.add(
    `token ring owner, ${count} members`,
    batch(points, (point) => tokenOwner(tokenRing, point)),
  );
}
lookup.add("slotOfKey, 21 bytes", batch(keys, slotOfKey));
lookup.add(
  "xxHash32, 21 bytes",
  batch(keys, (key) => hashes.hash32(key)),
);
await build.run();
await lookup.run();

function report(bench: Bench, unit: string, scale: number, digits: number): void {
  for (const { name, result } of bench.tasks) {
    if (!("latency" in result)) throw new Error(`Cannot report ${name}: it did not complete`);
    const show = (ms: number) => (ms * scale).toFixed(digits).padStart(7);
    console.log(
      `${name.padEnd(30)} p50 ${show(result.latency.p50)} ${unit}   p99 ${show(result.latency.p99)} ${unit}`,
    );
  }
}

function reportBalance(count: number): void {
  const [before, after] = [buildRing(count), buildRing(count + 1)];
  const peak = (countOf: (id: MemberId) => number, copies: number): string =>
    (Math.max(...before.members.map(({ id }) => countOf(id))) / ((copies * SLOT_COUNT) / count)).toFixed(3);
  const owners = movedShare(before, after) / idealMovedShare(before, after);
  const copies = movedCopiesShare(before, after) / idealMovedCopiesShare(before, after);
  console.log(
    `${String(count).padStart(3)} members: peak/mean primaries ${peak((id) => before.slotsOwnedBy(id), 1)}, copies ` +
      `${peak((id) => before.slotsReplicatedBy(id), REPLICAS)}; a join moves ${owners.toFixed(3)} times the ideal, ` +
      `copies ${copies.toFixed(3)}`,
  );
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

console.log(`${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores; Node ${process.version}; ${commit()}`);
console.log(
  `seed ${SEED}; ${SLOT_COUNT} slots, ${REPLICAS} replicas, ${TOKENS_PER_MEMBER} tokens in the baseline`,
);
report(build, "ms", 1, 2);
report(lookup, "ns/call", 1e6 / BATCH, 1);
for (const count of [3, 5, 10, 20, 50]) reportBalance(count);
console.log(`checksum ${checksum}`);
