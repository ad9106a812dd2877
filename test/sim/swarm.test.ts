import { beforeAll, describe, expect, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";
import { expectHolds, type RunOptions, runOnce, runSeed } from "./run-seed.ts";
import { swarm } from "./scenarios/swarm.ts";

/** `npm run sim` runs as many as you like. */
const SEEDS = [1, 2, 3, 4, 5, 6];

let options: RunOptions;

beforeAll(async () => {
  options = { hashes: await loadHashes() };
});

describe("a swarm of faults", () => {
  test.each(SEEDS)(
    "breaks no promise with seed %i",
    (seed) => {
      // The first ones twice, to compare fingerprints.
      const result = (seed <= 2 ? runSeed : runOnce)(seed, swarm, options);

      expectHolds(result);
      // A swarm in which nothing succeeds shows nothing.
      expect(result.operations.ok).toBeGreaterThan(100);
    },
    400_000,
  );
});
