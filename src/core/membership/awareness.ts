// Local health awareness (Lifeguard): a node that gets no answers should first doubt itself. The score rises with signs that
// this node is slow (unanswered probes without nacks, having to refute, stalls) and falls with every answered probe. It
// stretches the interval between our probes, not their timeout: a doubtful node accuses less often, and hears as well.
// Source: Lifeguard (Dadgar, Phillips, Currey 2017), section 3; memberlist awareness.go.

/** A counter from 0 (healthy) to `scoresMax` - 1. */
export class Awareness {
  readonly #scoresMax: number;
  #score = 0;

  constructor(scoresMax: number) {
    this.#scoresMax = scoresMax;
  }

  /** 0 while this node has no reason to doubt itself. */
  get score(): number {
    return this.#score;
  }

  /** Moves the score by `delta`, held within its range. */
  apply(delta: number): void {
    this.#score = Math.min(this.#scoresMax - 1, Math.max(0, this.#score + delta));
  }

  /** `intervalMs` stretched by the score. */
  scale(intervalMs: number): number {
    return intervalMs * (this.#score + 1);
  }
}
