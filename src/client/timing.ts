// How long a client waits for what, and how much it holds. Users see only `timeout`; these are constants in production and knobs
// for tests and simulations.

/** Milliseconds, counts and bytes that govern a {@link ClientCore}. */
export interface ClientTiming {
  /** A try is given up at four times the node's slow latency, within these bounds. A lower one fails over sooner and repeats more often. */
  readonly tryMsMin: number;
  readonly tryMsMax: number;
  /** The first tries, before the node's latency is known. */
  readonly tryMsStart: number;
  /** Pause after every reachable candidate has been tried; doubles per round up to the maximum. */
  readonly roundBackoffMsMin: number;
  readonly roundBackoffMsMax: number;
  readonly pingIntervalMs: number;
  /** Silence after which a link is dropped and dialled again: two heartbeats and the time an answer takes. */
  readonly silenceMsMax: number;
  /** Pause before a link is dialled again; doubles per failure up to the maximum. */
  readonly redialMsMin: number;
  readonly redialMsMax: number;
  /** A dial that has neither come up nor failed by then is given up. */
  readonly dialMsMax: number;
  /** Links kept at a time. In a larger cluster each client knows its own selection, and nodes forward the rest. */
  readonly linksMax: number;
  /** Calls under way; one more fails with ERR_OVERLOADED. */
  readonly pendingMax: number;
  /** Unanswered bytes per link (values on their way, expected sizes of answers); further calls wait on this side. */
  readonly linkBytesMax: number;
}

export const CLIENT_TIMING: ClientTiming = Object.freeze({
  tryMsMin: 120,
  tryMsMax: 1_600,
  tryMsStart: 150,
  roundBackoffMsMin: 10,
  roundBackoffMsMax: 100,
  pingIntervalMs: 250,
  silenceMsMax: 550,
  redialMsMin: 50,
  redialMsMax: 1_000,
  dialMsMax: 2_000,
  linksMax: 64,
  pendingMax: 100_000,
  // Half of what a link buffers before it counts the other side as a slow reader (wire/limits.ts).
  linkBytesMax: 4 * 1024 * 1024,
});
