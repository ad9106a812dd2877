// Who waits for the end of a call: one promise for one call, or one promise for many.

import type { CacheError } from "../base/errors.ts";
import type { CallReply } from "./client-machine.ts";

/** How a call ended. */
export type CallResult = CallReply | CacheError;

/** Told once, unless the call was cancelled. */
export interface Waiter {
  settle(result: CallResult): void;
}

/** The end of one call as a promise. */
export class SingleWaiter implements Waiter {
  readonly #resolve: (reply: CallReply) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (reply: CallReply) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(result: CallResult): void {
    if (result instanceof Error) this.#reject(result);
    else this.#resolve(result);
  }

  reject(error: unknown): void {
    this.#reject(error);
  }
}
