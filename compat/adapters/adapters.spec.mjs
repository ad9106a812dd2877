// Adapters written for Redis, unmodified, against the Redis door of a running cluster (run.sh).

import KeyvRedis from "@keyv/redis";
import keyvTestSuite, { keyvIteratorTests } from "@keyv/test-suite";
import { RedisStore } from "connect-redis";
import session from "express-session";
import { Redis } from "ioredis";
import Keyv from "keyv";
import { RateLimiterRedisNonAtomic } from "rate-limiter-flexible";
import { createClient } from "redis";
import { createStorage } from "unstorage";
import redisDriver from "unstorage/drivers/redis";
import * as vitest from "vitest";

const { afterAll, describe, expect, test } = vitest;

const address = process.env.REDIS_ADDRESS;
const url = `redis://${address}`;
const [host, port] = address.split(":");

describe("@keyv/redis", () => {
  const store = () => new KeyvRedis(url);
  keyvTestSuite(vitest, Keyv, store);
  keyvIteratorTests(vitest, Keyv, store);
});

describe("connect-redis", async () => {
  const client = createClient({ url });
  await client.connect();
  afterAll(() => client.destroy());
  const store = new RedisStore({ client, prefix: "sess:" });
  const sid = "one";
  const call = (name, ...args) =>
    new Promise((resolve, reject) => {
      store[name](...args, (error, value) => (error ? reject(error) : resolve(value)));
    });

  test("keeps, finds, touches, lists and destroys a session", async () => {
    expect(store).toBeInstanceOf(session.Store);
    // Now, and not when this file was read: other suites come first.
    const cookie = { originalMaxAge: 60_000, maxAge: 60_000, expires: new Date(Date.now() + 60_000) };
    const body = { cookie, user: "Ada" };
    await call("set", sid, body);
    expect((await call("get", sid)).user).toBe("Ada");
    expect(await client.ttl("sess:one")).toBeGreaterThan(50);
    await call("touch", sid, body);
    expect(await call("ids")).toEqual([sid]);
    expect(await call("length")).toBe(1);
    expect((await call("all"))[0].user).toBe("Ada");
    await call("destroy", sid);
    expect(await call("get", sid)).toBeFalsy();
  });
});

describe("rate-limiter-flexible, its non-atomic form", () => {
  const client = new Redis(Number(port), host);
  afterAll(() => client.disconnect());

  test("limits", async () => {
    const limiter = new RateLimiterRedisNonAtomic({
      storeClient: client,
      points: 3,
      duration: 60,
      keyPrefix: "rl",
    });
    await limiter.delete("ip");
    for (let left = 2; left >= 0; left--) expect((await limiter.consume("ip")).remainingPoints).toBe(left);
    await expect(limiter.consume("ip")).rejects.toMatchObject({ remainingPoints: 0 });
    expect((await limiter.get("ip")).consumedPoints).toBeGreaterThanOrEqual(3);
  });
});

describe("unstorage's redis driver", () => {
  const storage = createStorage({ driver: redisDriver({ base: "unstorage", host, port: Number(port) }) });
  afterAll(() => storage.dispose());

  test("stores, lists and removes items", async () => {
    await storage.clear();
    await storage.setItem("a:b", { n: 1 });
    await storage.setItem("a:c", "text", { ttl: 60 });
    await storage.setItemRaw("raw", Buffer.from("bytes"));
    expect(await storage.getItem("a:b")).toEqual({ n: 1 });
    expect(await storage.hasItem("a:c")).toBe(true);
    expect((await storage.getKeys("a")).sort()).toEqual(["a:b", "a:c"]);
    expect((await storage.getItems(["a:b", "none"])).map(({ value }) => value)).toEqual([{ n: 1 }, null]);
    expect(String(await storage.getItemRaw("raw"))).toBe("bytes");
    await storage.removeItem("a:b");
    expect(await storage.getItem("a:b")).toBeNull();
    await storage.clear();
    expect(await storage.getKeys()).toEqual([]);
  });
});
