// One node answers its heartbeats and serves badly. Nothing is wrong enough for anybody to be declared dead, so callers have to be
// led around it: a gray failure is measured by what they feel.

import { finish } from "../judge.ts";
import type { Heal } from "../network.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";
import type { World } from "../world.ts";
import { checkNobodyEvicted } from "./partitions.ts";

const OTHERS = ["n2", "n3", "n4", "n5", "c1", "c2"];
/** For so long. */
const GRAY_MS = 20_000;
/** Goal A6 of test/README.md. */
const P99_MS_MAX = 150;
const FAILED_SHARE_MAX = 0.001;

type Fault = (world: World) => readonly Heal[];

const eachWay = (fault: (from: string, to: string) => Heal): Heal[] =>
  OTHERS.flatMap((other) => [fault("n1", other), fault(other, "n1")]);

const FAULTS: readonly Fault[] = [
  ({ network }) => [network.slowDown("n1", 25)],
  ({ network }) => eachWay((from, to) => network.lose(from, to, 0.2)),
  ({ network }) => eachWay((from, to) => network.loseLarge(from, to)),
];

export const gray: Scenario = {
  name: "gray",
  title:
    "One node is 50 ms slower, loses a fifth of its packets, or all its large frames: of the calls 99 in 100 take 150 ms at most, and 999 in 1,000 succeed.",
  run(make, seed) {
    const world = make({ node: { membership: { deadGraceMs: 60_000 } } });
    world.bootCluster(5);
    world.startClient("c1");
    world.startClient("c2");
    // Reads of mode `one` may be stale here, when the first replica has not heard yet what was written around it.
    const common = { callers: 10, keys: 40, pauseMs: 20 };
    world.startWorkload({ ...common, name: "one", read: "one", weights: { get: 14, set: 5, delete: 1 } });
    const weights = { get: 14, set: 5, delete: 1, ownIncrement: 1 };
    world.startWorkload({ ...common, name: "quorum", read: "quorum", weights });
    world.run(3_000);
    const fromMs = world.nowMs;
    const heals = FAULTS[seed % FAULTS.length]!(world);
    world.run(GRAY_MS);
    for (const heal of heals) heal();
    checkCallers(world, fromMs);
    finish(world);
    checkNobodyEvicted(world);
  },
};

function checkCallers(world: World, fromMs: number): void {
  const operations = world.history.operations.filter(
    ({ callMs, type }) => callMs >= fromMs && type !== "open",
  );
  const times = operations.map(({ callMs, returnMs }) => returnMs - callMs).sort((a, b) => a - b);
  const p99Ms = times[Math.floor(times.length * 0.99)] ?? 0;
  const failed = operations.filter(({ type }) => type !== "ok").length;
  world.trace("scenario", () => `${operations.length} calls, ${failed} failed, p99 ${Math.round(p99Ms)} ms`);
  if (p99Ms > P99_MS_MAX) throw new Violation("availability", `p99 of ${Math.round(p99Ms)} ms`);
  if (failed > FAILED_SHARE_MAX * operations.length)
    throw new Violation("availability", `${failed} of ${operations.length} calls failed`);
}
