// Who runs a request, and where answers come from.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Forward, WriteRequest } from "../../../src/core/messages.ts";
import { NOT_ALONE } from "../../../src/core/replication/coordinator.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { FIRST_TRY } from "../../first-try.ts";
import { entry, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

const FIVE = ["a", "b", "c", "d", "e"];
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const bytes = (text: string) => new TextEncoder().encode(text);
const increment = { type: "increment", by: 1, ttlMs: 0 } as const;

/** A key of which `a` holds no copy. */
function foreignKey(trio: Trio): string {
  for (let index = 0; ; index++) {
    const key = `key${index}`;
    if (!trio.a.ring.isReplica(slotOfKey(key), trio.a.view.self)) return key;
  }
}

function forwards(trio: Trio): { readonly to: MemberId; readonly message: Forward }[] {
  return trio.sent.flatMap(({ to, message }) => (message.kind === "forward" ? [{ to, message }] : []));
}

describe("Coordinator.get", () => {
  test("answers alone as the first replica", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.put("a", entry({ key, value: bytes("v"), format: 1 }));

    expect(textOf(trio.reply(trio.get(key, "one")))).toBe("v");
    expect(trio.sent).toEqual([]);
  });

  test.each([
    "is not the first replica",
    "is behind",
    "has a doubt about the slot",
    "is warming",
    "was asked for a quorum",
  ])("asks the others when this node %s", (why) => {
    const trio = new Trio(hashes);
    const key = why === "is not the first replica" ? trio.keyOf("b") : trio.keyOf("a");
    trio.put("a", entry({ key, value: bytes("old"), version: version(1) }));
    for (const member of ["b", "c"])
      trio.put(member, entry({ key, value: bytes("new"), format: 1, version: version(2) }));
    if (why === "is behind") trio.isBehind = true;
    if (why === "has a doubt about the slot") trio.a.slots.doubt(slotOfKey(key));
    if (why === "is warming") {
      trio.a.slots.reset();
      trio.a.slots.adopt(trio.a.ring, trio.a.view.self, false);
    }

    const id = trio.get(key, why === "was asked for a quorum" ? "quorum" : "one");
    trio.run(200);

    expect(textOf(trio.reply(id))).toBe("new");
  });

  test("asks the others about what it does not hold where a clock that was ahead has left a floor that refuses new writes", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.a.store.raiseFloor(slotOfKey(key), version(3_600_000));
    const written = trio.write(key, setTo("v"));
    trio.run(100);
    expect(trio.reply(written)).toMatchObject({ kind: "written" });
    expect(trio.entryIn("a", key)).toBeUndefined();
    // It was compared with the others since, and could take nothing over.
    trio.a.slots.compare(slotOfKey(key));
    trio.a.slots.settle(slotOfKey(key), 0);

    expect(trio.coordinator.getAlone(key, "one", trio.now)).toBe(NOT_ALONE);
    expect(textOf(trio.reply(trio.get(key, "one")))).toBe("v");
  });

  test("answers alone as any replica, with what it has, when any may answer", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    trio.put("a", entry({ key, value: bytes("old"), format: 1, version: version(1) }));
    trio.put("b", entry({ key, value: bytes("new"), format: 1, version: version(2) }));
    trio.a.slots.doubt(slotOfKey(key));

    expect(textOf(trio.reply(trio.get(key, "any")))).toBe("old");
    expect(trio.sent).toEqual([]);
  });

  test.each(["is behind", "is warming"])("asks the others although any may answer when it %s", (why) => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    for (const member of ["b", "c"]) trio.put(member, entry({ key, value: bytes("new"), format: 1 }));
    if (why === "is behind") trio.isBehind = true;
    else {
      trio.a.slots.reset();
      trio.a.slots.adopt(trio.a.ring, trio.a.view.self, false);
    }

    const id = trio.get(key, "any");
    trio.run(200);

    expect(textOf(trio.reply(id))).toBe("new");
  });

  test("answers from any replica that counts when the others stay silent, and waits for one that does", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    trio.put("a", entry({ key, value: bytes("v"), format: 1 }));
    trio.lost.add("b").add("c");

    const id = trio.get(key, "one");
    expect(trio.reply(id)).toBeUndefined();
    trio.run(200);

    expect(textOf(trio.reply(id))).toBe("v");
  });

  test("fails a quorum read without a majority by the time a request may take", () => {
    const trio = new Trio(hashes);
    trio.lost.add("b").add("c");

    const id = trio.get("k");
    trio.run(2_100);

    expect(trio.reply(id)).toMatchObject({ kind: "failed", code: "ERR_NO_QUORUM", elsewhere: true });
    expect(trio.coordinator.pending).toBe(0);
    expect(trio.coordinator.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test.each(["one", "quorum", "any"] as const)(
    "sends who reads by %s elsewhere while its clock may be wrong: what is there might pass for expired",
    (read) => {
      const trio = new Trio(hashes);
      trio.a.change.isTimeKnown = false;

      expect(trio.reply(trio.get("k", read))).toMatchObject({ code: "ERR_NO_QUORUM", elsewhere: true });
    },
  );

  test("does not show what has expired", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    for (const member of ["a", "b", "c"]) trio.put(member, entry({ key, expiresAt: trio.now.wallMs + 10 }));
    trio.run(20);

    expect(textOf(trio.reply(trio.get(key, "one")))).toBeUndefined();
  });
});

