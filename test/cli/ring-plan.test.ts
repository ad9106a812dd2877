// What a change of the ring would move: the plan against the ring's own tables, and the plan as text.

import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { type MemberId, SLOT_COUNT, type Slot } from "../../src/base/ids.ts";
import { type MemberLoad, planChange, type RingPlanInput } from "../../src/cli/ring-plan.ts";
import { renderPlan } from "../../src/cli/ring-text.ts";
import { parseSimulated } from "../../src/cli/simulate.ts";
import { Ring, type RingMember, ringParameters } from "../../src/core/ring/ring.ts";
import { loadHashes } from "../../src/io/hashes.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function member(number: number): RingMember {
  return { id: `node-${number}` as MemberId, weight: 1, zone: "" };
}

function loads(entries: number, pace = { entries: 0, bytes: 0, ms: 0 }): Map<MemberId, MemberLoad> {
  return new Map([1, 2, 3].map((number) => [member(number).id, { entries, bytes: entries * 150, pace }]));
}

function planOf(over: Partial<RingPlanInput>) {
  const members = [1, 2, 3].map(member);
  return planChange({ members, replicas: 3, add: [], remove: [], loads: loads(16_384), ...over }, hashes);
}

describe("planChange", () => {
  test("moves to a newcomer what the tables say, at the size of what the nodes hold", () => {
    const plan = planOf({ add: [member(4)] });

    const to = Ring.build([1, 2, 3, 4].map(member), ringParameters(3), hashes);
    const gained = to.slotsReplicatedBy(member(4).id);
    expect(plan).toMatchObject({ ringIdAfter: to.id, replicas: 3, slotCopies: 3 * SLOT_COUNT });
    // One entry a slot on every node: as many entries as slots.
    expect(plan).toMatchObject({ slotsMoved: gained, entriesMoved: gained, bytesMoved: gained * 150 });
    const newcomer = plan.members.find(({ id }) => id === "node-4");
    expect(newcomer).toMatchObject({ before: undefined, slotsGained: gained, entriesReceived: gained });
    const others = plan.members.filter(({ id }) => id !== "node-4");
    expect(others.reduce((sum, { slotsLost }) => sum + slotsLost, 0)).toBe(gained);
    expect(others.every(({ after }) => after!.entries === after!.slotsReplicated)).toBe(true);
  });

  test("moves a member to another place, and says which", () => {
    const heavier = { ...member(2), weight: 2, zone: "b" };
    const members = [1, 2, 3, 4].map(member);
    const plan = planOf({ members, add: [heavier], remove: [heavier.id] });

    const [from, to] = [members, [...members.filter(({ id }) => id !== heavier.id), heavier]].map((list) =>
      Ring.build(list, ringParameters(3), hashes),
    );
    expect(plan).toMatchObject({ ringIdBefore: from!.id, ringIdAfter: to!.id, moved: [heavier] });
    expect(plan.members).toHaveLength(4);
    expect(plan.slotsMoved).toBe(plan.members.reduce((sum, { slotsGained }) => sum + slotsGained, 0));
    expect(renderPlan(plan)[0]).toContain("node-2 would have weight 2 in zone b: ring");
  });

  test("counts what the others receive when a member goes, and its own place only before", () => {
    const members = [1, 2, 3, 4].map(member);
    const plan = planOf({ members, remove: [member(4).id] });

    const [from, to] = [members, members.slice(0, 3)].map((list) =>
      Ring.build(list, ringParameters(3), hashes),
    );
    const received = plan.members.reduce((sum, { slotsGained }) => sum + slotsGained, 0);
    expect(received).toBe(plan.slotsMoved);
    expect(received).toBe(from!.slotsReplicatedBy(member(4).id));
    expect(plan.members.find(({ id }) => id === "node-4")).toMatchObject({ after: undefined });
    for (let slot = 0; slot < SLOT_COUNT; slot += 997) expect(to!.ownerOf(slot as Slot)).not.toBe("node-4");
  });

  test("moves nothing when the copies that are left are there already", () => {
    expect(planOf({ remove: [member(3).id] })).toMatchObject({ replicas: 2, slotsMoved: 0, seconds: 0 });
  });

  test("estimates the time by the cluster's slowest copy, and by the benchmark's without one", () => {
    const pace = { entries: 10_000, bytes: 1, ms: 2_000 };

    const measured = planOf({ add: [member(4)], loads: loads(1_638_400, pace) });
    const guessed = planOf({ add: [member(4)], loads: loads(1_638_400, { ...pace, entries: 10 }) });

    expect(measured.rate).toMatchObject({ entriesPerSecond: 5_000, measuredAt: "node-1" });
    expect(measured.seconds).toBeCloseTo(measured.entriesMoved / 5_000);
    expect(guessed.rate.measuredAt).toBeUndefined();
  });

  test("goes by the others' mean for a member that did not answer", () => {
    const silent = loads(16_384);
    silent.delete(member(2).id);

    const plan = planOf({ add: [member(4)], loads: silent });

    expect(plan.entriesMoved).toBe(plan.slotsMoved);
    expect(plan.members.find(({ id }) => id === "node-2")?.before?.entries).toBe(16_384);
  });
});

describe("renderPlan", () => {
  test("says what moves, to whom, and on which measurement the time rests", () => {
    const pace = { entries: 20_000, bytes: 1, ms: 2_000 };

    const text = renderPlan(planOf({ add: [member(4)], loads: loads(1_638_400, pace) })).join("\n");

    expect(text).toMatch(
      /^node-4 would enter: ring [0-9a-f]{16} to [0-9a-f]{16}, 3 copies of each key\. Nothing/,
    );
    expect(text).toMatch(
      /node-4 +- → 4,\d{3} +- → 12,\d{3} +- → 2\d\.\d % +- → .* MiB +12,\d{3} slots, 1,2\d\d,\d{3} keys, /,
    );
    expect(text).toMatch(
      /moves {2}12,\d{3} of 49,152 copies of slots \(2\d\.\d %, ideal 25\.0 %\): about 1,2/,
    );
    expect(text).toMatch(/time {3}about 2 min at 10,000 keys a second .*node-1 copied 20,000 keys in 2\.0 s/);
  });
});

describe("parseSimulated", () => {
  test.each([
    [["add", "2"], { verb: "add", count: 2 }],
    [["add 2"], { verb: "add", count: 2 }],
    [["add"], { verb: "add", count: 1 }],
    [["remove", "node-3"], { verb: "remove", name: "node-3" }],
  ])("reads %j", (words, expected) => {
    expect(parseSimulated(words)).toEqual(expected);
  });

  test.each([
    [["add", "0"]],
    [["add", "x"]],
    [["add", "257"]],
    [["remove"]],
    [["kill", "node-1"]],
    [["add", "1", "2"]],
    [[""]],
  ])("refuses %j", (words) => {
    expect(() => parseSimulated(words)).toThrow(/--simulate must be/);
  });
});
