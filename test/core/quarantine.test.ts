import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId, Slot } from "../../src/base/ids.ts";
import type { Entry, GossipMessage, MemberRecord, PeerMessage } from "../../src/core/messages.ts";
import { hasForgedVersion, OFFENCES_MAX, QUARANTINE_MS, Quarantine } from "../../src/core/quarantine.ts";
import { stampOf } from "../../src/core/replication/clock.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { FIRST_TRY } from "../first-try.ts";
import { MiniCluster } from "./mini-cluster.ts";

const EVIL = "n5" as MemberId;
const NAMES = ["n1", "n2", "n3", "n4", "n5"];
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

describe("Quarantine", () => {
  test("holds a member at its third offence within a minute, and lets it go after another", () => {
    const quarantine = new Quarantine();
    const told = [0, 100, 200].map((atMs) => quarantine.offend(EVIL, "version", 4, atMs));

    expect(told.map((events) => events.map(({ type }) => type))).toEqual([["forged"], [], ["quarantined"]]);
    expect([quarantine.holds(EVIL, 201), quarantine.holds("n1" as MemberId, 201)]).toEqual([true, false]);
    expect(quarantine.holds(EVIL, 200 + QUARANTINE_MS)).toBe(false);
    expect(quarantine.offend(EVIL, "record", 4, 201 + QUARANTINE_MS).at(-1)?.type).toBe("quarantined");
  });

  test("forgets offences that are further apart", () => {
    const quarantine = new Quarantine();

    for (let atMs = 0; atMs < 1_000_000; atMs += 61_000) quarantine.offend(EVIL, "record", 4, atMs);

    expect(quarantine.held(1_000_000)).toEqual([]);
  });

  test("never holds half of the cluster or more: then it is this node that is out of order", () => {
    const quarantine = new Quarantine();

    for (const member of ["n2", "n3", "n4", "n5"] as MemberId[]) {
      for (let offence = 0; offence <= OFFENCES_MAX; offence++)
        quarantine.offend(member, "record", 4, offence);
    }

    expect(quarantine.held(10)).toEqual(["n2", "n3"]);
    expect(new Quarantine().offend(EVIL, "record", 1, 0).map(({ type }) => type)).toEqual(["forged"]);
  });

  test.each<readonly [string, (version: number) => PeerMessage]>([
    ["a write", (version) => replicate("k", "client", version)],
    ["a hint", (version) => replicate("k", "hint", version)],
    [
      "an acknowledgement",
      (heldVersion) => ({ kind: "replicated", id: 1, status: "newer", counts: true, heldVersion }),
    ],
    [
      "a clear",
      (version) => ({
        ...{ kind: "clearReplica", id: 1, ringId: ring, slots: [0 as Slot], version },
        ...{ opClient: 0, opSeq: 0, attempt: 0, begunAt: 0 },
      }),
    ],
    [
      "the answer to a clear",
      (known) => ({
        ...{ kind: "clearReplicaReply", id: 1, status: "ok", counts: [true], newest: 0, known },
      }),
    ],
    [
      "the answer to a read",
      (clearedVersion) => ({
        ...{ kind: "readReply", id: 1, status: "ok", counts: true, isNewcomer: false },
        ...{ entry: undefined, clearedVersion, known: undefined },
      }),
    ],
    [
      "a copied floor",
      (floor) => ({
        ...{ kind: "pulled", id: 1, status: "ok", entries: [], slotsDone: 1, floors: [floor], cleared: [0] },
        ...{ entitled: [true], isSame: [false], after: "", isBusy: false },
      }),
    ],
  ])("knows a version that no clock can have issued in %s", (_name, make) => {
    const wallMs = 1_800_000_000_000;

    expect(hasForgedVersion(make(stampOf(wallMs + 3_600_000)), wallMs)).toBe(false);
    expect(hasForgedVersion(make(2 ** 53 - 1), wallMs)).toBe(true);
  });
});

const ring = "0123456789abcdef" as Extract<PeerMessage, { kind: "replicate" }>["ringId"];

function replicate(
  key: string,
  purpose: "client" | "repair" | "hint",
  version: number,
  ringId = ring,
): Extract<PeerMessage, { kind: "replicate" }> {
  const value = Uint8Array.of(66);
  const operation = { opClient: 3, opSeq: 4, opAttempt: 1 };
  const entry: Entry = { key, version, origin: 9, expiresAt: 0, format: 2, value, ...operation };
  return { kind: "replicate", id: 1, ringId, purpose, entry, over: version - 1, notAfter: 0 };
}

