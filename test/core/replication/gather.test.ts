import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { ReadReplicaReply } from "../../../src/core/messages.ts";
import { type Answer, EVERYBODY_MS, newestOf } from "../../../src/core/replication/gather.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { entry, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const reads = (trio: Trio, member: string) =>
  trio.sent.filter(({ to, message }) => to === member && message.kind === "read").length;

describe("Gather", () => {
  test("asks a replica of another ring again until it answers under this one", () => {
    const trio = new Trio(hashes);
    trio.lost.add("c");
    const b = trio.node("b");
    Object.assign(b.view, { ring: undefined });
    const id = trio.get("k");
    trio.run(60);
    expect(trio.reply(id)).toBeUndefined();

    Object.assign(b.view, { ring: b.ring });
    trio.run(500);

    expect(textOf(trio.reply(id))).toBeUndefined();
    expect(reads(trio, "b")).toBeGreaterThan(1);
  });

  test("asks again who has been silent for long: the question may be lost", () => {
    const trio = new Trio(hashes);
    trio.lost.add("b").add("c");
    const id = trio.get("k");
    trio.run(100);
    expect(reads(trio, "b")).toBe(1);

    trio.run(200);
    expect(reads(trio, "b")).toBeGreaterThan(1);
    trio.lost.clear();
    trio.run(1_000);

    expect(trio.reply(id)?.kind).toBe("got");
  });

  test("hands on as before its process began what began before this node's", () => {
    const trio = new Trio(hashes);
    trio.write("k", setTo("v"), { attempt: 2, begunAt: 1 });

    const asked = trio.sent.flatMap(({ message }) => (message.kind === "read" ? [message.begunAt] : []));

    expect(asked.length).toBeGreaterThan(0);
    expect(new Set(asked)).toEqual(new Set([1]));
  });

  test("a read of one that asks others waits a moment for the last where one has nothing: it may have evicted what is newer", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b", "a", "c");
    const valued = (text: string, ms: number) =>
      entry({ key, value: new TextEncoder().encode(text), format: 1, version: version(ms) });
    trio.put("b", valued("old", 1));
    trio.put("c", valued("new", 2));
    trio.held.add("c");
    const id = trio.get(key, "one");
    expect(trio.reply(id)).toBeUndefined();

    trio.release("c");
    expect(textOf(trio.reply(id))).toBe("new");

    trio.held.clear();
    trio.lost.add("c");
    const later = trio.get(key, "one");
    trio.run(EVERYBODY_MS);
    expect(textOf(trio.reply(later))).toBe("old");
  });

  test("does not count warming replicas, and takes what they hold", () => {
    const trio = new Trio(hashes);
    const { slots, ring } = trio.node("b");
    slots.reset();
    slots.adopt(ring, "b" as MemberId, false);
    trio.put("b", entry({ value: new TextEncoder().encode("v"), format: 1 }));
    trio.held.add("c");
    const id = trio.get("k");
    trio.run(100);
    expect(trio.reply(id)).toBeUndefined();

    trio.release("c");

    expect(textOf(trio.reply(id))).toBe("v");
  });

  describe("of an operation, with two newcomers in the slot", () => {
    /** b and c are new since the operation began; d and e lost the slot to them, and a stayed. */
    function changedRing(): { readonly trio: Trio; readonly key: string } {
      const trio = new Trio(hashes, ["a", "b", "c", "d", "e"]);
      const key = trio.keyOf("a", "b", "c");
      trio.run(1_000);
      const members = ["a", "d", "e"].map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
      const before = Ring.build(members, ringParameters(3), hashes);
      for (const [id, node] of trio.nodes) {
        node.change.previousRing = before;
        if (id === "a") continue;
        node.slots.reset();
        if (before.has(id as MemberId)) node.slots.adopt(before, id as MemberId, true);
        node.slots.adopt(node.ring, id as MemberId, false, true);
        node.slots.settle(slotOfKey(key), 900);
      }
      return { trio, key };
    }

    /** All go on to a ring of these members, which count in the key's slot at once. */
    function goOnUnder(trio: Trio, key: string, names: readonly string[]): void {
      const members = names.map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
      const next = Ring.build(members, ringParameters(3), hashes);
      for (const [member, { slots, view, change, ring }] of trio.nodes) {
        change.previousRing = ring;
        Object.assign(view, { ring: next });
        slots.adopt(next, member as MemberId, false, true);
        slots.settle(slotOfKey(key), 900);
      }
    }

    const again = { opSeq: 50, attempt: 2, begunAt: 800 };

    test("believes them once a majority of the ring before does not know it", () => {
      const { trio, key } = changedRing();
      trio.held.add("d").add("e");

      const id = trio.write(key, setTo("again"), again);
      trio.run(100);
      expect(trio.reply(id)).toBeUndefined();
      trio.release("e");

      expect(trio.reply(id)).toMatchObject({ kind: "written" });
    });

    test("believes nobody when too few of the ring before can be asked", () => {
      const { trio, key } = changedRing();
      trio.lose("d");
      trio.node("e").slots.reset();

      const id = trio.write(key, setTo("again"), again);
      trio.run(10_000);

      expect(trio.reply(id)).toMatchObject({ kind: "failed" });
      expect(trio.entryIn("b", key)).toBeUndefined();
    });

    test("hears of it from those who lost the slot", () => {
      const { trio, key } = changedRing();
      trio.node("d").operations.record(7, 50, { version: version(1), attempt: 1, number: 0 });
      trio.put("a", entry({ key, version: version(2) }));

      const id = trio.write(key, setTo("again"), again);
      trio.run(2_000);

      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
      expect(trio.entryIn("a", key)?.version).toBe(version(2));
    });

    test("is asked about by a first attempt as well that was to decide when the ring changed", () => {
      const trio = new Trio(hashes, ["a", "b", "c", "d", "e"]);
      const key = trio.keyOf("b", "a", "c");
      trio.run(1_000);
      trio.held.add("b").add("c");
      const increment = { type: "increment", by: 1, ttlMs: 0 } as const;
      const id = trio.write(key, increment, { opSeq: 50, begunAt: 800, isDecidedHere: true });
      goOnUnder(trio, key, ["a", "d", "e"]);
      // A second attempt was made without this one, and something came after it.
      for (const member of ["b", "c"])
        trio.node(member).operations.record(7, 50, { version: version(1), attempt: 2, number: 1 });
      for (const member of ["d", "e"])
        trio.put(
          member,
          entry({ key, version: version(2), value: new TextEncoder().encode("2"), format: 3 }),
        );

      trio.coordinator.ringChanged(trio.now);
      for (const member of ["b", "c"]) trio.release(member);
      trio.run(2_000);

      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
      expect(trio.entryIn("d", key)?.version).toBe(version(2));
    });

    test("counts the coordinator that has just lost the slot as one who did", () => {
      const trio = new Trio(hashes, ["a", "b", "c", "d", "e"]);
      const key = trio.keyOf("a", "b", "c");
      trio.run(1_000);
      trio.held.add("b").add("c");
      const id = trio.write(key, setTo("again"), again);
      goOnUnder(trio, key, ["c", "d", "e"]);
      trio.node("a").operations.record(7, 50, { version: version(1), attempt: 1, number: 0 });

      trio.coordinator.ringChanged(trio.now);
      trio.release("c");
      trio.run(100);

      expect(trio.sent.some(({ to }) => to === "a")).toBe(false);
      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
    });

    test("shuts out its earlier attempts where the slot was lost", () => {
      const { trio, key } = changedRing();

      trio.write(key, setTo("again"), again);

      expect(trio.node("d").operations.find(7, 50).fence).toBe(2);
    });
  });

  test("goes without a member that is lost only in mode one", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    trio.held.add("b").add("c");
    const one = trio.get(key, "one");
    const quorum = trio.get(key, "quorum");

    trio.lose("b");
    trio.lose("c");

    expect(trio.reply(one)?.kind).toBe("got");
    expect(trio.reply(quorum)).toBeUndefined();
  });

  test("begins anew under another ring", () => {
    const trio = new Trio(hashes);
    trio.held.add("b").add("c");
    trio.get("k");

    trio.coordinator.ringChanged(trio.now);
    trio.deliver();

    const ids = trio.waiting.flatMap(({ to, message }) =>
      to === "b" && "id" in message ? [message.id] : [],
    );
    expect(new Set(ids).size).toBe(2);
  });
});

describe("newestOf", () => {
  const slot = slotOfKey("k");
  const answer = (over: Partial<ReadReplicaReply>): Answer => ({
    member: "b" as MemberId,
    reply: {
      kind: "readReply",
      id: slot,
      status: "ok",
      counts: true,
      isNewcomer: false,
      entry: undefined,
      clearedVersion: 0,
      known: undefined,
      ...over,
    },
  });

  test("is the newest by version and origin", () => {
    const low = entry({ version: version(2), origin: 1 });
    const high = entry({ version: version(2), origin: 2 });

    expect(newestOf([answer({ entry: low }), answer({ entry: high }), answer({})])).toBe(high);
  });

  test("is nothing when any replica knows it to be cleared", () => {
    const old = entry({ version: version(2) });

    expect(newestOf([answer({ entry: old }), answer({ clearedVersion: version(2) })])).toBeUndefined();
    expect(newestOf([answer({ entry: old }), answer({ clearedVersion: version(1) })])).toBe(old);
  });
});
