// The door's way into the core: one client of it, with the same requests, operation ids, deadlines and metrics as any other, whose
// requests and answers do not leave the process. What the core cannot do at once (a coordinator was lost, too few replicas can be
// reached for the moment) is asked again as another attempt of the same operation until its deadline, as the client library does;
// so a write applies once however often it was tried.
//
// Invariants:
// 1. The core is never fed from within one of its own steps: what is asked, and what is answered, waits for `flush`, once in a turn of the event
//    loop. So all that clients ask in a turn is one step.
// 2. Every operation is settled exactly once, at its deadline (and up to `SWEEP_MS`) at the latest.
// 3. A failure says `applied: "no"` only when every attempt did.

import { IdTable } from "../../base/id-table.ts";
import type { MemberId, Slot } from "../../base/ids.ts";
import type { Input } from "../../core/machine.ts";
import type {
  Change,
  ClientReply,
  ClientRequest,
  Entry,
  Failure,
  GetReply,
  ReadMode,
  Want,
  WriteMode,
} from "../../core/messages.ts";
import type { ClusterView } from "../../core/replication/cluster-view.ts";
import { NOT_ALONE } from "../../core/replication/coordinator.ts";
import type { RequestMetrics } from "../request-metrics.ts";
import { DOOR_HANDLE } from "./door-handle.ts";

/** An answer to an operation. */
export type Answer = Exclude<ClientReply, { kind: "pong" | "topology" | "overloaded" }>;

/** Whoever waits for an operation. */
export interface Waiter {
  /** Called once, outside of any step of the core. Bytes in it are valid during the call. */
  settle(answer: Answer): void;
}

/** What commands read and write: the cluster's keys, or a transaction's view of them. */
export interface Keyspace {
  /** Whether nobody else sees it or writes to it: a transaction's view. */
  readonly isOwnView: boolean;
  get(key: string, want: Want, waiter: Waiter, read?: ReadMode): void;
  write(key: string, change: Change, waiter: Waiter): void;
}

export interface CoreKeyspacePorts {
  feed(input: Input): void;
  /** What the node answers by itself without further work; {@link NOT_ALONE} when it has to be fed a request. Bytes are lent for the moment. */
  getAlone(key: string, read: ReadMode): Entry | undefined | typeof NOT_ALONE;
  nowMs(): number;
  readonly metrics: RequestMetrics;
  readonly view: ClusterView;
  readonly read: ReadMode;
  readonly write: WriteMode;
  /** How long one operation may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Random safe integer above 0: the operation ids' first half. */
  readonly clientId: number;
  random(): number;
  /** Has {@link CoreKeyspace.flush} called at the end of the turn. */
  soon(): void;
}

/** Operations under way above which connections should start no more ({@link CoreKeyspace.isFull}). */
const UNDER_WAY_HIGH = 16_384;
/** Requests of one step. */
const BATCH_MAX = 1_024;
/** How often deadlines are looked at. */
const SWEEP_MS = 50;
/** Pause before an operation is asked again: the first and the longest. */
const RETRY_MS_MIN = 5;
const RETRY_MS_MAX = 100;

/** Attempts of an operation that an overloaded node refuses, some 30 ms together; then its client is told. */
const OVERLOADED_ATTEMPTS_MAX = 3;

interface Operation {
  id: number;
  readonly request: Request;
  readonly to: MemberId | undefined;
  readonly waiter: Waiter;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  attempts: number;
  mayBeApplied: boolean;
}

type Request = Exclude<ClientRequest, { kind: "ping" | "command" | "place" }>;

/** See the top of the file. */
export class CoreKeyspace implements Keyspace {
  readonly isOwnView = false;
  readonly #ports: CoreKeyspacePorts;
  readonly #underWay = new IdTable<Operation>();
  /** To be asked with the next flush. */
  #asked: Operation[] = [];
  readonly #sleeping = new Map<Operation, NodeJS.Timeout>();
  #arrived: Answer[] = [];
  #opSeq = 0;
  #isFlushing = false;
  #sweep: NodeJS.Timeout | undefined;

  constructor(ports: CoreKeyspacePorts) {
    this.#ports = ports;
  }

  /** Operations that are not settled. */
  get pending(): number {
    return this.#underWay.size + this.#sleeping.size;
  }

  /** Whether those who can should wait before they ask more. */
  get isFull(): boolean {
    return this.pending >= UNDER_WAY_HIGH;
  }