describe("Coordinator.write", () => {
  test("hands a write of others' keys to the first replica that can be reached, and on its answer", () => {
    const trio = new Trio(hashes, FIVE);
    const key = foreignKey(trio);
    const [first, second] = trio.a.ring.preferenceList(slotOfKey(key));
    trio.a.usable.delete(first!);

    const id = trio.write(key, setTo("v"));
    const [forward] = forwards(trio);
    expect(forward?.to).toBe(second);
    trio.coordinator.forwardAnswered(second!, {
      kind: "forwarded",
      id: forward!.message.id,
      reply: { kind: "written", id: 999, outcome: true },
    });
    trio.deliver();

    expect(trio.reply(id)).toEqual({ kind: "written", id, outcome: true });
    expect(trio.coordinator.pending).toBe(0);
  });

  test.each(["is lost", "never answers"])("is uncertain when the node it was handed to %s", (what) => {
    const trio = new Trio(hashes, FIVE);
    const key = foreignKey(trio);
    const id = trio.write(key, setTo("v"));
    const [forward] = forwards(trio);

    if (what === "is lost") trio.lose(forward!.to);
    trio.run(2_100);

    expect(trio.reply(id)).toMatchObject({
      kind: "failed",
      code: "ERR_TIMEOUT",
      applied: "maybe",
      elsewhere: true,
    });
    expect(trio.coordinator.pending).toBe(0);
  });

  test("is handed on with its instants in the other node's clock", () => {
    const trio = new Trio(hashes, FIVE);
    trio.a.change.peersAheadMs = 1_000;

    const begunAt = trio.now.monoMs;
    const notAfter = begunAt + 100;

    trio.write(foreignKey(trio), setTo("v"), { notAfter, begunAt });

    const translated = { notAfter: notAfter + 1_000, begunAt: begunAt + 1_000 };
    expect(forwards(trio)).toMatchObject([{ message: { request: translated } }]);
  });

  test("is not handed on while nobody can say when it would be too late there", () => {
    const trio = new Trio(hashes, FIVE);

    const id = trio.write(foreignKey(trio), setTo("v"), { notAfter: trio.now.monoMs + 100 });

    expect(forwards(trio)).toEqual([]);
    expect(trio.reply(id)).toMatchObject({ kind: "failed", applied: "no", elsewhere: true });
    expect(trio.coordinator.pending).toBe(0);
  });

  test("is handed on once only", () => {
    const trio = new Trio(hashes, FIVE);
    const request: WriteRequest = {
      kind: "write",
      id: 5,
      key: foreignKey(trio),
      change: setTo("v"),
      write: "quorum",
      opClient: 1,
      opSeq: 1,
      ...FIRST_TRY,
    };

    trio.coordinator.forwarded("b" as MemberId, { kind: "forward", id: 9, request }, trio.now);
    const effects = trio.a.outbox.take();

    expect(effects).toMatchObject([
      {
        kind: "send",
        to: "b",
        message: { kind: "forwarded", id: 9, reply: { kind: "failed", applied: "no", elsewhere: true } },
      },
    ]);
  });

  test.each([
    { change: "set", attempt: 1, isDecidedHere: false, isFirstUp: true, runs: "here" },
    { change: "increment", attempt: 1, isDecidedHere: false, isFirstUp: true, runs: "b" },
    { change: "increment", attempt: 1, isDecidedHere: false, isFirstUp: false, runs: "here" },
    { change: "increment", attempt: 2, isDecidedHere: false, isFirstUp: true, runs: "here" },
    { change: "increment", attempt: 1, isDecidedHere: true, isFirstUp: true, runs: "here" },
  ])(
    "runs $change, attempt $attempt (decided here: $isDecidedHere), at $runs when this node is the second replica and the first is up: $isFirstUp",
    (row) => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("b", "a");
      if (!row.isFirstUp) trio.a.usable.delete("b");

      const id = trio.write(key, row.change === "set" ? setTo("v") : increment, {
        attempt: row.attempt,
        isDecidedHere: row.isDecidedHere,
      });
      trio.run(100);

      expect(forwards(trio).map(({ to }) => to)).toEqual(row.runs === "here" ? [] : [row.runs]);
      if (row.runs === "here") expect(trio.reply(id)?.kind).toBe("written");
    },
  );

  test("brings what another node left here only to a majority before it builds on it: a repeat finds it there", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    const before = entry({ key, value: bytes("3"), format: 3, version: version(1) });
    for (const member of ["a", "b", "c"]) trio.put(member, before);
    const left = { value: bytes("4"), version: version(2), opClient: 9, opSeq: 29, opAttempt: 1 };
    trio.put("a", { ...before, ...left });

    const id = trio.write(key, increment);
    trio.run(100);

    expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 5 });
    const knowing = ["b", "c"].filter((member) => trio.node(member).operations.find(9, 29).version > 0);
    expect(knowing).not.toEqual([]);
  });

  test("refuses what came after its caller stopped waiting, and what is too large", () => {
    const trio = new Trio(hashes);
    const late = trio.write("k", setTo("v"), { notAfter: 1 });
    const large = trio.write("k", { ...setTo(""), type: "set", value: new Uint8Array(1_000_001) } as never);

    expect(trio.reply(late)).toMatchObject({ code: "ERR_TIMEOUT", applied: "no", elsewhere: true });
    expect(trio.reply(large)).toMatchObject({ code: "ERR_TOO_LARGE", applied: "no", elsewhere: false });
    expect(trio.sent).toEqual([]);
  });

  test("refuses more than it may have under way, and takes more once some are done", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    Object.assign(trio.a.options, { pendingMax: 3 });
    trio.held.add("b").add("c");
    for (let index = 0; index < 3; index++) trio.write(key, setTo("v"));

    const id = trio.write(key, setTo("v"));
    expect(trio.replies.at(-1)).toMatchObject({ kind: "overloaded", ids: [id] });
    trio.release("b");
    trio.held.clear();
    expect(trio.reply(trio.write(key, setTo("v")))?.kind).toBe("written");
  });
});

