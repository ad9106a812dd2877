// The client against real nodes, and the process that it lives in.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type Cache, connect, type EmbeddedNode, type NodeOptions, startNode } from "../../src/index.ts";

const nodes: EmbeddedNode[] = [];
const caches: Cache[] = [];

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()));
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

/** A busy machine stops this process for a second at a time. */
const PATIENT = { timeout: 20_000, connectTimeout: 20_000 } as const;
const PATIENT_CALL = { timeout: 20_000 } as const;

async function startCluster(count: number, options: NodeOptions = {}): Promise<EmbeddedNode[]> {
  const first = await startNode({ listen: "127.0.0.1:0", name: "n1", ...options });
  nodes.push(first);
  const join = first.url.replace("ringhold://", "");
  for (let index = 2; index <= count; index++) {
    nodes.push(await startNode({ listen: "127.0.0.1:0", name: `n${index}`, join, ...options }));
  }
  // One node alone is never safe.
  if (count > 1) {
    await waitFor(() =>
      nodes.every((node) => node.status().isSafe && node.status().members.length === count),
    );
  }
  return nodes;
}

async function connectTo(cluster: readonly EmbeddedNode[]): Promise<Cache> {
  const cache = await connect({ seeds: cluster.map(({ url }) => url), ...PATIENT });
  caches.push(cache);
  return cache;
}

function waitFor(isTrue: () => boolean): Promise<void> {
  return vi.waitFor(() => expect(isTrue()).toBe(true), { timeout: 40_000, interval: 20 });
}

describe("Cache on real nodes", () => {
  test("Cache computes the same places as the nodes", async () => {
    const cluster = await startCluster(3);
    const cache = await connectTo(cluster);

    expect(cache.topology().ringId).toBe(cluster[0]!.status().ringId);
    expect(cache.topology().members.map(({ id, share }) => [id, share])).toEqual(
      cluster[0]!.status().members.map(({ id, share }) => [id, share]),
    );
  });

  test("Cache does all of its calls", async () => {
    const cluster = await startCluster(3);
    const cache = await connectTo(cluster);

    expect(await cache.set("a", { name: "Ada", tags: new Set(["x"]) }, { ttl: "1h" })).toBe(true);
    expect(await cache.get("a")).toEqual({ name: "Ada", tags: new Set(["x"]) });
    const entry = await cache.getEntry("a");
    expect(entry?.expiresAt).toBeGreaterThan(Date.now());
    expect(await cache.set("a", 1, { ifVersion: entry!.version + 1 })).toBe(false);
    expect(await cache.set("a", 1, { ifVersion: entry!.version })).toBe(true);
    expect(await cache.set("a", 1, { ifAbsent: true })).toBe(false);
    expect(await cache.touch("a", 50_000)).toBe(true);
    expect(await cache.touch("none", 50_000)).toBe(false);
    expect(await cache.increment("a", 2)).toBe(3);
    expect(await cache.increment("n", -1.5, { ttl: 60_000 })).toBe(-1.5);
    await cache.set("text", "x");
    await expect(cache.increment("text")).rejects.toMatchObject({ code: "ERR_NOT_A_NUMBER", applied: "no" });
    const keys = Array.from({ length: 2_500 }, (_, index) => `key:${index}`);
    await cache.setMany(keys.map((key, index) => [key, index] as const));
    expect(await cache.getMany([...keys, "none"])).toEqual([...keys.keys(), undefined]);
    expect(await cache.size()).toBe(2_503);
    const found: string[] = [];
    for await (const key of cache.keys({ prefix: "key:" })) found.push(key);
    expect(found.sort()).toEqual([...keys].sort());
    expect(await cache.deleteMany(["key:0", "key:1", "none"])).toBe(2);
    expect(await cache.delete("key:2")).toBe(true);
    expect(await cache.has("key:2")).toBe(false);
    await cache.clear();
    expect(await cache.size()).toBe(0);
    expect(await cache.get("a")).toBeUndefined();
  });

  test("Cache goes on while nodes stop and come back one after another", async () => {
    const cluster = await startCluster(3);
    const cache = await connectTo(cluster);
    const written = new Map<string, number>();
    let isOver = false;
    const worker = async (name: string): Promise<void> => {
      for (let index = 0; !isOver; index++) {
        const key = `${name}:${index % 20}`;
        await cache.set(key, index);
        written.set(key, index);
        expect(await cache.get(key)).toBe(index);
      }
    };
    const workers = Promise.all(["a", "b", "c", "d"].map(worker));

    for (const [index, node] of cluster.entries()) {
      const address = node.url.replace("ringhold://", "");
      const join = cluster[(index + 1) % 3]!.url.replace("ringhold://", "");
      await node.stop();
      nodes[index] = await startNode({ listen: address, name: node.id, join, readyTimeout: 40_000 });
      await waitFor(() => nodes.every((other) => other.status().isSafe));
    }
    isOver = true;
    await workers;

    for (const [key, value] of written) expect(await cache.get(key)).toBe(value);
  });

  test("EmbeddedNode leaves once, and says so however often it is told", async () => {
    const [, node] = await startCluster(2);

    await Promise.all([node!.leave(), node!.leave()]);
    await node!.leave();
    await node!.stop();

    expect(nodes[0]!.status().members.find(({ id }) => id === "n2")?.ringState).not.toBe("active");
  });

  test("EmbeddedNode counts all keys of the cluster with a cache that it has just opened anew", async () => {
    // With few copies, most keys are elsewhere.
    const [node] = await startCluster(5, { replicas: 2 });
    const keys = Array.from({ length: 60 }, (_, index) => `key:${index}`);
    await node!.cache().setMany(
      keys.map((key) => [key, 1] as const),
      PATIENT_CALL,
    );

    await node!.cache().close();
    expect(await node!.cache().size(PATIENT_CALL)).toBe(keys.length);

    await node!.cache().close();
    const found: string[] = [];
    for await (const key of node!.cache().keys(PATIENT_CALL)) found.push(key);
    expect(found.sort()).toEqual([...keys].sort());
  });

  test("EmbeddedNode opens its cache anew when somebody has closed it, until it stops", async () => {
    const [node] = await startCluster(1);
    {
      await using cache = node!.cache();
      await cache.set("a", 1, PATIENT_CALL);
    }

    expect(await node!.cache().get("a", PATIENT_CALL)).toBe(1);
    expect(node!.cache()).toBe(node!.cache());
    await node!.stop();
    await expect(node!.cache().get("a")).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });

  test("startNode says for whom a node waits that may not join", async () => {
    const [first, , third] = await startCluster(3);
    await third!.stop();
    await waitFor(() =>
      first!.status().members.some(({ id, liveness }) => id === "n3" && liveness === "dead"),
    );

    const late = startNode({ listen: "127.0.0.1:0", join: first!.url, readyTimeout: 3_000 });

    await expect(late).rejects.toMatchObject({
      code: "ERR_TIMEOUT",
      message: expect.stringMatching(
        /within 3\.0 s: WAITING to join: nobody does while .* not evicted \(n3\)$/,
      ),
    });
  });

  test("EmbeddedNode with one copy of each key does not ask for nodes that would not help", async () => {
    const node = await startNode({ listen: "127.0.0.1:0", replicas: 1 });
    nodes.push(node);

    expect(node.status().verdict).toBe("UNSAFE: every key has 1 copy, as replicas says");
  });

  test("EmbeddedNode has a cache at once, and stops once", async () => {
    const [node] = await startCluster(1);
    const cache = node!.cache();

    expect(node!.cache()).toBe(cache);
    expect(cache.locate("a").replicas).toEqual(["n1"]);
    expect(await cache.set("a", 1)).toBe(true);
    await Promise.all([node!.stop(), node!.stop()]);
    await expect(cache.get("a")).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });
});

