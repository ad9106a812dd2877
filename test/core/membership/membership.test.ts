import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { NodeEvent } from "../../../src/core/events.ts";
import type { Effect } from "../../../src/core/machine.ts";
import { Membership } from "../../../src/core/membership/membership.ts";
import type { MembershipMessage } from "../../../src/core/membership/messenger.ts";
import type { MemberRecord, RingState, Update } from "../../../src/core/messages.ts";
import { MEMBERSHIP_DEFAULTS } from "../../../src/core/options.ts";
import { GENERATION, recordOf } from "./records.ts";

const id = (name: string) => name as MemberId;

type Send = Extract<Effect, { kind: "send" }>;

/** One machine, called by hand. */
class Node {
  monoMs = 1_000;
  wallMs = GENERATION + 60_000;
  readonly membership: Membership;

  constructor(
    init: { startsInRing?: boolean; seeds?: readonly string[]; condemns?: boolean; weight?: number } = {},
  ) {
    const weight = init.weight ?? 1;
    const self = { id: id("me"), address: "me:7400", zone: "", weight, generation: GENERATION };
    this.membership = new Membership(
      {
        self,
        seeds: init.seeds ?? [],
        startsInRing: init.startsInRing ?? true,
        options: MEMBERSHIP_DEFAULTS,
        replicas: 3,
        condemns: init.condemns ?? false,
      },
      new Prng(1),
      this.now,
    );
  }

  get now() {
    return { monoMs: this.monoMs, wallMs: this.wallMs };
  }

  handle(from: string, message: MembershipMessage): readonly Effect[] {
    return this.#call((out) => this.membership.handle(id(from), `${from}:7400`, message, this.now, out));
  }

  gossip(from: string, ...records: readonly MemberRecord[]): readonly Effect[] {
    return this.handle(from, { kind: "gossip", updates: records.map((record) => updateOf(record, from)) });
  }

  sync(from: string, wantsReply: boolean, ...records: readonly MemberRecord[]): readonly Effect[] {
    return this.handle(from, { kind: "sync", wantsReply, records });
  }

  link(member: string, isUp: boolean): readonly Effect[] {
    return this.#call((out) => this.membership.link(id(member), isUp, this.now, out));
  }

  wish(place: { zone: string | undefined; weight: number | undefined }): readonly Effect[] {
    return this.#call((out) => this.membership.wish(place, this.now, out));
  }

  stalled(ms: number): readonly Effect[] {
    return this.#call((out) => this.membership.stalled(ms, this.now, out));
  }

  setSelf(patch: Parameters<Membership["setSelf"]>[0]): readonly Effect[] {
    return this.#call((out) => this.membership.setSelf(patch, this.now, out));
  }

  enact(...changes: readonly [string, RingState][]): readonly Effect[] {
    return this.#call((out) =>
      this.membership.enact(
        changes.map(([member, ringState]) => ({ id: id(member), ringState })),
        this.now,
        out,
      ),
    );
  }

  evict(member: string): { done: boolean; effects: readonly Effect[] } {
    let done = false;
    const effects = this.#call((out) => {
      done = this.membership.evict(id(member), this.now, out);
    });
    return { done, effects };
  }

  /** Ticks at every deadline for so long. */
  run(ms: number): readonly Effect[] {
    const endMs = this.monoMs + ms;
    return this.#call((out) => {
      for (let ticks = 0; this.membership.deadline() <= endMs; ticks++) {
        if (ticks > 100_000) throw new Error("spinning");
        this.#moveTo(this.membership.deadline());
        this.membership.tick(this.now, out);
      }
      this.#moveTo(endMs);
    });
  }

  /** One tick after `ms` in which nothing ran. */
  tickAfter(ms: number): readonly Effect[] {
    this.#moveTo(this.monoMs + ms);
    return this.#call((out) => this.membership.tick(this.now, out));
  }

  livenessOf(member: string): string | undefined {
    return this.membership.get(id(member))?.liveness;
  }

  #moveTo(monoMs: number): void {
    const ms = Math.max(0, monoMs - this.monoMs);
    this.monoMs += ms;
    this.wallMs += ms;
  }

  #call(run: (out: Effect[]) => void): readonly Effect[] {
    const out: Effect[] = [];
    run(out);
    return out;
  }
}

