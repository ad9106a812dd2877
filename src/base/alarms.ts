// Many alarms of which few ever ring: a request sets one and is answered long before. Setting and clearing one costs a few nanoseconds and no
// memory, which a heap cannot offer: it would hold every alarm until its time, and with it the request.
//
// Alarms lie in lists, one per {@link SPAN_MS} of time; each list knows its earliest alarm, so that rings are exact all the same.
// What a list knows may be out of date after a clear: then `deadline` is early, and nothing rings.
//
// Invariants: 1. An item is in the list of its `alarmMs`, or in none while that is `Infinity`. 2. A list's `leastMs` is at or before
// every alarm in it.

import { Heap } from "./heap.ts";

/** Time per list. Half would make twice the lists; double would have `takeDue` look at twice the alarms that are not due. */
const SPAN_MS = 16;

/** Something with at most one alarm. The fields are kept by {@link Alarms}. */
export interface Alarmed {
  /** When it rings; `Infinity` for never. */
  alarmMs: number;
  alarmPrevious: Alarmed | undefined;
  alarmNext: Alarmed | undefined;
  /** Orders alarms of the same instant: the one set first rings first. */
  alarmOrder: number;
}

interface Span {
  readonly index: number;
  head: Alarmed | undefined;
  leastMs: number;
}

/** The alarms of items of one type. An item must not be in two of these. */
export class Alarms<T extends Alarmed> {
  readonly #spans = new Map<number, Span>();
  readonly #indexes = new Heap<number>((a, b) => a - b);
  /** The span used last: most alarms are set for about the same time. */
  #recent: Span | undefined;
  #order = 0;

  /** Sets the item's alarm, in place of an earlier one. */
  set(item: T, atMs: number): void {
    if (item.alarmMs !== Number.POSITIVE_INFINITY) this.clear(item);
    const index = Math.floor(atMs / SPAN_MS);
    let span = this.#recent;
    if (span?.index !== index) span = this.#spanOf(index);
    item.alarmMs = atMs;
    item.alarmOrder = ++this.#order;
    item.alarmPrevious = undefined;
    item.alarmNext = span.head;
    if (span.head !== undefined) span.head.alarmPrevious = item;
    span.head = item;
    if (atMs < span.leastMs) span.leastMs = atMs;
  }

  /** Does nothing when the item has no alarm. */
  clear(item: T): void {
    if (item.alarmMs === Number.POSITIVE_INFINITY) return;
    // By invariant 1 the list is there.
    const index = Math.floor(item.alarmMs / SPAN_MS);
    unlink(item, this.#recent?.index === index ? this.#recent : this.#spans.get(index)!);
    item.alarmMs = Number.POSITIVE_INFINITY;
  }

  /** When the next alarm rings, or a little before; `Infinity` for never. */
  deadline(): number {
    for (let index = this.#indexes.peek(); index !== undefined; index = this.#indexes.peek()) {
      const span = this.#spans.get(index);
      if (span?.head !== undefined) return span.leastMs;
      this.#drop(index);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Clears the alarms that are due and returns their items, the earliest first. */
  takeDue(nowMs: number): readonly T[] {
    let due: T[] | undefined;
    while (this.deadline() <= nowMs) {
      const span = this.#spans.get(this.#indexes.peek()!)!; // there is a deadline
      let leastMs = Number.POSITIVE_INFINITY;
      for (let item = span.head; item !== undefined; ) {
        const next = item.alarmNext;
        if (item.alarmMs > nowMs) {
          leastMs = Math.min(leastMs, item.alarmMs);
        } else {
          unlink(item, span);
          due ??= [];
          // Only items of this type are ever set.
          due.push(item as T);
        }
        item = next;
      }
      span.leastMs = leastMs;
      if (leastMs < Number.POSITIVE_INFINITY) break;
      this.#drop(span.index);
    }
    if (due === undefined) return NOTHING;
    due.sort((a, b) => a.alarmMs - b.alarmMs || a.alarmOrder - b.alarmOrder);
    for (const item of due) item.alarmMs = Number.POSITIVE_INFINITY;
    return due;
  }

  #spanOf(index: number): Span {
    let span = this.#spans.get(index);
    if (span === undefined) {
      span = { index, head: undefined, leastMs: Number.POSITIVE_INFINITY };
      this.#spans.set(index, span);
      this.#indexes.push(index);
    }
    this.#recent = span;
    return span;
  }

  #drop(index: number): void {
    this.#indexes.pop();
    this.#spans.delete(index);
    if (this.#recent?.index === index) this.#recent = undefined;
  }
}

function unlink(item: Alarmed, span: Span): void {
  const { alarmPrevious, alarmNext } = item;
  if (alarmNext !== undefined) alarmNext.alarmPrevious = alarmPrevious;
  if (alarmPrevious !== undefined) alarmPrevious.alarmNext = alarmNext;
  else span.head = alarmNext;
  item.alarmPrevious = undefined;
  item.alarmNext = undefined;
}

const NOTHING: readonly never[] = Object.freeze([]);
