// What time does to the store: expired values become tombstones, old tombstones go, and records of dropped slots are buried.
//
// There is no list of deadlines. Each segment knows a time before which nothing in it is due; a segment whose time has come is
// walked from end to end, and what remains says when to come again. That costs no bytes per entry, nothing when a deadline is
// overwritten, and little where values that came together expire together. Where they do not, a segment would be walked for each
// of its values: so it rests after a walk, for as long as keeps all walks together near a hundredth of the processor's time.
// Until then an expired value takes room, and nothing else: readers see it as a miss from its instant on.

import type { Holdings } from "./holdings.ts";
import { FIRST_OFFSET, type Log, NONE } from "./log.ts";
import { CHUNK, DEAD, dueAt, sizeAt } from "./record.ts";

/** Walking over a record takes some 15 ns: a hundred times that, per record held, is the rest between two walks. */
const REST_MS_PER_RECORD = 0.0015;
/** Records that are looked at and left, for one unit of upkeep. */
const LOOKS_PER_UNIT = 32;

/** Does what is due with a record: it may move or remove this one, and nothing else that is walked. */
export type OnDue = (ref: number) => void;

/** See the top of the file. */
export class Sweeper {
  readonly #holdings: Holdings;
  readonly #log: Log;
  readonly #onDue: OnDue;

  /** The walk under way, the time it was due, and the earliest time due among what it left. */
  #segment = NONE;
  #birth = 0;
  #offset = 0;
  #walkedDueMs = Number.POSITIVE_INFINITY;
  #leftDueMs = Number.POSITIVE_INFINITY;

  /** The burial under way: the next segment, and whether slots were dropped since it began. */
  #burialAt = NONE;
  #isBurialDue = false;

  constructor(holdings: Holdings, onDue: OnDue) {
    this.#holdings = holdings;
    this.#log = holdings.log;
    this.#onDue = onDue;
  }

  /** Slots were disowned: their records are to be buried. */
  slotDisowned(): void {
    this.#isBurialDue = true;
  }

  get isBurying(): boolean {
    return this.#isBurialDue || this.#burialAt !== NONE;
  }

  /** Does at most `budget` units. */
  sweep(wallMs: number, budget: number): void {
    let units = budget;
    while (units > 0 && this.isBurying) units -= this.bury();
    while (units > 0 && (this.#isWalking() || this.#choose(wallMs))) units -= this.#walk(wallMs, units);
  }

  /** The earliest time that something may be due; `Infinity` for none. Cost: a pass over the segments. */
  nextDueMs(): number {
    if (this.isBurying) return 0;
    const { dueMs, pool } = this.#log;
    let next = this.#isWalking() ? this.#walkedDueMs : Number.POSITIVE_INFINITY;
    for (let segment = 0; segment < pool.numberEnd; segment++) {
      if (dueMs[segment]! < next) next = dueMs[segment]!;
    }
    return next;
  }

  /** Buries the foreign records of one segment. Returns its cost in units. */
  bury(): number {
    if (this.#burialAt === NONE) {
      this.#burialAt = 0;
      this.#isBurialDue = false;
    }
    const { pool } = this.#log;
    while (this.#burialAt < pool.numberEnd && this.#log.queueOfSegment(this.#burialAt) === 0)
      this.#burialAt++;
    if (this.#burialAt >= pool.numberEnd) {
      this.#burialAt = NONE;
      if (!this.#isBurialDue) this.#holdings.ledger.allBuried();
      return 1;
    }
    return this.#burySegment(this.#burialAt++);
  }

  #burySegment(segment: number): number {
    const words = this.#log.pool.wordsOf(segment);
    const birth = this.#log.birthOf(segment);
    let looks = 0;
    for (let offset = FIRST_OFFSET; offset < this.#log.usedOf(segment); looks++) {
      const at = this.#log.wordAt(segment, offset);
      offset += sizeAt(words, at);
      if ((words[at]! & DEAD) !== 0 || !this.#holdings.isForeign(words, at)) continue;
      this.#log.kill(this.#log.refOf(segment, at));
      if (this.#log.queueOfSegment(segment) === 0 || this.#log.birthOf(segment) !== birth) break;
    }
    return 1 + looks / LOOKS_PER_UNIT;
  }

  #isWalking(): boolean {
    if (this.#segment === NONE) return false;
    return this.#log.queueOfSegment(this.#segment) !== 0 && this.#log.birthOf(this.#segment) === this.#birth;
  }

  /** Begins to walk the segment that is due first, if any is by now. */
  #choose(wallMs: number): boolean {
    const { dueMs, pool } = this.#log;
    let first = NONE;
    let firstMs = wallMs + 1;
    for (let segment = 0; segment < pool.numberEnd; segment++) {
      if (dueMs[segment]! >= firstMs) continue;
      first = segment;
      firstMs = dueMs[segment]!;
    }
    this.#segment = first;
    if (first === NONE) return false;
    this.#birth = this.#log.birthOf(first);
    this.#offset = FIRST_OFFSET;
    this.#walkedDueMs = firstMs;
    this.#leftDueMs = Number.POSITIVE_INFINITY;
    // What is written into the segment from now on notes its own time.
    dueMs[first] = Number.POSITIVE_INFINITY;
    return true;
  }

  /** Returns the units done. */
  #walk(wallMs: number, budget: number): number {
    const log = this.#log;
    const segment = this.#segment;
    const words = log.pool.wordsOf(segment);
    let units = 0;
    while (this.#isWalking() && this.#offset < log.usedOf(segment)) {
      if (units >= budget) return units;
      const at = log.wordAt(segment, this.#offset);
      const isLive = (words[at]! & (DEAD | CHUNK)) === 0 && !this.#holdings.isForeign(words, at);
      const dueMs = isLive ? dueAt(words, at) : 0;
      this.#offset += sizeAt(words, at);
      if (dueMs !== 0 && dueMs <= wallMs) {
        units++;
        this.#onDue(log.refOf(segment, at));
      } else {
        units += 1 / LOOKS_PER_UNIT;
        if (dueMs !== 0 && dueMs < this.#leftDueMs) this.#leftDueMs = dueMs;
      }
    }
    if (this.#isWalking()) this.#finish(wallMs);
    this.#segment = NONE;
    return units;
  }

  #finish(wallMs: number): void {
    const restMs = Math.floor(this.#holdings.ledger.total * REST_MS_PER_RECORD);
    const { dueMs } = this.#log;
    const next = Math.min(this.#leftDueMs, dueMs[this.#segment]!);
    if (next !== Number.POSITIVE_INFINITY) dueMs[this.#segment] = Math.max(next, wallMs + restMs);
  }
}
