// The calls that wait for room on one link: those that a node has refused already come first, or each refusal would cost them the whole
// queue again; the others in the order in which they came.
//
// Lists through the calls themselves: a Set that is filled at one end and emptied at the other has to be walked over its holes to find
// its first element, and under overload thousands of calls a second ask for it.

import type { Call } from "./call.ts";

export class CallQueue {
  readonly #fresh = new List();
  readonly #repeated = new List();

  get size(): number {
    return this.#fresh.size + this.#repeated.size;
  }

  /** Who is next; `undefined` when nobody waits. */
  get next(): Call | undefined {
    return this.#repeated.first ?? this.#fresh.first;
  }

  /** Which of the calls that were never sent has waited longest; `undefined` for none. */
  get oldest(): Call | undefined {
    return this.#fresh.first;
  }

  /** Does nothing for a call that is in it. */
  add(call: Call): void {
    (call.attemptCount > 0 ? this.#repeated : this.#fresh).add(call);
  }

  /** Does nothing for a call that is not in it. */
  delete(call: Call): void {
    if (call.queueList === this.#fresh) this.#fresh.delete(call);
    else if (call.queueList === this.#repeated) this.#repeated.delete(call);
  }

  /** Empties it and returns what was in it. */
  takeAll(): readonly Call[] {
    const calls: Call[] = [];
    for (let call = this.next; call !== undefined; call = this.next) {
      calls.push(call);
      this.delete(call);
    }
    return calls;
  }
}

/** A doubly linked list. A call is in one at most, and names it. */
export class List {
  first: Call | undefined;
  #last: Call | undefined;
  size = 0;

  add(call: Call): void {
    if (call.queueList !== undefined) return;
    call.queueList = this;
    call.queueBefore = this.#last;
    if (this.#last === undefined) this.first = call;
    else this.#last.queueAfter = call;
    this.#last = call;
    this.size++;
  }

  delete(call: Call): void {
    const { queueBefore: before, queueAfter: after } = call;
    if (before === undefined) this.first = after;
    else before.queueAfter = after;
    if (after === undefined) this.#last = before;
    else after.queueBefore = before;
    call.queueList = undefined;
    call.queueBefore = undefined;
    call.queueAfter = undefined;
    this.size--;
  }
}
