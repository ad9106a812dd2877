// The ledger of a load: what was written to each key, what was acknowledged, and what may or may not have happened. From it a
// later look at the cluster tells whether an acknowledged write is lost.
//
// Each key has one writer that makes one write at a time, and every write carries a number that only grows. So what a key may
// hold at the end is small: the last acknowledged write, or one of the undecided ones that were issued after it (a write that
// failed with `applied: "maybe"`). Anything older, and nothing where something must be, is a loss. A value that was never
// written, or whose write failed with `applied: "no"`, is a phantom.

/** A write under way; hand it back to {@link Ledger.settle}. */
export interface LedgerWrite {
  readonly key: string;
  readonly sequence: number;
  readonly isDelete: boolean;
}

/** How a write ended. */
export type WriteEnd = "acknowledged" | "maybe" | "no";

/** What {@link Ledger.check} says of the value that a key holds at the end. */
export type Finding = "ok" | "lost" | "phantom";

/** Taken before a read starts; see {@link Ledger.judgeRead}. */
export interface ReadMark {
  readonly key: string;
  readonly acknowledged: number;
}

interface KeyRecord {
  /** Number of the last write issued. */
  issued: number;
  /** Number of the last delete issued. */
  deleteIssued: number;
  acknowledged: LedgerWrite | undefined;
  /** Undecided writes issued after the acknowledged one. */
  maybes: LedgerWrite[];
}

/** Undecided writes kept per key. At the bound the oldest is forgotten: its value would then count as a phantom. */
const MAYBES_MAX = 64;

/** The text of a value: `key|sequence|` padded with dots to `bytes` (longer when that is too short). */
export function ledgerValue(key: string, sequence: number, bytes: number): string {
  return `${key}|${sequence}|`.padEnd(bytes, ".");
}

/** See the top of the file. Keys are kept for the ledger's lifetime: its size is that of the load. */
export class Ledger {
  readonly #records = new Map<string, KeyRecord>();
  #acknowledgedCount = 0;

  /** Keys that were ever written, in the order of their first write. */
  keys(): IterableIterator<string> {
    return this.#records.keys();
  }

  /** How many writes were acknowledged. */
  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  /** Notes a write before it is sent. The writer of the key waits for its end before the next. */
  begin(key: string, options: { readonly isDelete: boolean }): LedgerWrite {
    let record = this.#records.get(key);
    if (record === undefined) {
      record = { issued: 0, deleteIssued: 0, acknowledged: undefined, maybes: [] };
      this.#records.set(key, record);
    }
    record.issued++;
    if (options.isDelete) record.deleteIssued = record.issued;
    return { key, sequence: record.issued, isDelete: options.isDelete };
  }

  /** Notes how the write ended. */
  settle(write: LedgerWrite, end: WriteEnd): void {
    const record = this.#records.get(write.key);
    if (record === undefined) return;
    if (end === "acknowledged") {
      record.acknowledged = write;
      record.maybes = [];
      this.#acknowledgedCount++;
    } else if (end === "maybe") {
      record.maybes.push(write);
      if (record.maybes.length > MAYBES_MAX) record.maybes.shift();
    }
  }

  /** To be taken before a read is sent. */
  markRead(key: string): ReadMark {
    return { key, acknowledged: this.#records.get(key)?.acknowledged?.sequence ?? 0 };
  }

  /** Whether what a read returned is older than what was acknowledged before it was sent. */
  judgeRead(mark: ReadMark, value: unknown): "ok" | "stale" {
    if (mark.acknowledged === 0) return "ok";
    if (value === undefined) {
      const deleteIssued = this.#records.get(mark.key)?.deleteIssued ?? 0;
      return deleteIssued >= mark.acknowledged ? "ok" : "stale";
    }
    return (sequenceOf(mark.key, value) ?? -1) >= mark.acknowledged ? "ok" : "stale";
  }

  /** Judges what a key holds once all its writes have ended; `undefined` for a key that is absent. */
  check(key: string, value: unknown): Finding {
    const record = this.#records.get(key);
    if (record === undefined) return value === undefined ? "ok" : "phantom";
    const { acknowledged, maybes } = record;
    if (value === undefined) {
      const mayBeAbsent =
        acknowledged === undefined || acknowledged.isDelete || maybes.some((write) => write.isDelete);
      return mayBeAbsent ? "ok" : "lost";
    }
    const sequence = sequenceOf(key, value);
    if (sequence === undefined) return "phantom";
    const wrote = (write: LedgerWrite | undefined) => write?.sequence === sequence && !write.isDelete;
    if (wrote(acknowledged) || maybes.some(wrote)) return "ok";
    return sequence <= (acknowledged?.sequence ?? 0) ? "lost" : "phantom";
  }
}

/** The same for counters: each acknowledged increment by one counts, each undecided one may. */
export class CounterLedger {
  readonly #counters = new Map<string, { acknowledged: number; maybe: number }>();
  #acknowledgedCount = 0;

  /** How many increments were acknowledged. */
  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  /** Counters that were ever incremented. */
  keys(): IterableIterator<string> {
    return this.#counters.keys();
  }

  settle(key: string, end: WriteEnd): void {
    const counter = this.#counters.get(key) ?? { acknowledged: 0, maybe: 0 };
    this.#counters.set(key, counter);
    if (end === "acknowledged") {
      counter.acknowledged++;
      this.#acknowledgedCount++;
    }
    if (end === "maybe") counter.maybe++;
  }

  /** `lost`: below what was acknowledged. `phantom`: above what can have happened. */
  check(key: string, value: unknown): Finding {
    const { acknowledged, maybe } = this.#counters.get(key) ?? { acknowledged: 0, maybe: 0 };
    const held = value === undefined ? 0 : value;
    if (typeof held !== "number" || held > acknowledged + maybe) return "phantom";
    return held < acknowledged ? "lost" : "ok";
  }
}

function sequenceOf(key: string, value: unknown): number | undefined {
  if (typeof value !== "string" || !value.startsWith(`${key}|`)) return undefined;
  const sequence = Number.parseInt(value.slice(key.length + 1), 10);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}
