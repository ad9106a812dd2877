// Reads of one moment: alone, each is a call that has had one try; together, they must be exactly that.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { slotOfKey } from "../../src/base/hash.ts";
import { GROUP_READS_MAX } from "../../src/client/read-group.ts";
import type { GetReply } from "../../src/core/messages.ts";
import { type Answer, failure, Harness } from "./core-harness.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function found(id: number, key: string): GetReply {
  return {
    kind: "got",
    id,
    found: true,
    format: 2,
    value: encoder.encode(`of ${key}`),
    version: 1,
    expiresAt: 0,
  };
}

/** A node that knows a value for every key. */
const answerAll: Answer = (request) => (request.kind === "get" ? found(request.id, request.key) : 0);

function clusterOf(answer: Answer = answerAll, options: ConstructorParameters<typeof Harness>[0] = {}) {
  const harness = Harness.connected({ nodes: 3, ...options });
  for (const node of harness.nodes) node.answer = answer;
  return harness;
}

function keysOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key ${index}`);
}

function valueOfCall(harness: Harness, callId: number): string | undefined {
  const result = harness.result(callId);
  return result !== undefined && "kind" in result && result.kind === "got"
    ? decoder.decode(result.value)
    : undefined;
}

function expectValues(harness: Harness, keys: readonly string[], calls: readonly number[]): void {
  expect(calls.map((callId) => valueOfCall(harness, callId))).toEqual(keys.map((key) => `of ${key}`));
  expect(harness.core.pending).toBe(0);
}

describe("reads of one moment", () => {
  test("go to the first replica of each key, in order, and end with its value", () => {
    const harness = clusterOf();
    const keys = keysOf(100);

    const calls = harness.gets(keys);
    expect(harness.core.pending).toBe(100);
    harness.advance(10);

    expectValues(harness, keys, calls);
    for (const node of harness.nodes) {
      const asked = node.requests.map(({ request }) => "key" in request && request.key);
      expect(asked).toEqual(keys.filter((key) => harness.replicasOf(key)[0] === node));
    }
  });

  test("are more than one group holds, of the same key, or none", () => {
    const harness = clusterOf(answerAll, { nodes: 1, replicas: 1 });
    const keys = [...keysOf(2 * GROUP_READS_MAX + 1), "key 0", "key 0"];

    const calls = harness.gets(keys);
    expect(harness.gets([])).toEqual([]);
    harness.advance(10);

    expectValues(harness, keys, calls);
  });

  test("ask the next replica for the one that was refused, and for no other", () => {
    const harness = clusterOf();
    const keys = keysOf(30);
    const victim = keys[7]!;
    const [owner, next] = harness.replicasOf(victim);
    owner!.answer = (request, node) =>
      request.kind === "get" && request.key === victim
        ? failure(request, "ERR_NO_QUORUM")
        : answerAll(request, node);

    const calls = harness.gets(keys);
    harness.advance(20);

    expectValues(harness, keys, calls);
    expect(harness.requestsOf(victim).map(({ node }) => node)).toEqual([owner!.id, next!.id]);
    for (const key of keys) if (key !== victim) expect(harness.requestsOf(key)).toHaveLength(1);
  });

  test("end one by one with what a node says for good", () => {
    const harness = clusterOf((request, node) =>
      request.kind === "get" && request.key === "key 3"
        ? failure(request, "ERR_UNAUTHORIZED", { elsewhere: false })
        : answerAll(request, node),
    );
    const calls = harness.gets(keysOf(10));
    harness.advance(10);

    expect(harness.error(calls[3]!).code).toBe("ERR_UNAUTHORIZED");
    expect(calls.filter((callId) => valueOfCall(harness, callId) === undefined)).toEqual([calls[3]]);
  });

  test("are repeated after a pause where the node has too much to do", () => {
    const harness = clusterOf(undefined, { nodes: 1, replicas: 1 });
    const [node] = harness.nodes;
    let refusals = 0;
    node!.answer = (request, self): ReturnType<Answer> => {
      if (refusals >= 5) return answerAll(request, self);
      refusals++;
      return { kind: "overloaded", ids: [request.id], retryAfterMs: 30 };
    };
    const keys = keysOf(20);
    const calls = harness.gets(keys);
    harness.advance(10);
    expect(harness.core.pending).toBe(5);

    harness.advance(200);

    expectValues(harness, keys, calls);
  });

  test("go on to the next replica when the node is silent for the time of a try, or its link breaks", () => {
    for (const end of ["silence", "break"] as const) {
      const harness = clusterOf();
      const keys = keysOf(60);
      const [victim] = harness.nodes;
      const own = keys.filter((key) => harness.replicasOf(key)[0] === victim);
      expect(own.length).toBeGreaterThan(5);
      victim!.answer = () => undefined;

      const calls = harness.gets(keys, 2_000);
      harness.advance(10);
      expect(harness.core.pending).toBe(own.length);
      if (end === "break") harness.kill(victim!);
      harness.advance(end === "break" ? 10 : 1_000);

      expectValues(harness, keys, calls);
    }
  });

  test("fail at their deadline, each once, when nobody answers", () => {
    const harness = clusterOf(() => undefined);
    const beganMs = harness.nowMs;

    const calls = harness.gets(keysOf(20), 700);
    harness.advance(2_000);

    for (const callId of calls) {
      expect(harness.error(callId)).toMatchObject({ code: "ERR_TIMEOUT" });
      expect(harness.settled.get(callId)?.atMs).toBe(beganMs + 700);
    }
    expect(harness.core.pending).toBe(0);
  });

  test("take the answer of a later try as well as that of the first, and each only once", () => {
    const harness = clusterOf();
    const [owner] = harness.replicasOf("a");
    // Long after its try's time, but before the deadline.
    owner!.answer = (request) =>
      request.kind === "get" ? { afterMs: 400, reply: found(request.id, request.key) } : 0;
    const [callId] = harness.gets(["a"], 2_000);

    harness.advance(1_000);

    expectValues(harness, ["a"], [callId!]);
  });

  test("are settled by nothing that a node says of other links' tries", () => {
    const harness = clusterOf();
    const key = "a";
    const [owner, other] = harness.replicasOf(key);
    let asked = 0;
    owner!.answer = (request) => {
      asked = request.id;
      return undefined;
    };
    const [callId] = harness.gets([key], 100);
    harness.advance(5);
    harness.feed({ kind: "message", address: other!.address, message: found(asked, "another") });
    expect(harness.result(callId!)).toBeUndefined();

    harness.feed({ kind: "message", address: owner!.address, message: found(asked, key) });
    harness.feed({ kind: "message", address: owner!.address, message: found(asked, key) });

    expectValues(harness, [key], [callId!]);
  });

  test("settle nothing when they are cancelled, and leave the others alone", () => {
    const harness = clusterOf((request) => (request.kind === "get" ? undefined : 0));
    const calls = harness.gets(keysOf(40), 500);
    harness.advance(5);

    const [kept, ...gone] = calls;
    harness.feed({ kind: "cancel", callIds: gone });
    expect(harness.core.pending).toBe(1);
    harness.advance(2_000);

    expect([...harness.settled.keys()]).toEqual([kept]);
  });

  test("end with ERR_CLOSED when the client is closed, and when it has been", () => {
    const harness = clusterOf(() => undefined);
    const before = harness.gets(keysOf(10));
    harness.feed({ kind: "close" });
    const after = harness.gets(keysOf(10));

    for (const callId of [...before, ...after]) expect(harness.error(callId).code).toBe("ERR_CLOSED");
    expect(harness.core.pending).toBe(0);
  });

  test("wait for room on a link, and all get it", () => {
    const harness = clusterOf(answerAll, { timing: { linkBytesMax: 20_000 } });
    const keys = keysOf(500);
    const calls = harness.gets(keys, 20_000);
    harness.advance(1);
    const asked = harness.nodes.reduce((sum, { requests }) => sum + requests.length, 0);
    expect(asked).toBeLessThan(200);

    harness.advance(20_000);

    expectValues(harness, keys, calls);
    for (const key of keys) expect(harness.requestsOf(key)).toHaveLength(1);
  });

  test("are refused one by one beyond the calls that a client may have under way", () => {
    const harness = clusterOf(() => undefined, { timing: { pendingMax: 10 } });
    const calls = harness.gets(keysOf(15));

    for (const callId of calls.slice(10)) expect(harness.error(callId).code).toBe("ERR_OVERLOADED");
    expect(harness.core.pending).toBe(10);
  });
});

type Trouble = "answer" | "late" | "silent" | "elsewhere" | "overloaded" | "wrong kind";
const TROUBLES: readonly Trouble[] = ["answer", "late", "silent", "elsewhere", "overloaded", "wrong kind"];

/** What each node does with each key, whenever it is asked. */
function troubled(troubles: readonly Trouble[]): Answer {
  return (request, node) => {
    if (request.kind !== "get") return 0;
    const reply = found(request.id, request.key);
    switch (troubles[(slotOfKey(request.key) + Number(node.id.slice(1))) % troubles.length]) {
      case "late":
        return { afterMs: 300, reply };
      case "silent":
        return undefined;
      case "elsewhere":
        return failure(request, "ERR_NO_QUORUM");
      case "overloaded":
        return { kind: "overloaded", ids: [request.id], retryAfterMs: 20 };
      case "wrong kind":
        return { kind: "cleared", id: request.id };
      default:
        return reply;
    }
  };
}

/** One of four nodes says nothing, and there may be three. */
function silentNode({ length }: readonly Trouble[]): Answer {
  return (request, node) => (node.id === `n${length % 4}` ? undefined : answerAll(request, node));
}

/** What became of each call, and when; which node was asked for which key, and when. */
function outcomeOf(harness: Harness, keys: readonly string[]) {
  const settled = [...harness.settled].map(([callId, { atMs, result }]) => ({
    callId,
    atMs,
    ended: result instanceof Error ? result.message : valueOfCall(harness, callId),
  }));
  const tries = keys.map((key) => harness.requestsOf(key).map(({ node, atMs }) => `${node} at ${atMs}`));
  return { settled: settled.sort((a, b) => a.callId - b.callId), tries };
}

const anyTroubles = fc.array(fc.constantFrom(...TROUBLES), { minLength: 1, maxLength: 12 });

describe("A read of a group, whatever nodes do", () => {
  test.each([
    { reads: "one at a time", countMax: 1, answerOf: troubled },
    { reads: "one at a time, of any replica", countMax: 1, answerOf: troubled, readFrom: "any" as const },
    // What happens to several at one instant happens in another order, so one node is silent and nothing else.
    { reads: "many at a moment", countMax: 300, answerOf: silentNode },
  ])(
    "has the same tries at the same times as one that was a call from the start: $reads",
    ({ countMax, answerOf, readFrom }) => {
      const count = fc.oneof(
        fc.integer({ min: 1, max: Math.min(5, countMax) }),
        fc.integer({ min: 1, max: countMax }),
      );
      const moments = fc.array(fc.tuple(count, fc.nat(200)), { minLength: 1, maxLength: 6 });
      fc.assert(
        fc.property(
          anyTroubles,
          moments,
          fc.constantFrom(300, 900),
          fc.nat(9),
          (drawn, plan, timeoutMs, seed) => {
            const [grouped, single] = [true, false].map((isGrouped) => {
              const harness = clusterOf(undefined, { seed });
              // Until it is known how large answers are, only a few are asked for at a time.
              for (const key of keysOf(60)) {
                harness.get(key);
                harness.advance(2);
              }
              for (const node of harness.nodes) node.answer = answerOf(drawn);
              for (const [index, [some, pauseMs]] of plan.entries()) {
                const keys = keysOf(300).slice(-some);
                if (isGrouped) harness.gets(keys, timeoutMs, { readFrom });
                else
                  for (const key of keys)
                    harness.call({ kind: "get", key, want: "value", readFrom }, timeoutMs);
                harness.advance(pauseMs);
                if (index === 3 && countMax === 1) harness.kill(harness.nodes[1]!);
              }
              harness.advance(2_000);
              expect(harness.core.pending).toBe(0);
              return outcomeOf(harness, keysOf(300));
            });
            expect(grouped).toEqual(single);
          },
        ),
        { numRuns: 40 },
      );
    },
  );

  test("is asked of another node in time, also when it was one of many for a node that is silent", () => {
    const harness = clusterOf();
    const [victim] = harness.nodes;
    const keys = keysOf(2_000)
      .filter((key) => harness.replicasOf(key)[0] === victim)
      .slice(0, GROUP_READS_MAX);
    for (const key of keys.slice(0, 50)) {
      harness.get(key);
      harness.advance(3);
    }
    victim!.answer = () => undefined;

    const calls = harness.gets(keys, 500);
    harness.advance(1_000);

    expectValues(harness, keys, calls);
  });

  test("ends once, by its deadline, with the value of its key or an error", () => {
    const batches = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat(200)), { maxLength: 8 });
    fc.assert(
      fc.property(anyTroubles, batches, fc.nat(9), (troubles, plan, seed) => {
        const harness = clusterOf(troubled(troubles), { seed });
        const expected = new Map<number, { key: string; deadlineMs: number }>();
        for (const [index, [count, pauseMs]] of plan.entries()) {
          const keys = keysOf(count);
          const deadlineMs = harness.nowMs + 900;
          for (const [at, callId] of harness.gets(keys, 900).entries())
            expected.set(callId, { key: keys[at]!, deadlineMs });
          harness.advance(pauseMs);
          if (index === 3) harness.kill(harness.nodes[1]!);
        }
        harness.advance(2_000);

        expect(harness.core.pending).toBe(0);
        expect([...harness.settled.keys()].sort((a, b) => a - b)).toEqual([...expected.keys()]);
        for (const [callId, { key, deadlineMs }] of expected) {
          const { atMs, result } = harness.settled.get(callId)!;
          expect(atMs).toBeLessThanOrEqual(deadlineMs);
          if (!(result instanceof Error)) expect(valueOfCall(harness, callId)).toBe(`of ${key}`);
        }
      }),
      { numRuns: 60 },
    );
  });
});
