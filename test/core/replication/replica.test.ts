// The rules a replica keeps, one by one (numbers as in replica.ts).

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId, RingId } from "../../../src/base/ids.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, makeFixture, version } from "./fixture.ts";

const FROM = "b" as MemberId;
const SLOT = slotOfKey("k");
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

describe("Replica.replicate", () => {
  test("stores what is newer and says that it counts", () => {
    const { replica, replicate, store } = makeFixture(hashes);

    const reply = replica.replicate(replicate(), FROM, at(0));

    expect(reply).toMatchObject({ status: "stored", counts: true });
    expect(store.peek(SLOT, "k")?.version).toBe(version(0));
  });

  test("refuses what is not newer and names what it holds (1)", () => {
    const { replica, replicate } = makeFixture(hashes);
    replica.replicate(replicate({ entry: entry({ version: version(5) }) }), FROM, at(10));

    const older = replica.replicate(replicate({ entry: entry({ version: version(4) }) }), FROM, at(10));
    const tied = replica.replicate(
      replicate({ entry: entry({ version: version(5), origin: 10 }) }),
      FROM,
      at(10),
    );

    expect(older).toMatchObject({ status: "newer", heldVersion: version(5) });
    expect(tied).toMatchObject({ status: "newer", heldVersion: version(5) });
  });

  test("takes the same write again as stored", () => {
    const { replica, replicate } = makeFixture(hashes);
    replica.replicate(replicate(), FROM, at(0));

    expect(replica.replicate(replicate(), FROM, at(0)).status).toBe("stored");
  });

  test("takes a write again as stored that another operation has overwritten, and not one that another attempt's lies over (3)", () => {
    const { replica, replicate, store } = makeFixture(hashes);
    const first = entry({ opClient: 7, opSeq: 1, opAttempt: 1, version: version(1) });
    const again = replicate({ entry: { ...first, opAttempt: 3 }, over: first.version });
    replica.replicate(replicate({ entry: first }), FROM, at(10));
    // As a copy brings it: nothing is recorded of its operation.
    const second = entry({ opClient: 7, opSeq: 1, opAttempt: 2, version: version(2) });
    store.merge(SLOT, second, at(10).wallMs);

    expect(replica.replicate(again, FROM, at(10))).toMatchObject({
      status: "newer",
      heldVersion: second.version,
    });
    expect(store.peek(SLOT, "k")).toEqual(second);

    store.merge(SLOT, entry({ opClient: 8, opSeq: 1, version: version(3) }), at(10).wallMs);
    expect(replica.replicate(again, FROM, at(10)).status).toBe("stored");
  });

  test("does not take another operation's write for the same one when a restarted node gave both the same stamp", () => {
    const { replica, replicate, store } = makeFixture(hashes);
    const before = entry({ opClient: 7, opSeq: 1 });
    replica.replicate(replicate({ entry: before }), FROM, at(0));

    const tied = entry({ opClient: 8, opSeq: 1, value: new Uint8Array([2]) });
    const reply = replica.replicate(replicate({ entry: tied }), FROM, at(0));

    expect(reply).toMatchObject({ status: "newer", heldVersion: before.version });
    expect(store.peek(SLOT, "k")).toEqual(before);
  });

  test("refuses a conditional write when something was written since the value it was decided on", () => {
    const { replica, replicate } = makeFixture(hashes);
    replica.replicate(replicate({ entry: entry({ version: version(5) }) }), FROM, at(10));

    const stale = replica.replicate(
      replicate({ entry: entry({ version: version(8) }), over: version(4) }),
      FROM,
      at(10),
    );
    const current = replica.replicate(
      replicate({ entry: entry({ version: version(8) }), over: version(5) }),
      FROM,
      at(10),
    );

    expect(stale.status).toBe("newer");
    expect(current.status).toBe("stored");
  });

  test("refuses a foreground write of another ring and merges a hint of any (2)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const ringId = "0000000000000000" as RingId;

    expect(replica.replicate(replicate({ ringId }), FROM, at(0)).status).toBe("ring");
    expect(replica.replicate(replicate({ ringId, purpose: "hint" }), FROM, at(0)).status).toBe("stored");
  });

  test.each(["client", "hint", "repair"] as const)(
    "takes in no value by a %s while its clock may be wrong: it would be expired there",
    (purpose) => {
      const { replica, replicate, store, change } = makeFixture(hashes);
      change.isTimeKnown = false;
      const hourAheadMs = 3_600_000;
      const value = entry({ expiresAt: at(5_000).wallMs });

      const reply = replica.replicate(replicate({ purpose, entry: value }), FROM, at(hourAheadMs));

      expect(reply.status).toBe("ring");
      expect(store.head(SLOT, value.key)).toBeUndefined();
    },
  );

  test("refuses earlier attempts once a later one asked (3)", () => {
    const { replica, replicate, ring } = makeFixture(hashes);
    const asked = {
      kind: "read",
      id: 1,
      ringId: ring.id,
      key: "k",
      opClient: 4,
      opSeq: 2,
      attempt: 2,
      begunAt: 0,
    } as const;
    const first = entry({ opClient: 4, opSeq: 2, opAttempt: 1 });

    expect(replica.read(asked).known).toBeUndefined();

    expect(replica.replicate(replicate({ entry: first }), FROM, at(0)).status).toBe("fenced");
    expect(replica.replicate(replicate({ entry: { ...first, opAttempt: 2 } }), FROM, at(0)).status).toBe(
      "stored",
    );
  });

  test("calls the version of an abandoned attempt dead once a later attempt completed (3)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const done = entry({ opClient: 4, opSeq: 2, opAttempt: 2, version: version(1) });
    replica.replicate(replicate({ entry: done }), FROM, at(10));
    const dead = entry({ opClient: 4, opSeq: 2, opAttempt: 1, version: version(3) });

    expect(replica.replicate(replicate({ entry: dead, purpose: "repair" }), FROM, at(10)).status).toBe(
      "fenced",
    );
  });

  test("stores no later attempt under another version where an earlier one is stored (3)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const first = entry({ opClient: 4, opSeq: 2, opAttempt: 1, version: version(1) });
    replica.replicate(replicate({ entry: first, purpose: "repair" }), FROM, at(10));
    replica.replicate(replicate({ entry: entry({ version: version(2) }) }), FROM, at(10));
    const again = { ...first, opAttempt: 2, version: version(3) };

    expect(replica.replicate(replicate({ entry: again }), FROM, at(10))).toMatchObject({
      status: "newer",
      heldVersion: version(2),
    });
    // A hint of it says that a majority took it.
    expect(replica.replicate(replicate({ entry: again, purpose: "hint" }), FROM, at(10)).status).toBe(
      "stored",
    );
  });

  test("stores no other issue of a write where that came after the one that is stored was shown (3)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const issue = entry({ opClient: 4, opSeq: 2, opAttempt: 1, version: version(1) });
    const again = { ...issue, version: version(4) };
    replica.replicate(replicate({ entry: issue, purpose: "repair" }), FROM, at(10));

    // Decided on what was written elsewhere after the issue that is held here.
    expect(replica.replicate(replicate({ entry: again, over: version(2) }), FROM, at(10)).status).toBe(
      "newer",
    );
    replica.replicate(replicate({ entry: entry({ version: version(3) }) }), FROM, at(10));
    expect(replica.replicate(replicate({ entry: again, over: version(3) }), FROM, at(10))).toMatchObject({
      status: "newer",
      heldVersion: version(3),
    });
  });

  test("stores another issue of a write over the one that is held, when both follow the same version (3)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const issue = entry({ opClient: 4, opSeq: 2, opAttempt: 1, version: version(2) });
    replica.replicate(replicate({ entry: issue }), FROM, at(10));
    const again = replicate({ entry: { ...issue, version: version(3) }, over: version(1) });

    expect(replica.replicate(again, FROM, at(10)).status).toBe("stored");
  });

  test("refuses clocks too far ahead and requests past their instant (4)", () => {
    const { replica, replicate, store } = makeFixture(hashes);

    expect(
      replica.replicate(replicate({ entry: entry({ version: version(501) }) }), FROM, at(0)).status,
    ).toBe("clock");
    expect(replica.replicate(replicate({ notAfter: 99 }), FROM, at(100)).status).toBe("late");
    expect(store.peek(SLOT, "k")).toBeUndefined();
  });

  test("takes a new write that follows what is held, however far ahead that is (5)", () => {
    const { replica, replicate } = makeFixture(hashes);
    const held = entry({ version: version(3_600_000) });
    replica.replicate(replicate({ entry: held, purpose: "hint" }), FROM, at(0));

    const next = entry({ version: held.version + 1 });
    const far = entry({ version: version(3_600_600) });
    expect(replica.replicate(replicate({ entry: far, over: held.version }), FROM, at(0)).status).toBe(
      "clock",
    );
    expect(replica.replicate(replicate({ entry: next, over: held.version }), FROM, at(0)).status).toBe(
      "stored",
    );
  });

  test("takes a new write of an absent key that follows the slot's floor, however far ahead that is (5)", () => {
    const { replica, replicate, store } = makeFixture(hashes);
    store.raiseFloor(SLOT, version(3_600_000));

    const next = entry({ version: version(3_600_000) + 1 });
    expect(replica.replicate(replicate({ entry: next }), FROM, at(0)).status).toBe("stored");
  });

  test.each(["hint", "repair"] as const)(
    "takes what others hold by a %s, however far ahead (5)",
    (purpose) => {
      const { replica, replicate, store } = makeFixture(hashes);
      const held = entry({ version: version(3_600_000) });

      expect(replica.replicate(replicate({ entry: held, purpose }), FROM, at(0)).status).toBe("stored");
      expect(store.peek(SLOT, "k")).toEqual(held);
    },
  );

  test("stores while warming, and does not count", () => {
    const { replica, replicate, slots, ring } = makeFixture(hashes);
    slots.reset();
    slots.adopt(ring, "a" as MemberId, false);

    expect(replica.replicate(replicate(), FROM, at(0))).toMatchObject({ status: "stored", counts: false });
  });
});

