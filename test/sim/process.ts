// What node and client processes share: a machine with one armed tick, an inbox that fills while the process is paused or its
// event loop stalls, and the order in which a driver catches up afterwards.

import type { Now } from "../../src/core/machine.ts";
import { HostClock } from "./clock.ts";
import type { EventQueue } from "./event-queue.ts";
import { Violation } from "./violation.ts";

/** Inputs kept for a process that does not read. Past it, senders see their connection break. */
const INBOX_MAX = 20_000;
const TIMER_GRAIN_MS = 0.001;
/** Ticks at one instant after which the machine is taken to spin. */
const TICKS_AT_ONE_INSTANT_MAX = 1000;

/** Drives the deadline and the inbox of one process. The owner supplies what a tick does. */
export class ProcessLoop {
  readonly clock: HostClock;
  readonly #name: string;
  readonly #queue: EventQueue;
  readonly #tick: () => void;
  readonly #deadline: () => number;
  readonly #inbox: (() => void)[] = [];
  #armedAtMs = Number.POSITIVE_INFINITY;
  #armed = 0;
  #holds = 0;
  #heldSinceMs = 0;
  #lastTickMs = -1;
  #ticksAtOnce = 0;

  constructor(
    name: string,
    queue: EventQueue,
    machine: { readonly tick: () => void; readonly deadline: () => number },
    clock = new HostClock(),
  ) {
    this.clock = clock;
    this.#name = name;
    this.#queue = queue;
    this.#tick = machine.tick;
    this.#deadline = machine.deadline;
  }

  get isResponsive(): boolean {
    return this.#holds === 0;
  }

  get now(): Now {
    return this.clock.now(this.#queue.nowMs);
  }

  /** A new process starts: nothing is left of the old one. */
  reset(): void {
    this.#inbox.length = 0;
    this.#holds = 0;
    this.disarm();
  }

  /** Does `work` now, or when the process reads again. Says whether there was room for it. */
  accept(work: () => void): boolean {
    if (this.#holds === 0) {
      work();
      return true;
    }
    if (this.#inbox.length >= INBOX_MAX) return false;
    this.#inbox.push(work);
    return true;
  }

  /** The process stops reading; holds add up. */
  hold(): void {
    if (this.#holds++ === 0) this.#heldSinceMs = this.#queue.nowMs;
  }

  /**
   * Ends one hold. When it was the last, `onStall` hears how long it lasted, then the waiting input goes in, and overdue ticks
   * come last: the order of server/driver.ts.
   */
  release(onStall: (ms: number) => void): void {
    if (this.#holds === 0) return;
    if (--this.#holds > 0) return;
    onStall(this.#queue.nowMs - this.#heldSinceMs);
    for (const work of this.#inbox.splice(0)) work();
    this.arm();
  }

  disarm(): void {
    this.#armed++;
    this.#armedAtMs = Number.POSITIVE_INFINITY;
  }

  /** Makes sure that a tick comes when the machine wants one. Call after every step. */
  arm(): void {
    const deadlineMs = this.#deadline();
    const { nowMs } = this.#queue;
    let atMs = deadlineMs - this.clock.monoOffsetMs;
    // Rounding may put a deadline that is not reached into the present.
    if (atMs <= nowMs && this.now.monoMs < deadlineMs) atMs = nowMs + TIMER_GRAIN_MS;
    if (atMs >= this.#armedAtMs || atMs === Number.POSITIVE_INFINITY) return;
    const armed = ++this.#armed;
    this.#armedAtMs = atMs;
    this.#queue.at(atMs, () => {
      if (armed !== this.#armed) return;
      this.#armedAtMs = Number.POSITIVE_INFINITY;
      // While held, `release` arms again.
      if (this.#holds > 0) return;
      if (this.#deadline() <= this.now.monoMs) this.#countedTick();
      this.arm();
    });
  }

  #countedTick(): void {
    const { nowMs } = this.#queue;
    this.#ticksAtOnce = nowMs === this.#lastTickMs ? this.#ticksAtOnce + 1 : 0;
    this.#lastTickMs = nowMs;
    if (this.#ticksAtOnce > TICKS_AT_ONE_INSTANT_MAX) {
      throw new Violation(
        "progress",
        `${this.#name} asks for a tick over and over at ${nowMs} ms`,
        this.#queue.count,
      );
    }
    this.#tick();
  }
}
