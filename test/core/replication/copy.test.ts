// Copying slots: one node (`a`) that wants them, and sources that answer with the real other end.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId, Slot } from "../../../src/base/ids.ts";
import type { Entry, Pull } from "../../../src/core/messages.ts";
import { Copy, type CopyJob } from "../../../src/core/replication/copy.ts";
import { answerPull } from "../../../src/core/replication/pull-source.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, makeFixture, sent, version } from "./fixture.ts";

const SLOT = slotOfKey("k");
const MEMBERS = ["a", "b", "c"];
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function makeCopy(over: Partial<CopyJob> = {}) {
  const nodes = new Map(MEMBERS.map((id) => [id, makeFixture(hashes, MEMBERS, { self: id as MemberId })]));
  const a = nodes.get("a")!;
  const done: [Slot, number][] = [];
  const job: CopyJob = {
    ringId: a.ring.id,
    isRehearsal: false,
    isComparison: false,
    slots: [SLOT],
    candidates: () => ["b", "c"] as MemberId[],
    needed: () => 2,
    enough: () => 2,
    waitsForFilling: () => true,
    isOwing: () => true,
    waitsForLeft: () => false,
    isUrgent: () => false,
    done: (slot, sources) => done.push([slot, sources]),
    ...over,
  };
  const told: [string, string][] = [];
  const lags = (member: MemberId, key: string) => told.push([member, key]);
  const isDead = (copied: Entry) => a.replica.isDead(copied);
  const copy = new Copy({ ...a, isServing: () => false, lags, isDead }, job);
  const pulls: [string, Pull][] = [];
  /** Delivers what was asked, and the answers, until nothing more is asked. `deaf` members hear nothing. */
  const deliver = (ms: number, deaf: readonly string[] = []) => {
    for (let batch = sent(a.outbox.take()); batch.length > 0; batch = sent(a.outbox.take())) {
      for (const [to, message] of batch) {
        if (message.kind !== "pull") continue;
        pulls.push([to, message]);
        if (!deaf.includes(to))
          copy.pulled(to as MemberId, answerPull(message, nodes.get(to)!, false), at(ms));
      }
    }
  };
  const advance = (ms: number, deaf: readonly string[] = []) => {
    copy.advance(at(ms));
    deliver(ms, deaf);
  };
  return { ...a, node: (id: string) => nodes.get(id)!, copy, done, pulls, told, advance };
}

const COMPARISON = { isComparison: true, enough: () => 1 };

function forget(node: ReturnType<typeof makeFixture>): void {
  node.slots.reset();
  node.slots.adopt(node.ring, node.view.self, false);
}

