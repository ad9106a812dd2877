import { beforeAll, describe, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";
import { REGRESSIONS } from "./regressions.ts";
import { expectHolds, type RunOptions, runOnce } from "./run-seed.ts";
import { scenarioNamed } from "./scenarios/index.ts";

let options: RunOptions;

beforeAll(async () => {
  options = { hashes: await loadHashes() };
});

describe("what once went wrong", () => {
  test.each(REGRESSIONS)(
    "stays right in $scenario with seed $seed: $cause",
    ({ scenario, seed }) => {
      expectHolds(runOnce(seed, scenarioNamed(scenario), options));
    },
    400_000,
  );
});
