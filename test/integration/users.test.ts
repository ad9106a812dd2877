// Users on real nodes in this process: who may do what through the SDK, the Redis door and HTTP, and what a change of the users file does.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { sendCommand } from "../../cluster/node-command.ts";
import { askNode } from "../../cluster/node-http.ts";
import { COMMAND_CLASSES, type CommandClass } from "../../src/base/grants.ts";
import { type Cache, CacheError, connect, type EmbeddedNode, startNode } from "../../src/index.ts";
import { userEntry } from "../../src/server/users.ts";
import { RawRedis } from "../support/raw-redis.ts";

const SECRET = "the secret of the whole cluster";
const PREFIXES = ["a:", "b:", ""] as const;
/** One user for each class and prefix, and some of several classes. */
const USERS = [
  ...COMMAND_CLASSES.flatMap((name) =>
    PREFIXES.map((prefix) => ({ name: nameOf(name, prefix), classes: [name], prefixes: [prefix] })),
  ),
  { name: "app", classes: ["read", "write", "delete"], prefixes: ["a:", "b:"] },
] as const;

function nameOf(commandClass: CommandClass, prefix: string): string {
  return `${commandClass}-${prefix.replace(":", "") || "all"}`;
}

function secretOf(name: string): string {
  return `the secret of user ${name}`;
}

type UserSpec = { name: string; classes: readonly CommandClass[]; prefixes: readonly string[] };

const folder = mkdtempSync(join(tmpdir(), "ringhold-users-"));
const usersFile = join(folder, "users.json");

function writeUsers(users: readonly UserSpec[], secretsOf = (name: string) => [secretOf(name)]): void {
  const entries = users.map(({ name, ...grants }) => userEntry(name, secretsOf(name), grants));
  writeFileSync(usersFile, JSON.stringify({ users: entries }));
}

let nodes: EmbeddedNode[] = [];
let admin: Cache;
const open: { close(): unknown }[] = [];

beforeAll(async () => {
  writeUsers(USERS);
  const options = {
    listen: "127.0.0.1:0",
    redis: "127.0.0.1:0",
    memory: "16mb",
    secret: SECRET,
    usersFile,
  } as const;
  const first = await startNode({ ...options, name: "n1" });
  const second = await startNode({ ...options, name: "n2", join: first.url });
  nodes = [first, second];
  admin = await connect(first.url, { secret: SECRET });
});

afterEach(() => {
  for (const item of open.splice(0)) void item.close();
});

afterAll(async () => {
  await admin.close();
  await Promise.all(nodes.map((node) => node.stop()));
  rmSync(folder, { recursive: true });
});

async function connectAs(name: string): Promise<Cache> {
  const cache = await connect(nodes[0]!.url, { user: name, secret: secretOf(name), timeout: 5_000 });
  open.push(cache);
  return cache;
}

async function redisAs(name: string): Promise<RawRedis> {
  const redis = await RawRedis.open(nodes[1]!.redisAddress!);
  open.push(redis);
  expect(await redis.ask(`auth ${name} "${secretOf(name)}"`)).toBe("+OK\r\n");
  return redis;
}

/** "done" or "forbidden". */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "done";
  } catch (error) {
    if (error instanceof CacheError && error.code === "ERR_FORBIDDEN") return "forbidden";
    throw error;
  }
}

/** Forms of a class on a key and another key beside it. */
const SDK_FORMS: Readonly<
  Record<string, readonly [CommandClass, (cache: Cache, keys: string[]) => Promise<unknown>]>
> = {
  get: ["read", (cache, [key]) => cache.get(key!)],
  getEntry: ["read", (cache, [key]) => cache.getEntry(key!, { read: "quorum" })],
  has: ["read", (cache, [key]) => cache.has(key!)],
  getMany: ["read", (cache, keys) => cache.getMany(keys)],
  set: ["write", (cache, [key]) => cache.set(key!, 1, { ttl: "1h" })],
  touch: ["write", (cache, [key]) => cache.touch(key!, "1h")],
  increment: ["write", (cache, [key]) => cache.increment(key!)],
  setMany: ["write", (cache, keys) => cache.setMany(keys.map((key) => [key, 1] as const))],
  delete: ["delete", (cache, [key]) => cache.delete(key!)],
  deleteMany: ["delete", (cache, keys) => cache.deleteMany(keys)],
};

