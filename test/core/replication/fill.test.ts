// Keeping slots complete: one node (`a`) with real sources.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Pull } from "../../../src/core/messages.ts";
import { Fill } from "../../../src/core/replication/fill.ts";
import { answerPull } from "../../../src/core/replication/pull-source.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, makeFixture, SELF, sent, version } from "./fixture.ts";

const SLOT = slotOfKey("k");
const MEMBERS = ["a", "b", "c"];
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function makeFill() {
  const nodes = new Map(
    [...MEMBERS, "d"].map((id) => [id, makeFixture(hashes, MEMBERS, { self: id as MemberId })]),
  );
  const a = nodes.get("a")!;
  const fill = new Fill({
    ...a,
    leftGraceMs: 6_000,
    isServing: () => false,
    lags: () => {},
    isDead: () => false,
  });
  const held: [string, Pull][] = [];
  let nowMs = 0;
  const answer = (to: string, pull: Pull) =>
    fill.pulled(to as MemberId, answerPull(pull, nodes.get(to)!, false), at(nowMs));
  const deliver = (isHeld: (to: string) => boolean) => {
    for (let batch = sent(a.outbox.take()); batch.length > 0; batch = sent(a.outbox.take())) {
      for (const [to, message] of batch) {
        if (message.kind !== "pull") continue;
        if (isHeld(to)) held.push([to, message]);
        else answer(to, message);
      }
    }
  };
  /** Lets 100 ms pass, or so many times that, as the node would: woken while there is something to do. */
  const run = (rounds: number | ((to: string) => boolean) = 1) => {
    const isHeld = typeof rounds === "number" ? () => false : rounds;
    for (let round = 0; round < (typeof rounds === "number" ? rounds : 1); round++) {
      nowMs += 100;
      if (a.slots.doubtfulCount + a.slots.warmingCount > 0) fill.wake(at(nowMs));
      fill.tick(at(nowMs));
      deliver(isHeld);
    }
  };
  const release = () => {
    for (const [to, pull] of held.splice(0)) answer(to, pull);
    deliver(() => false);
  };
  return { ...a, fill, run, release, node: (id: string) => nodes.get(id)!, now: () => at(nowMs) };
}

type Node = Pick<ReturnType<typeof makeFixture>, "slots" | "ring" | "view">;

/** The node has forgotten its slots, as after a restart. */
function lose({ slots, ring, view }: Node): void {
  slots.reset();
  slots.adopt(ring, view.self, false);
}

/** The node got its slots with the present ring, and does not hold them yet. */
function gain({ slots, ring, view }: Node): void {
  slots.reset();
  slots.adopt(ring, view.self, false, true);
}

/** The node holds all its slots. */
function settle({ slots, ring, view }: Node): void {
  for (const slot of ring.replicaSlots(view.self)) slots.settle(slot, 0);
}

function ringOf(members: readonly string[]): Ring {
  const places = members.map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
  return Ring.build(places, ringParameters(3), hashes);
}

