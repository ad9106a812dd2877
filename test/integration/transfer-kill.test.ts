// SIGKILL in the middle of a transfer, with real processes. The nodes' own counters of copied entries are the measure: nobody writes,
// so a node that copied each entry once has copied as many as it gained. What a kill may cost besides is what was on its way, and
// the slot that was half copied: one answer of each source at most.

import { beforeAll, describe, expect, test } from "vitest";
import type { LocalCluster } from "../../cluster/local-cluster.ts";
import { withLocalSession } from "../../cluster/local-session.ts";
import { sendCommand } from "../../cluster/node-command.ts";
import { waitFor } from "../../cluster/wait.ts";
import { isInRing } from "../../src/core/messages.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import type { Cache } from "../../src/index.ts";
import { ensureBuilt } from "../support/ensure-built.ts";

/** Hundreds of answers hold them: a kill is in the middle. */
const KEYS = 40_000;
/** Keys looked at with each read; the pause lets nodes count as serving all the time, so that copies go slowly. */
const READ_KEYS = 20;
const READ_PAUSE_MS = 10;
/** Entries in one answer at most (pull-source.ts). */
const ANSWER_ENTRIES_MAX = 128;
/** Shares of what is to be copied between which the kill comes. */
const [MIDDLE_MIN, MIDDLE_MAX] = [0.15, 0.8];
/** Longer than a restart takes. */
const DEAD_GRACE = "30s";

beforeAll(ensureBuilt, 120_000);

describe("A transfer that is interrupted by SIGKILL", () => {
  test("goes on where it was when a sending node is killed and comes back", async () => {
    await withKeys(3, {}, async ({ cluster, reader }) => {
      const adding = cluster.add();
      const atKill = await untilMiddle(cluster, "node-4", (3 / 4) * KEYS);

      await cluster.kill("node-2");
      await cluster.restart("node-2");
      await adding;
      await cluster.untilSafe({ timeoutMs: 90_000 });

      const { copied, store } = await cluster.status("node-4");
      report("sender of a join", copied.entriesTotal, store.entries, atKill);
      expect(copied.entriesTotal).toBeGreaterThanOrEqual(store.entries);
      expect(copied.entriesTotal).toBeLessThanOrEqual(store.entries + 3 * ANSWER_ENTRIES_MAX);
      expect(reader.missed).toEqual([]);
    });
  }, 180_000);

  test("starts anew for a joining node that is killed, and costs the others nothing", async () => {
    await withKeys(3, {}, async ({ cluster, reader }) => {
      const before = await cluster.statuses();
      const adding = cluster.add().catch(() => undefined);
      const atKill = await untilMiddle(cluster, "node-4", (3 / 4) * KEYS);

      await cluster.kill("node-4");
      await adding;
      await cluster.add();
      await cluster.untilSafe({ timeoutMs: 90_000 });

      const after = await cluster.statuses();
      const { copied, store } = after.get("node-4")!;
      report("receiver of a join", copied.entriesTotal, store.entries, atKill);
      expect(copied.entriesTotal).toBeLessThanOrEqual(store.entries + 3 * ANSWER_ENTRIES_MAX);
      for (const [name, { copied: others }] of before) {
        expect(after.get(name)!.copied.entriesTotal - others.entriesTotal).toBe(0);
      }
      expect(reader.missed).toEqual([]);
    });
  }, 180_000);

  test("goes on for the other receivers when one of them is killed while a node leaves", async () => {
    await withKeys(4, {}, async ({ cluster, reader }) => {
      const before = await cluster.statuses();
      const leaving = cluster.remove("node-4");
      const atKill = await untilMiddle(cluster, "node-2", KEYS / 4, before);

      await cluster.kill("node-1");
      await cluster.restart("node-1");
      await leaving;
      await cluster.untilSafe({ timeoutMs: 90_000 });

      const after = await cluster.statuses();
      const restarted = after.get("node-1")!;
      report("killed receiver of a leave", restarted.copied.entriesTotal, restarted.store.entries, 0);
      expect(restarted.copied.entriesTotal).toBeLessThanOrEqual(KEYS + 4 * ANSWER_ENTRIES_MAX);
      for (const name of ["node-2", "node-3"]) {
        const { received, gained } = since(before, after, name);
        report(`other receiver of a leave, ${name}`, received, gained, atKill);
        expect(received).toBeLessThanOrEqual(gained + 4 * ANSWER_ENTRIES_MAX);
      }
      expect(reader.missed).toEqual([]);
    });
  }, 180_000);

  test("goes on from the other replicas when the node that leaves is killed", async () => {
    const deadGrace = "8s";
    await withKeys(4, { deadGrace }, async ({ cluster, reader }) => {
      const before = await cluster.statuses();
      const { address } = cluster.nodes().find(({ name }) => name === "node-4")!;
      await sendCommand(address, { command: "leave", member: "node-4" });
      const atKill = await untilMiddle(cluster, "node-2", KEYS / 4, before);

      await cluster.kill("node-4");
      await untilOut(cluster, "node-4");
      await cluster.untilSafe({ timeoutMs: 90_000 });

      const after = await cluster.statuses();
      for (const name of ["node-1", "node-2", "node-3"]) {
        const { received, gained } = since(before, after, name);
        report(`receiver of a leave, ${name}`, received, gained, atKill);
        expect(received).toBeLessThanOrEqual(gained + 3 * ANSWER_ENTRIES_MAX);
      }
      expect(reader.missed).toEqual([]);
    });
  }, 180_000);
});

