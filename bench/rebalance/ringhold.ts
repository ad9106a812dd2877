// Ringhold as the benchmark's subject: a local cluster of real processes. Nodes say themselves what they copied (`copied` in their
// status), and the ring's tables say what had to move.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LocalCluster } from "../../cluster/local-cluster.ts";
import { fetchNodeStatus } from "../../cluster/node-http.ts";
import { waitFor } from "../../cluster/wait.ts";
import type { MemberId } from "../../src/base/ids.ts";
import { isInRing } from "../../src/core/messages.ts";
import { Ring, ringParameters } from "../../src/core/ring/ring.ts";
import { idealMovedCopiesShare, movedCopiesShare } from "../../src/core/ring/ring-diff.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import { type Cache, connect } from "../../src/index.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import type { Moved, Step, Subject, SubjectOptions } from "./subject.ts";

/** Short, so that a killed node's copies are made anew within the run; the default gives a node a minute to come back. */
const DEAD_GRACE_MS = 5_000;
const SAFE_TIMEOUT_MS = 180_000;
const TIDY_TIMEOUT_MS = 20_000;
const LOOK_MS = 50;

/** Starts the cluster and connects. */
export async function startRinghold(options: SubjectOptions): Promise<Subject> {
  const stateDirectory = mkdtempSync(join(tmpdir(), "ringhold-rebalance-"));
  const nodeArguments = [
    ...["--replicas", String(options.copies), "--dead-grace", `${DEAD_GRACE_MS}ms`, "--memory", "1gb"],
    ...["--log-level", "warn"],
  ];
  try {
    const cluster = await LocalCluster.start({
      stateDirectory,
      nodes: options.nodes,
      basePort: 0,
      nodeArguments,
    });
    try {
      await cluster.untilSafe();
      const cache = await connect(cluster.url(), { timeout: options.callTimeoutMs });
      return new RingholdSubject({ cluster, cache, options, stateDirectory });
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  } catch (error) {
    rmSync(stateDirectory, { recursive: true, force: true });
    throw error;
  }
}

interface Parts {
  readonly cluster: LocalCluster;
  readonly cache: Cache;
  readonly options: SubjectOptions;
  readonly stateDirectory: string;
}

class RingholdSubject implements Subject {
  readonly name = "Ringhold";
  readonly description: string;
  readonly copies: number;
  readonly target: Cache;
  readonly #parts: Parts;
  #isStopped = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.target = parts.cache;
    this.copies = parts.options.copies;
    this.description = `Ringhold, Node ${process.version}, ${this.copies} copies, quorum writes`;
  }

  can(_step: Step): boolean {
    return true;
  }

  async take(step: Step): Promise<Moved> {
    const before = await this.#statuses();
    const ringBefore = await ringOf(before);
    const counts = new Map([...before].map(([name, { copied }]) => [name, copied]));
    const { node, startMs, sinceMs } = step === "add" ? await this.#add() : await this.#lose(step);
    await this.#parts.cluster.untilSafe({ timeoutMs: SAFE_TIMEOUT_MS });
    const moveMs = performance.now() - sinceMs;
    const after = await this.#statuses();
    const ringAfter = await ringOf(after);
    const all = this.#parts.options.keys * Math.min(this.copies, ringAfter.members.length);
    let [keysMoved, bytesMoved] = [0, 0];
    for (const [name, { copied }] of after) {
      keysMoved += copied.entriesTotal - (counts.get(name)?.entriesTotal ?? 0);
      bytesMoved += copied.bytesTotal - (counts.get(name)?.bytesTotal ?? 0);
    }
    const keysPlanned = Math.round(movedCopiesShare(ringBefore, ringAfter) * all);
    const keysIdeal = Math.round(idealMovedCopiesShare(ringBefore, ringAfter) * all);
    return { node, startMs, moveMs, keysMoved, bytesMoved, keysPlanned, keysIdeal };
  }

  async #add(): Promise<{ node: string; startMs: number; sinceMs: number }> {
    const { cluster } = this.#parts;
    const known = new Set(cluster.nodes().map(({ name }) => name));
    const beginMs = performance.now();
    const added = cluster.add();
    // The node copies from its first contact on; how long its process took to come up is not the move's time.
    const answering = waitFor(
      async () => {
        const node = cluster.nodes().find(({ name }) => !known.has(name));
        return node === undefined
          ? false
          : fetchNodeStatus(node.address).then(
              () => true,
              () => false,
            );
      },
      { what: "the new process to answer", intervalMs: LOOK_MS },
    );
    await Promise.race([answering, added]);
    const sinceMs = performance.now();
    const { name } = await added;
    return { node: name, startMs: sinceMs - beginMs, sinceMs };
  }

  /** Takes the latest node away: in order, or by SIGKILL. A killed one counts as moving from when the others give it up. */
  async #lose(step: "remove" | "kill"): Promise<{ node: string; startMs: number; sinceMs: number }> {
    const { cluster } = this.#parts;
    const { name } = cluster.nodes().findLast(({ state }) => state === "running")!;
    const beginMs = performance.now();
    if (step === "remove") {
      await cluster.remove(name);
      return { node: name, startMs: 0, sinceMs: beginMs };
    }
    await cluster.kill(name);
    await cluster.untilDead(name);
    // Dead for the grace time, the others condemn it, rehearse the ring without it and go there: that is the move.
    await waitFor(
      async () =>
        [...(await this.#statuses()).values()].some(({ members }) =>
          members.some(({ id, ringState }) => id === name && ringState !== "active"),
        ),
      { what: `${name} to be given up`, timeoutMs: SAFE_TIMEOUT_MS, intervalMs: LOOK_MS },
    );
    const sinceMs = performance.now();
    await waitFor(
      async () =>
        [...(await this.#statuses()).values()].every(
          ({ members }) => !members.some(({ id, ringState }) => id === name && isInRing(ringState)),
        ),
      { what: `${name} to be evicted`, timeoutMs: SAFE_TIMEOUT_MS, intervalMs: LOOK_MS },
    );
    return { node: name, startMs: sinceMs - beginMs, sinceMs };
  }

  /** Until the nodes have dropped what moved away. */
  async untilTidy(): Promise<void> {
    const { keys } = this.#parts.options;
    const isTidy = async (): Promise<boolean> => {
      const statuses = [...(await this.#statuses()).values()];
      const held = statuses.reduce((sum, { store }) => sum + store.entries, 0);
      return held <= keys * this.copies * 1.01;
    };
    await waitFor(isTidy, {
      what: "moved keys to be dropped",
      timeoutMs: TIDY_TIMEOUT_MS,
      intervalMs: LOOK_MS,
    }).catch(() => {});
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const { cache, cluster, stateDirectory } = this.#parts;
    await cache.close();
    await cluster.stop();
    rmSync(stateDirectory, { recursive: true, force: true });
  }

  #statuses(): Promise<Map<string, NodeStatus>> {
    return this.#parts.cluster.statuses();
  }
}

/** The ring that the nodes are in, by the answer of the first of them that is. */
async function ringOf(statuses: ReadonlyMap<string, NodeStatus>): Promise<Ring> {
  const status = [...statuses.values()].find(({ ringId, isReady }) => ringId !== "" && isReady);
  if (status === undefined) throw new Error("No node is in a ring");
  const members = status.members
    .filter(({ ringState }) => isInRing(ringState))
    .map(({ id, weight, zone }) => ({ id: id as MemberId, weight, zone }));
  return Ring.build(members, ringParameters(status.replicas), await loadHashes());
}
