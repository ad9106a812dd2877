import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId, Slot } from "../../src/base/ids.ts";
import type { NodeCoreInput } from "../../src/core/options.ts";
import { Ring, ringParameters } from "../../src/core/ring/ring.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { MiniCluster } from "./mini-cluster.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const NAMES = ["n1", "n2", "n3", "n4", "n5"];

function started(names: readonly string[] = NAMES, over: Partial<NodeCoreInput> = {}): MiniCluster {
  return MiniCluster.settled(hashes, names, over);
}

function isReleased(cluster: MiniCluster, name: string): boolean {
  return cluster.events.some(({ node, event }) => node === name && event.type === "released");
}

/** The first of many keys whose slot is fit. */
function keyOf(isFit: (slot: Slot) => boolean): string {
  return Array.from({ length: 10_000 }, (_, index) => `key ${index}`).find((key) => isFit(slotOfKey(key)))!;
}

/** A key of which all these are replicas. */
function keyOn(cluster: MiniCluster, names: readonly string[]): string {
  const { ring } = cluster.nodes.get("n1")!.core.view;
  return keyOf((slot) =>
    names.every((name) => ring!.isReplica(slot, cluster.nodes.get(name)!.core.view.self)),
  );
}

/** A cluster of which n4 and n5 are to be cut off as they leave, and a key that both keep, set to "old". */
function aboutToLeave() {
  const cluster = started();
  const first = cluster.nodes.get("n1")!.core;
  const { ring } = first.view;
  const key = keyOn(cluster, ["n4", "n5"]);
  expect(cluster.answer(cluster.set("n1", key, "old"))).toMatchObject({ kind: "written" });
  const isAway = (name: string) => name === "n4" || name === "n5";
  const isCut = (from: string, to: string) => isAway(from) !== isAway(to);
  return { cluster, first, ring: ring!, key, isAway, isCut };
}