  /** Whether {@link CoreKeyspace.flush} has something to do. */
  get isWaiting(): boolean {
    return this.#asked.length + this.#arrived.length > 0;
  }

  get view(): ClusterView {
    return this.#ports.view;
  }

  get(key: string, want: Want, waiter: Waiter, read: ReadMode | undefined = this.#ports.read): void {
    const alone = this.#ports.getAlone(key, read);
    if (alone === NOT_ALONE) {
      this.#start({ kind: "get", id: 0, key, read, want, notAfter: 0 }, waiter, undefined);
      return;
    }
    // Within what the clock can tell.
    this.#ports.metrics.observe("get", "ok", 0);
    waiter.settle(gotOf(alone, want));
  }

  /** Returns the number of the operation: with the door's client id, it is what the entry is known by. */
  write(key: string, change: Change, waiter: Waiter): number {
    const { write, clientId } = this.#ports;
    const opSeq = ++this.#opSeq;
    this.#start(
      {
        kind: "write",
        id: 0,
        key,
        change,
        write,
        opClient: clientId,
        opSeq,
        attempt: 1,
        isDecidedHere: false,
        notAfter: 0,
        begunAt: 0,
      },
      waiter,
      undefined,
    );
    return opSeq;
  }

  /** Asks a member about slots of which it has copies. One attempt: others may have to be asked instead. */
  scan(
    to: MemberId,
    page: { slots: readonly Slot[]; after: string; prefix: string; limit: number },
    waiter: Waiter,
  ): void {
    this.#start({ kind: "scan", id: 0, ...page, isAlone: false }, waiter, to);
  }

  /** How many keys the member has in these slots. */
  count(to: MemberId, slots: readonly Slot[], waiter: Waiter): void {
    this.#start({ kind: "count", id: 0, slots }, waiter, to);
  }

  /** Deletes all that is in these slots. */
  clear(slots: readonly Slot[], waiter: Waiter): void {
    const operation = { opClient: this.#ports.clientId, opSeq: ++this.#opSeq, attempt: 1, begunAt: 0 };
    this.#start({ kind: "clear", id: 0, slots, notAfter: 0, ...operation }, waiter, undefined);
  }

  /** Takes an answer of the core for {@link DOOR_HANDLE}. */
  reply(message: ClientReply): void {
    if (message.kind === "pong" || message.kind === "topology" || message.kind === "overloaded") return;
    this.#arrived.push(message);
    if (this.#arrived.length === 1 && !this.#isFlushing) this.#ports.soon();
  }

  /** Asks the core what was asked since the last time, and settles what it has answered. Only outside of a step. */
  flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    if (this.#asked.length > 0) this.#ask();
    if (this.#arrived.length > 0) this.#drain();
    this.#isFlushing = false;
  }

  /** Settles all that is under way as failed: the node ends. */
  close(): void {
    clearTimeout(this.#sweep);
    const failure = (operation: Operation): Failure => ({
      kind: "failed",
      id: operation.id,
      code: "ERR_CLOSED",
      message: "The node has been stopped",
      applied: mayApply(operation) ? "maybe" : "no",
      elsewhere: false,
    });
    for (const timer of this.#sleeping.values()) clearTimeout(timer);
    const operations = [...this.#underWay.values(), ...this.#sleeping.keys()];
    this.#underWay.clear();
    this.#asked = [];
    this.#sleeping.clear();
    for (const operation of operations) operation.waiter.settle(failure(operation));
  }

  #start(request: Request, waiter: Waiter, to: MemberId | undefined): void {
    const sinceMs = this.#ports.nowMs();
    const deadlineMs = sinceMs + this.#ports.timeoutMs;
    this.#send({ id: 0, request, to, waiter, sinceMs, deadlineMs, attempts: 0, mayBeApplied: false });
  }

  #send(operation: Operation): void {
    operation.id = this.#underWay.nextId();
    operation.attempts++;
    this.#underWay.add(operation.id, operation);
    this.#asked.push(operation);
    if (this.#asked.length === 1 && !this.#isFlushing) this.#ports.soon();
    this.#sweep ??= setTimeout(() => this.#sweepDeadlines(), SWEEP_MS);
  }

  /** One step for all that any node may answer, up to `BATCH_MAX`. */
  #ask(): void {
    const { feed } = this.#ports;
    const asked = this.#asked;
    this.#asked = asked.splice(BATCH_MAX);
    const requests: ClientRequest[] = [];
    for (const operation of asked) {
      const { to } = operation;
      if (to === undefined) requests.push(inForm(operation));
      else feed({ kind: "client", client: DOOR_HANDLE, request: inForm(operation), to });
    }
    if (requests.length > 0) feed({ kind: "clientBatch", client: DOOR_HANDLE, requests });
  }

  #drain(): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    const nowMs = this.#ports.nowMs();
    for (const answer of arrived) {
      const operation = this.#underWay.get(answer.id);
      if (operation === undefined) continue;
      this.#underWay.delete(answer.id);
      this.#answered(operation, answer, nowMs);
    }
  }

  #answered(operation: Operation, answer: Answer, nowMs: number): void {
    if (answer.kind === "failed") this.#failed(operation, answer, nowMs);
    else this.#settle(operation, answer, "ok", nowMs);
  }

  #settle(operation: Operation, answer: Answer, outcome: "ok" | Failure["code"], nowMs: number): void {
    const { request, sinceMs, waiter } = operation;
    this.#ports.metrics.observe(request.kind, outcome, Math.max(0, nowMs - sinceMs));
    waiter.settle(answer);
  }

  #failed(operation: Operation, failure: Failure, nowMs: number): void {
    if (failure.applied === "maybe") operation.mayBeApplied = true;
    const pauseMs =
      Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (operation.attempts - 1)) * (1 + this.#ports.random());
    const isLate = nowMs + pauseMs >= operation.deadlineMs;
    const isBusy = failure.code === "ERR_OVERLOADED" && operation.attempts < OVERLOADED_ATTEMPTS_MAX;
    if (!(failure.elsewhere || isBusy) || operation.to !== undefined || isLate) {
      const applied = operation.mayBeApplied ? "maybe" : "no";
      this.#settle(operation, { ...failure, applied }, failure.code, nowMs);
      return;
    }
    const timer = setTimeout(() => {
      this.#sleeping.delete(operation);
      this.#send(operation);
    }, pauseMs);
    this.#sleeping.set(operation, timer);
  }

  /** The core answers long before; this is for a peer that was handed the request and fell silent. */
  #sweepDeadlines(): void {
    this.#sweep = undefined;
    const nowMs = this.#ports.nowMs();
    for (const operation of this.#underWay.values()) {
      if (operation.deadlineMs > nowMs) continue;
      const { id } = operation;
      this.#underWay.delete(id);
      const failure: Failure = {
        kind: "failed",
        id,
        code: "ERR_TIMEOUT",
        message: `No answer within ${this.#ports.timeoutMs} ms`,
        applied: mayApply(operation) ? "maybe" : "no",
        elsewhere: false,
      };
      this.#settle(operation, failure, "ERR_TIMEOUT", nowMs);
    }
    if (this.#underWay.size > 0) this.#sweep = setTimeout(() => this.#sweepDeadlines(), SWEEP_MS);
  }
}

