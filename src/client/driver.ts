// Drives a client's core on real time: dials and closes links for it, hands their messages in, keeps one timer for its deadline, and
// turns calls into promises.
//
// Invariants: 1. Effects of a step are carried out before the next step, also when an effect causes an input. 2. Nothing is told
// to the core of a connection that it has dropped. 3. After a stall of this process, waiting input goes in before overdue ticks:
// answers may lie unread while their timeouts are overdue, and Node runs expired timers before it polls.

import { randomInt } from "node:crypto";
import { assertNever } from "../base/assert.ts";
import { CacheError, cacheErrorWithoutStack } from "../base/errors.ts";
import type { Grants } from "../base/grants.ts";
import type { Hashes } from "../base/hash.ts";
import { NumberMap } from "../base/number-map.ts";
import { Prng } from "../base/prng.ts";
import { TurnWatch } from "../base/turn-watch.ts";
import type { Now } from "../core/machine.ts";
import type { ClientReply, ClientRequest, Message } from "../core/messages.ts";
import { readNow } from "../io/clock.ts";
import { clientIdentity, type DialOptions, dialLink, type Link, type LinkHandlers } from "../io/link.ts";
import type { SecretRing } from "../io/proofs.ts";
import { shareSignal } from "../io/shared-signal.ts";
import { resolveLinkLimits, VALUE_BYTES_MAX_DEFAULT } from "../wire/limits.ts";
import { storyOf } from "./call.ts";
import { ClientCore, RETRY_AFTER_MS } from "./client-core.ts";
import type { CallReply, CallRequest, ClientEffect, ClientInput, GetOptions } from "./client-machine.ts";
import type { ResolvedClientOptions } from "./options.ts";
import { GROUP_READS_MAX } from "./read-group.ts";
import { CLIENT_TIMING } from "./timing.ts";
import { type CallResult, SingleWaiter, type Waiter } from "./waiters.ts";

/** Opens links; tests put another in its place. */
export type Dial = (options: DialOptions) => Promise<Link>;

/** How one call is to be made. */
export interface CallLimits {
  /** Monotonic. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** See {@link Waiter.isPart}. @default false */
  readonly isPart?: boolean;
}

/** Reads that callers asked for one after the other, and that enter the core together. */
interface Gathering {
  readonly get: GetOptions;
  readonly timeoutMs: number;
  readonly keys: string[];
  readonly waiters: Waiter[];
}

/** A connection, or the attempt at one. */
interface Connection {
  readonly abort: AbortController;
  link: Link | undefined;
  /** The core wants to hear no more of it. */
  isDropped: boolean;
}

type ClientGets = Extract<ClientInput, { kind: "gets" }>;

/** Inputs that effects of one step may cause: at most one per call and link. More is a loop, hence a bug. */
const PENDING_MAX = 1_000_000;
/** The longest delay Node's timers hold. */
const DELAY_MS_MAX = 2 ** 31 - 1;
/** A timer this late means that the process stood still. */
const LATE_MS_MAX = 50;
/** How long `close` waits for links to close; they cut themselves after a second. */
const CLOSE_MS_MAX = 1_500;
const CLIENT_ID_MAX = 2 ** 48 - 1;

export class ClientDriver {
  readonly options: ResolvedClientOptions;
  readonly core: ClientCore;
  readonly #dial: Dial;
  readonly #clientId = randomInt(1, CLIENT_ID_MAX);
  readonly #connections = new Map<string, Connection>();
  readonly #waiters = new NumberMap<Waiter>();
  readonly #inputs: ClientInput[] = [];
  readonly #turns = new TurnWatch();
  /** Closed, but not gone yet. */
  readonly #leaving = new Set<Link>();
  /** What links are made for. */
  #valueBytesMax = VALUE_BYTES_MAX_DEFAULT;
  #grants: Grants | undefined;
  #lastCallId = 0;
  /** Calls that were refused as they were made, and whose callers are about to be told. */
  #refused: { readonly waiter: Waiter; readonly refusal: CacheError }[] = [];
  #gathering: Gathering | undefined;
  #isStepping = false;
  #isHolding = false;
  #timer: NodeJS.Timeout | undefined;
  #armedForMs = Number.POSITIVE_INFINITY;
  #closing: Promise<void> | undefined;
  #isOver = false;
  /** Calls of many parts under way: see {@link ClientDriver.hold}. */
  #held = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #onIdle: (() => void) | undefined;
  #onGone: (() => void) | undefined;
  #onChange: (() => void) | undefined;

