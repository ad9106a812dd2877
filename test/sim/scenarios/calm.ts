// Nothing goes wrong. What does not hold here holds nowhere.

import { finish } from "../judge.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";

export const calm: Scenario = {
  name: "calm",
  title:
    "Five nodes, no faults: every call succeeds, reads of one replica are current, all counters are exact.",
  run(make) {
    const world = make();
    world.bootCluster(5);
    world.startClient("c1");
    world.startClient("c2");
    world.startWorkload({
      name: "w",
      weights: { get: 6, set: 4, delete: 1, increment: 2, ownIncrement: 1, ttl: 1, ifAbsent: 1 },
    });
    world.startWorkload({ name: "v", read: "one" });
    world.run(10_000);
    finish(world, { isReadOneCurrent: true, isSharedCounterExact: true, expiryAllowanceMs: 60 });
    const failed = world.history.operations.find(({ type }) => type !== "ok");
    if (failed !== undefined)
      throw new Violation("availability", `${failed.operation.f} failed: ${failed.code}`);
  },
};
