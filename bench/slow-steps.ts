// Measures how long single calls take on a machine that is not quiet. The wall time of a call includes the time in which another
// process had the core, or in which the whole machine stood still; no call took longer than the processor's time that the process
// used meanwhile, so the smaller of the two is counted. That still holds what the machine did on the process's account, such as
// interrupts: how much that is, steps say that do nothing ({@link SlowSteps.idle}) and are timed for as long.

import { readFileSync } from "node:fs";
import { PerformanceObserver } from "node:perf_hooks";

/** Faster calls are taken by the wall clock. */
const SLOW_MS = 0.3;
/** Calls at least as slow are remembered, to be told from collections; past so many the rest counts as it is. */
const LONG_MS = 2;
const LONG_MAX = 10_000;

/** What was seen of a call over {@link LONG_MS}, and of the calls before it since the last reading. */
interface LongStep {
  readonly startMs: number;
  readonly wallMs: number;
  readonly ms: number;
  readonly pageFaults: number;
  /** Times that another process was given the core. */
  readonly switches: number;
}

/** Collects the times of calls, wall and corrected, in a histogram of 1.1-fold steps from 100 ns. */
export class SlowSteps {
  readonly #callsPerReading: number;
  readonly #counts = new Float64Array(256);
  #count = 0;
  #calls = 0;
  #usage = process.resourceUsage();
  /** Wall time of all calls. */
  spentMs = 0;
  maxMs = 0;
  wallMaxMs = 0;
  overTwoMs = 0;
  readonly #long: LongStep[] = [];

  /** `callsPerReading`: calls between two readings of the process's account; what is used between them is counted to a slow call too. */
  constructor(callsPerReading = 32) {
    this.#callsPerReading = callsPerReading;
  }

  /** Runs `call` and counts its time. */
  time(call: () => void): void {
    if (++this.#calls % this.#callsPerReading === 0) this.#usage = process.resourceUsage();
    const start = performance.now();
    call();
    const wallMs = performance.now() - start;
    this.spentMs += wallMs;
    let ms = wallMs;
    let [pageFaults, switches] = [0, 0];
    if (wallMs > SLOW_MS) {
      const [before, usage] = [this.#usage, process.resourceUsage()];
      this.#usage = usage;
      const micros = usage.userCPUTime - before.userCPUTime + usage.systemCPUTime - before.systemCPUTime;
      ms = Math.min(wallMs, micros / 1000);
      pageFaults = usage.minorPageFault - before.minorPageFault;
      switches = usage.involuntaryContextSwitches - before.involuntaryContextSwitches;
    }
    this.#count++;
    if (wallMs > this.wallMaxMs) this.wallMaxMs = wallMs;
    if (ms > this.maxMs) this.maxMs = ms;
    if (ms > LONG_MS) {
      this.overTwoMs++;
      if (this.#long.length < LONG_MAX) this.#long.push({ startMs: start, wallMs, ms, pageFaults, switches });
    }
    this.#counts[Math.max(0, Math.min(255, Math.round(Math.log(ms / 1e-4) / Math.log(1.1))))]!++;
  }

  /** A call that does nothing: looks at the clock for two microseconds. */
  idle(): void {
    this.time(() => {
      const endMs = performance.now() + 0.002;
      while (performance.now() < endMs);
    });
  }

  /** The calls over 2 ms that are so without the collections that fell into them: how many, the longest, what is known of each. */
  longWithout(gc: GcWatch): {
    readonly count: number;
    readonly maxMs: number;
    readonly lines: readonly string[];
  } {
    const rest = this.#long.map((step) => {
      const collectedMs = gc.within(step.startMs, step.startMs + step.wallMs);
      return { ...step, collectedMs, restMs: Math.min(step.ms, step.wallMs - collectedMs) };
    });
    const long = rest.filter(({ restMs }) => restMs > LONG_MS);
    return {
      count: long.length,
      maxMs: Math.max(0, ...rest.map(({ restMs }) => restMs)),
      lines: long.map(
        ({ wallMs, ms, collectedMs, pageFaults, switches }) =>
          `${wallMs.toFixed(2)} ms, processor ${ms.toFixed(2)}, collections ${collectedMs.toFixed(2)}; about it ${pageFaults} page faults, ${switches} switches`,
      ),
    };
  }

  /** Upper end of the step that holds the quantile, in microseconds. */
  micros(quantile: number): number {
    let rest = this.#count * quantile;
    for (let index = 0; index < this.#counts.length; index++) {
      rest -= this.#counts[index]!;
      if (rest <= 0) return 0.1 * 1.1 ** (index + 0.5);
    }
    return Number.POSITIVE_INFINITY;
  }

  toString(): string {
    const micros = (quantile: number) => `${this.micros(quantile).toFixed(1)}`;
    return `p50 ${micros(0.5)} p99 ${micros(0.99)} p99.9 ${micros(0.999)} us, max ${this.maxMs.toFixed(2)} ms (wall ${this.wallMaxMs.toFixed(2)}), over 2 ms: ${this.overTwoMs} of ${this.#count}`;
  }
}

/** Milliseconds that the main thread was ready and had no core; 0 where the system does not say. */
function waitedMs(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** Watches the garbage collector's pauses. */
export class GcWatch {
  #count = 0;
  #totalMs = 0;
  #waitedMs = waitedMs();
  maxMs = 0;
  wallMaxMs = 0;
  /** Those over a tenth of a millisecond, in the order in which they were reported. */
  readonly #pauses: { readonly startMs: number; readonly endMs: number }[] = [];

  constructor() {
    new PerformanceObserver((list) => {
      const waited = waitedMs();
      for (const { startTime, duration } of list.getEntries()) {
        if (duration > 0.1) this.#pauses.push({ startMs: startTime, endMs: startTime + duration });
        this.#count++;
        this.#totalMs += duration;
        this.wallMaxMs = Math.max(this.wallMaxMs, duration);
        // Waiting since the last look may have fallen into the pause or beside it: the truth lies between the two figures.
        this.maxMs = Math.max(this.maxMs, duration - (waited - this.#waitedMs));
      }
      this.#waitedMs = waited;
    }).observe({ entryTypes: ["gc"] });
  }

  /** Milliseconds of collections between two instants of `performance.now()`. */
  within(startMs: number, endMs: number): number {
    let sum = 0;
    for (const pause of this.#pauses) {
      sum += Math.max(0, Math.min(endMs, pause.endMs) - Math.max(startMs, pause.startMs));
    }
    return sum;
  }

  toString(): string {
    return `${this.#count} collections, ${this.#totalMs.toFixed(0)} ms in all, longest ${this.maxMs.toFixed(1)} ms (wall ${this.wallMaxMs.toFixed(1)})`;
  }
}
