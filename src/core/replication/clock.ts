// The hybrid logical clock that orders writes (Kulkarni et al. 2014), as one number.
//
// A stamp is milliseconds since the epoch below times 4,096, plus a counter. Because stamps are plain integers, "one more than
// the last, or the wall clock if that is ahead" is the whole algorithm: the counter overflows into the next millisecond by
// itself. Stamps stay safe integers until 2094. Stamps follow causes: a node observes every stamp it accepts, so what it
// writes later is newer. A stamp too far ahead of this node's wall clock is refused, not observed: one bad clock must not drag
// the others (CockroachDB refuses remote times beyond its maximum offset for the same reason).

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

/** Issues and observes stamps. One per node. */
export class HybridClock {
  #last = 0;

  /** A stamp above every one issued or observed so far. */
  next(wallMs: number): number {
    this.#last = Math.max(this.#last + 1, stampOf(wallMs));
    return this.#last;
  }

  /** Makes later stamps newer than `stamp`. The caller has checked {@link isTooFarAhead}. */
  observe(stamp: number): void {
    if (stamp > this.#last) this.#last = stamp;
  }
}

/** Whether `stamp` lies more than `skewMsMax` ahead of the given wall clock. */
export function isTooFarAhead(stamp: number, wallMs: number, skewMsMax: number): boolean {
  return stamp > stampOf(wallMs + skewMsMax);
}
