// `ringhold cluster` as people use it: one terminal with the cluster, another that hurts and mends it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { findFreePorts, isPortFree } from "../../cluster/free-port.ts";
import { LocalCluster, type LocalNode } from "../../cluster/local-cluster.ts";
import { sendCommand } from "../../cluster/node-command.ts";
import { askNode } from "../../cluster/node-http.ts";
import { waitFor } from "../../cluster/wait.ts";
import { connect } from "../../src/index.ts";
import { COMMAND, ensureBuilt, ROOT } from "../support/ensure-built.ts";
import { type CommandEnd, ringhold } from "../support/run-command.ts";

let root: string;
let state: string;
let foreground: ChildProcess | undefined;

beforeAll(ensureBuilt, 120_000);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ringhold-test-"));
  state = join(root, "state");
});
afterEach(async () => {
  foreground?.kill("SIGKILL");
  foreground = undefined;
  await cluster("stop");
  rmSync(root, { recursive: true, force: true });
});

function cluster(...args: string[]): Promise<CommandEnd> {
  return ringhold(["cluster", ...args, "--state", state]);
}

/** Starts a cluster in the foreground and waits for its first line. */
async function startForeground(...args: string[]): Promise<{ child: ChildProcess; output: () => string }> {
  const all = [COMMAND, "cluster", "start", "--nodes", "3", "--port", "0", "--state", state, ...args];
  return untilReady(spawn(process.execPath, all, { stdio: ["ignore", "pipe", "ignore"] }));
}

async function untilReady(
  child: ChildProcess,
): Promise<{ readonly child: ChildProcess; readonly output: () => string }> {
  foreground = child;
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await waitFor(() => /nodes? ready in/.test(output), { what: "the cluster to be ready", timeoutMs: 60_000 });
  return { child, output: () => output };
}

function nodes(): LocalNode[] {
  return LocalCluster.open(state).nodes();
}

async function allGone(before: readonly LocalNode[]): Promise<void> {
  const isGone = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  };
  await waitFor(() => before.every((node) => node.pid === undefined || isGone(node.pid)), {
    what: "all nodes to end",
  });
}

