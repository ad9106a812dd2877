// Everything at once, or only some of it: each seed draws its own kind of bad luck. A safety phase with faults, then a liveness
// phase in which faults stop and the cluster must come to rest.

import { drawFaults, drawNetwork, scheduleFaults } from "../faults.ts";
import { finish } from "../judge.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";

export const swarm: Scenario = {
  name: "swarm",
  title:
    "Each seed draws which faults exist and how often: every promise holds, and the cluster comes to rest when they stop.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    // Rare branches are made common: few hints, few operations remembered, short queues.
    const isTight = chance.chance(0.3);
    const world = make({
      network: { ...drawNetwork(seed), lossChance: 0 },
      node: {
        replication: isTight ? { hintsPerTargetMax: 3, hintsInFlightMax: 2 } : {},
      },
    });
    world.bootCluster(chance.pick([3, 4, 5, 5])!);
    for (let count = 1; count <= 2; count++) world.startClient(`c${count}`);
    world.startWorkload({
      name: "w",
      callers: 2 + chance.below(7),
      keys: chance.pick([1, 4, 20])!,
      pauseMs: chance.pick([5, 20, 80])!,
      timeoutMs: chance.pick([500, 2000])!,
      weights: { get: 5, set: 4, delete: 1, increment: 1, ownIncrement: 2, ttl: 1, ifAbsent: 1 },
    });
    world.network.profile = { ...world.network.profile, ...drawNetwork(seed) };
    const durationMs = 8000 + chance.below(12_000);
    const end = scheduleFaults(world, drawFaults(seed, durationMs));
    world.run(durationMs);
    end();
    world.drainWorkloads();
    // Long enough for every fault under way to end by itself: the dead come back.
    world.run(9000);
    finish(world);
  },
};