const REDIS_FORMS: Readonly<Record<string, readonly [readonly CommandClass[], string]>> = {
  get: [["read"], "get K"],
  mget: [["read"], "mget K K2"],
  exists: [["read"], "exists K K2"],
  ttl: [["read"], "ttl K"],
  type: [["read"], "type K"],
  strlen: [["read"], "strlen K"],
  watch: [["read"], "watch K K2"],
  object: [["read"], "object encoding K"],
  lcs: [["read"], "lcs K K2"],
  set: [["write"], "set K 1"],
  mset: [["write"], "mset K 1 K2 1"],
  msetnx: [["write"], "msetnx K 1 K2 1"],
  incr: [["write"], "incr K"],
  append: [["write"], "append K 1"],
  expire: [["write"], "expire K 100"],
  publish: [["write"], "publish K hello"],
  del: [["delete"], "del K K2"],
  unlink: [["delete"], "unlink K"],
};

describe("Users of the SDK", () => {
  test("may do exactly what their class and prefix say", async () => {
    const wrong: string[] = [];
    for (const { name, classes, prefixes } of USERS) {
      const cache = await connectAs(name);
      for (const [form, [needed, run]] of Object.entries(SDK_FORMS)) {
        for (const key of ["a:1", "b:1", "c:1"]) {
          const keys = [key, `${key}2`];
          await admin.setMany(keys.map((each) => [each, 1] as const));
          const isGranted =
            (classes as readonly string[]).includes(needed) &&
            prefixes.some((prefix) => key.startsWith(prefix));
          const outcome = await outcomeOf(run(cache, keys));
          if (outcome !== (isGranted ? "done" : "forbidden"))
            wrong.push(`${name} ${form} ${key}: ${outcome}`);
        }
      }
    }

    expect(wrong).toEqual([]);
  });

  test("change nothing with a call on many keys of which one is denied", async () => {
    await admin.setMany([
      ["a:x", "old"],
      ["c:x", "old"],
    ]);
    const cache = await connectAs("app");

    const set = cache.setMany([
      ["a:x", "new"],
      ["a:y", "new"],
      ["c:x", "new"],
    ]);
    await expect(set).rejects.toMatchObject({ code: "ERR_FORBIDDEN", applied: "no" });
    await expect(cache.deleteMany(["a:x", "c:x"])).rejects.toMatchObject({
      code: "ERR_FORBIDDEN",
      applied: "no",
    });
    await expect(cache.getMany(["a:x", "c:x"])).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });

    expect(await admin.getMany(["a:x", "a:y", "c:x"])).toEqual(["old", undefined, "old"]);
  });

  test("are shown only the keys that they may know of, and count and clear nothing but all keys", async () => {
    await admin.clear();
    await admin.setMany(["a:1", "a:2", "b:1", "c:1", "a", "ab"].map((key) => [key, 1] as const));
    const listed = async (cache: Cache, prefix?: string) => {
      const keys: string[] = [];
      for await (const key of cache.keys(prefix === undefined ? {} : { prefix })) keys.push(key);
      return keys.sort();
    };
    const [app, reader, everything, writer] = await Promise.all(
      ["app", "read-a", "read-all", "write-all"].map(connectAs),
    );

    expect(await listed(app!)).toEqual(["a:1", "a:2", "b:1"]);
    expect(await listed(app!, "a")).toEqual(["a:1", "a:2"]);
    expect(await listed(app!, "a:2")).toEqual(["a:2"]);
    expect(await listed(app!, "c")).toEqual([]);
    expect(await listed(reader!)).toEqual(["a:1", "a:2"]);
    expect(await listed(everything!)).toHaveLength(6);
    expect(await outcomeOf(listed(writer!))).toBe("forbidden");
    expect([await outcomeOf(app!.size()), await outcomeOf(app!.clear())]).toEqual(["forbidden", "forbidden"]);
    expect([await everything!.size(), await outcomeOf(everything!.clear())]).toEqual([6, "forbidden"]);
    expect(await admin.size()).toBe(6);
    expect(await outcomeOf((await connectAs("delete-all")).clear())).toBe("done");
    expect(await admin.size()).toBe(0);
  });

  test("are refused with a wrong secret, a wrong name, or the cluster's secret, all in the same words", async () => {
    const attempts = [
      { user: "app", secret: "the secret of nobody" },
      { user: "nobody", secret: secretOf("app") },
      { user: "app", secret: SECRET },
      { user: "read-a", secret: secretOf("app") },
    ];

    const messages = await Promise.all(
      attempts.map((login) =>
        connect(nodes[0]!.url, login).then(
          () => "connected",
          (error: CacheError) => `${error.code} ${error.message}`,
        ),
      ),
    );

    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).toMatch(/^ERR_UNAUTHORIZED .*The user or its secret is not right/);
  });

  test("may tell nodes to leave only if they are of the class cluster", async () => {
    const command = { command: "evict", member: "no-such-node" } as const;
    const { address } = nodes[0]!.status();
    const as = (user: string) => sendCommand(address, { ...command, user, secret: secretOf(user) });

    await expect(as("app")).rejects.toThrow("User app may not change the cluster");
    await expect(as("admin-all")).rejects.toThrow("may not change the cluster");
    await as("cluster-all");
  });

  test("act as who they proved to be, whatever else they hold", async () => {
    // One connection, one identity: what B could do does not help A.
    const [a, b] = [await connectAs("read-a"), await connectAs("write-all")];

    expect(await outcomeOf(b.set("b:s11", 1))).toBe("done");
    expect(await outcomeOf(a.get("b:s11"))).toBe("forbidden");
    expect(await outcomeOf(a.set("a:s11", 1))).toBe("forbidden");
    expect(await outcomeOf(b.get("b:s11"))).toBe("forbidden");
  });
});

