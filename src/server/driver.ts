// Drives a node's core on real time: reads the clocks, feeds one input at a time, carries out the effects, keeps one timer for
// the core's deadline. It knows no sockets; links hand their messages in and take the sends.
//
// The order after a stall (machine.ts, rule 4; stall-watch.ts says how a stall is noticed):
// 1. Whatever enters first after a stall, a frame or the late beat, the `stall` input goes in before it. The core then knows that it may have
//    missed writes before it answers any request that waited in a socket: it must not answer from a state that may be old.
// 2. Input that waits in the sockets goes in next, and only then an overdue tick: a probe's answer may lie unread while its
//    timeout is overdue, and Node runs expired timers before it polls. So ticks are held back for two turns of the event loop.
//    One is not enough when the stall is noticed during a poll phase: that phase may have asked the kernel before the stall ended.
// Going first is right for both kinds of stall: for the failure detector, pushing its timers back before or after the waiting
// answers is the same, as long as no tick comes in between.
//
// A stop between two of our own instructions cannot be told from none: a request whose step ran just before a stop is answered
// after it. That is no stale read: the step happened between the call and its answer.
//
// Invariants: effects of a step are carried out before the next step, also when an effect causes an input (a link that breaks while
// it is sent on): such inputs wait in a queue. Anything thrown is a bug: the machine is never stepped again.

import { assertNever } from "../base/assert.ts";
import type { MemberId } from "../base/ids.ts";
import { TurnWatch } from "../base/turn-watch.ts";
import type { NodeEvent } from "../core/events.ts";
import type { ClientHandle, Effect, Input, Machine, Now } from "../core/machine.ts";
import type { ClientReply } from "../core/messages.ts";
import { BEAT_MS, StallWatch } from "./stall-watch.ts";

/** A message to a member, or to whoever answers at an address (`to` ""). */
export type SendEffect = Extract<Effect, { kind: "send" }>;

/** What the driver needs from the rest of the shell. None of these may throw. */
export interface DriverPorts {
  /** Reads both clocks; the monotonic one never goes back. */
  now(): Now;
  send(effect: SendEffect): void;
  redial(member: MemberId, path: "peer" | "gossip"): void;
  reply(client: ClientHandle, message: ClientReply, nowMs: number): void;
  onEvent(event: NodeEvent): void;
  onReleased(): void;
  /** Every {@link BEAT_MS}: how late the event loop was. */
  onBeat(lateMs: number): void;
  /** A bug: the core threw. It is stepped no more. */
  onFatal(error: unknown, inputKind: Input["kind"]): void;
}

/** Inputs that wait while a step's effects are carried out: at most one per link that breaks. More is a loop, hence a bug. */
const PENDING_MAX = 10_000;
/** The longest delay Node's timers hold. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** See the top of the file. Idle until {@link Driver.start}; silent after {@link Driver.stop}. */
export class Driver {
  readonly #core: Machine<Input, Effect>;
  readonly #ports: DriverPorts;
  readonly #watch: StallWatch;
  readonly #turns = new TurnWatch();
  readonly #pending: Input[] = [];
  #isStepping = false;
  #isOver = false;
  /** Counts stalls; ticks wait for two turns of the loop after the latest. */
  #holds = 0;
  #isHolding = false;
  #timer: NodeJS.Timeout | undefined;
  /** The deadline that `#timer` is set for; `Infinity` when it is not. */
  #armedForMs = Number.POSITIVE_INFINITY;
  #beat: NodeJS.Timeout | undefined;

  constructor(core: Machine<Input, Effect>, ports: DriverPorts) {
    this.#core = core;
    this.#ports = ports;
    this.#watch = new StallWatch(ports.now().monoMs);
  }

  /** Begins to keep time. */
  start(): void {
    this.#beat = setInterval(() => this.#onBeat(), BEAT_MS);
    this.#arm(this.#ports.now());
  }

  /** Ends for good: no step and no effect follows. Does nothing when it is over already. */
  stop(): void {
    this.#isOver = true;
    this.#pending.length = 0;
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
  }

