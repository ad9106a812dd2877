// Measures how long single calls take on a machine that is not quiet. The wall time of a call includes the time in which another
// process had the core, or in which the whole machine stood still; no call took longer than the processor's time that the process
// used meanwhile, so the smaller of the two is counted.

import { readFileSync } from "node:fs";
import { PerformanceObserver } from "node:perf_hooks";

/** Faster calls are taken by the wall clock. */
const SLOW_MS = 0.3;

/** Collects the times of calls, wall and corrected, in a histogram of 1.1-fold steps from 100 ns. */
export class SlowSteps {
  readonly #callsPerReading: number;
  readonly #counts = new Float64Array(256);
  #count = 0;
  #calls = 0;
  #usage = process.cpuUsage();
  maxMs = 0;
  wallMaxMs = 0;
  overTwoMs = 0;

  /** `callsPerReading`: calls between two readings of the process's account; what is used between them is counted to a slow call too. */
  constructor(callsPerReading = 32) {
    this.#callsPerReading = callsPerReading;
  }

  /** Runs `call` and counts its time. */
  time(call: () => void): void {
    if (++this.#calls % this.#callsPerReading === 0) this.#usage = process.cpuUsage();
    const start = performance.now();
    call();
    const wallMs = performance.now() - start;
    let ms = wallMs;
    if (wallMs > SLOW_MS) {
      const { user, system } = process.cpuUsage(this.#usage);
      ms = Math.min(wallMs, (user + system) / 1000);
      this.#usage = process.cpuUsage();
    }
    this.#count++;
    if (wallMs > this.wallMaxMs) this.wallMaxMs = wallMs;
    if (ms > this.maxMs) this.maxMs = ms;
    if (ms > 2) this.overTwoMs++;
    this.#counts[Math.max(0, Math.min(255, Math.round(Math.log(ms / 1e-4) / Math.log(1.1))))]!++;
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

  constructor() {
    new PerformanceObserver((list) => {
      const waited = waitedMs();
      for (const { duration } of list.getEntries()) {
        this.#count++;
        this.#totalMs += duration;
        this.wallMaxMs = Math.max(this.wallMaxMs, duration);
        // Waiting since the last look may have fallen into the pause or beside it: the truth lies between the two figures.
        this.maxMs = Math.max(this.maxMs, duration - (waited - this.#waitedMs));
      }
      this.#waitedMs = waited;
    }).observe({ entryTypes: ["gc"] });
  }

  toString(): string {
    return `${this.#count} collections, ${this.#totalMs.toFixed(0)} ms in all, longest ${this.maxMs.toFixed(1)} ms (wall ${this.wallMaxMs.toFixed(1)})`;
  }
}
