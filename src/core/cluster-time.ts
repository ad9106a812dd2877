// The cluster's wall time, as well as this node can know it: its own wall clock, corrected by how far the others' clocks are from
// it (links.ts). Versions, expiry and tombstones follow it, so a clock that jumps must not be believed before it was compared:
// within a tenth of a second an hour ahead would expire every entry with a ttl.
//
// So a jump of the wall clock against the monotonic one is not followed for a second. By then the others' clocks have been
// measured against the new time, and if all jumped alike, that is the new time. What was measured before the jump says nothing of
// it. A node that cannot compare its clock (it is cut off, or the others are down) goes on by its monotonic clock and the last
// correction until it can: a wrong clock would give versions an hour ahead to writes that need no majority, and nobody could
// overwrite those for an hour.
//
// Before the first comparison there is nothing to hold on to: the jump may be the one that sets a wrong clock right. Then the time is not
// known for that second, and nothing is to go by it.

import type { Now } from "./machine.ts";

/** Steps come at least every 50 ms; no honest clock is set by more than this in between without being compared first. */
const JUMP_MS_MIN = 100;
/** Two heartbeats, their answers, and the round of upkeep that puts the correction into force. */
const HOLD_MS = 1_000;

/** See the top of the file. */
export class ClusterTime {
  /** Wall minus monotonic clock, when last seen. */
  #offsetMs: number;
  #skewMs = 0;
  /** Cluster time minus monotonic clock while a jump is not followed. */
  #heldOffsetMs: number | undefined;
  #heldUntilMs = 0;
  #canCompare = true;
  #isCompared = false;
  #unknownUntilMs = Number.NEGATIVE_INFINITY;
  readonly #onJump: () => void;

  /** @param onJump The wall clock was set: what was measured against it before is worth nothing. */
  constructor(now: Now, onJump: () => void = () => {}) {
    this.#onJump = onJump;
    this.#offsetMs = now.wallMs - now.monoMs;
  }

  /** The clock was compared: sets what is to be added to it, 0 to leave it as it is; `undefined` while there is nothing to compare it with. */
  correct(skewMs: number | undefined): void {
    this.#canCompare = skewMs !== undefined;
    if (skewMs === undefined) return;
    this.#skewMs = skewMs;
    this.#isCompared = true;
  }

  /** What is added to the wall clock, in ms. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /**
   * Goes by this node's own clock, where nobody can say which of them is wrong. Where it was corrected before, by others who are no longer
   * there, it stays corrected until it is set.
   */
  trustOwn(): void {
    this.#canCompare = true;
  }

  /** False for a second after a jump that came before the first comparison: what others' clocks showed was measured before it. */
  isKnown({ monoMs }: Now): boolean {
    return monoMs >= this.#unknownUntilMs;
  }

  /** The monotonic clock as it is, and the cluster's wall time. To be asked at every step. */
  at(now: Now): Now {
    const offsetMs = now.wallMs - now.monoMs;
    if (Math.abs(offsetMs - this.#offsetMs) > JUMP_MS_MIN) this.#jumped(now);
    this.#offsetMs = offsetMs;
    if (this.#canCompare && now.monoMs >= this.#heldUntilMs) this.#heldOffsetMs = undefined;
    const usedMs = this.#heldOffsetMs ?? offsetMs + this.#skewMs;
    return usedMs === offsetMs ? now : { monoMs: now.monoMs, wallMs: now.monoMs + usedMs };
  }

  #jumped({ monoMs }: Now): void {
    this.#onJump();
    // Not by what was measured before.
    this.#canCompare = false;
    if (!this.#isCompared) {
      this.#unknownUntilMs = monoMs + HOLD_MS;
      return;
    }
    this.#heldOffsetMs ??= this.#offsetMs + this.#skewMs;
    // That was for the clock as it was.
    this.#skewMs = 0;
    this.#heldUntilMs = monoMs + HOLD_MS;
  }
}
