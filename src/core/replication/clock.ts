// The hybrid logical clock that orders writes (Kulkarni et al. 2014), as one number.
//
// A stamp is milliseconds since the epoch below times 4,096, plus a counter. Because stamps are plain integers, "one more than
// the last, or the wall clock if that is ahead" is the whole algorithm: the counter overflows into the next millisecond by
// itself. Stamps stay safe integers until 2094. Stamps follow causes: a node observes every stamp it accepts, so what it
// writes later is newer. A stamp too far ahead of this node's wall clock is refused, not observed: one bad clock must not drag
// the others (CockroachDB refuses remote times beyond its maximum offset for the same reason). Where such a stamp was stored all
// the same (by a cluster of one, or before all clocks were set back), the key's later stamps follow it and the clock does not.

import type { Now } from "../machine.ts";

const EPOCH_MS = 1_735_689_600_000; // 2025-01-01T00:00:00Z
const STAMPS_PER_MS = 4_096;

/** The first stamp of a wall-clock millisecond. */
export function stampOf(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs) - EPOCH_MS) * STAMPS_PER_MS;
}

/** The wall-clock time a stamp stands for, in milliseconds since 1970. */
export function wallMsOf(stamp: number): number {
  return Math.floor(stamp / STAMPS_PER_MS) + EPOCH_MS;
}

/** Stamps further ahead than this many times the allowed skew come from no clock that is in order: a node may be one skew ahead, who accepted its stamp another, and this node one behind. */
const CREDIBLE_SKEWS = 3;

/** Longer than it takes to measure this node's clock against the others' and to correct it. */
const BEYOND_MS_MAX = 1_000;

/** Issues and observes stamps. One per node. */
export class HybridClock {
  readonly #skewMsMax: number;
  #last = 0;
  /** Since when the last stamp has been beyond belief; Infinity while it is not. */
  #beyondSinceMs = Number.POSITIVE_INFINITY;

  /** @param skewMsMax By how much the clocks of nodes that are in order may differ from the cluster's time. */
  constructor(skewMsMax: number) {
    this.#skewMsMax = skewMsMax;
  }

  /**
   * A stamp above every one issued or observed so far, and above `held`: what a replica of the key holds may come from a clock that
   * was wrong, and must be overwritten all the same. This clock does not follow it.
   */
  next(wallMs: number, held = 0): number {
    this.#last = Math.max(this.#last + 1, stampOf(wallMs));
    return Math.max(this.#last, held + 1);
  }

  /** Whether the stamps issued now would be further ahead of the wall clock than any that others take. */
  isBeyondBelief(wallMs: number): boolean {
    return this.#last > this.#credibleMax(wallMs);
  }

  /** Makes later stamps newer than `stamp`, unless it is so far ahead that a clock must be wrong. */
  observe(stamp: number, wallMs: number): void {
    if (stamp > this.#last && stamp <= this.#credibleMax(wallMs)) this.#last = stamp;
  }

  /**
   * To be called every so often, with the wall clock as corrected to the cluster's. When the stamps have been beyond belief for a
   * second, which is longer than a wrong clock takes to be noticed, they came from a clock that was wrong: they are forgotten.
   * Nobody else has taken them.
   */
  review(now: Now): void {
    if (this.#last <= this.#credibleMax(now.wallMs)) this.#beyondSinceMs = Number.POSITIVE_INFINITY;
    else if (this.#beyondSinceMs === Number.POSITIVE_INFINITY) this.#beyondSinceMs = now.monoMs;
    else if (now.monoMs - this.#beyondSinceMs > BEYOND_MS_MAX) this.#last = stampOf(now.wallMs);
  }

  #credibleMax(wallMs: number): number {
    return stampOf(wallMs + CREDIBLE_SKEWS * this.#skewMsMax);
  }
}

/**
 * Whether `stamp` lies more than `skewMsMax` ahead both of the given wall clock and of `held`. What a replica holds was accepted once,
 * by whatever clock, and whoever writes over it has no choice but to go beyond it.
 */
export function isTooFarAhead(
  stamp: number,
  { wallMs, skewMsMax, held }: { readonly wallMs: number; readonly skewMsMax: number; readonly held: number },
): boolean {
  return stamp > stampOf(wallMs + skewMsMax) && stamp > held + skewMsMax * STAMPS_PER_MS;
}