describe("Replica.read", () => {
  test("recognises an operation that has been overwritten since", () => {
    const { replica, replicate, ring } = makeFixture(hashes);
    const number = new TextEncoder().encode("42");
    const own = entry({ opClient: 4, opSeq: 2, format: 3, value: number, version: version(1) });
    replica.replicate(replicate({ entry: own }), FROM, at(10));
    replica.replicate(replicate({ entry: entry({ version: version(2) }) }), FROM, at(10));

    const asked = {
      kind: "read",
      id: 1,
      ringId: ring.id,
      key: "k",
      opClient: 4,
      opSeq: 2,
      attempt: 2,
      begunAt: 0,
    } as const;

    expect(replica.read(asked)).toMatchObject({ known: { version: version(1), outcome: 42 }, counts: true });
  });

  test("does not vouch that an operation is unknown that began before the slot counted (4)", () => {
    const { replica, slots, ring } = makeFixture(hashes);
    slots.reset();
    slots.adopt(ring, "a" as MemberId, false);
    slots.settle(SLOT, 1_000);
    const ask = (begunAt: number) =>
      replica.read({
        kind: "read",
        id: 1,
        ringId: ring.id,
        key: "k",
        opClient: 4,
        opSeq: 2,
        attempt: 2,
        begunAt,
      });

    expect(ask(999)).toMatchObject({ status: "ok", counts: false });
    expect(ask(1_000)).toMatchObject({ status: "ok", counts: true });
  });

  test("answers only under its own ring", () => {
    const { replica } = makeFixture(hashes);
    const ringId = "0000000000000000" as RingId;

    const reply = replica.read({
      kind: "read",
      id: 1,
      ringId,
      key: "k",
      opClient: 0,
      opSeq: 0,
      attempt: 0,
      begunAt: 0,
    });

    expect(reply.status).toBe("ring");
  });
});