describe("Copy", () => {
  test("is done with a slot once it was copied from as many sources as needed, and holds what any of them held", () => {
    const { copy, node, store, done, advance } = makeCopy();
    node("b").store.merge(SLOT, entry({ version: version(1) }), at(1).wallMs);
    node("c").store.merge(SLOT, entry({ version: version(2) }), at(1).wallMs);

    advance(10);

    expect(done).toEqual([[SLOT, 2]]);
    expect(copy.isDone).toBe(true);
    expect(store.peek(SLOT, "k")?.version).toBe(version(2));
  });

  test("tells a source that holds something older, or that an earlier one does", () => {
    for (const [b, c] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const { node, told, advance } = makeCopy();
      node("b").store.merge(SLOT, entry({ version: version(b) }), at(1).wallMs);
      node("c").store.merge(SLOT, entry({ version: version(c) }), at(1).wallMs);

      advance(10);

      expect(told).toEqual([[b < c ? "b" : "c", "k"]]);
    }
  });

  test("tells a source that lacks what this node holds when they are compared, unless it has evicted or forgotten it", () => {
    const lacking = makeCopy(COMPARISON);
    lacking.store.merge(SLOT, entry({ version: version(1) }), at(1).wallMs);
    const forgetful = makeCopy(COMPARISON);
    forgetful.store.merge(SLOT, entry({ version: version(1) }), at(1).wallMs);
    for (const id of ["b", "c"]) forgetful.node(id).store.raiseFloor(SLOT, version(1));

    lacking.advance(10);
    forgetful.advance(10);

    expect(lacking.told).toEqual([
      ["b", "k"],
      ["c", "k"],
    ]);
    expect(forgetful.told).toEqual([]);
  });

  test("does not take the version of an abandoned attempt over what it hides, and tells who has it", () => {
    const { node, replica, replicate, store, told, advance } = makeCopy(COMPARISON);
    const operation = { opClient: 4, opSeq: 2 } as const;
    const done = entry({ ...operation, opAttempt: 2, version: version(1) });
    const dead = entry({ ...operation, opAttempt: 1, version: version(9) });
    replica.replicate(replicate({ entry: done }), "b" as MemberId, at(1));
    node("b").store.merge(SLOT, done, at(1).wallMs);
    node("c").store.merge(SLOT, dead, at(1).wallMs);

    advance(10);

    expect(store.peek(SLOT, "k")?.version).toBe(version(1));
    expect(told).toEqual([["c", "k"]]);
  });

  test("asks the second source after the first, so that what the first brought is not sent again", () => {
    const { copy, node, pulls, advance } = makeCopy();
    for (const id of ["b", "c"]) node(id).store.merge(SLOT, entry({ version: version(1) }), at(1).wallMs);

    advance(10);

    expect(copy).toMatchObject({ isDone: true, entriesReceived: 1 });
    expect(pulls.map(([to]) => to)).toEqual(["b", "c"]);
  });

  test("asks no more sources than needed", () => {
    const { done, pulls, advance } = makeCopy({ needed: () => 1 });

    advance(10);

    expect(done).toEqual([[SLOT, 1]]);
    expect(pulls.map(([to]) => to)).toEqual(["b"]);
  });

  test("moves no entry of a slot that is the same", () => {
    const { node, store, copy, advance } = makeCopy();
    for (const one of [store, node("b").store, node("c").store]) one.merge(SLOT, entry(), at(1).wallMs);

    advance(10);

    expect(copy.isDone).toBe(true);
    expect(copy.entriesReceived).toBe(0);
  });

  test("is done when the sources have lost their memory too", () => {
    const { node, done, advance } = makeCopy();
    forget(node("b"));
    forget(node("c"));

    advance(10);

    expect(done).toEqual([[SLOT, 0]]);
  });

  test("waits for a member that cannot be reached now, and not for one that is gone", () => {
    const { usable, gone, done, advance } = makeCopy();
    usable.delete("c");
    advance(10);
    expect(done).toEqual([]);

    gone.add("c");
    advance(200);

    expect(done).toEqual([[SLOT, 1]]);
  });

  test("waits for nobody absent when told so, but for one answer", () => {
    const { usable, done, advance } = makeCopy(COMPARISON);
    usable.delete("b");
    usable.delete("c");
    advance(10);
    expect(done).toEqual([]);

    usable.add("b");
    advance(200);

    expect(done).toEqual([[SLOT, 1]]);
  });

  test.each(["did not answer", "was lost"])("asks a source again that %s", (why) => {
    const { copy, done, advance, pulls } = makeCopy();
    advance(10, ["c"]);
    expect(done).toEqual([]);

    if (why === "was lost") copy.memberLost("c" as MemberId, at(20));
    advance(why === "was lost" ? 200 : 2_100);
    advance(2_300);

    expect(done).toEqual([[SLOT, 2]]);
    expect(pulls.map(([to]) => to)).toEqual(["b", "c", "c"]);
  });

  test("asks again, after a rest, who answered for another ring", () => {
    const { node, done, advance } = makeCopy();
    const c = node("c");
    Object.assign(c.view, { ring: undefined });
    advance(10);
    expect(done).toEqual([]);

    Object.assign(c.view, { ring: c.ring });
    advance(20);
    expect(done).toEqual([]);
    advance(200);

    expect(done).toEqual([[SLOT, 2]]);
  });

  test("copies a slot of several answers, keeping what earlier ones brought", () => {
    const { node, store, done, pulls, advance } = makeCopy({ needed: () => 1 });
    const source = node("b").store;
    const keys = Array.from({ length: 1_300 }, (_, index) => `{k}${index}`);
    for (const key of keys) source.merge(SLOT, entry({ key, version: version(1) }), at(1).wallMs);
    source.raiseFloor(SLOT, version(2));
    store.merge(SLOT, entry({ key: "{k}forgotten", version: version(1) }), at(1).wallMs);

    advance(10);

    expect(done).toEqual([[SLOT, 1]]);
    expect(pulls).toHaveLength(11);
    expect(store.count(SLOT)).toBe(1_300);
    expect(store.digest(SLOT)).toEqual(source.digest(SLOT));
  });

  test("drops what the source may have deleted and forgotten, and keeps the rest as it is", () => {
    const { node, store, advance } = makeCopy({ needed: () => 1 });
    const now = at(10);
    store.merge(SLOT, entry({ key: "{k}forgotten", version: version(1) }), now.wallMs);
    store.merge(SLOT, entry({ key: "{k}newer", version: version(5) }), now.wallMs);
    const deleted = { value: undefined, format: 0 } as const;
    store.merge(SLOT, entry({ key: "{k}deleted", version: version(7), ...deleted }), now.wallMs);
    node("b").store.raiseFloor(SLOT, version(3));

    advance(10);
    store.sweep(now.wallMs, 100);

    expect(store.peek(SLOT, "{k}forgotten")).toBeUndefined();
    expect(store.peek(SLOT, "{k}newer")?.version).toBe(version(5));
    // Were the tombstone dropped at once, its version would become the floor, and refuse what the next source brings.
    expect(store.peek(SLOT, "{k}deleted")).toMatchObject({ version: version(7), value: undefined });
    expect(store.floor(SLOT)).toBe(version(3));
  });

  test("takes over floors and clears", () => {
    const { node, store, advance } = makeCopy({ needed: () => 1 });
    store.merge(SLOT, entry({ version: version(1) }), at(1).wallMs);
    node("b").store.clear(SLOT, version(4));

    advance(10);

    expect(store.clearedVersion(SLOT)).toBe(version(4));
    expect(store.peek(SLOT, "k")).toBeUndefined();
  });
});
