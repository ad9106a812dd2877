import { beforeAll, describe, expect, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";
import { expectHolds, type RunOptions, runSeed } from "./run-seed.ts";
import { swarm } from "./scenarios/swarm.ts";

/** `npm run sim` runs as many as you like. */
const SEEDS = 16;
const BATCH = 4;

let options: RunOptions;

beforeAll(async () => {
  options = { hashes: await loadHashes() };
});

describe("a swarm of faults", () => {
  for (let first = 1; first <= SEEDS; first += BATCH) {
    test(`breaks no promise with seeds ${first} to ${first + BATCH - 1}`, () => {
      let calls = 0;
      for (let seed = first; seed < first + BATCH; seed++) {
        const result = runSeed(seed, swarm, options);
        expectHolds(result);
        calls += result.operations.ok;
      }
      // A swarm in which nothing succeeds shows nothing.
      expect(calls).toBeGreaterThan(300 * BATCH);
    }, 120_000);
  }
});