describe("a process with a Cache", () => {
  const INDEX = fileURLToPath(new URL("../../src/index.ts", import.meta.url));

  /** Runs a script with `connect` in scope; resolves to its exit code and output, rejects when it does not end. */
  function run(script: string): Promise<{ readonly code: number | null; readonly output: string }> {
    const source = `import { connect } from ${JSON.stringify(INDEX)};\n${script}`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", source], {
      timeout: 50_000,
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    return new Promise((resolve, reject) => {
      child.on("exit", (code, signal) => {
        if (signal === null) resolve({ code, output });
        else reject(new Error(`it did not end: ${output}`));
      });
    });
  }

  test("a process ends by itself when its Cache is closed", async () => {
    const [node] = await startCluster(1);

    const result = await run(`
      const cache = await connect(${JSON.stringify(node!.url)}, { timeout: 20000, connectTimeout: 20000 });
      console.log(await cache.set("a", 1));
      await cache.close();
    `);

    expect(result).toEqual({ code: 0, output: "true\n" });
  });

  test("a process ends by itself when its open Cache is unref'd, but not before its calls have ended", async () => {
    const [node] = await startCluster(1);

    const result = await run(`
      const cache = await connect(${JSON.stringify(node!.url)}, { timeout: 20000, connectTimeout: 20000, unref: true });
      cache.set("a", 1).then(console.log);
    `);

    expect(result).toEqual({ code: 0, output: "true\n" });
  });

  test("a process ends with the error of connect when nobody is there", async () => {
    const result = await run(`
      await connect("ringhold://127.0.0.1:1", { connectTimeout: 300 }).catch((error) => console.log(error.code));
    `);

    expect(result).toEqual({ code: 0, output: "ERR_UNREACHABLE\n" });
  });
});