  constructor(options: ResolvedClientOptions, hashes: Hashes, dial: Dial = dialLink) {
    this.options = options;
    this.#dial = dial;
    this.core = new ClientCore(
      { seeds: options.seeds, clientId: this.#clientId },
      { hashes, prng: new Prng(randomInt(2 ** 32)) },
      readNow(),
    );
  }

  /** What this client's user may do, as the node told that was connected last; `undefined` for everything, and while none was. */
  get grants(): Grants | undefined {
    return this.#grants;
  }

  /** Monotonic milliseconds. */
  nowMs(): number {
    return readNow().monoMs;
  }

  /**
   * Begins to connect. Resolves to whether a node has told the ring and can be sent calls; `false` as soon as every seed has
   * refused for good, or after `timeoutMs`. The driver goes on trying either way.
   */
  async ready(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const isReady = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
      this.#onChange = () => {
        if (this.core.view.ring !== undefined && this.core.connected.length > 0) resolve(true);
        else if (this.#isHopeless()) resolve(false);
      };
      this.feed({ kind: "tick" });
    });
    clearTimeout(timer);
    this.#onChange = undefined;
    return isReady;
  }

  /** When a node first told the ring, on the clock of {@link ClientDriver.nowMs}; minus infinity before. */
  get toldMs(): number {
    return this.#toldMs;
  }

  /** Why {@link ClientDriver.ready} was false: names each seed and what it said. */
  connectError(): CacheError {
    const waiting = this.core.connected.map((address) => ({
      address,
      code: "ERR_UNREACHABLE",
      reason: "connected, but it is not part of a ring yet",
    }));
    const failures = [...waiting, ...this.core.failures];
    const codes = failures.map(({ code }) => code);
    const isRefused = codes.includes("ERR_UNAUTHORIZED");
    const isForeign = codes.length > 0 && codes.every((code) => code === "ERR_PROTOCOL");
    return new CacheError(
      isRefused ? "ERR_UNAUTHORIZED" : isForeign ? "ERR_PROTOCOL" : "ERR_UNREACHABLE",
      `Cannot connect to the cluster (${storyOf(failures)})`,
      { details: { seeds: failures } },
    );
  }

  /** Makes one call. Rejects with its error, or with the signal's reason. */
  call(request: CallRequest, limits: CallLimits): Promise<CallReply> {
    const { signal, isPart } = limits;
    if (signal === undefined) {
      return new Promise((resolve, reject) => {
        this.start(request, limits.deadlineMs, new SingleWaiter(resolve, reject, isPart));
      });
    }
    if (signal.aborted) return Promise.reject(signal.reason);
    let onAbort: (() => void) | undefined;
    const result = new Promise<CallReply>((resolve, reject) => {
      const waiter = new SingleWaiter(resolve, reject, isPart);
      const callId = this.start(request, limits.deadlineMs, waiter);
      onAbort = () => {
        this.cancel([callId]);
        waiter.reject(signal.reason);
      };
      shareSignal(signal).addEventListener("abort", onAbort, { once: true });
    });
    return result.finally(() => {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
    });
  }

  /**
   * A read, together with those that follow in the same task. They enter the core when the task has ended, or before another call does; their
   * deadline is `timeoutMs` from then, so that a long task does not take it from them.
   */
  gather(key: string, get: GetOptions, timeoutMs: number, waiter: Waiter): void {
    if (this.#closing !== undefined) {
      this.start({ kind: "get", key, ...get }, this.nowMs() + timeoutMs, waiter);
      return;
    }
    const last = this.#gathering;
    const isAlike = last !== undefined && last.timeoutMs === timeoutMs && isSameRead(last.get, get);
    if (isAlike && last.keys.length < GROUP_READS_MAX) {
      last.keys.push(key);
      last.waiters.push(waiter);
      return;
    }
    this.#endGathering();
    this.#gathering = { get, timeoutMs, keys: [key], waiters: [waiter] };
    queueMicrotask(this.#endGathering);
  }

  readonly #endGathering = (): void => {
    const gathered = this.#gathering;
    if (gathered === undefined) return;
    this.#gathering = undefined;
    const now = readNow();
    const { get, timeoutMs } = gathered;
    const deadlineMs = now.monoMs + timeoutMs;
    const { keys, waiters } = this.core.mayRefuse ? this.#refuseSome(gathered, deadlineMs, now) : gathered;
    if (keys.length > 0) this.#enterGets({ keys, get, deadlineMs, isPatient: false }, waiters, now);
  };

  /** Returns what is left of them. */
  #refuseSome(
    { get, keys, waiters }: Gathering,
    deadlineMs: number,
    now: Now,
  ): Pick<Gathering, "keys" | "waiters"> {
    const left = { keys: [] as string[], waiters: [] as Waiter[] };
    for (const [index, key] of keys.entries()) {
      const refusal = this.core.refusalOf({ kind: "get", key, ...get }, deadlineMs, now.monoMs);
      if (refusal !== undefined) {
        this.#refuse(waiters[index]!, refusal);
      } else {
        left.keys.push(key);
        left.waiters.push(waiters[index]!);
      }
    }
    return left;
  }

  /** Makes many reads, each on behalf of its waiter, which is to be patient. Returns the id of the first; the others follow. 0 when it is too late. */
  startGets(gets: Pick<ClientGets, "keys" | "get" | "deadlineMs">, waiters: readonly Waiter[]): number {
    this.#endGathering();
    if (!this.#isOver) return this.#enterGets({ ...gets, isPatient: true }, waiters);
    for (const waiter of waiters) waiter.settle(closedError(true));
    return 0;
  }

  #enterGets(gets: Omit<ClientGets, "kind" | "callId">, waiters: readonly Waiter[], now?: Now): number {
    const callId = this.#lastCallId + 1;
    for (const waiter of waiters) this.#enter(waiter);
    this.feed({ kind: "gets", callId, ...gets }, now);
    return callId;
  }

  /** As {@link ClientDriver.start} with a deadline `timeoutMs` from now. */
  startWithin(request: CallRequest, timeoutMs: number, waiter: Waiter): void {
    this.#endGathering();
    if (this.#closing !== undefined || this.#isStepping) {
      this.start(request, this.nowMs() + timeoutMs, waiter);
      return;
    }
    const now = readNow();
    const deadlineMs = now.monoMs + timeoutMs;
    const refusal =
      waiter.isPatient === true ? undefined : this.core.refusalOf(request, deadlineMs, now.monoMs);
    if (refusal !== undefined) {
      this.#refuse(waiter, refusal);
      return;
    }
    const callId = this.#enter(waiter);
    this.#run({ kind: "call", callId, request, deadlineMs, isPatient: waiter.isPatient === true }, now);
  }

  /** At the end of the turn's present task, all together: a promise that is rejected before anybody waits for it is expensive. */
  #refuse(waiter: Waiter, refusal: CacheError): void {
    this.#refused.push({ waiter, refusal });
    if (this.#refused.length === 1) queueMicrotask(this.#settleRefused);
  }

  readonly #settleRefused = (): void => {
    const refused = this.#refused;
    this.#refused = [];
    for (const { waiter, refusal } of refused) waiter.settle(refusal);
  };

  #enter(waiter: Waiter): number {
    const callId = ++this.#lastCallId;
    this.#waiters.set(callId, waiter);
    if (this.options.isUnref && this.#waiters.size === 1) this.#timer?.ref();
    return callId;
  }

  /** Makes one call on behalf of `waiter`; returns the call's id for {@link ClientDriver.cancel}. */
  start(request: CallRequest, deadlineMs: number, waiter: Waiter): number {
    this.#endGathering();
    if (this.#isOver || (this.#closing !== undefined && waiter.isPart !== true)) {
      waiter.settle(
        closedError(request.kind === "get" || request.kind === "scan" || request.kind === "count"),
      );
      return ++this.#lastCallId;
    }
    const callId = this.#enter(waiter);
    this.feed({ kind: "call", callId, request, deadlineMs, isPatient: waiter.isPatient === true });
    return callId;
  }

  /** Whoever made the calls lost interest. Does nothing for those that have ended. */
  cancel(callIds: readonly number[]): void {
    const open = callIds.filter((callId) => this.#waiters.delete(callId));
    if (open.length === 0) return;
    this.feed({ kind: "cancel", callIds: open });
    this.#maybeIdle();
  }

  /**
   * A call of many parts begins: `close` waits for it as for any call under way, and its parts (`isPart`) may begin meanwhile. Each of them has
   * a deadline, so it ends. Returns what is to be called once, when it has.
   */
  hold(): () => void {
    this.#held += 1;
    return () => {
      this.#held -= 1;
      this.#maybeIdle();
    };
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** Lets the calls under way end, then closes the links. Idempotent: joins a close in progress. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#endGathering();
    if (this.#waiters.size > 0 || this.#held > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.feed({ kind: "close" });
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#leaving.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onGone = resolve;
      timer = setTimeout(resolve, CLOSE_MS_MAX);
    });
    clearTimeout(timer);
    for (const link of this.#leaving) link.terminate("closed");
  }

  /** Feeds one input, at this moment unless another is named. When called by an effect of a step, it waits until that step's effects are done. */
  feed(input: ClientInput, now?: Now): void {
    if (this.#isOver) return;
    if (!this.#isStepping) this.#run(input, now ?? readNow());
    else if (this.#inputs.push(input) > PENDING_MAX) throw new Error("Inputs cause inputs without end");
  }

  #enterTurn(nowMs: number): void {
    if (this.#turns.enter(nowMs)) setImmediate(this.#onTurnEnd);
  }

  readonly #onTurnEnd = (): void => this.#turns.end(this.nowMs());

  #run(first: ClientInput, firstNow: Now): void {
    this.#enterTurn(firstNow.monoMs);
    this.#isStepping = true;
    let now = firstNow;
    try {
      let input: ClientInput | undefined = first;
      while (input !== undefined) {
        for (const effect of this.core.step(input, now)) this.#carryOut(effect);
        input = this.#inputs.shift();
        if (input !== undefined) now = readNow();
      }
    } finally {
      this.#isStepping = false;
    }
    this.#onChange?.();
    this.#arm(now.monoMs);
  }

  #carryOut(effect: ClientEffect): void {
    switch (effect.kind) {
      case "send":
        this.#send(effect.address, effect.message);
        break;
      case "settle":
        this.#settle(effect.callId, effect.result);
        break;
      case "dial":
        this.#open(effect.address);
        break;
      case "drop":
        this.#drop(effect.address);
        break;
      case "topology":
        if (this.#toldMs < 0) this.#toldMs = this.nowMs();
        this.#adoptLimits();
        break;
      default:
        assertNever(effect);
    }
  }

  #send(address: string, message: ClientRequest): void {
    this.#connections.get(address)?.link?.send(message);
  }

  #settle(callId: number, result: CallResult): void {
    const waiter = this.#waiters.take(callId);
    waiter?.settle(result instanceof CacheError ? withRetryAfter(result) : result);
    this.#maybeIdle();
  }

  #maybeIdle(): void {
    if (this.#waiters.size > 0) return;
    if (this.options.isUnref) this.#timer?.unref();
    if (this.#held === 0) this.#onIdle?.();
  }

  // ---- links

  #open(address: string): void {
    const connection: Connection = { abort: new AbortController(), link: undefined, isDropped: false };
    this.#connections.set(address, connection);
    const { user, tls, isUnref, cluster } = this.options;
    let secret: SecretRing;
    try {
      secret = this.options.secrets();
    } catch (error) {
      // An application's function may throw. It is asked again at the next attempt.
      queueMicrotask(() => this.#failed(address, connection, error));
      return;
    }
    const dialled = this.#dial({
      address,
      path: "client",
      identity: clientIdentity({
        clusterName: cluster,
        genesisId: this.#genesisId(),
        clientId: this.#clientId,
      }),
      secret: secret.length === 0 ? undefined : secret,
      user,
      tls,
      timeoutMs: CLIENT_TIMING.dialMsMax - LATE_MS_MAX,
      signal: connection.abort.signal,
      limits: resolveLinkLimits(this.#valueBytesMax),
      unref: isUnref,
      onLink: (link) => this.#opened(address, connection, link),
    });
    dialled.catch((error: unknown) => this.#failed(address, connection, error));
  }

  /** While any node is connected, only others of the same cluster are. When all were gone, a cluster begun anew is fine. */
  #genesisId(): string {
    for (const { link } of this.#connections.values()) {
      if (link?.isOpen === true) return link.remote.genesisId;
    }
    return "";
  }

  #opened(address: string, connection: Connection, link: Link): LinkHandlers {
    connection.link = link;
    this.#grants = link.remote.access.grants;
    if (connection.isDropped) link.terminate("dropped");
    else this.feed({ kind: "link", address, isUp: true });
    return {
      onMessages: (messages) => {
        if (!connection.isDropped) this.#receive(address, messages);
      },
      onClose: (reason) => {
        this.#lost(address, connection, { reason });
        this.#leaving.delete(link);
        if (this.#leaving.size === 0) this.#onGone?.();
      },
      onOversized: (message, reason) => this.#oversized(address, message, reason),
    };
  }

  #receive(address: string, messages: readonly Message[]): void {
    // The wire lets only replies pass in this direction.
    const replies = messages as readonly ClientReply[];
    const nowMs = this.nowMs();
    this.#enterTurn(nowMs);
    const ownMs = this.#turns.ownMs(nowMs);
    if (replies.length === 1) this.feed({ kind: "message", address, message: replies[0]!, ownMs });
    else this.feed({ kind: "messages", address, messages: replies, ownMs });
  }

  #failed(address: string, connection: Connection, error: unknown): void {
    const known = error instanceof CacheError ? error : undefined;
    // The bare reason, where there is one: whoever shows it names the address as well.
    const bare = known?.details.reason;
    this.#lost(address, connection, {
      reason: typeof bare === "string" ? bare : error instanceof Error ? error.message : String(error),
      code: known?.code ?? "ERR_UNREACHABLE",
    });
  }

  #lost(
    address: string,
    connection: Connection,
    why: Pick<Extract<ClientInput, { kind: "link" }>, "reason" | "code">,
  ): void {
    if (connection.isDropped) return;
    connection.isDropped = true;
    if (this.#connections.get(address) === connection) this.#connections.delete(address);
    this.feed({ kind: "link", address, isUp: false, ...why });
  }

  #drop(address: string): void {
    const connection = this.#connections.get(address);
    if (connection === undefined) return;
    connection.isDropped = true;
    this.#connections.delete(address);
    const { link } = connection;
    if (link === undefined) connection.abort.abort();
    else if (this.#closing === undefined) link.terminate("dropped");
    else {
      this.#leaving.add(link);
      link.close();
    }
  }

  /** What was too large for a frame never left: a certain "no". */
  #oversized(address: string, message: Message, reason: string): void {
    if (!("id" in message) || typeof message.id !== "number") return;
    const failure = { kind: "failed", id: message.id, applied: "no", elsewhere: false } as const;
    const text = `The request is larger than a frame may be (${reason})`;
    this.feed({ kind: "message", address, message: { ...failure, code: "ERR_TOO_LARGE", message: text } });
  }

  /** A cluster with larger values than usual: links made before that was known are made anew. */
  #adoptLimits(): void {
    const { valueBytesMax } = this.core.view;
    if (valueBytesMax <= this.#valueBytesMax) return;
    this.#valueBytesMax = valueBytesMax;
    for (const { link } of [...this.#connections.values()])
      link?.terminate("the cluster takes larger values");
  }

  // ---- connecting

  /** Whether every seed has said that it will not have this client: trying again changes nothing. */
  #isHopeless(): boolean {
    const failures = this.core.failures;
    return (
      this.core.connected.length === 0 &&
      failures.length > 0 &&
      failures.every(({ code }) => code === "ERR_UNAUTHORIZED" || code === "ERR_PROTOCOL")
    );
  }

  // ---- time

  #arm(nowMs: number): void {
    if (this.#isOver || this.#isHolding) return;
    const deadlineMs = this.core.deadline();
    if (deadlineMs >= this.#armedForMs) return;
    clearTimeout(this.#timer);
    this.#armedForMs = deadlineMs;
    const delayMs = Math.min(DELAY_MS_MAX, Math.max(0, deadlineMs - nowMs));
    this.#timer = setTimeout(() => this.#onTimer(), delayMs);
    if (this.options.isUnref && this.#waiters.size === 0) this.#timer.unref();
  }

  #onTimer(): void {
    const lateMs = this.nowMs() - this.#armedForMs;
    this.#armedForMs = Number.POSITIVE_INFINITY;
    if (lateMs <= LATE_MS_MAX) {
      this.feed({ kind: "tick" });
      return;
    }
    // Two turns: a stall that ends during a poll phase has an incomplete look at the sockets behind it.
    this.#isHolding = true;
    setImmediate(() =>
      setImmediate(() => {
        this.#isHolding = false;
        this.feed({ kind: "tick" });
      }),
    );
  }
}

/** Not every refusal says when to try again: one of this client itself, or of a node that was handed the request, does not. Callers rely on it. */
function withRetryAfter(error: CacheError): CacheError {
  const { code, message, details, cause, applied } = error;
  if (code !== "ERR_OVERLOADED" || details.retryAfterMs !== undefined) return error;
  const more = { details: { ...details, retryAfterMs: RETRY_AFTER_MS }, cause };
  return cacheErrorWithoutStack(code, message, applied === undefined ? more : { ...more, applied });
}

function isSameRead(a: GetOptions, b: GetOptions): boolean {
  return a === b || (a.want === b.want && a.read === b.read && a.readFrom === b.readFrom);
}

function closedError(isRead: boolean): CacheError {
  return new CacheError("ERR_CLOSED", "The cache is closed", isRead ? {} : { applied: "no" });
}
