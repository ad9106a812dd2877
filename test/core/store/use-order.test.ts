import { describe, expect, test } from "vitest";
import { UseOrder } from "../../../src/core/store/use-order.ts";

const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }];

function drain(order: UseOrder<{ name: string }>): string[] {
  const names: string[] = [];
  for (let item = order.peek(); item !== undefined; item = order.peek()) {
    order.remove(item);
    names.push(item.name);
  }
  return names;
}

describe("UseOrder", () => {
  test("peek returns the least recently used item and leaves it", () => {
    const order = new UseOrder<{ name: string }>();
    for (const item of [a, b, c]) order.add(item);
    order.use(a);

    expect([order.peek(), order.peek(), order.size]).toEqual([b, b, 3]);
    expect(drain(order)).toEqual(["b", "c", "a"]);
  });

  test("remove takes any item, the last one too, and ignores what is absent", () => {
    const order = new UseOrder<{ name: string }>();
    order.add(a);
    order.remove(b);
    expect([order.size, order.peek()]).toEqual([1, a]);

    order.remove(a);
    order.remove(a);
    expect([order.size, order.peek()]).toEqual([0, undefined]);

    for (const item of [c, a]) order.add(item);
    expect(drain(order)).toEqual(["c", "a"]);
  });
});
