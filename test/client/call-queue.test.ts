import { expect, test } from "vitest";
import { Call } from "../../src/client/call.ts";
import { CallQueue } from "../../src/client/call-queue.ts";

function call(id: number, attemptCount = 0): Call {
  const request = { kind: "get", key: `k${id}`, want: "value" } as const;
  const made = new Call(id, request, id, { startMs: 0, deadlineMs: 1_000 });
  made.attemptCount = attemptCount;
  return made;
}

test("CallQueue hands out what was refused before what is new, each in the order it came", () => {
  const queue = new CallQueue();
  const calls = [call(1), call(2, 1), call(3), call(4, 2), call(5)];
  for (const each of calls) queue.add(each);
  queue.add(calls[0]!);

  expect(queue.size).toBe(5);
  expect(queue.oldest?.id).toBe(1);
  queue.delete(calls[2]!);
  queue.delete(calls[2]!);
  const order: number[] = [];
  for (let next = queue.next; next !== undefined; next = queue.next) {
    order.push(next.id);
    queue.delete(next);
  }

  expect(order).toEqual([2, 4, 1, 5]);
  expect(queue.size).toBe(0);
});

test("CallQueue gives up all its calls at once, and they may wait elsewhere", () => {
  const [queue, other] = [new CallQueue(), new CallQueue()];
  const calls = [call(1), call(2), call(3, 1)];
  for (const each of calls) queue.add(each);

  const taken = queue.takeAll();
  for (const each of taken) other.add(each);
  queue.delete(calls[0]!);

  expect(taken.map(({ id }) => id)).toEqual([3, 1, 2]);
  expect([queue.size, other.size, other.oldest?.id]).toEqual([0, 3, 1]);
});
