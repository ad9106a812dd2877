// The Redis door with real clients against real processes: two clusters of three nodes, one that looks like single servers and one that
// looks like a Redis Cluster.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { LocalCluster } from "../../cluster/local-cluster.ts";
import { residentBytesOf } from "../../cluster/os-process.ts";
import { type Cache, connect } from "../../src/index.ts";
import { ensureBuilt } from "../support/ensure-built.ts";
import { CLIENT_KINDS, type ClientKind, hasProgram, run, type TestClient } from "./redis-clients.ts";
import { fuzz } from "./redis-fuzz.ts";

const NODES = 3;

function start(...nodeArguments: readonly string[]): Promise<LocalCluster> {
  const stateDirectory = mkdtempSync(join(tmpdir(), "ringhold-redis-"));
  return LocalCluster.start({
    ...{ stateDirectory, nodes: NODES, basePort: 0, redisBasePort: 0 },
    nodeArguments: ["--memory", "64mb", "--log-level", "warn", ...nodeArguments],
  });
}

function doors(cluster: LocalCluster): string[] {
  return cluster.nodes().map(({ redisAddress }) => redisAddress!);
}

/** Asks again and again: an error or a wrong value is for now. */
function eventually<T>(ask: () => Promise<T>, isGood: (value: T) => boolean, what: string): Promise<T> {
  const look = async (): Promise<T> => {
    const value = await Promise.race([ask(), refusalAfter(3_000, what)]);
    if (!isGood(value)) throw new Error(`Not yet: ${what}`);
    return value;
  };
  return vi.waitFor(look, { timeout: 15_000, interval: 20 });
}

/** The limit of one try: a client may sit on a call whose node is gone, and that is no answer either. */
function refusalAfter(ms: number, what: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(`No answer for ${ms} ms: ${what}`)), ms).unref();
  });
}

const hasCli = await hasProgram("redis-cli", ["--version"]);
const hasBenchmark = await hasProgram("redis-benchmark", ["--version"]);
// Debian's package serves Debian's Python, which need not be the first on the path.
const python = (await hasProgram("python3", ["-c", "import redis"])) ? "python3" : "/usr/bin/python3";
const hasPython = await hasProgram(python, ["-c", "import redis"]);
if (!hasCli) console.warn("redis-cli is missing (apt-get install redis-tools): its tests are skipped");
if (!hasPython) console.warn("redis-py is missing (apt-get install python3-redis): its tests are skipped");

beforeAll(ensureBuilt, 120_000);

