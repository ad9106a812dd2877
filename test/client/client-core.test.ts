import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallRequest } from "../../src/client/client-machine.ts";
import { CLIENT_TIMING } from "../../src/client/timing.ts";
import type { ClientReply, ReadMode, WriteRequest } from "../../src/core/messages.ts";
import { failure, Harness } from "./core-harness.ts";

describe("ClientCore connecting", () => {
  test("ClientCore learns the members from one seed and links to all of them", () => {
    const harness = Harness.connected({ seeds: ["h3:7400"] });

    expect(harness.core.connected).toEqual(["h0:7400", "h1:7400", "h2:7400", "h3:7400", "h4:7400"]);
    expect(harness.core.view.ring?.members).toHaveLength(5);
  });

  test("ClientCore uses another seed when the first refuses", () => {
    const harness = new Harness({ seeds: ["nowhere:1", "h1:7400"] });
    harness.start();
    harness.advance(50);

    expect(harness.core.connected).toHaveLength(5);
  });

  test("ClientCore stays with its seed when the members' own addresses cannot be reached", () => {
    const harness = new Harness({ nodes: 3, seeds: ["h0:7400"] });
    const topology = harness.topology();
    const members = topology.members.map((member) => ({ ...member, address: `inside-${member.address}` }));
    harness.topology = () => ({ ...topology, members });
    harness.start();
    harness.advance(5_000);

    const callId = harness.get("a");
    harness.advance(10);

    expect(harness.core.connected).toEqual(["h0:7400"]);
    expect(harness.result(callId)).toMatchObject({ kind: "got" });
  });

  test("ClientCore drops a seed that is no member's address once a member is up", () => {
    const harness = new Harness({ nodes: 3, seeds: ["h2:7400"] });
    const stranger = harness.nodes[2]!;
    stranger.ringState = "joining";
    harness.start();
    harness.advance(1_000);

    expect(harness.core.connected).toEqual(["h0:7400", "h1:7400"]);
    expect(stranger.isConnected).toBe(false);
  });

  test("ClientCore links to no more than linksMax members", () => {
    const harness = Harness.connected({ nodes: 9, timing: { linksMax: 4 } });
    harness.advance(1_000);

    expect(harness.core.connected).toHaveLength(4);
  });

  test("ClientCore ignores a view whose ring it cannot reproduce", () => {
    const harness = new Harness();
    const topology = harness.topology();
    harness.topology = () => ({ ...topology, ringId: "0123456789abcdef" as never });
    harness.start();
    harness.advance(100);

    expect(harness.core.view.ring).toBeUndefined();
    expect(harness.core.connected).toEqual(["h0:7400"]);
  });

  test("ClientCore ignores a view without a ring once it has one", () => {
    const harness = Harness.connected();
    const before = harness.core.view.ringId;

    for (const node of harness.nodes) node.ringState = "joining";
    harness.pushTopology(harness.node("n1"));
    harness.advance(10);

    expect(harness.core.view.ringId).toBe(before);
  });

  test("ClientCore dials a member that joins and drops one that has left", () => {
    const harness = Harness.connected();
    const [leaver, joiner] = [harness.node("n4"), harness.node("n3")];
    joiner.ringState = "joining";
    harness.pushTopology(harness.node("n0"));
    harness.advance(1_000);
    expect(joiner.isConnected).toBe(false);

    joiner.ringState = "active";
    leaver.ringState = "left";
    harness.pushTopology(harness.node("n0"));
    harness.advance(1_000);

    expect(harness.core.connected).toEqual(["h0:7400", "h1:7400", "h2:7400", "h3:7400"]);
  });
});

