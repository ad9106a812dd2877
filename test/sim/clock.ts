// The two clocks of a host on virtual time. The monotonic one starts anywhere but never goes back; the wall clock may be off,
// drift and jump, as on machines whose time daemon failed.

import type { Now } from "../../src/core/machine.ts";

/** Wall time at the beginning of every run (ms since 1970). */
export const EPOCH_MS = 1_800_000_000_000;

/** A host's clocks. `monoOffsetMs` is drawn anew for each process, as `performance.now()` is. */
export class HostClock {
  /** Added to virtual time to give the process's monotonic time. */
  monoOffsetMs = 0;
  /** Whether the wall clock has ever been wrong. */
  wasOff = false;
  /** How far off the wall clock is when nothing is wrong with it: no two machines agree to the millisecond. */
  readonly #usualErrorMs: number;
  #wallOffsetMs = 0;
  /** Relative speed error of the wall clock: 0.0002 is 200 parts per million fast. */
  #drift = 0;
  #driftSinceMs = 0;

  constructor(usualErrorMs = 0) {
    this.#usualErrorMs = usualErrorMs;
  }

  now(worldMs: number): Now {
    return { monoMs: worldMs + this.monoOffsetMs, wallMs: this.wallMs(worldMs) };
  }

  wallMs(worldMs: number): number {
    return Math.floor(
      EPOCH_MS +
        worldMs +
        this.#usualErrorMs +
        this.#wallOffsetMs +
        (worldMs - this.#driftSinceMs) * this.#drift,
    );
  }

  /** By how many ms the wall clock is further off than usual. */
  errorMs(worldMs: number): number {
    return this.wallMs(worldMs) - (EPOCH_MS + worldMs) - this.#usualErrorMs;
  }

  /** Moves the wall clock by `ms`, forwards or back. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms;
    this.wasOff = true;
  }

  /** Sets the wall clock right, and keeps it right. */
  correct(): void {
    this.#wallOffsetMs = 0;
    this.#drift = 0;
  }

  /** Lets the wall clock run fast or slow from now on. */
  setDrift(drift: number, worldMs: number): void {
    this.#wallOffsetMs += (worldMs - this.#driftSinceMs) * this.#drift;
    this.#driftSinceMs = worldMs;
    this.#drift = drift;
    this.wasOff = true;
  }
}
