// One node answers heartbeats and is slow with calls: a client has to leave it alone soon, and to come back to it by itself.

import { describe, expect, test } from "vitest";
import type { CallRequest } from "../../src/client/client-machine.ts";
import type { WriteRequest } from "../../src/core/messages.ts";
import { Harness, type ScriptedNode } from "./core-harness.ts";

/** Calls of other keys than this one's test, so that every link's latency is known. */
function warmUp(harness: Harness): void {
  for (let index = 0; index < 500; index++) {
    harness.get(`warm ${index}`);
    harness.advance(1);
  }
}

/** One call each millisecond; returns how long each took, shortest first. */
function durationsOf(harness: Harness, calls: number): number[] {
  const started = new Map<number, number>();
  for (let index = 0; index < calls; index++) {
    const callId = index % 3 === 0 ? harness.set(`key ${index}`, 5_000) : harness.get(`key ${index}`, 5_000);
    started.set(callId, harness.nowMs);
    harness.advance(1);
  }
  harness.advance(5_000);
  return [...started]
    .map(([callId, startMs]) => harness.settled.get(callId)!.atMs - startMs)
    .sort((a, b) => a - b);
}

function keysOwnedBy(harness: Harness, node: ScriptedNode, count: number): string[] {
  const keys = Array.from({ length: 200 }, (_, index) => `own ${index}`);
  return keys.filter((key) => harness.replicasOf(key)[0] === node).slice(0, count);
}

/** A node that has just been found to be slow. */
function spared(): { harness: Harness; slow: ScriptedNode; keys: string[] } {
  const harness = Harness.connected();
  warmUp(harness);
  const slow = harness.node("n1");
  const keys = keysOwnedBy(harness, slow, 20);
  slow.answer = () => 800;
  harness.get(keys[0]!, 5_000);
  harness.advance(200);
  return { harness, slow, keys };
}

const increment = (key: string): CallRequest => ({
  kind: "write",
  key,
  change: { type: "increment", by: 1, ttlMs: 0 },
});

describe("ClientCore with one slow node", () => {
  test("answers 98 of 100 calls at once when the node answers after 800 ms, and none after 150", () => {
    const harness = Harness.connected();
    warmUp(harness);
    harness.node("n1").answer = () => 800;

    const durations = durationsOf(harness, 5_000);

    expect(durations[Math.floor(durations.length * 0.98)]).toBeLessThan(10);
    expect(durations.at(-1)).toBeLessThan(200);
  });

  test("asks another node at once when a try there was not answered in its time", () => {
    const { harness, slow, keys } = spared();

    harness.get(keys[1]!);
    harness.advance(5);

    expect(harness.requestsOf(keys[1]!).map(({ node }) => node)).not.toContain(slow.id);
  });

  test("sends one call after two seconds, and the others elsewhere until it is answered", () => {
    const { harness, slow, keys } = spared();
    harness.advance(2_000);
    const before = slow.requests.length;

    for (const key of keys.slice(1, 11)) harness.get(key);
    harness.advance(20);

    expect(slow.requests.length - before).toBe(1);
  });

  test("comes back to it when that call was answered in good time", () => {
    const { harness, slow, keys } = spared();
    slow.answer = () => 0;
    harness.advance(2_000);
    harness.get(keys[1]!);
    harness.advance(5);
    const before = slow.requests.length;

    for (const key of keys.slice(2, 12)) harness.get(key);
    harness.advance(5);

    expect(slow.requests.length - before).toBe(10);
  });

  test("spares it for longer each time, and for eight seconds at most", () => {
    const { harness, slow, keys } = spared();
    const askedMs: number[] = [];
    let known = slow.requests.length;
    for (let index = 0; index < 400; index++) {
      harness.get(keys[index % keys.length]!);
      harness.advance(100);
      if (slow.requests.length > known) askedMs.push(harness.nowMs);
      known = slow.requests.length;
    }

    const pauses = askedMs.slice(1).map((ms, index) => ms - askedMs[index]!);
    expect(pauses.length).toBeGreaterThan(3);
    expect(Math.min(...pauses)).toBeGreaterThan(3_900);
    expect(Math.max(...pauses)).toBeLessThan(8_400);
  });

  test("has the node that it asks instead decide a write which depends on what is there: it would be handed on", () => {
    const { harness, keys } = spared();

    const callId = harness.call(increment(keys[1]!));
    harness.set(keys[2]!);
    harness.advance(5);

    const writeOf = (key: string) => harness.requestsOf(key)[0]!.request as WriteRequest;
    expect(writeOf(keys[1]!)).toMatchObject({ attempt: 1, isDecidedHere: true });
    expect(writeOf(keys[2]!)).toMatchObject({ attempt: 1, isDecidedHere: false });
    expect(harness.result(callId)).toMatchObject({ kind: "written" });
  });
});

describe("ClientCore with nodes that are not slow", () => {
  test("gives a far node the time that it needs", () => {
    const harness = Harness.connected();
    for (const name of ["n1", "n2"]) harness.node(name).delayMs = 90;
    warmUp(harness);
    harness.advance(3_000);
    const requestsMade = () => harness.nodes.reduce((sum, { requests }) => sum + requests.length, 0);
    const before = requestsMade();

    const durations = durationsOf(harness, 2_000);

    expect(requestsMade() - before).toBe(2_000);
    expect(durations.at(-1)).toBe(180);
  });

  test("spares no more than one of five when all of them are slow", () => {
    const harness = Harness.connected();
    warmUp(harness);
    for (const node of harness.nodes) node.answer = () => 300;
    durationsOf(harness, 300);
    for (const node of harness.nodes) node.answer = () => 0;

    const before = harness.nodes.map(({ requests }) => requests.length);
    for (let index = 0; index < 100; index++) harness.get(`after ${index}`);
    harness.advance(5);

    const asked = harness.nodes.filter(({ requests }, index) => requests.length > before[index]!);
    expect(asked.length).toBeGreaterThanOrEqual(4);
  });

  test("spares nobody after this process stood still", () => {
    const harness = Harness.connected();
    warmUp(harness);
    const slow = harness.node("n1");
    const keys = keysOwnedBy(harness, slow, 20);
    slow.answer = () => 60;
    harness.get(keys[0]!, 5_000);
    harness.advance(10);
    // The answer is read after the tick.
    harness.nowMs += 500;
    harness.feed({ kind: "tick" });
    harness.advance(100);
    slow.answer = () => 0;

    harness.get(keys[1]!);
    harness.advance(5);

    expect(harness.requestsOf(keys[1]!)[0]!.node).toBe(slow.id);
  });
});
