// The calls that wait for room on one link: those that a node has refused already come first, or each refusal would cost them the whole
// queue again; the others in the order in which they came.

import type { Call } from "./call.ts";

export class CallQueue {
  readonly #fresh = new Set<Call>();
  readonly #repeated = new Set<Call>();

  get size(): number {
    return this.#fresh.size + this.#repeated.size;
  }

  /** Who is next; `undefined` when nobody waits. */
  get next(): Call | undefined {
    if (this.#repeated.size > 0) for (const call of this.#repeated) return call;
    for (const call of this.#fresh) return call;
    return undefined;
  }

  /** Which of the calls that were never sent has waited longest; `undefined` for none. */
  get oldest(): Call | undefined {
    for (const call of this.#fresh) return call;
    return undefined;
  }

  add(call: Call): void {
    (call.attemptCount > 0 ? this.#repeated : this.#fresh).add(call);
  }

  delete(call: Call): void {
    if (!this.#fresh.delete(call)) this.#repeated.delete(call);
  }

  /** Empties it and returns what was in it. */
  takeAll(): readonly Call[] {
    const calls = [...this.#repeated, ...this.#fresh];
    this.#fresh.clear();
    this.#repeated.clear();
    return calls;
  }
}
