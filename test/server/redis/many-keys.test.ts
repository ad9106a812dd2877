import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { askAll } from "../../../src/server/redis/call.ts";
import type { Answer } from "../../../src/server/redis/keyspace.ts";

const outcome = (index: number): Answer => ({ kind: "written", id: index, outcome: index });
const failed: Answer = {
  kind: "failed",
  id: 0,
  code: "ERR_TIMEOUT",
  message: "late",
  applied: "maybe",
  elsewhere: false,
};

test("a request of a hundred thousand keys that are at hand leaves the event loop to others in between", async () => {
  const items = Array.from({ length: 100_000 }, (_, index) => index);
  let turns = 0;
  let isOver = false;

  const answers = askAll(items, (index, waiter) => waiter.settle(outcome(index))).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await nextTurn();
    turns++;
  }

  expect(turns).toBeGreaterThan(20);
  expect((await answers).map((answer) => (answer.kind === "written" ? answer.outcome : undefined))).toEqual(
    items,
  );
});

test("no operation is started after one has failed, and all that were have an answer", async () => {
  const items = Array.from({ length: 10_000 }, (_, index) => index);
  const started: number[] = [];

  const answers = await askAll(items, (index, waiter) => {
    started.push(index);
    waiter.settle(index === 5_000 ? failed : outcome(index));
  });

  expect(started).toHaveLength(5_001);
  expect(answers).toHaveLength(5_001);
  expect(answers[5_000]).toEqual(failed);
});

test("operations that are answered late are all answered once", async () => {
  const items = Array.from({ length: 20_000 }, (_, index) => index);

  const answers = await askAll(items, (index, waiter) => {
    if (index % 3 === 0) setImmediate(() => waiter.settle(outcome(index)));
    else waiter.settle(outcome(index));
  });

  expect(answers).toEqual(items.map(outcome));
});
