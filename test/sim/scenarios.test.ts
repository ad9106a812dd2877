import { beforeAll, describe, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";
import { expectHolds, type RunOptions, runOnce, runSeed } from "./run-seed.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios/index.ts";

/** Seeds per scenario in the suite; `npm run sim` runs as many as you like. */
const SEEDS = [1];

/** Ten simulated minutes: run once, without the second run that compares fingerprints. */
const LONG = "long-cut";

let options: RunOptions;

beforeAll(async () => {
  options = { hashes: await loadHashes() };
});

describe("a simulated cluster", () => {
  const named = SCENARIOS.filter(({ name }) => name !== "swarm");
  for (const { name, title } of named) {
    test.each(SEEDS)(
      `holds in "${name}" with seed %i: ${title}`,
      (seed) => {
        expectHolds((name === LONG ? runOnce : runSeed)(seed, scenarioNamed(name), options));
      },
      180_000,
    );
  }
});
