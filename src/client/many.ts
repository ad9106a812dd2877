// Many calls as one: a window of them is under way at a time, whose size the links' own limits govern further (client-core.ts).
//
// Reads enter the core by the slice, so that those for one node go there together. The next slice follows when half of the window is free: one
// that followed every answer would be a slice of one. Writes go one by one.

import { shareSignal } from "../io/shared-signal.ts";
import type { CallRequest, GetOptions } from "./client-machine.ts";
import type { CallLimits, ClientDriver } from "./driver.ts";
import type { CallResult, Waiter } from "./waiters.ts";

/** Calls under way for one bulk call: enough to fill the frames of some ten nodes, few enough that each is answered soon. */
const WINDOW = 256;

/** Makes all calls and resolves to their results, in order; errors are results. */
export function callMany(
  driver: ClientDriver,
  requests: readonly CallRequest[],
  limits: CallLimits,
): Promise<readonly CallResult[]> {
  const start = (from: number, waiters: readonly ManyWaiter[]): void => {
    for (const [index, waiter] of waiters.entries())
      waiter.callId = driver.start(requests[from + index]!, limits.deadlineMs, waiter);
  };
  return runMany(driver, { count: requests.length, start, sliceMin: 1, isAllOrNothing: false }, limits);
}

/** Reads all keys and resolves to the replies, in order. The first error ends it: the promise rejects and the other reads are given up. */
export function getMany(
  driver: ClientDriver,
  keys: readonly string[],
  get: GetOptions,
  limits: CallLimits,
): Promise<readonly CallResult[]> {
  const { deadlineMs } = limits;
  const start = (from: number, waiters: readonly ManyWaiter[]): void => {
    const slice = keys.slice(from, from + waiters.length);
    const callId = driver.startGets({ keys: slice, get, deadlineMs }, waiters);
    for (const [index, waiter] of waiters.entries()) waiter.callId = callId + index;
  };
  return runMany(driver, { count: keys.length, start, sliceMin: WINDOW / 2, isAllOrNothing: true }, limits);
}

/** What is to be done so many times. */
interface ManyPlan {
  readonly count: number;
  readonly isAllOrNothing: boolean;
  /** Calls that begin together, but for the last. */
  readonly sliceMin: number;
  /** Begins a slice of the calls, each on behalf of its waiter, and tells the waiters their calls' ids. */
  readonly start: (from: number, waiters: readonly ManyWaiter[]) => void;
}

function runMany(
  driver: ClientDriver,
  plan: ManyPlan,
  { signal }: CallLimits,
): Promise<readonly CallResult[]> {
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  const release = driver.hold();
  let many: ManyCalls | undefined;
  const onAbort = (): void => many?.fail(signal?.reason);
  const result = new Promise<readonly CallResult[]>((resolve, reject) => {
    many = new ManyCalls(driver, plan, { resolve, reject });
    if (signal !== undefined) shareSignal(signal).addEventListener("abort", onAbort, { once: true });
    many.launch();
  });
  return result.finally(() => {
    signal?.removeEventListener("abort", onAbort);
    release();
  });
}

interface ManyEnd {
  resolve(results: readonly CallResult[]): void;
  reject(error: unknown): void;
}

class ManyCalls {
  readonly #driver: ClientDriver;
  readonly #plan: ManyPlan;
  readonly #end: ManyEnd;
  readonly #results: CallResult[];
  /** Of the calls under way, and of some that have ended: those go when there are many. */
  #begun: ManyWaiter[] = [];
  #next = 0;
  #settled = 0;
  #isLaunching = false;
  #isOver = false;

  constructor(driver: ClientDriver, plan: ManyPlan, end: ManyEnd) {
    this.#driver = driver;
    this.#plan = plan;
    this.#end = end;
    this.#results = new Array<CallResult>(plan.count);
  }

  launch(): void {
    // A call that ends at once, within `start`, must not recurse into the next.
    if (this.#isLaunching) return;
    this.#isLaunching = true;
    const { count, start } = this.#plan;
    while (!this.#isOver && this.#next < count && this.#hasRoom) {
      const from = this.#next;
      this.#next = Math.min(count, from + WINDOW - this.#underWay);
      const waiters: ManyWaiter[] = [];
      for (let index = from; index < this.#next; index++) waiters.push(new ManyWaiter(this, index));
      if (this.#begun.length > 2 * WINDOW) this.#begun = this.#open;
      this.#begun.push(...waiters);
      start(from, waiters);
      // One that failed at once did not know of the others yet.
      if (this.#isOver) this.#cancel();
    }
    this.#isLaunching = false;
    if (!this.#isOver && this.#settled === count) {
      this.#isOver = true;
      this.#end.resolve(this.#results);
    }
  }

  get #underWay(): number {
    return this.#next - this.#settled;
  }

  get #open(): ManyWaiter[] {
    return this.#begun.filter(({ isSettled }) => !isSettled);
  }

  get #hasRoom(): boolean {
    return this.#underWay + this.#plan.sliceMin <= WINDOW;
  }

  settle(waiter: ManyWaiter, result: CallResult): void {
    this.#results[waiter.index] = result;
    this.#settled += 1;
    if (this.#plan.isAllOrNothing && result instanceof Error) this.fail(result);
    else if (this.#hasRoom) this.launch();
  }

  /** Gives up what is under way. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancel();
    this.#end.reject(error);
  }

  #cancel(): void {
    this.#driver.cancel(this.#open.map(({ callId }) => callId));
  }
}

class ManyWaiter implements Waiter {
  readonly isPatient = true;
  readonly isPart = true;
  readonly #many: ManyCalls;
  readonly index: number;
  /** 0 until it has begun. */
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
