// The line about a change of the ring, compared as text.

import { describe, expect, test } from "vitest";
import type { MemberId } from "../../src/base/ids.ts";
import { changeLine } from "../../src/cli/change-line.ts";
import type { ChangeStatus } from "../../src/core/change-status.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import { aStatus } from "../server/fakes.ts";

const NONE: ChangeStatus = {
  ...{ phase: "none", entering: [], going: [], moving: [], waitingFor: [] },
  ...{ slotsDone: 0, slotsTotal: 0, elapsedMs: 0 },
};

function lineOf(...changes: readonly Partial<ChangeStatus>[]): string | undefined {
  const all = changes.map((change, index) =>
    aStatus({ id: `n${index}` as MemberId, change: { ...NONE, ...change } }),
  );
  return changeLine({ asked: all[0]!, answers: new Map(all.map((status) => [status.id, status])) });
}

describe("changeLine", () => {
  test("says nothing when nothing changes, nor of nodes that do not tell", () => {
    expect(lineOf({}, {})).toBeUndefined();
    const { change: _change, ...older } = aStatus({});
    expect(changeLine({ asked: older as NodeStatus, answers: new Map() })).toBeUndefined();
  });

  test("adds up the nodes' slots, and goes by the slowest for the time left", () => {
    const change = {
      phase: "rehearsing",
      entering: ["n3" as MemberId],
      going: ["n1" as MemberId],
      waitingFor: ["n3" as MemberId],
    } as const;

    const line = lineOf(
      { ...change, slotsDone: 900, slotsTotal: 1_000, elapsedMs: 9_000 },
      { ...change, slotsDone: 200, slotsTotal: 1_000, elapsedMs: 9_000 },
    );

    expect(line).toBe(
      "REHEARSING the next ring: n3 to enter; n1 to go; 1,100 of 2,000 slots copied, about 36.0 s left; waiting for n3",
    );
  });

  test("names no time before a node has copied a first slot", () => {
    expect(lineOf({ phase: "settling", slotsTotal: 10, elapsedMs: 900 })).toBe(
      "SETTLING into the new ring: 0 of 10 slots copied",
    );
  });

  test("tells of a change that only another node knows of yet", () => {
    expect(lineOf({}, { phase: "settling", waitingFor: ["n1" as MemberId] })).toBe(
      "SETTLING into the new ring: waiting for n1",
    );
  });
});