describe("Fill", () => {
  test("makes warming slots count once they are copied", () => {
    const { fill, slots, ring, store, node, run, now } = makeFill();
    slots.reset();
    slots.adopt(ring, SELF, false);
    node("b").store.merge(SLOT, entry(), now().wallMs);

    fill.restart(undefined, now());
    run();

    expect(slots.warmingCount).toBe(0);
    expect(store.peek(SLOT, "k")).toBeDefined();
    expect(fill.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("copies nothing before the clock was compared", () => {
    const { change, slots, store, node, run, now } = makeFill();
    lose({ slots, ring: node("a").ring, view: node("a").view });
    node("b").store.merge(SLOT, entry(), now().wallMs);
    change.isTimeKnown = false;
    run(3);
    expect(slots.isWarming(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeUndefined();

    change.isTimeKnown = true;
    run();

    expect(slots.counts(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("compares a doubtful slot with everybody who can be reached", () => {
    const { slots, store, node, run, now } = makeFill();
    node("c").store.merge(SLOT, entry(), now().wallMs);
    slots.doubt(SLOT);

    run();

    expect(slots.isTrusted(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("compares a doubtful slot with those who held it before, while its other replicas have just gained it", () => {
    const { fill, ring, slots, store, usable, change, node, run, now } = makeFill();
    const previous = ringOf(["a", "d"]);
    for (const id of ["b", "c"]) gain(node(id));
    const former = node("d");
    former.slots.adopt(previous, "d" as MemberId, true);
    former.slots.adopt(ring, "d" as MemberId, false);
    former.store.merge(SLOT, entry(), now().wallMs);
    usable.add("d");
    change.isSettled = false;
    slots.doubt(SLOT);

    fill.restart(previous, now());
    run();

    expect(slots.isTrusted(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("asks again for a doubtful slot as long as those who gained it cannot tell and those who held it cannot be reached", () => {
    const { fill, slots, store, change, node, run, now } = makeFill();
    for (const id of ["b", "c"]) gain(node(id));
    change.isSettled = false;
    slots.doubt(SLOT);

    fill.restart(ringOf(["a", "d"]), now());
    run();
    expect(slots.isTrusted(SLOT)).toBe(false);
    node("b").store.merge(SLOT, entry(), now().wallMs);
    settle(node("b"));
    run(20);

    expect(slots.isTrusted(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("waits for the absent about a doubtful slot when whoever answers has lost its memory", () => {
    const { slots, store, usable, node, run, now } = makeFill();
    lose(node("b"));
    usable.delete("c");
    node("c").store.merge(SLOT, entry(), now().wallMs);
    slots.doubt(SLOT);
    run(20);
    expect(slots.isTrusted(SLOT)).toBe(false);

    usable.add("c");
    run(20);

    expect(slots.isTrusted(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("compares what comes into doubt while nobody can tell about other slots", () => {
    const { slots, usable, node, run } = makeFill();
    const other = slotOfKey("another");
    lose(node("b"));
    node("b").slots.settle(other, 0);
    usable.delete("c");
    slots.doubt(SLOT);
    run(5);

    slots.doubt(other);
    run(20);

    expect(slots.isTrusted(other)).toBe(true);
    expect(slots.isTrusted(SLOT)).toBe(false);
  });

  test("compares a slot again that was doubted after a source had been asked", () => {
    const { slots, store, node, run, release, now } = makeFill();
    slots.doubt(SLOT);
    run((to) => to === "c");
    // b has been asked; only now does it store something this node does not hear of.
    node("b").store.merge(SLOT, entry({ version: version(5) }), now().wallMs);
    slots.doubt(SLOT);

    release();
    expect(slots.isTrusted(SLOT)).toBe(false);
    run();
    run();

    expect(store.peek(SLOT, "k")?.version).toBe(version(5));
    expect(slots.isTrusted(SLOT)).toBe(true);
  });

  test("compares a slot that was doubted while it was filled", () => {
    const { fill, slots, ring, node, run, release, store, now } = makeFill();
    slots.reset();
    slots.adopt(ring, SELF, false);
    fill.restart(undefined, now());
    run((to) => to === "c");
    node("b").store.merge(SLOT, entry({ version: version(5) }), now().wallMs);
    slots.doubt(SLOT);

    release();
    run();
    run();

    expect(slots.isTrusted(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")?.version).toBe(version(5));
  });

  test("waits, after it has lost its memory, for those who gained a slot and ask who held it before", () => {
    const { fill, slots, store, node, run, now } = makeFill();
    // It knows of no ring before, and so not of whom c asks.
    gain(node("c"));
    lose(node("a"));
    fill.restart(undefined, now());
    run(20);
    expect(slots.counts(SLOT)).toBe(false);

    node("c").store.merge(SLOT, entry(), now().wallMs);
    settle(node("c"));
    run(20);

    expect(slots.warmingCount).toBe(0);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("waits for a former replica that left and cannot be reached as long as if it were dead, unless others are enough", () => {
    const { fill, slots, ring, usable, gone, left, node, run, now } = makeFill();
    lose(node("c"));
    usable.delete("d");
    gone.add("d");
    left.add("d");
    slots.reset();
    slots.adopt(ring, SELF, false, true);
    fill.restart(ringOf(["b", "c", "d"]), now());

    run(50);
    expect(slots.counts(SLOT)).toBe(false);
    run(12);
    expect(slots.counts(SLOT)).toBe(true);

    settle(node("c"));
    slots.reset();
    slots.adopt(ring, SELF, false, true);
    fill.restart(ringOf(["b", "c", "d"]), now());
    run(5);
    expect(slots.counts(SLOT)).toBe(true);
  });

  test("asks those who held a slot before it was gained, although the ring has changed again", () => {
    const { fill, slots, ring, store, usable, node, run, now } = makeFill();
    const first = ringOf(["b", "d"]);
    for (const id of ["b", "c"]) gain(node(id));
    const former = node("d");
    former.slots.adopt(first, "d" as MemberId, true);
    former.slots.adopt(ring, "d" as MemberId, false);
    former.store.merge(SLOT, entry(), now().wallMs);
    slots.reset();
    slots.adopt(ring, SELF, false, true);
    fill.restart(first, now());
    fill.restart(ring, now());
    run(20);
    expect(slots.counts(SLOT)).toBe(false);

    usable.add("d");
    run(20);

    expect(slots.counts(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();
  });

  test("asks those who held a slot before a ring that was never settled, and waits no less for those who held it since", () => {
    const { fill, slots, ring, store, usable, change, node, run, now } = makeFill();
    const [first, second] = [ringOf(["b", "d"]), ringOf(["b", "c"])];
    gain(node("c"));
    const former = node("d");
    former.slots.adopt(first, "d" as MemberId, true);
    former.slots.adopt(second, "d" as MemberId, false);
    former.store.merge(SLOT, entry(), now().wallMs);
    slots.reset();
    change.isSettled = false;
    fill.restart(first, now());
    slots.adopt(ring, SELF, false, true);
    fill.restart(second, now());
    run(20);
    expect(slots.counts(SLOT)).toBe(false);

    usable.delete("b");
    usable.add("d");
    run(40);
    expect(slots.counts(SLOT)).toBe(true);
    expect(store.peek(SLOT, "k")).toBeDefined();

    // What was acknowledged since may be with b alone.
    settle(node("c"));
    slots.reset();
    slots.adopt(ring, SELF, false, true);
    fill.restart(second, now());
    run(40);
    expect(slots.counts(SLOT)).toBe(false);
  });

  test("waits for nobody who gained a slot with the same ring, nor for who has lost it", () => {
    const { fill, slots, ring, node, run, now } = makeFill();
    lose(node("b"));
    gain(node("c"));
    slots.reset();
    slots.adopt(ring, SELF, false, true);
    fill.restart(ringOf(["b"]), now());

    run(20);

    expect(slots.warmingCount).toBe(0);
  });

  test("rehearses a planned ring and says when it has", () => {
    const { fill, usable, run, now, node, store } = makeFill();
    node("b").store.merge(SLOT, entry(), now().wallMs);
    const target = Ring.build(
      MEMBERS.map((id) => ({ id: id as MemberId, weight: 2, zone: "" })),
      ringParameters(3),
      hashes,
    );

    fill.rehearse(target, now());
    run();

    // Every slot of it is held and counts already: there is nothing to copy.
    expect(fill.preparedRingId).toBe(target.id);
    expect(store.peek(SLOT, "k")).toBeUndefined();
    expect(usable.size).toBe(3);
  });

  test("leaves slots that are filling under the present ring out of a rehearsal", () => {
    const { fill, slots, ring, outbox, now } = makeFill();
    slots.reset();
    slots.adopt(ring, SELF, false);
    const target = Ring.build(
      MEMBERS.map((id) => ({ id: id as MemberId, weight: 2, zone: "" })),
      ringParameters(3),
      hashes,
    );

    fill.rehearse(target, now());

    const pulls = sent(outbox.take()).flatMap(([, message]) => (message.kind === "pull" ? [message] : []));
    expect(pulls.filter(({ isRehearsal }) => isRehearsal)).toEqual([]);
    expect(fill.rehearsalProgress?.slotsTotal).toBe(0);
  });
});
