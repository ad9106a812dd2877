import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Due, DueQueue } from "../../../src/core/store/due-queue.ts";

function due(dueAt: number): Due {
  return { dueAt, dueIndex: -1 };
}

describe("DueQueue", () => {
  test("is due never when it is empty", () => {
    const queue = new DueQueue();

    expect([queue.size, queue.peek(), queue.nextDueAt]).toEqual([0, undefined, Number.POSITIVE_INFINITY]);
  });

  test("equals a sorted list after any sequence of additions and removals", () => {
    // A number below 0 removes the item that was added so many steps ago, if it is still there.
    const steps = fc.array(fc.integer({ min: -10, max: 10 }), { maxLength: 100 });

    fc.assert(
      fc.property(steps, (numbers) => {
        const queue = new DueQueue<Due>();
        const added: Due[] = [];
        let present: Due[] = [];
        for (const number of numbers) {
          const victim = number < 0 ? added.at(number) : undefined;
          if (victim !== undefined && present.includes(victim)) {
            queue.remove(victim);
            present = present.filter((item) => item !== victim);
            expect(victim.dueIndex).toBe(-1);
          } else {
            const item = due(Math.abs(number));
            queue.add(item);
            added.push(item);
            present.push(item);
          }
          const dues = present.map((item) => item.dueAt).sort((a, b) => a - b);
          expect([queue.size, queue.nextDueAt]).toEqual([dues.length, dues[0] ?? Number.POSITIVE_INFINITY]);
        }
        const drained: number[] = [];
        for (let item = queue.peek(); item !== undefined; item = queue.peek()) {
          queue.remove(item);
          drained.push(item.dueAt);
        }
        expect(drained).toEqual(present.map((item) => item.dueAt).sort((a, b) => a - b));
      }),
    );
  });

  test("refuses an item that is queued already, or not queued here", () => {
    const [queue, other] = [new DueQueue<Due>(), new DueQueue<Due>()];
    const [item, stranger] = [due(1), due(2)];
    queue.add(item);
    other.add(stranger);

    expect(() => queue.add(item)).toThrow("not queued");
    expect(() => queue.remove(stranger)).toThrow("of this queue");
    expect(() => queue.remove(due(3))).toThrow("of this queue");
  });
});
