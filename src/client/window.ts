// How many calls a client has under way on one link: as many as the node answers soon, and no more. The others wait on this side, where
// waiting costs nothing and no try runs into its time: tries that wait at the node are repeated, and repeats are load.
//
// Additive increase, multiplicative decrease (Jacobson, "Congestion avoidance and control", 1988), with three signs of too much: the
// node refuses; a try is not answered in its time; or answers take longer than a try is sure to have, beyond what an unloaded answer takes
// (Vegas' idea: delay tells before loss does). Where calls wait, they wait in proportion to the window, so a delay says how much is too
// much. Each sign counts once per round trip: what was sent before the last decrease says nothing of the window after it.

/** Calls under way to begin with: more than a closed loop of a few hundred callers has on one of its nodes. */
const START = 1_024;
/** The floor: on the slowest machine as many as keep a frame worth sending; the node's own bounds do the rest. */
const SIZE_MIN = 16;
/** The ceiling; half of what a node allows one connection. */
export const WINDOW_MAX = 8_192;
/** What a refusal or a silence leaves of the window; and the most and the least that a delay leaves of it. */
const AFTER_REFUSAL = 0.7;
const AFTER_DELAY_MAX = 0.85;
const AFTER_DELAY_MIN = 0.3;
/** Milliseconds above the unloaded answer that are a sign: under the 120 that a try has at least. */
const DELAY_MS = 80;
/** Milliseconds above it from which on the window does not grow any more. */
const GROWTH_MS = 40;
/** Once it has been cut, the window grows by this per round trip. */
const INCREASE = 8;
/** The unloaded answer is the fastest of this time and of the one before. */
const BASE_LIFE_MS = 30_000;
/** However far a node is, its answers are not taken for unloaded ones above this: a long overload would pass for distance. */
const BASE_MS_MAX = 200;
/** Answers over which their time is averaged. */
const ANSWERS_REMEMBERED = 64;
/** For this long after a sign of too much the link counts as overloaded. */
const OVERLOAD_MS = 500;

/** See the top of the file. Fed with monotonic milliseconds. */
export class Window {
  #size = START;
  /** Below it the window grows by one per answer, above it by {@link INCREASE} per round trip. */
  #threshold = WINDOW_MAX;
  #cutMs = Number.NEGATIVE_INFINITY;
  #signMs = Number.NEGATIVE_INFINITY;
  #baseMs = Number.POSITIVE_INFINITY;
  #olderBaseMs = Number.POSITIVE_INFINITY;
  #baseSinceMs = Number.NEGATIVE_INFINITY;
  #answerMs = 1;

  /** Calls that may be under way, from 16 to 8,192. */
  get size(): number {
    return Math.floor(this.#size);
  }

  /** What an unloaded answer takes, at most 200 ms. */
  get baseMs(): number {
    return Math.min(this.#baseMs, this.#olderBaseMs, BASE_MS_MAX);
  }

  /** Whether there were signs of too much lately. */
  isOverloaded(nowMs: number): boolean {
    return nowMs - this.#signMs < OVERLOAD_MS;
  }

  /** Milliseconds until as many calls as this have been answered, as things go now. */
  drainMs(calls: number): number {
    return (calls * this.#answerMs) / this.#size;
  }

  /**
   * A call was answered, while so many others were under way.
   *
   * @param ownMs how much of the time this process may have taken itself: a busy client must not take its node for a slow one
   */
  answered(sentMs: number, inFlight: number, nowMs: number, ownMs = 0): void {
    const ms = nowMs - sentMs;
    this.#answerMs += (ms - this.#answerMs) / ANSWERS_REMEMBERED;
    if (nowMs - this.#baseSinceMs > BASE_LIFE_MS) {
      this.#olderBaseMs = this.#baseMs;
      this.#baseMs = ms;
      this.#baseSinceMs = nowMs;
    } else if (ms < this.#baseMs) {
      this.#baseMs = ms;
    }
    const excessMs = ms - this.baseMs;
    // Its own lateness is no sign, and no reason to have more under way either.
    if (excessMs - ownMs > DELAY_MS)
      this.#cut(
        sentMs,
        Math.max(AFTER_DELAY_MIN, Math.min(AFTER_DELAY_MAX, DELAY_MS / (excessMs - ownMs))),
        nowMs,
      );
    // A window that is not used has proved nothing.
    else if (excessMs < GROWTH_MS && 2 * inFlight >= this.#size) this.#grow();
  }

  /** The node refused a call because it has too much to do. */
  refused(sentMs: number, nowMs: number): void {
    this.#signMs = nowMs;
    this.#cut(sentMs, AFTER_REFUSAL, nowMs);
  }

  /** A try was not answered in its time. */
  timedOut(sentMs: number, nowMs: number): void {
    this.#cut(sentMs, AFTER_REFUSAL, nowMs);
  }

  #grow(): void {
    this.#size = Math.min(
      WINDOW_MAX,
      this.#size + (this.#size < this.#threshold ? 1 : INCREASE / this.#size),
    );
  }

  #cut(sentMs: number, factor: number, nowMs: number): void {
    this.#signMs = nowMs;
    if (sentMs <= this.#cutMs) return;
    this.#cutMs = nowMs;
    this.#size = Math.max(SIZE_MIN, this.#size * factor);
    this.#threshold = this.#size;
  }
}
