// Alarms against a list that is searched.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Alarmed, Alarms } from "../../src/base/alarms.ts";

interface Item extends Alarmed {
  readonly name: number;
}

function item(name: number): Item {
  const fields = { alarmPrevious: undefined, alarmNext: undefined, alarmOrder: 0 };
  return { name, alarmMs: Number.POSITIVE_INFINITY, ...fields };
}

describe("Alarms", () => {
  test("rings in order of time, then of setting, and never twice", () => {
    const alarms = new Alarms<Item>();
    const items = [0, 1, 2, 3].map(item);
    for (const [index, atMs] of [50, 10, 50, 10.5].entries()) alarms.set(items[index]!, atMs);

    expect(alarms.deadline()).toBe(10);
    expect(alarms.takeDue(9).length).toBe(0);
    expect(alarms.takeDue(50).map(({ name }) => name)).toEqual([1, 3, 0, 2]);
    expect(alarms.takeDue(1_000)).toEqual([]);
    expect(alarms.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("agrees with a search through all alarms after any calls", () => {
    const step = fc.record({
      call: fc.constantFrom("set", "set", "set", "clear", "take"),
      name: fc.integer({ min: 0, max: 7 }),
      ms: fc.integer({ min: 0, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const alarms = new Alarms<Item>();
        const items = Array.from({ length: 8 }, (_, name) => item(name));
        const model = new Map<number, { atMs: number; order: number }>();
        let nowMs = 0;

        for (const [order, { call, name, ms }] of steps.entries()) {
          if (call === "set") {
            alarms.set(items[name]!, nowMs + ms);
            model.set(name, { atMs: nowMs + ms, order });
          } else if (call === "clear") {
            alarms.clear(items[name]!);
            model.delete(name);
          } else {
            nowMs += ms;
            const due = [...model].filter(([, { atMs }]) => atMs <= nowMs);
            due.sort(([, a], [, b]) => a.atMs - b.atMs || a.order - b.order);
            for (const [dueName] of due) model.delete(dueName);
            expect(alarms.takeDue(nowMs).map((taken) => taken.name)).toEqual(due.map(([dueName]) => dueName));
          }
          const earliest = Math.min(...[...model.values()].map(({ atMs }) => atMs));
          // Early is allowed, late is not; and with no alarm there is no deadline.
          expect(alarms.deadline()).toBeLessThanOrEqual(earliest);
          if (model.size === 0) expect(alarms.deadline()).toBe(Number.POSITIVE_INFINITY);
        }
      }),
    );
  });

  test("has no deadline that comes again after a tick found nothing due", () => {
    const alarms = new Alarms<Item>();
    const [first, second] = [item(1), item(2)];
    alarms.set(first, 3);
    alarms.set(second, 12);
    alarms.clear(first);

    expect(alarms.takeDue(3)).toEqual([]);
    expect(alarms.deadline()).toBe(12);
  });
});