describe("ClientCore heartbeats", () => {
  test("ClientCore drops a silent link within 800 ms and dials it again", () => {
    const harness = Harness.connected();
    const node = harness.node("n2");
    node.mode = "silent";
    const fromMs = harness.nowMs;

    harness.advance(800);

    expect(harness.core.isConnected(node.address)).toBe(false);
    const redial = harness.dials.find(({ atMs, address }) => atMs > fromMs && address === node.address);
    expect(redial?.atMs).toBeLessThan(fromMs + 800);
  });

  test("ClientCore keeps dialling a dead node at most a second apart, and not in a tight loop", () => {
    const harness = Harness.connected();
    const node = harness.node("n2");
    harness.kill(node);
    const fromMs = harness.nowMs;

    harness.advance(30_000);

    const at = harness.dials.filter((dial) => dial.atMs > fromMs && dial.address === node.address);
    const gaps = at.slice(1).map(({ atMs }, index) => atMs - at[index]!.atMs);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1_010);
    expect(at.length).toBeGreaterThan(29);
    expect(at.length).toBeLessThan(60);
  });

  test("ClientCore keeps its links when its own process stood still", () => {
    const harness = Harness.connected();
    harness.stall(5_000);
    harness.advance(1_000);

    expect(harness.core.connected).toHaveLength(5);
    expect(harness.dials).toHaveLength(5);
  });

  test("ClientCore gives up a dial that is never answered and tries again", () => {
    const harness = new Harness();
    harness.node("n0").mode = "silent";
    harness.start();

    harness.advance(10_000);

    expect(harness.dials.length).toBeGreaterThan(3);
  });
});

