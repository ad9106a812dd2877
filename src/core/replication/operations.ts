// What a replica remembers of recent operations, so that a retried write is recognised and an abandoned attempt is shut out.
//
// A client numbers its writes (client, seq) and each try of one write (attempt). Two things are kept for an operation:
// - the version under which it was stored here, and by which attempt;
// - the fence: once a later attempt asked about the operation, earlier attempts are refused. This closes the race between
//   "nobody knows this write" and the first attempt's messages that are still on their way.
// The table is bounded; the oldest operations are forgotten first. An operation matters only while its caller still waits, so
// the bound needs to cover the writes of a call's longest timeout.

/** One remembered operation. */
export interface KnownOperation {
  /** Attempts below this are refused. */
  readonly fence: number;
  /** The version stored here, 0 when only the fence is known; and the attempt that wrote it. */
  readonly version: number;
  readonly attempt: number;
  /** The number an increment answered; 0 for everything else. */
  readonly number: number;
}

const NOTHING: KnownOperation = Object.freeze({ fence: 0, version: 0, attempt: 0, number: 0 });

/** Bounded memory of operations. */
export class OperationTable {
  readonly #countMax: number;
  readonly #byKey = new Map<string, KnownOperation>();
  /** The keys from the oldest on, as a ring that begins at `#oldest`. A Map's own order would do, but finding its first key costs a step for each key deleted before it. */
  readonly #order: string[] = [];
  #oldest = 0;

  /** @param countMax Operations kept; the oldest are forgotten first. */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** What is known of an operation: all zeros when nothing is. */
  find(client: number, seq: number): KnownOperation {
    return this.#byKey.get(keyOf(client, seq)) ?? NOTHING;
  }

  /** Refuses attempts below `attempt` from now on. */
  fence(client: number, seq: number, attempt: number): void {
    const known = this.find(client, seq);
    if (attempt > known.fence) this.#put(keyOf(client, seq), { ...known, fence: attempt });
  }

  /** Remembers that `attempt` of the operation is stored here as `version`. */
  record(client: number, seq: number, stored: Omit<KnownOperation, "fence">): void {
    if (client === 0) return;
    const key = keyOf(client, seq);
    const fence = Math.max(this.#byKey.get(key)?.fence ?? 0, stored.attempt);
    this.#put(key, { fence, ...stored });
  }

  #put(key: string, known: KnownOperation): void {
    const isNew = !this.#byKey.has(key);
    this.#byKey.set(key, known);
    if (!isNew) return;
    if (this.#order.length < this.#countMax) {
      this.#order.push(key);
      return;
    }
    this.#byKey.delete(this.#order[this.#oldest]!);
    this.#order[this.#oldest] = key;
    this.#oldest = (this.#oldest + 1) % this.#countMax;
  }
}

function keyOf(client: number, seq: number): string {
  return `${client}:${seq}`;
}