describe("Users of the Redis door", () => {
  test("may do exactly what their class and prefix say", async () => {
    const wrong: string[] = [];
    for (const { name, classes, prefixes } of USERS) {
      const redis = await redisAs(name);
      for (const [form, [needed, line]] of Object.entries(REDIS_FORMS)) {
        for (const key of ["a:1", "b:1", "c:1"]) {
          await admin.setMany([
            [key, "1"],
            [`${key}2`, "1"],
          ]);
          const isGranted =
            needed.every((each) => (classes as readonly string[]).includes(each)) &&
            prefixes.some((prefix) => key.startsWith(prefix));
          const reply = await redis.ask(line.replaceAll("K2", `${key}2`).replaceAll("K", key));
          if (reply.startsWith("-NOPERM") === isGranted || /^-(?!NOPERM)/.test(reply))
            wrong.push(`${name} ${form} ${key}: ${reply}`);
        }
      }
    }

    expect(wrong).toEqual([]);
  });

  test("change nothing with a request of which one key is denied, and nothing with a transaction of which one command is", async () => {
    await admin.setMany([
      ["a:x", "old"],
      ["c:x", "old"],
    ]);
    const redis = await redisAs("app");

    for (const line of [
      "mset a:x new c:x new",
      "del a:x c:x",
      "rename a:x c:x",
      "copy a:x c:x",
      "set c:x new get",
    ])
      expect(await redis.ask(line)).toMatch(/^-NOPERM/);
    for (const line of ["multi", "set a:x new"]) await redis.ask(line);
    expect(await redis.ask("set c:x new")).toMatch(/^-NOPERM/);
    expect(await redis.ask("exec")).toMatch(/^-EXECABORT/);

    expect(await admin.getMany(["a:x", "c:x"])).toEqual(["old", "old"]);
  });

  test("are shown only the keys that they may know of", async () => {
    await admin.clear();
    await admin.setMany(["a:1", "a:2", "b:1", "c:1", "ab"].map((key) => [key, 1] as const));
    const [app, everything, writer] = await Promise.all(["app", "read-all", "write-all"].map(redisAs));
    const keysOf = (reply: string) =>
      [...reply.matchAll(/^(?:[abc]:\d|ab)\r$/gm)].map(([key]) => key.trim()).sort();
    const scanned = async (redis: RawRedis) => {
      let [text, cursor] = ["", "0"];
      do {
        const reply = await redis.ask(`scan ${cursor} count 1000`);
        cursor = /^\*2\r\n\$\d+\r\n(\d+)/.exec(reply)?.[1] ?? "0";
        text += reply;
      } while (cursor !== "0");
      return keysOf(text);
    };

    expect(keysOf(await app!.ask("keys *"))).toEqual(["a:1", "a:2", "b:1"]);
    expect(await scanned(app!)).toEqual(["a:1", "a:2", "b:1"]);
    expect(await scanned(everything!)).toHaveLength(5);
    for (const line of ["randomkey", "dbsize", "flushall", "flushdb"])
      expect(await app!.ask(line)).toMatch(/^-NOPERM/);
    expect(await everything!.ask("dbsize")).toBe(":5\r\n");
    for (const line of ["keys *", "scan 0", "dbsize", "flushall"])
      expect(await writer!.ask(line)).toMatch(/^-NOPERM/);
    expect(await admin.size()).toBe(5);
  });

  test("learn nothing of the node and of others unless they are of the class admin", async () => {
    const [app, chief] = [await redisAs("app"), await redisAs("admin-a")];

    for (const line of [
      "client list",
      "client kill type normal",
      "config get *",
      "config resetstat",
      "pubsub channels",
    ]) {
      expect(await app.ask(line)).toMatch(/^-NOPERM/);
    }
    expect(await app.ask("info")).not.toMatch(/ringhold_|connected_clients|used_memory/);
    expect(await app.ask("info")).toMatch(/redis_version/);
    expect(await chief.ask("info")).toMatch(/ringhold_verdict/);
    expect(await chief.ask("client list")).toMatch(/user=app/);
    expect(await app.ask("client id")).toMatch(/^:\d/);
    expect(await app.ask("subscribe c:news")).toMatch(/^-NOPERM/);
    expect(await app.ask("psubscribe *")).toMatch(/^-NOPERM/);
    expect(await app.ask("client tracking on bcast")).toMatch(/^-NOPERM/);
    expect(await app.ask("client tracking on bcast prefix a: prefix c:")).toMatch(/^-NOPERM/);
    expect(await app.ask("hello 3")).toMatch(/^%/);
    expect(await app.ask("client tracking on bcast prefix a:")).toBe("+OK\r\n");
    expect(await app.ask("psubscribe a:*")).not.toMatch(/^-/);
  });

  test("are refused with a wrong secret or name in the same words, and keep their identity when another login fails", async () => {
    const replies: string[] = [];
    for (const login of [
      "app wrong-secret-wrong",
      "nobody wrong-secret",
      `app "${SECRET}"`,
      `default "${secretOf("app")}"`,
    ]) {
      const redis = await RawRedis.open(nodes[0]!.redisAddress!);
      open.push(redis);
      replies.push(await redis.ask(`auth ${login}`), await redis.reply());
    }
    const app = await redisAs("app");

    expect(new Set(replies)).toEqual(
      new Set(["-WRONGPASS invalid username-password pair or user is disabled.\r\n", ""]),
    );
    expect(await app.ask(`hello 3 auth admin-all "${secretOf("app")}"`)).toMatch(/^-WRONGPASS/);
    expect(await app.reply()).toBe("");
  });
});