interface Session {
  readonly cluster: LocalCluster;
  readonly reader: Reader;
}

/** A cluster that holds the keys while somebody reads them. */
async function withKeys(
  nodes: number,
  { deadGrace = DEAD_GRACE }: { readonly deadGrace?: string },
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const nodeArguments = ["--log-level", "info", "--dead-grace", deadGrace];
  const options = { nodes, nodeArguments, client: { timeout: 10_000 } };
  await withLocalSession(options, async ({ cluster, cache }) => {
    await cluster.untilSafe();
    await fill(cache);
    const reader = new Reader(cache);
    try {
      await use({ cluster, reader });
    } finally {
      await reader.stop();
    }
    expect(reader.failures).toEqual([]);
    await checkAll(cache);
  });
}

async function fill(cache: Cache): Promise<void> {
  for (let start = 0; start < KEYS; start += 500) {
    await cache.setMany(keys(start, 500).map((key) => [key, `value of ${key}`] as const));
  }
}

async function checkAll(cache: Cache): Promise<void> {
  for (let start = 0; start < KEYS; start += 1_000) {
    const values = await cache.getMany(keys(start, 1_000));
    expect(values).toEqual(keys(start, 1_000).map((key) => `value of ${key}`));
  }
}

function keys(start: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key:${(start + index) % KEYS}`);
}

/** Reads key after key, and notes what it does not find. */
class Reader {
  readonly missed: string[] = [];
  readonly failures: string[] = [];
  readonly #ended: Promise<void>;
  #isStopped = false;

  constructor(cache: Cache) {
    this.#ended = this.#run(cache);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #run(cache: Cache): Promise<void> {
    for (let start = 0; !this.#isStopped; start += READ_KEYS) {
      const some = keys(start * 7, READ_KEYS);
      try {
        const values = await cache.getMany(some);
        values.forEach((value, index) => {
          if (value === undefined && this.missed.length < 10) this.missed.push(some[index]!);
        });
      } catch (error) {
        if (this.failures.length < 10) this.failures.push(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, READ_PAUSE_MS));
    }
  }
}

/** Until the node has copied a part of what it is to copy. Returns how many entries. */
async function untilMiddle(
  cluster: LocalCluster,
  name: string,
  total: number,
  before: ReadonlyMap<string, NodeStatus> = new Map(),
): Promise<number> {
  const earlier = before.get(name)?.copied.entriesTotal ?? 0;
  const received = await waitFor(
    async () => {
      const status = await cluster.status(name).catch(() => undefined);
      const count = (status?.copied.entriesTotal ?? 0) - earlier;
      return count >= MIDDLE_MIN * total ? count : undefined;
    },
    { what: `${name} to be in the middle of its transfer`, intervalMs: 10 },
  );
  expect(received).toBeLessThan(MIDDLE_MAX * total);
  return received;
}

/** Until nobody has the node in its ring any more. */
async function untilOut(cluster: LocalCluster, name: string): Promise<void> {
  const isOut = async (): Promise<boolean> =>
    [...(await cluster.statuses()).values()].every(
      ({ members }) => !members.some(({ id, ringState }) => id === name && isInRing(ringState)),
    );
  await waitFor(isOut, { what: `${name} to be out of the ring`, timeoutMs: 90_000 });
}

/** What the node received, and what it holds more, than at an earlier look. */
function since(
  before: ReadonlyMap<string, NodeStatus>,
  after: ReadonlyMap<string, NodeStatus>,
  name: string,
): { readonly received: number; readonly gained: number } {
  const [earlier, now] = [before.get(name)!, after.get(name)!];
  return {
    received: now.copied.entriesTotal - earlier.copied.entriesTotal,
    gained: now.store.entries - earlier.store.entries,
  };
}

/** For the table in bench/README.md. */
function report(what: string, received: number, gained: number, atKill: number): void {
  console.log(`${what}: ${received} entries received, ${gained} gained; ${atKill} at the kill`);
}
