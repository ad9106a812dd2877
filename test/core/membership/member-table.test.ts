import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { addWitness, MemberTable } from "../../../src/core/membership/member-table.ts";
import { GENERATION, recordOf } from "./records.ts";

const id = (name: string) => name as MemberId;
const tableOf = (...names: readonly string[]) => {
  const table = new MemberTable(recordOf("me"), 0);
  for (const name of names) table.put(recordOf(name), 0);
  return table;
};
const ids = (members: readonly { record: { id: string } }[]) => members.map(({ record }) => record.id);

describe("MemberTable", () => {
  test("MemberTable lists members by id whatever the order they came in", () => {
    const table = tableOf("z", "b", "a");
    table.put(recordOf("b", { liveness: "dead" }), 5);
    table.put(recordOf("a", { ringState: "left" }), 5);

    expect(ids(table.all())).toEqual(["a", "b", "me", "z"]);
    expect(ids(table.peers())).toEqual(["b", "z"]);
    expect(ids(table.livePeers())).toEqual(["z"]);
    expect(ids(table.deadPeers())).toEqual(["b"]);
    expect(table.clusterSize).toBe(3);
  });

  test("MemberTable counts who is out right through boots and forgetting", () => {
    const table = tableOf("a", "b");
    table.put(recordOf("a", { ringState: "evicted" }), 1);
    expect(table.clusterSize).toBe(2);

    table.put(recordOf("a", { generation: GENERATION + 1, ringState: "joining" }), 2);
    expect(table.clusterSize).toBe(3);

    table.put(recordOf("b", { ringState: "left" }), 3);
    table.delete(id("b"));
    expect(table.clusterSize).toBe(2);
  });

  test("MemberTable remembers since when a member says the same of its life, whatever else changes", () => {
    const table = tableOf("a");
    table.put(recordOf("a", { liveness: "dead" }), 10);
    table.put(recordOf("a", { liveness: "dead", ringSeq: 1 }), 20);

    expect(table.get(id("a"))?.livenessSinceMs).toBe(10);
  });

  test("MemberTable forgets witnesses of an earlier incarnation, and keeps at most 16", () => {
    const table = tableOf("a");
    const member = table.put(recordOf("a", { liveness: "dead" }), 10);
    for (let index = 0; index < 40; index++) addWitness(member, id(`w${index}`));
    addWitness(member, id("a"));
    expect(member.witnesses.size).toBe(16);

    table.put(recordOf("a", { incarnation: 1 }), 20);

    expect(member.witnesses.size).toBe(0);
  });

  test("MemberTable raises its version with every change", () => {
    const table = tableOf("a");
    const before = table.version;

    table.put(recordOf("a", { ringSeq: 1 }), 1);
    table.delete(id("a"));
    table.delete(id("a"));

    expect(table.version).toBe(before + 2);
  });
});