describe("Coordinator, out of touch with half of the ring,", () => {
  test("begins no quorum operation", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.hasLease = false;

    for (const id of [trio.get(key), trio.write(key, setTo("v")), trio.clear(key)]) {
      expect(trio.reply(id)).toMatchObject({
        kind: "failed",
        code: "ERR_NO_QUORUM",
        applied: "no",
        elsewhere: true,
      });
    }
    expect(trio.sent).toEqual([]);
    expect(trio.entryIn("a", key)).toBeUndefined();
  });

  test("reads by quorum from nobody where there is one replica only", () => {
    const trio = new Trio(hashes, ["a", "b", "c"], { replicas: 1 });
    const key = trio.keyOf("a");
    expect(trio.coordinator.getAlone(key, "quorum", trio.now)).toBeUndefined();

    trio.hasLease = false;

    expect(trio.coordinator.getAlone(key, "quorum", trio.now)).toBe(NOT_ALONE);
    expect(trio.reply(trio.get(key, "quorum"))).toMatchObject({ code: "ERR_NO_QUORUM" });
  });

  test("answers what needs no quorum", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.hasLease = false;

    expect(trio.reply(trio.write(key, setTo("v"), { write: "async" }))?.kind).toBe("written");
    expect(textOf(trio.reply(trio.get(key, "one")))).toBe("v");
  });

  test("acknowledges nothing that it began before", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.held.add("b").add("c");
    const ids = [trio.get(key), trio.write(key, setTo("v")), trio.clear(key)];

    trio.hasLease = false;
    trio.release("b");
    trio.release("c");

    expect(trio.reply(ids[0]!)).toMatchObject({ code: "ERR_NO_QUORUM" });
    for (const id of ids.slice(1)) {
      expect(trio.reply(id)).toMatchObject({ code: "ERR_TIMEOUT", applied: "maybe", elsewhere: true });
    }
  });
});

