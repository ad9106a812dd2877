// The members table and the verdict, compared as text.

import { describe, expect, test } from "vitest";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import { type ClusterView, renderMembers, renderVerdict } from "../../src/cli/members-table.ts";
import type { MemberStatus, NodeStatus } from "../../src/core/status.ts";

function member(id: string, patch: Partial<MemberStatus> = {}): MemberStatus {
  return {
    id: id as MemberId,
    address: `127.0.0.1:740${id.at(-1)}`,
    zone: "",
    weight: 1,
    liveness: "alive",
    ringState: "active",
    isReachable: true,
    isSettled: true,
    slotsOwned: 8192,
    slotsReplicated: 16384,
    share: 0.5,
    shareIdeal: 0.5,
    ...patch,
  };
}

function status(id: string, members: readonly MemberStatus[], patch: Partial<NodeStatus> = {}): NodeStatus {
  return {
    id: id as MemberId,
    address: "127.0.0.1:7401",
    clusterName: "ringhold",
    genesisId: "g",
    ringId: "0123456789abcdef" as RingId,
    replicas: 3,
    uptimeMs: 4200,
    isReady: true,
    isSafe: true,
    verdict: "SAFE: every slot has all its copies",
    members,
    change: {
      phase: "none",
      entering: [],
      going: [],
      moving: [],
      waitingFor: [],
      slotsDone: 0,
      slotsTotal: 0,
      elapsedMs: 0,
    },
    copied: { entriesTotal: 0, bytesTotal: 0, largest: { entries: 0, bytes: 0, ms: 0 } },
    slotsWarming: 0,
    slotsUnderReplicated: 0,
    hints: { count: 0, bytes: 0 },
    pending: 0,
    clockSkewMs: 0,
    store: {
      entries: 12345,
      tombstones: 0,
      bytes: 1536,
      bytesMax: 268435456,
      evictionsTotal: 0,
      expirationsTotal: 0,
    },
    ...patch,
  };
}

function viewOf(asked: NodeStatus, ...others: NodeStatus[]): ClusterView {
  return { asked, answers: new Map([asked, ...others].map((answer) => [answer.id, answer])) };
}

describe("renderMembers", () => {
  test("shows each member with its own figures, and a dash for what a silent one did not tell", () => {
    const members = [member("node-1", { zone: "a" }), member("node-2", { liveness: "dead" })];
    const unsafe = { isSafe: false, verdict: "DEGRADED: 16384 slots lack a copy" };

    const lines = renderMembers(viewOf(status("node-1", members, unsafe)));

    expect(lines).toEqual([
      "node    state   zone  slots  copies   share   ideal    keys               memory  uptime  address",
      "node-1  active  a     8,192  16,384  50.0 %  50.0 %  12,345  1.5 KiB / 256.0 MiB   4.2 s  127.0.0.1:7401",
      "node-2  dead    -     8,192  16,384  50.0 %  50.0 %       -                    -       -  127.0.0.1:7402",
      "",
      "DEGRADED: 16384 slots lack a copy",
    ]);
  });

  test("adds the processes of a local cluster, with those that are no members", () => {
    const view = {
      ...viewOf(status("node-1", [member("node-1")])),
      processes: new Map([
        ["node-1", { pid: 17, state: "paused" }],
        ["node-2", { pid: undefined, state: "gone" }],
      ] as const),
    };

    const [, first, second] = renderMembers(view);

    expect(first).toMatch(/^node-1 {2}paused .* 17$/);
    expect(second).toBe("node-2  stopped");
  });

  test("leaves out members that left or were evicted", () => {
    const members = [member("node-1"), member("node-2", { ringState: "left" })];

    expect(renderMembers(viewOf(status("node-1", members))).join("\n")).not.toContain("node-2");
  });

  test.each([
    ["warming", { ringState: "warming" }],
    ["suspect", { liveness: "suspect" }],
    ["filling", { isSettled: false }],
    ["joining", { ringState: "joining" }],
    ["leaving", { ringState: "leaving" }],
  ] as const)("says %s when the member is that", (word, patch) => {
    const [, line] = renderMembers(viewOf(status("node-1", [member("node-1", patch)])));

    expect(line?.split(/ +/)[1]).toBe(word);
  });
});

describe("renderVerdict", () => {
  test("is the doubter's when any node that answered does not see all as safe", () => {
    const members = [member("node-1"), member("node-2")];
    const doubter = status("node-2", members, { isSafe: false, verdict: "7 slots are being filled" });

    expect(renderVerdict(viewOf(status("node-1", members), doubter))).toBe(
      "DEGRADED: 7 slots are being filled (as node-2 sees it)",
    );
    expect(renderVerdict(viewOf(status("node-1", members)))).toBe("SAFE: every slot has all its copies");
  });
});