const NO_OPERATION = { opClient: 0, opSeq: 0, attempt: 0, begunAt: 0 } as const;

describe("Replica.clear", () => {
  test("removes what is older, keeps what is newer, and refuses older versions from then on", () => {
    const { replica, replicate, ring, store } = makeFixture(hashes);
    replica.replicate(replicate({ entry: entry({ version: version(1) }) }), FROM, at(10));

    const reply = replica.clear(
      {
        kind: "clearReplica",
        id: 1,
        ringId: ring.id,
        slots: [SLOT],
        version: version(2),
        ...NO_OPERATION,
      },
      at(10),
    );

    expect(reply).toMatchObject({ status: "ok", counts: [true] });
    expect(store.peek(SLOT, "k")).toBeUndefined();
    expect(replica.replicate(replicate({ entry: entry({ version: version(1) }) }), FROM, at(10)).status).toBe(
      "newer",
    );
    expect(replica.replicate(replicate({ entry: entry({ version: version(3) }) }), FROM, at(10)).status).toBe(
      "stored",
    );
  });

  test("says under which version it knows the operation, and refuses earlier attempts once a later one asked (3)", () => {
    const { replica, ring, store } = makeFixture(hashes);
    const clear = (attempt: number, of: number) =>
      replica.clear(
        {
          ...({ kind: "clearReplica", id: 1, ringId: ring.id, slots: [SLOT], version: of } as const),
          ...{ opClient: 4, opSeq: 2, attempt, begunAt: 1 },
        },
        at(10),
      );

    expect(clear(1, 0)).toMatchObject({ status: "ok", known: 0 });
    expect(clear(1, version(1))).toMatchObject({ status: "ok" });
    expect(clear(2, 0)).toMatchObject({ status: "ok", known: version(1) });
    expect(clear(1, version(2))).toMatchObject({ status: "fenced" });
    expect(store.clearedVersion(SLOT)).toBe(version(1));
  });

  test("does not vouch that a repeated clear is unknown that began before the slot counted (4)", () => {
    const { replica, slots, ring } = makeFixture(hashes);
    slots.reset();
    slots.adopt(ring, "a" as MemberId, false);
    slots.settle(SLOT, 1_000);
    const ask = (attempt: number, begunAt: number) =>
      replica.clear(
        {
          ...({ kind: "clearReplica", id: 1, ringId: ring.id, slots: [SLOT], version: 0 } as const),
          ...{ opClient: 4, opSeq: 2, attempt, begunAt },
        },
        at(2_000),
      ).counts;

    expect(ask(1, 999)).toEqual([true]);
    expect(ask(2, 999)).toEqual([false]);
    expect(ask(2, 1_000)).toEqual([true]);
  });

  test("refuses a version from a clock too far ahead", () => {
    const { replica, ring, store } = makeFixture(hashes);
    const clear = {
      kind: "clearReplica",
      id: 1,
      ringId: ring.id,
      slots: [SLOT],
      version: version(60_000),
      ...NO_OPERATION,
    } as const;

    expect(replica.clear(clear, at(10)).status).toBe("ring");
    expect(store.clearedVersion(SLOT)).toBe(0);
  });
});
