import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { CacheError } from "../../src/base/errors.ts";
import { slotOfKey } from "../../src/base/hash.ts";
import type { Cache } from "../../src/client/cache.ts";
import { connect } from "../../src/client/cache.ts";
import type { Failure } from "../../src/core/messages.ts";
import { FakeCluster, type FakeClusterOptions } from "./fake-node.ts";

/** Generous: a busy machine stops this process for a second at a time, and no test waits for it to pass. */
const PATIENT = { timeout: 20_000, connectTimeout: 20_000 } as const;

const openClusters: FakeCluster[] = [];
const openCaches: Cache[] = [];

afterEach(async () => {
  await Promise.all(openCaches.splice(0).map((cache) => cache.close()));
  await Promise.all(openClusters.splice(0).map((cluster) => cluster.stop()));
});

async function startCluster(options: FakeClusterOptions = {}): Promise<FakeCluster> {
  const cluster = await FakeCluster.start(options);
  openClusters.push(cluster);
  return cluster;
}

async function start(options: FakeClusterOptions = {}): Promise<{ cluster: FakeCluster; cache: Cache }> {
  const cluster = await startCluster(options);
  const cache = await connect(cluster.url, PATIENT);
  openCaches.push(cache);
  return { cluster, cache };
}

function waitFor(isTrue: () => boolean): Promise<void> {
  return vi.waitFor(() => expect(isTrue()).toBe(true), { timeout: 20_000, interval: 5 });
}

async function failureOf(promise: Promise<unknown>): Promise<CacheError> {
  const result = await promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (!(result instanceof CacheError)) throw new Error(`expected a CacheError, received ${String(result)}`);
  return result;
}

