// One run: a scenario with a seed. Every run that is judged is made twice, and both must leave the same fingerprint.

import type { Hashes } from "../../src/base/hash.ts";
import { Violation } from "./violation.ts";
import { World, type WorldOptions } from "./world.ts";

/** Makes the run's world; the scenario says what is special about it. */
export type WorldMaker = (options?: Partial<WorldOptions>) => World;

export interface Scenario {
  readonly name: string;
  /** One sentence: what happens and what must hold. */
  readonly title: string;
  /** @throws {Violation} when a promise is broken */
  run(make: WorldMaker, seed: number): void;
}

export interface RunResult {
  readonly seed: number;
  readonly scenario: string;
  readonly digest: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly violation: Violation | undefined;
  readonly operations: { readonly ok: number; readonly fail: number; readonly info: number };
  readonly eventCounts: ReadonlyMap<string, number>;
}

export interface RunOptions {
  readonly hashes: Hashes;
  /** Laid over what the scenario asks for: broken variants of the subjects, tracing. */
  readonly overrides?: Partial<WorldOptions>;
}

/** Runs a scenario once. Broken promises are in the result; anything else that is thrown is a bug of the simulator or the core. */
export function runOnce(seed: number, scenario: Scenario, options: RunOptions): RunResult {
  let world: World | undefined;
  let violation: Violation | undefined;
  const make: WorldMaker = (wanted = {}) => {
    world = new World({ seed, hashes: options.hashes, ...wanted, ...options.overrides });
    return world;
  };
  try {
    scenario.run(make, seed);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  const operations = { ok: 0, fail: 0, info: 0 };
  for (const { type } of world?.history.operations ?? []) if (type !== "open") operations[type]++;
  return {
    seed,
    scenario: scenario.name,
    digest: world?.digest.hex() ?? "",
    events: world?.queue.count ?? 0,
    simulatedMs: world?.nowMs ?? 0,
    violation,
    operations,
    eventCounts: world?.eventCounts ?? new Map(),
  };
}

/** Runs a scenario twice with one seed. A different fingerprint is itself a violation. */
export function runSeed(seed: number, scenario: Scenario, options: RunOptions): RunResult {
  const first = runOnce(seed, scenario, options);
  if (first.violation !== undefined) return first;
  const second = runOnce(seed, scenario, options);
  if (second.digest === first.digest && second.violation === undefined) return first;
  const violation = new Violation(
    "determinism",
    `two runs differ: ${first.digest} after ${first.events} events, ${second.digest} after ${second.events} ${second.violation?.message ?? ""}`,
  );
  return { ...first, violation };
}

/** What to tell about a broken promise: seed, invariant, event and the one command that repeats it. */
export function describeFailure({ seed, scenario, violation }: RunResult): string {
  if (violation === undefined) return "";
  return `seed ${seed} of ${scenario} breaks "${violation.invariant}" at event ${violation.event}
${violation.message}
repeat: npm run sim -- --seed ${seed} --scenario ${scenario}`;
}

/** Throws the description of the failure, if there is one: for tests. */
export function expectHolds(result: RunResult): void {
  if (result.violation !== undefined) throw new Error(describeFailure(result));
}
