// Packets are lost and event loops stall, everywhere and all the time, but everybody is healthy.

import { finish } from "../judge.ts";
import type { NetworkProfile } from "../network.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { checkNobodyEvicted } from "./partitions.ts";

const NODES = ["n1", "n2", "n3", "n4", "n5"];

export const loss: Scenario = {
  name: "loss",
  title:
    "10 % of all packets are lost (late on a stream, gone and repeated in datagrams): nobody is evicted, nothing is lost.",
  run(make, seed) {
    const mode: NetworkProfile["mode"] = seed % 2 === 0 ? "stream" : "datagram";
    const network = { mode, delayMs: 1, tailChance: 0.02, tailMsMax: 200, duplicateChance: 0.03 };
    const world = make({ network, node: { membership: { deadGraceMs: 5000 } } });
    world.bootCluster(5);
    world.startClient("c1");
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 2 } });
    world.network.profile = { ...world.network.profile, lossChance: 0.1 };
    world.run(30_000);
    finish(world);
    checkNobodyEvicted(world);
  },
};

export const stalls: Scenario = {
  name: "stalls",
  title:
    "Event loops stand still for a second, one after another and at times several at once: nobody is evicted, nothing is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make({ node: { membership: { deadGraceMs: 5000 } } });
    world.bootCluster(5);
    world.startClient("c1");
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 2 } });
    for (let round = 0; round < 12; round++) {
      for (const id of chance.shuffled(NODES).slice(0, 1 + chance.below(2))) world.pause(id, 1000);
      world.run(1000 + chance.below(2000));
    }
    finish(world);
    checkNobodyEvicted(world);
  },
};
