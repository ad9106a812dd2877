import { describe, expect, test } from "vitest";
import { StallWatch } from "../../src/server/stall-watch.ts";

describe("StallWatch", () => {
  test("reports nothing while beats come on time", () => {
    const watch = new StallWatch(0);

    const beats = [100, 205, 299, 400].map((nowMs) => watch.beat(nowMs).stallMs);

    expect(beats).toEqual([0, 0, 0, 0]);
  });

  test("reports on the beat how late it is, once it is more than 100 ms late", () => {
    const watch = new StallWatch(0);

    expect(watch.beat(200)).toEqual({ lateMs: 100, stallMs: 0 });
    expect(watch.beat(401)).toEqual({ lateMs: 101, stallMs: 101 });
    expect(watch.beat(501)).toEqual({ lateMs: 0, stallMs: 0 });
  });

  test("reports a stall to whatever enters first after it", () => {
    const watch = new StallWatch(0);
    watch.beat(100);

    expect(watch.enter(5_100)).toBe(5_000);
    expect(watch.enter(5_100)).toBe(0);
  });

  test("does not report on the beat what an entry has reported", () => {
    const watch = new StallWatch(0);
    watch.beat(100);
    watch.enter(5_100);

    expect(watch.beat(5_110)).toEqual({ lateMs: 4_910, stallMs: 0 });
  });

  test("reports on the beat what came after the stall that an entry has reported", () => {
    const watch = new StallWatch(0);
    watch.beat(100);
    watch.enter(1_100);

    expect(watch.beat(1_900).stallMs).toBe(700);
  });

  test("sees on the beat a stall that entries hide because each took less than the limit", () => {
    const watch = new StallWatch(0);

    const entries = [150, 300, 450, 600].map((nowMs) => watch.enter(nowMs));

    expect(entries).toEqual([0, 0, 0, 0]);
    expect(watch.beat(610).stallMs).toBe(510);
  });

  test("takes an idle loop for no stall", () => {
    const watch = new StallWatch(0);
    watch.beat(100);

    expect(watch.enter(199)).toBe(0);
    expect(watch.enter(299)).toBe(0);
  });
});