describe("Cache calls", () => {
  test("Cache stores, reads, describes and removes values", async () => {
    const { cache } = await start();

    expect(await cache.get("a")).toBeUndefined();
    expect(await cache.getEntry("a")).toBeUndefined();
    expect(await cache.has("a")).toBe(false);
    expect(await cache.set("a", { name: "Ada" })).toBe(true);
    expect(await cache.get("a")).toEqual({ name: "Ada" });
    expect(await cache.has("a")).toBe(true);
    const entry = await cache.getEntry<{ name: string }>("a");
    expect(entry).toEqual({ value: { name: "Ada" }, version: expect.any(Number) });
    expect(await cache.delete("a")).toBe(true);
    expect(await cache.delete("a")).toBe(false);
  });

  test("Cache passes ttl on, as a number, a text, or an option, rounded up", async () => {
    const { cache, cluster } = await start();
    const before = Date.now();

    await cache.set("a", 1, { ttl: 60_000 });
    await cache.set("b", 1, 1_500.2);
    await cache.set("c", 1, "2m");
    await cache.touch("a", "1h");
    await cache.increment("d", 5, { ttl: "30s" });

    expect((await cache.getEntry("a"))?.expiresAt).toBeGreaterThanOrEqual(before + 3_600_000);
    const ttls = cluster.requests.flatMap((request) =>
      request.kind === "write" && "ttlMs" in request.change ? [request.change.ttlMs] : [],
    );
    expect(ttls).toEqual(expect.arrayContaining([60_000, 1_501, 120_000, 3_600_000, 30_000]));
  });

  test("Cache passes conditions on and says whether they held", async () => {
    const { cache } = await start();

    expect(await cache.set("a", 1, { ifPresent: true })).toBe(false);
    expect(await cache.set("a", 1, { ifAbsent: true })).toBe(true);
    expect(await cache.set("a", 2, { ifAbsent: true })).toBe(false);
    const entry = await cache.getEntry("a");
    expect(await cache.set("a", 3, { ifVersion: entry!.version })).toBe(true);
    expect(await cache.set("a", 4, { ifVersion: entry!.version })).toBe(false);
    expect(await cache.set("a", 5, { ifAbsent: false, ifPresent: undefined })).toBe(true);
  });

  test("Cache increments from 0, by 1 or by what is said", async () => {
    const { cache } = await start();

    expect(await cache.increment("n")).toBe(1);
    expect(await cache.increment("n", 2.5)).toBe(3.5);
    expect(await cache.increment("n", -4)).toBe(-0.5);
    expect(await cache.get("n")).toBe(-0.5);
    await cache.set("text", "x");
    expect(await failureOf(cache.increment("text"))).toMatchObject({
      code: "ERR_NOT_A_NUMBER",
      applied: "no",
    });
  });

  test("Cache passes modes on: the call's, else the client's, else the cluster's", async () => {
    const cluster = await startCluster();
    const cache = await connect(cluster.url, { ...PATIENT, write: "all", read: "quorum" });
    openCaches.push(cache);

    await cache.set("a", 1);
    await cache.set("a", 1, { write: "async" });
    await cache.get("a");
    await cache.get("a", { read: "one" });

    const modes = cluster.requests.map((request) =>
      request.kind === "write" ? request.write : request.kind === "get" ? request.read : "",
    );
    expect(modes).toEqual(["all", "async", "quorum", "one"]);
  });

  test("Cache sends the calls of one task in the order in which they were made", async () => {
    const { cache, cluster } = await start({ nodes: 1 });

    const ends = await Promise.all([
      cache.get("a"),
      cache.set("a", 1),
      cache.get("a"),
      cache.get("b", { read: "quorum" }),
      cache.delete("a"),
      cache.get("a"),
      cache.get("a", { signal: new AbortController().signal }),
      cache.getMany(["a", "b"]),
      cache.has("a"),
    ]);

    expect(ends).toEqual([
      undefined,
      true,
      1,
      undefined,
      true,
      undefined,
      undefined,
      [undefined, undefined],
      false,
    ]);
    const asked = cluster.requests.map((request) => `${request.kind} ${"key" in request ? request.key : ""}`);
    expect(asked.join()).toBe("get a,write a,get a,get b,write a,get a,get a,get a,get b,get a");
  });

  test("Cache gives each of many reads of one task its own value", async () => {
    const { cache } = await start();
    const keys = Array.from({ length: 1_500 }, (_, index) => `key:${index}`);
    await cache.setMany(keys.map((key, index) => [key, index] as const));

    const values = await Promise.all(
      keys.map((key, index) => cache.get(key, index % 3 === 0 ? { read: "quorum" } : undefined)),
    );

    expect(values).toEqual(keys.map((_, index) => index));
  });

  test("Cache gives up all parts of a read of many keys that is aborted, and goes on with others", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) node.answer = () => undefined;
    const abort = new AbortController();
    const keys = Array.from({ length: 700 }, (_, index) => `key:${index}`);
    const read = cache.getMany(keys, { signal: abort.signal, timeout: 60_000 });
    await waitFor(() => cluster.requests.length >= 30);

    abort.abort(new Error("enough"));
    await expect(read).rejects.toThrow("enough");

    for (const node of cluster.nodes) node.answer = () => "usual";
    expect(await cache.getMany(keys.slice(0, 10))).toEqual(new Array(10).fill(undefined));
    // It would wait for what is under way.
    await cache.close();
  });

  test("Cache reads, writes and deletes many keys at once, in their order", async () => {
    const { cache } = await start();
    const keys = Array.from({ length: 3_000 }, (_, index) => `key:${index}`);

    await cache.setMany(keys.map((key, index) => [key, index] as const));
    expect(await cache.getMany(["none", ...keys])).toEqual([undefined, ...keys.map((_, index) => index)]);
    expect(await cache.deleteMany(["none", ...keys.slice(0, 10)])).toBe(10);
    expect(await cache.getMany([])).toEqual([]);
    expect(await cache.deleteMany([])).toBe(0);
  });

  test("Cache takes entries for setMany in every usual form", async () => {
    const { cache, cluster } = await start();

    await cache.setMany([["a", 1], { key: "b", value: 2, ttl: 5_000 }]);
    await cache.setMany(new Map([["c", 3]]), { ttl: "1s" });
    await cache.setMany({ d: 4 });
    await cache.setMany([]);

    expect(await cache.getMany(["a", "b", "c", "d"])).toEqual([1, 2, 3, 4]);
    const ttls = cluster.requests.flatMap((request) =>
      request.kind === "write" && request.change.type === "set" ? [[request.key, request.change.ttlMs]] : [],
    );
    expect(Object.fromEntries(ttls)).toEqual({ a: 0, b: 5_000, c: 1_000, d: 0 });
  });

  test("Cache says how many writes of a bulk call have failed", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) {
      node.answer = (request) =>
        request.kind === "write" && request.key.startsWith("bad")
          ? { ...refusal(request.id), code: "ERR_TOO_LARGE", message: "too large", elsewhere: false }
          : "usual";
    }

    const error = await failureOf(
      cache.setMany([
        ["good", 1],
        ["bad1", 2],
        ["bad2", 3],
      ]),
    );

    expect(error).toMatchObject({
      code: "ERR_TOO_LARGE",
      applied: "maybe",
      details: { failed: 2, total: 3 },
    });
    expect(await cache.get("good")).toBe(1);
    expect(await failureOf(cache.deleteMany(["bad1"]))).toMatchObject({
      applied: "no",
      details: { failed: 1 },
    });
    expect(await failureOf(cache.setMany([["bad1", 2]]))).toMatchObject({ applied: "no" });
  });

  test("Cache says when to try again to whoever asks for more than it can hold", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) node.answer = () => undefined;

    const calls = Array.from({ length: 100_001 }, () => cache.set("a", 1, { timeout: 100 }));
    const ends = await Promise.allSettled(calls);

    const last = ends.at(-1);
    expect(last).toMatchObject({
      reason: { code: "ERR_OVERLOADED", applied: "no", details: { retryAfterMs: expect.any(Number) } },
    });
  });

  test("Cache says of a bulk call that ran out of time what its time was", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) node.answer = () => undefined;
    const keys = Array.from({ length: 300 }, (_, index) => `key:${index}`);

    const entries = keys.map((key) => [key, 1] as const);
    const write = await failureOf(cache.setMany(entries, { timeout: 50 }));
    const read = await failureOf(cache.getMany(keys, { timeout: 50 }));

    expect(write).toMatchObject({ code: "ERR_TIMEOUT", details: { failed: 300, total: 300 } });
    expect(write.message).toMatch(
      /^300 of 300 writes were not acknowledged within 50 ms; the first: No success/,
    );
    expect(read.code).toBe("ERR_TIMEOUT");
    expect(read.message).toMatch(
      /^Not all of 300 keys were read within 50 ms; the first failure: No success/,
    );
  });

  test("Cache counts the time for a page of keys from when it is asked for, however slowly the last one was read", async () => {
    const { cache } = await start();
    const keys = Array.from({ length: 300 }, (_, index) => `key:${index}`);
    await cache.setMany(keys.map((key) => [key, 1] as const));
    const found: string[] = [];

    for await (const key of cache.keys({ timeout: 500 })) {
      found.push(key);
      const startMs = performance.now();
      if (found.length === 2) await waitFor(() => performance.now() - startMs > 600);
    }

    expect(found.sort()).toEqual([...keys].sort());
  });

  test("Cache lists each key once also when it has just been made", async () => {
    const { cache, cluster } = await start();
    const keys = Array.from({ length: 200 }, (_, index) => `key:${index}`);
    await cache.setMany(keys.map((key) => [key, 1] as const));
    const firstReplicas = new Map(keys.map((key) => [slotOfKey(key), cache.locate(key).replicas[0]]));
    for (const node of cluster.nodes) {
      // As nodes do: only the first replica of a slot answers for it alone.
      node.answer = (request) =>
        request.kind === "scan" &&
        request.isAlone &&
        request.slots.some((slot) => (firstReplicas.get(slot) ?? node.id) !== node.id)
          ? refusal(request.id)
          : "usual";
    }

    for (let round = 0; round < 5; round++) {
      const fresh = await connect(cluster.url, PATIENT);
      openCaches.push(fresh);
      const found: string[] = [];
      for await (const key of fresh.keys()) found.push(key);
      expect(found.sort()).toEqual([...keys].sort());
    }
  });

  test("Cache lists keys, counts them and clears everything", async () => {
    const { cache, cluster } = await start();
    const keys = Array.from({ length: 500 }, (_, index) => `user:${index}`);
    await cache.setMany(keys.map((key) => [key, 1] as const));
    await cache.set("other", 1);

    const found: string[] = [];
    for await (const key of cache.keys({ prefix: "user:" })) found.push(key);
    expect(found.sort()).toEqual([...keys].sort());
    expect(await cache.size()).toBe(501);
    expect(cluster.nodes.every(({ requests }) => requests.some(({ kind }) => kind === "count"))).toBe(true);

    await cache.clear();
    expect(await cache.size()).toBe(0);
    const left: string[] = [];
    for await (const key of cache.keys()) left.push(key);
    expect(left).toEqual([]);
  });

  test("Cache asks another replica about slots that a node cannot answer for", async () => {
    const { cache, cluster } = await start();
    await cache.setMany(Array.from({ length: 100 }, (_, index) => [`key:${index}`, index] as const));
    cluster.nodes[1]!.answer = (request) =>
      request.kind === "scan" || request.kind === "count" || request.kind === "clear"
        ? refusal(request.id)
        : "usual";

    const found: string[] = [];
    for await (const key of cache.keys()) found.push(key);
    expect(new Set(found).size).toBe(100);
    expect(await cache.size()).toBe(100);
    await cache.clear();
    expect(await cache.size()).toBe(0);
  });

  test("Cache fails a scan that makes no progress instead of asking for ever", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) {
      node.answer = (request) => ({ kind: "scanned", id: request.id, keys: [], slotsDone: 0, after: "" });
    }

    const iterate = async (): Promise<void> => {
      for await (const _ of cache.keys());
    };

    expect(await failureOf(iterate())).toMatchObject({ code: "ERR_PROTOCOL" });
  });

  test("Cache knows where keys live and who the members are", async () => {
    const { cache, cluster } = await start();

    const { slot, replicas } = cache.locate("{user}:1");
    expect(slot).toBe(cache.locate("{user}:2").slot);
    expect([...replicas].sort()).toEqual(["n0", "n1", "n2"]);

    const topology = cache.topology();
    expect(topology).toMatchObject({ ringId: cluster.topology().ringId, replicas: 3 });
    expect(topology.members.map(({ id }) => id)).toEqual(["n0", "n1", "n2"]);
    expect(topology.members[0]).toMatchObject({
      address: cluster.nodes[0]!.address,
      state: "active",
      liveness: "alive",
      zone: "",
      weight: 1,
    });
    expect(topology.members.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
  });

  test("Cache fails a read of bytes that are no value with ERR_PROTOCOL", async () => {
    const { cache, cluster } = await start();
    cluster.plant("evil", 0, new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]));

    expect(await failureOf(cache.get("evil"))).toMatchObject({ code: "ERR_PROTOCOL" });
    expect(await failureOf(cache.getMany(["evil"]))).toMatchObject({ code: "ERR_PROTOCOL" });
    expect(await cache.has("evil")).toBe(true);
  });
});

