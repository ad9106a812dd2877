// The Redis door of nodes in this process, spoken to in plain bytes: Redis' own replies, protocols, transactions, limits, secrets, TLS.
// `golden/redis-replies.json` holds what Redis 7.0.15 answered to each request, in their order on one connection; where the door
// differs on purpose (sums of fractions are exact; CLIENT SETINFO of Redis 7.2 is known; WAIT counts copies) there is `null`.

import { readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { EmbeddedNode } from "../../src/index.ts";
import { AUTHORITY, NODE_CERTIFICATE, NODE_KEY } from "../support/certificates.ts";
import { encode, RawRedis } from "../support/raw-redis.ts";
import { closeDialled, closedLater, dial, replyTo, start, stopNodes } from "../support/redis-nodes.ts";

afterEach(closeDialled);
afterAll(stopNodes);

describe("The Redis door", () => {
  let node: EmbeddedNode;
  let redis: RawRedis;

  beforeAll(async () => {
    node = await start();
  });

  const fresh = async (): Promise<void> => {
    redis = await dial(node);
  };

  test("answers as Redis does", async () => {
    await fresh();
    const golden = JSON.parse(
      readFileSync(new URL("golden/redis-replies.json", import.meta.url), "utf8"),
    ) as [string, string | null][];
    const differing: unknown[] = [];

    for (const [line, expected] of golden) {
      const reply = await redis.ask(line);
      if (expected !== null && reply !== expected) differing.push({ line, expected, reply });
    }

    expect(golden.length).toBeGreaterThan(250);
    expect(golden.filter(([, expected]) => expected === null).length).toBeLessThan(8);
    expect(differing).toEqual([]);
  }, 60_000);

  test("answers a pipeline in order, inline commands among it", async () => {
    await fresh();
    redis.write("SET p 1\r\n*2\r\n$4\r\nINCR\r\n$1\r\np\r\n  get   p\r\n\r\nPING\r\n");

    expect([await redis.reply(), await redis.reply(), await redis.reply(), await redis.reply()]).toEqual([
      "+OK\r\n",
      ":2\r\n",
      "$1\r\n2\r\n",
      "+PONG\r\n",
    ]);
  });

  test("speaks RESP3 to who asks for it, and RESP2 again", async () => {
    await fresh();

    expect(await redis.ask("hello 3")).toMatch(/^%7\r\n\$6\r\nserver\r\n\$5\r\nredis\r\n/);
    expect(await redis.ask("get nothing")).toBe("_\r\n");
    expect(await redis.ask("config get maxmemory-policy")).toMatch(/^%1\r\n/);
    expect(await redis.ask("client info")).toMatch(/^=\d+\r\ntxt:id=/);
    expect(await redis.ask("subscribe a")).toBe(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    expect(await redis.ask("publish a hi")).toBe(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    expect(await redis.reply()).toBe(":1\r\n");
    expect(await redis.ask("unsubscribe a")).toMatch(/^>3\r\n/);
    expect(await redis.ask("hello 2")).toMatch(/^\*14\r\n/);
    expect(await redis.ask("get nothing")).toBe("$-1\r\n");
  });

  test("lets a subscriber of RESP2 do little else", async () => {
    await fresh();

    expect(await redis.ask("psubscribe a*")).toBe("*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:1\r\n");
    expect(await redis.ask("get k")).toContain("only (P|S)SUBSCRIBE");
    expect(await redis.ask("ping")).toBe("*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    expect(await redis.ask("reset")).toBe("+RESET\r\n");
    expect(await redis.ask("ping")).toBe("+PONG\r\n");
  });

  test("keeps values that are no text, and refuses keys that are none", async () => {
    await fresh();
    const bytes = Uint8Array.of(0xff, 0, 0x0d, 0x0a, 0xfe);
    redis.write(encode([Buffer.from("SET"), Buffer.from("bytes"), bytes]));
    await redis.reply();

    expect(await redis.ask("get bytes")).toBe(`$5\r\n${Buffer.from(bytes).toString("latin1")}\r\n`);
    expect(await node.cache().get("bytes")).toEqual(bytes);
    redis.write(encode([Buffer.from("GET"), bytes]));
    expect(await redis.reply()).toBe("-ERR keys must be valid UTF-8\r\n");
    redis.write(encode([Buffer.from("GET"), Buffer.alloc(1_025, 97)]));
    expect(await redis.reply()).toMatch(/^-ERR keys must have from 1 to 1024 bytes/);
  });

  test("answers WRONGTYPE for values that only the SDK knows", async () => {
    await fresh();
    await node.cache().set("object", { a: 1 });

    for (const line of [
      "get object",
      "append object x",
      "incr object",
      "getset object x",
      "setrange object 0 x",
    ]) {
      expect(await redis.ask(line)).toMatch(/^-(WRONGTYPE|ERR value is not an integer)/);
    }
    expect(await redis.ask("type object")).toBe("+object\r\n");
    expect(await redis.ask("mget object")).toBe("*1\r\n$-1\r\n");
    expect(await redis.ask("set object text")).toBe("+OK\r\n");
    expect(await node.cache().get("object")).toBe("text");
  });

  test("counts in the node's metrics", async () => {
    await fresh();
    await redis.ask("get nothing");
    const page = await (await fetch(`${node.url.replace("ringhold", "http")}/metrics`)).text();

    expect(page).toMatch(/^ringhold_redis_connections [1-9]/m);
    expect(page).toMatch(/^ringhold_redis_commands_total [1-9]/m);
    expect(page).toMatch(/^ringhold_requests_total\{kind="get",outcome="ok"\} [1-9]/m);
  });

  test("gives what EXPIRE and SET say of time to the SDK, to the millisecond", async () => {
    await fresh();
    await redis.ask("set timed v pxat 4000000000123");

    expect(await node.cache().getEntry("timed")).toMatchObject({ value: "v", expiresAt: 4_000_000_000_123 });
    expect(await redis.ask("getex timed exat 4000000001")).toBe("$1\r\nv\r\n");
    expect(await redis.ask("pexpiretime timed")).toBe(":4000000001000\r\n");
  });

  test("counts on where the SDK counted, beyond what a double holds", async () => {
    await fresh();
    await node.cache().increment("count", 9_007_199_254_740_990);

    expect(await redis.ask("incr count")).toBe(":9007199254740991\r\n");
    expect(await redis.ask("incr count")).toBe(":9007199254740992\r\n");
    expect(await redis.ask("incrby count 7")).toBe(":9007199254740999\r\n");
    expect(await redis.ask("get count")).toBe("$16\r\n9007199254740999\r\n");
  });

  test("loses no change of many connections to one key", async () => {
    const raws = await Promise.all(Array.from({ length: 10 }, () => dial(node)));

    await Promise.all(
      raws.map(async (raw) => {
        for (let index = 0; index < 20; index++) {
          raw.write(encode(["APPEND", "log", "x"].map((word) => Buffer.from(word))));
          raw.write(encode(["INCRBYFLOAT", "sum", "0.1"].map((word) => Buffer.from(word))));
          await raw.reply();
          await raw.reply();
        }
      }),
    );

    expect(await raws[0]!.ask("strlen log")).toBe(":200\r\n");
    expect(await raws[0]!.ask("get sum")).toBe("$2\r\n20\r\n");
  });

  test("runs a transaction on one key in one step, and none whose watched key was changed", async () => {
    await fresh();
    const other = await dial(node);
    await redis.ask("set w 1");
    for (const line of ["watch w", "multi", "incr w", "expire w 100", "get w"]) await redis.ask(line);

    expect(await redis.ask("exec")).toBe("*3\r\n:2\r\n:1\r\n$1\r\n2\r\n");
    for (const line of ["watch w", "multi", "incr w"]) await redis.ask(line);
    await other.ask("set w 10");
    expect(await redis.ask("exec")).toBe("*-1\r\n");
    expect(await redis.ask("get w")).toBe("$2\r\n10\r\n");
  });

  test("refuses a transaction whose promise it could not keep", async () => {
    await fresh();
    for (const line of ["watch w", "multi", "set w1 1", "set w2 2"]) await redis.ask(line);

    expect(await redis.ask("exec")).toMatch(/^-EXECABORT/);
    expect(await redis.ask("exists w1 w2")).toBe(":0\r\n");
    for (const line of ["multi", "set w1 1", "set w2 2"]) await redis.ask(line);
    expect(await redis.ask("exec")).toBe("*2\r\n+OK\r\n+OK\r\n");
  });

  test("returns every key that stays from SCAN, while others come and go", async () => {
    await fresh();
    const other = await dial(node);
    await redis.ask("flushall");
    for (let index = 0; index < 300; index++) await redis.ask(`set stay:${index} x`);
    // All in one slot: positions within a slot count too.
    for (let index = 0; index < 300; index++) await redis.ask(`set {slot}stay:${index} x`);
    const found = new Set<string>();
    let cursor = "0";
    let round = 0;

    do {
      const reply = await redis.ask(`scan ${cursor} match *stay:* count 17`);
      const words = reply.split("\r\n").filter((line) => line !== "" && !/^[*$]\d+$/.test(line));
      cursor = words[0]!;
      for (const key of words.slice(1)) found.add(key);
      await other.ask(`set come:${round} x`);
      await other.ask(`del come:${round - 5}`);
      await other.ask(`set {slot}come:${round++} x`);
    } while (cursor !== "0");

    expect(found.size).toBe(600);
    expect(round).toBeGreaterThan(10);
    expect(await redis.ask("scan 0 type hash count 1000")).toBe("*2\r\n$1\r\n0\r\n*0\r\n");
  });

  test("closes what cannot be parsed, after the answers before it", async () => {
    await fresh();
    redis.write("PING\r\n*1\r\n$3\r\nSET\r\n*1\r\n:1\r\n");

    expect(await redis.reply()).toBe("+PONG\r\n");
    expect(await redis.reply()).toBe("-ERR wrong number of arguments for 'set' command\r\n");
    expect(await redis.reply()).toBe("-ERR Protocol error: expected '$', got ':'\r\n");
    expect(await redis.reply()).toBe("");
  });

  test("refuses values over the limit before they are sent", async () => {
    await fresh();
    redis.write("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900000000\r\n");

    expect(await redis.reply()).toBe("-ERR Protocol error: invalid bulk length\r\n");
  });

  test("takes more keys in one request than a node has operations under way", async () => {
    await fresh();
    const keys = Array.from({ length: 60_000 }, (_, index) => Buffer.from(`many:${index}`));
    const value = Buffer.from("v");
    redis.write(encode([Buffer.from("MSET"), ...keys.flatMap((key) => [key, value])]));
    expect(await redis.reply()).toBe("+OK\r\n");
    redis.write(encode([Buffer.from("EXISTS"), ...keys, ...keys]));
    expect(await redis.reply()).toBe(":120000\r\n");
    redis.write(encode([Buffer.from("UNLINK"), ...keys]));
    expect(await redis.reply()).toBe(":60000\r\n");
    redis.write("*1048577\r\n");
    expect(await redis.reply()).toBe("-ERR Protocol error: invalid multibulk length\r\n");
  });

  test("answers who has said all it wants to say, and then closes", async () => {
    await fresh();
    redis.write("SET half 1\r\nINCR half\r\nGET half\r\n");
    redis.end();

    expect(await redis.reply()).toBe("+OK\r\n");
    expect(await redis.reply()).toBe(":2\r\n");
    expect(await redis.reply()).toBe("$1\r\n2\r\n");
    expect(await redis.reply()).toBe("");
  });

  test("skips the reply to one request, whatever that is, and none while all are skipped", async () => {
    await fresh();
    redis.write("CLIENT REPLY SKIP\r\nCLIENT SETNAME skipped\r\nCLIENT GETNAME\r\n");
    redis.write("CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\nCLIENT REPLY ON\r\n");

    expect(await redis.reply()).toBe("$7\r\nskipped\r\n");
    expect(await redis.reply()).toBe("+OK\r\n");
  });

  test("lists the connections that CLIENT LIST is asked for", async () => {
    const other = await dial(node);
    await fresh();
    await other.ask("subscribe c");
    const own = (await redis.ask("client id")).slice(1).trim();
    const idsIn = (reply: string) => [...reply.matchAll(/^id=(\d+) /gm)].map(([, id]) => id);

    expect(idsIn(await redis.ask("client list")).length).toBeGreaterThan(1);
    expect(idsIn(await redis.ask(`client list id ${own} 999999`))).toEqual([own]);
    expect(idsIn(await redis.ask("client list type pubsub"))).not.toContain(own);
    expect(await redis.ask("client list id 999999")).toBe("$0\r\n\r\n");
    expect(await redis.ask("client list id x")).toBe("-ERR Invalid client ID\r\n");
    expect(await redis.ask("client list type x")).toBe("-ERR Unknown client type 'x'\r\n");
    expect(await redis.ask("client list id")).toBe("-ERR syntax error\r\n");
  });

  test("refuses patterns and channels that are longer than keys may be", async () => {
    await fresh();
    const long = "x".repeat(1_025);
    const refusal = "-ERR patterns and channels may have at most 1024 bytes, received 1025\r\n";

    for (const line of [
      "keys",
      "scan 0 match",
      "config get",
      "pubsub channels",
      "client tracking on bcast prefix",
    ])
      expect(await redis.ask(`${line} ${long}`)).toBe(refusal);
    for (const line of ["subscribe", "psubscribe"]) expect(await redis.ask(`${line} ${long}`)).toBe(refusal);
    expect(await redis.ask(`publish ${long} m`)).toBe(refusal);
    expect(await redis.ask(`publish ${long.slice(1)} m`)).toBe(":0\r\n");
  });

  test("lets others be heard while a transaction works without waiting for anybody", async () => {
    const busy = await dial(node);
    await fresh();
    await redis.ask(`set long:1 ${"a".repeat(1_900)}`);
    await redis.ask(`set long:2 ${"ab".repeat(950)}`);

    busy.write(`MULTI\r\n${"LCS long:1 long:2 LEN\r\n".repeat(50)}`);
    for (let index = 0; index < 51; index++) await busy.reply();
    let isOver = false;
    const exec = busy.ask("exec").then(() => {
      isOver = true;
    });
    for (let index = 0; index < 5; index++) await redis.ask("ping");

    expect(isOver).toBe(false);
    await exec;
  });

  test("kills no connection when CLIENT KILL names none", async () => {
    const other = await dial(node);
    await fresh();

    expect(await redis.ask("client kill")).toBe(
      "-ERR wrong number of arguments for 'client|kill' command\r\n",
    );
    expect(await other.ask("ping")).toBe("+PONG\r\n");
  });

  test("refuses a reply over its bound while it gathers it", async () => {
    await fresh();
    redis.write(encode([Buffer.from("SET"), Buffer.from("much"), Buffer.alloc(4 * 1024 * 1024, "x")]));
    expect(await redis.reply()).toBe("+OK\r\n");
    const before = process.memoryUsage().rss;

    // Gathered, each of the two would be 2 GB.
    expect(await redis.ask(`mget ${"much ".repeat(500)}`)).toBe("-ERR the reply is over 67108864 bytes\r\n");
    const exec = await replyTo(node, `MULTI\r\n${"STRLEN much\r\nGET much\r\n".repeat(500)}EXEC\r\nQUIT\r\n`);

    expect(exec.bytes).toBeLessThan(64 * 1024 * 1024 + 100_000);
    expect(exec.end).toMatch(/-ERR .*over 67108864 bytes\r\n\+OK\r\n$/);
    expect(process.memoryUsage().rss - before).toBeLessThan(900_000_000);
  });

  test("does not gather replies for who does not read them", async () => {
    const slow = await dial(node);
    await fresh();
    await redis.ask(`set large ${"x".repeat(100_000)}`);
    const before = process.memoryUsage().rss;
    // 20,000 replies of 100 kB would be 2 GB. Not read, because the socket is paused.
    slow.pause();
    slow.write(Buffer.from("GET large\r\n".repeat(20_000)));
    for (let index = 0; index < 50; index++) expect(await redis.ask("ping")).toBe("+PONG\r\n");

    expect(process.memoryUsage().rss - before).toBeLessThan(700_000_000);
    slow.close();
  });
});

describe("Redis doors of several nodes", () => {
  test("fetch no more large values from another node at a time than the link between them carries", async () => {
    const closed: unknown[] = [];
    const none = () => {};
    const debug = (facts: object, text: string) => {
      if (text === "link closed") closed.push(facts);
    };
    const options = { replicas: 1, memory: "512mb", logger: { error: none, warn: none, info: none, debug } };
    const first = await start({ name: "one", ...options });
    await start({ name: "two", join: first.url.replace("ringhold://", ""), ...options });
    const redis = await dial(first);
    const keys = Array.from({ length: 80 }, (_, index) => `large:${index}`);
    const value = Buffer.alloc(2 * 1024 * 1024, "x");
    for (const key of keys) {
      redis.write(encode([Buffer.from("SET"), Buffer.from(key), value]));
      expect(await redis.reply()).toBe("+OK\r\n");
    }

    // 80 MiB of it come from the other node, whose link to this one holds 64.
    redis.write(keys.map((key) => `STRLEN ${key}\r\n`).join(""));
    const lengths = [];
    for (const _ of keys) lengths.push(await redis.reply());

    expect(new Set(lengths)).toEqual(new Set([":2097152\r\n"]));
    expect(closed).toEqual([]);
  }, 60_000);
});

describe("A Redis door as a cluster", () => {
  test("runs transactions on one slot, and refuses those on several", async () => {
    const redis = await dial(await start({ redisCluster: true }));

    for (const line of ["multi", "set {a}1 1", "incr {a}1", "get {a}2"]) await redis.ask(line);
    expect(await redis.ask("exec")).toBe("*3\r\n+OK\r\n:2\r\n$-1\r\n");
    for (const lines of [
      ["multi", "set a 1", "get b"],
      ["watch a", "multi", "set b 1"],
    ]) {
      for (const line of lines) await redis.ask(line);
      expect(await redis.ask("exec")).toBe("-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    }
    expect(await redis.ask("exists a b")).toBe(":0\r\n");
  });
});

describe("A Redis door with a secret", () => {
  const secret = "0123456789abcdef0123456789abcdef";
  let node: EmbeddedNode;

  beforeAll(async () => {
    node = await start({ secret });
  });

  test("answers nothing before it is proved, and closes", async () => {
    for (const line of ["get k", "info", "ping", "client id", "nosuch", "set k v"]) {
      const redis = await dial(node);
      expect(await redis.ask(line)).toBe("-NOAUTH Authentication required.\r\n");
      expect(await redis.reply()).toBe("");
    }
    const redis = await dial(node);
    expect(await redis.ask("hello 3")).toMatch(/^-NOAUTH HELLO must be called/);
  });

  test("lets in with AUTH and with HELLO AUTH", async () => {
    const [a, b] = [await dial(node), await dial(node)];

    expect(await a.ask(`auth ${secret}`)).toBe("+OK\r\n");
    expect(await a.ask("set k v")).toBe("+OK\r\n");
    expect(await b.ask(`hello 3 auth default ${secret} setname me`)).toMatch(/^%7/);
    expect(await b.ask("client getname")).toBe("$2\r\nme\r\n");
  });

  test("closes after a wrong password, and reads nothing that was sent behind it", async () => {
    const redis = await dial(node);

    redis.write(`auth wrong\r\nset behind v\r\nauth ${secret}\r\nget behind\r\n`);
    expect(await redis.reply()).toMatch(/^-WRONGPASS/);
    expect(await redis.reply()).toBe("");
    expect(await node.cache().has("behind")).toBe(false);
  });

  test("takes only small requests before it is proved", async () => {
    const redis = await dial(node);
    redis.write("*11\r\n");

    expect(await redis.reply()).toBe("-ERR Protocol error: unauthenticated multibulk length\r\n");
  });

  test("is needed for other addresses than loopback", async () => {
    await expect(start({ redis: "0.0.0.0:0" })).rejects.toMatchObject({
      code: "ERR_INVALID_OPTION",
      details: { option: "redis" },
    });
  });
});

describe("A Redis door with certificates", () => {
  test("speaks TLS only", async () => {
    const ca = AUTHORITY;
    const node = await start({ tls: { cert: NODE_CERTIFICATE, key: NODE_KEY, ca } });
    const port = Number(node.redisAddress!.split(":").at(-1));

    const secure = await new Promise<RawRedis>((resolve, reject) => {
      const socket = connectTls({ port, host: "127.0.0.1", ca, checkServerIdentity: () => undefined }, () =>
        resolve(new RawRedis(socket)),
      );
      socket.once("error", reject);
    });
    closedLater(secure);
    expect(await secure.ask("ping")).toBe("+PONG\r\n");
    const plain = await dial(node);
    plain.write("PING\r\n");
    expect(await plain.reply()).not.toContain("PONG");
  });
});

describe("The options of a Redis door", () => {
  test.each([
    [{ redis: "nonsense:port" }, "redis"],
    [{ redis: undefined, redisCluster: true }, "redisCluster"],
  ])("are checked: %j", async (options, option) => {
    await expect(start(options)).rejects.toMatchObject({ code: "ERR_INVALID_OPTION", details: { option } });
  });
});
