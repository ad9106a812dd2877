// What a checker throws: the name of the promise that was broken, and enough to repeat the run.

/** A broken promise found by a checker. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** The promise, as a short stable name: `linearizable`, `convergence`... */
  readonly invariant: string;
  /** Number of the event during which it was found; 0 when found by judging the finished history. */
  readonly event: number;

  constructor(invariant: string, detail: string, event = 0) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
    this.event = event;
  }
}
