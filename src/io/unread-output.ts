// Answers that wait in memory because their readers do not take them, over all connections of a server together. Each may hold a megabyte and one answer more
// (link-socket.ts), and a hundred that read nothing a hundred times that. So they share a bound: while they hold more, no large answer is made for
// anybody, and nobody who has answers waiting gets more of them. Who has taken nothing for two seconds is cut then, the longest first, until there is
// room. What may come on top is one answer for each connection of which it is not known yet that its answers are large.

/** How long a reader may take nothing while there is too little room. */
const PATIENCE_MS = 2_000;

/** Somebody who is to take what waits. */
export interface Reader {
  terminate(reason: string): void;
}

interface Waiting {
  readonly bytes: number;
  readonly sinceMs: number;
}

/** See the top of the file. Holds an entry for each reader that has something waiting. */
export class UnreadOutput {
  readonly #bytesMax: number;
  readonly #nowMs: () => number;
  /** Who has taken nothing for the longest comes first. */
  readonly #readers = new Map<Reader, Waiting>();
  #bytes = 0;

  /** @param nowMs Monotonic milliseconds. */
  constructor(bytesMax: number, nowMs: () => number) {
    this.#bytesMax = bytesMax;
    this.#nowMs = nowMs;
  }

  /** So many bytes wait for the reader from now on: some were added, or it took some. 0 for none, or when it is gone. */
  waits(reader: Reader, bytes: number): void {
    const before = this.#readers.get(reader);
    this.#bytes += bytes - (before?.bytes ?? 0);
    // What is added is no sign of life: such a reader keeps its place.
    const hasTaken = before === undefined || bytes < before.bytes;
    if (hasTaken) this.#readers.delete(reader);
    if (bytes > 0) this.#readers.set(reader, { bytes, sinceMs: hasTaken ? this.#nowMs() : before.sinceMs });
  }

  /** Whether too much waits. Cuts those who have had their time, as far as that is needed. */
  isFull(): boolean {
    while (this.#bytes > this.#bytesMax) {
      const [oldest] = this.#readers;
      if (oldest === undefined || this.#nowMs() - oldest[1].sinceMs < PATIENCE_MS) return true;
      const [reader] = oldest;
      this.waits(reader, 0);
      reader.terminate("slow reader");
    }
    return false;
  }
}
