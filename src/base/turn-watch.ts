// Measures how long what enters a driver has waited, as far as a process can see: from turns of the event loop. What is read in this
// turn came while the turn before was at work, at half of it on average, and has waited since this turn began for those that were
// read before it. When the loop rested in between, nothing came earlier.
//
// A process that the system does not let run sees its turns grow: also that is waiting. Costs two comparisons per entry, and one
// immediate per turn.

/**
 * A pause between two turns that is longer, and longer than half of the turn before, was a rest: then nothing waited for that turn. Shorter ones
 * are what the system let others run for, or the time it took to decode a large frame.
 */
const REST_MS = 2;

/** Pure; fed with monotonic milliseconds. */
export class TurnWatch {
  #isOpen = false;
  #beganMs = 0;
  #endedMs = Number.NEGATIVE_INFINITY;
  #lastMs = 0;
  /** Of the turn before, when this one followed at once. */
  #beforeMs = 0;

  /** Something enters. Returns whether it is the first of its turn: then {@link end} is to be called when the turn ends. */
  enter(nowMs: number): boolean {
    if (this.#isOpen) return false;
    this.#isOpen = true;
    this.#beganMs = nowMs;
    this.#beforeMs = nowMs - this.#endedMs <= Math.max(REST_MS, this.#lastMs / 2) ? this.#lastMs : 0;
    return true;
  }

  /** The turn has ended. */
  end(nowMs: number): void {
    this.#isOpen = false;
    this.#endedMs = nowMs;
    this.#lastMs = nowMs - this.#beganMs;
  }

  /**
   * How much of a round trip that ends now this process's own turns may have taken: the answer came while the turn before was at work, or what was
   * said in it left at its end.
   */
  ownMs(nowMs: number): number {
    return nowMs - this.#beganMs + this.#beforeMs;
  }

  /** How long what enters now has waited, in milliseconds; after {@link enter}. */
  waitedMs(nowMs: number): number {
    return nowMs - this.#beganMs + this.#beforeMs / 2;
  }
}
