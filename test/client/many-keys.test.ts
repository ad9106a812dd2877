// Calls on many keys while nodes come and go.

import { afterEach, expect, test, vi } from "vitest";
import { type Cache, connect } from "../../src/client/cache.ts";
import { FakeCluster } from "./fake-node.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function start(
  options: ConstructorParameters<typeof FakeCluster>[0] = {},
): Promise<{ cluster: FakeCluster; cache: Cache }> {
  const cluster = await FakeCluster.start(options);
  const cache = await connect(cluster.url, { timeout: 1_000 });
  open.push(cache, { close: () => cluster.stop() });
  return { cluster, cache };
}

test("Cache goes on listing keys when a node dies before it was asked", async () => {
  const { cache, cluster } = await start();
  const keys = Array.from({ length: 300 }, (_, index) => `key:${index}`);
  await cache.setMany(keys.map((key) => [key, 1] as const));
  const found = new Set<string>();

  for await (const key of cache.keys()) {
    if (found.size === 0) {
      const victim = cluster.nodes.find((node) => !node.requests.some(({ kind }) => kind === "scan"))!;
      await victim.kill();
      await vi.waitFor(() =>
        expect(cache.topology().members.find(({ address }) => address === victim.address)!.isConnected).toBe(
          false,
        ),
      );
    }
    found.add(key);
  }

  expect([...found].sort()).toEqual([...keys].sort());
});

test("Cache stores the last of several values that setMany is given for one key", async () => {
  const { cache, cluster } = await start();
  let isFirst = true;
  for (const node of cluster.nodes) {
    node.answer = (request) => {
      if (request.kind !== "write" || !isFirst) return "usual";
      isFirst = false;
      return { kind: "overloaded", ids: [request.id], retryAfterMs: 20 };
    };
  }

  await cache.setMany([
    ["a", 1],
    ["a", 2],
  ]);

  expect(await cache.get("a")).toBe(2);
});

test("Cache lists keys within a short time also when it has just been made and a member cannot be reached", async () => {
  const cluster = await FakeCluster.start();
  open.push({ close: () => cluster.stop() });
  await cluster.nodes[2]!.kill();
  const cache = await connect(cluster.url, { timeout: 1_000 });
  open.push(cache);
  await cache.set("a", 1);

  const found: string[] = [];
  for await (const key of cache.keys({ timeout: 300 })) found.push(key);

  expect(found).toEqual(["a"]);
});
