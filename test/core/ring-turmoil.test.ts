// Changes of the ring that go wrong half-way: what must not be lost, and what must go on.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId } from "../../src/base/ids.ts";
import type { Cluster } from "../../src/core/node/cluster.ts";
import type { NodeCoreInput } from "../../src/core/options.ts";
import { Ring, ringParameters } from "../../src/core/ring/ring.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { MiniCluster } from "./mini-cluster.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function started(names: readonly string[], over: Partial<NodeCoreInput> = {}): MiniCluster {
  return MiniCluster.settled(hashes, names, over);
}

function statusOf(cluster: MiniCluster, name: string) {
  return cluster.nodes.get(name)!.core.status(cluster.now);
}

function stateOf(cluster: MiniCluster, seenBy: string, name: string) {
  return statusOf(cluster, seenBy).members.find(({ id }) => id === name)?.ringState;
}

const FOUR = ["n1", "n2", "n3", "n4"];

describe("a change of the ring", () => {
  test("what two who lost a slot hold is not lost when the ring that they held it under returns", () => {
    const cluster = started(FOUR);
    const first = cluster.nodes.get("n1")!.core;
    const before = first.view.ring!;
    const joined = Ring.build(
      [...before.members, { id: "n5" as MemberId, weight: 1, zone: "" }],
      ringParameters(3),
      hashes,
    );
    const lists = (key: string) => [before, joined].map((ring) => ring.preferenceList(slotOfKey(key)));
    const key = Array.from({ length: 200_000 }, (_, index) => `key ${index}`).find((each) => {
      const [from, to] = lists(each);
      return from!.filter((id) => to!.includes(id)).length === 1;
    })!;
    const [from, to] = lists(key);
    const stays = from!.find((id) => to!.includes(id))!;
    const lost = from!.filter((id) => id !== stays);
    expect(cluster.answer(cluster.set(lost[0]!, key, "old"))).toMatchObject({ kind: "written" });
    cluster.run(500);
    cluster.start("n5");
    // Who stays misses a write, and hears of it by no hint.
    const missed = (_from: string, to_: string, kind: string) => to_ === stays && kind === "replicate";
    cluster.isLost = missed;
    cluster.runUntil(() => stateOf(cluster, "n1", "n5") === "joining", 5_000);
    expect(first.view.ring!.id).toBe(before.id);
    expect(cluster.answer(cluster.set(lost[0]!, key, "new"))).toMatchObject({ kind: "written" });
    while (first.view.ring!.id === before.id) cluster.run(1);
    expect(first.view.ring!.id).toBe(joined.id);
    cluster.isLost = (from_, to_, kind) => missed(from_, to_, kind) || kind === "pulled";
    cluster.run(20);
    cluster.request("n1", { kind: "command", command: "evict", member: "n5" });
    cluster.run(100);
    expect(first.view.ring!.id).toBe(before.id);
    cluster.kill("n5");
    cluster.isLost = () => false;
    cluster.runUntil(() => cluster.isSettled, 30_000);

    expect(cluster.get("n1", key, "quorum", 20_000)).toBe("new");
  });

  test("a member that hears of a change in pieces keeps what it holds under the ring before and after", () => {
    const cluster = started(["n1", "n2", "n3", "n4", "n5"]);
    const keys = Array.from({ length: 1_500 }, (_, index) => `key${index}`);
    for (const key of keys) cluster.answer(cluster.set("n1", key, "v"));
    cluster.run(1_000);
    const { core, store } = cluster.nodes.get("n2")!;
    const before = core.view.ring!;
    const n4 = () => statusOf(cluster, "n2").members.find(({ id }) => id === "n4")!;
    cluster.isLost = (_from, to, kind) => to === "n3" && kind === "pulled";
    for (const name of ["n4", "n5"]) cluster.input(name, { kind: "leave" });
    const isWaitedFor = (name: string) =>
      statusOf(cluster, "n3").change.waitingFor.includes(name as MemberId);
    cluster.runUntil(() => statusOf(cluster, "n3").change.going.length === 2 && !isWaitedFor("n2"), 20_000);
    // The message that makes the change does not reach it, and one of the two dies. Then the first that it hears is what the other says of itself.
    cluster.isLost = (_from, to) => to === "n2";
    const first = cluster.nodes.get("n1")!.core.view as Cluster;
    while (first.ring!.id === before.id) cluster.run(1);
    cluster.kill("n4");
    cluster.runUntil(() => n4().liveness === "dead", 30_000);
    expect(core.view.ring!.id).toBe(before.id);
    const record = first.membership.get("n5" as MemberId)!;
    expect(record.ringState).toBe("left");
    cluster.events.length = 0;
    const message = { kind: "gossip", updates: [{ record, accuser: "" }] } as const;
    const keysHeld = keys.filter((key) => store.peek(slotOfKey(key), key) !== undefined);
    cluster.input("n2", { kind: "gossip", from: "n5" as MemberId, fromAddress: "n5:1", message });
    cluster.isLost = () => false;
    const after = cluster.nodes.get("n1")!.core.view.ring!;
    const held = keysHeld.filter((key) =>
      [before, after].every((ring) => ring.isReplica(slotOfKey(key), core.view.self)),
    );
    const lost = new Set<string>();
    for (let ms = 0; ms < 1_000; ms++) {
      cluster.run(1);
      for (const key of held) if (store.peek(slotOfKey(key), key) === undefined) lost.add(key);
    }
    expect(core.view.ring!.id).toBe(after.id);
    expect([...lost]).toEqual([]);
  });

  test("a node that is gone is evicted although all others have restarted since, and the slots are served again", () => {
    const cluster = started(["n1", "n2", "n3"], { membership: { deadGraceMs: 20_000 } });
    const over = { membership: { deadGraceMs: 20_000 } };
    cluster.kill("n3");
    cluster.run(5_000);
    for (const name of ["n1", "n2"]) {
      cluster.kill(name);
      cluster.run(200);
      cluster.start(name, over);
      cluster.runUntil(() => stateOf(cluster, name, name) === "warming", 5_000);
    }
    cluster.run(1_800_000);

    expect(stateOf(cluster, "n1", "n3")).toBe("evicted");
    expect(cluster.answer(cluster.set("n1", "key", "v"))).toMatchObject({ kind: "written" });
  });

  test("members that leave are let go although one is dead that does not know the ring", () => {
    const over = { membership: { deadGraceMs: 5_000 } };
    const cluster = started(["n1", "n2", "n3"], over);
    cluster.kill("n3");
    cluster.run(200);
    cluster.isLost = (_from, to, kind) => to === "n3" && kind === "pulled";
    cluster.start("n3", over);
    cluster.runUntil(() => stateOf(cluster, "n1", "n3") === "warming", 5_000);
    cluster.kill("n3");
    cluster.isLost = () => false;
    for (const name of ["n1", "n2"]) cluster.input(name, { kind: "leave" });
    cluster.run(1_800_000);

    const released = cluster.events.filter(({ event }) => event.type === "released").map(({ node }) => node);
    expect(released.sort()).toEqual(["n1", "n2"]);
  });
});
