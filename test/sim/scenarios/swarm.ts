// Everything at once, or only some of it: each seed draws its own kind of bad luck (swarm testing, Groce et al. 2012).

import type { Scenario } from "../run-seed.ts";
import {
  drawClearingPlan,
  drawDensePlan,
  drawForgetfulPlan,
  drawPlan,
  drawPressurePlan,
  runPlan,
} from "../swarm-plan.ts";

export const swarm: Scenario = {
  name: "swarm",
  title:
    "Each seed draws which faults exist and how often: every promise holds, and the cluster comes to rest when they stop.",
  run(make, seed) {
    runPlan(make, drawPlan(seed));
  },
};

export const dense: Scenario = {
  name: "dense",
  title: "The same for a short time under a dense load: many operations of one key at any instant.",
  run(make, seed) {
    runPlan(make, drawDensePlan(seed));
  },
};

export const pressure: Scenario = {
  name: "pressure",
  title:
    "A swarm whose stores are far too small: misses are no loss, but nothing that was overwritten or deleted comes back.",
  run(make, seed) {
    runPlan(make, drawPressurePlan(seed));
  },
};

export const forgetful: Scenario = {
  name: "forgetful",
  title:
    "A dense swarm on one slot whose tombstones are dropped at once: what was there may be missed, and nothing that was deleted comes back.",
  run(make, seed) {
    runPlan(make, drawForgetfulPlan(seed));
  },
};

export const clearing: Scenario = {
  name: "clearing",
  title:
    "A dense swarm in which everything is removed now and then: it is gone at once, and what is written later is not.",
  run(make, seed) {
    runPlan(make, drawClearingPlan(seed));
  },
};
