// What becomes of a key's value, and what callers are told of it, when it expires, is deleted or cleared while calls are repeated and replicas
// disagree.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Change } from "../../../src/core/messages.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, makeFixture, version } from "./fixture.ts";
import { setTo, Trio, textOf } from "./trio.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

const DELETE: Change = { type: "delete" };
const bytes = (text: string) => new TextEncoder().encode(text);
const valued = (text: string, ms: number) =>
  entry({ value: bytes(text), format: 1, version: version(ms), opClient: 9, opSeq: 1 });

/** All hold a value that has just expired, and none has swept it. Returns the instant. */
function expire(trio: Trio, key: string): number {
  const expiresAt = trio.now.wallMs - 100;
  const expired = { ...valued("old", 1), key, expiresAt };
  for (const { store } of trio.nodes.values()) store.merge(slotOfKey(key), expired, expiresAt - 1);
  return expiresAt;
}

describe("outcomes of repeated attempts", () => {
  test.each([{ swept: [] }, { swept: ["a", "b", "c"] }])(
    "an increment whose key expired before its repeat answers what it made: swept $swept",
    ({ swept }) => {
      const trio = new Trio(hashes);
      const key = trio.keyOf("a");
      const operation = { opClient: 8, opSeq: 77 } as const;
      const change: Change = { type: "increment", by: 5, ttlMs: 50 };
      expect(trio.reply(trio.write(key, change, operation))).toMatchObject({ kind: "written", outcome: 5 });
      trio.run(100);
      for (const member of swept) trio.node(member).store.sweep(trio.now.wallMs, 100);

      const id = trio.write(key, change, { ...operation, attempt: 2 });
      trio.run(500);

      expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: 5 });
    },
  );

  test("a repeat that stores what expired meanwhile leaves replicas the increment's number", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    const operation = { opClient: 8, opSeq: 77 } as const;
    const change: Change = { type: "increment", by: 5, ttlMs: 50 };
    trio.write(key, change, operation);
    trio.run(100);
    for (const { store } of trio.nodes.values()) store.sweep(trio.now.wallMs, 100);
    trio.write(key, change, { ...operation, attempt: 2 });
    trio.run(500);

    expect(trio.a.operations.find(8, 77).number).toBe(5);
  });

  test.each([
    // One replica does not answer, so a tombstone is left.
    { what: "found nothing", prepare: (trio: Trio) => void trio.lost.add("c") },
    { what: "found what had expired", prepare: expire },
  ])("a delete that $what says so again when it is repeated", ({ prepare }) => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    prepare(trio, key);
    const operation = { opClient: 8, opSeq: 77 } as const;
    const first = trio.write(key, DELETE, operation);
    trio.run(500);
    expect(trio.reply(first)).toMatchObject({ kind: "written", outcome: false });

    const id = trio.write(key, DELETE, { ...operation, attempt: 2 });
    trio.run(500);

    expect(trio.reply(id)).toMatchObject({ kind: "written", outcome: false });
  });
});

describe("asynchronous deletes", () => {
  test("of what this node has swept reach those who still show it", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    const expiresAt = expire(trio, key);
    // By b's and c's clocks, behind by 200 ms, it lives.
    trio.node("a").store.sweep(trio.now.wallMs, 100);

    const id = trio.write(key, DELETE, { write: "async" });
    trio.run(500);

    expect(trio.reply(id)).toMatchObject({ kind: "written" });
    for (const member of ["b", "c"])
      expect(trio.node(member).store.get(slotOfKey(key), key, expiresAt - 1)).toBeUndefined();
  });

  test("of what this node has evicted reach those who hold it", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("a");
    const held = { ...valued("v", 1), key };
    for (const member of ["b", "c"]) trio.put(member, held);
    // What an eviction leaves.
    trio.a.store.raiseFloor(slotOfKey(key), held.version);

    const id = trio.write(key, DELETE, { write: "async" });
    trio.run(500);

    expect(trio.reply(id)).toMatchObject({ kind: "written" });
    expect(textOf(trio.reply(trio.get(key, "quorum")))).toBeUndefined();
  });
});

describe("clears", () => {
  test("are not acknowledged before the first replica, which answers alone, was given a moment", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    for (const member of ["a", "b", "c"]) trio.put(member, { ...valued("v", 1), key });
    // Slow by a few milliseconds, and in touch.
    trio.held.add("b");

    const id = trio.clear(key);
    trio.run(10);

    const isCleared = trio.reply(id)?.kind === "cleared";
    const { store, slots } = trio.node("b");
    const isShown =
      slots.isTrusted(slotOfKey(key)) && store.get(slotOfKey(key), key, trio.now.wallMs) !== undefined;
    expect({ isCleared, isShown }).not.toEqual({ isCleared: true, isShown: true });
  });

  test("neither is a write", () => {
    const trio = new Trio(hashes);
    const key = trio.keyOf("b");
    for (const member of ["a", "b", "c"]) trio.put(member, { ...valued("v", 1), key });
    trio.held.add("b");

    const id = trio.write(key, setTo("w"), { attempt: 1, isDecidedHere: true });
    trio.run(10);

    expect(trio.reply(id)).toBeUndefined();
  });
});

describe("hints", () => {
  test("slots to be pulled are not forgotten while their member cannot be reached, though it was told once", () => {
    const { hints, usable, options, store } = makeFixture(hashes);
    const b = "b" as MemberId;
    usable.delete("b");
    // One more than fits: its slot has to be pulled.
    for (let index = 0; index <= options.hintsPerTargetMax; index++) {
      const key = `key${index}`;
      store.merge(slotOfKey(key), entry({ key }), at(1_000).wallMs);
      hints.add(b, { key, slot: slotOfKey(key) }, at(1_000));
    }
    expect(hints.drain(b).slots).toHaveLength(1);
    // It comes up for a moment, and what it is told is lost with its link.
    usable.add("b");
    hints.replay(at(2_000));
    usable.delete("b");

    hints.replay(at(3_000 + options.hintWindowMs));

    const slot = slotOfKey(`key${options.hintsPerTargetMax}`);
    expect(hints.drain(b).slots).toContain(slot);
  });
});