/** Five settled nodes, with a value under `kept`. */
function started(): MiniCluster {
  const cluster = new MiniCluster(hashes);
  for (const name of NAMES) cluster.start(name);
  cluster.runUntil(
    () => [...cluster.nodes.values()].every(({ core }) => core.status(cluster.now).isSafe),
    20_000,
  );
  expect(write(cluster, "n1", "kept")).toMatchObject({ kind: "written", outcome: true });
  return cluster;
}

let opSeq = 0;
function write(cluster: MiniCluster, node: string, key: string) {
  const value = new TextEncoder().encode("good");
  const change = { type: "set", value, format: 1, ttlMs: 0, condition: "none", ifVersion: 0 } as const;
  const operation = {
    opClient: 7,
    opSeq: ++opSeq,
    ...FIRST_TRY,
  } as const;
  return cluster.answer(cluster.request(node, { kind: "write", key, change, write: "quorum", ...operation }));
}

/** What every honest node holds and believes, clocks of links aside. */
function state(cluster: MiniCluster): unknown {
  return NAMES.filter((name) => name !== EVIL).map((name) => {
    const { core, store } = cluster.nodes.get(name)!;
    const { members, ringId, clockSkewMs } = core.status(cluster.now);
    const entry = store.peek(slotOfKey("kept"), "kept");
    return { members, ringId, clockSkewMs, version: entry?.version, text: entry?.value?.toString() };
  });
}

function recordOf(cluster: MiniCluster, name: string, changes: Partial<MemberRecord>): MemberRecord {
  // The harness numbers boots from its wall time on.
  const generation = cluster.now.wallMs - cluster.now.monoMs + NAMES.indexOf(name) + 1;
  return {
    ...{ id: name as MemberId, address: `${name}:1`, zone: "", weight: 1, placeSeq: 0, wanted: undefined },
    ...{ generation, incarnation: 0, liveness: "alive" },
    ...{ ringSeq: 50, ringState: "active", settledRingId: "", preparedRingId: "" },
    ...changes,
  };
}

type Attack = (
  cluster: MiniCluster,
) => readonly (
  | { readonly path: "peer"; readonly message: PeerMessage }
  | { readonly path: "gossip"; readonly message: GossipMessage }
)[];

const gossip = (record: MemberRecord): { readonly path: "gossip"; readonly message: GossipMessage } => ({
  path: "gossip",
  message: { kind: "gossip", updates: [{ record, accuser: "" }] },
});
const peer = (message: PeerMessage): { readonly path: "peer"; readonly message: PeerMessage } => ({
  path: "peer",
  message,
});

