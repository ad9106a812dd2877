import { beforeAll, describe, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";
import { expectHolds, type RunOptions, runOnce, runSeed } from "./run-seed.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios/index.ts";

/** One seed per scenario in the suite; `npm run sim` runs as many as you like. */
const SEED = 1;

/** Run a second time, to compare fingerprints. */
const TWICE: readonly string[] = ["loss", "clock", "join-leave"];

let options: RunOptions;

beforeAll(async () => {
  options = { hashes: await loadHashes() };
});

describe("a simulated cluster", () => {
  const named = SCENARIOS.filter(({ name }) => name !== "swarm");
  test.each(named)(
    `holds in "$name" with seed ${SEED}: $title`,
    ({ name }) => {
      expectHolds((TWICE.includes(name) ? runSeed : runOnce)(SEED, scenarioNamed(name), options));
    },
    400_000,
  );
});