describe("ClientCore routing", () => {
  test("ClientCore sends every key to the owner of its slot", () => {
    const harness = Harness.connected();

    for (let index = 0; index < 50; index++) {
      const key = `key:${index}`;
      harness.get(key);
      harness.advance(5);
      expect(harness.requestsOf(key).map(({ node }) => node)).toEqual([harness.replicasOf(key)[0]!.id]);
    }
  });

  test.each([
    ["suspected", { liveness: "suspect" }],
    ["warming", { ringState: "warming" }],
  ] as const)("ClientCore asks %s replicas last", (_, state) => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    Object.assign(first!, state);
    harness.pushTopology(second!);
    harness.advance(5);

    harness.get("a");
    harness.advance(5);

    expect(harness.requestsOf("a").map(({ node }) => node)).toEqual([second!.id]);
  });

  test("ClientCore does not turn to a node that takes the others for gone", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    for (const node of harness.nodes) if (node !== second) node.liveness = "dead";
    harness.pushTopology(second!);
    harness.advance(5);

    harness.get("a");
    harness.advance(5);

    expect(harness.requestsOf("a").map(({ node }) => node)).toEqual([first!.id]);
  });

  test("ClientCore fills in the cluster's modes unless the call has its own", () => {
    const harness = Harness.connected();
    harness.get("a");
    harness.call({ kind: "get", key: "b", want: "exists", read: "quorum" });
    harness.advance(5);

    expect(harness.requestsOf("a")[0]!.request).toMatchObject({ read: "one", want: "value" });
    expect(harness.requestsOf("b")[0]!.request).toMatchObject({ read: "quorum", want: "exists" });
  });

  const readAny = (key: string, read: ReadMode = "one") =>
    ({ kind: "get", key, want: "value", read, readFrom: "any" }) as const;

  test("ClientCore spreads reads that any replica may answer over all of them", () => {
    const harness = Harness.connected();
    const replicas = harness.replicasOf("a").map(({ id }) => id);

    for (let index = 0; index < 60; index++) {
      harness.call(readAny("a"));
      harness.advance(5);
    }

    const asked = harness.requestsOf("a");
    for (const { request } of asked) expect(request).toMatchObject({ read: "any" });
    for (const id of replicas) expect(asked.filter(({ node }) => node === id).length).toBeGreaterThan(5);
    expect(new Set(asked.map(({ node }) => node))).toEqual(new Set(replicas));
  });

  test("ClientCore asks a slow replica less often when any may answer", () => {
    const harness = Harness.connected();
    const [slow] = harness.replicasOf("a");
    slow!.delayMs = 40;

    for (let index = 0; index < 90; index++) {
      harness.call(readAny("a"));
      harness.advance(100);
    }

    const asked = harness.requestsOf("a").slice(30);
    expect(asked.filter(({ node }) => node === slow!.id).length).toBeLessThan(asked.length / 6);
  });

  test("ClientCore asks another replica when the one it picked says that it may do better", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");

    harness.call(readAny("a"), 300);
    harness.advance(20);

    const replicas = new Set(harness.replicasOf("a").map(({ id }) => id));
    const firstThree = harness.requestsOf("a").slice(0, 3);
    expect(new Set(firstThree.map(({ node }) => node))).toEqual(replicas);
  });

  test("ClientCore asks the first replica for a quorum read wherever it may be read from", () => {
    const harness = Harness.connected();

    for (let index = 0; index < 10; index++) {
      harness.call(readAny("a", "quorum"));
      harness.advance(5);
    }

    const first = harness.replicasOf("a")[0]!.id;
    for (const { node, request } of harness.requestsOf("a")) {
      expect(node).toBe(first);
      expect(request).toMatchObject({ read: "quorum" });
    }
  });

  test("ClientCore gives all tries of a write one operation and numbers them", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");
    harness.set("a", 300);
    harness.set("b", 300);
    harness.advance(400);

    const tries = harness.requestsOf("a").map(({ request }) => request as WriteRequest);
    const others = harness.requestsOf("b").map(({ request }) => request as WriteRequest);
    expect(tries.length).toBeGreaterThan(3);
    expect(new Set(tries.map(({ opClient, opSeq }) => `${opClient}:${opSeq}`)).size).toBe(1);
    expect(tries.map(({ attempt }) => attempt)).toEqual(tries.map((_, index) => index + 1));
    expect(others[0]!.opSeq).not.toBe(tries[0]!.opSeq);
    const ids = [...tries, ...others].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("ClientCore failing over", () => {
  test("ClientCore asks the second replica when the first is silent for 150 ms", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    first!.mode = "silent";
    const startMs = harness.nowMs;

    const callId = harness.get("a");
    harness.advance(200);

    expect(harness.requestsOf("a").map(({ node }) => node)).toEqual([second!.id]);
    expect(harness.settled.get(callId)!.atMs - startMs).toBeLessThan(155);
  });

  test("ClientCore avoids a node that did not answer, until two seconds have passed and it is heard again", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    first!.mode = "silent";
    harness.get("a");
    harness.advance(200);

    harness.get("a");
    harness.advance(5);
    expect(harness.requestsOf("a").at(-1)!.node).toBe(second!.id);

    first!.mode = "up";
    harness.advance(2_000);
    harness.get("a");
    harness.advance(5);
    expect(harness.requestsOf("a").at(-1)!.node).toBe(first!.id);
  });

  test("ClientCore moves on at once when the link breaks", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    first!.answer = () => undefined;
    const callId = harness.get("a");
    harness.advance(20);

    harness.kill(first!);
    harness.advance(3);

    expect(harness.requestsOf("a").map(({ node }) => node)).toEqual([first!.id, second!.id]);
    expect(harness.result(callId)).toMatchObject({ kind: "got" });
  });

  test("ClientCore moves on at once when a node says that another may do better", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    first!.answer = (request) => failure(request, "ERR_CLOSED");

    const callId = harness.set("a");
    harness.advance(6);

    expect(harness.requestsOf("a").map(({ node }) => node)).toEqual([first!.id, second!.id]);
    expect(harness.result(callId)).toMatchObject({ kind: "written" });
  });

  test("ClientCore goes through the replicas, two others, then pauses 10 ms and longer between rounds", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");
    const list = harness.replicasOf("a").map(({ id }) => id as string);

    harness.get("a", 500);
    harness.advance(600);

    const tries = harness.requestsOf("a");
    expect(tries.slice(0, 3).map(({ node }) => node)).toEqual(list);
    expect(new Set(tries.slice(0, 5).map(({ node }) => node)).size).toBe(5);
    const pauses = [0, 1, 2].map((round) => tries[5 * round + 5]!.atMs - tries[5 * round + 4]!.atMs);
    expect(pauses[0]).toBeGreaterThanOrEqual(10);
    expect(pauses[0]).toBeLessThan(20);
    expect(pauses[1]).toBeGreaterThan(20);
    expect(pauses[2]).toBeGreaterThan(40);
  });

  test("ClientCore takes the answer of an earlier try", () => {
    const harness = Harness.connected();
    const [first, second] = harness.replicasOf("a");
    first!.answer = () => 170;
    second!.answer = () => undefined;
    const startMs = harness.nowMs;

    const callId = harness.set("a");
    harness.advance(300);

    expect(harness.settled.get(callId)!.atMs).toBe(startMs + 172);
  });

  test("ClientCore sends a call that finds no link as soon as one is there", () => {
    const harness = new Harness();
    harness.start();
    const callId = harness.get("a");

    harness.advance(20);

    expect(harness.result(callId)).toMatchObject({ kind: "got" });
  });

  test("ClientCore settles a call at once when the node's word is final", () => {
    const harness = Harness.connected();
    for (const code of ["ERR_NOT_A_NUMBER", "ERR_TOO_LARGE", "ERR_OVERLOADED"] as const) {
      for (const node of harness.nodes)
        node.answer = (request) => failure(request, code, { elsewhere: false });
      const callId = harness.set(code);
      harness.advance(3);
      expect(harness.error(callId)).toMatchObject({ code, applied: "no", message: `says ${code}` });
    }
  });

  test("ClientCore fails a call whose answer is of another kind", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) {
      node.answer = (request) => ({ kind: "counted", id: request.id, count: 1 });
    }

    const callId = harness.set("a");
    harness.advance(3);

    expect(harness.error(callId)).toMatchObject({ code: "ERR_PROTOCOL", applied: "maybe" });
  });
});