describe("Cache refusing bad input", () => {
  const set = (value: unknown, options?: unknown) => (cache: Cache) =>
    cache.set("k", value, options as never);
  const key = (text: unknown) => (cache: Cache) => cache.get(text as string);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const throwing = {
    get part(): unknown {
      throw new Error("boom");
    },
  };
  const notJson = {
    toJSON: () => {
      throw new Error("no JSON");
    },
  };

  test.each<[string, (cache: Cache) => Promise<unknown>, string, string]>([
    ["an empty key", key(""), "ERR_INVALID_ARGUMENT", "Argument key must be at least one character"],
    ["a key of 1,025 bytes", key("x".repeat(1_025)), "ERR_INVALID_ARGUMENT", "received 1025"],
    ["a key of 1,026 bytes in 513 characters", key("ü".repeat(513)), "ERR_INVALID_ARGUMENT", "received 1026"],
    ["a key with a lone surrogate", key("a\ud800"), "ERR_INVALID_ARGUMENT", "surrogate"],
    ["a key that is a number", key(5), "ERR_INVALID_ARGUMENT", "Argument key must be a text, received 5"],
    ["no key", key(undefined), "ERR_INVALID_ARGUMENT", "received undefined"],
    ["a bad key among many", (c) => c.getMany(["a", ""]), "ERR_INVALID_ARGUMENT", "(keys[1])"],
    ["one key for many", (c) => c.getMany("abc" as never), "ERR_INVALID_ARGUMENT", "an array of keys"],
    ["a bad key in setMany", (c) => c.setMany([["", 1]]), "ERR_INVALID_ARGUMENT", "(entries[0])"],
    ["a bad value in setMany", (c) => c.setMany([["a", () => 1]]), "ERR_INVALID_ARGUMENT", "(entries[0])"],
    ["a triple in setMany", (c) => c.setMany([["a", 1, 2]] as never), "ERR_INVALID_ARGUMENT", "pair"],
    [
      "a bad ttl in setMany",
      (c) => c.setMany([{ key: "a", value: 1, ttl: 0 }]),
      "ERR_INVALID_ARGUMENT",
      "ttl",
    ],
    ["no entries", (c) => c.setMany(undefined as never), "ERR_INVALID_ARGUMENT", "entries"],
    ["undefined", set(undefined), "ERR_INVALID_ARGUMENT", "undefined"],
    ["a function", set(() => 1), "ERR_INVALID_ARGUMENT", "a function"],
    ["a cycle", set(cycle), "ERR_INVALID_ARGUMENT", "value[0]"],
    [
      "a value one byte over the limit",
      set(new Uint8Array(8 * 1024 * 1024 + 1)),
      "ERR_TOO_LARGE",
      "at most 8388608 bytes (8.0 MiB), received 8388609",
    ],
    ["a value whose getter throws", set({ a: throwing }), "ERR_INVALID_ARGUMENT", "reading it failed (boom)"],
    ["a toJSON that throws", set([notJson]), "ERR_INVALID_ARGUMENT", "(no JSON)"],
    ["ttl 0", set(1, { ttl: 0 }), "ERR_INVALID_ARGUMENT", "Argument ttl must be"],
    ["ttl -1", set(1, { ttl: -1 }), "ERR_INVALID_ARGUMENT", "received -1"],
    ["ttl NaN", set(1, { ttl: Number.NaN }), "ERR_INVALID_ARGUMENT", "received NaN"],
    ["ttl Infinity", set(1, { ttl: Number.POSITIVE_INFINITY }), "ERR_INVALID_ARGUMENT", "received Infinity"],
    ["ttl abc", set(1, { ttl: "abc" }), "ERR_INVALID_ARGUMENT", 'received "abc"'],
    ["an empty ttl", set(1, { ttl: "" }), "ERR_INVALID_ARGUMENT", 'received ""'],
    ["ttl 0s", set(1, "0s"), "ERR_INVALID_ARGUMENT", 'received "0s"'],
    ["ttl null", set(1, { ttl: null }), "ERR_INVALID_ARGUMENT", "left out, the entry does not expire"],
    ["a ttl past all instants", set(1, { ttl: 2 ** 53 }), "ERR_INVALID_ARGUMENT", "at most 281474976710656"],
    ["a bare ttl of 0", set(1, 0), "ERR_INVALID_ARGUMENT", "ttl"],
    ["touch without ttl", (c) => c.touch("k", undefined as never), "ERR_INVALID_ARGUMENT", "ttl"],
    [
      "an unknown option",
      set(1, { tll: 5 }),
      "ERR_INVALID_ARGUMENT",
      "Unknown option tll: did you mean ttl?",
    ],
    ["an unknown option of get", (c) => c.get("k", { ttl: 5 } as never), "ERR_INVALID_ARGUMENT", "ttl"],
    [
      "an unknown option of keys",
      (c) => c.keys({ limit: 5 } as never).next(),
      "ERR_INVALID_ARGUMENT",
      "limit",
    ],
    ["an unknown option of size", (c) => c.size({ prefix: "a" } as never), "ERR_INVALID_ARGUMENT", "prefix"],
    ["options that are no object", (c) => c.get("k", 5 as never), "ERR_INVALID_ARGUMENT", "an object"],
    ["null for options", set(1, null), "ERR_INVALID_ARGUMENT", "an object"],
    [
      "contradicting conditions",
      set(1, { ifAbsent: true, ifPresent: true }),
      "ERR_INVALID_ARGUMENT",
      "at most one",
    ],
    ["three conditions", set(1, { ifAbsent: true, ifVersion: 3 }), "ERR_INVALID_ARGUMENT", "at most one"],
    ["a condition that is a text", set(1, { ifAbsent: "yes" }), "ERR_INVALID_ARGUMENT", "true or false"],
    ["ifVersion 0", set(1, { ifVersion: 0 }), "ERR_INVALID_ARGUMENT", "ifVersion"],
    ["ifVersion 1.5", set(1, { ifVersion: 1.5 }), "ERR_INVALID_ARGUMENT", "ifVersion"],
    ["an unknown write mode", set(1, { write: "most" }), "ERR_INVALID_ARGUMENT", "one of async, quorum, all"],
    [
      "an unknown read mode",
      (c) => c.get("k", { read: "all" as never }),
      "ERR_INVALID_ARGUMENT",
      "one of one",
    ],
    ["timeout 0", (c) => c.get("k", { timeout: 0 }), "ERR_INVALID_ARGUMENT", "timeout"],
    [
      "timeout Infinity",
      (c) => c.get("k", { timeout: Number.POSITIVE_INFINITY }),
      "ERR_INVALID_ARGUMENT",
      "timeout",
    ],
    [
      "a signal that is none",
      (c) => c.get("k", { signal: {} as never }),
      "ERR_INVALID_ARGUMENT",
      "AbortSignal",
    ],
    ["increment by NaN", (c) => c.increment("k", Number.NaN), "ERR_INVALID_ARGUMENT", "a finite number"],
    ["increment by a text", (c) => c.increment("k", "1" as never), "ERR_INVALID_ARGUMENT", "a finite number"],
    [
      "a prefix that is too long",
      (c) => c.keys({ prefix: "x".repeat(1_025) }).next(),
      "ERR_INVALID_ARGUMENT",
      "prefix",
    ],
  ])("Cache refuses %s, and sends nothing", async (_, call, code, message) => {
    const { cache, cluster } = await shared();
    const before = cluster.requests.length;

    const error = await failureOf(call(cache));

    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(cluster.requests).toHaveLength(before);
  });

  test("Cache takes keys and values at their limits", async () => {
    const { cache } = await shared();

    expect(await cache.set("x".repeat(1_024), 1)).toBe(true);
    expect(await cache.set("ü".repeat(512), new Uint8Array(8 * 1024 * 1024))).toBe(true);
    expect(await cache.get("ü".repeat(512))).toHaveLength(8 * 1024 * 1024);
  });

  test("Cache takes larger values where the cluster does", async () => {
    const { cache } = await start({ nodes: 1, valueBytesMax: 20 * 1024 * 1024 });

    expect(await cache.set("big", new Uint8Array(20 * 1024 * 1024))).toBe(true);
    expect(await cache.get("big")).toHaveLength(20 * 1024 * 1024);
  });

  afterAll(async () => {
    const { cache, cluster } = await shared();
    await cache.close();
    await cluster.stop();
  });

  let sharedPair: Promise<{ cluster: FakeCluster; cache: Cache }> | undefined;
  /** One cluster for the table above: nothing in it changes anything. */
  function shared(): Promise<{ cluster: FakeCluster; cache: Cache }> {
    sharedPair ??= (async () => {
      const cluster = await FakeCluster.start();
      const cache = await connect(cluster.url, PATIENT);
      return { cluster, cache };
    })();
    return sharedPair;
  }
});

