// Connects the clients that can be measured. The peers' packages are loaded only when they are asked for, in a way that the
// compiler does not follow: they are there for comparisons, and nothing else may come to need them.

import { createRequire } from "node:module";
import { slotOfKey } from "../../src/base/hash.ts";
import { connect } from "../../src/index.ts";
import type { Target, TargetSpec } from "./target.ts";

const require = createRequire(import.meta.url);

/** Connects. Rejects when the client's package is not installed or its servers do not answer. */
export async function openTarget(spec: TargetSpec): Promise<Target> {
  switch (spec.client) {
    case "null":
      return openNull();
    case "ringhold":
      return openRinghold(spec);
    case "ioredis":
    case "ioredis+auto":
      return openIoredis(spec);
    case "node-redis":
      return openNodeRedis(spec);
    case "memjs":
      return openMemjs(spec);
  }
}

/** Whether the client's package is installed. */
export function hasClient(client: TargetSpec["client"]): boolean {
  const packages = {
    null: "",
    ringhold: "",
    ioredis: "ioredis6",
    "ioredis+auto": "ioredis6",
    "node-redis": "redis6",
    memjs: "memjs",
  };
  const name = packages[client];
  if (name === "") return true;
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Answers once per turn of the event loop, from a Map: what the benchmark itself costs. */
function openNull(): Target {
  const values = new Map<string, string>();
  let due: (() => void)[] = [];
  const answer = () => {
    const ready = due;
    due = [];
    for (const resolve of ready) resolve();
  };
  const get = (key: string) =>
    new Promise<string | undefined>((resolve) => {
      if (due.length === 0) setImmediate(answer);
      due.push(() => resolve(values.get(key)));
    });
  return {
    get,
    set: async (key, value) => values.set(key, value),
    getMany: (keys) => Promise.all(keys.map(get)),
    setMany: async (entries) => {
      for (const [key, value] of entries) values.set(key, value);
    },
    close: async () => {},
  };
}

async function openRinghold({ addresses, write, timeoutMs }: TargetSpec): Promise<Target> {
  const cache = await connect(`ringhold://${addresses.join(",")}`, {
    timeout: timeoutMs ?? 5_000,
    ...(write === undefined ? {} : { write }),
  });
  return {
    get: (key) => cache.get<string>(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.getMany<string>(keys),
    setMany: (entries) => cache.setMany(entries),
    close: () => cache.close(),
  };
}

/** The part of ioredis that is used. */
interface Ioredis {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  disconnect(): void;
  once(event: "ready", listener: () => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  nodes(role: "master"): readonly { pipeline(): IoredisPipeline; options: { host: string; port: number } }[];
}
interface IoredisPipeline {
  set(key: string, value: string): IoredisPipeline;
  call(...command: readonly (string | number)[]): IoredisPipeline;
  exec(): Promise<unknown>;
}
interface IoredisModule {
  readonly Cluster: new (
    nodes: readonly { host: string; port: number }[],
    options: Record<string, unknown>,
  ) => Ioredis & { slots: readonly (readonly string[])[] };
}

async function openIoredis({ client, addresses, timeoutMs }: TargetSpec): Promise<Target> {
  const { Cluster } = require("ioredis6") as IoredisModule;
  const cluster = new Cluster(hostsOf(addresses), {
    enableAutoPipelining: client === "ioredis+auto",
    ...(timeoutMs === undefined ? {} : { redisOptions: { commandTimeout: timeoutMs } }),
  });
  cluster.on("error", () => {});
  await new Promise<void>((resolve) => cluster.once("ready", resolve));
  return {
    get: (key) => cluster.get(key),
    set: (key, value) => cluster.set(key, value),
    getMany: (keys) => Promise.all(keys.map((key) => cluster.get(key))),
    setMany: (entries) => Promise.all(entries.map(([key, value]) => cluster.set(key, value))),
    // One round trip for both, to the master of the key: the best that can be done with it.
    setAndWait(key, value) {
      const [address] = cluster.slots[slotOfKey(key)] ?? [];
      const master = cluster
        .nodes("master")
        .find(({ options }) => `${options.host}:${options.port}` === address);
      if (master === undefined) return Promise.reject(new Error("no master of the key's slot"));
      return master.pipeline().set(key, value).call("WAIT", 1, 1000).exec();
    },
    close: async () => cluster.disconnect(),
  };
}

interface NodeRedis {
  connect(): Promise<unknown>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  destroy(): void;
  on(event: "error", listener: (error: Error) => void): void;
}
interface NodeRedisModule {
  createCluster(options: { rootNodes: readonly { url: string }[] }): NodeRedis;
}

async function openNodeRedis({ addresses }: TargetSpec): Promise<Target> {
  const { createCluster } = require("redis6") as NodeRedisModule;
  const cluster = createCluster({ rootNodes: addresses.map((address) => ({ url: `redis://${address}` })) });
  cluster.on("error", () => {});
  await cluster.connect();
  return {
    get: (key) => cluster.get(key),
    set: (key, value) => cluster.set(key, value),
    getMany: (keys) => Promise.all(keys.map((key) => cluster.get(key))),
    setMany: (entries) => Promise.all(entries.map(([key, value]) => cluster.set(key, value))),
    close: async () => cluster.destroy(),
  };
}

interface Memjs {
  get(key: string): Promise<{ value: Buffer | null }>;
  set(key: string, value: string, options: object): Promise<unknown>;
  quit(): void;
}
interface MemjsModule {
  readonly Client: { create(servers: string): Memjs };
}

async function openMemjs({ addresses }: TargetSpec): Promise<Target> {
  const { Client } = require("memjs") as MemjsModule;
  const client = Client.create(addresses.join(","));
  const get = async (key: string) => (await client.get(key)).value?.toString();
  return {
    get,
    set: (key, value) => client.set(key, value, {}),
    getMany: (keys) => Promise.all(keys.map(get)),
    setMany: (entries) => Promise.all(entries.map(([key, value]) => client.set(key, value, {}))),
    close: async () => client.quit(),
  };
}

function hostsOf(addresses: readonly string[]): { host: string; port: number }[] {
  return addresses.map((address) => {
    const colon = address.lastIndexOf(":");
    return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  });
}
