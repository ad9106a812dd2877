// Every scenario by name, for the tests and the command line.

import type { Scenario } from "../run-seed.ts";
import { loss, stalls } from "./bad-links.ts";
import { calm } from "./calm.ts";
import { clockOffset } from "./clocks.ts";
import { asyncCrash, behind, crash, fullRestart, rollingCrash } from "./crashes.ts";
import { gray } from "./gray.ts";
import { joinAndLeave, twin } from "./membership.ts";
import { evictedPair, longCut, oneWay, partition } from "./partitions.ts";
import { pause } from "./pauses.ts";
import { ringChanges } from "./ring-changes.ts";
import { clearing, dense, forgetful, pressure, swarm } from "./swarm.ts";

export const SCENARIOS: readonly Scenario[] = [
  calm,
  partition,
  longCut,
  evictedPair,
  oneWay,
  loss,
  stalls,
  gray,
  crash,
  behind,
  rollingCrash,
  fullRestart,
  asyncCrash,
  pause,
  joinAndLeave,
  ringChanges,
  twin,
  clockOffset,
  swarm,
  dense,
  pressure,
  forgetful,
  clearing,
];

/** @throws {Error} naming the scenarios there are */
export function scenarioNamed(name: string): Scenario {
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) {
    throw new Error(`No scenario ${name}; there are ${SCENARIOS.map((each) => each.name).join(", ")}`);
  }
  return scenario;
}