describe("Cache failing over", () => {
  test("Cache survives the death of a node under load without a failed call", async () => {
    const { cache, cluster } = await start();
    let isOver = false;
    let calls = 0;
    const worker = async (name: string): Promise<void> => {
      for (let index = 0; !isOver; index++) {
        const key = `${name}:${index % 50}`;
        await cache.set(key, index);
        expect(await cache.get(key)).toBe(index);
        calls++;
      }
    };
    const workers = Promise.all(Array.from({ length: 8 }, (_, index) => worker(`w${index}`)));
    await waitFor(() => calls > 100);

    await cluster.nodes[0]!.kill();
    const atDeath = calls;
    await waitFor(() => calls > atDeath + 500);
    cluster.nodes[1]!.isPaused = true;
    const atPause = calls;
    await waitFor(() => calls > atPause + 500);

    isOver = true;
    await workers;
  });

  test("Cache fails by the deadline while all nodes are dead, and works again when one returns", async () => {
    const { cache, cluster } = await start();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await waitFor(() => cache.topology().members.every(({ isConnected }) => !isConnected));

    const startMs = performance.now();
    const error = await failureOf(cache.set("a", 1, { timeout: 300 }));
    expect(error).toMatchObject({ code: "ERR_UNREACHABLE", applied: "no" });
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(299);
    for (const { address } of cluster.nodes) expect(error.message).toContain(address);
    for (const sweep of [cache.size({ timeout: 300 }), cache.keys({ timeout: 300 }).next()]) {
      const failure = await failureOf(sweep);
      expect(failure).toMatchObject({ code: "ERR_UNREACHABLE", details: { failures: { length: 3 } } });
      for (const { address } of cluster.nodes) expect(failure.message).toContain(address);
    }

    await cluster.nodes[2]!.start();
    expect(await cache.set("a", 1)).toBe(true);
  });

  test("Cache rejects an aborted call with the signal's reason", async () => {
    const { cache, cluster } = await start();
    for (const node of cluster.nodes) node.answer = () => undefined;
    const reason = new Error("the user left");
    const abort = new AbortController();

    const single = cache.get("a", { signal: abort.signal });
    const many = cache.getMany(["a", "b"], { signal: abort.signal });
    const size = cache.size({ signal: abort.signal });
    const results = Promise.allSettled([single, many, size]);
    abort.abort(reason);

    expect(await results).toEqual([
      { status: "rejected", reason },
      { status: "rejected", reason },
      { status: "rejected", reason },
    ]);
  });

  test("Cache ends a list of keys as soon as its signal is aborted", async () => {
    const { cache } = await start();
    await cache.setMany(Array.from({ length: 500 }, (_, index) => [`key:${index}`, index] as const));
    const reason = new Error("enough");
    const abort = new AbortController();
    const seen: string[] = [];

    const listing = (async () => {
      for await (const key of cache.keys({ signal: abort.signal })) {
        seen.push(key);
        if (seen.length === 3) abort.abort(reason);
      }
    })();

    await expect(listing).rejects.toBe(reason);
    expect(seen).toHaveLength(3);
  });

  test("Cache takes signals that are not Node's own", async () => {
    const { cache, cluster } = await start();
    const own = new AbortController();
    // As a browser's in a test environment: the same calls, but no EventTarget of Node.
    const foreign = {
      get aborted() {
        return own.signal.aborted;
      },
      get reason() {
        return own.signal.reason as unknown;
      },
      addEventListener: own.signal.addEventListener.bind(own.signal),
      removeEventListener: own.signal.removeEventListener.bind(own.signal),
      throwIfAborted: () => own.signal.throwIfAborted(),
    } as unknown as AbortSignal;

    expect(await cache.set("a", 1, { signal: foreign })).toBe(true);
    expect(await cache.getMany(["a"], { signal: foreign })).toEqual([1]);
    for (const node of cluster.nodes) node.answer = () => undefined;
    const pending = cache.get("a", { signal: foreign });
    own.abort("gone");
    await expect(pending).rejects.toBe("gone");

    const half = { aborted: false, addEventListener: () => {} } as unknown as AbortSignal;
    expect(await failureOf(cache.size({ signal: half }))).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });

  test("Cache lets many calls share one signal without a warning", async () => {
    const { cache } = await start();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    try {
      const { signal } = new AbortController();
      await Promise.all(Array.from({ length: 50 }, (_, index) => cache.get(`k${index}`, { signal })));
      // Warnings are told in a turn of their own.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off("warning", onWarning);
    }
    expect(warnings).toEqual([]);
  });

  test("Cache sends nothing for a signal that was aborted before", async () => {
    const { cache, cluster } = await start();
    const reason = new Error("before");
    const signal = AbortSignal.abort(reason);

    for (const call of [
      () => cache.get("a", { signal }),
      () => cache.set("a", 1, { signal }),
      () => cache.setMany([["a", 1]], { signal }),
      () => cache.keys({ signal }).next(),
      () => cache.clear({ signal }),
      () => cache.size({ signal }),
    ]) {
      await expect(call()).rejects.toBe(reason);
    }
    expect(cluster.requests).toEqual([]);
  });
});