describe("ClientCore deadlines", () => {
  test("ClientCore settles an unanswered call exactly at its deadline", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = () => undefined;
    const startMs = harness.nowMs;
    const deadlines = [1, 7.5, 149, 150, 151, 333, 1_000, 2_500];

    const calls = deadlines.map((ms) => ({ ms, callId: harness.get(`key ${ms}`, ms) }));
    harness.advance(3_000);

    for (const { ms, callId } of calls) {
      expect(harness.settled.get(callId)!.atMs).toBe(startMs + ms);
      expect(harness.error(callId).code).toBe("ERR_TIMEOUT");
    }
  });

  test("ClientCore names slot, addresses and tries in a timeout", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = () => undefined;

    const callId = harness.get("a", 400);
    harness.advance(400);

    const { details, message } = harness.error(callId);
    expect(details).toMatchObject({ slot: 15495, attempts: expect.any(Number) });
    expect(details.addresses).toContain(harness.replicasOf("a")[0]!.address);
    expect(message).toContain("No success within 400 ms");
  });

  test("ClientCore settles calls with ERR_UNREACHABLE while all nodes are dead, and works again when one returns", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) harness.kill(node);
    harness.advance(10_000);

    const startMs = harness.nowMs;
    const callId = harness.set("a", 700);
    harness.advance(5_000);

    const error = harness.error(callId);
    expect(harness.settled.get(callId)!.atMs).toBe(startMs + 700);
    expect(error).toMatchObject({ code: "ERR_UNREACHABLE", applied: "no" });
    for (const { address } of harness.nodes)
      expect(error.message).toContain(`${address}: connection refused`);

    harness.node("n3").mode = "up";
    const nextId = harness.get("a", 200);
    harness.advance(200);
    expect(harness.result(nextId)).toMatchObject({ kind: "got" });
  });

  test("ClientCore says maybe when all nodes died with the write in their hands", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = () => undefined;
    const callId = harness.set("a", 700);
    harness.advance(20);
    for (const node of harness.nodes) harness.kill(node);
    harness.advance(700);

    expect(harness.error(callId)).toMatchObject({ code: "ERR_UNREACHABLE", applied: "maybe" });
  });

  test("ClientCore settles a call whose deadline has passed already", () => {
    const harness = Harness.connected();

    const callId = harness.get("a", 0);

    expect(harness.error(callId).code).toBe("ERR_TIMEOUT");
  });

  test("ClientCore settles nothing for a cancelled call, whatever comes later", () => {
    const harness = Harness.connected();
    const callId = harness.set("a");
    harness.feed({ kind: "cancel", callIds: [callId] });
    harness.advance(2_000);

    expect(harness.settled.size).toBe(0);
    expect(harness.core.pending).toBe(0);
  });

  test("ClientCore ends what is under way with ERR_CLOSED when it is closed, and refuses what comes later", () => {
    const harness = Harness.connected();
    const callId = harness.set("a");
    harness.feed({ kind: "close" });
    const laterId = harness.set("b");

    expect(harness.error(callId)).toMatchObject({ code: "ERR_CLOSED", applied: "maybe" });
    expect(harness.error(laterId)).toMatchObject({ code: "ERR_CLOSED", applied: "no" });
    expect(harness.nodes.every(({ isConnected }) => !isConnected)).toBe(true);
    expect(harness.core.deadline()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("ClientCore telling whether a write was applied", () => {
  const cases: [string, "no" | "maybe", string, (harness: Harness) => void][] = [
    [
      "every node refused for lack of a quorum",
      "no",
      "ERR_NO_QUORUM",
      (h) => {
        for (const node of h.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");
      },
    ],
    [
      "every node refused for another reason",
      "no",
      "ERR_TIMEOUT",
      (h) => {
        for (const node of h.nodes) node.answer = (request) => failure(request, "ERR_CLOSED");
      },
    ],
    [
      "one node never answered and the others lack a quorum",
      "maybe",
      "ERR_TIMEOUT",
      (h) => {
        for (const node of h.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");
        h.replicasOf("a")[0]!.answer = () => undefined;
      },
    ],
    [
      "one node said maybe",
      "maybe",
      "ERR_TIMEOUT",
      (h) => {
        for (const node of h.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");
        h.replicasOf("a")[1]!.answer = (request) => failure(request, "ERR_TIMEOUT", { applied: "maybe" });
      },
    ],
    [
      "nobody answered",
      "maybe",
      "ERR_TIMEOUT",
      (h) => {
        for (const node of h.nodes) node.answer = () => undefined;
      },
    ],
  ];

  test.each(cases)("ClientCore, when %s, says %s with %s", (_, applied, code, arrange) => {
    const harness = Harness.connected();
    arrange(harness);

    const callId = harness.set("a", 600);
    harness.advance(700);

    expect(harness.error(callId)).toMatchObject({ code, applied });
  });

  test("ClientCore says nothing of the kind for reads", () => {
    const harness = Harness.connected();
    for (const node of harness.nodes) node.answer = (request) => failure(request, "ERR_NO_QUORUM");

    const callId = harness.get("a", 300);
    harness.advance(400);

    expect(harness.error(callId)).toMatchObject({ code: "ERR_NO_QUORUM" });
    expect(harness.error(callId).applied).toBeUndefined();
  });

  test("ClientCore never says no of a write that a node executed, and settles every call by its deadline", () => {
    // What a node does with a write: executes it and answers, executes it and says nothing, and so on.
    const deeds = [
      "ok",
      "ok",
      "executeSilently",
      "ignore",
      "refuse",
      "refuse",
      "executeThenMaybe",
      "break",
    ] as const;
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...deeds), { minLength: 1, maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 12 }),
        fc.integer(),
        (script, timeouts, seed) => {
          const harness = Harness.connected({ seed });
          const executed = new Set<number>();
          let step = 0;
          for (const node of harness.nodes) {
            node.answer = (request) => {
              const deed = script[step++ % script.length]!;
              const write = request as WriteRequest;
              const mayStart = write.notAfter === 0 || harness.nowMs + node.clockOffsetMs <= write.notAfter;
              if (!mayStart) return failure(request, "ERR_TIMEOUT");
              if (deed === "ok" || deed === "executeSilently" || deed === "executeThenMaybe")
                executed.add(write.opSeq);
              if (deed === "ok") return 3;
              if (deed === "refuse") return failure(request, "ERR_NO_QUORUM");
              if (deed === "executeThenMaybe")
                return failure(request, "ERR_TIMEOUT", { applied: "maybe", elsewhere: true });
              if (deed === "break") harness.disconnect(node);
              return undefined;
            };
          }
          const startMs = harness.nowMs;
          const calls = timeouts.map((timeoutMs, index) => ({
            opSeq: index + 1,
            timeoutMs,
            callId: harness.set(`key ${index}`, timeoutMs),
          }));
          harness.advance(3_000);

          for (const { callId, opSeq, timeoutMs } of calls) {
            const settled = harness.settled.get(callId);
            expect(settled).toBeDefined();
            expect(settled!.atMs).toBeLessThanOrEqual(startMs + timeoutMs);
            if (settled!.result instanceof Error) {
              const { applied, code } = settled!.result;
              if (executed.has(opSeq)) expect(applied).toBe("maybe");
              if (code === "ERR_NO_QUORUM") expect(executed.has(opSeq)).toBe(false);
            } else expect(executed.has(opSeq)).toBe(true);
          }
          expect(harness.core.pending).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("ClientCore and the receiver's clock", () => {
  test("ClientCore's notAfter of a write never lies after the end of the try, whatever clocks and delays are", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ offset: fc.integer({ min: -900, max: 1e9 }), delay: fc.integer({ min: 1, max: 40 }) }),
          {
            minLength: 5,
            maxLength: 5,
          },
        ),
        (clocks) => {
          const harness = new Harness();
          for (const [index, { offset, delay }] of clocks.entries()) {
            harness.nodes[index]!.clockOffsetMs = offset;
            harness.nodes[index]!.delayMs = delay;
          }
          harness.start();
          harness.advance(1_500);
          const sent: { notAfter: number; offset: number; untilMs: number }[] = [];
          for (const node of harness.nodes) {
            node.answer = ({ kind, ...request }) => {
              if (kind !== "write") return 0;
              const { notAfter } = request as WriteRequest;
              const sentMs = harness.nowMs - node.delayMs;
              sent.push({
                notAfter,
                offset: node.clockOffsetMs,
                untilMs: sentMs + CLIENT_TIMING.tryMsMax + 10,
              });
              return undefined;
            };
          }
          for (let index = 0; index < 10; index++) harness.set(`key ${index}`, 300);
          harness.advance(400);

          expect(sent.length).toBeGreaterThan(9);
          for (const { notAfter, offset, untilMs } of sent) {
            expect(notAfter).toBeGreaterThan(0);
            expect(notAfter).toBeLessThanOrEqual(untilMs + offset);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test("ClientCore sends the next try of a write no earlier than the notAfter of the silent one", () => {
    const harness = Harness.connected();
    const [first] = harness.replicasOf("a");
    first!.answer = () => undefined;
    harness.set("a");
    harness.advance(300);

    const [one, two] = harness.requestsOf("a");
    expect((one!.request as WriteRequest).notAfter).toBeLessThanOrEqual(two!.atMs - 1);
  });

  test("ClientCore lets a read start until its deadline", () => {
    const harness = Harness.connected();
    const deadlineMs = harness.nowMs + 1_000;
    harness.get("a", 1_000);
    harness.advance(5);

    const { request } = harness.requestsOf("a")[0]!;
    const { notAfter } = request as { notAfter: number };
    expect(notAfter).toBeLessThanOrEqual(deadlineMs);
    expect(notAfter).toBeGreaterThan(deadlineMs - 10);
  });
});

describe("ClientCore under load", () => {
  test("ClientCore does not multiply the load of an overloaded cluster", () => {
    const harness = Harness.connected();
    for (let index = 0; index < 200; index++) {
      harness.get(`warm ${index}`);
      harness.advance(2);
    }
    const before = harness.nodes.reduce((sum, node) => sum + node.requests.length, 0);
    // Alive and hopelessly slow: every try times out, heartbeats are answered.
    for (const node of harness.nodes) node.answer = () => undefined;
    const calls = 5_000;
    for (let index = 0; index < calls; index++) {
      harness.get(`key ${index}`, 1_000);
      if (index % 50 === 0) harness.advance(10);
    }
    harness.advance(1_000);

    const tries = harness.nodes.reduce((sum, node) => sum + node.requests.length, 0) - before;
    // Some are tried; the windows close before most of the others are, and none is tried twice for nothing.
    expect(tries).toBeGreaterThan(1_000);
    expect(tries).toBeLessThan(calls);
  });

  test("ClientCore fails over all calls of a node that falls silent under load", () => {
    const harness = Harness.connected();
    for (let index = 0; index < 500; index++) {
      harness.get(`warm ${index}`);
      harness.advance(1);
    }
    harness.node("n1").mode = "silent";
    const calls: number[] = [];
    for (let index = 0; index < 1_000; index++) {
      calls.push(harness.set(`key ${index}`));
      if (index % 2 === 0) harness.advance(1);
    }
    harness.advance(1_500);

    expect(calls.filter((callId) => harness.result(callId) instanceof Error)).toEqual([]);
  });

  test("ClientCore refuses calls beyond pendingMax", () => {
    const harness = Harness.connected({ timing: { pendingMax: 10 } });
    const calls = Array.from({ length: 11 }, (_, index) => harness.set(`key ${index}`));

    expect(harness.error(calls[10]!)).toMatchObject({ code: "ERR_OVERLOADED", applied: "no" });
    harness.advance(10);
    expect(harness.result(calls[9]!)).toMatchObject({ kind: "written" });
  });

  describe("ClientCore, of a node that refuses because it has too much to do,", () => {
    const refusal = (id: number): ClientReply => ({ kind: "overloaded", ids: [id], retryAfterMs: 40 });

    test("repeats the call after the pause that was asked for", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      const [node] = harness.nodes;
      node!.answer = ({ id }) => (node!.requests.length === 1 ? refusal(id) : 0);

      const call = harness.set("k");
      harness.advance(80);

      expect(harness.result(call)).toMatchObject({ kind: "written" });
      const [first, second] = harness.requestsOf("k");
      expect(second!.atMs - first!.atMs).toBeGreaterThanOrEqual(20);
      expect(second!.request).toMatchObject({ attempt: 2 });
    });

    test("tells the caller at once when there is no time left, with the pause and that nothing was done", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      harness.nodes[0]!.answer = ({ id }) => refusal(id);

      const call = harness.set("k", 15);
      harness.advance(5);

      const error = harness.error(call);
      expect(error).toMatchObject({ code: "ERR_OVERLOADED", applied: "no" });
      expect(error.details).toMatchObject({ retryAfterMs: 40, attempts: 1 });
    });

    test("adds no more repeats than the budget allows, and tells the other callers at once", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      const [node] = harness.nodes;
      node!.answer = ({ id }) => refusal(id);

      const calls: number[] = [];
      for (let round = 0; round < 100; round++) {
        for (let index = 0; index < 20; index++) calls.push(harness.get(`key ${round} ${index}`));
        harness.advance(10);
      }
      harness.advance(1_000);

      const errors = calls.map((call) => harness.error(call).code);
      expect(new Set(errors)).toEqual(new Set(["ERR_OVERLOADED"]));
      // A fifth of the calls, 20 a second, and 600 to begin with.
      expect(node!.requests.length - calls.length).toBeLessThan(1_050);
    });

    test("has fewer calls under way there and keeps the others waiting here: a closed loop sees no refusal", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      const [node] = harness.nodes;
      let working = 0;
      let workingMax = 0;
      node!.answer = ({ id }) => {
        if (working >= 100) return refusal(id);
        working++;
        return 20;
      };
      const done = node!.answer;
      node!.answer = (request, self) => {
        const answer = done(request, self);
        workingMax = Math.max(workingMax, working);
        return answer;
      };
      const open: number[] = [];
      let made = 0;
      for (let step = 0; step < 600; step++) {
        for (let index = open.length - 1; index >= 0; index--) {
          const result = harness.result(open[index]!);
          if (result === undefined) continue;
          expect(result).toMatchObject({ kind: "got" });
          working = Math.max(0, working - 1);
          open.splice(index, 1);
        }
        while (open.length < 512) open.push(harness.get(`key ${made++}`));
        harness.advance(5);
      }

      expect(workingMax).toBe(100);
      expect(made).toBeGreaterThan(4_000);
    });

    test("refuses new calls at once when 512 wait here and the first has for 25 ms", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      const [node] = harness.nodes;
      let isRefusing = true;
      node!.answer = ({ id }) => (isRefusing ? refusal(id) : undefined);
      for (let round = 0; round < 15; round++) {
        for (let index = 0; index < 20; index++) harness.get(`warm ${round} ${index}`);
        harness.advance(10);
      }
      isRefusing = false;

      const burst = Array.from({ length: 600 }, (_, index) => harness.get(`key ${index}`, 5_000));
      harness.advance(24);
      const early = harness.get("early", 5_000);
      harness.advance(2);
      const late = harness.get("late", 5_000);

      expect(burst.map((call) => harness.result(call))).toEqual(burst.map(() => undefined));
      expect(harness.result(early)).toBeUndefined();
      expect(harness.error(late)).toMatchObject({ code: "ERR_OVERLOADED" });
      expect(harness.settled.get(late)?.atMs).toBe(harness.nowMs);
    });

    test("says beforehand what it would refuse, and refuses no call of a bulk call", () => {
      const harness = Harness.connected({ nodes: 1, replicas: 1 });
      const [node] = harness.nodes;
      node!.answer = () => 20;
      const question = { kind: "get", key: "k", want: "value" } as const;
      const refusal = () => harness.core.refusalOf(question, harness.nowMs + 1_000, harness.nowMs);
      for (let index = 0; index < 2_000; index++) harness.get(`warm ${index}`);
      harness.advance(100);
      expect(refusal()).toBeUndefined();

      node!.answer = () => undefined;
      const burst = Array.from({ length: 40_000 }, (_, index) => harness.get(`key ${index}`, 5_000));
      expect(refusal()).toBeUndefined();
      expect(burst.some((call) => harness.result(call) !== undefined)).toBe(false);
      // Until a heartbeat is answered.
      harness.advance(300);

      expect(refusal()).toMatchObject({ code: "ERR_OVERLOADED", details: { retryAfterMs: 100 } });
      const bulk = 1_000_000;
      const deadlineMs = harness.nowMs + 1_000;
      harness.feed({ kind: "call", callId: bulk, request: question, deadlineMs, isPatient: true });
      expect(harness.result(bulk)).toBeUndefined();
      const late = harness.get("late");
      expect(harness.error(late)).toMatchObject({ code: "ERR_OVERLOADED" });
    });
  });

  test("ClientCore keeps no more bytes unanswered on a link than it may, and finishes all calls", () => {
    const harness = Harness.connected({ nodes: 1, replicas: 1, timing: { linkBytesMax: 10_000 } });
    const [node] = harness.nodes;
    const change = {
      type: "set",
      value: new Uint8Array(3_000),
      format: 2,
      ttlMs: 0,
      condition: "none",
      ifVersion: 0,
    } as const;
    const calls = Array.from({ length: 20 }, (_, index) =>
      harness.call({ kind: "write", key: `key ${index}`, change }),
    );
    harness.advance(1);
    expect(node!.requests).toHaveLength(2);

    harness.advance(100);

    expect(calls.map((callId) => (harness.result(callId) as { kind: string }).kind)).toEqual(
      calls.map(() => "written"),
    );
  });

  test("ClientCore lets many calls wait for room on busy links without sending any of them twice", () => {
    const harness = Harness.connected({ nodes: 3, timing: { linkBytesMax: 600 } });
    for (const node of harness.nodes) node.answer = () => 20;
    const calls = Array.from({ length: 300 }, (_, index) => harness.get(`key ${index}`, 10_000));

    harness.advance(10_000);

    expect(calls.filter((callId) => harness.result(callId) instanceof Error)).toEqual([]);
    expect(harness.nodes.reduce((sum, node) => sum + node.requests.length, 0)).toBe(300);
  });

  test("ClientCore takes calls out of the queue of a node that falls silent", () => {
    const harness = Harness.connected({ nodes: 3, timing: { linkBytesMax: 600 } });
    const [first] = harness.replicasOf("a");
    first!.mode = "silent";
    const calls = Array.from({ length: 20 }, () => harness.get("a"));

    harness.advance(1_000);

    expect(calls.filter((callId) => harness.result(callId) instanceof Error)).toEqual([]);
  });

  test("ClientCore lets a value that is larger than a link's bound through, alone", () => {
    const harness = Harness.connected({ timing: { linkBytesMax: 10 } });

    const callId = harness.set("a");
    harness.advance(5);

    expect(harness.result(callId)).toMatchObject({ kind: "written" });
  });
});

describe("ClientCore with one address to ask", () => {
  const count = (address: string): CallRequest => ({
    kind: "count",
    target: address,
    slots: [...Array.from({ length: 3 }, (_, slot) => slot as never)],
  });

  test("ClientCore asks only that node, and reports its refusal", () => {
    const harness = Harness.connected();
    const node = harness.node("n3");
    const goodId = harness.call(count(node.address));
    harness.advance(5);
    expect(harness.result(goodId)).toMatchObject({ kind: "counted" });

    node.answer = (request) => failure(request, "ERR_NO_QUORUM");
    const badId = harness.call(count(node.address));
    harness.advance(5);
    expect(harness.error(badId)).toMatchObject({ code: "ERR_NO_QUORUM", details: { elsewhere: true } });
  });

  test("ClientCore waits for a slow node, without another try, and gives up when its link is lost", () => {
    const harness = Harness.connected();
    const node = harness.node("n3");
    node.answer = () => 700;
    const slowId = harness.call(count(node.address));
    harness.advance(900);
    expect(harness.result(slowId)).toMatchObject({ kind: "counted" });
    expect(node.requests).toHaveLength(1);

    node.mode = "silent";
    const lostId = harness.call(count(node.address), 5_000);
    harness.advance(900);
    expect(harness.error(lostId)).toMatchObject({ code: "ERR_UNREACHABLE" });
  });
});
