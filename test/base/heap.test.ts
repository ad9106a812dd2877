// The heap against sorting.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Heap } from "../../src/base/heap.ts";

const byNumber = (a: number, b: number) => a - b;

function drain<T>(heap: Heap<T>): T[] {
  const items: T[] = [];
  while (heap.size > 0) items.push(heap.pop()!);
  return items;
}

describe("Heap", () => {
  test("is empty when nothing was pushed", () => {
    const heap = new Heap(byNumber);

    expect(heap.size).toBe(0);
    expect(heap.peek()).toBeUndefined();
    expect(heap.pop()).toBeUndefined();
  });

  test("pops in sorted order whatever the order of pushes, repeats included", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 20 })), (items) => {
        const heap = new Heap(byNumber);
        for (const item of items) heap.push(item);
        expect(heap.size).toBe(items.length);
        expect(drain(heap)).toEqual([...items].sort(byNumber));
      }),
    );
  });

  test("equals a sorted list when pushes and pops alternate", () => {
    const steps = fc.array(fc.oneof(fc.integer(), fc.constant("pop" as const)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (operations) => {
        const heap = new Heap(byNumber);
        const sorted: number[] = [];
        for (const operation of operations) {
          if (operation === "pop") {
            expect(heap.pop()).toBe(sorted.shift());
          } else {
            heap.push(operation);
            sorted.push(operation);
            sorted.sort(byNumber);
          }
          expect(heap.peek()).toBe(sorted[0]);
          expect(heap.size).toBe(sorted.length);
        }
      }),
    );
  });

  test("goes by the order it is given", () => {
    const heap = new Heap<{ at: number; id: string }>((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
    for (const [at, id] of [
      [1, "c"],
      [2, "b"],
      [2, "a"],
    ] as const)
      heap.push({ at, id });

    expect(drain(heap).map(({ id }) => id)).toEqual(["a", "b", "c"]);
  });
});
