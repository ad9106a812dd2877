// Reads that any replica may answer, asked of a second one when the first takes longer than usual.

import { describe, expect, test } from "vitest";
import { type Answer, Harness, type ScriptedNode, usualAnswer } from "./core-harness.ts";

/** A cluster of three whose latencies its client knows. */
function knownCluster(): Harness {
  const harness = Harness.connected({ nodes: 3 });
  for (let index = 0; index < 400; index++) {
    harness.gets([`warm ${index}`]);
    harness.advance(3);
  }
  for (const node of harness.nodes) node.requests.length = 0;
  return harness;
}

const answerAfter =
  (afterMs: number): Answer =>
  (request) => ({ afterMs, reply: usualAnswer(request) });

function readAny(harness: Harness, key: string): number {
  return harness.gets([key], 1_000, { readFrom: "any" })[0]!;
}

function tookMs(harness: Harness, callId: number, beganMs: number): number {
  return (harness.settled.get(callId)?.atMs ?? Number.POSITIVE_INFINITY) - beganMs;
}

/** Tries beyond the first of each of the calls. */
function extraTries(nodes: readonly ScriptedNode[], calls: number): number {
  return nodes.reduce((sum, { requests }) => sum + requests.length, 0) - calls;
}

describe("a read from any replica", () => {
  test("that takes longer than usual is asked of one more, and ends with whichever answers first", () => {
    const harness = knownCluster();
    const [slow] = harness.nodes;
    slow!.answer = answerAfter(100);
    const times: number[] = [];
    for (let index = 0; index < 30; index++) {
      const beganMs = harness.nowMs;
      const callId = readAny(harness, `key ${index}`);
      harness.advance(200);
      times.push(tookMs(harness, callId, beganMs));
      expect(harness.requestsOf(`key ${index}`).length).toBeLessThanOrEqual(2);
    }

    // Some did go to the slow node first; nobody waited for it.
    expect(slow!.requests.length).toBeGreaterThan(0);
    expect(Math.max(...times)).toBeLessThan(60);
    expect(harness.core.pending).toBe(0);
  });

  test("is asked of one more at most once in twenty times, however slow all are", () => {
    const harness = knownCluster();
    for (const node of harness.nodes) node.answer = answerAfter(90);
    const calls = 400;
    for (let index = 0; index < calls; index++) {
      readAny(harness, `key ${index}`);
      harness.advance(100);
    }

    expect(extraTries(harness.nodes, calls)).toBeGreaterThan(calls / 40);
    // Ten to begin with.
    expect(extraTries(harness.nodes, calls)).toBeLessThanOrEqual(10 + calls / 20);
    expect(harness.settled.size).toBe(400 + calls);
  });

  test("teaches the client which node is slow", () => {
    const harness = knownCluster();
    const [silent] = harness.nodes;
    silent!.answer = () => undefined;
    const readSome = (count: number): number => {
      const before = silent!.requests.length;
      for (let index = 0; index < count; index++) {
        readAny(harness, `key ${index}`);
        harness.advance(60);
      }
      return silent!.requests.length - before;
    };
    expect(readSome(30)).toBeGreaterThan(0);

    // A third of them, without anything learnt.
    expect(readSome(60)).toBeLessThan(10);
    harness.advance(2_000);
    expect(harness.core.pending).toBe(0);
  });

  test("is not asked of anybody else where the first replica is to answer", () => {
    const harness = knownCluster();
    for (const node of harness.nodes) node.answer = answerAfter(90);
    for (let index = 0; index < 50; index++) {
      harness.gets([`key ${index}`]);
      harness.advance(100);
    }

    expect(extraTries(harness.nodes, 50)).toBe(0);
  });
});