describe("ringhold cluster start", () => {
  test("prints the url, follows what happens to the nodes, and stops all of them on Ctrl-C", async () => {
    const { child, output } = await startForeground();
    expect(output()).toMatch(/^3 nodes ready in \d+\.\d s: ringhold:\/\/127\.0\.0\.1:\d+,/);
    const before = nodes();

    expect(await cluster("kill", "node-2")).toMatchObject({ code: 0, stdout: "killed node-2\n" });
    await waitFor(() => output().includes("node-2 dead"), { what: "the line about the death" });
    expect(await cluster("restart", "node-2")).toMatchObject({ code: 0, stdout: "restarted node-2\n" });
    await waitFor(() => /node-2 active[^\n]*SAFE[^\n]*\n$/.test(output()), {
      what: "the line about the return",
    });

    const after = nodes();
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
    await allGone([...before, ...after]);
    expect((await cluster("status")).stderr).toMatch(/^error: No local cluster in/);
  });

  test("leaves no node behind when it is killed itself, added ones included", async () => {
    const { child } = await startForeground();
    expect((await cluster("add")).stdout).toMatch(/^added node-4, /);
    const before = nodes();
    expect(before).toHaveLength(4);

    child.kill("SIGKILL");

    await allGone(before);
  });

  test.each([
    ["npm is told to end: there is no shell between them", "SIGTERM", 1],
    ["Ctrl-C reaches it and npm, which hands it on", "SIGINT", -1],
  ] as const)("ends in order when %s", async (_, signal, sign) => {
    const env = { ...process.env, RINGHOLD_PORT: "0", RINGHOLD_STATE: state, RINGHOLD_MEMORY: "16mb" };
    const { child } = await untilReady(
      spawn("npm", ["start"], { cwd: ROOT, env, stdio: ["ignore", "pipe", "ignore"], detached: true }),
    );
    const before = nodes();
    expect(before).toHaveLength(5);

    process.kill(sign * child.pid!, signal);

    expect(await once(child, "exit")).toEqual([0, null]);
    await allGone(before);
    expect((await cluster("status")).stderr).toMatch(/^error: No local cluster in/);
  });

  test("with --detach returns and leaves the nodes running until they are stopped", async () => {
    const started = await cluster("start", "--nodes", "2", "--port", "0", "--detach", "--json");
    expect(started.code).toBe(0);
    expect(JSON.parse(started.stdout)).toMatchObject({ url: expect.stringMatching(/^ringhold:\/\//) });
    const before = nodes();
    expect(before.map((node) => node.state)).toEqual(["running", "running"]);

    const again = await cluster("start", "--nodes", "2", "--port", "0", "--detach");
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toMatch(
      /^error: A cluster is already running in .*: stop it with `ringhold cluster stop`/,
    );

    expect((await cluster("stop")).stdout).toBe("stopped node-1, node-2\n");
    await allGone(before);
  });

  test("gives two nodes that are added at once names and ports of their own", async () => {
    await cluster("start", "--nodes", "1", "--port", "0", "--detach");

    await Promise.all([LocalCluster.open(state).add(), LocalCluster.open(state).add()]);

    expect(nodes().map(({ name, state }) => [name, state])).toEqual(
      ["node-1", "node-2", "node-3"].map((name) => [name, "running"]),
    );
    expect(new Set(nodes().map(({ port }) => port)).size).toBe(3);
  });

  test("replaces the state of a cluster whose processes are gone, and says so", async () => {
    await cluster("start", "--nodes", "1", "--port", "0", "--detach");
    for (const node of nodes()) process.kill(node.pid!, "SIGKILL");
    await waitFor(() => !isOpen(), { what: "the node to be gone" });
    expect((await cluster("kill", "node-1")).stderr).toMatch(/is not running any more: start it again with/);

    const { code, stderr } = await cluster("start", "--nodes", "1", "--port", "0", "--detach");

    expect(stderr).toMatch(/^Replacing .*: the cluster it describes is gone\n/);
    expect(code).toBe(0);
  });

  test("says which port is in use and what to do, and starts nothing", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };

    const { code, stderr } = await cluster("start", "--nodes", "1", "--port", String(port));
    server.close();

    expect(stderr).toMatch(new RegExp(`^error: Port ${port} is in use .*--port 0\n$`));
    expect(code).toBe(1);
  });
});

describe("A cluster that was stopped from another terminal", () => {
  test("takes nothing with it of the one that was started in its place", async () => {
    const { child } = await startForeground("--nodes", "1", "--memory", "16mb");
    // Ctrl-Z: it does not look at its nodes for a while.
    child.kill("SIGSTOP");
    await cluster("stop");
    await cluster("start", "--nodes", "1", "--port", "0", "--detach");
    const ended = once(child, "exit");
    child.kill("SIGCONT");

    expect(await ended).toEqual([0, null]);
    expect((await cluster("status")).code).toBe(0);
    expect(nodes().map(({ state }) => state)).toEqual(["running"]);
  }, 120_000);
});

describe("Ports of nodes and of their Redis doors", () => {
  test("differ for a node that is added, also when the two ranges meet", async () => {
    const [port] = await freeRun(6);
    await cluster("start", "--nodes", "1", "--port", `${port}`, "--redis-port", `${port! + 1}`, "--detach");

    const added = await cluster("add");

    expect(added).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("ringhold cluster restart", () => {
  test("says what a node that was evicted waits for, as add does for a new one", async () => {
    await cluster("start", "--nodes", "4", "--port", "0", "--memory", "16mb", "--detach");
    const local = LocalCluster.open(state);
    const [first, , , last] = local.nodes();
    await local.kill("node-4");
    await local.untilDead("node-4");
    await sendCommand(first!.address, { command: "evict", member: "node-4" });
    local.pause("node-3");
    await local.untilDead("node-3");

    const restarted = cluster("restart", "node-4");
    const isWaiting = async () =>
      (await askNode(last!.address, "/readyz").catch(() => undefined))?.body.includes("WAITING to join");
    await waitFor(isWaiting, { what: "node-4 to wait" });
    local.resume("node-3");

    expect(await restarted).toMatchObject({
      code: 0,
      stdout: "restarted node-4\n",
      stderr: expect.stringMatching(/^node-4 not ready: WAITING to join: .*\(node-3\)\n$/),
    });
  }, 120_000);
});

describe("ringhold cluster pause, resume, remove, status", () => {
  test("do that to the node, and the table shows it", async () => {
    await cluster("start", "--nodes", "3", "--port", "0", "--detach");
    await cluster("pause", "node-3");
    expect((await cluster("status")).stdout).toMatch(/\nnode-3 +paused /);
    await cluster("resume", "node-3");
    await LocalCluster.open(state).untilSafe();
    // The node that is asked now may have heard of it a moment later.
    await vi.waitFor(
      async () => {
        const table = (await cluster("status")).stdout;
        expect(table).toMatch(/\nnode-3 +active /);
        expect(table.trimEnd().split("\n").at(-1)).toMatch(/^SAFE/);
      },
      { timeout: 20_000, interval: 500 },
    );

    const before = nodes();
    expect(await cluster("remove", "node-3")).toMatchObject({ code: 0, stdout: "removed node-3\n" });
    await allGone(before.filter((node) => node.name === "node-3"));
    expect((await cluster("status")).stdout).not.toContain("node-3");

    const unknown = await cluster("kill", "node-9");
    expect(unknown.stderr).toBe("error: There is no node node-9 in this cluster: it has node-1, node-2\n");
    expect(unknown.code).toBe(1);
  });
});

describe("ringhold member set", () => {
  test("says what another weight would move, then gives it to a running node, and no key is missed", async () => {
    await cluster("start", "--nodes", "4", "--port", "0", "--detach");
    const local = LocalCluster.open(state);
    const env = { RINGHOLD_URL: local.url() };
    const keys = Array.from({ length: 2_000 }, (_, index) => `key:${index}`);
    const cache = await connect(local.url(), { timeout: 10_000 });
    try {
      await cache.setMany(keys.map((key) => [key, key] as const));
      const weights = async () => (await local.status("node-1")).members.map(({ weight }) => weight);

      const dryRun = await ringhold(["member", "set", "node-2", "--weight", "2", "--dry-run"], { env });
      expect(dryRun.stdout).toMatch(/^node-2 would have weight 2: ring /);
      expect(await weights()).toEqual([1, 1, 1, 1]);

      const set = ["member", "set", "node-2", "--weight", "2", "--zone", "b", "--json"];
      expect(JSON.parse((await ringhold(set, { env })).stdout)).toEqual({
        asked: "node-2",
        weight: 2,
        zone: "b",
      });
      for (let moved = false; !moved; ) {
        moved = (await weights())[1] === 2;
        expect(await cache.getMany(keys)).toEqual(keys);
      }
      await local.untilSafe();
      expect(await cache.getMany(keys)).toEqual(keys);
      expect((await ringhold(["ring"], { env })).stdout).toMatch(/\nnode-2 +b +2 /);

      const nobody = await ringhold(["member", "set", "node-9", "--weight", "2"], { env });
      expect(nobody).toMatchObject({ code: 2, stdout: "" });
      expect(nobody.stderr).toContain("node-9 is not in the ring");
      expect((await ringhold(["member", "set", "node-2"], { env })).code).toBe(2);
    } finally {
      await cache.close();
    }
  });
});

function isOpen(): boolean {
  try {
    LocalCluster.open(state);
    return true;
  } catch {
    return false;
  }
}

/** So many free ports in a row. */
async function freeRun(count: number): Promise<number[]> {
  for (;;) {
    const [first] = await findFreePorts(1);
    const run = Array.from({ length: count }, (_, index) => first! + index);
    const isFree = await Promise.all(run.map(isPortFree));
    if (isFree.every(Boolean)) return run;
  }
}
