import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { CONTROLS } from "./controls.ts";
import { type RunResult, runOnce } from "./run-seed.ts";
import { scenarioNamed } from "./scenarios/index.ts";

/** A broken variant that survives this many seeds shows that the checkers do not see it. */
const SEEDS_MAX = 40;

let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

describe("the checkers", () => {
  test.each(CONTROLS)(
    "catch $name: $title",
    ({ scenario, overrides, catches }) => {
      let caught: RunResult | undefined;
      for (let seed = 1; seed <= SEEDS_MAX && caught === undefined; seed++) {
        const result = runOnce(seed, scenarioNamed(scenario), { hashes, overrides });
        if (result.violation !== undefined) caught = result;
      }

      expect(catches).toContain(caught?.violation?.invariant);
    },
    400_000,
  );
});