function updateOf(record: MemberRecord, accuser: string): Update {
  return { record, accuser: record.liveness === "alive" ? "" : id(accuser) };
}

function nodeWith(...peers: readonly string[]): Node {
  const node = new Node();
  for (const peer of peers) node.gossip(peer, recordOf(peer));
  return node;
}

const sends = (effects: readonly Effect[]) =>
  effects.filter((effect): effect is Send => effect.kind === "send");
const messagesOf = (effects: readonly Effect[], kind: MembershipMessage["kind"]) =>
  sends(effects).filter((send) => send.message.kind === kind);

function eventsOf<T extends NodeEvent["type"]>(effects: readonly Effect[], type: T) {
  return effects.flatMap((effect) =>
    effect.kind === "event" && effect.event.type === type
      ? [effect.event as Extract<NodeEvent, { type: T }>]
      : [],
  );
}

describe("Membership and its own record", () => {
  test("Membership refutes an accusation with a higher incarnation, worse health, and tells all peers at once", () => {
    const node = nodeWith("a", "b");

    const effects = node.gossip("a", recordOf("me", { liveness: "suspect", incarnation: 4 }));

    expect(node.membership.self).toMatchObject({ liveness: "alive", incarnation: 5 });
    expect(node.membership.healthScore).toBe(1);
    expect(eventsOf(effects, "refuted")).toEqual([{ type: "refuted", incarnation: 5 }]);
    expect(messagesOf(effects, "gossip").map(({ to }) => to)).toEqual(["a", "b"]);
  });

  test("Membership ignores an accusation that it has refuted already", () => {
    const node = nodeWith("a");
    node.gossip("a", recordOf("me", { liveness: "dead" }));
    const before = node.membership.viewVersion;

    node.gossip("a", recordOf("me", { liveness: "suspect" }));

    expect(node.membership.viewVersion).toBe(before);
  });

  test("Membership reports another process with its id and does not fight it", () => {
    const node = nodeWith("a");
    const before = node.membership.self;

    const newer = recordOf("me", { generation: GENERATION + 9, address: "other:1" });
    const effects = node.gossip("a", newer);
    const again = node.gossip("a", newer);

    expect(eventsOf(effects, "duplicateId")).toEqual([
      { type: "duplicateId", member: "me", address: "other:1" },
    ]);
    expect(eventsOf(again, "duplicateId")).toEqual([]);
    expect(node.membership.self).toEqual(before);
  });

  test("Membership reports its own id at another address in the same boot", () => {
    const node = nodeWith("a");

    expect(eventsOf(node.gossip("a", recordOf("me", { address: "other:1" })), "duplicateId")).toHaveLength(1);
  });

  test("Membership accepts that it was evicted, accuses nobody any more, and cannot come back in this boot", () => {
    const node = nodeWith("a", "b");

    node.gossip("a", recordOf("me", { ringState: "evicted" }));
    const effects = node.run(60_000);
    node.setSelf({ ringState: "active" });

    expect(node.membership.self.ringState).toBe("evicted");
    expect(messagesOf(effects, "probe")).toEqual([]);
    expect(node.livenessOf("a")).toBe("alive");
  });

  test.each([0, 7])("Membership enters the ring by others' word at sequence number %i", (ringSeq) => {
    const node = new Node({ startsInRing: false });

    node.gossip("a", recordOf("me", { ringSeq, ringState: "warming" }));

    expect(node.membership.self).toMatchObject({ ringSeq: ringSeq + 1, ringState: "warming" });
  });

  test("Membership forgets whom it held dead when it hears that it has left, tells them too, and takes others' word from then on", () => {
    const node = new Node();
    const dead = ["a", "b"].map((name) => recordOf(name, { liveness: "dead" }));
    node.gossip("c", ...dead, recordOf("c"));
    expect(node.membership.get(id("a"))?.liveness).toBe("dead");

    const told = node.sync("c", false, { ...node.membership.self, ringState: "left", ringSeq: 9 });

    expect(["a", "b"].map((name) => node.membership.get(id(name))?.liveness)).toEqual(["suspect", "suspect"]);
    const sends = told.filter((effect): effect is Send => effect.kind === "send");
    expect(sends.map(({ to }) => to)).toEqual(["a", "b", "c"]);
    node.sync("c", false, ...dead.slice(0, 1));
    expect(["a", "b"].map((name) => node.membership.get(id(name))?.liveness)).toEqual(["dead", "suspect"]);
  });

  test("Membership that is condemned and lives says that it is what it was", () => {
    const node = nodeWith("a", "b");

    const effects = node.gossip("a", recordOf("me", { ringState: "condemned" }));

    expect(node.membership.self).toMatchObject({ ringSeq: 1, ringState: "active" });
    expect(messagesOf(effects, "gossip").map(({ to }) => to)).toEqual(["a", "b"]);
  });

  test("Membership tells a change of the ring to everybody in one message each, its own part included", () => {
    const node = nodeWith("a", "b");
    node.gossip("a", recordOf("c", { ringState: "joining" }), recordOf("d", { ringState: "joining" }));

    const effects = node.enact(["c", "warming"], ["me", "left"], ["d", "warming"], ["unknown", "left"]);

    const told = messagesOf(effects, "gossip");
    expect(told.map(({ to }) => to)).toEqual(["a", "b", "c", "d"]);
    for (const { message } of told) {
      expect(message).toMatchObject({
        updates: [
          { record: { id: "c", ringState: "warming" } },
          { record: { id: "me", ringState: "left" } },
          { record: { id: "d", ringState: "warming" } },
        ],
      });
    }
    expect(node.membership.self.ringState).toBe("left");
    expect(node.enact(["me", "evicted"])).toEqual([]);
  });

  test("Membership keeps its own word on its place in the ring against a later number that it never wrote", () => {
    const node = nodeWith("a");

    node.gossip("a", recordOf("me", { ringSeq: 7, ringState: "leaving" }));

    expect(node.membership.self).toMatchObject({ ringSeq: 8, ringState: "active" });
  });

  test("Membership tells a change of itself to all live peers at once, and nothing when nothing changed", () => {
    const node = nodeWith("a", "b", "c");

    const effects = node.setSelf({ ringState: "leaving" });
    const again = node.setSelf({ ringState: "leaving" });

    expect(messagesOf(effects, "gossip").map(({ to }) => to)).toEqual(["a", "b", "c"]);
    expect(node.membership.self).toMatchObject({ ringState: "leaving", ringSeq: 1 });
    expect(again).toEqual([]);
  });

  test("Membership leaves the telling to gossip beyond 32 live peers", () => {
    const node = nodeWith(...Array.from({ length: 33 }, (_, index) => `p${index}`));

    const effects = node.setSelf({ ringState: "leaving" });

    expect(sends(effects)).toEqual([]);
    expect(messagesOf(node.run(100), "gossip").length).toBeGreaterThan(0);
  });
});

