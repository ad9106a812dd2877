// What a replica remembers of recent operations, so that a retried write is recognised and an abandoned attempt is shut out.
//
// A client numbers its writes (client, seq) and each try of one write (attempt). Two things are kept for an operation:
// - the version under which it was stored here, and by which attempt;
// - the fence: once a later attempt asked about the operation, earlier attempts are refused. This closes the race between
//   "nobody knows this write" and the first attempt's messages that are still on their way.
// The table is bounded; the oldest operations are forgotten first. An operation matters only while its caller still waits, so
// the bound needs to cover the writes of a call's longest timeout.
//
// Every write passes here on every replica, mostly to find nothing and to leave one record: so records lie in one typed array, in a circle from
// the oldest on, and are found through an open-addressing index (linear probing, deletion by moving back: Knuth 6.4, algorithm R).
// Invariants: 1. A record is in use exactly while its client is above 0. 2. The index holds the number of each record in use, plus
// one, at or after its home with no gap between. 3. It is at most half full.

import { mix32 } from "../../base/hash.ts";

/** One remembered operation. */
export interface KnownOperation {
  /** Attempts below this are refused. */
  readonly fence: number;
  /** The version stored here, 0 when only the fence is known; and the latest attempt that wrote it. */
  readonly version: number;
  readonly attempt: number;
  /** What its repeats are answered with (`rememberedOf` in decide.ts). */
  readonly number: number;
}

const NOTHING: KnownOperation = Object.freeze({ fence: 0, version: 0, attempt: 0, number: 0 });

/** In a message about no operation at all. */
export const NO_OPERATION = Object.freeze({ opClient: 0, opSeq: 0, attempt: 0, begunAt: 0 });

const CAPACITY_MIN = 64;

// The fields of a record, side by side.
const STRIDE = 6;
const CLIENT = 0;
const SEQ = 1;
const VERSION = 2;
const NUMBER = 3;
const FENCE = 4;
const ATTEMPT = 5;

/** Bounded memory of operations. Clients are numbered above 0. */
export class OperationTable {
  readonly #countMax: number;
  #records = new Float64Array(0);
  #capacity = 0;
  #index = new Uint32Array(0);
  #size = 0;
  /** Where the next record goes; once the table is full, that is the oldest one's place. */
  #next = 0;

  /** @param countMax Operations kept; the oldest are forgotten first. */
  constructor(countMax: number) {
    this.#countMax = countMax;
    this.#grow(Math.min(CAPACITY_MIN, countMax));
  }

  get size(): number {
    return this.#size;
  }

  /** What is known of an operation: all zeros when nothing is. */
  find(client: number, seq: number): KnownOperation {
    const record = this.#find(client, seq);
    if (record === -1) return NOTHING;
    const records = this.#records;
    const at = record * STRIDE;
    return {
      fence: records[at + FENCE]!,
      version: records[at + VERSION]!,
      attempt: records[at + ATTEMPT]!,
      number: records[at + NUMBER]!,
    };
  }

  /** Refuses attempts below `attempt` from now on. */
  fence(client: number, seq: number, attempt: number): void {
    if (attempt === 0) return;
    this.#raiseFence(this.#findOrAdd(client, seq) * STRIDE, attempt);
  }

  /**
   * Remembers that `attempt` of the operation is stored here as `version`. Of one version it remembers the latest attempt: replicas that had
   * it before a later attempt completed it go on telling of it as the first one's.
   */
  record(client: number, seq: number, stored: Omit<KnownOperation, "fence">): void {
    if (client === 0) return;
    const at = this.#findOrAdd(client, seq) * STRIDE;
    this.#raiseFence(at, stored.attempt);
    const isSame = this.#records[at + VERSION] === stored.version;
    this.#records[at + ATTEMPT] = isSame
      ? Math.max(this.#records[at + ATTEMPT]!, stored.attempt)
      : stored.attempt;
    this.#records[at + VERSION] = stored.version;
    // What has expired meanwhile comes without its number.
    if (!isSame || stored.number !== 0) this.#records[at + NUMBER] = stored.number;
  }

  #raiseFence(at: number, attempt: number): void {
    if (attempt > this.#records[at + FENCE]!) this.#records[at + FENCE] = attempt;
  }

  /** The number of the record, -1 for none. */
  #find(client: number, seq: number): number {
    const mask = this.#index.length - 1;
    for (let place = hashOf(client, seq) & mask; ; place = (place + 1) & mask) {
      const record = this.#index[place]! - 1;
      if (record === -1) return -1;
      const at = record * STRIDE;
      if (this.#records[at + SEQ] === seq && this.#records[at + CLIENT] === client) return record;
    }
  }

  #findOrAdd(client: number, seq: number): number {
    const known = this.#find(client, seq);
    if (known !== -1) return known;
    if (this.#size === this.#capacity && this.#capacity < this.#countMax)
      this.#grow(Math.min(2 * this.#capacity, this.#countMax));
    const record = this.#next;
    const at = record * STRIDE;
    const records = this.#records;
    if (records[at + CLIENT] !== 0) this.#forget(record);
    records[at + CLIENT] = client;
    records[at + SEQ] = seq;
    records[at + VERSION] = 0;
    records[at + NUMBER] = 0;
    records[at + FENCE] = 0;
    records[at + ATTEMPT] = 0;
    this.#enter(record);
    this.#size++;
    this.#next = record + 1 === this.#capacity ? 0 : record + 1;
    return record;
  }

  #enter(record: number): void {
    const mask = this.#index.length - 1;
    let place = this.#homeOf(record);
    while (this.#index[place] !== 0) place = (place + 1) & mask;
    this.#index[place] = record + 1;
  }

  #forget(record: number): void {
    const mask = this.#index.length - 1;
    let gap = this.#homeOf(record);
    while (this.#index[gap] !== record + 1) gap = (gap + 1) & mask;
    for (let place = (gap + 1) & mask; this.#index[place] !== 0; place = (place + 1) & mask) {
      const other = this.#index[place]! - 1;
      const home = this.#homeOf(other);
      // It may move back into the gap unless its home lies after the gap.
      if (((place - home) & mask) < ((place - gap) & mask)) continue;
      this.#index[gap] = other + 1;
      gap = place;
    }
    this.#index[gap] = 0;
    this.#records[record * STRIDE + CLIENT] = 0;
    this.#size--;
  }

  #homeOf(record: number): number {
    const at = record * STRIDE;
    return hashOf(this.#records[at + CLIENT]!, this.#records[at + SEQ]!) & (this.#index.length - 1);
  }

  /** Only while the circle has not closed: records keep their numbers, and the next one goes behind the last. */
  #grow(capacity: number): void {
    const before = this.#capacity;
    const records = new Float64Array(capacity * STRIDE);
    records.set(this.#records);
    this.#records = records;
    this.#capacity = capacity;
    this.#index = new Uint32Array(2 ** Math.ceil(Math.log2(2 * capacity)));
    this.#next = before % capacity;
    for (let record = 0; record < before; record++) this.#enter(record);
  }
}

/**
 * Sequence numbers of one client follow each other, and so do the messages about them: sixteen that differ in the last bits only share a
 * line of the index, so that most find theirs at hand. The rest is mixed, or clients at the same numbers would get in each other's way.
 */
function hashOf(client: number, seq: number): number {
  const line = (seq >>> 4) ^ Math.imul(client >>> 0, 0x9e3779b1) ^ Math.floor(client / 0x1_0000_0000);
  return (mix32(line) << 4) | (seq & 15);
}
