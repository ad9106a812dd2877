// Virtual time: events in the order of their instant; those of one instant in an order drawn by the scheduler's generator, so
// that no run relies on an order that real life does not promise.

import { Heap } from "../../src/base/heap.ts";
import type { Prng } from "../../src/base/prng.ts";

interface Event {
  readonly atMs: number;
  readonly tie: number;
  readonly sequence: number;
  readonly run: () => void;
}

/** The one queue of a run. */
export class EventQueue {
  #nowMs = 0;
  #count = 0;
  #sequence = 0;
  readonly #prng: Prng;
  readonly #heap = new Heap<Event>((a, b) => a.atMs - b.atMs || a.tie - b.tie || a.sequence - b.sequence);

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** Virtual ms since the run began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events carried out so far. */
  get count(): number {
    return this.#count;
  }

  /** Carries out `run` at the given instant, or now if that has passed. */
  at(atMs: number, run: () => void): void {
    this.#heap.push({
      atMs: Math.max(atMs, this.#nowMs),
      tie: this.#prng.uint32(),
      sequence: this.#sequence++,
      run,
    });
  }

  after(ms: number, run: () => void): void {
    this.at(this.#nowMs + ms, run);
  }

  /** Carries out the next event if it is due by `untilMs`; else moves the clock there. Says whether there was one. */
  step(untilMs: number): boolean {
    const next = this.#heap.peek();
    if (next === undefined || next.atMs > untilMs) {
      this.#nowMs = Math.max(this.#nowMs, untilMs);
      return false;
    }
    this.#heap.pop();
    this.#nowMs = next.atMs;
    this.#count++;
    next.run();
    return true;
  }
}
