// What a client learns about one node from its answers: how its clock runs against ours, how long it takes, how large its
// answers are. Plain arithmetic on samples, deterministic.

/** Samples kept: four seconds of heartbeats. More would let clock drift into the maximum, fewer would lose the fast ones. */
const OFFSET_SAMPLES_MAX = 16;
/** Covers the drift of two clocks (at most 250 ppm) over the window above. */
const DRIFT_MARGIN_MS = 1;

/**
 * Translates our monotonic clock into a node's, never late.
 *
 * A pong carries the node's clock when it answered. At our receipt that reading is old by the way back, so (reading - receipt)
 * is at most the true offset, and the largest of several samples, that of the fastest answer, is the best that never errs
 * on the late side. A `notAfter` computed with it may refuse a try a little early, but cannot let one run late.
 */
export class ClockOffset {
  readonly #samples: number[] = [];
  #next = 0;
  #offsetMs = Number.NEGATIVE_INFINITY;

  get isKnown(): boolean {
    return this.#samples.length > 0;
  }

  sample(remoteMs: number, receivedMs: number): void {
    this.#samples[this.#next] = remoteMs - receivedMs;
    this.#next = (this.#next + 1) % OFFSET_SAMPLES_MAX;
    this.#offsetMs = Math.max(...this.#samples);
  }

  /** The node's clock at `localMs` of ours, as a whole number of milliseconds above 0; 0 while unknown. */
  toRemoteMs(localMs: number): number {
    if (!this.isKnown) return 0;
    return Math.max(1, Math.floor(localMs + this.#offsetMs - DRIFT_MARGIN_MS));
  }

  /** Forgets everything: another process may answer at the address. */
  reset(): void {
    this.#samples.length = 0;
    this.#next = 0;
    this.#offsetMs = Number.NEGATIVE_INFINITY;
  }
}

/**
 * A slow latency of a node, near its 99th percentile: goes up by a quarter of the difference, comes down by a hundredth. A
 * try that is given up counts as a sample of the time waited, so that a node that has become slow is given more time.
 */
export class SlowLatency {
  #ms: number;

  constructor(startMs: number) {
    this.#ms = startMs;
  }

  get ms(): number {
    return this.#ms;
  }

  sample(ms: number): void {
    this.#ms += (ms - this.#ms) * (ms > this.#ms ? 0.25 : 0.01);
  }
}

/** What a try at a node takes on average. Nothing until the first one: what is not known is worth trying. */
export class MeanLatency {
  #ms = 0;

  get ms(): number {
    return this.#ms;
  }

  sample(ms: number): void {
    this.#ms += this.#ms === 0 ? ms : (ms - this.#ms) * 0.2;
  }
}

/** Expected bytes of an answer. Starts high, so that the first answers are asked for a few at a time, and is quick to grow. */
export class AnswerBytes {
  #bytes = 256 * 1024;

  get bytes(): number {
    return this.#bytes;
  }

  sample(bytes: number): void {
    this.#bytes += (bytes - this.#bytes) * (bytes > this.#bytes ? 0.5 : 0.125);
  }
}