describe.each([
  ["one server", false],
  ["a cluster", true],
] as const)("The Redis door as %s", (_name, isCluster) => {
  let cluster: LocalCluster;
  let cache: Cache;
  const kinds = CLIENT_KINDS.filter((kind) => kind.isCluster === isCluster);
  const clients = new Map<string, TestClient>();

  const clientOf = async (kind: ClientKind): Promise<TestClient> => {
    const known = clients.get(kind.name);
    if (known !== undefined) return known;
    const client = await kind.connect(doors(cluster));
    clients.set(kind.name, client);
    return client;
  };

  beforeAll(async () => {
    cluster = await start(...(isCluster ? ["--redis-cluster"] : []));
    cache = await connect(cluster.url());
    await cluster.untilSafe();
  });

  afterAll(async () => {
    for (const client of clients.values()) await client.close();
    await cache?.close();
    await cluster?.destroy();
  });

  test.each(kinds)("serves $name", async (kind) => {
    const client = await clientOf(kind);
    const name = (part: string) => `${kind.name}:${part}`.replaceAll(/[ ,]/g, "-");

    await client.set(name("a"), "grüß");
    await client.set(name("b"), "2", 60_000);
    expect(await client.get(name("a"))).toBe("grüß");
    expect(await client.get(name("none"))).toBeNull();
    const ttlMs = await client.ttlMs(name("b"));
    expect(ttlMs).toBeGreaterThan(50_000);
    expect(ttlMs).toBeLessThanOrEqual(60_000);
    expect(await client.mget([name("a"), name("none"), name("b")])).toEqual(["grüß", null, "2"]);
    expect(await client.pipeline(name("n"), 20)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect([...(await client.scan(`${name("")}*`))].sort()).toEqual([name("a"), name("b"), name("n")].sort());
  });

  test.each(kinds)("brings messages to $name, wherever they are published", async (kind) => {
    const client = await clientOf(kind);
    const received: string[] = [];
    await client.subscribe("news", (message) => received.push(message));
    const others = CLIENT_KINDS.filter((other) => other.name === "ioredis 6");
    // Through the last node's door: another one than that of a client of one server.
    const publisher = await others[0]!.connect(doors(cluster).slice(-1));
    try {
      await eventually(
        async () => {
          await publisher.publish("news", "extra");
          return received.includes("extra");
        },
        (has) => has,
        "a message that was published at another node",
      );
    } finally {
      await publisher.close();
    }
  });

  test("holds one data set with the SDK", async () => {
    const client = await clientOf(kinds[0]!);

    await client.set("from-redis", "text");
    await cache.set("from-sdk", "text");
    await cache.set("object", { a: 1 });
    await cache.increment("counter", 41);

    expect(await cache.get("from-redis")).toBe("text");
    expect(await client.get("from-sdk")).toBe("text");
    await expect(client.get("object")).rejects.toThrow(/WRONGTYPE/);
    expect(await client.pipeline("counter", 1)).toEqual([42]);
    expect(await client.get("counter")).toBe("42");
    expect(await cache.increment("counter")).toBe(43);
    await client.set("set-here", "7");
    expect(await cache.increment("set-here")).toBe(8);
  });

  test.skipIf(!hasCli)("serves redis-cli in both protocols", async () => {
    const [host, port] = doors(cluster)[1]!.split(":") as [string, string];
    const cli = async (...args: string[]) =>
      (await run("redis-cli", ["-h", host, "-p", port, ...args])).trim();
    const mode = isCluster ? ["-c"] : [];

    expect(await cli(...mode, "set", "cli", "1", "EX", "100")).toBe("OK");
    expect(await cli(...mode, "-3", "get", "cli")).toBe("1");
    expect(await cli(...mode, "mget", "cli", "none")).toBe("1");
    // As in any cluster, a node lists the keys of its own slots.
    if (!isCluster) expect(await cli("--scan", "--pattern", "cli*")).toBe("cli");
    expect(await cli("dbsize")).toMatch(/^\d+$/);
    expect(await cli("command", "docs", "get")).toContain("summary");
    expect(await cli("--bigkeys")).toContain("summary");
    if (isCluster)
      expect(await run("redis-cli", ["--cluster", "check", `${host}:${port}`])).toContain(
        "16384 slots covered",
      );
  });

  test.skipIf(!hasBenchmark)("serves redis-benchmark", async () => {
    const [host, port] = doors(cluster)[0]!.split(":") as [string, string];
    const args = [
      "-h",
      host,
      "-p",
      port,
      "-t",
      "get,set,incr,mset",
      "-n",
      "1000",
      "-c",
      "10",
      "-P",
      "4",
      "--csv",
    ];

    const report = await run("redis-benchmark", isCluster ? [...args, "--cluster"] : args);

    expect(report.split("\n").filter((line) => /^"(GET|SET|INCR|MSET)/.test(line))).toHaveLength(4);
  });

  test.skipIf(!hasPython)("serves redis-py", async () => {
    const [host, port] = doors(cluster)[0]!.split(":") as [string, string];
    const type = isCluster ? "redis.RedisCluster" : "redis.Redis";
    const script = `
import redis
r = ${type}(host="${host}", port=${port}, decode_responses=True)
r.set("py", "1", px=60000)
p = r.pipeline(transaction=False)
for _ in range(5): p.incr("py")
print(r.get("py"), r.pttl("py") > 50000, p.execute()[-1], list(r.scan_iter("py*")))
${isCluster ? "" : 's = r.pubsub(); s.subscribe("c"); s.get_message(timeout=2); r.publish("c", "hi"); print(s.get_message(timeout=2)["data"])'}
`;

    const output = await run(python, ["-c", script]);

    expect(output).toContain(`1 True 6 ['py']`);
    if (!isCluster) expect(output).toContain("hi");
  });

  test.skipIf(isCluster)(
    "answers honest requests rightly among mutated ones, and keeps its memory",
    async () => {
      const { redisAddress, pid } = cluster.nodes()[1]!;
      const rss = () => residentBytesOf(pid!);

      const report = await fuzz({
        port: Number(redisAddress!.split(":")[1]),
        seed: 7,
        requests: 10_000,
        rss,
      });

      expect(report.wrong).toEqual([]);
      expect(report.growthBytes).toBeLessThan(128 * 2 ** 20);
    },
  );

  test("goes on when a node is killed", async () => {
    const all = await Promise.all(kinds.map(clientOf));
    await Promise.all(all.map((client, index) => client.set(`survivor-${index}`, "here")));
    // A client of one server comes back when its server does; one of a cluster goes on with the others.
    const victim = isCluster ? cluster.nodes()[NODES - 1]! : cluster.nodes()[0]!;
    await cluster.kill(victim.name);
    if (!isCluster) await cluster.restart(victim.name);

    const goesOn = async (client: TestClient, index: number): Promise<void> => {
      const { name } = kinds[index]!;
      await eventually(
        () => client.get(`survivor-${index}`),
        (found) => found === "here",
        `${name} to read again`,
      );
      const isSet = () => client.set(`after-${index}`, "1");
      await eventually(isSet, () => true, `${name} to write again`);
    };
    // node-redis 5 does not ask anew who is there: calls for a node that is gone wait until that one is back, in any cluster.
    const needsTheNode = (index: number) => kinds[index]!.name === "node-redis 5 as a cluster";
    await Promise.all(all.map((client, index) => (needsTheNode(index) ? undefined : goesOn(client, index))));
    if (!isCluster) return;
    await cluster.restart(victim.name);
    await Promise.all(all.map(goesOn));
  });
});