describe("NodeCore", () => {
  test("five nodes form one ring within three seconds and settle on it", () => {
    const cluster = new MiniCluster(hashes);
    for (const name of NAMES) cluster.start(name);

    const ms = cluster.runUntil(() => cluster.isSettled, 10_000);

    const rings = new Set([...cluster.nodes.values()].map(({ core }) => core.status(cluster.now).ringId));
    expect(rings.size).toBe(1);
    expect(ms).toBeLessThan(3_000);
  });

  test("refuses clients' frames while its queue stands, answers heartbeats and other nodes, and says when it is over", () => {
    const cluster = started(["n1"], { replicas: 1 });
    const read = (id: number) =>
      ({ kind: "get", id, key: "k", read: "one", want: "value", notAfter: 0 }) as const;
    const frame = (waitedMs: number, ...ids: number[]) => {
      cluster.replies.length = 0;
      const requests = [...ids.map(read), { kind: "ping", sentMs: 1 } as const];
      cluster.input("n1", { kind: "clientBatch", client: 1, requests, waitedMs });
      return cluster.replies.map(({ kind }) => kind);
    };
    const told = () =>
      cluster.events.flatMap(({ event }) => (event.type === "overload" ? [event.isOverloaded] : []));

    for (let waited = 0; waited < 100; waited += 10, cluster.run(10)) {
      expect(frame(40, 1, 2)).toEqual(["got", "got", "pong"]);
    }
    expect(told()).toEqual([]);
    expect(frame(40, 1, 2)).toEqual(["pong", "overloaded"]);
    expect(cluster.replies[1]).toEqual({ kind: "overloaded", ids: [1, 2], retryAfterMs: 80 });
    expect(frame(3, 3)).toEqual(["got", "pong"]);
    cluster.run(1_200);

    expect(told()).toEqual([true, false]);
    expect(frame(40, 4)).toEqual(["got", "pong"]);
  });

  test("any node takes a write and any node reads it", () => {
    const cluster = started();

    for (const [index, writer] of NAMES.entries()) {
      expect(cluster.answer(cluster.set(writer, `key${index}`, `value${index}`))).toMatchObject({
        kind: "written",
        outcome: true,
      });
    }

    for (const reader of NAMES) {
      for (const index of NAMES.keys()) expect(cluster.get(reader, `key${index}`)).toBe(`value${index}`);
    }
  });

  test("an acknowledged write is on a majority of its replicas, and soon on all", () => {
    const cluster = started();

    cluster.answer(cluster.set("n1", "k", "v"));
    cluster.run(100);

    const holders = [...cluster.nodes.values()].filter(
      ({ store }) => store.peek(slotOfKey("k"), "k") !== undefined,
    );
    expect(holders).toHaveLength(3);
  });

  test("one node lost: reads and writes go on at once, and it gets what it missed when it is back", () => {
    const cluster = started();
    for (let index = 0; index < 50; index++) cluster.answer(cluster.set("n1", `key${index}`, "before"));

    cluster.kill("n2");
    for (let index = 0; index < 50; index++) {
      expect(cluster.answer(cluster.set("n1", `key${index}`, "after"))).toMatchObject({ kind: "written" });
      expect(cluster.get("n3", `key${index}`)).toBe("after");
    }
    cluster.start("n2");
    cluster.runUntil(() => cluster.isSettled, 20_000);

    for (let index = 0; index < 50; index++) expect(cluster.get("n2", `key${index}`)).toBe("after");
  });

  test("a node that joins takes over its slots without a missed key", () => {
    const cluster = started();
    for (let index = 0; index < 100; index++) cluster.answer(cluster.set("n1", `key${index}`, "v"));

    cluster.start("n6");
    cluster.runUntil(() => cluster.isSettled, 20_000);

    for (let index = 0; index < 100; index++) expect(cluster.get("n6", `key${index}`)).toBe("v");
    for (let index = 0; index < 100; index++) {
      const key = `key${index}`;
      const holders = [...cluster.nodes.values()].filter(
        ({ store }) => store.peek(slotOfKey(key), key) !== undefined,
      );
      expect(holders.length).toBeGreaterThanOrEqual(3);
    }
  });

  test("a node that leaves hands its slots over and is released", () => {
    const cluster = started();
    for (let index = 0; index < 100; index++) cluster.answer(cluster.set("n1", `key${index}`, "v"));

    cluster.input("n3", { kind: "leave" });
    cluster.runUntil(() => isReleased(cluster, "n3"), 20_000);
    cluster.kill("n3");
    cluster.run(500);

    for (let index = 0; index < 100; index++) expect(cluster.get("n1", `key${index}`, "quorum")).toBe("v");
    expect(cluster.nodes.get("n1")!.core.status(cluster.now).isSafe).toBe(true);
  });

  test("a node that finds one that leaves dead before it hears that it has left copies nothing twice", () => {
    const cluster = started(NAMES.slice(0, 4));
    for (let index = 0; index < 100; index++) cluster.answer(cluster.set("n1", `key${index}`, "v"));
    const status = (name: string) => cluster.nodes.get(name)!.core.status(cluster.now);
    const before = status("n2");
    const seen = (name: string) => status(name).members.find(({ id }) => id === "n4")!;

    cluster.input("n4", { kind: "leave" });
    cluster.runUntil(() => status("n2").change.phase === "rehearsing", 2_000);
    while (status("n2").change.waitingFor.includes("n2" as MemberId)) cluster.run(1);
    cluster.isLost = (_from, to) => to === "n2";
    cluster.kill("n4");
    cluster.runUntil(() => seen("n2").liveness === "dead", 20_000);
    expect([seen("n1").ringState, seen("n2").ringState]).toEqual(["left", "leaving"]);
    cluster.isLost = () => false;
    cluster.runUntil(() => ["n1", "n2", "n3"].every((name) => status(name).isSafe), 20_000);

    const { copied, store } = status("n2");
    const gained = store.entries - before.store.entries;
    expect(gained).toBeGreaterThan(10);
    expect(copied.entriesTotal - before.copied.entriesTotal).toBe(gained);
  });

  test("the copies of a node that is gone for good are made before the ring changes, so that no slot waits for them", () => {
    const cluster = started(NAMES, { membership: { deadGraceMs: 2_000 } });
    const keys = Array.from({ length: 60 }, (_, index) => `key${index}`);
    for (const key of keys) cluster.answer(cluster.set("n1", key, "v"));
    cluster.kill("n3");

    cluster.runUntil(() => cluster.events.some(({ event }) => event.type === "evicting"), 20_000);

    const rings = cluster.events.filter(({ event }) => event.type === "memberRingState");
    const stateOf = (state: string) =>
      rings.findIndex(({ event }) => event.type === "memberRingState" && event.ringState === state);
    expect(stateOf("condemned")).toBeGreaterThan(-1);
    expect(stateOf("condemned")).toBeLessThan(stateOf("evicted"));
    for (const key of keys) {
      const held = [...cluster.nodes.values()].filter(
        ({ isUp, store }) => isUp && store.peek(slotOfKey(key), key) !== undefined,
      );
      expect(held.length).toBeGreaterThanOrEqual(3);
    }
  });

  test("a node that is gone is evicted although others wait for it to fill their slots, and the slots are served again", () => {
    const cluster = started([...NAMES, "n6", "n7"], { membership: { deadGraceMs: 2_000 } });
    const first = cluster.nodes.get("n1")!.core;
    const key = keyOn(cluster, ["n6", "n7"]);
    expect(cluster.answer(cluster.set("n1", key, "v"))).toMatchObject({ kind: "written" });
    cluster.run(500);
    for (const name of ["n6", "n7"]) cluster.kill(name);
    cluster.request("n1", { kind: "command", command: "evict", member: "n6" });
    const { self } = cluster.nodes.get("n7")!.core.view;
    const stateOf = () => first.status(cluster.now).members.find(({ id }) => id === self)!.ringState;

    cluster.runUntil(() => stateOf() === "evicted", 60_000);
    cluster.runUntil(() => cluster.isSettled, 10_000);

    expect(cluster.get("n1", key, "quorum")).toBe("v");
  });

  test("a node that had the only copies is evicted when its time has come: nobody waits for what it held", () => {
    const cluster = new MiniCluster(hashes);
    for (const name of NAMES) cluster.start(name, { replicas: 1, membership: { deadGraceMs: 2_000 } });
    const first = cluster.nodes.get("n1")!.core;
    const isSpread = (members: number) => first.view.ring?.members.length === members && first.view.isSettled;
    cluster.runUntil(() => isSpread(5), 10_000);
    const key = keyOn(cluster, ["n3"]);
    cluster.kill("n3");

    cluster.runUntil(() => isSpread(4), 20_000);

    expect(cluster.answer(cluster.set("n1", key, "anew"))).toMatchObject({ kind: "written" });
  });

  test("nodes that start at once join in few changes of the ring", () => {
    const cluster = started(Array.from({ length: 9 }, (_, index) => `n${index + 1}`));

    const rings = cluster.events.filter(({ node, event }) => node === "n1" && event.type === "ringChanged");
    expect(rings.length).toBeLessThanOrEqual(6);
  });

  test("a node that was evicted before it could leave ends, and does not come back", () => {
    const cluster = started();
    const stateOf = () =>
      cluster.nodes
        .get("n1")!
        .core.status(cluster.now)
        .members.find(({ id }) => id === "n5")?.ringState;
    cluster.isLost = (from, to) => from === "n5" || to === "n5";
    cluster.input("n5", { kind: "leave" });
    cluster.runUntil(() => stateOf() === "evicted", 90_000);
    cluster.isLost = () => false;

    cluster.run(20_000);

    expect(isReleased(cluster, "n5")).toBe(true);
    expect(["evicted", "left"]).toContain(stateOf());
  });

  test("what two leaving nodes acknowledge by themselves, cut off as they leave, is not missed by those who stay", () => {
    const { cluster, first, ring, key, isCut } = aboutToLeave();
    for (const name of ["n4", "n5"]) cluster.input(name, { kind: "leave" });
    cluster.run(2);
    cluster.isLost = isCut;
    expect(cluster.answer(cluster.set("n4", key, "new"))).toMatchObject({ kind: "written" });
    cluster.run(1_500);
    expect(first.status(cluster.now).ringId).not.toBe(ring.id);
    const id = cluster.request("n1", { kind: "get", key, read: "quorum", want: "value", notAfter: 0 });
    cluster.isLost = () => false;

    const reply = cluster.answer(id, 15_000);

    if (reply.kind === "got") expect(new TextDecoder().decode(reply.value)).toBe("new");
    cluster.run(10_000);
    expect(cluster.get("n1", key, "quorum")).toBe("new");
  });

  test("nodes that are found dead while they leave are not evicted while their leases may last", () => {
    const { cluster, first, key, isAway, isCut } = aboutToLeave();
    // What the others copy before the change takes a while.
    cluster.isLost = (_from, _to, kind) => kind === "pulled";
    for (const name of ["n4", "n5"]) cluster.input(name, { kind: "leave" });
    cluster.run(2);
    cluster.isLost = (from, to, kind) => isCut(from, to) || kind === "pulled";
    cluster.run(3_500);
    cluster.isLost = isCut;
    cluster.run(1_100);
    const livenesses = first.status(cluster.now).members.filter(({ id }) => isAway(id));
    expect(livenesses.map(({ liveness }) => liveness)).toEqual(["dead", "dead"]);
    expect(cluster.answer(cluster.set("n4", key, "new"))).toMatchObject({ kind: "written" });
    cluster.run(100);
    const id = cluster.request("n1", { kind: "get", key, read: "quorum", want: "value", notAfter: 0 });
    cluster.run(500);
    cluster.isLost = () => false;

    const reply = cluster.answer(id, 20_000);

    if (reply.kind === "got") expect(new TextDecoder().decode(reply.value)).toBe("new");
    cluster.run(20_000);
    expect(cluster.get("n1", key, "quorum")).toBe("new");
    for (const name of ["n4", "n5"]) expect(isReleased(cluster, name)).toBe(true);
  });

  test("nodes that held the others dead when they heard that they have left hand over before they go", () => {
    const { cluster, first, ring, key, isAway, isCut } = aboutToLeave();
    for (const name of ["n4", "n5"]) cluster.input(name, { kind: "leave" });
    cluster.run(2);
    cluster.isLost = isCut;
    expect(cluster.answer(cluster.set("n4", key, "new"))).toMatchObject({ kind: "written" });
    const seen = (name: string) => cluster.nodes.get(name)!.core.status(cluster.now);
    const isHeldDead = ({ id, liveness }: { id: string; liveness: string }) =>
      !isAway(id) && liveness === "dead";
    cluster.runUntil(() => ["n4", "n5"].every((name) => seen(name).members.filter(isHeldDead).length === 3));
    expect(seen("n1").ringId).not.toBe(ring.id);
    cluster.isLost = () => false;

    // Who is released ends, and takes along what it has not handed over.
    const hintsLeft: number[] = [];
    const isGone = (name: string) => !cluster.nodes.get(name)!.isUp;
    for (let ms = 0; ms < 20_000 && !(isGone("n4") && isGone("n5")); ms += 5) {
      cluster.run(5);
      for (const name of ["n4", "n5"]) {
        if (!isReleased(cluster, name) || isGone(name)) continue;
        hintsLeft.push(seen(name).hints.count);
        cluster.kill(name);
      }
    }

    expect(cluster.get("n1", key, "quorum")).toBe("new");
    expect(hintsLeft).toEqual([0, 0]);
    expect(first.view.isSettled).toBe(true);
  });

  test("a node that leaves while another is dead does not wait for that one", () => {
    const cluster = started();
    cluster.kill("n3");
    const liveness = () =>
      cluster.nodes
        .get("n5")!
        .core.status(cluster.now)
        .members.find(({ id }) => id === "n3")?.liveness;
    cluster.runUntil(() => liveness() === "dead");

    cluster.input("n5", { kind: "leave" });

    expect(cluster.runUntil(() => isReleased(cluster, "n5"), 30_000)).toBeLessThan(10_000);
  });

  test("nodes that all leave at once are all released, the last one with the data", () => {
    const cluster = started(["n1", "n2", "n3"]);
    cluster.answer(cluster.set("n1", "k", "v"));

    for (const name of ["n1", "n2", "n3"]) cluster.input(name, { kind: "leave" });
    cluster.runUntil(() => ["n1", "n2", "n3"].every((name) => isReleased(cluster, name)), 20_000);

    const ringSizes = cluster.events.flatMap(({ node, event }) =>
      node === "n1" && event.type === "ringChanged" ? [event.members] : [],
    );
    expect(ringSizes.at(-1)).toBe(1);
    expect(cluster.nodes.get("n1")!.store.count(slotOfKey("k"))).toBe(1);
  });

  test("a minority acknowledges no quorum write and says that it is not done", () => {
    const cluster = started();
    const minority = new Set(["n1", "n2"]);
    cluster.isLost = (from, to) => minority.has(from) !== minority.has(to);
    cluster.run(2_000);

    const replies = Array.from({ length: 30 }, (_, index) =>
      cluster.answer(cluster.set("n1", `key${index}`, "v")),
    );

    for (const reply of replies)
      if (reply.kind === "failed") expect(reply).toMatchObject({ code: "ERR_NO_QUORUM", applied: "no" });
    const stored = replies.filter((reply) => reply.kind === "written").length;
    const reachable = Array.from({ length: 30 }, (_, index) => index).filter((index) => {
      const slot = slotOfKey(`key${index}`);
      return (
        [...cluster.nodes.values()].filter(({ store }) => store.peek(slot, `key${index}`) !== undefined)
          .length >= 2
      );
    });
    // A key of which two replicas are on this side has its majority here.
    expect(stored).toBe(reachable.length);
  });

  test("members that are cut off by themselves answer no quorum operation after the lease, and again when they are back", () => {
    const cluster = started([...NAMES, "n6"]);
    const pair = new Set(["n1", "n2"]);
    const holders = (key: string) =>
      [...pair].filter((id) => cluster.nodes.get(id)!.store.peek(slotOfKey(key), key) !== undefined);
    let key = "";
    for (let index = 0; holders(key).length < 2; index++) {
      key = `key${index}`;
      cluster.answer(cluster.set("n1", key, "first"));
      cluster.run(20);
    }
    cluster.isLost = (from, to) => pair.has(from) !== pair.has(to);
    cluster.run(3_000);
    expect(cluster.answer(cluster.set("n1", key, "second")).kind).toBe("written");
    expect(cluster.get("n2", key, "quorum")).toBe("second");

    cluster.run(2_500);
    expect(cluster.answer(cluster.set("n1", key, "third"))).toMatchObject({
      kind: "failed",
      code: "ERR_NO_QUORUM",
      applied: "no",
    });
    expect(() => cluster.get("n2", key, "quorum")).toThrow("ERR_NO_QUORUM");
    expect(cluster.answer(cluster.set("n1", key, "fourth", { write: "async" })).kind).toBe("written");
    expect(cluster.get("n1", key)).toBe("fourth");
    cluster.isLost = () => false;
    cluster.runUntil(() => cluster.isSettled, 20_000);

    expect(cluster.get("n1", key, "quorum")).toBe("fourth");
  });

  test("heartbeats of a member that is held dead are not answered", () => {
    const cluster = started(["n1", "n2", "n3"]);
    const isDead = () =>
      cluster.nodes
        .get("n1")!
        .core.status(cluster.now)
        .members.some(({ id, liveness }) => id === "n3" && liveness === "dead");
    cluster.kill("n3");
    const ping = () =>
      cluster.nodes
        .get("n1")!
        .core.step(
          { kind: "peer", from: "n3" as MemberId, message: { kind: "ping", sentMs: 1 } },
          cluster.now,
        )
        .some((effect) => effect.kind === "send" && effect.message.kind === "pong");
    expect(ping()).toBe(true);

    cluster.runUntil(isDead, 20_000);

    expect(ping()).toBe(false);
  });

  test("a node that was taken for gone brings back what it holds", () => {
    const cluster = started();
    cluster.answer(cluster.set("n1", "key", "kept"));
    const slot = slotOfKey("key");
    const [victim] = [...cluster.nodes].find(([id, { store }]) => id !== "n1" && store.peek(slot, "key"))!;
    const only = cluster.nodes.get(victim)!.store.peek(slot, "key")!;
    for (const [id, { store }] of cluster.nodes) if (id !== victim) store.drop(slot);

    cluster.request("n1", { kind: "command", command: "evict", member: victim });
    cluster.runUntil(() => cluster.nodes.get(victim)!.core.status(cluster.now).isReady === false, 5_000);
    cluster.runUntil(() => cluster.isSettled, 20_000);

    expect(cluster.nodes.get(victim)!.store.peek(slot, "key")).toEqual(only);
    expect(cluster.get(victim, "key", "one")).toBe("kept");
  });

  test("another weight and zone of a running node come as one planned change of the ring, and no key is missed", () => {
    const cluster = started();
    const keys = Array.from({ length: 40 }, (_, index) => `key${index}`);
    for (const key of keys) cluster.answer(cluster.set("n1", key, "v"));
    const status = (name: string) => cluster.nodes.get(name)!.core.status(cluster.now);
    const owned = (name: string) => status(name).members.find(({ id }) => id === "n2")!.slotsOwned;
    const before = owned("n1");
    cluster.events.length = 0;

    const asked = cluster.request("n2", { kind: "place", zone: "b", weight: 3 });
    cluster.runUntil(() => status("n1").change.moving.includes("n2" as MemberId), 2_000);
    expect(status("n1").members.find(({ id }) => id === "n2")).toMatchObject({ weight: 1, zone: "" });
    for (let index = 0; owned("n1") === before; index++) {
      expect(cluster.get(NAMES[index % 5]!, keys[index % 40]!)).toBe("v");
    }
    cluster.runUntil(() => cluster.isSettled, 20_000);

    expect(cluster.replies.find((reply) => "id" in reply && reply.id === asked)?.kind).toBe("commanded");
    for (const name of NAMES) {
      const { members, change } = status(name);
      expect(members.find(({ id }) => id === "n2")).toMatchObject({ weight: 3, zone: "b" });
      expect(change.phase).toBe("none");
    }
    expect(owned("n1")).toBeGreaterThan(1.4 * before);
    const changed = cluster.events
      .filter(({ event }) => event.type === "ringChanged")
      .map(({ node }) => node);
    expect(changed.sort()).toEqual(NAMES);
    for (const key of keys) expect(cluster.get("n3", key)).toBe("v");
  });

  test("a node that restarts as it was started keeps the place that it was given, and takes another one in order", () => {
    const cluster = started();
    const status = () => cluster.nodes.get("n1")!.core.status(cluster.now);
    const place = () => status().members.find(({ id }) => id === "n2");
    cluster.request("n2", { kind: "place", zone: undefined, weight: 3 });
    cluster.runUntil(() => place()?.weight === 3, 10_000);
    const { ringId } = status();
    cluster.runUntil(() => cluster.isSettled, 20_000);
    const restart = (over: { weight?: number }) => {
      cluster.kill("n2");
      cluster.run(3_000);
      cluster.events.length = 0;
      cluster.start("n2", over);
      cluster.run(500);
    };
    const rings = () =>
      cluster.events.filter(({ node, event }) => node === "n1" && event.type === "ringChanged");

    restart({});
    cluster.runUntil(() => cluster.isSettled, 20_000);
    expect(place()).toMatchObject({ weight: 3 });
    expect(status().ringId).toBe(ringId);
    expect(rings()).toEqual([]);

    restart({ weight: 2 });
    cluster.runUntil(() => place()?.weight === 2, 20_000);
    expect(rings()).toHaveLength(1);
  });

  test("a member that missed a ring in which it lost a slot does not count for the slot when it gets it back", () => {
    const cluster = started(NAMES.slice(0, 4));
    const sleeper = cluster.nodes.get("n3")!;
    const before = sleeper.core.view.ring!;
    const first = cluster.nodes.get("n1")!.core;
    cluster.start("n5");
    while (first.view.ring!.members.length < 5) cluster.run(1);
    // It stands still as the others go on to the ring with n5, and hears nothing of that one.
    sleeper.isUp = false;
    cluster.run(10_000);
    const between = first.view.ring!;
    const self = sleeper.core.view.self;
    const key = keyOf((slot) => before.ownerOf(slot) === self && !between.isReplica(slot, self));
    expect(cluster.answer(cluster.set("n1", key, "new"))).toMatchObject({ kind: "written" });
    cluster.input("n5", { kind: "leave" });
    cluster.run(10_000);

    sleeper.isUp = true;
    cluster.input("n3", { kind: "stall", ms: 20_000 });
    cluster.runUntil(() => isReleased(cluster, "n5"), 30_000);
    cluster.run(2_000);

    expect(first.view.ring!.id).toBe(before.id);
    expect(cluster.get("n3", key)).toBe("new");
  });

  test("a node that missed a change of the ring hears of it from those whom it asks about a repeated write", () => {
    const cluster = started(NAMES.slice(0, 4));
    const [first, behind] = [cluster.nodes.get("n1")!.core, cluster.nodes.get("n3")!.core];
    const before = behind.view.ring!;
    cluster.isLost = (_from, to, kind) => to === "n3" && kind === "gossip";
    cluster.start("n5");
    while (first.view.ring!.members.length < 5) cluster.run(1);
    const heard = new Set(["ping", "pong", "readReply", "replicated"]);
    cluster.isLost = (_from, to, kind) => to === "n3" && !heard.has(kind);
    cluster.run(100);
    expect(behind.view.ring!.id).toBe(before.id);
    heard.add("sync");
    const key = Array.from({ length: 1_000 }, (_, index) => `key ${index}`).find((each) => {
      const slot = slotOfKey(each);
      const lists = [before, first.view.ring!].map((ring) => ring.preferenceList(slot).join());
      return before.isReplica(slot, behind.view.self) && lists[0] === lists[1];
    })!;

    const id = cluster.set("n3", key, "v", { attempt: 2, begunAt: cluster.now.monoMs });

    expect(cluster.answer(id, 50)).toMatchObject({ kind: "written" });
  });

  test("what one of two who lost a slot holds is not lost when the ring changes again before it was copied", () => {
    const cluster = started([...NAMES, "n6", "n7"]);
    const { ring } = cluster.nodes.get("n1")!.core.view;
    const names = [...cluster.nodes.keys()];
    const without = (...gone: string[]) =>
      Ring.build(
        ring!.members.filter(({ id }) => !gone.includes(id)),
        ringParameters(3),
        hashes,
      );
    // The eviction of `gone` takes the slot from `former` as well; the one of `other` changes nothing in it.
    const cases = names
      .slice(1)
      .flatMap((gone) =>
        names
          .filter((other) => other !== "n1" && other !== gone)
          .map((other) => ({ gone, other, next: without(gone), last: without(gone, other) })),
      );
    const isFit = (key: string, { other, next, last }: (typeof cases)[number]) => {
      const [before, after] = [ring!, next].map((each) => each.preferenceList(slotOfKey(key)));
      const isSame = after!.join() === last.preferenceList(slotOfKey(key)).join();
      const stays = before!.filter((id) => after!.includes(id));
      return isSame && stays.length === 1 && stays[0] !== "n1" && !before!.includes(other as MemberId);
    };
    const keys = Array.from({ length: 20_000 }, (_, index) => `key ${index}`);
    const ownerOf = (key: string) => ring!.ownerOf(slotOfKey(key));
    const find = (each: (typeof cases)[number]) =>
      keys.find((key) => ownerOf(key) === each.gone && isFit(key, each));
    const fit = cases.find((each) => find(each) !== undefined)!;
    const { gone, other, next } = fit;
    const key = find(fit)!;
    const stays = next.preferenceList(slotOfKey(key)).find((id) => ring!.isReplica(slotOfKey(key), id));
    expect(cluster.answer(cluster.set(gone, key, "old"))).toMatchObject({ kind: "written" });
    cluster.run(500);
    cluster.isLost = (from, to, kind) => from === gone && to === stays && kind === "replicate";
    expect(cluster.answer(cluster.set(gone, key, "new"))).toMatchObject({ kind: "written" });
    cluster.kill(gone);
    cluster.kill(other);

    cluster.request("n1", { kind: "command", command: "evict", member: gone });
    cluster.run(1);
    cluster.request("n1", { kind: "command", command: "evict", member: other });
    cluster.run(20_000);

    expect(cluster.get("n1", key, "quorum")).toBe("new");
  });

  test("a ring that returns before the one between was settled is settled when its members hold their slots again", () => {
    const cluster = started(NAMES.slice(0, 4));
    const first = cluster.nodes.get("n1")!.core;
    const before = first.view.ring!;
    cluster.start("n5");
    while (first.view.ring!.id === before.id) cluster.run(1);
    cluster.isLost = (_from, _to, kind) => kind === "pulled";
    cluster.events.length = 0;
    cluster.request("n1", { kind: "command", command: "evict", member: "n5" });

    cluster.run(300);

    const filling = cluster.events.filter(({ event }) => event.type === "fillStarted");
    expect(filling.length).toBeGreaterThan(0);
    expect(first.view.ring!.id).toBe(before.id);
    expect(first.view.isSettled).toBe(false);
    expect(first.status(cluster.now).isSafe).toBe(false);
    cluster.isLost = () => false;
    cluster.runUntil(() => first.view.isSettled, 10_000);
  });

  test("nodes that hear at once that a member died and was evicted doubt what they shared with that one", () => {
    const cluster = started();
    const [sleeper, other] = [cluster.nodes.get("n3")!, cluster.nodes.get("n4")!];
    const first = cluster.nodes.get("n1")!.core;
    const { ring, self } = sleeper.core.view;
    const victim = cluster.nodes.get("n2")!.core.view.self;
    const key = keyOf((slot) => {
      const list = ring!.preferenceList(slot);
      return list[0] === self && list[1] === victim && list[2] === other.core.view.self;
    });
    // Only the coordinator knows that the sleeper has missed this.
    cluster.isLost = (from, to) => [from, to].sort().join() === "n2,n3";
    cluster.run(1_000);
    expect(cluster.answer(cluster.set("n2", key, "new"))).toMatchObject({ kind: "written" });
    cluster.kill("n2");
    const liveness = () => first.status(cluster.now).members.find(({ id }) => id === victim)?.liveness;
    cluster.runUntil(() => liveness() === "suspect");
    for (const node of [sleeper, other]) node.isUp = false;
    cluster.runUntil(() => liveness() === "dead");
    cluster.request("n1", { kind: "command", command: "evict", member: "n2" });
    cluster.run(300);
    other.isUp = true;
    cluster.input("n4", { kind: "stall", ms: 1_500 });
    cluster.run(700);
    sleeper.isUp = true;
    cluster.input("n3", { kind: "stall", ms: 2_000 });
    cluster.run(5_000);

    expect(cluster.get("n3", key)).toBe("new");
  });

  test("a clear that a node missed reaches it although who coordinated it is gone, and was no replica", () => {
    const cluster = started();
    const { ring, self } = cluster.nodes.get("n3")!.core.view;
    const gone = cluster.nodes.get("n2")!.core.view.self;
    const key = keyOf((slot) => {
      const list = ring!.preferenceList(slot);
      return list[0] === self && !list.includes(gone);
    });
    expect(cluster.answer(cluster.set("n1", key, "old"))).toMatchObject({ kind: "written" });
    cluster.isLost = (from, to) => [from, to].sort().join() === "n2,n3";
    cluster.run(1_000);
    const operation = { opClient: 7, opSeq: 1, attempt: 1, notAfter: 0, begunAt: 0 };
    const clear = cluster.request("n2", { kind: "clear", slots: [slotOfKey(key)], ...operation });
    expect(cluster.answer(clear)).toMatchObject({ kind: "cleared" });
    cluster.kill("n2");
    cluster.run(20_000);

    expect(cluster.get("n3", key)).toBeUndefined();
  });

  test("a node that stood still answers no read from its old copy alone", () => {
    const cluster = started();
    const keys = Array.from({ length: 40 }, (_, index) => `key${index}`);
    for (const key of keys) cluster.answer(cluster.set("n1", key, "before"));
    cluster.isLost = (from, to) => from === "n2" || to === "n2";
    cluster.run(1_500);
    for (const key of keys)
      cluster.answer(cluster.set("n1", key, "after", { attempt: 2, begunAt: cluster.now.monoMs }));

    // It wakes up, its links break, and callers that reach it ask at once.
    cluster.input("n2", { kind: "stall", ms: 1_500 });
    for (const other of ["n1", "n3", "n4", "n5"]) {
      cluster.input("n2", { kind: "link", member: other as MemberId, path: "peer", isUp: false });
    }
    const asked = keys.map((key) =>
      cluster.request("n2", { kind: "get", key, read: "one", want: "value", notAfter: 0 }),
    );
    cluster.run(50);
    cluster.isLost = () => false;
    cluster.run(2_500);

    for (const id of asked) {
      const reply = cluster.replies.find((candidate) => "id" in candidate && candidate.id === id);
      if (reply?.kind === "got") expect(new TextDecoder().decode(reply.value)).toBe("after");
      else expect(reply).toMatchObject({ kind: "failed", elsewhere: true });
    }
  });
});