describe("Coordinator, for callers who have gone,", () => {
  const readAt = (trio: Trio, key: string, notAfter: number) => {
    const request = { kind: "get", id: 5, key, read: "quorum", want: "value", notAfter } as const;
    trio.coordinator.get(request, { type: "client", client: 1, id: 5 }, trio.now);
    trio.deliver();
  };

  test("begins no read past its instant", () => {
    const trio = new Trio(hashes);

    readAt(trio, trio.keyOf("a"), trio.now.monoMs - 1);

    expect(trio.reply(5)).toMatchObject({ kind: "failed", code: "ERR_TIMEOUT", applied: "no" });
    expect(trio.sent).toEqual([]);
  });

  test("gives a read up at its instant", () => {
    const trio = new Trio(hashes);
    trio.held.add("b").add("c");

    readAt(trio, trio.keyOf("a"), trio.now.monoMs + 40);
    expect(trio.coordinator.pending).toBe(1);
    trio.run(60);

    expect(trio.coordinator.pending).toBe(0);
  });

  test("keeps no more than 64 repeats of one write", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    trio.held.add("b").add("c");
    trio.write(key, setTo("v"), { opSeq: 9 });

    for (let attempt = 0; attempt < 65; attempt++) trio.write(key, setTo("v"), { opSeq: 9 });
    expect(trio.replies.filter(({ kind }) => kind === "overloaded")).toHaveLength(1);
    trio.release("b");

    expect(trio.replies.filter(({ kind }) => kind === "written")).toHaveLength(65);
  });
});

describe("Coordinator.scan", () => {
  function scan(trio: Trio, over: object = {}) {
    const request = {
      kind: "scan",
      id: 77,
      slots: [slotOfKey("k")],
      after: "",
      prefix: "",
      limit: 2,
      isAlone: false,
      ...over,
    } as const;
    trio.coordinator.scan(request, { type: "client", client: 1, id: 77 }, trio.now);
    trio.deliver();
    return trio.replies.at(-1);
  }

  test.each(["is not the first replica", "may lack what was acknowledged", "cannot reach all others"])(
    "is not answered alone where this node %s, and is beside others",
    (why) => {
      const trio = new Trio(hashes);
      const key = why.startsWith("is") ? trio.keyOf("b") : trio.keyOf("a");
      if (why.startsWith("cannot")) trio.a.usable.delete("c");
      if (why.startsWith("may")) trio.a.slots.doubt(slotOfKey(key));
      const slots = [slotOfKey(key)];

      expect(scan(trio, { slots, isAlone: true })).toMatchObject({ kind: "failed", elsewhere: true });
      expect(scan(trio, { slots, isAlone: false })).toMatchObject({ kind: "scanned", slotsDone: 1 });
    },
  );

  test("lists the live keys of a slot in order, a page at a time", () => {
    const trio = new Trio(hashes);
    for (const name of ["3", "1", "2"]) trio.put("a", entry({ key: `{k}${name}` }));
    trio.put("a", entry({ key: "{k}0", value: undefined }));

    expect(scan(trio)).toMatchObject({ keys: ["{k}1", "{k}2"], slotsDone: 0, after: "{k}2" });
    expect(scan(trio, { after: "{k}2" })).toMatchObject({ keys: ["{k}3"], slotsDone: 1, after: "" });
    expect(scan(trio, { prefix: "{k}2" })).toMatchObject({ keys: ["{k}2"], slotsDone: 1 });
  });

  test("begins the next slot anew when a page ends with a slot", () => {
    const trio = new Trio(hashes);
    const slots = [slotOfKey("{k}"), slotOfKey("{m}")].sort((a, b) => a - b);
    const [first, second] = slots[0] === slotOfKey("{k}") ? ["{k}", "{m}"] : ["{m}", "{k}"];
    for (const name of ["8", "9"]) trio.put("a", entry({ key: `${first}${name}` }));
    for (const name of ["1", "2"]) trio.put("a", entry({ key: `${second}${name}` }));

    expect(scan(trio, { slots })).toMatchObject({ slotsDone: 1, after: "" });
    expect(scan(trio, { slots: slots.slice(1) })).toMatchObject({ keys: [`${second}1`, `${second}2`] });
  });

  test("says so when this node has no complete copy", () => {
    const trio = new Trio(hashes);
    trio.a.slots.reset();

    expect(scan(trio)).toMatchObject({ kind: "failed", code: "ERR_NO_QUORUM", elsewhere: true });
  });
});
