import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import type { NetworkProfile } from "./network.ts";
import { type ScriptedNode, scriptedNodes } from "./scripted.ts";
import { World } from "./world.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

/** Two nodes, `a` sending a ping to `b` each 10 ms. */
function pair(network: Partial<NetworkProfile> = {}, seed = 1) {
  const { factory, cores } = scriptedNodes();
  const world = new World({ seed, hashes, createNode: factory, network });
  world.startNode("a");
  world.startNode("b");
  const core = (id: string): ScriptedNode => cores.get(id)!;
  const send = () => {
    core("a").sendTo("b", 10, world.node("a").loop.now.monoMs);
    world.node("a").loop.arm();
  };
  send();
  return { world, core, send };
}

const isAscending = (numbers: readonly number[]) =>
  numbers.every((each, index) => index === 0 || each > numbers[index - 1]!);

describe("World", () => {
  test("leaves the same fingerprint for the same seed and another for another seed", () => {
    const fingerprint = (seed: number) => {
      const { world } = pair({ tailChance: 0.5 }, seed);
      world.run(1000);
      return world.digest.hex();
    };

    expect(fingerprint(1)).toBe(fingerprint(1));
    expect(fingerprint(2)).not.toBe(fingerprint(1));
  });

  test("gives each host clocks of its own", () => {
    const { world } = pair();
    world.node("b").loop.clock.jump(60_000);

    const a = world.node("a").loop.now;
    const b = world.node("b").loop.now;

    // Even well-kept clocks differ by some milliseconds.
    expect(Math.abs(b.wallMs - a.wallMs - 60_000)).toBeLessThan(100);
    expect(b.monoMs).not.toBe(a.monoMs);
  });
});

describe("Connections", () => {
  test("keep everything, in order, on a lossy stream", () => {
    const { world, core } = pair({ lossChance: 0.2, tailChance: 0.3, tailMsMax: 300 });
    world.run(20_000);
    core("a").sendTo("b", Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    world.run(60_000);

    const { received } = core("b");

    expect(received.length).toBeGreaterThan(1900);
    expect(received).toEqual(received.map((_, index) => index + 1));
  });

  test("lose, repeat and reorder in datagram mode", () => {
    const { world, core } = pair({
      mode: "datagram",
      lossChance: 0.2,
      duplicateChance: 0.2,
      tailChance: 0.3,
      tailMsMax: 300,
    });
    world.run(20_000);

    const { received } = core("b");

    expect(new Set(received).size).toBeLessThan(1700);
    expect(received.length).toBeGreaterThan(new Set(received).size + 100);
    expect(isAscending(received)).toBe(false);
  });

  test("hold frames back during a cut and say nothing", () => {
    const { world, core } = pair();
    world.run(1000);
    const heal = world.cut(["a"], ["b"]);
    const before = core("b").received.length;
    world.run(3000);
    const during = core("b").received.length - before;
    heal();
    world.run(5000);

    expect(during).toBeLessThanOrEqual(1);
    expect(core("b").received.length).toBeGreaterThan(850);
    expect(isAscending(core("b").received)).toBe(true);
    expect(core("a").news).toEqual(["up"]);
  });

  test("tell the peer at once when a process dies, unless its host lost power", () => {
    for (const isSilent of [false, true]) {
      const { world, core } = pair();
      world.run(1000);
      world.crash("b", isSilent);
      world.run(100);

      // A refused dial is news too, so a dead process may be reported more than once.
      expect(new Set(core("a").news)).toEqual(new Set(isSilent ? ["up"] : ["up", "down"]));
    }
  });

  test("carry nothing from one process to the next one at the same address", () => {
    const { world, core } = pair({ delayMs: 400 });
    world.run(4000);
    const sent = Math.max(...core("b").received);
    world.crash("b");
    world.restart("b");
    world.run(300);

    expect(core("b").received).toEqual([]);
    world.run(5000);
    expect(Math.min(...core("b").received)).toBeGreaterThan(sent);
  });

  test("close on redial and come back", () => {
    const { world, core } = pair();
    world.run(1000);
    core("b").toDo.push({ kind: "redial", member: world.node("a").id, path: "peer" });
    core("a").log.length = 0;
    world.node("b").loop.arm();
    world.run(1000);

    expect(core("a").news).toEqual(["down", "up"]);
  });
});

describe("NodeProcess", () => {
  test("is told of a pause before what waited, and ticks last", () => {
    const { world, core } = pair();
    world.run(1000);
    core("b").log.length = 0;
    world.pause("b", 500);
    world.run(499);
    expect(core("b").log).toEqual([]);
    world.run(2);

    const kinds = core("b").log.map(({ input }) => input.kind);

    expect(kinds[0]).toBe("stall");
    expect(kinds.slice(1, 40).every((kind) => kind === "peer")).toBe(true);
    expect(kinds.length).toBeGreaterThan(40);
  });

  test("starts with a greater generation and empty memory each time", () => {
    const { world } = pair();
    const first = world.node("b").options!.generation;
    world.crash("b");
    world.node("b").loop.clock.jump(-60_000);
    world.restart("b");

    expect(world.node("b").options!.generation).toBeGreaterThan(first);
  });
});
