// Frames that clients have begun to send and not finished: each may be as large as the largest value twice, and ws keeps what has come of it. Over
// all connections of a server together they share a bound. While they hold more, whoever has been at the same frame for longest is cut,
// and not before it has had a second: honest frames of a machine room take some tens of milliseconds.
//
// Looked at twice a second, by the bytes that a connection has read since its last frame: nothing is counted as bytes come.

/** Between two looks. */
export const LOOK_INTERVAL_MS = 500;
/** How long a frame may take while there is too little room. */
const PATIENCE_MS = 1_000;
/** Less than that waiting is nothing. */
const UNFINISHED_BYTES_MIN = 4 * 1024;

/** Somebody who sends frames. */
export interface Writer {
  /** Bytes that have come since the last whole frame, and what had come by then: another number for each frame. */
  readonly unfinished: { readonly bytes: number; readonly since: number };
  terminate(reason: string): void;
}

/** See the top of the file. Holds an entry for each writer that is within a frame. */
export class UnfinishedInput {
  readonly #bytesMax: number;
  /** Who has been at the same frame for longest comes first. */
  #writers = new Map<Writer, { readonly since: number; readonly seenMs: number }>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Looks at all writers, and cuts those who have had their time, as far as that is needed. @param nowMs Monotonic milliseconds. */
  look(writers: Iterable<Writer>, nowMs: number): void {
    const before = this.#writers;
    const unfinished = [...writers].flatMap((writer) => {
      const { bytes, since } = writer.unfinished;
      if (bytes < UNFINISHED_BYTES_MIN) return [];
      const known = before.get(writer);
      return [{ writer, bytes, since, seenMs: known?.since === since ? known.seenMs : nowMs }];
    });
    unfinished.sort((a, b) => a.seenMs - b.seenMs);
    this.#writers = new Map(unfinished.map(({ writer, since, seenMs }) => [writer, { since, seenMs }]));
    let total = unfinished.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { writer, bytes, seenMs } of unfinished) {
      if (total <= this.#bytesMax || nowMs - seenMs < PATIENCE_MS) return;
      total -= bytes;
      writer.terminate("slow writer");
    }
  }
}
