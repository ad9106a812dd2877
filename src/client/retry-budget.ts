// Keeps tries that repeat others from making an overload worse: they are paid from a bucket that calls fill (Google SRE book, "Addressing
// cascading failures"; finagle's RetryBudget). There is one for tries that repeat an unanswered one, and for rounds after the first; and a
// smaller one for reads that are asked of a second replica in good time (client-core.ts). Moving on from a broken link, or from a node
// that answered "not me", is free: that is not load on a node that is slow already.

/** How a bucket fills, in tokens; a try costs one. */
export interface BudgetLimits {
  /** What each call brings. */
  readonly perCall: number;
  readonly perSecond: number;
  readonly max: number;
  readonly start: number;
}

export const RETRIES: BudgetLimits = Object.freeze({
  // Retries may add a fifth to the load.
  perCall: 0.2,
  // A floor for clients with few calls, which must be able to fail over as well.
  perSecond: 20,
  // What a busy client may need at once when a node falls silent: a fifth of 60,000 calls a second for one try of 150 ms.
  max: 2_000,
  // One for each call of a closed loop of 512 that comes upon a node that refuses.
  start: 600,
});

/** A read in twenty; nothing for time, since they are for the tail only. A stall of one node among three is some hundred reads. */
export const HEDGES: BudgetLimits = Object.freeze({ perCall: 0.05, perSecond: 0, max: 100, start: 10 });

export class RetryBudget {
  readonly #limits: BudgetLimits;
  #tokens: number;
  #filledMs: number;

  constructor(limits: BudgetLimits, nowMs: number) {
    this.#limits = limits;
    this.#tokens = limits.start;
    this.#filledMs = nowMs;
  }

  /** A new call has been made. */
  deposit(): void {
    this.#tokens = Math.min(this.#limits.max, this.#tokens + this.#limits.perCall);
  }

  /** Takes one token; false when there is none. */
  take(nowMs: number): boolean {
    const filled = this.#tokens + ((nowMs - this.#filledMs) / 1000) * this.#limits.perSecond;
    this.#tokens = Math.min(this.#limits.max, filled);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
