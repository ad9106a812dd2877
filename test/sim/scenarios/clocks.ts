// One node's wall clock is an hour off.

import { finish } from "../judge.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";

const HOUR_MS = 3_600_000;

export const clockOffset: Scenario = {
  name: "clock",
  title:
    "One node's wall clock jumps by an hour under load: it says so and takes no writes, the cluster goes on unharmed.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    world.startClient("c1");
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 1, ttl: 2 } });
    world.run(2000);
    const victim = chance.pick(["n1", "n2", "n3", "n4", "n5"])!;
    world.node(victim).loop.clock.jump(chance.pick([HOUR_MS, -HOUR_MS, 5000, -5000])!);
    world.run(10_000);
    if ((world.eventCounts.get("clockOff") ?? 0) === 0) {
      throw new Violation("a wrong clock is noticed", `${victim} said nothing`);
    }
    const lateMs = world.nowMs;
    world.run(10_000);
    const failed = world.history.operations.filter(
      ({ callMs, type }) => callMs > lateMs && type !== "ok" && type !== "open",
    );
    if (failed.length > 0) {
      throw new Violation(
        "availability",
        `${failed.length} calls failed once the clock was known to be off: ${failed[0]!.code}`,
      );
    }
    world.node(victim).loop.clock.correct();
    finish(world);
  },
};
