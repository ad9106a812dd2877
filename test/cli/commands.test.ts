// The data commands of the real binary against a real one-node cluster.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findFreePorts } from "../../cluster/free-port.ts";
import { LocalCluster } from "../../cluster/local-cluster.ts";
import { ensureBuilt } from "../support/ensure-built.ts";
import { type CommandEnd, ringhold } from "../support/run-command.ts";

let root: string;
let cluster: LocalCluster;

beforeAll(async () => {
  await ensureBuilt();
  root = mkdtempSync(join(tmpdir(), "ringhold-test-"));
  cluster = await LocalCluster.start({ stateDirectory: join(root, "state"), nodes: 1, basePort: 0 });
}, 120_000);
afterAll(async () => {
  await cluster?.stop();
  rmSync(root, { recursive: true, force: true });
});

function run(...args: string[]): Promise<CommandEnd> {
  return ringhold(args, { env: { RINGHOLD_URL: cluster.url() } });
}

describe("ringhold get and set", () => {
  test("get prints what set stored", async () => {
    expect(await run("set", "greeting", "hello world")).toEqual({ code: 0, stdout: "OK\n", stderr: "" });
    expect(await run("get", "greeting")).toEqual({ code: 0, stdout: "hello world\n", stderr: "" });
    expect(JSON.parse((await run("get", "greeting", "--json")).stdout)).toEqual({
      key: "greeting",
      found: true,
      value: "hello world",
    });
  });

  test("get of an absent key prints nothing on stdout and exits 1", async () => {
    expect(await run("get", "absent")).toEqual({ code: 1, stdout: "", stderr: "(nil)\n" });
    expect(await run("get", "absent", "--json")).toEqual({
      code: 1,
      stdout: '{"key":"absent","found":false}\n',
      stderr: "",
    });
  });

  test("set reads a value from stdin, and keeps JSON and bytes what they are", async () => {
    const env = { RINGHOLD_URL: cluster.url() };
    await ringhold(["set", "piped", "-", "--as", "json"], { env, stdin: '{"a":[1,2]}' });
    await ringhold(["set", "raw", "-", "--as", "bytes"], { env, stdin: "no newline" });

    expect((await run("get", "piped")).stdout).toBe('{"a":[1,2]}\n');
    expect((await run("get", "raw")).stdout).toBe("no newline");
    expect(JSON.parse((await run("get", "raw", "--json")).stdout)).toMatchObject({
      value: { base64: Buffer.from("no newline").toString("base64") },
    });
  });

  test("set with a condition that does not hold stores nothing and exits 1", async () => {
    await run("set", "once", "first");

    expect((await run("set", "once", "second", "--if-absent")).code).toBe(1);
    expect((await run("set", "never", "x", "--if-present")).code).toBe(1);
    expect((await run("get", "once")).stdout).toBe("first\n");
    expect((await run("get", "never")).code).toBe(1);
  });
});

describe("ringhold incr, ttl, touch, has, del, locate, keys, size, clear", () => {
  test("incr counts, by any number, and refuses what is no number", async () => {
    expect((await run("incr", "hits")).stdout).toBe("1\n");
    expect((await run("incr", "hits", "--by", "2.5")).stdout).toBe("3.5\n");
    await run("set", "word", "abc");

    const refused = await run("incr", "word");

    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^error: .*\[ERR_NOT_A_NUMBER\]\n$/);
  });

  test("ttl tells how long a key lives, and touch changes it", async () => {
    await run("set", "short", "x", "--ttl", "100s");
    await run("set", "long", "x");

    const ttlMs = Number((await run("ttl", "short")).stdout);
    expect(ttlMs).toBeGreaterThan(60_000);
    expect(ttlMs).toBeLessThanOrEqual(100_000);
    expect((await run("ttl", "long")).stdout).toBe("none\n");
    expect((await run("touch", "long", "1h")).stdout).toBe("true\n");
    expect(Number((await run("ttl", "long")).stdout)).toBeGreaterThan(3_000_000);
    expect((await run("ttl", "absent")).code).toBe(1);
  });

  test("del prints how many keys existed, and has sees it", async () => {
    await run("set", "doomed", "x");
    expect(await run("has", "doomed")).toMatchObject({ code: 0, stdout: "true\n" });

    expect((await run("del", "doomed", "absent")).stdout).toBe("1\n");
    expect(await run("has", "doomed")).toMatchObject({ code: 1, stdout: "false\n" });
  });

  test("locate names the slot and the nodes", async () => {
    // CRC16-XMODEM("123456789") is 0x31C3, the check value of the Redis Cluster specification.
    expect((await run("locate", "123456789")).stdout).toBe("slot 12739  nodes node-1\n");
    expect(JSON.parse((await run("locate", "123456789", "--json")).stdout)).toEqual({
      key: "123456789",
      slot: 12739,
      replicas: ["node-1"],
    });
  });

  test("keys lists, size counts, and clear --yes empties", async () => {
    await run("clear", "--yes");
    for (const key of ["a:1", "a:2", "b:1"]) await run("set", key, "x");

    const listed = (await run("keys", "--prefix", "a:")).stdout.trim().split("\n").sort();
    expect(listed).toEqual(["a:1", "a:2"]);
    expect((await run("size")).stdout).toBe("3\n");
    expect((await run("clear", "--yes")).stdout).toBe("OK\n");
    expect((await run("size")).stdout).toBe("0\n");
  });
});

describe("ringhold status", () => {
  test("shows the members table and a verdict, and the node's whole status as JSON", async () => {
    const table = (await run("status")).stdout;
    expect(table).toMatch(/^node +state +zone/);
    expect(table).toMatch(/\nnode-1 +active /);
    expect(table.trimEnd().split("\n").at(-1)).toBe("UNSAFE: every key has 1 copy, add nodes");

    expect(JSON.parse((await run("status", "--json")).stdout)).toMatchObject({ id: "node-1", isReady: true });
  });
});

describe("ringhold and a cluster of another name", () => {
  test("is refused unless it is named", async () => {
    const refused = await run("get", "k", "--cluster", "other");

    expect(refused.stderr).toContain('Cluster names differ: "ringhold" at node node-1');
    expect((await run("set", "k", "v", "--cluster", "ringhold")).code).toBe(0);
  });
});

describe("ringhold without a cluster", () => {
  test("exits 1 and names the address when nobody listens", async () => {
    const [port] = await findFreePorts(1);
    const server = `127.0.0.1:${port}`;

    for (const args of [["get", "k", "--timeout", "500ms"], ["status"]]) {
      const { code, stdout, stderr } = await ringhold([...args, "--server", server]);

      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(server);
      expect(stderr).toContain("start a cluster with `ringhold cluster start`");
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});

describe("ringhold bench load", () => {
  test("takes the URL that cluster start prints", async () => {
    const flags = ["--keys", "10", "--seconds", "1", "--warmup", "0.1", "--json"];
    const { code, stderr } = await run("bench", "load", "--server", cluster.url(), ...flags);

    expect([code, stderr]).toEqual([0, ""]);
  });
});
