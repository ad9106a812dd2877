// Keeps retries from making an overload worse: tries that repeat an unanswered one, and rounds after the first, are paid from a
// bucket that calls fill (Google SRE book, "Addressing cascading failures"; finagle's RetryBudget). Moving on from a broken link, or
// from a node that answered "not me", is free: that is not load on a node that is slow already.

/** Tokens that each call brings: retries may add a fifth to the load. */
const TOKENS_PER_CALL = 0.2;
/** A floor for clients with few calls, which must be able to fail over as well. */
const TOKENS_PER_SECOND = 20;
/** What a busy client may need at once when a node falls silent: a fifth of 60,000 calls a second for one try of 150 ms. */
const TOKENS_MAX = 2_000;
/** To begin with: one for each call of a closed loop of 512 that comes upon a node that refuses. */
const TOKENS_START = 600;

export class RetryBudget {
  #tokens = TOKENS_START;
  #filledMs: number;

  constructor(nowMs: number) {
    this.#filledMs = nowMs;
  }

  /** A new call has been made. */
  deposit(): void {
    this.#tokens = Math.min(TOKENS_MAX, this.#tokens + TOKENS_PER_CALL);
  }

  /** Takes one token; false when there is none. */
  take(nowMs: number): boolean {
    const filled = this.#tokens + ((nowMs - this.#filledMs) / 1000) * TOKENS_PER_SECOND;
    this.#tokens = Math.min(TOKENS_MAX, filled);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
