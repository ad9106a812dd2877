// One call on its way: what was asked, the tries made so far, and what is known about whether it has been applied.
//
// `applied` never lies: "no" needs certainty. A try that ended in "no" leaves none; one without an answer, on a broken link,
// or that ended in "maybe" means that the write may have happened, or may still happen until its `notAfter`.

import type { Alarmed } from "../base/alarms.ts";
import { type Applied, CacheError, cacheErrorWithoutStack } from "../base/errors.ts";
import { slotOfKey } from "../base/hash.ts";
import type { Slot } from "../base/ids.ts";
import type { ClientReply, ClientRequest, Failure, ReadMode, ReadScope } from "../core/messages.ts";
import type { List } from "./call-queue.ts";
import type { CallRequest, GetOptions } from "./client-machine.ts";
import type { NodeLink } from "./node-link.ts";

/** One request sent to one node, not answered yet. */
export interface Attempt {
  /** The request's id on the wire: unique among all unanswered ones of this client. */
  readonly id: number;
  readonly call: Call;
  /** Which try of its call it is, from 1. */
  readonly number: number;
  readonly link: NodeLink;
  readonly sentMs: number;
  readonly bytes: number;
}

/** `waiting` for a link, `queued` for room on one, `sent` and within its try's time, or in `backoff` between two rounds. */
export type CallPhase = "waiting" | "queued" | "sent" | "backoff";

/** Tries remembered for the message of an error; more are only counted. */
const TRAIL_MAX = 8;

export class Call implements Alarmed {
  readonly id: number;
  readonly request: CallRequest;
  readonly startMs: number;
  readonly deadlineMs: number;
  /** The key's slot, or the first one asked about. */
  readonly slot: Slot;
  /** The only address to ask; "" for any. */
  readonly target: string;
  readonly isWrite: boolean;
  /** Names the write for the nodes; the same for all its tries. */
  readonly opSeq: number;
  phase: CallPhase = "waiting";
  isSettled = false;
  /** When the call needs a look. */
  alarmMs = Number.POSITIVE_INFINITY;
  alarmPrevious: Alarmed | undefined;
  alarmNext: Alarmed | undefined;
  alarmOrder = 0;
  /** The latest try, while it is unanswered and nothing else has become of the call. */
  current: Attempt | undefined;
  /** When the time of that try is over. */
  tryEndsMs = 0;
  /** The first of the unanswered tries, and the later ones: most calls make one, and need no list. */
  #first: Attempt | undefined;
  #others: Attempt[] | undefined;
  /** The link whose queue it is in. */
  queuedOn: NodeLink | undefined;
  /** Its place there; kept by call-queue.ts. */
  queueList: List | undefined;
  queueBefore: Call | undefined;
  queueAfter: Call | undefined;
  /** Since when; and since the last look at it. */
  queuedSinceMs = 0;
  /** After how many received frames. */
  queuedAfter = 0;
  queuedMs = 0;
  attemptCount = 0;
  /** Tries in earlier rounds. */
  attemptsBefore = 0;
  /** Links tried in this round (the first apart, as above), and rounds finished. */
  #roundFirst: NodeLink | undefined;
  #roundOthers: NodeLink[] | undefined;
  rounds = 0;
  /** Rather waits than be refused: its caller bounds by itself what is under way. */
  isPatient = false;
  /** The last address that had too much to do for it; "" for none. */
  refusedBy = "";
  /** The next round has been paid for. */
  isPaid = false;
  lastFailure: Failure | undefined;
  #trail: { readonly address: string; readonly outcome: string }[] | undefined;
  #mayBeApplied = false;

  constructor(
    id: number,
    request: CallRequest,
    opSeq: number,
    times: { startMs: number; deadlineMs: number },
  ) {
    this.id = id;
    this.request = request;
    this.opSeq = opSeq;
    this.startMs = times.startMs;
    this.deadlineMs = times.deadlineMs;
    this.slot = "key" in request ? slotOfKey(request.key) : ((firstSlot(request) ?? 0) as Slot);
    this.target = "target" in request ? request.target : "";
    this.isWrite = request.kind === "write" || request.kind === "clear" || request.kind === "command";
  }

