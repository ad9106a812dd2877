// Many calls as one: a window of them is under way at a time, whose size the links' own limits govern further (client-core.ts).

import { shareSignal } from "../io/shared-signal.ts";
import type { CallRequest } from "./client-machine.ts";
import type { CallLimits, ClientDriver } from "./driver.ts";
import type { CallResult, Waiter } from "./waiters.ts";

/** Calls under way for one bulk call: enough to fill the frames of some ten nodes, few enough that each is answered soon. */
const WINDOW = 256;

/**
 * Makes all calls and resolves to their results, in order.
 *
 * @param isAllOrNothing The first error ends it: the promise rejects and the other calls are given up. Otherwise errors are results.
 */
export function callMany(
  driver: ClientDriver,
  requests: readonly CallRequest[],
  limits: CallLimits & { readonly isAllOrNothing: boolean },
): Promise<readonly CallResult[]> {
  const { signal } = limits;
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  const release = driver.hold();
  let many: ManyCalls | undefined;
  const onAbort = (): void => many?.fail(signal?.reason);
  const result = new Promise<readonly CallResult[]>((resolve, reject) => {
    many = new ManyCalls(driver, { requests, ...limits, resolve, reject });
    if (signal !== undefined) shareSignal(signal).addEventListener("abort", onAbort, { once: true });
    many.launch();
  });
  return result.finally(() => {
    signal?.removeEventListener("abort", onAbort);
    release();
  });
}

interface ManyPlan {
  readonly requests: readonly CallRequest[];
  readonly deadlineMs: number;
  readonly isAllOrNothing: boolean;
  resolve(results: readonly CallResult[]): void;
  reject(error: unknown): void;
}

class ManyCalls {
  readonly #driver: ClientDriver;
  readonly #plan: ManyPlan;
  readonly #results: CallResult[];
  /** Ids of the calls under way. */
  readonly #underWay = new Set<number>();
  #next = 0;
  #settled = 0;
  #isLaunching = false;
  #isOver = false;

  constructor(driver: ClientDriver, plan: ManyPlan) {
    this.#driver = driver;
    this.#plan = plan;
    this.#results = new Array<CallResult>(plan.requests.length);
  }

  launch(): void {
    // A call that ends at once, within `start`, must not recurse into the next.
    if (this.#isLaunching) return;
    this.#isLaunching = true;
    const { requests, deadlineMs } = this.#plan;
    while (!this.#isOver && this.#next < requests.length && this.#next - this.#settled < WINDOW) {
      const index = this.#next++;
      const waiter = new ManyWaiter(this, index);
      waiter.callId = this.#driver.start(requests[index]!, deadlineMs, waiter);
      if (!waiter.isSettled) this.#underWay.add(waiter.callId);
    }
    this.#isLaunching = false;
    if (!this.#isOver && this.#settled === requests.length) {
      this.#isOver = true;
      this.#plan.resolve(this.#results);
    }
  }

  settle(waiter: ManyWaiter, result: CallResult): void {
    this.#underWay.delete(waiter.callId);
    this.#results[waiter.index] = result;
    this.#settled += 1;
    if (this.#plan.isAllOrNothing && result instanceof Error) this.fail(result);
    else this.launch();
  }

  /** Gives up what is under way. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const callId of this.#underWay) this.#driver.cancel(callId);
    this.#plan.reject(error);
  }
}

class ManyWaiter implements Waiter {
  readonly isPatient = true;
  readonly isPart = true;
  readonly #many: ManyCalls;
  readonly index: number;
  callId = 0;
  isSettled = false;

  constructor(many: ManyCalls, index: number) {
    this.#many = many;
    this.index = index;
  }

  settle(result: CallResult): void {
    this.isSettled = true;
    this.#many.settle(this, result);
  }
}
