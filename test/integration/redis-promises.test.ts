// Promises of the Redis door about bounds, transactions and values of the SDK, over real connections.

import { mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { EmbeddedNode } from "../../src/index.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { userEntry } from "../../src/server/users.ts";
import { encode, type RawRedis } from "../support/raw-redis.ts";
import { closeDialled, dial, replyTo, start, stopNodes } from "../support/redis-nodes.ts";

const MIB = 1024 * 1024;

function words(...parts: readonly string[]): Buffer {
  return encode(parts.map((part) => Buffer.from(part)));
}

afterEach(closeDialled);
afterAll(stopNodes);

describe("The Redis door", () => {
  let node: EmbeddedNode;
  let redis: RawRedis;

  beforeAll(async () => {
    node = await start({ memory: "256mb" });
  });

  const fresh = async (): Promise<void> => {
    redis = await dial(node);
    await redis.ask("flushall");
  };

  test("publishes once for each transaction that ran, and never for one that did not", async () => {
    await fresh();
    const subscriber = await dial(node);
    await subscriber.ask("subscribe done");
    const raws = await Promise.all([dial(node), dial(node), dial(node)]);
    let ran = 0;

    await Promise.all(
      raws.map(async (raw) => {
        for (let index = 0; index < 10; index++) {
          for (const line of ["watch n", "multi", "incr n", "publish done x"]) await raw.ask(line);
          if ((await raw.ask("exec")).startsWith("*2")) ran++;
        }
      }),
    );

    expect(await redis.ask("get n")).toBe(`$${String(ran).length}\r\n${ran}\r\n`);
    await redis.ask("publish done last");
    let messages = 0;
    while (!(await subscriber.reply()).includes("last")) messages++;
    expect(messages).toBe(ran);
  });

  test("publishes once for each transaction that ran, without WATCH", async () => {
    await fresh();
    const subscriber = await dial(node);
    await subscriber.ask("subscribe done");
    const raws = await Promise.all([dial(node), dial(node), dial(node)]);

    await Promise.all(
      raws.map(async (raw) => {
        for (let index = 0; index < 10; index++) {
          for (const line of ["multi", "incr n", "publish done x"]) await raw.ask(line);
          expect(await raw.ask("exec")).toMatch(/^\*2/);
        }
      }),
    );

    expect(await redis.ask("get n")).toBe("$2\r\n30\r\n");
    await redis.ask("publish done last");
    let messages = 0;
    while (!(await subscriber.reply()).includes("last")) messages++;
    expect(messages).toBe(30);
  });

  test("refuses a COMMAND INFO whose reply is over 64 MiB", async () => {
    await fresh();

    const request = words("COMMAND", "INFO", ...Array.from({ length: 70_000 }, () => "client"));

    const { bytes } = await replyTo(node, Buffer.concat([request, Buffer.from("QUIT\r\n")]));
    expect(bytes).toBeLessThan(64 * MIB);
  }, 60_000);

  test("counts the prefixes of CLIENT TRACKING before it compares them with each other", async () => {
    await fresh();
    const prefixes = Array.from({ length: 2_000 }, () => ["PREFIX", "twin"]).flat();

    redis.write(words("CLIENT", "TRACKING", "ON", "BCAST", ...prefixes));

    expect(await redis.reply()).toMatch(/^-ERR a connection may have at most 1000 prefixes/);
  });

  test("takes patterns of a connection up to 64 KiB together", async () => {
    await fresh();
    const patterns = Array.from({ length: 64 }, (_, index) =>
      `*${"a".repeat(1_000)}${index}`.padEnd(1_024, "b"),
    );
    for (const pattern of patterns) expect(await redis.ask(`psubscribe ${pattern}`)).toMatch(/^\*3/);

    expect(await redis.ask("psubscribe c")).toMatch(
      /^-ERR a connection's patterns may have at most 65536 bytes/,
    );
    expect(await redis.ask(`psubscribe ${patterns[0]}`)).toMatch(/^-ERR/);
    await redis.ask(`punsubscribe ${patterns[0]}`);
    expect(await redis.ask("psubscribe c")).toMatch(/^\*3/);
  });

  test("ends a SCAN whose pages end at keys of one hash", async () => {
    await fresh();
    const hashes = await loadHashes();
    // In the order of keys; found by trying ten million.
    const [first, second] = ["{t}10001323", "{t}9240370"];
    expect(hashes.hash32(first)).toBe(hashes.hash32(second));
    // Pages of 10: one ends at the first of them, the next at the second.
    const keys = [
      ...Array.from({ length: 9 }, (_, index) => `{t}0${index}`),
      first,
      ...Array.from({ length: 9 }, (_, index) => `${first}-${index}`),
      second,
      ...Array.from({ length: 9 }, (_, index) => `{t}99${index}`),
    ];
    for (const key of keys) await redis.ask(`set ${key} v`);
    let cursor = "0";
    let pages = 0;

    do {
      const reply = await redis.ask(`scan ${cursor} count 10`);
      cursor = /^\*2\r\n\$\d+\r\n(\d+)/.exec(reply)![1]!;
      pages++;
    } while (cursor !== "0" && pages < 1_000);

    expect(pages).toBeLessThan(1_000);
  }, 60_000);

  test("ends a connection that has said QUIT and goes on sending", async () => {
    await fresh();
    const [host, port] = node.redisAddress!.split(":");
    // It does not end because the other side has: only the node can cut it.
    const socket = connect({ port: Number(port), host: host!, allowHalfOpen: true });
    let isClosed = false;
    socket.on("error", () => {});
    socket.on("close", () => {
      isClosed = true;
    });
    socket.resume();
    socket.write("QUIT\r\n");
    const sinceMs = performance.now();

    const sending = setInterval(() => {
      if (socket.writable) socket.write("PING\r\n");
    }, 200);
    await vi
      .waitFor(() => expect(isClosed).toBe(true), 8_000)
      .finally(() => {
        clearInterval(sending);
        socket.destroy();
      });

    expect(performance.now() - sinceMs).toBeLessThan(6_000);
  }, 20_000);

  test.each([
    "expireat obj 4000000000",
    "pexpireat obj 4000000000000",
    "expire obj 100 nx",
    "expire obj 100 xx",
    "persist obj",
    "set obj v keepttl",
  ])("does with a value of the SDK what Redis does with a list: %s", async (line) => {
    await fresh();
    const expires = line.endsWith("xx") || line.startsWith("persist");
    await node.cache().set("obj", { a: 1 }, { timeout: 10_000, ...(expires ? { ttl: "1h" } : {}) });
    if (line.startsWith("set")) expect(await redis.ask(line)).toBe("+OK\r\n");
    else {
      expect(await redis.ask(line)).toBe(":1\r\n");
      expect(await node.cache().get("obj")).toEqual({ a: 1 });
    }
  });

  test.each([
    ["getrange k 0 -100", "$1\r\na\r\n"],
    ["getrange k -200 -100", "$1\r\na\r\n"],
    ["expiretime e", ":33177117421\r\n"],
    ["command list filterby pattern getd*", "*1\r\n$6\r\ngetdel\r\n"],
    ["command getkeys object encoding foo", "*1\r\n$3\r\nfoo\r\n"],
  ])("answers as Redis 7.0.15 does: %s", async (line, expected) => {
    await fresh();
    await redis.ask("set k abc");
    await redis.ask("set e v pxat 33177117420500");

    expect(await redis.ask(line)).toBe(expected);
  });

  test("refuses a transaction that watches a key and clears all of them", async () => {
    await fresh();
    await redis.ask("set kept v");
    for (const line of ["watch w", "multi", "set w 1", "flushall"]) await redis.ask(line);

    expect(await redis.ask("exec")).toMatch(/^-EXECABORT/);
    expect(await redis.ask("exists kept")).toBe(":1\r\n");
  });
});

test("SETBIT, which answers with what was there, needs the class read as well", async () => {
  const usersFile = join(mkdtempSync(join(tmpdir(), "ringhold-promises-")), "users.json");
  const secret = "the secret of the writer";
  const writer = userEntry("writer", [secret], { classes: ["write"], prefixes: [""] });
  writeFileSync(usersFile, JSON.stringify({ users: [writer] }));
  const node = await start({ secret: "the secret of the whole cluster", usersFile });
  await node.cache().set("hidden", "a");
  const redis = await dial(node);
  expect(await redis.ask(`auth writer "${secret}"`)).toBe("+OK\r\n");
  expect(await redis.ask("get hidden")).toMatch(/^-NOPERM/);
  let seen = "";

  for (let bit = 0; bit < 8; bit++) {
    const reply = await redis.ask(`setbit hidden ${bit} 0`);
    expect(reply).toMatch(/^(:|-NOPERM)/);
    seen += reply.slice(1, 2);
  }

  expect(String.fromCharCode(Number.parseInt(seen, 2))).not.toBe("a");
});
