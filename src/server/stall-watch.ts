// Notices that the event loop stood still: a long garbage collection, a blocking call of the embedding program, SIGSTOP, a
// paused virtual machine. A stalled node must not trust its own timers (the answers they wait for lie unread in the sockets), and it may have
// missed writes that its peers went on to make without it; so the core is told how long it was away.
//
// Two observations, both in monotonic time, because neither sees everything:
// 1. A steady beat every 100 ms. When it comes more than 100 ms late, the loop stalled by as much, however busy it looked.
// 2. Anything that enters the driver. While the loop turns, the beat guarantees an observation every 100 ms; so a gap of more than
//    200 ms before any entry is a stall. This one matters after SIGSTOP: the process wakes up inside epoll, and reads its
//    sockets before its timers, so a request of a client would be answered before the late beat is seen.
// A stall that an entry has reported is not reported again by the beat that follows it.

/** Milliseconds between beats. Half would double the wake-ups of an idle node; double would hide stalls as long as a probe's timeout. */
export const BEAT_MS = 100;

/** Lateness that counts as a stall: less than a probe's timeout (200 ms), more than a minor garbage collection. */
export const LATE_MS_MAX = 100;

/** Pure; fed with monotonic milliseconds. */
export class StallWatch {
  #lastSeenMs: number;
  #lastBeatMs: number;
  /** Stall time reported since the last beat. */
  #reportedMs = 0;

  constructor(nowMs: number) {
    this.#lastSeenMs = nowMs;
    this.#lastBeatMs = nowMs;
  }

  /** Before any input. Returns the milliseconds of a stall that has just ended, 0 for none. */
  enter(nowMs: number): number {
    const gapMs = nowMs - this.#lastSeenMs;
    this.#lastSeenMs = nowMs;
    if (gapMs <= BEAT_MS + LATE_MS_MAX) return 0;
    this.#reportedMs += gapMs;
    return gapMs;
  }

  /** On each beat. Returns how late it is, and the part of a stall that {@link enter} has not reported yet, 0 for none. */
  beat(nowMs: number): { readonly lateMs: number; readonly stallMs: number } {
    const lateMs = Math.max(0, nowMs - this.#lastBeatMs - BEAT_MS);
    const unreportedMs = lateMs - this.#reportedMs;
    this.#lastSeenMs = nowMs;
    this.#lastBeatMs = nowMs;
    this.#reportedMs = 0;
    return { lateMs, stallMs: unreportedMs > LATE_MS_MAX ? unreportedMs : 0 };
  }
}