describe("Cache closing", () => {
  test("Cache lets calls under way end, refuses new ones, and closes once", async () => {
    const { cache, cluster } = await start();
    const pending = cache.set("a", 1);
    const read = cache.get("b");

    const closing = cache.close();
    const late = failureOf(cache.get("a"));
    await Promise.all([closing, cache.close()]);

    expect(await pending).toBe(true);
    expect(await read).toBeUndefined();
    expect((await late).code).toBe("ERR_CLOSED");
    await waitFor(() => cluster.nodes.every(({ links }) => links === 0));
    for (const read of [cache.getMany(["a"]), cache.getMany([]), cache.keys().next(), cache.size()]) {
      expect(await failureOf(read)).toMatchObject({ code: "ERR_CLOSED", applied: undefined });
    }
    for (const write of [
      cache.set("a", 1),
      cache.setMany([["a", 1]]),
      cache.setMany([]),
      cache.deleteMany([]),
      cache.clear(),
    ]) {
      expect(await failureOf(write)).toMatchObject({ code: "ERR_CLOSED", applied: "no" });
    }
    expect(() => cache.topology()).toThrowError(expect.objectContaining({ code: "ERR_CLOSED" }));
    expect(() => cache.locate("a")).toThrowError(expect.objectContaining({ code: "ERR_CLOSED" }));
  });

  test("Cache lets bulk calls under way end with all of their parts", async () => {
    const { cache, cluster } = await start();
    // Far more than are sent at a time.
    const keys = Array.from({ length: 2_000 }, (_, index) => `key:${index}`);
    let isAsked = false;
    for (const node of cluster.nodes) {
      node.answer = (request) => {
        if (request.kind !== "count" || isAsked) return "usual";
        isAsked = true;
        return refusal(request.id);
      };
    }

    const stored = cache.setMany(keys.map((key, index) => [key, index] as const));
    const read = cache.getMany(keys);
    const size = cache.size();
    const deleted = cache.deleteMany(["key:0", "absent"]);
    await cache.close();

    await stored;
    expect(await read).toHaveLength(keys.length);
    expect(await size).toBeLessThanOrEqual(keys.length);
    expect(isAsked).toBe(true);
    expect(await deleted).toBeLessThanOrEqual(1);
    const written = cluster.requests.filter(({ kind }) => kind === "write").length;
    expect(written).toBe(keys.length + 2);
    expect(await failureOf(cache.getMany(keys))).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("Cache closes at the end of its block", async () => {
    const cluster = await startCluster();
    {
      await using cache = await connect(cluster.url, PATIENT);
      await cache.set("a", 1);
    }

    await waitFor(() => cluster.nodes.every(({ links }) => links === 0));
  });

  test("Cache closes while all nodes are dead", async () => {
    const { cache, cluster } = await start();
    await Promise.all(cluster.nodes.map((node) => node.kill()));

    await cache.close();
  });
});

describe("connect", () => {
  test("connect needs only one of its seeds", async () => {
    const cluster = await startCluster();
    const cache = await connect({ seeds: ["127.0.0.1:1", cluster.nodes[1]!.address], ...PATIENT });
    openCaches.push(cache);

    await waitFor(() => cache.topology().members.every(({ isConnected }) => isConnected));
  });

  test("connect waits for a node that starts a moment later", async () => {
    const cluster = await startCluster({ nodes: 1 });
    const [node] = cluster.nodes;
    await node!.kill();

    const connecting = connect(cluster.url, { connectTimeout: 20_000 });
    await node!.start();
    const cache = await connecting;
    openCaches.push(cache);

    expect(await cache.set("a", 1)).toBe(true);
  });

  test("connect proves its secret", async () => {
    const cluster = await startCluster({ secret: "a shared secret of nodes" });
    const cache = await connect(cluster.url, { ...PATIENT, secret: "a shared secret of nodes" });
    openCaches.push(cache);

    expect(await cache.set("a", 1)).toBe(true);
  });

  test("connect names every seed and why it failed", async () => {
    const http = createServer((_, response) => response.end("hello"));
    const hello = createTcpServer((socket) => socket.on("error", () => {}).end("220 mail.example.com\r\n"));
    await Promise.all(
      [http, hello].map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))),
    );
    const other = await startCluster({ nodes: 1, clusterName: "other" });
    const ports = [http, hello].map((server) => (server.address() as AddressInfo).port);
    const seeds = [
      "127.0.0.1:1",
      "does-not-exist.invalid:7400",
      `127.0.0.1:${ports[0]}`,
      `127.0.0.1:${ports[1]}`,
      other.nodes[0]!.address,
    ];

    const error = await failureOf(connect({ seeds }, { connectTimeout: 3_000 }));
    http.close();
    hello.close();

    expect(error.code).toBe("ERR_UNREACHABLE");
    for (const seed of seeds) expect(error.message.split(seed)).toHaveLength(seed === seeds.at(-1) ? 3 : 2);
    expect(error.message).toContain("127.0.0.1:1: nothing listens there (ECONNREFUSED); ");
    const { seeds: details } = error.details as {
      seeds: { address: string; code: string; reason: string }[];
    };
    expect(details.map(({ address }) => address)).toEqual(seeds);
    expect(details.map(({ code }) => code)).toEqual([
      "ERR_UNREACHABLE",
      "ERR_UNREACHABLE",
      "ERR_PROTOCOL",
      "ERR_PROTOCOL",
      "ERR_PROTOCOL",
    ]);
  });

  test.each<[string, FakeClusterOptions, { secret?: string; cluster?: string }, string]>([
    ["the secret is missing", { secret: "a shared secret of nodes" }, {}, "ERR_UNAUTHORIZED"],
    [
      "the secret is wrong",
      { secret: "a shared secret of nodes" },
      { secret: "another secret altogether" },
      "ERR_UNAUTHORIZED",
    ],
    ["the cluster is another one", { clusterName: "other" }, {}, "ERR_PROTOCOL"],
  ])("connect fails at once when %s", async (_, clusterOptions, options, code) => {
    const cluster = await startCluster({ nodes: 1, ...clusterOptions });
    const startMs = performance.now();

    const error = await failureOf(connect(cluster.url, { ...options, connectTimeout: 20_000 }));

    expect(error.code).toBe(code);
    expect(error.message).toContain(cluster.nodes[0]!.address);
    expect(performance.now() - startMs).toBeLessThan(15_000);
  });

  test("connect says so when the nodes have no ring yet", async () => {
    const cluster = await startCluster({ nodes: 1 });
    cluster.hasRing = false;

    const error = await failureOf(connect(cluster.url, { connectTimeout: 300 }));

    expect(error).toMatchObject({ code: "ERR_UNREACHABLE" });
    expect(error.message).toContain("not part of a ring yet");
  });

  test("connect rejects, and does not throw, for bad options", async () => {
    expect((await failureOf(connect("http://x"))).code).toBe("ERR_INVALID_OPTION");
    expect((await failureOf(connect("a", { timout: 1 } as never))).code).toBe("ERR_INVALID_OPTION");
  });
});

function refusal(id: number): Failure {
  return { kind: "failed", id, code: "ERR_NO_QUORUM", message: "not here", applied: "no", elsewhere: true };
}
