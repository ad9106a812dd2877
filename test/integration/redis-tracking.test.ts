// Client-side caching against a cluster of nodes in this process: who reads at one node is told of changes at any other, by whatever way.

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type EmbeddedNode, startNode } from "../../src/index.ts";
import { RawRedis } from "../support/raw-redis.ts";
import { hasProgram, run } from "./redis-clients.ts";

const NODES = 3;
const hasCli = await hasProgram("redis-cli", ["--version"]);
const nodes: EmbeddedNode[] = [];
const open: RawRedis[] = [];

beforeAll(async () => {
  const options = { listen: "127.0.0.1:0", redis: "127.0.0.1:0", memory: "32mb" };
  nodes.push(await startNode({ ...options, name: "n1" }));
  for (let index = 1; index < NODES; index++)
    nodes.push(await startNode({ ...options, name: `n${index + 1}`, join: nodes[0]!.url }));
  await until(() => nodes.every((node) => node.status().isSafe && node.status().members.length === NODES));
});

afterEach(() => {
  for (const raw of open.splice(0)) raw.close();
});

afterAll(async () => {
  for (const node of nodes) await node.stop();
});

function until(isTrue: () => boolean): Promise<void> {
  return vi.waitFor(() => expect(isTrue()).toBe(true), { timeout: 20_000, interval: 10 });
}

async function dial(index: number): Promise<RawRedis> {
  const raw = await RawRedis.open(nodes[index]!.redisAddress!);
  open.push(raw);
  return raw;
}

/** A connection that caches: what it is told apart from what it asked for. */
class Caching {
  readonly #raw: RawRedis;
  readonly #replies: string[] = [];
  readonly #pushes: string[] = [];
  #wake: () => void = () => {};

  constructor(raw: RawRedis) {
    this.#raw = raw;
    void this.#read();
  }

  async #read(): Promise<void> {
    for (let reply = await this.#raw.reply(); reply !== ""; reply = await this.#raw.reply()) {
      (reply.startsWith(">") ? this.#pushes : this.#replies).push(reply);
      this.#wake();
    }
  }

  async #next(queue: string[]): Promise<string> {
    while (queue.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return queue.shift()!;
  }

  ask(line: string): Promise<string> {
    this.#raw.write(`${line}\r\n`);
    return this.#next(this.#replies);
  }

  /** The next thing that it is told. */
  told(): Promise<string> {
    return this.#next(this.#pushes);
  }

  /** Whether it is told nothing while others write and read. */
  async isQuiet(): Promise<boolean> {
    await this.ask("set beside x");
    await this.ask("ping");
    return this.#pushes.length === 0;
  }
}

async function caching(index: number, options = ""): Promise<Caching> {
  const raw = await dial(index);
  await raw.ask("hello 3");
  expect(await raw.ask(`client tracking on ${options}`)).toBe("+OK\r\n");
  return new Caching(raw);
}

const invalidate = (...keys: readonly string[]): string =>
  `>2\r\n$10\r\ninvalidate\r\n*${keys.length}\r\n${keys.map((key) => `$${key.length}\r\n${key}\r\n`).join("")}`;
const FORGET = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

describe("CLIENT TRACKING with clients that cache", () => {
  test.each(["redis5", "redis6"])("serves the client-side cache of %s", async (name) => {
    const { createClient, BasicClientSideCache } = (await import(name)) as typeof import("redis6");
    const cached = new BasicClientSideCache({ maxEntries: 100, ttl: 0, evictPolicy: "LRU" });
    const options = { url: `redis://${nodes[0]!.redisAddress}`, RESP: 3 as const };
    const client = createClient({ ...options, clientSideCache: cached });
    const writer = createClient({ url: `redis://${nodes[1]!.redisAddress}`, RESP: 3 });
    for (const one of [client, writer]) one.on("error", () => {});
    await Promise.all([client.connect(), writer.connect()]);
    try {
      await writer.set(`csc:${name}`, "1");
      for (let index = 0; index < 100; index++) expect(await client.get(`csc:${name}`)).toBe("1");
      const { hitCount } = cached.stats();
      expect(hitCount).toBeGreaterThanOrEqual(95);
      await writer.set(`csc:${name}`, "2");
      const deadlineMs = performance.now() + 5_000;
      while ((await client.get(`csc:${name}`)) !== "2")
        if (performance.now() > deadlineMs) throw new Error("A stale value stayed");
    } finally {
      client.destroy();
      writer.destroy();
    }
  });

  test.skipIf(!hasCli)("shows redis-cli what is stale", async () => {
    const [host, port] = nodes[0]!.redisAddress!.split(":") as [string, string];

    const output = await run(
      "redis-cli",
      ["-h", host, "-p", port, "-3", "--show-pushes", "yes"],
      "client tracking on\nget cli\nset cli 1\nping\nping\n",
    );

    expect(output).toMatch(/invalidate/);
  });
});

