// A member of a real cluster that holds the secret and forges: a whole node whose core says, besides what it should, what no member
// in order can say.
// The others refuse it, stop hearing it, and serve as before; their state and their clocks do not move.

import { afterEach, describe, expect, test, vi } from "vitest";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import type { Entry, GossipMessage, MemberRecord, PeerMessage } from "../../src/core/messages.ts";
import { NodeCore } from "../../src/core/node-core.ts";
import { SegmentStore } from "../../src/core/store/segment-store.ts";
import { connect, type EmbeddedNode, type NodeEvent, startNode } from "../../src/index.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { type RunningServer, startServer } from "../../src/server/node.ts";

const SECRET = "a secret of more than sixteen bytes";
const HONEST = ["n1", "n2", "n3"];
const EVIL = "n4";

const nodes: (EmbeddedNode | RunningServer)[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

const common = { listen: "127.0.0.1:0", memory: "32mb", secret: SECRET } as const;
type Forged = { path: "peer"; message: PeerMessage } | { path: "gossip"; message: GossipMessage };

/** A node that is in order until it is told what to say to everybody. */
class HostileNode {
  #core: NodeCore | undefined;
  #said: readonly Forged[] = [];

  async start(join: string): Promise<void> {
    const hashes = await loadHashes();
    const server = await startServer({ ...common, name: EVIL, join }, (options, now) => {
      const store = new SegmentStore({ bytesMax: 2 ** 25 }, hashes);
      const core = new NodeCore(options, { store, hashes, prng: new Prng(1) }, now);
      this.#core = core;
      const step = core.step.bind(core);
      core.step = (input: Input, at: Now) => [...step(input, at), ...this.#forge(at)];
      return core;
    });
    nodes.push(server);
  }

  /** With its next step. */
  say(forged: readonly Forged[]): void {
    this.#said = forged;
  }

  #forge(now: Now): readonly Effect[] {
    const said = this.#said;
    this.#said = [];
    if (said.length === 0) return [];
    const { members } = this.#core!.status(now);
    return members
      .filter(({ id }) => id !== EVIL)
      .flatMap(({ id: to, address }) =>
        said.map((each) => ({ kind: "send", to, address, ...each }) as Effect),
      );
  }
}

function replicate(
  key: string,
  purpose: "client" | "repair" | "hint",
  version: number,
  ringId: string,
): Forged {
  const value = Uint8Array.of(66);
  const operation = { opClient: 3, opSeq: 4, opAttempt: 1 };
  const entry: Entry = { key, version, origin: 9, expiresAt: 0, format: 2, value, ...operation };
  const message = { kind: "replicate", id: 1, ringId, purpose, entry, over: version - 1, notAfter: 0 };
  return { path: "peer", message: message as PeerMessage };
}

function rumour(id: string, address: string, generation: number, changes: Partial<MemberRecord>): Forged {
  const record: MemberRecord = {
    ...{ id: id as MemberId, address, zone: "", weight: 1, generation },
    ...{ incarnation: 0, liveness: "alive", ringSeq: 50, ringState: "active" },
    ...{ settledRingId: "", preparedRingId: "", placeSeq: 0, wanted: undefined },
    ...changes,
  };
  return { path: "gossip", message: { kind: "gossip", updates: [{ record, accuser: "" }] } };
}

async function startCluster(): Promise<{
  honest: EmbeddedNode[];
  hostile: HostileNode;
  told: Map<string, NodeEvent[]>;
}> {
  const told = new Map<string, NodeEvent[]>(HONEST.map((name) => [name, []]));
  const honest: EmbeddedNode[] = [];
  for (const name of HONEST) {
    const founder = honest[0]?.url.replace(/^.*\/\//, "");
    const node = await startNode({
      ...common,
      name,
      ...(founder === undefined ? {} : { join: founder }),
      onEvent: (event) => told.get(name)!.push(event),
    });
    nodes.push(node);
    honest.push(node);
  }
  const hostile = new HostileNode();
  await hostile.start(honest[0]!.url.replace(/^.*\/\//, ""));
  await vi.waitFor(
    () => {
      const ids = new Set(honest.map((node) => node.status().ringId));
      expect([ids.size, honest.map((node) => node.status().members.length)]).toEqual([1, [4, 4, 4]]);
      expect(honest.every((node) => node.status().isSafe)).toBe(true);
    },
    { timeout: 20_000 },
  );
  return { honest, hostile, told };
}

/** What an honest node believes of the honest ones. */
function beliefs(node: EmbeddedNode): unknown {
  const { members, ringId } = node.status();
  return { ringId, members: members.filter(({ id }) => id !== EVIL) };
}

describe("A member of a real cluster that holds the secret and forges", () => {
  test("is refused, told of and not heard any more, while the others' state, clocks and service stay", async () => {
    const { honest, hostile, told } = await startCluster();
    const seeds = honest.map((node) => node.url.replace(/^.*\/\//, "")).join(",");
    await using cache = await connect(`ringhold://${seeds}`, { secret: SECRET, timeout: 5_000 });
    await cache.set("kept", "good");
    const before = honest.map(beliefs);
    const { members, ringId } = honest[0]!.status();
    const victim = members.find(({ id }) => id === "n2")!;
    const nextYear = Date.now() + 31_536_000_000;

    // What is asked of the hostile one itself is in its hands. Keys that an honest one is first for are not.
    const keys: string[] = [];
    for (let index = 0; keys.length < 100; index++) {
      const { replicas } = cache.locate(`key:${index}`);
      if (replicas[0] !== EVIL) keys.push(`key:${index}`);
    }
    const failed: string[] = [];
    let calls = 0;
    for (let round = 0; round < 12; round++) {
      hostile.say([
        replicate("kept", "client", 2 ** 53 - 1, ringId),
        replicate("kept", "repair", 2 ** 53 - 1, ringId),
        {
          path: "peer",
          message: {
            kind: "clearReplica",
            id: 2,
            ringId: ringId as never,
            slots: [slotOfKey("kept")],
            version: 2 ** 53 - 1,
            ...{ opClient: 3, opSeq: 5, attempt: 1, begunAt: 0 },
          },
        },
        rumour("n2", victim.address, nextYear, { liveness: "dead" }),
        rumour("n2", victim.address, nextYear, {
          incarnation: 2 ** 53 - 1,
          ringSeq: 2 ** 40,
          ringState: "evicted",
        }),
      ]);
      for (let call = 0; call < 40; call++, calls++) {
        const key = keys[calls % keys.length]!;
        try {
          await cache.set(key, calls);
          const value = await cache.get(key);
          if (value !== calls) failed.push(`${key} is ${value}`);
        } catch (error) {
          failed.push(String(error));
        }
      }
    }

    await vi.waitFor(() => {
      for (const events of told.values())
        expect(events).toContainEqual(expect.objectContaining({ type: "quarantined", member: EVIL }));
    });
    expect(honest.map(beliefs)).toEqual(before);
    expect(failed).toEqual([]);
    expect(await cache.get("kept", { read: "quorum" })).toBe("good");
    for (const node of honest) expect(Math.abs(node.status().clockSkewMs)).toBeLessThan(500);
    const deaths = [...told.values()]
      .flat()
      .filter(
        (event) => event.type === "memberLiveness" && event.liveness === "dead" && event.member !== EVIL,
      );
    expect(deaths).toEqual([]);
  }, 60_000);
});
