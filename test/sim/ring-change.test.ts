import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import { isInRing } from "../../src/core/messages.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import type { NodeFactory } from "./node-process.ts";
import { createCoreNode } from "./subjects.ts";
import { World } from "./world.ts";

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

/** Nodes of which one never asks for a copy while it is stuck: its gossip works, and its rehearsal never ends. */
function withStuckNode(id: string): { factory: NodeFactory; state: { isStuck: boolean } } {
  const state = { isStuck: true };
  const factory: NodeFactory = (options, ports, now) => {
    const core = createCoreNode(options, ports, now);
    if (options.id !== id) return core;
    const isDropped = (effect: Effect) =>
      state.isStuck && effect.kind === "send" && effect.path === "peer" && effect.message.kind === "pull";
    return {
      get genesisId() {
        return core.genesisId;
      },
      deadline: () => core.deadline(),
      status: (at: Now) => core.status(at),
      step: (input: Input, at: Now) => core.step(input, at).filter((effect) => !isDropped(effect)),
    };
  };
  return { factory, state };
}

function membersSeenBy(world: World, id: string): string[] {
  const members = world.node(id).status?.members ?? [];
  return members.filter(({ ringState }) => isInRing(ringState)).map((member) => member.id);
}

describe("A change of the ring", () => {
  test("goes on without a joiner whose rehearsal gets nowhere, and takes it in when it does", () => {
    const { factory, state } = withStuckNode("n5");
    const node = { membership: { deadGraceMs: 4_000, evictionSpacingMs: 1_000 } };
    const world = new World({ seed: 1, hashes, createNode: factory, node });
    world.bootCluster(4);
    world.startNode("n5");
    world.run(5_000);
    world.crash("n2");

    const isEvicted = () => membersSeenBy(world, "n1").join() === "n1,n3,n4";
    expect(world.runUntil(isEvicted, 30_000)).toBe(false);
    expect(world.runUntil(isEvicted, 90_000)).toBe(true);

    state.isStuck = false;
    world.await("the joiner to be in", () => membersSeenBy(world, "n1").join() === "n1,n3,n4,n5", 120_000);
  });

  test("is not waited for by a leaving node of two whose peer is dead", () => {
    const world = new World({ seed: 1, hashes });
    world.bootCluster(2);
    world.crash("n2");
    world.run(10_000);

    world.node("n1").leave();

    expect(world.runUntil(() => world.node("n1").hasLeft, 60_000)).toBe(false);
    expect(world.runUntil(() => world.node("n1").hasLeft, 70_000)).toBe(true);
  });

  test("still hands over from a leaving node whose peer comes back", () => {
    const world = new World({ seed: 1, hashes });
    world.bootCluster(2);
    world.crash("n2");
    world.run(10_000);
    world.node("n1").leave();
    world.run(30_000);

    world.restart("n2");

    world.await("n1 to have left", () => world.node("n1").hasLeft, 30_000);
    world.run(1_000);
    expect(world.running.map(({ id }) => id)).toEqual(["n2"]);
    world.await("n2 to be the cluster", () => membersSeenBy(world, "n2").join() === "n2", 10_000);
  });

  test("evicts a dead member although one that came back empty waits to copy from it", () => {
    const node = { membership: { deadGraceMs: 4_000, evictionSpacingMs: 1_000 } };
    const world = new World({ seed: 1, hashes, node });
    const few: string[] = [];
    world.onEvent = (node, event) => {
      if (event.type === "filledFromFew") few.push(node.id);
    };
    world.bootCluster(5);
    // A young cluster has nothing that could be lost.
    expect(few).toEqual([]);
    world.crash("n4");
    world.crash("n5");
    world.run(1_000);

    world.restart("n5");

    world.await("n4 to be gone", () => membersSeenBy(world, "n1").join() === "n1,n2,n3,n5", 30_000);
    world.awaitSettled("every slot to have its copies", 30_000);
    // Two copies of some slots are gone, and it is said so by those who gained them: n5 waits for what they have.
    expect(few).not.toEqual([]);
  });

  test("takes in fifty nodes that start at once in few batches, none larger than a ring that has its copies", () => {
    const world = new World({ seed: 1, hashes });
    const sizes: number[] = [];
    world.onEvent = (node, event) => {
      if (node.id === "n1" && event.type === "ringChanged") sizes.push(event.members);
    };
    for (let number = 1; number <= 50; number++) world.startNode(`n${number}`);

    // Looking at fifty nodes costs more than running them: seldom.
    for (let second = 0; second < 60 && sizes.at(-1) !== 50; second++) world.run(1_000);

    expect(sizes.at(-1)).toBe(50);
    // A ring with fewer members than copies takes in all who are there, a larger one as many as it has: 1, 50 at best.
    expect(sizes.length).toBeLessThanOrEqual(8);
    for (let index = 1; index < sizes.length; index++) {
      const before = sizes[index - 1]!;
      if (before >= world.replicas) expect(sizes[index]!).toBeLessThanOrEqual(2 * before);
    }
  }, 120_000);
});
