// Whether a node takes on what clients ask, by how long their frames waited before their step: the one symptom that every cause of
// overload shares (too many calls, a slow machine, long collections, another program on the core). The shell measures; this decides.
//
// As in CoDel, a burst is none of its business: frames that wait are taken as long as some frame now and then does not. Only when every
// frame of {@link STANDING_MS} had to wait for longer than {@link TARGET_MS} does the queue stand, and then CoDel's slow drops would
// not do: whoever is refused costs a tenth of who is served, so everything above the target is refused until nothing has been above
// it for {@link CALM_MS}. What was refused is repeated by its client after a pause (`retryAfterMs`), in a smaller window.
// Only clients are refused. What other nodes ask belongs to calls that were taken on already; hints and copies give way by themselves
// while this node is busy. Rejected: a limit of calls under way, which has to be guessed for each machine and mix of calls.
// Source: Nichols and Jacobson, "Controlling queue delay", 2012; Maurer, "Fail at scale", 2015.

/**
 * Milliseconds that a frame may wait. A node that never idles works in turns of this length at most; half would refuse what a
 * minor collection delays, double would make refusals arrive after the 50 ms within which callers are promised them.
 */
export const TARGET_MS = 20;
/** Milliseconds for which the queue must stand: longer than a burst takes, and shorter than a client's first timeout. */
export const STANDING_MS = 100;
/** Milliseconds without a wait above the target after which the overload is over. Shorter would let it swing back and forth. */
export const CALM_MS = 1_000;
/** Within this time of a wait above the target, background work gives way. */
const BUSY_MS = 250;
/** Bounds of the pause that is asked of refused clients. */
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 250;

/** See the top of the file. Fed with monotonic milliseconds. */
export class Admission {
  #standingSinceMs = Number.POSITIVE_INFINITY;
  #lastAboveMs = Number.NEGATIVE_INFINITY;
  #isRefusing = false;

  /** Whether what clients ask is being refused. */
  get isRefusing(): boolean {
    return this.#isRefusing;
  }

  /** Whether frames had to wait lately: hints and copies should give way. */
  isBusy(nowMs: number): boolean {
    return this.#isRefusing || nowMs - this.#lastAboveMs < BUSY_MS;
  }

  /** Decides on one frame that waited so long. Returns 0 when it is taken, or the milliseconds after which its client may try again. */
  consider(waitedMs: number, nowMs: number): number {
    if (waitedMs < TARGET_MS) {
      this.#standingSinceMs = Number.POSITIVE_INFINITY;
      this.review(nowMs);
      return 0;
    }
    this.#lastAboveMs = nowMs;
    this.#standingSinceMs = Math.min(this.#standingSinceMs, nowMs);
    if (nowMs - this.#standingSinceMs >= STANDING_MS) this.#isRefusing = true;
    return this.#isRefusing ? retryAfterMs(waitedMs) : 0;
  }

  /** Ends the overload when it is over: for when no frame comes. */
  review(nowMs: number): void {
    if (this.#isRefusing && nowMs - this.#lastAboveMs >= CALM_MS) this.#isRefusing = false;
  }

  /** This process stood still: what waited meanwhile says nothing of how much there is to do. */
  stalled(): void {
    this.#standingSinceMs = Number.POSITIVE_INFINITY;
  }
}

/** Twice what was waited, so that the queue is gone by then. */
function retryAfterMs(waitedMs: number): number {
  return Math.round(Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, 2 * waitedMs)));
}
