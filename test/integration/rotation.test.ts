// Changing the cluster's secret under load: install, use, remove, on each node's own file; and a node that lags a step.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import {
  type Cache,
  CacheError,
  connect,
  type EmbeddedNode,
  type NodeEvent,
  startNode,
} from "../../src/index.ts";
import { fingerprint } from "../../src/io/proofs.ts";
import { RawRedis } from "../support/raw-redis.ts";

const OLD = "the old secret of the cluster";
const NEW = "the new secret of the cluster";
const NAMES = ["n1", "n2", "n3"] as const;
const OPERATIONS_PER_SECOND = 2_000;

const folder = mkdtempSync(join(tmpdir(), "ringhold-rotation-"));
const open: { close(): unknown }[] = [];
const nodes: EmbeddedNode[] = [];
const events: NodeEvent[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((item) => item.close()));
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  events.length = 0;
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, ...secrets: string[]): void {
  writeFileSync(join(folder, name), `# ${name}\n${secrets.join("\n")}\n`);
}

async function startAll(): Promise<void> {
  for (const name of NAMES) {
    write(name, OLD);
    const founder = nodes[0]?.url;
    const node = await startNode({
      ...{
        name,
        listen: "127.0.0.1:0",
        redis: "127.0.0.1:0",
        memory: "32mb",
        secretFile: join(folder, name),
      },
      ...(founder === undefined ? {} : { join: founder }),
      onEvent: (event) => events.push(event),
    });
    nodes.push(node);
  }
  await vi.waitFor(() => expect(nodes.every((node) => node.status().isSafe)).toBe(true), { timeout: 20_000 });
  events.length = 0;
}

/** What all nodes say of who is behind. */
function behind(): string[] {
  const said = nodes.flatMap((node) =>
    node.status().secrets!.behind.map(({ member, difference }) => `${member} ${difference}`),
  );
  return [...new Set(said)].sort();
}

function allAccept(...secrets: string[]): void {
  for (const node of nodes) expect(node.status().secrets!.accepted).toEqual(secrets.map(fingerprint));
}

async function untilAllAccept(...secrets: string[]): Promise<void> {
  await vi.waitFor(
    () => {
      allAccept(...secrets);
      expect(behind()).toEqual([]);
    },
    { timeout: 10_000 },
  );
}

/** Calls at a steady rate, however long each takes, until it is stopped. */
function drive(cache: Cache): { stop(): Promise<{ calls: number; failures: unknown[]; longestMs: number }> } {
  let [calls, longestMs] = [0, 0];
  const failures: unknown[] = [];
  const underWay = new Set<Promise<void>>();
  const started = performance.now();
  const timer = setInterval(() => {
    // What a stall of the test has put off is not made up for at once.
    let most = OPERATIONS_PER_SECOND / 10;
    while (most-- > 0 && calls < ((performance.now() - started) / 1000) * OPERATIONS_PER_SECOND) {
      const key = `k${calls % 500}`;
      const begun = performance.now();
      const call: Promise<unknown> = calls++ % 2 === 0 ? cache.set(key, calls) : cache.get(key);
      const noted = call
        .catch((error: unknown) => failures.push(error))
        .then(() => {
          longestMs = Math.max(longestMs, performance.now() - begun);
          underWay.delete(noted);
        });
      underWay.add(noted);
    }
  }, 5);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      return { calls, failures, longestMs };
    },
  };
}

const codeOf = (attempt: Promise<Cache>) =>
  attempt.then(
    (cache) => cache.close().then(() => "accepted"),
    (error: unknown) => (error instanceof CacheError ? error.code : String(error)),
  );

describe("The cluster's secret", () => {
  test("is changed in three steps under load without a failed call or a false death, and the old one is of no use afterwards", async () => {
    await startAll();
    const holder = await connect(nodes[0]!.url, { secret: () => [NEW, OLD], timeout: 5_000 });
    const redis = await RawRedis.open(nodes[1]!.redisAddress!);
    open.push(holder, redis);
    await redis.ask(`auth "${OLD}"`);
    const load = drive(holder);

    for (const name of NAMES) write(name, OLD, NEW);
    await untilAllAccept(OLD, NEW);
    for (const name of NAMES) write(name, NEW, OLD);
    await untilAllAccept(NEW, OLD);
    expect(await codeOf(connect(nodes[2]!.url, { secret: OLD }))).toBe("accepted");
    for (const name of NAMES) write(name, NEW);
    await untilAllAccept(NEW);
    // Whoever proved only the old one is let go of.
    expect(await redis.reply()).toBe("");
    expect(await codeOf(connect(nodes[0]!.url, { secret: OLD }))).toBe("ERR_UNAUTHORIZED");
    expect(await codeOf(connect(nodes[1]!.url, { secret: NEW }))).toBe("accepted");
    // And the links between the nodes have been made anew.
    await vi.waitFor(() => expect(nodes.every((node) => node.status().isSafe)).toBe(true));
    const { calls, failures } = await load.stop();

    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(4_000);
    expect(events.filter((event) => event.type === "memberLiveness" && event.liveness === "dead")).toEqual(
      [],
    );
  });

  test("names the node that lags a step, while everything goes on", async () => {
    await startAll();
    const holder = await connect(nodes[0]!.url, { secret: () => [NEW, OLD], timeout: 5_000 });
    open.push(holder);
    const load = drive(holder);

    for (const name of ["n1", "n2"]) write(name, OLD, NEW);
    await vi.waitFor(() => expect(behind()).toEqual([`n3 does not accept ${fingerprint(NEW)}`]), {
      timeout: 10_000,
    });
    for (const name of ["n1", "n2"]) write(name, NEW, OLD);
    await vi.waitFor(() => expect(nodes[0]!.status().secrets!.inUse).toBe(fingerprint(NEW)), {
      timeout: 10_000,
    });
    // It can still be dialled, and dial: both sides know the old one.
    expect(await codeOf(connect(nodes[2]!.url, { secret: [NEW, OLD] }))).toBe("accepted");
    write("n3", NEW, OLD);
    await untilAllAccept(NEW, OLD);
    writeFileSync(join(folder, "n3"), "short\n");
    write("n1", NEW);
    await vi.waitFor(() => expect(nodes[0]!.status().secrets!.accepted).toHaveLength(1), { timeout: 10_000 });
    expect(nodes[2]!.status().secrets!.accepted).toEqual([NEW, OLD].map(fingerprint));
    const { failures } = await load.stop();

    expect(failures).toEqual([]);
    expect(events.filter((event) => event.type === "memberLiveness" && event.liveness === "dead")).toEqual(
      [],
    );
  });
});
