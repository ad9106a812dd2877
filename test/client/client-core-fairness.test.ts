// Who waits for whom: a refusal, a bulk call or a slow node must not stand in the way of calls that others could answer.

import { expect, test } from "vitest";
import { failure, Harness } from "./core-harness.ts";

test("ClientCore tells at the deadline what stood in the way last, not an overload long past", () => {
  const harness = Harness.connected();
  let isFirst = true;
  for (const node of harness.nodes) {
    node.answer = (request) => {
      if (isFirst) {
        isFirst = false;
        return { kind: "overloaded", ids: [request.id], retryAfterMs: 20 };
      }
      return failure(request, "ERR_NO_QUORUM");
    };
  }

  const callId = harness.set("a", 2_000);
  harness.advance(2_100);

  expect(harness.error(callId)).toMatchObject({ code: "ERR_NO_QUORUM", applied: "no" });
});

test("ClientCore lets a bulk call that is refused take no tokens from calls that must fail over", () => {
  const harness = Harness.connected();
  const [overloaded, slow] = [harness.node("n1"), harness.node("n2")];
  const keysOf = (owner: typeof slow) =>
    Array.from({ length: 4_000 }, (_, index) => `k${index}`).filter(
      (key) => harness.replicasOf(key)[0] === owner,
    );
  const bulkKeys = keysOf(overloaded).slice(0, 256);
  const singleKeys = keysOf(slow).slice(0, 100);
  for (const node of harness.nodes) {
    // The whole of the bulk call's keys is more than the cluster can take on now.
    node.answer = (request) =>
      "key" in request && bulkKeys.includes(request.key)
        ? { kind: "overloaded", ids: [request.id], retryAfterMs: 50 }
        : node === slow
          ? undefined
          : 0;
  }
  for (const key of bulkKeys) harness.set(key, 10_000, { isPatient: true });
  harness.advance(1_000);

  const singles = singleKeys.map((key) => harness.get(key, 1_000));
  harness.advance(1_100);

  expect(singles.filter((id) => harness.result(id) instanceof Error).length).toBe(0);
});

test.each([
  { kind: "a client that has just been made", warm: 0, delayMs: 1 },
  { kind: "a client of nodes that are 70 ms away", warm: 1_000, delayMs: 35 },
])("ClientCore sends those who wait for room on a slow node elsewhere ($kind)", ({ warm, delayMs }) => {
  const harness = Harness.connected();
  for (const node of harness.nodes) node.delayMs = delayMs;
  for (let index = 0; index < warm; index++) {
    if (index % 2 === 0) harness.get(`warm ${index}`);
    else harness.set(`warm ${index}`);
    harness.advance(1);
  }
  harness.advance(100);
  const slow = harness.node("n1");
  const keys = Array.from({ length: 400 }, (_, index) => `own ${index}`);
  const own = keys.filter((key) => harness.replicasOf(key)[0] === slow);
  slow.answer = () => undefined;
  const value = new Uint8Array(1024 * 1024);

  const calls = Array.from({ length: 100 }, (_, index) =>
    harness.set(own[index % own.length]!, 3_000, { value }),
  );
  harness.advance(3_100);

  const failed = calls.map((id) => harness.result(id)).filter((result) => result instanceof Error);
  expect(failed.map(({ message }) => message)).toEqual([]);
});
