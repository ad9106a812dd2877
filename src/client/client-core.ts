// A client as a pure state machine: it decides which node gets which try of which call, and when a call is over. The shell
// carries out its effects; the simulator runs it under virtual time.
//
// A call goes to the first replica of its key's slot that can be reached. When the try is not answered in its time, its link breaks, or the
// node says that another may do better, the call goes to the next candidate (router.ts). When all have been tried, the next round
// begins after a short pause, and so on until the deadline. The first good answer of any try settles the call.
//
// Invariants:
// 1. Every call is settled exactly once, at its deadline at the latest, unless it was cancelled.
// 2. A write's tries share one operation id, number themselves, and each carries a `notAfter` at or before the moment at which the next
//    one is sent because of silence: a try that sat in a paused node cannot start after the client has moved on.
// 3. `applied` "no" is only said when every try ended in "no" (call.ts).
// 4. Only an unanswered try, a refused one, and a round after the first, costs a token of the retry budget.
// 5. A read that any replica may answer is asked of a second one before its try is over. That changes nothing in what becomes of the first try.
// 6. No link has more calls under way than its window (window.ts). The others wait here, and when that queue stands, new calls are
//    refused at once: a call that would be answered too late is better off knowing.

import { Alarms } from "../base/alarms.ts";
import { CacheError, cacheErrorWithoutStack } from "../base/errors.ts";
import { type Hashes, slotOfKey } from "../base/hash.ts";
import { IdTable } from "../base/id-table.ts";
import { compareIds, type MemberId } from "../base/ids.ts";
import { NumberMap } from "../base/number-map.ts";
import type { Prng } from "../base/prng.ts";
import type { Machine, Now } from "../core/machine.ts";
import {
  type ClientReply,
  type Failure,
  type GetReply,
  isInRing,
  type Overloaded,
  type ReadScope,
} from "../core/messages.ts";
import { needsCurrent } from "../core/replication/decide.ts";
import { type Attempt, buildRequest, Call, isReplyTo, requestBytes, scopeOf } from "./call.ts";
import type { CallReply, CallRequest, ClientEffect, ClientInput, GetOptions } from "./client-machine.ts";
import { LinkTable } from "./link-table.ts";
import type { NodeLink } from "./node-link.ts";
import { ReadGroup } from "./read-group.ts";
import { HEDGES, RETRIES, RetryBudget } from "./retry-budget.ts";
import { Router } from "./router.ts";
import { CLIENT_TIMING, type ClientTiming } from "./timing.ts";
import { TopologyView } from "./topology-view.ts";

/** What a client's core is told at birth. */
export interface ClientCoreOptions {
  /** `host:port` of at least one node. */
  readonly seeds: readonly string[];
  /** Random safe integer above 0: two clients with one id would pass for each other's retries. */
  readonly clientId: number;
  readonly timing?: Partial<ClientTiming>;
}

export interface ClientCorePorts {
  readonly hashes: Hashes;
  readonly prng: Prng;
}

/** A waiting call is looked at this often. */
const WAKE_MS_MAX = 500;
/** Without a token for another try, the call waits for the ones it has and asks again. */
const BUDGET_RETRY_MS = 50;
/** Extra time for a try per byte of its value (1 ms per 32 KiB), and per call on the link before it. */
const TRY_MS_PER_BYTE = 1 / 32_768;
const TRY_MS_PER_CALL_BEFORE = 1;
const TRY_MS_TOTAL_MAX = 2_000;
/**
 * Calls that may wait here for room. A further one is refused when the first of its link's queue has waited for {@link QUEUE_MS_MAX}, and the link
 * shows signs of too much or its queue will take a quarter of the call's time: then the queue stands. A closed loop of as many callers is
 * never refused, nor is a burst that is made at once.
 */
const QUEUED_MAX = 512;
const QUEUE_MS_MAX = 25;
/** When whoever is refused may try again, where no node said when. */
export const RETRY_AFTER_MS = 100;
/** What a try weighs on its link beside its value. */
const ATTEMPT_BYTES = 512;
/**
 * A read that any replica may answer is asked of a second one when it takes longer than nearly all do at the usual node, within these bounds
 * (Dean and Barroso, "The tail at scale", 2013); at most one read in twenty is (`HEDGES`).
 */
const HEDGE_MS_MIN = 2;
const HEDGE_MS_MAX = 50;
/** Addresses named in an error. */
const FAILURES_MAX = 16;
/** A tick later than this means that this process stood still. */
const STALL_MS_MIN = 100;

