// Nodes join and leave under load: keys move, and nobody may notice.

import { describeRecorded } from "../history.ts";
import { finish } from "../judge.ts";
import { loadKeys, readLoadedKeys } from "../load.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";

const KEYS = 300;

export const joinAndLeave: Scenario = {
  name: "join-leave",
  title:
    "Nodes join and leave under load: a key that was there is never reported missing, no acknowledged write is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(4);
    world.startClient("c1");
    const reader = world.startClient("c2");
    loadKeys(world, reader, KEYS);
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 2 } });
    world.startWorkload({ name: "v", read: "one", callers: 4 });
    const check = () => {
      const missing = readLoadedKeys(world, reader, { count: KEYS, read: "one" });
      if (missing[0] !== undefined) {
        throw new Violation(
          "present keys are found",
          `${missing.length} of ${KEYS} keys: ${describeRecorded(missing[0])}`,
          world.queue.count,
        );
      }
    };
    let nextId = 5;
    for (let round = 0; round < 4; round++) {
      const members = world.running.map(({ id }) => id);
      const isJoin = members.length < 4 || (members.length < 6 && chance.chance(0.6));
      if (isJoin) world.startNode(`n${nextId++}`);
      else world.node(chance.pick(members)!).leave();
      for (let step = 0; step < 5; step++) {
        world.run(chance.below(200));
        check();
      }
      const expected = members.length + (isJoin ? 1 : -1);
      world.await(
        "the change to be over",
        () => world.running.length === expected && world.isSettled,
        60_000,
      );
      check();
    }
    finish(world, { isReadOneCurrent: true });
    check();
  },
};

export const twin: Scenario = {
  name: "twin",
  title:
    "A second process is started under a node's id while the first still runs, and the first is killed later: they never speak as one, no acknowledged write is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(chance.pick([3, 4, 5])!);
    world.startClient("c1");
    const reader = world.startClient("c2");
    loadKeys(world, reader, KEYS);
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 2 } });
    for (let round = 0; round < 2; round++) {
      world.run(500 + chance.below(1500));
      const id = chance.pick(world.running.map((node) => node.id as string))!;
      const old = world.node(id);
      // Slow enough to be taken for gone, or not at all.
      if (chance.chance(0.5)) world.pause(id, chance.below(3000));
      world.startTwin(id);
      world.run(chance.pick([10, 200, 2000, 6000])!);
      old.crash(chance.chance(0.3));
      world.nodes.delete(`${id}-old`);
      world.awaitSettled(`the twin of ${id} to be ${id}`, 60_000);
    }
    finish(world);
    const missing = readLoadedKeys(world, world.startClient("last"), { count: KEYS, read: "quorum" });
    if (missing[0] !== undefined) {
      throw new Violation(
        "no acknowledged write lost",
        `${missing.length} of ${KEYS} keys: ${describeRecorded(missing[0])}`,
      );
    }
  },
};
