import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Change, Replicate } from "../../../src/core/messages.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { entry, SELF, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const DELETE: Change = { type: "delete" };
const bytes = (text: string) => new TextEncoder().encode(text);
const increment = (by: number): Change => ({ type: "increment", by, ttlMs: 0 });
const isReplicate = (_to: string, { kind }: { kind: string }) => kind === "replicate";

const valued = (text: string, ms: number) => entry({ value: bytes(text), format: 1, version: version(ms) });

function holders(trio: Trio, key: string): string[] {
  return [...trio.nodes.keys()].filter((member) => trio.entryIn(member, key)?.value !== undefined);
}

describe("WriteTask", () => {
  test.each([
    { write: "async", answering: [], isDone: true },
    { write: "quorum", answering: [], isDone: false },
    { write: "quorum", answering: ["b"], isDone: true },
    { write: "all", answering: ["b"], isDone: false },
    { write: "all", answering: ["b", "c"], isDone: true },
  ] as const)("acknowledges $write when $answering answer: $isDone", ({ write, answering, isDone }) => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.isLost = (to) => !(answering as readonly string[]).includes(to);

    const id = trio.write(key, setTo("v"), { write });

    expect(trio.reply(id)?.kind).toBe(isDone ? "written" : undefined);
  });

  test("leaves nothing on its own node while nobody else accepted", () => {
    const trio = new Trio(hashes);
    trio.lost.add("b").add("c");

    const id = trio.write("k", setTo("v"));
    trio.run(2_500);

    expect(trio.reply(id)).toMatchObject({ kind: "failed", code: "ERR_TIMEOUT", applied: "maybe" });
    expect(holders(trio, "k")).toEqual([]);
    expect(trio.coordinator.pending).toBe(0);
  });

  test("says no when nothing was sent", () => {
    const trio = new Trio(hashes);
    trio.a.usable.delete("b");
    trio.a.usable.delete("c");

    expect(trio.reply(trio.write("k", setTo("v")))).toMatchObject({ code: "ERR_NO_QUORUM", applied: "no" });
  });

  test("does not count replicas that are warming, and counts them once they are filled", () => {
    const trio = new Trio(hashes);
    for (const member of ["b", "c"]) {
      const { slots, ring } = trio.node(member);
      slots.reset();
      slots.adopt(ring, member as MemberId, false);
    }

    const id = trio.write("k", setTo("v"));
    trio.run(100);
    expect(trio.reply(id)).toBeUndefined();
    trio.node("b").slots.settle(slotOfKey("k"), 0);
    trio.run(100);

    expect(trio.reply(id)?.kind).toBe("written");
  });

  test("is issued again above what replicas hold that is newer", () => {
    const trio = new Trio(hashes);
    for (const member of ["b", "c"]) trio.put(member, entry({ version: version(1_400) }));

    const id = trio.write("k", setTo("v"));
    trio.run(100);

    expect(trio.reply(id)?.kind).toBe("written");
    expect(holders(trio, "k")).toHaveLength(3);
    expect(trio.entryIn("b", "k")?.version).toBeGreaterThan(version(1_400));
  });

  test("leaves a hint for whoever did not answer, and for whoever was lost", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.lost.add("b");
    trio.write(key, setTo("v"));
    trio.run(300);
    expect(trio.a.hints.drain("b" as MemberId).isDrained).toBe(false);

    trio.held.add("c");
    trio.lost.clear();
    const other = trio.keyOf("a", "c");
    trio.write(other, setTo("v"));
    trio.lose("c");

    expect(trio.a.hints.drain("c" as MemberId).isDrained).toBe(false);
  });

  describe("when it depends on what is there", () => {
    test("is decided by the first replica alone, without asking", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");

      const id = trio.write(key, increment(5));

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 5 });
      expect(trio.sent.some(({ message }) => message.kind === "read")).toBe(false);
    });

    test("is decided by what a majority holds while not everybody goes by the ring", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.a.change.isSettled = false;
      for (const member of ["b", "c"])
        trio.put(member, entry({ key, format: 3, value: bytes("40"), version: version(900) }));

      const id = trio.write(key, increment(2));

      // What others may have acknowledged under the ring before is not built over.
      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 42 });
      expect(trio.sent[0]?.message.kind).toBe("read");
      const stored = trio.sent.flatMap(({ message }) =>
        message.kind === "replicate" ? [new TextDecoder().decode(message.entry.value)] : [],
      );
      expect(stored).toEqual(stored.map(() => "42"));
    });

    test("is decided anew when the first replica's copy turns out to be old", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      for (const member of ["b", "c"]) {
        trio.put(member, entry({ key, format: 3, value: bytes("40"), version: version(900) }));
      }

      const id = trio.write(key, increment(2));
      trio.run(100);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 42 });
    });

    test.each([
      ["what was stored, when it is", 0, ["w"]],
      ["nothing when others held what forbids it", 900, []],
    ] as const)("tells the next ring's newcomers %s", (_what, heldAt, told) => {
      const trio = new Trio(hashes, ["a", "b", "c", "d"]);
      const key = trio.keyOf("a", "b", "c");
      trio.a.change.newcomers = ["d" as MemberId];
      const held = entry({ key, format: 1, value: bytes("v"), version: version(heldAt) });
      if (heldAt > 0) for (const member of ["b", "c"]) trio.put(member, held);

      const id = trio.write(key, setTo("w", { condition: "absent" }));
      trio.run(100);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: told.length > 0 });
      const rehearsed = trio.sent.flatMap(({ message }) =>
        message.kind === "replicate" && message.purpose === "rehearsal"
          ? [new TextDecoder().decode(message.entry.value)]
          : [],
      );
      expect(rehearsed).toEqual(told);
    });

    test.each([
      ["delete", DELETE, true],
      ["set if absent", setTo("w", { condition: "absent" }), false],
    ] as const)(
      "does not answer %s without a write from a version that only this node holds",
      (what, change, outcome) => {
        const trio = new Trio(hashes);
        const key = trio.keyOf("a");
        trio.write(key, setTo("v"));
        trio.run(10);
        // Another node's delete reached this one only, and was never acknowledged.
        const stray = { key, value: undefined, format: 0, version: version(1_100) } as const;
        if (what === "delete") trio.put("a", entry(stray));

        const id = trio.write(key, change);
        trio.run(100);

        // Either a majority shares the reason for not writing, or there is a write.
        expect(trio.reply(id)).toMatchObject({ kind: "written" });
        const reply = trio.reply(id) as { outcome: boolean };
        const onMajority = ["b", "c"].some((member) => trio.entryIn(member, key)?.value === undefined);
        if (what === "delete") expect(onMajority).toBe(true);
        else expect(reply.outcome).toBe(outcome);
      },
    );

    test("is not answered with no while a replica that is slow may store it", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a", "b", "c");
      trio.put("b", entry({ key, format: 1, value: bytes("v"), version: version(900) }));
      trio.held.add("c");

      const id = trio.write(key, setTo("w", { condition: "absent" }));
      trio.run(400);
      trio.release("c");

      expect(new TextDecoder().decode(trio.entryIn("c", key)?.value)).toBe("w");
      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
    });

    test("leaves a hint for whoever was silent when it was refused and then found to be known", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a", "b", "c");
      trio.put("b", entry({ key, format: 1, value: bytes("v"), version: version(900) }));
      trio.lost.add("c");
      const id = trio.write(key, setTo("w", { condition: "absent" }));
      const issued = trio.sent.find(({ message }) => message.kind === "replicate")?.message as Replicate;
      // A reader brings it to a majority, and something newer follows.
      for (const member of ["a", "b"]) {
        trio.node(member).replica.replicate({ ...issued, purpose: "repair" }, SELF, trio.now);
        trio.put(member, entry({ key, format: 1, value: bytes("x"), version: version(2_000) }));
      }
      trio.run(400);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: true });
      expect(trio.a.hints.drain("c" as MemberId).isDrained).toBe(false);
    });

    test("leaves no later issue behind that lives when a reader completed an earlier one", () => {
      const trio = new Trio(hashes);
      const { a, now } = trio;
      const key = trio.keyOf("a");
      const operation = { opClient: 7, opSeq: 50 };
      const held = (text: string, ms: number) => ({ ...valued(text, ms), key });
      const sentTo = (member: string) =>
        trio.sent.flatMap(({ to, message }) => (to === member ? [message] : []));
      const issued = () => sentTo("c").flatMap((each) => (each.kind === "replicate" ? [each.entry] : []));
      const asked = () => sentTo("b").filter((each) => each.kind === "read" && each.opClient > 0).length;
      for (const member of ["a", "b"]) trio.put(member, held("v", 10));
      // This node's clock is ahead, c is slow, and b has something newer each time: the second issue is decided below the first one.
      trio.held.add("c");
      trio.isLost = (to, { kind }) => {
        a.clock.observe(version(now.monoMs + 300 + 10 * issued().length), now.wallMs);
        if (to === "b" && kind === "replicate") trio.put("b", held("other", 20 * issued().length + 20));
        return false;
      };
      const id = trio.write(key, setTo("once", { condition: "present" }), operation);
      while (asked() < 2) trio.run(5);
      const [first, second] = issued();
      // Nobody knew it; a reader has the first issue completed before the write is decided a third time.
      for (const { replica, replicate } of [a, trio.node("b")])
        replica.replicate(replicate({ entry: first!, purpose: "repair" }), SELF, trio.now);
      trio.isLost = () => false;
      trio.run(100);
      if (trio.reply(id)?.kind === "failed") {
        const again = trio.write(key, setTo("once", { condition: "present" }), { ...operation, attempt: 2 });
        trio.run(100);
        expect(trio.reply(again)).toMatchObject({ kind: "written", outcome: true });
      } else {
        expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: true });
      }
      const next = { ...held("next", 0), version: first!.version + 1 };
      expect(second!.version).toBeGreaterThan(next.version);
      for (const member of ["a", "b"]) trio.put(member, next);
      trio.release("c");
      trio.lost.add("b");

      expect(textOf(trio.reply(trio.get(key)))).toBe("next");
    });

    test("ten thousand increments of one key wait for each other and all count", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.held.add("b").add("c");
      for (let index = 0; index < 10_000; index++) trio.write(key, increment(1));
      trio.release("b");
      trio.release("c");
      trio.run(100);

      const outcomes = new Set(
        trio.replies.map((reply) => (reply.kind === "written" ? reply.outcome : reply.kind)),
      );
      expect(outcomes.size).toBe(10_000);
      expect(trio.coordinator.pending).toBe(0);
    });

    test("a long queue fails by the time a request may take, not after that time for each", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.lost.add("b").add("c");
      for (let index = 0; index < 20; index++) trio.write(key, increment(1));

      trio.run(2_500);

      expect(trio.replies.filter(({ kind }) => kind === "failed")).toHaveLength(20);
      expect(trio.coordinator.pending).toBe(0);
    });

    test.each([
      ["touch", { type: "touch", ttlMs: 60_000 }, true, "41"],
      ["increment", increment(1), 42, "42"],
    ] as const)(
      "%s is built on a write that another node coordinated at the same time",
      (_what, change, outcome, text) => {
        const trio = new Trio(hashes);
        const key = trio.keyOf("a");
        trio.write(key, increment(1));
        trio.run(10);
        trio.held.add("b").add("c");
        const id = trio.write(key, change);
        const issued = (trio.waiting[0]!.message as Replicate).entry;
        // Acknowledged by a majority, under a lower version, before this one arrives there.
        const other = entry({ key, format: 3, value: bytes("41"), version: issued.version - 1 });
        for (const member of ["a", "b"]) trio.put(member, other);

        trio.release("c");
        trio.release("b");
        trio.run(300);

        expect(trio.reply(id)).toMatchObject({ kind: "written", outcome });
        expect(textOf(trio.reply(trio.get(key)))).toBe(text);
        trio.run(1_000);
        expect(textOf(trio.reply(trio.get(key)))).toBe(text);
      },
    );

    test("delete of a value that only one replica still holds leaves a tombstone and says that there was none", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.put("c", entry({ key, value: bytes("old"), format: 1 }));
      trio.held.add("c");
      const id = trio.write(key, { type: "delete" });
      trio.run(1_000);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: false });
      expect(trio.entryIn("b", key)).toMatchObject({ value: undefined });
      trio.release("c");
      trio.run(3_000);
      expect(textOf(trio.reply(trio.get(key)))).toBeUndefined();
    });

    test.each([
      { write: "quorum", swept: [], silent: [], isMarked: true },
      { write: "async", swept: [], silent: [], isMarked: true },
      { write: "quorum", swept: ["a"], silent: ["c"], isMarked: true },
      { write: "quorum", swept: ["a", "b"], silent: [], isMarked: true },
      { write: "quorum", swept: ["a", "b"], silent: ["c"], isMarked: true },
      { write: "quorum", swept: ["a", "b", "c"], silent: [], isMarked: false },
    ] as const)(
      "delete ($write) of what has expired by this node's clock leaves a tombstone while another's may disagree: $swept swept, $silent silent",
      ({ write, swept, silent, isMarked }) => {
        const trio = new Trio(hashes);
        const key = trio.keyOf("a");
        const expiresAt = trio.now.wallMs - 100;
        const expired = { ...valued("old", 1), key, expiresAt, opClient: 9, opSeq: 1 };
        for (const { store } of trio.nodes.values()) store.merge(slotOfKey(key), expired, expiresAt - 1);
        for (const member of swept) trio.node(member).store.sweep(trio.now.wallMs, 100);
        for (const member of silent) trio.lost.add(member);

        const id = trio.write(key, DELETE, { write });
        trio.run(1_000);

        expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: false });
        const marked = ["a", "b", "c"].filter((member) => {
          const held = trio.entryIn(member, key)!;
          return held.value === undefined && held.version > expired.version;
        });
        expect(marked.length >= 2).toBe(isMarked);
      },
    );

    test("delete of what a clear left leaves a tombstone above what another replica may hold", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.node("b").store.clear(slotOfKey(key), version(10));
      trio.put("c", { ...valued("v", 20), key });
      trio.held.add("c");

      const id = trio.write(key, DELETE);
      trio.run(300);
      trio.release("c");

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: false });
      trio.lost.add("b");
      expect(textOf(trio.reply(trio.get(key)))).toBeUndefined();
    });

    test("delete of a key that nobody holds leaves nothing behind", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      const id = trio.write(key, { type: "delete" });
      trio.run(10);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: false });
      for (const member of ["a", "b", "c"]) expect(trio.entryIn(member, key)).toBeUndefined();
    });

    test("increment is not built on what another node's write left on one replica", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.write(key, increment(1));
      trio.run(10);
      trio.held.add("b").add("c");
      const id = trio.write(key, increment(1));
      const issued = (trio.waiting[0]!.message as Replicate).entry;
      // Its caller repeats it, to a majority that does not know it.
      trio.put("a", entry({ key, format: 3, value: bytes("41"), version: issued.version - 1 }));

      trio.release("c");
      trio.run(600);

      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
    });

    test("is not put above a newer write when the ring changes under it", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.write(key, setTo("old"));
      trio.run(10);
      trio.isLost = isReplicate;
      const id = trio.write(key, { type: "touch", ttlMs: 60_000 });
      const sent = trio.sent.at(-1)!.message as Replicate;
      // A set that another node coordinates, with a version below the touch's.
      for (const member of ["b", "c"]) {
        trio.put(member, entry({ key, value: bytes("set"), format: 1, version: sent.entry.version - 1 }));
      }
      trio.isLost = () => false;

      trio.coordinator.ringChanged(trio.now);
      trio.deliver();
      trio.run(500);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: true });
      expect(textOf(trio.reply(trio.get(key)))).toBe("set");
    });
  });

  describe("when it is a repeated attempt", () => {
    const operation = { opClient: 7, opSeq: 77 };
    const again = { ...operation, attempt: 2 };

    test("is written when nobody knows it", () => {
      const trio = new Trio(hashes);

      const id = trio.write("k", setTo("v"), again);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: true });
      expect(holders(trio, "k")).toHaveLength(3);
    });

    test("shuts out earlier attempts everywhere it asked", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("v"), again);
      const early = entry({ ...operation, opAttempt: 1, version: version(1_200) });

      for (const member of ["a", "b", "c"]) {
        const { replica, replicate } = trio.node(member);
        expect(replica.replicate(replicate({ entry: early }), SELF, trio.now).status).toBe("fenced");
      }
    });

    test("completes the first attempt under its own version when that is the newest", () => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a", "b");
      const first = entry({ key, ...operation, format: 3, value: bytes("8"), version: version(500) });
      trio.put("b", first);

      const id = trio.write(key, increment(3), again);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 8 });
      for (const member of ["a", "b", "c"]) expect(trio.entryIn(member, key)?.version).toBe(version(500));
    });

    test.each([
      ["maybe when the reason came up during the call", 900, { kind: "failed", applied: "maybe" }],
      ["no when the reason is older than the call", -5_000, { kind: "written", outcome: false }],
    ] as const)(
      "with nothing to write, while who may have the first attempt is silent, is answered with %s",
      (_what, heldAt, answer) => {
        const trio = new Trio(hashes);
        const key = trio.keyOf("a", "b", "c");
        const held = entry({ key, format: 1, value: bytes("v"), version: version(heldAt) });
        for (const member of ["a", "b"]) trio.put(member, held);
        trio.lost.add("c");

        const operation = { opSeq: 50, attempt: 2, begunAt: 800 };
        const id = trio.write(key, setTo("w", { condition: "absent" }), operation);
        trio.run(400);

        expect(trio.reply(id)).toMatchObject(answer);
      },
    );

    test.each([
      ["what it was decided on, under its own version", "5", [], "6"],
      ["a write that it was decided without, anew on that", "6", [], "7"],
      ["such a write where not everybody can be asked, not at all", "6", ["b"], undefined],
    ] as const)("left on one replica is completed when others hold %s", (_what, held, lost, outcome) => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a", "b", "c");
      for (const member of ["a", "b"])
        trio.put(member, entry({ key, format: 3, value: bytes(held), version: version(900) }));
      const { replica, replicate } = trio.node("c");
      const operation = { opClient: 7, opSeq: 50, opAttempt: 1 } as const;
      const left = entry({ key, format: 3, value: bytes("6"), version: version(901), ...operation });
      replica.replicate(replicate({ entry: left }), SELF, trio.now);
      for (const member of lost) trio.lost.add(member);

      const id = trio.write(key, increment(1), { opSeq: 50, attempt: 2, begunAt: 800 });
      trio.run(400);

      if (outcome === undefined) {
        expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
      } else {
        expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: Number(outcome) });
        expect(new TextDecoder().decode(trio.entryIn("a", key)?.value)).toBe(outcome);
      }
    });

    test("is done when a majority stored it, though it was overwritten since", () => {
      const trio = new Trio(hashes);
      for (const member of ["b", "c"]) {
        trio.node(member).operations.record(7, 77, { version: version(500), attempt: 1, number: 8 });
        trio.put(member, entry({ version: version(600) }));
      }

      const id = trio.write("k", increment(3), again);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 8 });
      expect(trio.entryIn("b", "k")?.version).toBe(version(600));
    });

    test.each(["cannot be asked", "lost its memory"])(
      "is uncertain when one replica knows it as overwritten and another %s",
      (why) => {
        const trio = new Trio(hashes);
        trio.node("b").operations.record(7, 77, { version: version(500), attempt: 1, number: 0 });
        for (const member of ["a", "b", "c"]) trio.put(member, entry({ version: version(600) }));
        const { slots, ring } = trio.node("c");
        slots.reset();
        slots.adopt(ring, "c" as MemberId, false);
        if (why === "cannot be asked") trio.lost.add("c");
        // c's answer comes before the majority's.
        trio.held.add("b");

        const id = trio.write("k", setTo("v"), again);
        trio.release("b");
        trio.run(2_500);

        expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
        expect(trio.entryIn("a", "k")?.version).toBe(version(600));
      },
    );

    test("issued where nobody knew it stays below what followed the first attempt, though its clock is ahead", () => {
      const trio = new Trio(hashes);
      const { a, now } = trio;
      const [b, c] = [trio.node("b"), trio.node("c")];
      a.clock.observe(version(now.monoMs + 200), now.wallMs);
      const first = entry({ ...valued("once", 500), ...operation, opAttempt: 1 });
      b.replica.replicate(b.replicate({ entry: first }), SELF, now);
      trio.isLost = (to, { kind }) => kind === (to === "b" ? "read" : "replicate");
      trio.write("k", setTo("once"), again);
      trio.run(50);
      const late = trio.sent.map(({ to, message }) => (to === "c" ? message : undefined));
      const second = late.find((message) => message?.kind === "replicate");
      expect(second).toBeDefined();

      // A reader has the first attempt's completed, and its caller writes what follows at b.
      expect(
        a.replica.replicate(a.replicate({ entry: first, purpose: "repair" }), SELF, trio.now).status,
      ).toBe("stored");
      const next = { ...valued("next", 0), version: b.clock.next(trio.now.wallMs) };
      for (const { replica, replicate } of [a, b])
        expect(replica.replicate(replicate({ entry: next }), SELF, trio.now).status).toBe("stored");
      trio.isLost = () => false;
      if (second?.kind !== "replicate") return;
      trio.coordinator.replicated("c" as MemberId, c.replica.replicate(second, SELF, trio.now), trio.now);
      trio.run(3_000);

      expect(textOf(trio.reply(trio.get("k")))).toBe("next");
    });

    test("joins the attempt that is still under way on the same node", () => {
      const trio = new Trio(hashes);
      trio.held.add("b").add("c");
      const first = trio.write("k", setTo("v"), operation);
      const second = trio.write("k", setTo("v"), again);

      trio.release("b");
      trio.release("c");

      expect(trio.reply(first)?.kind).toBe("written");
      expect(trio.reply(second)?.kind).toBe("written");
      expect(trio.sent.filter(({ message }) => message.kind === "replicate")).toHaveLength(2);
    });
  });

  test("does not count what a replica acknowledged before it restarted: it may have filled up from others without", () => {
    const trio = new Trio(hashes, ["a", "b", "c", "d", "e"], { replicas: 5 });
    for (const member of ["c", "d", "e"]) trio.held.add(member);
    const id = trio.write("k", setTo("v"));
    trio.restart("b");

    trio.release("c");
    trio.run(100);

    expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: true });
    expect(holders(trio, "k").length).toBeGreaterThanOrEqual(3);
  });

  test("acknowledges nothing while there is no ring to count replicas of", () => {
    const trio = new Trio(hashes);
    trio.lost.add("b").add("c");
    const id = trio.write("k", setTo("v"), { write: "all" });
    Object.assign(trio.a.view, { ring: undefined });

    trio.coordinator.ringChanged(trio.now);
    trio.deliver();

    expect(trio.reply(id)).toBeUndefined();
  });

  test("starts over under another ring: acknowledgements of the one before do not count", () => {
    const trio = new Trio(hashes);
    trio.held.add("b");
    trio.lost.add("c");
    const id = trio.write("k", setTo("v"));
    const message = trio.waiting.find(({ to }) => to === "b")!.message as Replicate;
    const reply = trio.node("b").replica.replicate(message, SELF, trio.now);
    const members = trio.a.ring.members.map(({ id }) => ({ id, weight: 2, zone: "" }));
    Object.assign(trio.a.view, { ring: Ring.build(members, ringParameters(3), hashes) });

    trio.coordinator.ringChanged(trio.now);
    trio.coordinator.replicated("b" as MemberId, reply, trio.now);
    trio.deliver();

    expect(trio.reply(id)).toBeUndefined();
  });
});