  /** Unanswered tries, in order. */
  get attempts(): readonly Attempt[] {
    const first = this.#first === undefined ? [] : [this.#first];
    return this.#others === undefined ? first : [...first, ...this.#others];
  }

  get isUnanswered(): boolean {
    return this.#first !== undefined || (this.#others?.length ?? 0) > 0;
  }

  /** A try has been sent: its link counts as tried. */
  addAttempt(attempt: Attempt): void {
    this.tried(attempt.link);
    if (!this.isUnanswered) {
      this.#first = attempt;
    } else {
      this.#others ??= [];
      this.#others.push(attempt);
    }
  }

  /** A try needs no answer any more. */
  removeAttempt(attempt: Attempt): void {
    if (this.#first === attempt) this.#first = undefined;
    else this.#others?.splice(this.#others.indexOf(attempt), 1);
  }

  /** Any unanswered try. */
  anyAttempt(): Attempt | undefined {
    return this.#first ?? this.#others?.[0];
  }

  /** Links tried in this round. */
  get round(): readonly NodeLink[] {
    const first = this.#roundFirst === undefined ? [] : [this.#roundFirst];
    return this.#roundOthers === undefined ? first : [...first, ...this.#roundOthers];
  }

  /** Whether the link has been tried in this round. */
  hasTried(link: NodeLink): boolean {
    return this.#roundFirst === link || this.#roundOthers?.includes(link) === true;
  }

  /** Counts the link as tried in this round. */
  tried(link: NodeLink): void {
    if (this.#roundFirst === undefined) {
      this.#roundFirst = link;
    } else {
      this.#roundOthers ??= [];
      this.#roundOthers.push(link);
    }
  }

  /** Begins a round in which nothing has been tried. */
  beginRound(): void {
    this.#roundFirst = undefined;
    this.#roundOthers = undefined;
  }

  /** `undefined` for reads. */
  get applied(): Applied | undefined {
    if (!this.isWrite) return undefined;
    return this.#mayBeApplied || this.isUnanswered ? "maybe" : "no";
  }

  /** A try ended without success. `applied` "maybe" sticks. */
  note(address: string, outcome: string, applied: Applied): void {
    if (applied === "maybe") this.#mayBeApplied = true;
    this.#trail ??= [];
    if (this.#trail.length < TRAIL_MAX) this.#trail.push({ address, outcome });
  }

  /** The error for the node's final word. */
  refused(failure: Failure): CacheError {
    return new CacheError(failure.code, failure.message, this.#facts({ elsewhere: failure.elsewhere }));
  }

  /** The error at the deadline, when nodes are connected. */
  timedOut(): CacheError {
    const failure = this.lastFailure;
    const isCertain = this.applied !== "maybe";
    if (failure?.code === "ERR_NO_QUORUM" && isCertain) return this.refused(failure);
    const tried = (this.#trail ?? []).map(({ address, outcome }) => `${address}: ${outcome}`);
    const unanswered = this.attempts.map(({ link }) => `${link.address}: no answer`);
    const story = [...tried, ...unanswered].slice(0, TRAIL_MAX).join("; ");
    return cacheErrorWithoutStack(
      "ERR_TIMEOUT",
      `No success within ${this.#allowedMs} ms (${story === "" ? "never sent" : story})`,
      this.#facts({}),
    );
  }

  /** The error when there is more to do than the node can. */
  overloaded(address: string, retryAfterMs: number): CacheError {
    return cacheErrorWithoutStack(
      "ERR_OVERLOADED",
      `${address} has more to do than it can; try again after ${retryAfterMs} ms`,
      this.#facts({ retryAfterMs }),
    );
  }

  /** The error when no node is connected. */
  unreachable(failures: readonly AddressFailure[]): CacheError {
    return new CacheError(
      "ERR_UNREACHABLE",
      `No node could be reached within ${this.#allowedMs} ms (${storyOf(failures)})`,
      this.#facts({ failures }),
    );
  }

  get #allowedMs(): number {
    // Negative when this process stood still between the call and this.
    return Math.max(0, Math.round(this.deadlineMs - this.startMs));
  }

  #facts(more: Record<string, unknown>): {
    readonly details: Record<string, unknown>;
    readonly applied?: Applied;
  } {
    const unanswered = this.attempts.map(({ link }) => link.address);
    const addresses = [...new Set([...(this.#trail ?? []).map(({ address }) => address), ...unanswered])];
    const details = { slot: this.slot, attempts: this.attemptCount, addresses, ...more };
    return this.applied === undefined ? { details } : { details, applied: this.applied };
  }
}

/** The bytes a request puts on the wire, near enough for limits. */
export function requestBytes(request: CallRequest): number {
  if (request.kind === "write" && request.change.type === "set") return request.change.value.length;
  return "slots" in request ? request.slots.length * 2 : 0;
}

/** Which replicas a read is to be answered by. */
export function scopeOf({ read, readFrom }: GetOptions, defaultRead: ReadMode): ReadScope {
  const mode = read ?? defaultRead;
  return mode === "one" && readFrom === "any" ? "any" : mode;
}

/** What goes on the wire for one try. */
export function buildRequest(
  call: Call,
  id: number,
  context: {
    readonly notAfter: number;
    readonly begunAt: number;
    readonly clientId: number;
    readonly read: "one" | "quorum";
    readonly write: "async" | "quorum" | "all";
    /** Whether a write is to be decided by the very node that it is sent to. */
    readonly isDecidedThere: boolean;
  },
): ClientRequest {
  const request = call.request;
  const { notAfter } = context;
  switch (request.kind) {
    case "get":
      return {
        kind: "get",
        id,
        key: request.key,
        read: scopeOf(request, context.read),
        want: request.want,
        notAfter,
      };
    case "write":
      return {
        kind: "write",
        id,
        key: request.key,
        change: request.change,
        write: request.write ?? context.write,
        opClient: context.clientId,
        opSeq: call.opSeq,
        attempt: call.attemptCount,
        isDecidedHere: context.isDecidedThere,
        notAfter,
        begunAt: context.begunAt,
      };
    case "scan": {
      const { slots, after, prefix, limit, isAlone } = request;
      return { kind: "scan", id, slots, after, prefix, limit, isAlone };
    }
    case "clear":
      return {
        kind: "clear",
        id,
        slots: request.slots,
        opClient: context.clientId,
        opSeq: call.opSeq,
        attempt: call.attemptCount,
        notAfter,
        begunAt: context.begunAt,
      };
    case "count":
      return { kind: "count", id, slots: request.slots };
    case "command":
      return { kind: "command", id, command: request.command, member: request.member };
  }
}

const REPLY_KINDS = {
  get: "got",
  write: "written",
  scan: "scanned",
  clear: "cleared",
  count: "counted",
  command: "commanded",
} as const satisfies Record<CallRequest["kind"], ClientReply["kind"]>;

/** Whether the message is the kind of answer that the request asks for. */
export function isReplyTo(request: CallRequest, message: ClientReply): boolean {
  return message.kind === REPLY_KINDS[request.kind];
}

/** Why an address could not be reached. */
export interface AddressFailure {
  readonly address: string;
  readonly reason: string;
}

/** What happened with each address, for a message. */
export function storyOf(failures: readonly AddressFailure[]): string {
  return failures.map(({ address, reason }) => `${address}: ${reason}`).join("; ");
}

function firstSlot(request: CallRequest): Slot | undefined {
  return "slots" in request ? request.slots[0] : undefined;
}
