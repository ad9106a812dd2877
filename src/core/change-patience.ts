// How long a member holds up a change of the ring before it gives way: the abort rules.
//
// A change waits until everybody in the planned ring has rehearsed it. A joiner that gets nowhere (it gossips, but no copy reaches
// it) would hold up every later change, evictions included. It is the one who knows, so it withdraws: it is out for a while, the
// others plan without it, and then it comes back as a new member. Each time it stays out for longer, so that at last there is
// time for what the others have to do. A joiner that is merely slow gets somewhere.
//
// A member that wants to leave waits for a majority to take over. Where none has answered for long, nobody will: it goes as if it
// had been stopped, and the others see it die.

/** A joiner without any progress for this long withdraws. Longer than any pause that heals itself. */
const PROGRESS_MS_MAX = 60_000;
/** How long it stays out at first; doubles each time. */
const OUT_MS_MIN = 30_000;
const OUT_MS_MAX = 480_000;
/** A leaving member without a majority goes after this: twice the time after which the dead are evicted by default. */
const LEAVE_MS_MAX = 120_000;

/** A joiner's patience with its rehearsal. */
export class JoinPatience {
  #progress = "";
  #sinceMs = 0;
  #outMs = OUT_MS_MIN;
  #backAtMs: number | undefined;

  /** Whether the node has withdrawn and not come back yet. */
  get isOut(): boolean {
    return this.#backAtMs !== undefined;
  }

  /**
   * What to do now.
   *
   * @param progress Changes whenever the rehearsal gets anywhere; `undefined` while there is none.
   */
  look(progress: string | undefined, nowMs: number): "withdraw" | "return" | undefined {
    if (this.#backAtMs !== undefined) {
      if (nowMs < this.#backAtMs) return undefined;
      this.#backAtMs = undefined;
      this.#progress = "";
      return "return";
    }
    if (progress === undefined || progress !== this.#progress) {
      this.#progress = progress ?? "";
      this.#sinceMs = nowMs;
      return undefined;
    }
    if (nowMs - this.#sinceMs < PROGRESS_MS_MAX) return undefined;
    this.#backAtMs = nowMs + this.#outMs;
    this.#outMs = Math.min(OUT_MS_MAX, 2 * this.#outMs);
    return "withdraw";
  }
}

/** A leaving member's patience with those who should take over. */
export class LeavePatience {
  #aloneSinceMs: number | undefined;

  /** Whether to go without handing over. @param isHopeful Whether a majority of the ring answers, or this node is not leaving. */
  isOver(isHopeful: boolean, nowMs: number): boolean {
    if (isHopeful) this.#aloneSinceMs = undefined;
    else this.#aloneSinceMs ??= nowMs;
    return this.#aloneSinceMs !== undefined && nowMs - this.#aloneSinceMs >= LEAVE_MS_MAX;
  }
}