/** Whether it changes something, if anybody has heard of it. */
function mayApply({ request }: Operation): boolean {
  return request.kind === "write" || request.kind === "clear";
}

function gotOf(entry: Entry | undefined, want: Want): GetReply {
  if (entry === undefined) return NOT_FOUND;
  return {
    kind: "got",
    id: 0,
    found: true,
    format: entry.format,
    value: want === "exists" || entry.value === undefined ? NO_BYTES : entry.value,
    version: entry.version,
    expiresAt: entry.expiresAt,
  };
}

const NO_BYTES = new Uint8Array(0);
const NOT_FOUND: GetReply = Object.freeze({
  kind: "got",
  id: 0,
  found: false,
  format: 0,
  value: NO_BYTES,
  version: 0,
  expiresAt: 0,
});

/** The request of this attempt: with its id, its number and its latest moment. */
function inForm({ id, request, attempts, sinceMs, deadlineMs }: Operation): ClientRequest {
  if (request.kind === "write") {
    const { key, change, write, opClient, opSeq, isDecidedHere } = request;
    return {
      kind: "write",
      id,
      key,
      change,
      write,
      opClient,
      opSeq,
      attempt: attempts,
      isDecidedHere,
      notAfter: deadlineMs,
      begunAt: sinceMs,
    };
  }
  if (request.kind === "clear")
    return { ...request, id, attempt: attempts, notAfter: deadlineMs, begunAt: sinceMs };
  if (request.kind === "get") return { ...request, id, notAfter: deadlineMs };
  return { ...request, id };
}
