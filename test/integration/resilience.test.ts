// Faults on real processes under load, in short: `npm run chaos` runs the same scenarios at full length.

import { beforeAll, describe, expect, test } from "vitest";
import {
  killAll,
  killOne,
  pauseOne,
  rollingKill,
  rollingRestart,
  type ScenarioResult,
} from "../../cluster/scenarios.ts";
import { ensureBuilt } from "../support/ensure-built.ts";

const SHORT = { rate: 2_000, keys: 5_000, calmMs: 600 };

beforeAll(ensureBuilt, 120_000);

/** The promises that were not kept, in words. How long the load itself was held up by a busy machine is nobody's silence. */
function broken({ checks, rounds, failures }: ScenarioResult): string[] {
  const ownDelayMs = Math.max(0, ...rounds.map((round) => round.load.ownDelayMaxMs));
  const notKept = checks.filter(
    ({ isKept, what, seen, limit = 0 }) =>
      !isKept && !(what.startsWith("longest silence") && seen <= limit + ownDelayMs),
  );
  return notKept.length === 0 ? [] : [...notKept.map((check) => JSON.stringify(check)), ...failures];
}

describe("five nodes under 2,000 calls a second", () => {
  test("fail no call and lose nothing when one is killed", async () => {
    expect(broken(await killOne({ ...SHORT, rounds: 2 }))).toEqual([]);
  }, 180_000);

  test("fail no call and lose nothing when one is paused", async () => {
    expect(broken(await pauseOne({ ...SHORT, rounds: 1, pauseMs: 3_000 }))).toEqual([]);
  }, 180_000);

  test("fail no call and lose nothing when all are restarted in turn", async () => {
    expect(broken(await rollingRestart(SHORT))).toEqual([]);
  }, 240_000);

  test("lose nothing when all are killed in turn, each as soon as the cluster is safe", async () => {
    expect(broken(await rollingKill(SHORT))).toEqual([]);
  }, 240_000);
});

describe("a client whose nodes are all dead", () => {
  test("settles by its deadline with every address, and works again when one is back", async () => {
    expect(broken(await killAll())).toEqual([]);
  }, 120_000);
});
