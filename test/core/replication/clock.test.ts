import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HybridClock, isTooFarAhead, stampOf, wallMsOf } from "../../../src/core/replication/clock.ts";

const NOW = 1_800_000_000_000;

describe("HybridClock", () => {
  test("issues strictly increasing stamps whatever the wall clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -100_000, max: 100_000 }), { minLength: 2 }), (jumps) => {
        const clock = new HybridClock(500);
        let wallMs = NOW;
        let last = 0;
        for (const jump of jumps) {
          wallMs += jump;
          const stamp = clock.next(wallMs);
          expect(stamp).toBeGreaterThan(last);
          expect(Number.isSafeInteger(stamp)).toBe(true);
          last = stamp;
        }
      }),
    );
  });

  test("issues stamps above everything it observed", () => {
    const clock = new HybridClock(500);
    const remote = stampOf(NOW + 400) + 17;

    clock.observe(remote, NOW);

    expect(clock.next(NOW)).toBe(remote + 1);
  });

  test("follows the wall clock when that is ahead", () => {
    const clock = new HybridClock(500);
    clock.next(NOW);

    expect(clock.next(NOW + 5)).toBe(stampOf(NOW + 5));
    expect(wallMsOf(stampOf(NOW + 5))).toBe(NOW + 5);
  });

  test("does not follow a stamp that only a wrong clock can have issued", () => {
    const clock = new HybridClock(500);

    clock.observe(stampOf(NOW + 1501), NOW);

    expect(clock.next(NOW)).toBe(stampOf(NOW));
  });

  test("comes back to the cluster's time when its stamps have been beyond belief for a second", () => {
    const clock = new HybridClock(500);
    clock.next(NOW + 3_600_000);

    clock.review({ monoMs: 0, wallMs: NOW });
    clock.review({ monoMs: 900, wallMs: NOW + 900 });
    expect(clock.next(NOW + 900)).toBeGreaterThan(stampOf(NOW + 3_600_000));
    clock.review({ monoMs: 1100, wallMs: NOW + 1100 });

    expect(clock.next(NOW + 1100)).toBe(stampOf(NOW + 1100) + 1);
  });

  test("isTooFarAhead draws the line at the allowed skew", () => {
    const clock = { wallMs: NOW, skewMsMax: 500, held: 0 };
    expect(isTooFarAhead(stampOf(NOW + 500), clock)).toBe(false);
    expect(isTooFarAhead(stampOf(NOW + 501), clock)).toBe(true);
  });

  test("isTooFarAhead lets pass what follows the version held", () => {
    const clock = { wallMs: NOW, skewMsMax: 500, held: stampOf(NOW + 3_600_000) };

    expect(isTooFarAhead(clock.held + 1, clock)).toBe(false);
    expect(isTooFarAhead(stampOf(NOW + 3_600_501), clock)).toBe(true);
  });

  test("goes above a version that is held, and does not follow it", () => {
    const clock = new HybridClock(500);
    const held = stampOf(NOW + 3_600_000);

    expect(clock.next(NOW, held)).toBe(held + 1);
    expect(clock.next(NOW)).toBe(stampOf(NOW) + 1);
  });

  test("tells when its stamps are beyond belief", () => {
    const clock = new HybridClock(500);
    clock.next(NOW + 3_600_000);

    expect(clock.isBeyondBelief(NOW)).toBe(true);
    expect(clock.isBeyondBelief(NOW + 3_600_000)).toBe(false);
  });

  test("stamps stay safe integers for decades", () => {
    expect(Number.isSafeInteger(stampOf(Date.UTC(2090, 0, 1)) + 4095)).toBe(true);
  });
});