describe("A member that holds the secret and forges", () => {
  test.each<readonly [string, Attack]>([
    [
      "versions of 2^53 - 1, written, repaired, hinted and cleared",
      ({ nodes, now }) => {
        const { ringId } = nodes.get("n1")!.core.status(now);
        const forged = (purpose: "client" | "repair" | "hint") =>
          peer(replicate("kept", purpose, 2 ** 53 - 1, ringId as typeof ring));
        const slots = [slotOfKey("kept")];
        return [
          ...[forged("client"), forged("repair"), forged("hint")],
          peer({
            kind: "clearReplica",
            id: 2,
            ringId: ringId as typeof ring,
            slots,
            version: 2 ** 53 - 1,
            ...{ opClient: 0, opSeq: 0, attempt: 0, begunAt: 0 },
          }),
        ];
      },
    ],
    [
      "incarnations and sequence numbers beyond all counters",
      (cluster) => [
        gossip(recordOf(cluster, "n2", { incarnation: 2 ** 53 - 1, liveness: "dead" })),
        gossip(recordOf(cluster, "n2", { ringSeq: 2 ** 40 })),
        gossip(recordOf(cluster, "n3", { incarnation: 2 ** 33, liveness: "suspect" })),
      ],
    ],
    [
      "boots of next year",
      (cluster) =>
        ["n1", "n2", "n3"].map((name) =>
          gossip(recordOf(cluster, name, { generation: cluster.now.wallMs + 31_536_000_000 })),
        ),
    ],
  ])("%s: is refused, told of, not heard any more, and nobody else's state moves", (_name, attack) => {
    const cluster = started();
    const before = state(cluster);

    for (let round = 0; round < OFFENCES_MAX; round++) {
      for (const { path, message } of attack(cluster)) {
        for (const name of ["n1", "n2", "n3", "n4"]) {
          if (path === "peer") cluster.input(name, { kind: "peer", from: EVIL, message });
          else cluster.input(name, { kind: "gossip", from: EVIL, fromAddress: "n5:1", message });
        }
      }
    }

    expect(state(cluster)).toEqual(before);
    const told = cluster.events.filter(({ event }) => event.type === "quarantined");
    expect(new Set(told.map(({ node }) => node))).toEqual(new Set(["n1", "n2", "n3", "n4"]));
    expect(told.every(({ event }) => event.type === "quarantined" && event.member === EVIL)).toBe(true);
    expect(write(cluster, "n2", "after")).toMatchObject({ kind: "written", outcome: true });
  });

  test.each(["joining", "active"] as const)(
    "an endless list of %s members: a thousand are believed in at most, and it is not heard any more",
    (ringState) => {
      const cluster = started();
      const ringBefore = cluster.nodes.get("n1")!.core.view.ring;
      const believed = () => cluster.nodes.get("n1")!.core.status(cluster.now).members.length;

      for (let list = 0; list < 8; list++) {
        const records = Array.from({ length: 500 }, (_, index) => {
          const id = `fake-${list}-${index}` as MemberId;
          return recordOf(cluster, "n2", { id, address: "10.0.0.1:1", ringState, ringSeq: 0 });
        });
        const message: GossipMessage = { kind: "sync", wantsReply: false, records };
        cluster.input("n1", { kind: "gossip", from: EVIL, fromAddress: "n5:1", message });
      }

      expect(believed()).toBeLessThanOrEqual(5 + 1_024);
      const { ring } = cluster.nodes.get("n1")!.core.view;
      if (ringState === "joining") expect(ring?.id).toBe(ringBefore?.id);
      expect(ring!.members.length).toBeLessThanOrEqual(1_024);
      const told = cluster.events.filter(({ event }) => event.type === "quarantined");
      expect(told).toMatchObject([{ node: "n1", event: { member: EVIL } }]);
    },
  );

  test("leaps of an incarnation: refused, so that nobody is driven to numbers that nobody believes", () => {
    const cluster = started();
    const before = state(cluster);

    for (const name of ["n1", "n3", "n4"]) {
      const { message } = gossip(recordOf(cluster, "n2", { incarnation: 2 ** 31 - 1, liveness: "suspect" }));
      cluster.input(name, { kind: "gossip", from: EVIL, fromAddress: "n5:1", message });
    }

    expect(state(cluster)).toEqual(before);
  });

  test("writes of slots that are not ours: refused, and counted against it", () => {
    const cluster = started();
    const { core, store } = cluster.nodes.get("n1")!;
    const { ringId } = core.status(cluster.now);
    const key = Array.from({ length: 100 }, (_, index) => `foreign ${index}`).find(
      (each) => core.view.ring!.isReplica(slotOfKey(each), "n1" as MemberId) === false,
    )!;
    const message = replicate(key, "client", stampOf(cluster.now.wallMs), ringId as typeof ring);

    for (let round = 0; round < OFFENCES_MAX; round++)
      cluster.input("n1", { kind: "peer", from: EVIL, message });

    expect(store.peek(slotOfKey(key), key)).toBeUndefined();
    const told = cluster.events.filter(({ event }) => event.type === "quarantined");
    expect(told).toMatchObject([{ node: "n1" }]);
  });

  test("its clock: moves nobody's by half a second", () => {
    const cluster = started();

    for (let beat = 0; beat < 40; beat++) {
      for (const name of ["n1", "n2", "n3", "n4"]) {
        const { monoMs, wallMs } = cluster.now;
        const message = { kind: "pong", sentMs: monoMs, monoMs, wallMs: wallMs + 86_400_000 } as const;
        cluster.input(name, { kind: "peer", from: EVIL, message });
      }
      cluster.run(50);
    }

    for (const name of ["n1", "n2", "n3", "n4"]) {
      const { core } = cluster.nodes.get(name)!;
      expect(Math.abs(core.wallMs(cluster.now) - cluster.now.wallMs)).toBeLessThan(500);
    }
    expect(write(cluster, "n3", "after")).toMatchObject({ kind: "written", outcome: true });
  });
});
