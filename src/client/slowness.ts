// Whether a node is to be spared for being slow, although its link is up: a thin wire, lost packets, a starved process. Heartbeats
// come through where calls do not, so only calls can tell.
//
// A try that is not answered in its time marks the node for two seconds, in which other nodes are asked first. Then one call finds out:
// in good time, and the node is as good as any; not, or marked again soon, and it is spared for twice as long, up to eight seconds.
// While the one call is under way the others stay away. A node that waits for a slow one misses its time as well, so of the marked ones
// only the worst are spared (link-table.ts).

/** How long a node is spared the first time, and at most. */
const SPARED_MS_MIN = 2_000;
const SPARED_MS_MAX = 8_000;
/** After so long without a mark it is the first time again. */
const FORGIVEN_MS = 10_000;
/** The one call is answered by then or not at all; should it be cancelled, another one follows. */
const PROBE_MS = 1_000;

/** See the top of the file. Fed with monotonic milliseconds. */
export class Slowness {
  #isInDoubt = false;
  #markedMs = Number.NEGATIVE_INFINITY;
  #sparedMs = SPARED_MS_MIN;
  /** Others go first until then. */
  #untilMs = Number.NEGATIVE_INFINITY;

  /** Whether other nodes are to be asked first, unless too many are marked. */
  isMarked(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }

  /** Whether this one was marked more often lately, or as often and before the other. */
  isWorseThan(other: Slowness): boolean {
    const more = this.#sparedMs - other.#sparedMs;
    return more > 0 || (more === 0 && this.#markedMs < other.#markedMs);
  }

  /** A try was not answered in its time. What was sent before the last mark says nothing new. */
  missed(sentMs: number, nowMs: number): void {
    if (sentMs <= this.#markedMs) return;
    const isFirst = nowMs > this.#untilMs + FORGIVEN_MS;
    this.#sparedMs = isFirst ? SPARED_MS_MIN : Math.min(SPARED_MS_MAX, 2 * this.#sparedMs);
    this.#isInDoubt = true;
    this.#markedMs = nowMs;
    this.#untilMs = nowMs + this.#sparedMs;
  }

  /** A try is sent: on a marked node whose time is over, the one that finds out. */
  sent(nowMs: number): void {
    if (this.#isInDoubt && nowMs >= this.#untilMs) this.#untilMs = nowMs + PROBE_MS;
  }

  /** A try was answered in its time. */
  answered(sentMs: number, nowMs: number): void {
    if (!this.#isInDoubt || sentMs <= this.#markedMs) return;
    this.#isInDoubt = false;
    this.#untilMs = nowMs;
  }
}
