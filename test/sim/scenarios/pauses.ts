// Whole processes stop for seconds and go on as if nothing had been, with requests in their sockets that their clients have long
// repeated elsewhere.

import { finish } from "../judge.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";

const NODES = ["n1", "n2", "n3", "n4", "n5"];

export const pause: Scenario = {
  name: "pause",
  title:
    "Nodes are stopped for up to five seconds under load and go on: no increment applies twice, no older write undoes a newer one.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    world.startClient("c1");
    world.startClient("c2");
    world.startWorkload({
      name: "w",
      callers: 8,
      keys: 4,
      pauseMs: 5,
      weights: { get: 3, set: 4, delete: 1, increment: 2, ownIncrement: 4 },
    });
    for (let round = 0; round < 8; round++) {
      world.run(chance.below(1000));
      world.pause(chance.pick(NODES)!, chance.pick([150, 300, 700, 2000, 5000])!);
      world.run(chance.below(3000));
    }
    finish(world);
  },
};
