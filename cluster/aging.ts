// What becomes of values that ought to be gone: keys that are deleted while one of their owners is away, and keys that expire while
// nodes fail and join. Each scenario starts its own five nodes and judges every key.
//
// An owner that is away misses the deletes and comes back with everything it held: whether a key comes back with it is looked at
// with both kinds of reads, at once and when every copy is in place. A ttl counts from some instant between call and
// acknowledgement, so a key must be there until its ttl after the call, and gone its ttl after the acknowledgement, give or take
// what one machine's clocks and sleeps are allowed. Reads that were held up themselves decide nothing.

import { setTimeout as sleep } from "node:timers/promises";
import { Prng } from "../src/base/prng.ts";
import { type Cache, connect } from "../src/index.ts";
import { withLocalSession } from "./local-session.ts";
import { check, NODE_ARGUMENTS, NODES, type ScenarioOptions, type ScenarioResult } from "./scenarios.ts";

/** How much and how long. */
export interface AgingOptions extends Pick<ScenarioOptions, "keys" | "onProgress"> {
  /** How long the owner is away, in ms. @default 20000 */
  readonly awayMs?: number;
  /** The longest ttl, in ms; the shortest is a thirtieth of it. @default 30000 */
  readonly ttlMsMax?: number;
}

const KEYS = 10_000;
const BATCH = 500;
const CLIENT = { timeout: 5_000 };
/** The shortest ttl is this part of the longest. */
const TTL_SPREAD = 30;
/** By so much a ttl may be off. */
const TTL_ERROR_MS = 50;
/** How long before its time a key is looked for, so that an answer is there in time. */
const EARLY_LOOK_MS = 300;
/** Sets under way at one time. */
const CALLERS = 16;

/** Deletes every key while one of five nodes stands still, and looks for them when it is back. */
export function deletesWhileAway(options: AgingOptions = {}): Promise<ScenarioResult> {
  const { keys: count = KEYS, awayMs = 20_000, onProgress } = options;
  const session = { nodes: NODES, nodeArguments: NODE_ARGUMENTS, client: CLIENT };
  return withLocalSession(session, async ({ cluster, cache }) => {
    await using strict = await connect(cluster.url(), { ...CLIENT, read: "quorum" });
    const keys = Array.from({ length: count }, (_, index) => `gone:${index}`);
    await forEachBatch(keys, (batch) => cache.setMany(batch.map((key) => [key, key] as const)));
    const { name } = cluster.nodes()[1]!;
    cluster.pause(name);
    try {
      const fromMs = performance.now();
      await forEachBatch(keys, (batch) => cache.deleteMany(batch));
      onProgress?.(`${count} keys deleted while ${name} is away`);
      await sleep(Math.max(0, awayMs - (performance.now() - fromMs)));
    } finally {
      cluster.resume(name);
    }
    const atOnce = (await countFound(cache, keys)) + (await countFound(strict, keys));
    await cluster.untilSafe();
    const inPlace = (await countFound(cache, keys)) + (await countFound(strict, keys));
    return result(`deletes while an owner is away for ${awayMs / 1_000} s`, [
      check("deleted keys seen when it is back", atOnce, 0),
      check("deleted keys seen when every copy is in place", inPlace, 0),
      check("keys deleted", count, undefined),
    ]);
  });
}

/** Sets keys that live for different times, while a node is killed, comes back and another joins, and looks at each twice. */
export function expiryThroughFailover(options: AgingOptions = {}): Promise<ScenarioResult> {
  const { keys: count = KEYS, ttlMsMax = 30_000 } = options;
  const session = { nodes: NODES, nodeArguments: NODE_ARGUMENTS, client: CLIENT };
  return withLocalSession(session, async ({ cluster, cache }) => {
    const chance = new Prng(1).fork("ttl");
    const ttlMsMin = Math.floor(ttlMsMax / TTL_SPREAD);
    const ages: Promise<Age>[] = [];
    const faults = async (): Promise<void> => {
      const { name } = cluster.nodes()[0]!;
      await sleep(ttlMsMax / 10);
      await cluster.kill(name);
      await sleep(ttlMsMax / 10);
      await cluster.restart(name);
      await cluster.add();
    };
    const sets = forEachOf(count, async (index) => {
      const ttl = ttlMsMin + chance.below(ttlMsMax - ttlMsMin);
      const key = `short:${index}`;
      const calledMs = performance.now();
      const isSet = await cache.set(key, key, { ttl }).catch(() => false);
      if (isSet) ages.push(watch(cache, { key, leastMs: calledMs + ttl, mostMs: performance.now() + ttl }));
    });
    await Promise.all([sets, faults()]);
    const seen = await Promise.all(ages);
    const all = (what: Age["early"]): number =>
      seen.filter(({ early, late }) => early === what || late === what).length;
    return result(
      `expiry while a node is killed and back and another joins, ttl up to ${ttlMsMax / 1_000} s`,
      [
        check(`keys gone more than ${TTL_ERROR_MS} ms early`, all("gone"), 0),
        check(`keys served more than ${TTL_ERROR_MS} ms late`, all("served"), 0),
        check("keys with a look that came too late or failed", all("unknown"), count / 2),
        check("keys not set", count - ages.length, count / 2),
      ],
    );
  });
}

/** A key may be gone from `leastMs` on, and must be from `mostMs` on. */
interface Life {
  readonly key: string;
  readonly leastMs: number;
  readonly mostMs: number;
}

/** What was seen of one key before its time and after it; "unknown" when a look failed or was itself too late. */
interface Age {
  readonly early: "right" | "gone" | "served" | "unknown";
  readonly late: Age["early"];
}

async function watch(cache: Cache, { key, leastMs, mostMs }: Life): Promise<Age> {
  const look = async (atMs: number): Promise<boolean | undefined> => {
    await sleep(Math.max(0, atMs - performance.now()));
    return cache.has(key).catch(() => undefined);
  };
  const isThere = await look(leastMs - EARLY_LOOK_MS);
  const isInTime = performance.now() <= leastMs - TTL_ERROR_MS;
  const isStillThere = await look(mostMs + TTL_ERROR_MS);
  return {
    early: isThere === undefined || !isInTime ? "unknown" : isThere ? "right" : "gone",
    late: isStillThere === undefined ? "unknown" : isStillThere ? "served" : "right",
  };
}

async function countFound(cache: Cache, keys: readonly string[]): Promise<number> {
  let found = 0;
  await forEachBatch(keys, async (batch) => {
    found += (await cache.getMany(batch)).filter((value) => value !== undefined).length;
  });
  return found;
}

async function forEachBatch(
  keys: readonly string[],
  run: (batch: readonly string[]) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < keys.length; start += BATCH) await run(keys.slice(start, start + BATCH));
}

/** Calls `run` for 0 to `count - 1`, a bounded number at a time. */
async function forEachOf(count: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

function result(scenario: string, checks: ScenarioResult["checks"]): ScenarioResult {
  return { scenario, rounds: [], verdict: undefined, checks, failures: [] };
}