describe("Membership of a node that starts", () => {
  test("Membership asks its seeds without naming itself until it has seen another view", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400", "me:7400"] });

    const asked = node.run(0);
    const answered = node.sync("a", false, recordOf("a"), recordOf("b"));

    expect(sends(asked)).toMatchObject([
      { to: "", address: "a:7400", message: { kind: "sync", records: [] } },
    ]);
    expect(messagesOf(answered, "gossip").map(({ to }) => to)).toEqual(["a", "b"]);
    expect(messagesOf(answered, "gossip")[0]?.message).toMatchObject({
      updates: [{ record: { id: "me", ringState: "joining" } }],
    });
  });

  test("Membership comes back as warming when the ring knows it from before its restart", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"] });
    node.run(0);

    const old = recordOf("me", { generation: GENERATION - 1, liveness: "dead", ringSeq: 8 });
    const effects = node.sync("a", false, recordOf("a"), old);

    expect(node.membership.self).toMatchObject({ ringState: "warming", generation: GENERATION });
    const told = messagesOf(effects, "gossip").flatMap(({ message }) =>
      message.kind === "gossip" ? message.updates : [],
    );
    expect(told.map(({ record }) => record.ringState)).toEqual(["warming"]);
  });

  test("Membership comes back in its place, and wishes for the one that it was started with", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"], weight: 4 });
    node.run(0);

    const wanted = { seq: 3, zone: "b", weight: 2 };
    const old = recordOf("me", { generation: GENERATION - 1, zone: "a", weight: 3, placeSeq: 2, wanted });
    node.sync("a", false, recordOf("a"), old);

    const { self } = node.membership;
    expect(self).toMatchObject({ zone: "a", weight: 3, placeSeq: 0, wanted: { zone: "b", weight: 4 } });
  });

  test("Membership has the place that it asks for at once while it waits to join", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"] });
    node.sync("a", false, recordOf("a"));

    node.wish({ zone: "b", weight: undefined });

    expect(node.membership.self).toMatchObject({ zone: "b", weight: 1, wanted: { zone: "b", weight: 1 } });
  });

  test("Membership tells its wish once, and takes the place that others give it", () => {
    const node = new Node();
    node.sync("a", false, recordOf("a"));

    const told = node.wish({ zone: undefined, weight: 2 });
    expect(node.wish({ zone: undefined, weight: 2 })).toEqual([]);
    const wanted = { seq: 1, zone: "", weight: 2 };
    expect(node.membership.self).toMatchObject({ weight: 1, placeSeq: 0, wanted });
    expect(messagesOf(told, "gossip").map(({ to }) => to)).toEqual(["a"]);
    node.gossip("a", { ...node.membership.self, weight: 2, placeSeq: 1 });

    expect(node.membership.self).toMatchObject({ weight: 2, placeSeq: 1 });
  });

  test("Membership joins afresh when it left before its restart", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"] });

    node.sync("a", false, recordOf("a"), recordOf("me", { generation: GENERATION - 1, ringState: "left" }));

    expect(node.membership.self.ringState).toBe("joining");
  });

  test("Membership does not believe old news that it is in the ring once it knows that it is out", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"] });
    const earlier = (ringState: RingState) =>
      recordOf("me", { generation: GENERATION - 1, ringSeq: 8, ringState });

    node.sync("a", false, recordOf("a"), earlier("evicted"));
    node.sync("a", false, recordOf("a"), earlier("condemned"));

    expect(node.membership.self.ringState).toBe("joining");
  });

  test("Membership says that it waits for its seeds", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400"] });

    expect(eventsOf(node.run(7_000), "waitingForSeeds")).toEqual([
      { type: "waitingForSeeds", seeds: ["a:7400"] },
      { type: "waitingForSeeds", seeds: ["a:7400"] },
    ]);
  });

  test("Membership without seeds and without others has nothing to do", () => {
    expect(new Node().membership.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("Membership goes on trying a seed that is not in view", () => {
    const node = new Node({ startsInRing: false, seeds: ["a:7400", "late:7400"] });
    node.sync("a", false, recordOf("a"));

    const seeds = messagesOf(node.run(2_100), "sync").filter(({ to }) => to === "");

    expect(seeds.length).toBeGreaterThan(0);
    expect(new Set(seeds.map(({ address }) => address))).toEqual(new Set(["late:7400"]));
  });
});

describe("Membership and others", () => {
  test("Membership answers a probe that is meant for it, and no other", () => {
    const node = nodeWith("a");

    const meant = node.handle("a", { kind: "probe", seq: 5, target: id("me"), updates: [] });
    const other = node.handle("a", { kind: "probe", seq: 6, target: id("you"), updates: [] });

    expect(messagesOf(meant, "ack")).toMatchObject([{ to: "a", message: { seq: 5 } }]);
    expect(sends(other)).toEqual([]);
  });

  test("Membership tells a suspect in the probe what is held against it", () => {
    const node = nodeWith("a", "b", "c");
    node.gossip("b", recordOf("a", { liveness: "suspect" }));

    const probe = messagesOf(node.run(600), "probe").find(({ to }) => to === "a");

    expect(probe?.message).toHaveProperty("updates.0.record.liveness", "suspect");
    expect(probe?.message).toHaveProperty("updates.0.accuser", "b");
  });

  test("Membership probes next whom somebody else accuses", () => {
    for (const suspect of ["a", "b", "c", "d", "e", "f"]) {
      const node = nodeWith("a", "b", "c", "d", "e", "f");
      node.gossip("a", recordOf(suspect, { liveness: "suspect" }));

      const [probe] = messagesOf(node.run(600), "probe");

      expect(probe?.to).toBe(suspect);
    }
  });

  test("Membership has the link to a silent dead member dialled anew before it tries it again", () => {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("a", { liveness: "dead" }));

    const effects = node.run(2_000).filter((effect) => "to" in effect || effect.kind === "redial");
    const tryIndex = effects.findIndex(
      (effect) => effect.kind === "send" && effect.to === "a" && effect.message.kind === "sync",
    );

    expect(effects[tryIndex - 1]).toEqual({ kind: "redial", member: "a", path: "gossip" });
  });

  test("Membership suspects who answers neither it nor its helpers, and tells the suspect first", () => {
    const node = nodeWith("a");

    const effects = node.run(1_100);

    expect(node.livenessOf("a")).toBe("suspect");
    expect(eventsOf(effects, "memberLiveness").at(-1)).toMatchObject({
      member: "a",
      liveness: "suspect",
      by: "me",
    });
    expect(effects.some((effect) => effect.kind === "redial" && effect.member === "a")).toBe(true);
  });

  test("Membership takes dead in a full sync for suspect, and in gossip for dead", () => {
    const node = nodeWith("a", "b", "c", "d");

    node.sync("d", false, recordOf("a", { liveness: "dead" }));
    node.gossip("d", recordOf("b", { liveness: "dead" }));

    expect(node.livenessOf("a")).toBe("suspect");
    expect(node.livenessOf("b")).toBe("dead");
  });

  test("Membership asks for a full sync when it hears of someone unknown from that one itself", () => {
    const node = nodeWith("a");

    const effects = node.handle("stranger", { kind: "probe", seq: 1, target: id("me"), updates: [] });

    expect(sends(effects).map(({ to, message }) => [to, message.kind])).toEqual([
      ["stranger", "ack"],
      ["stranger", "sync"],
    ]);
  });

  test("Membership tells a dead member that speaks that it must refute, not more than every 200 ms", () => {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("a", { liveness: "dead" }));

    const first = node.handle("a", { kind: "gossip", updates: [] });
    const second = node.handle("a", { kind: "gossip", updates: [] });

    expect(messagesOf(first, "gossip")).toMatchObject([
      { to: "a", message: { updates: [{ record: { id: "a", liveness: "dead" } }] } },
    ]);
    expect(sends(second)).toEqual([]);
  });

  test("Membership probes at once, directly and indirectly, when a link breaks, once for both paths", () => {
    const node = nodeWith("a", "b", "c", "d");

    const effects = node.link("a", false);
    const again = node.link("a", false);

    const sent = sends(effects).map(({ to, message }) => `${message.kind} ${to}`);
    expect(sent.sort()).toEqual(["probe a", "probeRequest b", "probeRequest c", "probeRequest d"]);
    expect(sends(again)).toEqual([]);
  });

  test("Membership asks a member that it holds dead for a sync when a link to it opens", () => {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("a", { liveness: "dead" }));

    expect(messagesOf(node.link("a", true), "sync")).toMatchObject([{ to: "a" }]);
    expect(sends(node.link("b", true))).toEqual([]);
  });

  test("Membership ignores a member that left until its next boot, and answers why", () => {
    const node = nodeWith("a", "b");
    node.gossip("a", recordOf("a", { ringState: "left", ringSeq: 1 }));

    const ignored = node.handle("a", {
      kind: "probe",
      seq: 1,
      target: id("me"),
      updates: [updateOf(recordOf("b", { liveness: "suspect" }), "a")],
    });
    node.gossip(
      "a",
      recordOf("a", { generation: GENERATION + 1, address: "elsewhere:1", ringState: "joining" }),
    );

    expect(messagesOf(ignored, "ack")).toEqual([]);
    expect(messagesOf(ignored, "gossip")).toMatchObject([
      { message: { updates: [{ record: { id: "a" } }] } },
    ]);
    expect(node.livenessOf("b")).toBe("alive");
    expect(node.membership.get(id("a"))).toMatchObject({ address: "elsewhere:1", ringState: "joining" });
  });

  test("Membership corrects who still believes in a member that left", () => {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("b", { ringState: "left", ringSeq: 1 }));

    const effects = node.gossip("a", recordOf("b"));

    expect(messagesOf(effects, "gossip")).toMatchObject([
      { to: "a", message: { updates: [{ record: { id: "b", ringState: "left" } }] } },
    ]);
  });

  test("Membership refuses records from the far future and counts them", () => {
    const node = nodeWith("a");

    node.gossip("a", recordOf("x", { generation: GENERATION + 10 * 86_400_000 }));
    node.gossip("a", recordOf("a", { incarnation: 2 ** 31 + 1 }));

    expect(node.membership.get(id("x"))).toBeUndefined();
    expect(node.membership.get(id("a"))?.incarnation).toBe(0);
    expect(node.membership.counters.recordsRefused).toBe(2);
  });

  test("Membership ignores records past its bound and counts them", () => {
    const node = new Node();
    const records = Array.from({ length: 5_000 }, (_, index) => recordOf(`x${index}`));

    node.sync("x0", false, ...records);
    expect(node.membership.records()).toHaveLength(1 + 1_024);
    expect(node.membership.counters.membersExcess).toBe(4_096 - 1_024);
    for (let round = 0; round < 4; round++) {
      node.monoMs += 10_000;
      node.sync("x0", false, ...records);
    }

    expect(node.membership.records()).toHaveLength(4_096);
  });

  test("Membership sends a full sync to one member at most every 20 ms", () => {
    const node = nodeWith("a");
    const out: Effect[] = [];

    for (let call = 0; call < 3; call++) node.membership.syncWith(id("a"), node.now, out);
    node.membership.syncWith(id("unknown"), node.now, out);

    expect(sends(out)).toHaveLength(1);
  });

  test("Membership forgets a member that left after a day, and tells of it for half a day only", () => {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("b", { ringState: "left", ringSeq: 1 }));
    const isTold = () => JSON.stringify(node.sync("a", true, recordOf("a"))).includes('"ringState":"left"');

    expect(isTold()).toBe(true);
    node.tickAfter(43_200_000);
    expect(isTold()).toBe(false);
    expect(node.membership.get(id("b"))?.ringState).toBe("left");
    node.tickAfter(43_200_000);

    expect(node.membership.get(id("b"))).toBeUndefined();
  });

  test("Membership obeys an operator's eviction without any guard, once", () => {
    const node = nodeWith("a", "b");

    const { done, effects } = node.evict("a");

    expect(done).toBe(true);
    expect(node.membership.get(id("a"))?.ringState).toBe("evicted");
    expect(messagesOf(effects, "gossip").map(({ to }) => to)).toEqual(["b"]);
    expect(node.evict("a").done).toBe(false);
    expect(node.evict("me").done).toBe(false);
    expect(node.evict("unknown").done).toBe(false);
  });

  test("Membership hands out records by id, and the same array until something changes", () => {
    const node = nodeWith("z", "a");
    const records = node.membership.records();

    node.gossip("a", recordOf("z"));

    expect(records.map((record) => record.id)).toEqual(["a", "me", "z"]);
    expect(node.membership.records()).toBe(records);
  });
});

