// A campaign: many seeds of many scenarios, what they found, and how long it took.

import type { RunResult } from "./run-seed.ts";

/** One seed to run. `twice`: a second time, to compare fingerprints. */
export interface Job {
  readonly scenario: string;
  readonly seed: number;
  readonly twice: boolean;
}

/** What a run tells, in a form that crosses processes. */
export interface JobResult {
  readonly scenario: string;
  readonly seed: number;
  readonly runs: number;
  readonly events: number;
  readonly simulatedMs: number;
  readonly operations: { readonly ok: number; readonly fail: number; readonly info: number };
  readonly eventCounts: readonly (readonly [string, number])[];
  readonly invariant: string | undefined;
  readonly failure: string;
}

export function jobResult(result: RunResult, runs: number, failure: string): JobResult {
  const { scenario, seed, events, simulatedMs, operations, eventCounts, violation } = result;
  return {
    scenario,
    seed,
    runs,
    events,
    simulatedMs,
    operations,
    eventCounts: [...eventCounts],
    invariant: violation?.invariant,
    failure,
  };
}

/** Every seed of every scenario. Seeds go round the scenarios, so that a campaign that is stopped has seen all of them. */
export function* jobsOf(plan: {
  readonly scenarios: readonly string[];
  readonly first: number;
  readonly count: number;
  /** Every so many seeds one is run twice; 1 for each, 0 for none. */
  readonly twiceEvery: number;
}): Generator<Job, void> {
  const { scenarios, first, count, twiceEvery } = plan;
  for (let seed = first; seed < first + count; seed++) {
    const twice = twiceEvery > 0 && (seed - first) % twiceEvery === 0;
    for (const scenario of scenarios) yield { scenario, seed, twice };
  }
}

interface Row {
  seeds: number;
  simulatedMs: number;
  ok: number;
  fail: number;
  info: number;
  readonly failures: { readonly seed: number; readonly invariant: string }[];
}

/** Adds up results. */
export class Tally {
  readonly #rows = new Map<string, Row>();
  readonly #eventCounts = new Map<string, number>();
  #seeds = 0;
  #events = 0;
  #simulatedMs = 0;
  #failures = 0;

  get seeds(): number {
    return this.#seeds;
  }

  get failures(): number {
    return this.#failures;
  }

  add(result: JobResult): void {
    const { scenario, seed, runs, simulatedMs, operations, invariant } = result;
    const row = this.#rows.get(scenario) ?? {
      seeds: 0,
      simulatedMs: 0,
      ok: 0,
      fail: 0,
      info: 0,
      failures: [],
    };
    this.#rows.set(scenario, row);
    row.seeds++;
    row.simulatedMs += simulatedMs;
    row.ok += operations.ok;
    row.fail += operations.fail;
    row.info += operations.info;
    this.#seeds++;
    this.#events += runs * result.events;
    this.#simulatedMs += runs * simulatedMs;
    for (const [type, count] of result.eventCounts) {
      this.#eventCounts.set(type, (this.#eventCounts.get(type) ?? 0) + count);
    }
    if (invariant === undefined) return;
    row.failures.push({ seed, invariant });
    this.#failures++;
  }

  /** One line for a progress bar. */
  progress(total: number, elapsedMs: number): string {
    const seconds = Math.max(0.001, elapsedMs / 1000);
    const share = total === 0 ? 1 : this.#seeds / total;
    const bar = "#".repeat(Math.round(20 * share)).padEnd(20, ".");
    const perMinute = Math.round((60 * this.#seeds) / seconds);
    const simulated = Math.round(this.#simulatedMs / 1000 / seconds);
    const left = Math.round((seconds / Math.max(1, this.#seeds)) * (total - this.#seeds));
    return `[${bar}] ${this.#seeds}/${total} seeds, ${perMinute}/min, ${simulated} simulated s/s, ${left} s left, ${this.#failures} failed`;
  }

  /** The whole result as text. */
  summary(elapsedMs: number): string {
    const seconds = elapsedMs / 1000;
    const lines = [
      `${"scenario".padEnd(16)} ${"seeds".padStart(6)} ${"simulated s".padStart(12)} ${"ok".padStart(9)} ${"failed".padStart(7)} ${"unknown".padStart(7)}  violations`,
    ];
    for (const [scenario, row] of this.#rows) {
      const failures = row.failures.map(({ seed, invariant }) => `${seed} (${invariant})`).join(", ");
      lines.push(
        `${scenario.padEnd(16)} ${String(row.seeds).padStart(6)} ${String(Math.round(row.simulatedMs / 1000)).padStart(12)} ${String(row.ok).padStart(9)} ${String(row.fail).padStart(7)} ${String(row.info).padStart(7)}  ${failures || "none"}`,
      );
    }
    const perMinute = Math.round((60 * this.#seeds) / seconds);
    const simulated = this.#simulatedMs / 1000;
    const perSeed = (simulated / Math.max(1, this.#seeds)).toFixed(0);
    lines.push(
      `${this.#seeds} seeds in ${seconds.toFixed(1)} s: ${perMinute} seeds/min of ${perSeed} simulated s each, ${Math.round(simulated / seconds)} simulated s per s, ${Math.round(this.#events / seconds)} events/s`,
      `node events: ${this.#listEvents()}`,
      this.#failures === 0 ? "no violation" : `${this.#failures} seeds with violations`,
    );
    return lines.join("\n");
  }

  #listEvents(): string {
    return [...this.#eventCounts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([type, count]) => `${type} ${count}`)
      .join(", ");
  }
}
