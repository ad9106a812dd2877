import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId, RingId } from "../../../src/base/ids.ts";
import type { Replicate } from "../../../src/core/messages.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, SELF, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const bytes = (text: string) => new TextEncoder().encode(text);
const valued = (key: string, text: string, ms: number) =>
  entry({ key, value: bytes(text), format: 1, version: version(ms) });
const tombstone = (key: string, ms: number) =>
  entry({ key, value: undefined, format: 0, version: version(ms) });

describe("ReadTask", () => {
  test("returns the newest of a majority and leaves it on a majority", () => {
    const trio = new Trio(hashes);
    trio.put("a", valued("k", "old", 1));
    trio.put("b", valued("k", "new", 2));
    trio.lost.add("c");

    const id = trio.get("k");

    expect(textOf(trio.reply(id))).toBe("new");
    expect(trio.entryIn("a", "k")?.version).toBe(version(2));
  });

  test("does not answer before the newest is on a majority", () => {
    const trio = new Trio(hashes);
    trio.put("a", valued("k", "new", 2));
    trio.lost.add("c");
    trio.isLost = (_to, message) => message.kind === "replicate";

    const id = trio.get("k");
    expect(trio.reply(id)).toBeUndefined();
    trio.isLost = () => false;
    trio.run(300);

    expect(textOf(trio.reply(id))).toBe("new");
    expect(trio.entryIn("b", "k")?.version).toBe(version(2));
  });

  test("writes a tombstone back to replicas that hold nothing: a read that saw the delete must not be followed by the value", () => {
    const trio = new Trio(hashes);
    trio.put("a", tombstone("k", 2));
    trio.put("c", valued("k", "deleted", 1));
    trio.lost.add("c");
    expect(textOf(trio.reply(trio.get("k")))).toBeUndefined();

    trio.lost.clear();
    trio.lost.add("a");
    const b = trio.entryIn("b", "k");

    expect(b).toMatchObject({ version: version(2), value: undefined });
  });

  test("leaves what it found cleared cleared on a majority: a read that saw the clear must not be followed by the value", () => {
    const trio = new Trio(hashes);
    for (const member of ["a", "b", "c"]) trio.put(member, valued("k", "cleared", 1));
    trio.node("b").store.clear(slotOfKey("k"), version(2));
    trio.lost.add("c");
    expect(textOf(trio.reply(trio.get("k")))).toBeUndefined();

    trio.lost.clear();
    trio.lost.add("b");
    expect(textOf(trio.reply(trio.get("k")))).toBeUndefined();

    // The clear takes along what was left in its place, and hides nothing that is newer.
    trio.lost.clear();
    trio.a.store.clear(slotOfKey("k"), version(2));
    expect(trio.entryIn("a", "k")).toBeUndefined();
    trio.write("k", setTo("new"));
    expect(textOf(trio.reply(trio.get("k")))).toBe("new");
  });

  test("takes a floor above a tombstone for the tombstone", () => {
    const trio = new Trio(hashes);
    trio.put("a", tombstone("k", 2));
    trio.node("b").store.raiseFloor(slotOfKey("k"), version(5));
    trio.lost.add("c");

    const id = trio.get("k");

    expect(textOf(trio.reply(id))).toBeUndefined();
    expect(trio.sent.filter(({ to, message }) => to === "b" && message.kind === "read")).toHaveLength(1);
  });

  test("counts each replica once, however often its answer arrives", () => {
    const trio = new Trio(hashes, ["a", "b", "c", "d", "e"], { replicas: 5 });
    trio.put("a", valued("k", "v", 1));
    const writeBacks: Replicate[] = [];
    trio.isLost = (to, message) => {
      if (to === "b" && message.kind === "replicate") writeBacks.push(message);
      return to === "d" || to === "e" || message.kind === "replicate";
    };
    const id = trio.get("k");
    const reply = trio.node("b").replica.replicate(writeBacks[0]!, SELF, trio.now);
    expect(trio.entryIn("c", "k")).toBeUndefined();

    trio.coordinator.replicated("b" as MemberId, reply, trio.now);
    trio.coordinator.replicated("b" as MemberId, reply, trio.now);
    trio.deliver();

    expect(trio.reply(id)).toBeUndefined();
  });

  test("does not count a replica that took the write-back under another ring", () => {
    const trio = new Trio(hashes);
    const { replica, replicate, ring } = trio.node("b");
    const other = "0000000000000000" as RingId;

    const same = replica.replicate(replicate({ purpose: "repair", ringId: ring.id }), SELF, at(1_000));
    const elsewhere = replica.replicate(replicate({ purpose: "repair", ringId: other }), SELF, at(1_000));

    expect(same).toMatchObject({ status: "stored", counts: true });
    expect(elsewhere).toMatchObject({ status: "stored", counts: false });
  });

  test.each(["has no room for it", "evicted it and has a floor above it"])(
    "finds a value on the others although one replica %s",
    (why) => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a", "b");
      trio.put("a", valued(key, "v", 1));
      trio.put("c", valued(key, "v", 1));
      const { store } = trio.node("b");
      if (why.startsWith("has no room")) store.merge = () => ({ status: "full" });
      else store.raiseFloor(slotOfKey(key), version(5));

      const id = trio.get(key);
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("v");
    },
  );

  test("gives a value up that most replicas may have deleted", () => {
    const trio = new Trio(hashes);
    trio.put("a", valued("k", "deleted", 1));
    for (const member of ["b", "c"]) trio.node(member).store.raiseFloor(slotOfKey("k"), version(5));

    const id = trio.get("k");
    trio.run(1_000);

    expect(textOf(trio.reply(id))).toBeUndefined();
  });

  describe("when the newest version is that of an abandoned attempt", () => {
    /** c holds a dead version of operation 4:2; b and a know that its second attempt completed as version 2. */
    function withDeadVersion(): Trio {
      const trio = new Trio(hashes);
      for (const member of ["a", "b"]) {
        const done = entry({
          opClient: 4,
          opSeq: 2,
          opAttempt: 2,
          version: version(2),
          value: bytes("done"),
          format: 1,
        });
        const { replica, replicate } = trio.node(member);
        replica.replicate(replicate({ entry: done }), SELF, trio.now);
      }
      const dead = {
        opClient: 4,
        opSeq: 2,
        opAttempt: 1,
        version: version(9),
        value: bytes("dead"),
        format: 1,
      } as const;
      trio.put("c", entry(dead));
      return trio;
    }

    test("writes what it hides again above it", () => {
      const trio = withDeadVersion();
      trio.lost.add("b");

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("done");
      expect(trio.entryIn("c", "k")?.version).toBeGreaterThan(version(9));
    });

    test("takes it for that although the completed version was told again as the first attempt's", () => {
      const trio = new Trio(hashes);
      const operation = { opClient: 4, opSeq: 2 } as const;
      const first = entry({ ...valued("k", "written", 2), ...operation, opAttempt: 1 });
      const next = valued("k", "acknowledged", 5);
      for (const member of ["a", "b"]) {
        const { replica, replicate } = trio.node(member);
        const completion = { ...first, opAttempt: 3 };
        replica.replicate(replicate({ entry: completion }), SELF, trio.now);
        // A hint of a replica that had it from the first attempt.
        replica.replicate(replicate({ entry: first, purpose: "hint" }), SELF, trio.now);
        replica.replicate(replicate({ entry: next }), SELF, trio.now);
      }
      const { replica, replicate } = trio.node("c");
      const abandoned = { ...valued("k", "written", 9), ...operation, opAttempt: 2 };
      expect(replica.replicate(replicate({ entry: abandoned }), SELF, trio.now).status).toBe("stored");
      trio.lost.add("b");

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("acknowledged");
    });

    test("writes what it hides again also when that is what an attempt before it left, completed by a later one", () => {
      const trio = new Trio(hashes);
      const operation = { opClient: 4, opSeq: 2 } as const;
      const first = entry({ ...valued("k", "done", 2), ...operation, opAttempt: 1 });
      for (const member of ["a", "b"]) {
        const { replica, replicate } = trio.node(member);
        replica.replicate(replicate({ entry: first }), SELF, trio.now);
        const completion = { ...first, opAttempt: 3 };
        expect(replica.replicate(replicate({ entry: completion }), SELF, trio.now).status).toBe("stored");
      }
      const { replica, replicate } = trio.node("c");
      const abandoned = { ...valued("k", "dead", 9), ...operation, opAttempt: 2 };
      replica.replicate(replicate({ entry: abandoned }), SELF, trio.now);
      trio.lost.add("b");

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("done");
      expect(trio.entryIn("c", "k")?.version).toBe(trio.entryIn("a", "k")?.version);
    });

    test("never puts what it hides above a write that came in between", () => {
      const trio = withDeadVersion();
      trio.lost.add("b");
      const { replica } = trio.a;
      const replicate = replica.replicate.bind(replica);
      let isOvertaken = false;
      replica.replicate = (message, from, now) => {
        const isRevival = message.entry.value !== undefined && message.entry.version > version(9);
        if (isRevival && !isOvertaken) {
          isOvertaken = true;
          const acked = valued("k", "acknowledged", 5);
          for (const member of ["a", "b"]) trio.put(member, acked);
        }
        return replicate(message, from, now);
      };

      const id = trio.get("k");
      trio.run(1_000);

      expect(isOvertaken).toBe(true);
      expect(textOf(trio.reply(id))).toBe("acknowledged");
    });

    test("spreads a write that came in between, although a later attempt of that asks who knows it", () => {
      const trio = withDeadVersion();
      trio.lost.add("b");
      const { replica, operations } = trio.a;
      const replicate = replica.replicate.bind(replica);
      replica.replicate = (message, from, now) => {
        const reply = replicate(message, from, now);
        if (reply.status === "fenced" && message.entry.version === version(9)) {
          trio.put("c", entry({ ...valued("k", "new", 20), opClient: 5, opSeq: 1, opAttempt: 1 }));
          operations.fence(5, 1, 2);
        }
        return reply;
      };

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("new");
      expect(trio.entryIn("a", "k")?.version).toBe(version(20));
    });

    test("does not take what it hides for dead as well when a later attempt of that asks who knows it", () => {
      const trio = withDeadVersion();
      trio.lost.add("b");
      const acked = entry({ ...valued("k", "acknowledged", 5), opClient: 5, opSeq: 1, opAttempt: 1 });
      for (const member of ["a", "b"]) {
        const { replica, replicate } = trio.node(member);
        replica.replicate(replicate({ entry: acked }), SELF, trio.now);
      }
      trio.node("c").operations.fence(5, 1, 2);

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("acknowledged");
    });

    test("writes what it hides again although a later attempt of that has asked who knows it, and was told", () => {
      const trio = withDeadVersion();
      trio.lost.add("b");
      const acked = entry({ ...valued("k", "acknowledged", 5), opClient: 5, opSeq: 1, opAttempt: 1 });
      for (const member of ["a", "b", "c"]) {
        const { replica, replicate, operations } = trio.node(member);
        if (member !== "c") replica.replicate(replicate({ entry: acked }), SELF, trio.now);
        operations.fence(5, 1, 2);
      }

      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBe("acknowledged");
      expect(trio.entryIn("c", "k")?.version).toBeGreaterThan(version(9));
    });

    test("does not bring back what was cleared", () => {
      const trio = withDeadVersion();
      trio.put("b", entry({ key: "k", version: version(3), value: bytes("cleared"), format: 1 }));
      trio.a.store.clear(slotOfKey("k"), version(4));
      trio.isLost = (to, message) => to === "b" && message.kind === "read";
      trio.lost.clear();
      // a has cleared, b has not and answers too late; c holds the dead version.
      const id = trio.get("k");
      trio.run(1_000);

      expect(textOf(trio.reply(id))).toBeUndefined();
    });
  });
});