describe("Membership after standing still", () => {
  /** A suspicion of `a` that runs out 2 s after now. */
  function suspicious(): Node {
    const node = nodeWith("a", "b");
    node.gossip("b", recordOf("a", { liveness: "suspect" }));
    return node;
  }

  test("Membership declares a suspect dead in time when nothing stalls", () => {
    const node = suspicious();

    node.run(1_990);
    expect(node.livenessOf("a")).toBe("suspect");
    node.run(20);

    expect(node.livenessOf("a")).toBe("dead");
  });

  test("Membership gives suspects back the time of a reported stall, and doubts its own health", () => {
    const node = suspicious();
    node.monoMs += 1_900;
    node.wallMs += 1_900;

    node.stalled(1_900);
    node.run(1_990);
    expect(node.livenessOf("a")).toBe("suspect");

    expect(node.membership.healthScore).toBeGreaterThanOrEqual(1);
    node.run(20);
    expect(node.livenessOf("a")).toBe("dead");
  });

  test("Membership treats a tick that is a second late as a stall although nobody reported one", () => {
    const node = suspicious();

    const effects = node.tickAfter(10_000);

    expect(eventsOf(effects, "stalled")).toHaveLength(1);
    expect(node.livenessOf("a")).toBe("suspect");
  });

  test("Membership puts a verdict that is a little late off by 20 ms, once", () => {
    const node = suspicious();
    node.run(1_990);
    const lateMs = 150;

    node.tickAfter(10 + lateMs);
    expect(node.livenessOf("a")).toBe("suspect");
    node.run(20);

    expect(node.livenessOf("a")).toBe("dead");
  });
});
