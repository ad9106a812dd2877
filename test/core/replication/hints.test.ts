import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import { NO_OPERATION } from "../../../src/core/replication/operations.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, entry, makeFixture, sent, version } from "./fixture.ts";

const TARGET = "b" as MemberId;
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function withHints(keys: readonly string[]) {
  const fixture = makeFixture(hashes);
  fixture.usable.delete(TARGET);
  for (const key of keys) {
    fixture.store.merge(slotOfKey(key), entry({ key }), at(0).wallMs);
    fixture.hints.add(TARGET, { key, slot: slotOfKey(key) }, at(0));
  }
  fixture.outbox.take();
  return fixture;
}

describe("Hints", () => {
  test("replays the newest version of a key once the target is back", () => {
    const { hints, store, usable, outbox } = withHints(["k"]);
    store.merge(slotOfKey("k"), entry({ version: version(3) }), at(3).wallMs);
    hints.add(TARGET, { key: "k", slot: slotOfKey("k") }, at(3));
    hints.replay(at(10));
    expect(sent(outbox.take())).toEqual([]);

    usable.add(TARGET);
    hints.replay(at(20));

    const messages = sent(outbox.take());
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject([
      TARGET,
      { kind: "replicate", purpose: "hint", entry: { version: version(3) } },
    ]);
  });

  test("has four messages under way while callers have to wait, and the others when they no longer do", () => {
    const { hints, usable, outbox, busy } = withHints(["k1", "k2", "k3", "k4", "k5"]);
    usable.add(TARGET);

    busy.isBusy = true;
    hints.replay(at(20));
    expect(sent(outbox.take())).toHaveLength(4);
    busy.isBusy = false;
    hints.replay(at(30));

    expect(sent(outbox.take())).toHaveLength(1);
  });

  test("forgets a hint when the target has it, and not before", () => {
    const { hints, usable, outbox } = withHints(["k"]);
    usable.add(TARGET);
    hints.replay(at(20));
    const [, message] = sent(outbox.take())[0]!;
    const id = (message as { id: number }).id;
    expect(hints.drain(TARGET).isDrained).toBe(false);

    hints.replicated(
      TARGET,
      { kind: "replicated", id, status: "stored", counts: true, heldVersion: 0 },
      at(21),
    );

    expect(hints.drain(TARGET)).toEqual({ isDrained: true, slots: [] });
    expect(hints.count).toBe(0);
    expect(hints.bytes).toBe(0);
  });

  test("keeps a hint whose key was written again while it was on its way", () => {
    const { hints, store, usable, outbox } = withHints(["k"]);
    usable.add(TARGET);
    hints.replay(at(20));
    const [, message] = sent(outbox.take())[0]!;
    const id = (message as { id: number }).id;
    store.merge(slotOfKey("k"), entry({ version: version(3) }), at(20).wallMs);

    const stored = { kind: "replicated", id, status: "stored", counts: true, heldVersion: 0 } as const;
    hints.replicated(TARGET, stored, at(21));

    expect(sent(outbox.take())).toMatchObject([[TARGET, { entry: { version: version(3) } }]]);
    expect(hints.count).toBe(1);
  });

  test("sends again what was not answered", () => {
    const { hints, usable, outbox } = withHints(["k"]);
    usable.add(TARGET);
    hints.replay(at(20));
    outbox.take();

    hints.replay(at(500));
    expect(sent(outbox.take())).toEqual([]);
    hints.replay(at(1_500));

    expect(sent(outbox.take())).toHaveLength(1);
  });

  test("marks the slot for a sync at the bound and never refuses", () => {
    const keys = ["1", "2", "3", "4", "5", "6", "7"];
    const { hints } = withHints(keys);

    expect(hints.count).toBe(5);
    expect(hints.drain(TARGET).slots).toEqual([slotOfKey("6"), slotOfKey("7")].sort((a, b) => a - b));
  });

  test("takes the room of hints from the budget for entries, gives it back, and takes no more than its share", () => {
    const fixture = makeFixture(hashes);
    const reserved: number[] = [];
    fixture.store.reserve = (bytes) => {
      if (bytes > 1_000) return false;
      reserved.push(bytes);
      return true;
    };
    for (const key of ["1", "2", "3", "4"]) {
      fixture.store.merge(slotOfKey(key), entry({ key }), at(0).wallMs);
      fixture.hints.add(TARGET, { key, slot: slotOfKey(key) }, at(0));
    }

    expect(fixture.hints.count).toBe(3);
    expect(reserved.at(-1)).toBe(fixture.hints.bytes);
    expect(fixture.hints.drain(TARGET).slots).toEqual([slotOfKey("4")]);
    fixture.hints.replay(at(600_001));
    expect(reserved.at(-1)).toBe(0);
  });

  test("turns hints past the window into a sync of their slot", () => {
    const { hints } = withHints(["k"]);

    hints.replay(at(600_001));

    expect(hints.count).toBe(0);
    expect(hints.drain(TARGET)).toEqual({ isDrained: true, slots: [slotOfKey("k")] });
  });

  test("turns a hint whose key is no longer held here into a sync of its slot: it may have been deleted", () => {
    const { hints, store, usable } = withHints(["k"]);
    store.drop(slotOfKey("k"));
    store.raiseFloor(slotOfKey("k"), version(3));
    usable.add(TARGET);

    hints.replay(at(20));

    expect(hints.count).toBe(0);
    expect(hints.drain(TARGET)).toEqual({ isDrained: true, slots: [slotOfKey("k")] });
  });

  test("tells the target of a slot that it missed again after it was told of it, however long ago the first time was", () => {
    const { hints, usable, outbox } = withHints(["1", "2", "3", "4", "5", "6"]);
    const slot = slotOfKey("6");
    usable.add(TARGET);
    hints.replay(at(10));
    expect(sent(outbox.take())).toContainEqual([TARGET, expect.objectContaining({ slots: [slot] })]);

    usable.delete(TARGET);
    hints.add(TARGET, { key: "6", slot }, at(599_000));
    hints.replay(at(600_100));

    expect(hints.drain(TARGET).slots).toContain(slot);
  });

  test("drops what is for a member that is gone for good", () => {
    const { hints, gone, outbox } = withHints(["k"]);
    gone.add(TARGET);

    hints.replay(at(100));

    expect(hints.count).toBe(0);
    expect(outbox.take()).toContainEqual({
      kind: "event",
      event: { type: "hintsDropped", target: TARGET, count: 1, reason: "gone" },
    });
  });

  test("tells the other replicas of slots that were cleared by the word of a member that is none of them", () => {
    const { hints, outbox } = makeFixture(hashes);
    const slot = slotOfKey("k");

    hints.keepClears("d" as MemberId, [slot], version(1));
    hints.replay(at(10));

    const told = sent(outbox.take());
    expect(told.map(([to]) => to).sort()).toEqual(["b", "c"]);
    for (const [, message] of told)
      expect(message).toMatchObject({ kind: "clearReplica", slots: [slot], version: version(1) });
  });

  test("tells nobody of slots that were cleared by the word of a replica: when it is gone, the others compare them", () => {
    const { hints } = makeFixture(hashes);

    hints.keepClears(TARGET, [slotOfKey("k")], version(1));

    expect(hints.count).toBe(0);
  });

  test("hands over a cleared slot and repeats it until it is acknowledged", () => {
    const { hints, usable, outbox } = withHints([]);
    hints.addClear(TARGET, slotOfKey("k"), { version: version(1), ...NO_OPERATION });
    usable.add(TARGET);

    hints.replay(at(10));
    outbox.take();
    hints.replay(at(2_000));

    const [, message] = sent(outbox.take())[0]!;
    expect(message).toMatchObject({ kind: "clearReplica", slots: [slotOfKey("k")], version: version(1) });
    const id = (message as { id: number }).id;
    const reply = {
      kind: "clearReplicaReply",
      id,
      status: "ok",
      counts: [true],
      newest: 0,
      known: 0,
    } as const;
    hints.clearReplied(TARGET, reply, at(2_010));
    expect(hints.drain(TARGET).isDrained).toBe(true);
  });
});