describe("Users of the pages", () => {
  test("read them if they are of the class admin", async () => {
    const { address } = nodes[0]!.status();
    const status = async (user: string, secret: string) =>
      (await askNode(address, "/status", { user, secret })).status;

    expect(await status("admin-a", secretOf("admin-a"))).toBe(200);
    expect(await status("app", secretOf("app"))).toBe(403);
    expect(await status("app", SECRET)).toBe(401);
    expect(await status("nobody", secretOf("admin-a"))).toBe(401);
    expect(await status("default", SECRET)).toBe(200);
  });
});

describe("A users file that changes", () => {
  test("holds for those who are connected as well, and a bad one changes nothing", async () => {
    const watched = [...USERS, { name: "guest", classes: ["read"], prefixes: ["a:"] }] as const;
    writeUsers(watched);
    const guest = await vi.waitFor(() => connectAs("guest"), { timeout: 10_000, interval: 200 });
    const redis = await vi.waitFor(() => redisAs("guest"), { timeout: 10_000, interval: 200 });
    const bystander = await redisAs("app");
    expect(await outcomeOf(guest.get("a:1"))).toBe("done");

    writeFileSync(usersFile, "{ not JSON");
    expect(await outcomeOf(guest.get("a:1"))).toBe("done");
    writeUsers([...USERS, { name: "guest", classes: ["read"], prefixes: ["b:"] }]);
    await vi.waitFor(async () => expect(await outcomeOf(guest.get("a:1"))).toBe("forbidden"), {
      timeout: 10_000,
    });
    // Another node may read the file a moment later.
    await vi.waitFor(async () => expect(await outcomeOf(guest.get("b:1"))).toBe("done"), { timeout: 10_000 });
    expect(await redis.reply()).toBe("");
    expect(await bystander.ask("exists a:1")).toMatch(/^:/);

    writeUsers(USERS);
    await vi.waitFor(
      () => expect(guest.get("b:1", { timeout: 300 })).rejects.toMatchObject({ code: "ERR_UNREACHABLE" }),
      { timeout: 10_000 },
    );
  });

  test("takes a new secret beside the old one, and then only the new one, without a failed call", async () => {
    const next = "the next secret of user app";
    const app = await connect(nodes[0]!.url, { user: "app", secret: () => [next, secretOf("app")] });
    open.push(app);
    let [calls, isOver] = [0, false];
    const failures: unknown[] = [];
    const load = (async () => {
      while (!isOver) {
        await app.set(`a:${calls++ % 100}`, calls).catch((error: unknown) => failures.push(error));
      }
    })();
    const secretsOf =
      (...secrets: string[]) =>
      (name: string) =>
        name === "app" ? secrets : [secretOf(name)];
    const canConnect = (secret: string) =>
      connect(nodes[0]!.url, { user: "app", secret }).then(
        (cache) => cache.close().then(() => true),
        () => false,
      );

    writeUsers(USERS, secretsOf(next, secretOf("app")));
    await vi.waitFor(async () => expect(await canConnect(next)).toBe(true), { timeout: 10_000 });
    expect(await canConnect(secretOf("app"))).toBe(true);
    writeUsers(USERS, secretsOf(next));
    await vi.waitFor(async () => expect(await canConnect(secretOf("app"))).toBe(false), { timeout: 10_000 });
    isOver = true;
    await load;
    writeUsers(USERS);

    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
  });
});
