// The Redis clients of the test matrix behind one small interface, so that every one of them is asked the same.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Redis as IoRedis5 } from "ioredis5";
import { Redis as IoRedis6 } from "ioredis6";
import * as redis5 from "redis5";
import * as redis6 from "redis6";

/** What every client must do. */
export interface TestClient {
  set(key: string, value: string, ttlMs?: number): Promise<unknown>;
  get(key: string): Promise<string | null>;
  ttlMs(key: string): Promise<number>;
  mget(keys: readonly string[]): Promise<readonly (string | null)[]>;
  /** INCR of the key so many times in one pipeline; the replies. */
  pipeline(key: string, times: number): Promise<readonly unknown[]>;
  /** All keys that match, through SCAN. */
  scan(pattern: string): Promise<readonly string[]>;
  /** Subscribes; resolves once confirmed. */
  subscribe(channel: string, onMessage: (message: string) => void): Promise<void>;
  publish(channel: string, message: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface ClientKind {
  readonly name: string;
  /** @param addresses `host:port` of the nodes' doors: a client of one server takes the first. */
  connect(addresses: readonly string[]): Promise<TestClient>;
  readonly isCluster: boolean;
}

function hostPort(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
}

// ---- ioredis

type IoRedisModule = typeof IoRedis6;

async function ioredisStandalone(Redis: IoRedisModule, addresses: readonly string[]): Promise<TestClient> {
  const options = { ...hostPort(addresses[0]!), maxRetriesPerRequest: null };
  const client = new Redis(options);
  client.on("error", () => {});
  const subscribers: InstanceType<IoRedisModule>[] = [];
  return {
    ...ioredisCalls(client),
    scan: (pattern) => ioredisScan([client], pattern),
    async subscribe(channel, onMessage) {
      const subscriber = new Redis(options);
      subscriber.on("error", () => {});
      subscribers.push(subscriber);
      subscriber.on("message", (_channel: string, message: string) => onMessage(message));
      await subscriber.subscribe(channel);
    },
    async close() {
      for (const one of [client, ...subscribers]) one.disconnect();
    },
  };
}

async function ioredisCluster(Redis: IoRedisModule, addresses: readonly string[]): Promise<TestClient> {
  const client = new Redis.Cluster(addresses.map(hostPort));
  client.on("error", () => {});
  await new Promise<void>((resolve) => client.once("ready", () => resolve()));
  return {
    ...ioredisCalls(client),
    mget: async (keys) => Promise.all(keys.map((key) => client.get(key))),
    scan: (pattern) => ioredisScan(client.nodes("master"), pattern),
    async subscribe(channel, onMessage) {
      client.on("message", (_channel: string, message: string) => onMessage(message));
      await client.subscribe(channel);
    },
    async close() {
      client.disconnect();
    },
  };
}

type IoRedisCalls = Pick<
  InstanceType<IoRedisModule>,
  "set" | "get" | "pttl" | "mget" | "pipeline" | "publish"
>;

function ioredisCalls(client: IoRedisCalls | InstanceType<IoRedisModule["Cluster"]>) {
  const redis = client as IoRedisCalls;
  return {
    set: (key: string, value: string, ttlMs?: number) =>
      ttlMs === undefined ? redis.set(key, value) : redis.set(key, value, "PX", ttlMs),
    get: (key: string) => redis.get(key),
    ttlMs: (key: string) => redis.pttl(key),
    mget: (keys: readonly string[]) => redis.mget([...keys]),
    async pipeline(key: string, times: number) {
      const pipeline = redis.pipeline();
      for (let index = 0; index < times; index++) pipeline.incr(key);
      const results = (await pipeline.exec()) ?? [];
      return results.map(([error, value]) => error ?? value);
    },
    publish: (channel: string, message: string) => redis.publish(channel, message),
  };
}

async function ioredisScan(
  nodes: readonly InstanceType<IoRedisModule>[],
  pattern: string,
): Promise<readonly string[]> {
  const keys = new Set<string>();
  for (const node of nodes) {
    for await (const page of node.scanStream({ match: pattern, count: 100 })) {
      for (const key of page as string[]) keys.add(key);
    }
  }
  return [...keys];
}

// ---- node-redis

type NodeRedisModule = typeof redis6;

function nodeRedisCalls(client: {
  set(key: string, value: string, options?: object): Promise<unknown>;
  get(key: string): Promise<unknown>;
  pTTL(key: string): Promise<unknown>;
  mGet(keys: string[]): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
}) {
  return {
    set: (key: string, value: string, ttlMs?: number) =>
      client.set(key, value, ttlMs === undefined ? undefined : { PX: ttlMs }),
    get: async (key: string) => (await client.get(key)) as string | null,
    ttlMs: async (key: string) => (await client.pTTL(key)) as number,
    mget: async (keys: readonly string[]) => (await client.mGet([...keys])) as (string | null)[],
    publish: (channel: string, message: string) => client.publish(channel, message),
  };
}

async function nodeRedisStandalone(
  module: NodeRedisModule,
  addresses: readonly string[],
  protocol: 2 | 3,
): Promise<TestClient> {
  const client = module.createClient({ url: `redis://${addresses[0]}`, RESP: protocol });
  client.on("error", () => {});
  await client.connect();
  const subscribers: { destroy(): void }[] = [];
  return {
    ...nodeRedisCalls(client as never),
    async pipeline(key, times) {
      return Promise.all(Array.from({ length: times }, () => client.incr(key)));
    },
    async scan(pattern) {
      const keys = new Set<string>();
      for await (const page of client.scanIterator({ MATCH: pattern, COUNT: 100 })) {
        for (const key of [page].flat()) keys.add(String(key));
      }
      return [...keys];
    },
    async subscribe(channel, onMessage) {
      const subscriber = client.duplicate();
      subscriber.on("error", () => {});
      await subscriber.connect();
      subscribers.push(subscriber);
      await subscriber.subscribe(channel, onMessage);
    },
    async close() {
      for (const one of [client, ...subscribers]) one.destroy();
    },
  };
}

async function nodeRedisCluster(module: NodeRedisModule, addresses: readonly string[]): Promise<TestClient> {
  const client = module.createCluster({
    rootNodes: addresses.map((address) => ({ url: `redis://${address}` })),
  });
  client.on("error", () => {});
  await client.connect();
  const calls = nodeRedisCalls(client as never);
  return {
    ...calls,
    ttlMs: (key) => client.pTTL(key),
    mget: (keys) => Promise.all(keys.map((key) => calls.get(key))),
    async pipeline(key, times) {
      return Promise.all(Array.from({ length: times }, () => client.incr(key)));
    },
    async scan(pattern) {
      const keys = new Set<string>();
      for (const master of client.masters) {
        const node = await client.nodeClient(master);
        for await (const page of node.scanIterator({ MATCH: pattern, COUNT: 100 })) {
          for (const key of [page].flat()) keys.add(String(key));
        }
      }
      return [...keys];
    },
    subscribe: (channel, onMessage) => client.subscribe(channel, onMessage).then(() => {}),
    async close() {
      client.destroy();
    },
  };
}

const as6 = (module: unknown) => module as NodeRedisModule;
const asIo6 = (module: unknown) => module as IoRedisModule;

/** Every client of the matrix that is written in JavaScript. */
export const CLIENT_KINDS: readonly ClientKind[] = [
  { name: "ioredis 5", isCluster: false, connect: (at) => ioredisStandalone(asIo6(IoRedis5), at) },
  { name: "ioredis 6", isCluster: false, connect: (at) => ioredisStandalone(IoRedis6, at) },
  { name: "node-redis 5, RESP2", isCluster: false, connect: (at) => nodeRedisStandalone(as6(redis5), at, 2) },
  { name: "node-redis 5, RESP3", isCluster: false, connect: (at) => nodeRedisStandalone(as6(redis5), at, 3) },
  { name: "node-redis 6, RESP2", isCluster: false, connect: (at) => nodeRedisStandalone(redis6, at, 2) },
  { name: "node-redis 6, RESP3", isCluster: false, connect: (at) => nodeRedisStandalone(redis6, at, 3) },
  { name: "ioredis 5 as a cluster", isCluster: true, connect: (at) => ioredisCluster(asIo6(IoRedis5), at) },
  { name: "ioredis 6 as a cluster", isCluster: true, connect: (at) => ioredisCluster(IoRedis6, at) },
  { name: "node-redis 5 as a cluster", isCluster: true, connect: (at) => nodeRedisCluster(as6(redis5), at) },
  { name: "node-redis 6 as a cluster", isCluster: true, connect: (at) => nodeRedisCluster(redis6, at) },
];

/** Runs a program; resolves to what it printed. */
export async function run(command: string, args: readonly string[], input?: string): Promise<string> {
  const child = promisify(execFile)(command, [...args], { timeout: 20_000 });
  if (input !== undefined) child.child.stdin?.end(input);
  const { stdout } = await child;
  return stdout;
}

/** Whether a program can be started here. */
export async function hasProgram(command: string, args: readonly string[]): Promise<boolean> {
  try {
    await run(command, args);
    return true;
  } catch {
    return false;
  }
}
