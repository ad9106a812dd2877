// Turns that connections take where a few of them could keep the event loop to themselves: those with large answers. In each turn of the loop they go on
// one after the other, first come, first served, until so many bytes have been made; the others go on in the next turn. So a hundred readers
// of large values delay everybody else as one does, and wait for each other. They may all be held up, for want of memory: then it is looked again soon.

/** Bytes of answers in one turn of the loop: copied, framed and handed to the system in less than half a millisecond. One more answer may go above. */
const TURN_BYTES = 256 * 1024;
/** Steps in one turn of the loop, for those whose answers come later. */
const TURN_STEPS_MAX = 64;

/** Pause between two looks at whether they are still held up. */
const HELD_UP_MS = 25;

/** Goes on for a little while; returns the bytes that were made. */
export type Step = () => number;

/** See the top of the file. */
export class TurnTaking {
  readonly #isHeldUp: () => boolean;
  readonly #waiting = new Set<Step>();
  #isDue = false;

  /** @param isHeldUp Whether nobody may go on at present. */
  constructor(isHeldUp: () => boolean = () => false) {
    this.#isHeldUp = isHeldUp;
  }

  /** Takes the step in a later turn of the loop, once, however often it is asked for. Holds one for each who asks. */
  next(step: Step): void {
    this.#waiting.add(step);
    this.#schedule();
  }

  /** The step is not to be taken any more. */
  leave(step: Step): void {
    this.#waiting.delete(step);
  }

  #schedule(): void {
    if (this.#isDue || this.#waiting.size === 0) return;
    this.#isDue = true;
    // Asked for within an immediate, it comes with the turn after this one.
    setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#isDue = false;
    let bytes = 0;
    let steps = 0;
    if (this.#waiting.size > 0 && this.#isHeldUp()) {
      this.#isDue = true;
      setTimeout(this.#onTurn, HELD_UP_MS).unref();
      return;
    }
    // Who asks again meanwhile comes again, after the others.
    for (const step of this.#waiting) {
      this.#waiting.delete(step);
      bytes += step();
      if (bytes >= TURN_BYTES || ++steps >= TURN_STEPS_MAX) break;
    }
    this.#schedule();
  };
}
