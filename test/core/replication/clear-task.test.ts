import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { ClearReplica } from "../../../src/core/messages.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { entry, SELF, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

describe("ClearTask", () => {
  test("answers when a majority of the replicas cleared, and leaves nothing on any", () => {
    const trio = new Trio(hashes);
    trio.write("k", setTo("v"));

    const id = trio.clear("k");

    expect(trio.reply(id)).toMatchObject({ kind: "cleared" });
    for (const member of trio.nodes.keys()) expect(trio.entryIn(member, "k")).toBeUndefined();
  });

  test("removes what was acknowledged under a version ahead of this node's clock", () => {
    const trio = new Trio(hashes);
    for (const member of ["b", "c"])
      trio.put(member, entry({ key: "k", version: version(trio.now.monoMs + 40) }));

    expect(trio.reply(trio.clear("k"))).toMatchObject({ kind: "cleared" });

    for (const member of trio.nodes.keys()) expect(trio.entryIn(member, "k")).toBeUndefined();
    expect(textOf(trio.reply(trio.get("k")))).toBeUndefined();
  });

  test("does not count what a replica acknowledged before it restarted: it may have filled up from others without", () => {
    const trio = new Trio(hashes, ["a", "b", "c", "d", "e"], { replicas: 5 });
    trio.write("k", setTo("v"));
    const isLate = new Set(["c", "d", "e"]);
    trio.isLost = (to, message) => isLate.has(to) && message.kind === "clearReplica" && message.version > 0;
    const id = trio.clear("k");
    trio.restart("b");
    trio.put("b", trio.entryIn("c", "k")!);

    isLate.add("b").delete("c");
    trio.run(500);
    expect(trio.entryIn("c", "k")).toBeUndefined();
    expect(trio.reply(id)).toBeUndefined();

    isLate.delete("b");
    trio.run(500);
    expect(trio.reply(id)).toMatchObject({ kind: "cleared" });
    expect(trio.entryIn("b", "k")).toBeUndefined();
  });

  test("hides nothing that was written after a later attempt completed, though its clock is ahead", () => {
    const trio = new Trio(hashes);
    const { a, now } = trio;
    a.clock.observe(version(now.monoMs + 200), now.wallMs);
    trio.isLost = (_to, message) => message.kind === "clearReplica" && message.version > 0;
    trio.clear("k", { opSeq: 90 });
    const late = trio.sent.find(({ message }) => message.kind === "clearReplica" && message.version > 0);
    if (late?.message.kind !== "clearReplica") throw new Error("Expected a clear under a version");
    const others = [trio.node("b"), trio.node("c")];
    const again = { ...late.message, attempt: 2 };
    const second = others[0]!.clock.next(now.wallMs);
    for (const version of [0, second])
      for (const { replica } of others) expect(replica.clear({ ...again, version }, now).status).toBe("ok");

    // Only then do the first attempt's messages come.
    for (const { replica } of others) expect(replica.clear(late.message, now).status).toBe("fenced");
    const next = entry({ format: 1, version: others[0]!.clock.next(now.wallMs) });
    for (const { replica, replicate } of others)
      expect(replica.replicate(replicate({ entry: next }), SELF, now).status).toBe("stored");

    expect(textOf(trio.reply(trio.get("k")))).toBeDefined();
  });

  describe("when it ends before it hears that anybody cleared", () => {
    /** The first attempt's coordinator is cut off and gives up; meanwhile the operation is repeated on the others, or not. */
    function abandon(trio: Trio, meanwhile: (late: ClearReplica) => void = () => {}): void {
      trio.isLost = (_to, message) => message.kind === "clearReplica" && message.version > 0;
      const id = trio.clear("k", { opSeq: 90 });
      const late = trio.sent.find(({ message }) => message.kind === "clearReplica" && message.version > 0);
      if (late?.message.kind !== "clearReplica") throw new Error("Expected a clear under a version");
      meanwhile(late.message);
      trio.run(2_500);
      expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "maybe" });
      trio.isLost = () => false;
    }

    function replay(trio: Trio): void {
      for (let round = 0; round < 3; round++) {
        trio.a.hints.replay(trio.now);
        trio.deliver();
      }
    }

    test("hides nothing that was written after a later attempt completed, though its clock is ahead", () => {
      const trio = new Trio(hashes);
      const { a, now } = trio;
      a.clock.observe(version(now.monoMs + 200), now.wallMs);
      const others = [trio.node("b"), trio.node("c")];
      abandon(trio, (late) => {
        const second = others[0]!.clock.next(now.wallMs);
        for (const version of [0, second])
          for (const { replica } of others)
            expect(replica.clear({ ...late, attempt: 2, version }, now).status).toBe("ok");
        const next = entry({ format: 1, version: others[0]!.clock.next(now.wallMs) });
        expect(next.version).toBeLessThan(late.version);
        for (const { replica, replicate } of others)
          expect(replica.replicate(replicate({ entry: next }), SELF, now).status).toBe("stored");
      });
      replay(trio);

      expect(textOf(trio.reply(trio.get("k")))).toBeDefined();
      expect(a.hints.count).toBe(0);
    });

    test("clears all copies by hints when nobody has repeated it, its own as well", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("v"));
      abandon(trio);
      replay(trio);

      for (const member of trio.nodes.keys()) expect(trio.entryIn(member, "k")).toBeUndefined();
      expect(trio.a.hints.count).toBe(0);
    });

    test("brings an earlier clear to a replica that has missed it, although a later attempt shut this one out there", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("v"));
      trio.lost.add("c");
      const id = trio.clear("k");
      trio.run(300);
      expect(trio.reply(id)).toMatchObject({ kind: "cleared" });
      trio.lost.clear();
      expect(trio.entryIn("c", "k")).toBeDefined();
      abandon(trio, (late) => {
        const asked = { ...late, attempt: 2, version: 0 };
        expect(trio.node("c").replica.clear(asked, trio.now).status).toBe("ok");
      });
      replay(trio);

      expect(trio.entryIn("c", "k")).toBeUndefined();
      expect(trio.a.hints.count).toBe(0);
    });
  });

  test.each(["before it was asked", "after it was asked"])(
    "keeps a hint for a replica whose link was lost %s",
    (when) => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("v"));
      trio.held.add("b").add("c");
      if (when === "before it was asked") trio.lose("c");

      const id = trio.clear("k");
      if (when === "after it was asked") trio.lose("c");
      trio.release("b");
      expect(trio.reply(id)).toMatchObject({ kind: "cleared" });
      trio.held.clear();
      trio.a.usable.add("c");
      trio.a.hints.replay(trio.now);
      trio.deliver();

      expect(trio.entryIn("c", "k")).toBeUndefined();
    },
  );

  test("keeps a hint for a replica that answered for another ring", () => {
    const trio = new Trio(hashes);
    trio.write("k", setTo("v"));
    const c = trio.node("c");
    const { ring } = c.view;
    Object.assign(c.view, { ring: undefined });

    const id = trio.clear("k");
    expect(trio.reply(id)).toMatchObject({ kind: "cleared" });
    Object.assign(c.view, { ring });
    trio.a.hints.replay(trio.now);
    trio.deliver();

    expect(trio.entryIn("c", "k")).toBeUndefined();
    expect(trio.a.hints.drain("c" as MemberId).isDrained).toBe(true);
  });

  test("keeps no hint for replicas that cleared", () => {
    const trio = new Trio(hashes);

    trio.clear("k");
    trio.run(300);

    expect(trio.a.hints.count).toBe(0);
  });

  test("sends again what was lost, and ends as maybe when no majority can be reached", () => {
    const trio = new Trio(hashes);
    trio.lost.add("b").add("c");

    const id = trio.clear("k");
    trio.run(2_500);

    expect(trio.reply(id)).toMatchObject({ kind: "failed", code: "ERR_TIMEOUT", applied: "maybe" });
    expect(trio.sent.filter(({ to }) => to === "b").length).toBeGreaterThan(5);
    expect(trio.coordinator.pending).toBe(0);
    expect(trio.coordinator.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  describe("a repeated attempt", () => {
    test("leaves what was written since the first one cleared", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("before"));
      trio.clear("k", { opSeq: 50 });
      trio.write("k", setTo("after"));

      const again = trio.clear("k", { opSeq: 50, attempt: 2 });
      trio.run(100);

      expect(trio.reply(again)).toMatchObject({ kind: "cleared" });
      expect(textOf(trio.reply(trio.get("k")))).toBe("after");
    });

    test("completes what only the last replica to answer has cleared", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("before"));
      const { ring, replica } = trio.node("c");
      const slots = [slotOfKey("k")];
      const first = { kind: "clearReplica", id: 9, ringId: ring.id, slots, version: version(1) } as const;
      replica.clear({ ...first, opClient: 7, opSeq: 50, attempt: 1, begunAt: 0 }, trio.now);
      trio.write("k", setTo("after"));
      trio.held.add("c");

      const again = trio.clear("k", { opSeq: 50, attempt: 2 });
      trio.run(10);
      trio.release("c");

      expect(trio.reply(again)).toMatchObject({ kind: "cleared" });
      expect(trio.a.store.clearedVersion(slotOfKey("k"))).toBe(version(1));
    });

    test("clears when nobody knows the first one, and shuts that one out", () => {
      const trio = new Trio(hashes);
      trio.write("k", setTo("v"));
      trio.lost.add("b").add("c");
      const first = trio.clear("k", { opSeq: 50 });
      trio.lost.clear();

      const again = trio.clear("k", { opSeq: 50, attempt: 2 });
      expect(trio.reply(again)).toMatchObject({ kind: "cleared" });
      trio.write("k", setTo("after"));
      trio.run(2_500);

      expect(trio.reply(first)?.kind).toBeDefined();
      expect(textOf(trio.reply(trio.get("k")))).toBe("after");
    });
  });

  test.each(["increment", "set if absent", "touch after a set"])(
    "does not stand in the way of %s",
    (what) => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      trio.write(key, setTo("v"));
      trio.clear(key);

      if (what === "touch after a set") trio.write(key, setTo("w"));
      const id = trio.write(
        key,
        what === "increment"
          ? { type: "increment", by: 2, ttlMs: 0 }
          : what === "set if absent"
            ? setTo("x", { condition: "absent" })
            : { type: "touch", ttlMs: 1_000 },
      );
      trio.run(500);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: what === "increment" ? 2 : true });
      expect(trio.a.store.count(slotOfKey(key))).toBe(1);
    },
  );
});
