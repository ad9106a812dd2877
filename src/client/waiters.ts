// Who waits for the end of a call: one promise for one call, or one promise for many.

import type { CacheError } from "../base/errors.ts";
import type { Outcome } from "../core/messages.ts";
import type { CallReply } from "./client-machine.ts";
import { decodeValue } from "./values.ts";

/** How a call ended. */
export type CallResult = CallReply | CacheError;

/** Told once, unless the call was cancelled. */
export interface Waiter {
  /** Waits as long as its deadline allows rather than be refused: for who bounds by itself what is under way. @default false */
  readonly isPatient?: boolean;
  /** Part of a call that holds the driver open (`ClientDriver.hold`): may begin while it closes. @default false */
  readonly isPart?: boolean;
  settle(result: CallResult): void;
}

/** The end of one call as a promise. */
export class SingleWaiter implements Waiter {
  readonly isPart: boolean;
  readonly #resolve: (reply: CallReply) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (reply: CallReply) => void, reject: (error: unknown) => void, isPart = false) {
    this.isPart = isPart;
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

/** The end of one `get` as a promise of its value. */
export class ValueWaiter implements Waiter {
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(result: CallResult): void {
    if (result instanceof Error) {
      this.#reject(result);
      return;
    }
    try {
      this.#resolve(decodedValue(result));
    } catch (error) {
      this.#reject(error);
    }
  }
}

/** The end of one write as a promise of its outcome. */
export class OutcomeWaiter implements Waiter {
  readonly #resolve: (outcome: Outcome) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (outcome: Outcome) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(result: CallResult): void {
    if (result instanceof Error) this.#reject(result);
    else this.#resolve(outcomeIn(result));
  }
}

/** The value that a reply to a `get` holds. @throws {CacheError} ERR_PROTOCOL when its bytes are no value */
export function decodedValue(reply: CallReply): unknown {
  return reply.kind === "got" && reply.found ? decodeValue(reply.format, reply.value) : undefined;
}

export function outcomeIn(reply: CallReply): Outcome {
  return reply.kind === "written" ? reply.outcome : false;
}
