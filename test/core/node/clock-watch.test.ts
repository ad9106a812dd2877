import { describe, expect, test } from "vitest";
import { ClusterTime } from "../../../src/core/cluster-time.ts";
import type { PeerLinks } from "../../../src/core/links.ts";
import type { Now } from "../../../src/core/machine.ts";
import { ClockWatch } from "../../../src/core/node/clock-watch.ts";
import type { Cluster } from "../../../src/core/node/cluster.ts";
import { HybridClock } from "../../../src/core/replication/clock.ts";
import { Outbox } from "../../../src/core/replication/outbox.ts";

const at = (ms: number): Now => ({ monoMs: ms, wallMs: 1_800_000_000_000 + ms });

/** A watch of a process that started at 0, in a ring of so many, and what its heartbeats measured. */
function makeWatch(members = 3) {
  const measured = { skewMs: undefined as number | undefined };
  const outbox = new Outbox((member) => `${member}:1`);
  const time = new ClusterTime(at(0));
  const cluster = { ring: { members: Array.from({ length: members }) } };
  const watch = new ClockWatch(
    {
      time,
      links: { clusterSkewMs: () => measured.skewMs } as unknown as PeerLinks,
      clock: new HybridClock(500),
      cluster: cluster as unknown as Cluster,
      outbox,
      clockSkewMsMax: 500,
    },
    at(0),
  );
  return { watch, measured, outbox, time, cluster };
}

describe("ClockWatch", () => {
  test("gives no versions after a start before its clock was compared, and does as soon as it was", () => {
    const { watch, measured } = makeWatch();
    expect(watch.heard()).toBe(false);
    expect(watch.writeObstacle(at(5))).toMatch("not compared");
    expect(watch.isTimeKnown(at(5))).toBe(false);

    measured.skewMs = 3;
    expect(watch.heard()).toBe(true);

    expect(watch.writeObstacle(at(5))).toBeUndefined();
    expect(watch.isTimeKnown(at(5))).toBe(true);
    expect(watch.heard()).toBe(false);
  });

  test("finds at once that its clock is off", () => {
    const { watch, measured, outbox } = makeWatch();

    measured.skewMs = 3_165;
    watch.heard();

    expect(watch.writeObstacle(at(5))).toMatch("too far");
    expect(outbox.take()).toMatchObject([{ event: { type: "clockOff", skewMs: 3_165, isOff: true } }]);
  });

  test("waits a second for others to compare with, and not for later silence", () => {
    const { watch, measured } = makeWatch();
    expect(watch.writeObstacle(at(999))).toBeDefined();
    expect(watch.writeObstacle(at(1_000))).toBeUndefined();

    measured.skewMs = 0;
    watch.review();
    measured.skewMs = undefined;
    watch.review();

    expect(watch.writeObstacle(at(500))).toBeUndefined();
  });

  test("waits until others were measured anew when its clock was set before they were compared", () => {
    const { watch, measured, time } = makeWatch();
    time.at({ ...at(100), wallMs: at(3_600_100).wallMs });

    measured.skewMs = -3_600_000;
    watch.heard();

    expect(watch.isTimeKnown(at(1_099))).toBe(false);
    expect(watch.isTimeKnown(at(1_100))).toBe(true);
  });

  test("keeps its correction when its ring shrinks to two, and gives no versions until its clock is set", () => {
    const { watch, measured, time, cluster } = makeWatch();
    measured.skewMs = -3_600_000;
    watch.heard();

    measured.skewMs = undefined;
    cluster.ring.members.length = 2;
    watch.review();

    expect(time.at(at(100)).wallMs).toBe(at(100).wallMs - 3_600_000);
    expect(watch.skewMs).toBe(-3_600_000);
    expect(watch.writeObstacle(at(100))).toMatch("too far");

    const right = (ms: number) => ({ ...at(ms), wallMs: at(ms).wallMs - 3_600_000 });
    time.at(right(200));
    watch.review();
    expect(time.at(right(2_000))).toEqual(right(2_000));
    expect(watch.writeObstacle(right(2_000))).toBeUndefined();
  });

  test("waits for nobody in a ring of two, where nobody can say which clock is wrong", () => {
    expect(makeWatch(2).watch.writeObstacle(at(0))).toBeUndefined();
  });
});
