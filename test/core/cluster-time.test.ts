import { describe, expect, test } from "vitest";
import { ClusterTime } from "../../src/core/cluster-time.ts";

const WALL = 1_800_000_000_000;
const now = (monoMs: number, errorMs = 0) => ({ monoMs, wallMs: WALL + monoMs + errorMs });

describe("ClusterTime", () => {
  test("is the own wall clock plus the correction", () => {
    const time = new ClusterTime(now(0));
    expect(time.at(now(10))).toEqual(now(10));

    time.correct(-70);

    expect(time.at(now(20))).toEqual(now(20, -70));
  });

  test("does not follow a jump until the others' clocks were compared with it", () => {
    const time = new ClusterTime(now(0));
    time.correct(0);
    time.at(now(10));

    expect(time.at(now(20, 3_600_000))).toEqual(now(20));
    expect(time.at(now(1000, 3_600_000))).toEqual(now(1000));
    time.correct(-3_600_000);
    expect(time.at(now(1100, 3_600_000))).toEqual(now(1100));
  });

  test("follows no jump by what was measured before it, however long that is ago", () => {
    let jumps = 0;
    const time = new ClusterTime(now(0), () => jumps++);
    time.correct(0);
    time.at(now(10, 3_600_000));

    expect(time.at(now(5_000, 3_600_000))).toEqual(now(5_000));
    expect(jumps).toBe(1);
  });

  test("follows a jump after a second when nobody objects", () => {
    const time = new ClusterTime(now(0));
    time.correct(0);
    time.at(now(20, 5000));
    time.trustOwn();

    expect(time.at(now(1020, 5000))).toEqual(now(1020, 5000));
  });

  test("stays corrected when those it was compared with have gone, until it is set", () => {
    const time = new ClusterTime(now(0, 3_600_000));
    time.correct(-3_600_000);
    time.trustOwn();

    expect(time.at(now(60_000, 3_600_000))).toEqual(now(60_000));

    time.at(now(61_000));
    expect(time.at(now(61_500))).toEqual(now(61_500));
    time.trustOwn();
    expect(time.at(now(62_000))).toEqual(now(62_000));
    expect(time.skewMs).toBe(0);
  });

  test("holds on to nothing that was never compared, and does not know the time for a second after a jump", () => {
    const time = new ClusterTime(now(0, 3_600_000));
    expect(time.isKnown(now(10, 3_600_000))).toBe(true);

    time.trustOwn();
    expect(time.at(now(20))).toEqual(now(20));
    time.correct(-3_600_000);

    expect(time.isKnown(now(1_019))).toBe(false);
    expect(time.isKnown(now(1_020))).toBe(true);
  });

  test("follows no jump, and keeps its correction, while there is nothing to compare it with", () => {
    const time = new ClusterTime(now(0));
    time.correct(-70);
    time.correct(undefined);
    time.at(now(20, 5000));

    expect(time.at(now(60_000, 5000))).toEqual(now(60_000, -70));

    time.correct(-5070);
    expect(time.at(now(60_100, 5000))).toEqual(now(60_100, -70));
  });

  test("holds the time from before the first of several jumps", () => {
    const time = new ClusterTime(now(0));
    time.correct(-70);
    time.at(now(20, 5000));
    time.at(now(500, -5000));

    expect(time.at(now(1400, -5000))).toEqual(now(1400, -70));
  });
});