  /** Feeds one input. When called by an effect of a step, the input waits until that step's effects are done. */
  feed(input: Input): void {
    if (this.#isOver) return;
    if (this.#isStepping) {
      this.#pending.push(input);
      if (this.#pending.length > PENDING_MAX)
        this.#fail(new Error("Inputs cause inputs without end"), input.kind);
      return;
    }
    const now = this.#ports.now();
    this.#enterTurn(now.monoMs);
    const stallMs = this.#watch.enter(now.monoMs);
    if (stallMs > 0) this.#stalled(stallMs, now);
    // Dropped, not queued: the end of the hold brings one.
    if (input.kind === "tick" && this.#isHolding) return;
    this.#run(input, now);
    this.#arm(now);
  }

  /**
   * The time for a question to the core that is no step, in the order that steps have: after a stall has been reported. `undefined` when it
   * must not be asked now, because a step is under way or it is over.
   */
  look(): Now | undefined {
    if (this.#isOver || this.#isStepping) return undefined;
    const now = this.#ports.now();
    const stallMs = this.#watch.enter(now.monoMs);
    if (stallMs > 0) this.#stalled(stallMs, now);
    return this.#isOver ? undefined : now;
  }

  /** How long an input that came in now has waited already, in milliseconds: see base/turn-watch.ts. */
  waitedMs(nowMs: number): number {
    this.#enterTurn(nowMs);
    return this.#turns.waitedMs(nowMs);
  }

  #enterTurn(nowMs: number): void {
    if (this.#turns.enter(nowMs)) setImmediate(this.#onTurnEnd);
  }

  readonly #onTurnEnd = (): void => this.#turns.end(this.#ports.now().monoMs);

  #run(first: Input, firstNow: Now): void {
    let input: Input | undefined = first;
    let now = firstNow;
    this.#isStepping = true;
    while (input !== undefined && !this.#isOver) {
      try {
        for (const effect of this.#core.step(input, now)) this.#carryOut(effect, now);
      } catch (error) {
        this.#fail(error, input.kind);
      }
      input = this.#pending.shift();
      if (input !== undefined) now = this.#ports.now();
    }
    this.#isStepping = false;
  }

  #carryOut(effect: Effect, now: Now): void {
    const ports = this.#ports;
    if (effect.kind === "send") ports.send(effect);
    else if (effect.kind === "reply") ports.reply(effect.client, effect.message, now.monoMs);
    else if (effect.kind === "redial") ports.redial(effect.member, effect.path);
    else if (effect.kind === "event") ports.onEvent(effect.event);
    else if (effect.kind === "released") ports.onReleased();
    else assertNever(effect);
  }

  #fail(error: unknown, inputKind: Input["kind"]): void {
    this.stop();
    this.#ports.onFatal(error, inputKind);
  }

  #onBeat(): void {
    const now = this.#ports.now();
    const { lateMs, stallMs } = this.#watch.beat(now.monoMs);
    if (stallMs > 0) this.#stalled(stallMs, now);
    this.#ports.onBeat(lateMs);
  }

  #stalled(ms: number, now: Now): void {
    this.#holdTicks();
    this.#run({ kind: "stall", ms }, now);
  }

  #holdTicks(): void {
    this.#isHolding = true;
    const hold = ++this.#holds;
    setImmediate(() => setImmediate(() => this.#releaseTicks(hold)));
  }

  #releaseTicks(hold: number): void {
    if (this.#isOver || hold !== this.#holds) return;
    this.#isHolding = false;
    // An early tick is harmless, and after a stall one is most likely due.
    this.feed({ kind: "tick" });
  }

  #onDeadline(): void {
    this.#armedForMs = Number.POSITIVE_INFINITY;
    this.feed({ kind: "tick" });
  }

  /** Sets the timer when the core's deadline is before the one it is set for. Later deadlines wait for the early tick. */
  #arm(now: Now): void {
    if (this.#isOver || this.#isHolding) return;
    const deadlineMs = this.#core.deadline();
    if (deadlineMs >= this.#armedForMs) return;
    clearTimeout(this.#timer);
    this.#armedForMs = deadlineMs;
    const delayMs = Math.min(DELAY_MS_MAX, Math.max(0, deadlineMs - now.monoMs));
    this.#timer = setTimeout(() => this.#onDeadline(), delayMs);
  }
}