describe("CLIENT TRACKING", () => {
  test.each([0, 1, 2])("tells who read at node 1 of a write at node %i", async (writer) => {
    const [reader, other] = [await caching(0), await dial(writer)];
    for (let index = 0; index < 20; index++) {
      await other.ask(`set w${writer}:${index} 1`);
      expect(await reader.ask(`get w${writer}:${index}`)).toBe("$1\r\n1\r\n");
      await other.ask(`set w${writer}:${index} 2`);
      expect(await reader.told()).toBe(invalidate(`w${writer}:${index}`));
      // Not told again before it has read again.
      await other.ask(`set w${writer}:${index} 3`);
      expect(await reader.isQuiet()).toBe(true);
    }
  });

  test("tells of writes, deletes, touches and increments by the SDK", async () => {
    const reader = await caching(0);
    const cache = nodes[1]!.cache();
    for (const [key, change] of [
      ["sdk:set", () => cache.set("sdk:set", "2")],
      ["sdk:delete", () => cache.delete("sdk:delete")],
      ["sdk:touch", () => cache.touch("sdk:touch", 60_000)],
      ["sdk:increment", () => cache.increment("sdk:increment")],
    ] as const) {
      await cache.set(key, 1);
      await reader.ask(`get ${key}`);
      await change();
      expect(await reader.told()).toBe(invalidate(key));
    }
  });

  test("tells of a key that was absent, and of each key of an MGET", async () => {
    const [reader, other] = [await caching(0), await dial(1)];
    expect(await reader.ask("mget absent:1 absent:2 absent:3")).toMatch(/^\*3/);

    await other.ask("set absent:2 x");
    expect(await reader.told()).toBe(invalidate("absent:2"));
    await other.ask("set absent:3 x");
    expect(await reader.told()).toBe(invalidate("absent:3"));
  });

  test("tells of expiry", async () => {
    const [reader, other] = [await caching(0), await dial(1)];
    await other.ask("set short x px 80");
    await reader.ask("get short");

    expect(await reader.told()).toBe(invalidate("short"));
    expect(await reader.ask("get short")).toBe("_\r\n");
  });

  test("tells a connection of its own writes, but for NOLOOP", async () => {
    const [plain, quiet] = [await caching(0), await caching(0, "noloop")];
    await plain.ask("set own 1");
    for (const raw of [plain, quiet]) expect(await raw.ask("get own")).toBe("$1\r\n1\r\n");

    expect(await quiet.ask("set own 2")).toBe("+OK\r\n");
    expect(await plain.told()).toBe(invalidate("own"));
    expect(await quiet.isQuiet()).toBe(true);
    await plain.ask("get own");
    expect(await plain.ask("append own x")).toBe(":2\r\n");
    expect(await plain.told()).toBe(invalidate("own"));
    for (const line of ["get own", "multi", "set own 5"]) await quiet.ask(line);
    expect(await quiet.ask("exec")).toBe("*1\r\n+OK\r\n");
    expect(await quiet.isQuiet()).toBe(true);
  });

  test("remembers only what it is told to with OPTIN, and all but what it is told not to with OPTOUT", async () => {
    const [optIn, optOut, other] = [await caching(0, "optin"), await caching(0, "optout"), await dial(1)];
    expect(await optIn.ask("client caching no")).toMatch(/^-ERR CLIENT CACHING NO is only valid/);
    await optIn.ask("get in:1");
    await optIn.ask("client caching yes");
    expect(await optIn.ask("client trackinginfo")).toContain("caching-yes");
    await optIn.ask("client caching yes");
    await optIn.ask("get in:2");
    await optIn.ask("get in:3");
    await optIn.ask("client caching yes");
    for (const line of ["multi", "get in:4", "get in:5", "exec"]) await optIn.ask(line);
    await optOut.ask("get out:1");
    await optOut.ask("client caching no");
    await optOut.ask("get out:2");

    await other.ask("mset in:1 x in:2 x in:3 x out:2 x");
    expect(await optIn.told()).toBe(invalidate("in:2"));
    await other.ask("set in:4 x");
    expect(await optIn.told()).toBe(invalidate("in:4"));
    await other.ask("set in:5 x");
    expect(await optIn.told()).toBe(invalidate("in:5"));
    await other.ask("set out:1 x");
    expect(await optOut.told()).toBe(invalidate("out:1"));
    expect(await optIn.isQuiet()).toBe(true);
  });

  test("tells of all keys with a prefix in BCAST mode, read or not", async () => {
    const [some, every, other] = [
      await caching(0, "bcast prefix user: prefix é"),
      await caching(1, "bcast"),
      await dial(2),
    ];

    await other.ask("set other 1");
    await other.ask("set user:1 1");
    expect(await some.told()).toBe(invalidate("user:1"));
    expect(await every.told()).toBe(invalidate("other"));
    await other.ask("set {x}soon 1 px 60");
    let told = await every.told();
    const reasons = new Set<string>();
    while (reasons.size < 2) {
      if (told === invalidate("{x}soon")) reasons.add(reasons.size === 0 ? "set" : "expired");
      if (reasons.size < 2) told = await every.told();
    }
    expect(await some.ask("client trackinginfo")).toContain("bcast");
    expect(await some.ask("client tracking on bcast prefix user:1")).toMatch(
      /^-ERR Prefix 'user:1' overlaps/,
    );
  });

  test("tells another connection, of RESP2 or RESP3, where it is redirected", async () => {
    const [listener, reader, other] = [await dial(0), await dial(0), await dial(1)];
    const id = (await listener.ask("client id")).slice(1, -2);
    expect(await reader.ask(`client tracking on redirect ${id}`)).toBe("+OK\r\n");
    expect(await reader.ask("client getredir")).toBe(`:${id}\r\n`);
    await listener.ask("subscribe __redis__:invalidate");
    await reader.ask("get r");
    await other.ask("set r 1");

    expect(await listener.reply()).toBe(
      "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nr\r\n",
    );
    await reader.ask("hello 3");
    await reader.ask("get r");
    listener.close();
    await until(() => listener.isClosed);
    await other.ask("set r 2");
    expect(await reader.reply()).toBe(`>2\r\n$21\r\ntracking-redir-broken\r\n:${id}\r\n`);
    expect(await reader.ask("client trackinginfo")).toContain("broken_redirect");
  });

  test("says what Redis says of options that do not go together", async () => {
    const raw = await dial(0);

    expect(await raw.ask("client tracking on redirect 999999")).toBe(
      "-ERR The client ID you want redirect to does not exist\r\n",
    );
    expect(await raw.ask("client tracking on prefix a")).toBe(
      "-ERR PREFIX option requires BCAST mode to be enabled\r\n",
    );
    expect(await raw.ask("client tracking on optin optout")).toBe(
      "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n",
    );
    expect(await raw.ask("client tracking on bcast optin")).toBe(
      "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n",
    );
    expect(await raw.ask("client tracking perhaps")).toBe("-ERR syntax error\r\n");
    expect(await raw.ask("client caching yes")).toMatch(/^-ERR CLIENT CACHING can be called only when/);
    expect(await raw.ask("client getredir")).toBe(":-1\r\n");
    expect(await raw.ask("client trackinginfo")).toBe(
      "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
    );
    await raw.ask("client tracking on");
    expect(await raw.ask("client tracking on bcast")).toMatch(/^-ERR You can't switch BCAST mode/);
    expect(await raw.ask("client info")).toMatch(/ flags=t /);
    expect(await raw.ask("info stats")).toContain("tracking_total_keys:");
    expect(await raw.ask("reset")).toBe("+RESET\r\n");
    expect(await raw.ask("client getredir")).toBe(":-1\r\n");
  });

  test("comes after the reply that it makes stale, in a pipeline too", async () => {
    const [reader, other] = [await dial(0), await dial(1)];
    await reader.ask("hello 3");
    await reader.ask("client tracking on");
    for (let round = 0; round < 60; round++) {
      const gets = Array.from({ length: 30 }, (_, index) => `get race:${index}\r\n`).join("");
      reader.write(gets);
      other.write(Array.from({ length: 30 }, (_, index) => `set race:${index} ${round}\r\n`).join(""));
      for (let index = 0; index < 30; index++) await other.reply();
    }
    // A client as simple as can be: it keeps what it was told last, and forgets what it is told to.
    const kept = new Map<string, string>();
    let asked = 0;
    const take = (reply: string): void => {
      if (reply === FORGET) kept.clear();
      else if (!reply.startsWith(">")) kept.set(`race:${asked++ % 30}`, reply);
      else for (const [, key] of reply.matchAll(/\r\n(race:\d+)/g)) kept.delete(key!);
    };
    while (asked < 60 * 30) take(await reader.reply());

    const fence = await dial(2);
    await fence.ask("set fence 1");
    reader.write("ping\r\n");
    for (let reply = await reader.reply(); reply !== "+PONG\r\n"; reply = await reader.reply()) take(reply);
    for (const value of kept.values()) expect(value).toBe("$2\r\n59\r\n");
  });

  test("tells to forget everything when a member goes", async () => {
    const options = { listen: "127.0.0.1:0", memory: "16mb" };
    const guest = await startNode({ ...options, name: "guest", join: nodes[0]!.url });
    await until(() =>
      nodes.every((node) => node.status().isSafe && node.status().members.length === NODES + 1),
    );
    const reader = await caching(0);
    await reader.ask("get member");
    await guest.stop();

    expect(await reader.told()).toBe(FORGET);
    await reader.ask("get member");
    await (await dial(1)).ask("set member 2");
    for (let told = await reader.told(); told !== invalidate("member"); told = await reader.told())
      expect(told).toBe(FORGET);
  });

  test("tells to forget everything when all is cleared, by the door and by the SDK", async () => {
    const reader = await caching(0);
    await reader.ask("get any");
    const other = await dial(2);
    await other.ask("flushall");
    expect(await reader.told()).toBe(FORGET);

    await reader.ask("get any");
    await nodes[1]!.cache().clear();
    let told = await reader.told();
    // What was left of the first.
    while (told !== FORGET) told = await reader.told();
  });
});