export class ClientCore implements Machine<ClientInput, ClientEffect> {
  readonly #clientId: number;
  readonly #timing: ClientTiming;
  readonly #hashes: Hashes;
  readonly #prng: Prng;
  readonly #view: TopologyView;
  readonly #links: LinkTable;
  readonly #router: Router;
  readonly #budget: RetryBudget;
  readonly #hedges: RetryBudget;
  readonly #calls = new NumberMap<Call>();
  /** Calls whose phase is `waiting` for any link; those for one address are woken by its link. */
  readonly #waiting = new Set<Call>();
  /** By the number of each unanswered try: the try, or the group of reads that it is one of. */
  readonly #attempts = new IdTable<Attempt | ReadGroup>();
  readonly #alarms = new Alarms<Call | ReadGroup>();
  /** Reads that are open in groups. */
  #grouped = 0;
  #opSeq = 0;
  /** How much of the round trips that end in this step may have been this process's own. */
  #ownMs = 0;
  /** Frames received. */
  #answerSteps = 0;
  /** When this process last ended a stall. */
  #stalledMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  #hasStarted = false;

  constructor(options: ClientCoreOptions, ports: ClientCorePorts, now: Now) {
    this.#clientId = options.clientId;
    this.#timing = { ...CLIENT_TIMING, ...options.timing };
    this.#hashes = ports.hashes;
    this.#prng = ports.prng;
    this.#view = new TopologyView(ports.hashes);
    this.#budget = new RetryBudget(RETRIES, now.monoMs);
    this.#hedges = new RetryBudget(HEDGES, now.monoMs);
    this.#links = new LinkTable(options.seeds, this.#timing, ports.prng.fork("links"), {
      linkUp: (link, at, out) => this.#linkUp(link, at, out),
      linkDown: (link, at, out) => this.#linkDown(link, at, out),
    });
    this.#router = new Router(this.#view, this.#links, ports.prng.fork("router"));
  }

  /** The cluster as this client sees it. Not to be changed. */
  get view(): TopologyView {
    return this.#view;
  }

  /** Calls under way. */
  get pending(): number {
    return this.#calls.size + this.#grouped;
  }

  /** Addresses of the nodes that calls can be sent to now, ascending. */
  get connected(): readonly string[] {
    return this.#links.up.map((link) => link.address);
  }

  isConnected(address: string): boolean {
    return this.#links.get(address)?.phase === "up";
  }

  /** Why the addresses that are not connected are not, as far as known; the first 16 of them. */
  get failures(): readonly { readonly address: string; readonly reason: string; readonly code: string }[] {
    const failures = [];
    for (const link of this.#links.all()) {
      if (link.phase === "up") continue;
      if (failures.length === FAILURES_MAX) break;
      const { reason, code } = link.failure ?? { reason: "not answered yet", code: "ERR_UNREACHABLE" };
      failures.push({ address: link.address, reason, code });
    }
    return failures;
  }

  deadline(): number {
    if (!this.#hasStarted) return Number.NEGATIVE_INFINITY;
    return Math.min(this.#alarms.deadline(), this.#links.deadlineMs);
  }

  /** Whether so many calls wait that {@link ClientCore.refusalOf} may have an error for a further one. */
  get mayRefuse(): boolean {
    return this.pending >= QUEUED_MAX && this.#queued >= QUEUED_MAX;
  }

  /**
   * The error of a call that would be refused for certain if it were made now; `undefined` to make it. Changes nothing: under overload
   * most calls end here, and what they cost is taken from those that are served.
   */
  refusalOf(request: CallRequest, deadlineMs: number, nowMs: number): CacheError | undefined {
    if (!("key" in request) || !this.mayRefuse) return undefined;
    const owner = this.#view.preferenceList(slotOfKey(request.key))[0];
    const address = owner === undefined ? undefined : this.#view.member(owner)?.address;
    const link = address === undefined ? undefined : this.#links.get(address);
    if (link?.phase !== "up" || !link.isResponsive || !this.#isStanding(link, deadlineMs, nowMs))
      return undefined;
    const details = { retryAfterMs: RETRY_AFTER_MS, attempts: 0, addresses: [link.address] };
    const message = `More calls wait for ${link.address} than it can answer in time; try again after ${RETRY_AFTER_MS} ms`;
    return cacheErrorWithoutStack(
      "ERR_OVERLOADED",
      message,
      request.kind === "write" ? { details, applied: "no" } : { details },
    );
  }

  step(input: ClientInput, now: Now): readonly ClientEffect[] {
    const out: ClientEffect[] = [];
    switch (input.kind) {
      case "call":
        this.#call(input, now, out);
        break;
      case "gets":
        this.#gets(input, now, out);
        break;
      case "cancel":
        this.#cancel(input.callIds, now, out);
        break;
      case "message":
        this.#ownMs = input.ownMs ?? 0;
        this.#answerSteps++;
        this.#message(input.address, input.message, now, out);
        break;
      case "messages":
        this.#answerSteps++;
        this.#ownMs = input.ownMs ?? 0;
        for (const message of input.messages) this.#message(input.address, message, now, out);
        break;
      case "link":
        this.#link(input, now, out);
        break;
      case "tick":
        this.#tick(now, out);
        break;
      case "close":
        this.#close(out);
        break;
    }
    return out;
  }

  // ---- inputs

  #call(input: Extract<ClientInput, { kind: "call" }>, now: Now, out: ClientEffect[]): void {
    const call = new Call(input.callId, input.request, ++this.#opSeq, {
      startMs: now.monoMs,
      deadlineMs: input.deadlineMs,
    });
    call.isPatient = input.isPatient === true;
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      const applied = call.isWrite ? ({ applied: "no" } as const) : {};
      out.push({ kind: "settle", callId: call.id, result: new CacheError(...refusal, applied) });
      return;
    }
    this.#calls.set(call.id, call);
    this.#deposit(this.#scopeOf(call));
    if (now.monoMs >= call.deadlineMs) this.#expire(call, now, out);
    else this.#attempt(call, now, out);
  }

  #refusal(): ["ERR_CLOSED" | "ERR_OVERLOADED", string] | undefined {
    if (this.#isClosed) return ["ERR_CLOSED", "The cache is closed"];
    if (this.pending < this.#timing.pendingMax) return undefined;
    return ["ERR_OVERLOADED", `More than ${this.#timing.pendingMax} calls are under way in this client`];
  }

  /** Those for one node together. What takes more thought than that is made a call of its own at once. */
  #gets(input: Extract<ClientInput, { kind: "gets" }>, now: Now, out: ClientEffect[]): void {
    const { keys, get, deadlineMs, isPatient = false } = input;
    const read = scopeOf(get, this.#view.defaultRead);
    const isOpen = now.monoMs < deadlineMs && !this.#isClosed;
    const links: NodeLink[] = [];
    for (const [index, key] of keys.entries()) {
      const callId = input.callId + index;
      const link = isOpen ? this.#router.first(slotOfKey(key), read, now.monoMs) : undefined;
      const bytes = link === undefined ? 0 : this.#answerWeight(link, get);
      if (link === undefined || !this.#hasRoom(link, bytes) || this.pending >= this.#timing.pendingMax) {
        const request = { kind: "get", key, ...get } as const;
        this.#call({ kind: "call", callId, request, deadlineMs, isPatient }, now, out);
        continue;
      }
      let group = link.openGroup;
      if (group === undefined || group.isFull) {
        const tryEndsMs = now.monoMs + this.#tryMs(link, 0);
        const hedgeAtMs = this.#hedgeAtMs(read, now);
        const times = { sentMs: now.monoMs, deadlineMs, tryEndsMs, hedgeAtMs };
        group = new ReadGroup({ link, get, isPatient, ...times, bytes });
        this.#alarms.set(group, Math.min(deadlineMs, tryEndsMs, hedgeAtMs));
        link.openGroup = group;
        links.push(link);
      }
      const id = this.#attempts.nextId();
      this.#attempts.add(id, group);
      group.add(id, key, callId);
      this.#grouped++;
      this.#deposit(read);
      link.inFlight += 1;
      link.bytesInFlight += group.plan.bytes;
      link.slowness.sent(now.monoMs);
      const notAfter = link.clock.toRemoteMs(deadlineMs);
      const message = { kind: "get", id, key, read, want: get.want, notAfter } as const;
      out.push({ kind: "send", address: link.address, message });
    }
    for (const link of links) link.openGroup = undefined;
  }

  #cancel(callIds: readonly number[], now: Now, out: ClientEffect[]): void {
    const grouped = new Set<number>();
    const calls: Call[] = [];
    for (const callId of callIds) {
      const call = this.#calls.get(callId);
      if (call === undefined) grouped.add(callId);
      else calls.push(call);
    }
    // First, or what is cancelled next would take the room that what is cancelled now leaves.
    for (const call of calls) this.#unqueue(call);
    for (const call of calls) this.#finish(call, now, out);
    if (grouped.size === 0 || this.#grouped === 0) return;
    for (const group of new Set(this.#attempts.values())) {
      if (!(group instanceof ReadGroup)) continue;
      for (const id of group.openIds(grouped)) {
        this.#takeFrom(group, group.indexOf(id));
        this.#release(id, group.plan.link, group.plan.bytes, now, out);
      }
    }
  }

  /** Makes a read of a group a call of its own, as if it had always been one. */
  #single(group: ReadGroup, id: number): Attempt {
    const { link, get, isPatient, sentMs, deadlineMs, tryEndsMs, hedgeAtMs, bytes } = group.plan;
    const index = group.indexOf(id);
    const request = { kind: "get", key: group.keyAt(index), ...get } as const;
    const callId = this.#takeFrom(group, index);
    const call = new Call(callId, request, ++this.#opSeq, { startMs: sentMs, deadlineMs });
    call.isPatient = isPatient;
    call.attemptCount = 1;
    const attempt: Attempt = { id, call, number: 1, link, sentMs, bytes };
    const ownEndMs = Math.min(sentMs + TRY_MS_TOTAL_MAX, tryEndsMs + index * TRY_MS_PER_CALL_BEFORE);
    call.addAttempt(attempt);
    this.#attempts.replace(id, attempt);
    this.#calls.set(callId, call);
    this.#waitFor(attempt, ownEndMs, hedgeAtMs);
    return attempt;
  }

  /** The time of a group's first read has come, and perhaps that of others. */
  #dissolve(group: ReadGroup, now: Now, out: ClientEffect[]): void {
    for (const id of group.openIds()) {
      const { call } = this.#single(group, id);
      if (call.alarmMs > now.monoMs) continue;
      this.#alarms.clear(call);
      this.#wake(call, now, out);
    }
  }

  /** Ends what the group has to do with a read; returns its call. */
  #takeFrom(group: ReadGroup, index: number): number {
    this.#grouped--;
    const callId = group.take(index);
    if (group.size === 0) this.#alarms.clear(group);
    return callId;
  }

  /** The unanswered try with the number, if it is on the link. */
  #attemptOn(link: NodeLink, id: number): Attempt | undefined {
    const found = this.#attempts.get(id);
    if (!(found instanceof ReadGroup)) return found?.link === link ? found : undefined;
    return found.plan.link === link ? this.#single(found, id) : undefined;
  }

  #message(address: string, message: ClientReply, now: Now, out: ClientEffect[]): void {
    const link = this.#links.get(address);
    if (link === undefined || link.phase === "waiting" || link.phase === "dialling") return;
    this.#links.heard(link, now);
    if (message.kind === "pong") this.#links.pong(link, message, now, out);
    else if (message.kind === "topology") {
      if (this.#view.apply(message)) this.#viewChanged(now, out);
    } else if (message.kind === "overloaded") this.#overloaded(link, message, now, out);
    else this.#reply(link, message, now, out);
  }

  #link(input: Extract<ClientInput, { kind: "link" }>, now: Now, out: ClientEffect[]): void {
    if (this.#isClosed) return;
    if (input.isUp) this.#links.opened(input.address, now, out);
    else {
      const failure = { code: input.code ?? "ERR_UNREACHABLE", reason: input.reason ?? "connection lost" };
      this.#links.closed(input.address, failure, now, out);
    }
  }

  #tick(now: Now, out: ClientEffect[]): void {
    if (this.#isClosed) return;
    const lateMs = now.monoMs - this.deadline();
    if (this.#hasStarted && lateMs > STALL_MS_MIN) {
      this.#links.forgive(lateMs, now);
      this.#stalledMs = now.monoMs;
    }
    this.#hasStarted = true;
    this.#links.tick(now, out);
    for (let due = this.#alarms.takeDue(now.monoMs); due.length > 0; due = this.#alarms.takeDue(now.monoMs)) {
      for (const item of due) {
        if (item instanceof ReadGroup) this.#dissolve(item, now, out);
        else if (!item.isSettled && item.alarmMs === Number.POSITIVE_INFINITY) {
          // What came before may have settled it, or set its alarm anew.
          this.#wake(item, now, out);
        }
      }
    }
  }

  #close(out: ClientEffect[]): void {
    this.#isClosed = true;
    for (const id of this.#attempts.ids()) {
      const group = this.#attempts.get(id);
      if (group instanceof ReadGroup) this.#single(group, id);
    }
    for (const call of this.#calls.values()) {
      call.isSettled = true;
      this.#alarms.clear(call);
      const applied = call.applied === undefined ? {} : { applied: call.applied };
      const result = new CacheError("ERR_CLOSED", "The cache was closed", applied);
      out.push({ kind: "settle", callId: call.id, result });
    }
    this.#calls.clear();
    this.#waiting.clear();
    this.#attempts.clear();
    this.#links.close(out);
  }

  /** Links to the members of the ring; beyond `linksMax` those with the lowest hash, another selection for every client. */
  #viewChanged(now: Now, out: ClientEffect[]): void {
    const members = this.#view.members.filter((member) => isInRing(member.ringState));
    const linked = members.length <= this.#timing.linksMax ? members : this.#selection(members);
    out.push({ kind: "topology" });
    this.#links.setMembers(
      linked.map((member) => member.address),
      now,
      out,
    );
  }

  #selection<T extends { readonly id: MemberId }>(members: readonly T[]): readonly T[] {
    const scored = members.map((member) => ({
      member,
      score: this.#hashes.hash32(member.id, this.#clientId >>> 0),
    }));
    scored.sort((a, b) => a.score - b.score || compareIds(a.member.id, b.member.id));
    return scored.slice(0, this.#timing.linksMax).map(({ member }) => member);
  }

  // ---- a call's way

  /** Sends the next try, or finds out what the call has to wait for. */
  #attempt(call: Call, now: Now, out: ClientEffect[]): void {
    this.#waiting.delete(call);
    call.current = undefined;
    const link = this.#router.pick(call, now.monoMs);
    if (link === undefined) {
      this.#wait(call, now, out);
      return;
    }
    if (!this.#hasRoom(link, this.#weight(link, call))) {
      if (
        call.phase === "waiting" &&
        !call.isPatient &&
        this.#isStanding(link, call.deadlineMs, now.monoMs)
      ) {
        this.#settle(call, call.overloaded(link.address, RETRY_AFTER_MS), now, out);
        return;
      }
      call.phase = "queued";
      call.queuedOn = link;
      call.queuedSinceMs = now.monoMs;
      call.queuedAfter = this.#answerSteps;
      call.queuedMs = now.monoMs;
      link.queue.add(call);
      this.#arm(call, now.monoMs + this.#tryMs(link, requestBytes(call.request)));
      return;
    }
    this.#send(call, link, now, out);
  }

  #wait(call: Call, now: Now, out: ClientEffect[]): void {
    if (call.target === "" && this.#links.up.length > 0) {
      const { roundBackoffMsMin, roundBackoffMsMax } = this.#timing;
      const backoffMs = Math.min(roundBackoffMsMax, roundBackoffMsMin * 2 ** Math.min(10, call.rounds));
      call.phase = "backoff";
      this.#arm(call, now.monoMs + backoffMs * (1 + this.#prng.float() / 2));
      return;
    }
    call.phase = "waiting";
    this.#waiting.add(call);
    this.#arm(call, now.monoMs + WAKE_MS_MAX);
    this.#links.dialSoon(now, out);
  }

  #send(call: Call, link: NodeLink, now: Now, out: ClientEffect[], isHedge = false): void {
    const untilMs = Math.min(call.deadlineMs, now.monoMs + this.#tryMs(link, requestBytes(call.request)));
    const id = this.#attempts.nextId();
    const bytes = this.#weight(link, call);
    call.attemptCount += 1;
    const attempt: Attempt = { id, call, number: call.attemptCount, link, sentMs: now.monoMs, bytes };
    call.addAttempt(attempt);
    this.#attempts.add(id, attempt);
    link.inFlight += 1;
    link.bytesInFlight += bytes;
    link.slowness.sent(now.monoMs);
    // A read may still be answered late; a write must not start when the client has moved on.
    const notAfter = link.clock.toRemoteMs(call.request.kind === "get" ? call.deadlineMs : untilMs);
    const message = buildRequest(call, id, {
      notAfter,
      begunAt: link.clock.toRemoteMs(call.startMs),
      clientId: this.#clientId,
      read: this.#view.defaultRead,
      write: this.#view.defaultWrite,
      isDecidedThere: this.#isDecidedThere(call, link),
    });
    out.push({ kind: "send", address: link.address, message });
    if (!isHedge) this.#waitFor(attempt, untilMs, this.#hedgeAtMs(this.#scopeOf(call), now));
  }

  /** From now on the call is where this try is. */
  #waitFor(attempt: Attempt, untilMs: number, hedgeAtMs: number): void {
    const { call } = attempt;
    call.phase = "sent";
    call.current = attempt;
    call.tryEndsMs = untilMs;
    this.#arm(call, Math.min(untilMs, hedgeAtMs));
  }

  /** When somebody else is to be asked as well about a read that is sent now. */
  #hedgeAtMs(read: ReadScope | undefined, now: Now): number {
    if (read !== "any") return Number.POSITIVE_INFINITY;
    return now.monoMs + Math.min(HEDGE_MS_MAX, Math.max(HEDGE_MS_MIN, this.#links.usualLatencyMs));
  }

  /** Asks a second replica, and leaves the first try as it is. That it takes so long is remembered: its answer may not be waited for. */
  #hedge(call: Call, now: Now, out: ClientEffect[]): void {
    if (call.current !== undefined) call.current.link.meanLatency.sample(now.monoMs - call.current.sentMs);
    const link = this.#router.another(call, now.monoMs);
    if (link !== undefined && this.#hasRoom(link, this.#weight(link, call)) && this.#hedges.take(now.monoMs))
      this.#send(call, link, now, out, true);
    this.#arm(call, call.tryEndsMs);
  }

  /** Its time has come: the deadline, the end of a try, of a pause, or just a look around. */
  #wake(call: Call, now: Now, out: ClientEffect[]): void {
    if (now.monoMs >= call.deadlineMs) {
      this.#expire(call, now, out);
      return;
    }
    switch (call.phase) {
      case "sent":
        if (now.monoMs < call.tryEndsMs) this.#hedge(call, now, out);
        else this.#tryTimedOut(call, now, out);
        break;
      case "backoff":
        this.#nextRound(call, now, out);
        break;
      case "queued":
        this.#queuedTooLong(call, now, out);
        break;
      case "waiting":
        this.#attempt(call, now, out);
        break;
    }
  }

  /** Stays where the node is at work on what came before; leaves a silent node's queue for the next candidate. */
  #queuedTooLong(call: Call, now: Now, out: ClientEffect[]): void {
    const link = call.queuedOn;
    if (link === undefined) return;
    // Heartbeats come through where calls do not.
    const mayLeave = call.target === "" && this.#links.isSpared(link, now.monoMs);
    if (link.lastHeardMs > call.queuedMs && !mayLeave) {
      call.queuedMs = now.monoMs;
      this.#arm(call, now.monoMs + this.#tryMs(link, requestBytes(call.request)));
      return;
    }
    this.#unqueue(call);
    call.tried(link);
    this.#attempt(call, now, out);
  }

  #tryTimedOut(call: Call, now: Now, out: ClientEffect[]): void {
    const attempt = call.current;
    if (attempt === undefined) return;
    const { link } = attempt;
    // Anything heard since the try was sent says that the node is not gone, only slow with this one.
    if (link.lastHeardMs <= attempt.sentMs) link.isResponsive = false;
    if (call.target !== "") {
      this.#arm(call, now.monoMs + WAKE_MS_MAX);
      return;
    }
    link.took(now.monoMs - attempt.sentMs);
    // When this process stood still, the answer may lie unread.
    if (attempt.sentMs > this.#stalledMs && isFaultOfNode(attempt))
      link.slowness.missed(attempt.sentMs, now.monoMs);
    if (link.queue.size > 0 && this.#links.isSpared(link, now.monoMs)) {
      for (const waiting of link.queue.takeAll()) this.#attempt(waiting, now, out);
    }
    link.window.timedOut(attempt.sentMs, now.monoMs);
    if (this.#budget.take(now.monoMs)) this.#attempt(call, now, out);
    else this.#arm(call, now.monoMs + BUDGET_RETRY_MS);
  }

  #nextRound(call: Call, now: Now, out: ClientEffect[]): void {
    call.beginRound();
    // A round in which nothing was sent costs nothing, nor does one with nobody to ask (all of them owe this call an answer).
    const hasCost =
      call.attemptCount > call.attemptsBefore && this.#router.pick(call, now.monoMs) !== undefined;
    if (hasCost && !call.isPaid && !this.#budget.take(now.monoMs)) {
      this.#arm(call, now.monoMs + this.#timing.roundBackoffMsMax);
      return;
    }
    call.isPaid = false;
    call.rounds += 1;
    call.attemptsBefore = call.attemptCount;
    this.#attempt(call, now, out);
  }

  #reply(
    link: NodeLink,
    message: Exclude<ClientReply, { kind: "pong" | "topology" | "overloaded" }>,
    now: Now,
    out: ClientEffect[],
  ): void {
    if (message.kind === "got" && this.#got(link, message, now, out)) return;
    // None: the answer to a try of a call that is settled, or of a connection before this one.
    const attempt = this.#attemptOn(link, message.id);
    if (attempt === undefined) return;
    const { call } = attempt;
    if (message.kind === "failed") {
      this.#resolve(attempt, now, out);
      this.#failed(attempt, message, now, out);
    } else if (isOvertakenRefusal(attempt, message)) {
      this.#resolve(attempt, now, out);
    } else if (isReplyTo(call.request, message)) {
      if (call.target === "") this.#answered(link, attempt.sentMs, now);
      if (message.kind === "got") link.answerBytes.sample(message.value.length);
      this.#settle(call, message, now, out);
    } else {
      const failure: Failure = {
        kind: "failed",
        id: message.id,
        code: "ERR_PROTOCOL",
        message: `${link.address} answered a ${call.request.kind} with "${message.kind}"`,
        applied: "maybe",
        elsewhere: false,
      };
      this.#resolve(attempt, now, out);
      this.#failed(attempt, failure, now, out);
    }
  }

  /** Settles an open read of a group with what was asked for; returns whether the message is the answer to one. */
  #got(link: NodeLink, message: GetReply, now: Now, out: ClientEffect[]): boolean {
    const { id } = message;
    const group = this.#attempts.get(id);
    if (!(group instanceof ReadGroup) || group.plan.link !== link) return false;
    this.#answered(link, group.plan.sentMs, now);
    link.answerBytes.sample(message.value.length);
    const callId = this.#takeFrom(group, group.indexOf(id));
    out.push({ kind: "settle", callId, result: message });
    this.#release(id, link, group.plan.bytes, now, out);
    return true;
  }

  #answered(link: NodeLink, sentMs: number, now: Now): void {
    link.took(now.monoMs - sentMs);
    link.slowness.answered(sentMs, now.monoMs);
    link.window.answered(sentMs, link.inFlight, now.monoMs, this.#ownMs);
  }

  #failed(attempt: Attempt, failure: Failure, now: Now, out: ClientEffect[]): void {
    const { call, link } = attempt;
    if (call.isSettled) return;
    call.note(link.address, `${failure.code} ${failure.message}`, failure.applied);
    if (!failure.elsewhere || call.target !== "") {
      this.#settle(call, call.refused(failure), now, out);
      return;
    }
    call.lastFailure = failure;
    call.refusedBy = "";
    // An older try's failure changes nothing while a newer one is under way.
    if (call.current === attempt) this.#attempt(call, now, out);
  }

  /** The node begins none of these tries. They are repeated after a pause while there are tokens for it; without, their callers are told. */
  #overloaded(link: NodeLink, { ids, retryAfterMs }: Overloaded, now: Now, out: ClientEffect[]): void {
    for (const id of ids) {
      const attempt = this.#attemptOn(link, id);
      if (attempt === undefined) continue;
      const { call } = attempt;
      // First, so that the room that this try leaves is no longer there.
      link.window.refused(attempt.sentMs, now.monoMs);
      this.#resolve(attempt, now, out);
      if (call.isSettled) continue;
      call.note(link.address, "ERR_OVERLOADED", "no");
      call.refusedBy = link.address;
      if (call.current === attempt) this.#retryLater(call, link, retryAfterMs, now, out);
    }
  }

  #retryLater(call: Call, link: NodeLink, retryAfterMs: number, now: Now, out: ClientEffect[]): void {
    // Half to one and a half of the pause: those that were refused together do not come back together.
    const atMs = now.monoMs + retryAfterMs * (0.5 + this.#prng.float());
    const isAllowed = call.isPatient || this.#budget.take(now.monoMs);
    if (atMs >= call.deadlineMs || !isAllowed) {
      this.#settle(call, call.overloaded(link.address, retryAfterMs), now, out);
      return;
    }
    call.current = undefined;
    call.isPaid = true;
    call.phase = "backoff";
    this.#arm(call, atMs);
  }

  #linkUp(link: NodeLink, now: Now, out: ClientEffect[]): void {
    for (const call of [...this.#waiting]) {
      if (call.isSettled) continue;
      if (call.target === "" || call.target === link.address) this.#attempt(call, now, out);
    }
  }

  #linkDown(link: NodeLink, now: Now, out: ClientEffect[]): void {
    const reason = link.failure?.reason ?? "connection lost";
    const broken = this.#attempts.ids().flatMap((id) => this.#attemptOn(link, id) ?? []);
    const queued = link.queue.takeAll();
    for (const attempt of broken) this.#broken(attempt, reason, now, out);
    for (const call of queued) if (!call.isSettled && call.phase === "queued") this.#attempt(call, now, out);
  }

  /** A try whose link is gone: its write may have arrived. Moving on is free. */
  #broken(attempt: Attempt, reason: string, now: Now, out: ClientEffect[]): void {
    const { call, link } = attempt;
    this.#resolve(attempt, now, out);
    if (call.isSettled) return;
    call.note(link.address, reason, "maybe");
    if (call.target !== "")
      this.#settle(call, call.unreachable([{ address: link.address, reason }]), now, out);
    else if (call.current === attempt) this.#attempt(call, now, out);
  }

  // ---- ends

  #expire(call: Call, now: Now, out: ClientEffect[]): void {
    const isCutOff = call.target === "" ? this.#links.up.length === 0 : !this.isConnected(call.target);
    const failures = this.failures.filter(({ address }) => call.target === "" || address === call.target);
    if (isCutOff) this.#settle(call, call.unreachable(failures), now, out);
    else if (call.refusedBy !== "" && !call.isUnanswered)
      this.#settle(call, call.overloaded(call.refusedBy, RETRY_AFTER_MS), now, out);
    else this.#settle(call, call.timedOut(), now, out);
  }

  #settle(call: Call, result: CallReply | CacheError, now: Now, out: ClientEffect[]): void {
    out.push({ kind: "settle", callId: call.id, result });
    this.#finish(call, now, out);
  }

  #finish(call: Call, now: Now, out: ClientEffect[]): void {
    call.isSettled = true;
    this.#calls.delete(call.id);
    this.#waiting.delete(call);
    this.#unqueue(call);
    this.#alarms.clear(call);
    for (let attempt = call.anyAttempt(); attempt !== undefined; attempt = call.anyAttempt()) {
      this.#resolve(attempt, now, out);
    }
  }

  /** The try needs no answer any more: its room is free for others. */
  #resolve(attempt: Attempt, now: Now, out: ClientEffect[]): void {
    attempt.call.removeAttempt(attempt);
    this.#release(attempt.id, attempt.link, attempt.bytes, now, out);
  }

  #release(id: number, link: NodeLink, bytes: number, now: Now, out: ClientEffect[]): void {
    this.#attempts.delete(id);
    link.inFlight -= 1;
    link.bytesInFlight -= bytes;
    if (link.queue.size > 0 && link.phase === "up") this.#drain(link, now, out);
  }

  #drain(link: NodeLink, now: Now, out: ClientEffect[]): void {
    for (let call = link.queue.next; call !== undefined; call = link.queue.next) {
      if (!this.#hasRoom(link, this.#weight(link, call))) return;
      this.#unqueue(call);
      this.#send(call, link, now, out);
    }
  }

  #unqueue(call: Call): void {
    call.queuedOn?.queue.delete(call);
  }

  // ---- small questions

  /** Calls that wait for room, on all links. */
  get #queued(): number {
    let queued = 0;
    for (const { queue } of this.#links.up) queued += queue.size;
    return queued;
  }

  /** Whether the calls that wait for room on the link leave this one no good prospect. */
  #isStanding(link: NodeLink, deadlineMs: number, nowMs: number): boolean {
    const { queue, window } = link;
    if (queue.size === 0 || !this.mayRefuse) return false;
    const { oldest } = queue;
    // A burst is no standing queue, however long it is and takes to be made: no answer could come while it was.
    if (oldest === undefined || oldest.queuedAfter === this.#answerSteps) return false;
    if (nowMs - oldest.queuedSinceMs < QUEUE_MS_MAX) return false;
    return window.isOverloaded(nowMs) || window.drainMs(queue.size) > (deadlineMs - nowMs) / 4;
  }

  /** Which replicas the call may be answered by; `undefined` unless it is a read. */
  #scopeOf({ request }: Call): ReadScope | undefined {
    return request.kind === "get" ? scopeOf(request, this.#view.defaultRead) : undefined;
  }

  #deposit(read: ReadScope | undefined): void {
    this.#budget.deposit();
    if (read === "any") this.#hedges.deposit();
  }

  /** Whether there is room for a try that weighs so much. A link always takes one, however large. */
  #hasRoom(link: NodeLink, bytes: number): boolean {
    if (link.inFlight === 0) return true;
    if (link.inFlight >= link.window.size) return false;
    return link.bytesInFlight + bytes <= this.#timing.linkBytesMax;
  }

  #weight(link: NodeLink, { request }: Call): number {
    return request.kind === "get" ? this.#answerWeight(link, request) : ATTEMPT_BYTES + requestBytes(request);
  }

  #answerWeight(link: NodeLink, { want }: GetOptions): number {
    return want === "exists" ? ATTEMPT_BYTES : ATTEMPT_BYTES + Math.ceil(link.answerBytes.bytes);
  }

  /**
   * A node hands a write that depends on what is there on to the first replica that it can reach, so that one node decides: the very one
   * that is passed over here.
   */
  #isDecidedThere(call: Call, link: NodeLink): boolean {
    const { request } = call;
    return isDependent(request) && this.#router.isPassingOver(call, link);
  }

  /** How long a try may take before the next node is asked: not longer for being slow where others are not, but for being far. */
  #tryMs(link: NodeLink, bytes: number): number {
    const { tryMsMin, tryMsMax } = this.#timing;
    const fairMs = Math.max(4 * this.#links.usualLatencyMs, tryMsMin + 2 * link.window.baseMs);
    const usualMs = Math.min(tryMsMax, Math.max(tryMsMin, Math.min(4 * link.latency.ms, fairMs)));
    const loadMs = bytes * TRY_MS_PER_BYTE + link.inFlight * TRY_MS_PER_CALL_BEFORE;
    return Math.min(TRY_MS_TOTAL_MAX, usualMs + loadMs);
  }

  #arm(call: Call, atMs: number): void {
    this.#alarms.set(call, Math.min(atMs, call.deadlineMs));
  }
}

/**
 * "Nothing was done" from a try that a later one followed. Nodes keep no record of doing nothing, so the later try may yet do
 * it: only its own answer tells how the call ended.
 */
function isOvertakenRefusal({ call, number }: Attempt, message: ClientReply): boolean {
  return message.kind === "written" && message.outcome === false && number < call.attemptCount;
}

/** Whether the call is a write that depends on what is there. */
function isDependent(request: CallRequest): boolean {
  return request.kind === "write" && needsCurrent(request.change);
}

/** What others have not answered either waits for something else, and a write that depends on what is there may wait for those before it. */
function isFaultOfNode({ call, number }: Attempt): boolean {
  return number === 1 && !isDependent(call.request);
}
