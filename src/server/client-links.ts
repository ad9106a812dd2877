// The links that clients opened to this node: hands their requests to the core and its replies back, counts and times both, and
// can drain: refuse what is new in a way that sends a client on to another node, while what is under way is answered. A client acts
// as whom it proved to be when it connected; what it may not do never reaches the core.

import { NumberMap } from "../base/number-map.ts";
import type { ClientHandle, Input } from "../core/machine.ts";
import type { ClientReply, ClientRequest, Failure, Message, Overloaded } from "../core/messages.ts";
import type { Access, Link, LinkHandlers } from "../io/link.ts";
import { objectionTo, visible } from "./access.ts";
import type { RequestKind, RequestMetrics } from "./request-metrics.ts";

/** What the links need from the rest of the shell. */
export interface ClientLinksPorts {
  /** Must carry the input out at once, unless it is called within a step. */
  feed(input: Input): void;
  nowMs(): number;
  /** How long what comes in at this moment has waited already. */
  waitedMs(nowMs: number): number;
  readonly metrics: RequestMetrics;
  /** The answer to a request that came while this node was stopping. */
  refusal(requestId: number): Failure;
  /** A request was refused that its user may not make. */
  onDenied(user: string, remoteAddress: string, reason: string): void;
  /** A value was written out: who lent it may use its memory again. */
  giveBack?(value: Uint8Array): void;
}

/** What kind of request it is, and when it came. */
interface Arrival {
  readonly kind: RequestKind;
  readonly sinceMs: number;
}

/** One client. */
interface Client {
  readonly link: Link;
  /** Unanswered requests by id, made for the first. Of several under one id, which is the client's mistake, it knows the latest. */
  underWay: NumberMap<Arrival> | undefined;
  /** All of them. */
  underWayCount: number;
}

/** Requests that the core works on at this moment: most are answered before it returns, and need no place in a table. */
interface Feeding {
  readonly handle: ClientHandle;
  readonly sinceMs: number;
  /** Ids of the answers that came meanwhile. */
  readonly answered: number[];
}

/**
 * Unanswered requests of one connection: twice what the client library has under way on a link. A frame that leads above it is refused:
 * one client must not take all the room that a node has for requests under way.
 */
export const CONNECTION_PENDING_MAX = 16_384;
/** The pause asked of a client that is above it. */
const RETRY_AFTER_MS = 100;

/** See the top of the file. */
export class ClientLinks {
  readonly #ports: ClientLinksPorts;
  readonly #clients = new Map<ClientHandle, Client>();
  #feeding: Feeding | undefined;
  /** What a failure is counted as that came at once: the kind of the frame's first request. */
  #feedingKind: RequestKind = "get";
  #lastHandle = 0;
  #isDraining = false;
  #underWayCount = 0;

  constructor(ports: ClientLinksPorts) {
    this.#ports = ports;
  }

  /** Connected clients. */
  get count(): number {
    return this.#clients.size;
  }

  /** Requests taken on and not answered yet. */
  get underWayCount(): number {
    return this.#underWayCount;
  }

  /** Takes a link that a client opened. */
  accept(link: Link): LinkHandlers {
    const handle = ++this.#lastHandle;
    const client: Client = { link, underWay: undefined, underWayCount: 0 };
    this.#clients.set(handle, client);
    this.#ports.feed({ kind: "clientOpened", client: handle });
    return {
      onMessages: (messages) => this.#receive(handle, client, messages),
      onClose: () => this.#forget(handle),
      onOversized: (message) => this.#oversized(handle, message),
      onLargeWritten: (messages) => {
        for (const message of messages) if (message.kind === "got") this.#ports.giveBack?.(message.value);
      },
    };
  }

  /** Carries out a `reply`; does nothing when the client has gone. */
  reply(handle: ClientHandle, message: ClientReply, nowMs: number): void {
    const client = this.#clients.get(handle);
    if (client === undefined) return;
    if (message.kind === "overloaded") {
      this.#refused(handle, client, message);
      return;
    }
    client.link.send(message.kind === "scanned" ? visible(message, client.link.remote.access) : message);
    if (message.kind === "pong" || message.kind === "topology") return;
    const arrival = this.#settle(handle, client, message.id);
    if (arrival !== undefined) {
      this.#observe(message, arrival.kind, nowMs - arrival.sinceMs);
    } else if (this.#feeding?.handle === handle) {
      const kind = message.kind === "failed" ? undefined : REQUEST_OF[message.kind];
      this.#observe(message, kind ?? this.#feedingKind, nowMs - this.#feeding.sinceMs);
    }
  }

  /** A request is answered. Returns when it came; `undefined` for one that has only just come, or that shared its id. */
  #settle(handle: ClientHandle, client: Client, id: number): Arrival | undefined {
    const arrival = client.underWayCount === 0 ? undefined : client.underWay?.get(id);
    if (arrival === undefined && this.#feeding?.handle === handle) {
      this.#feeding.answered.push(id);
    } else if (client.underWayCount > 0) {
      client.underWay?.delete(id);
      client.underWayCount--;
      this.#underWayCount--;
    }
    return arrival;
  }

  /** In one message where the client knows it. */
  #refused(handle: ClientHandle, client: Client, message: Overloaded): void {
    const isKnown = client.link.remote.capabilities.includes("overloaded");
    if (isKnown) client.link.send(message);
    else for (const failure of failuresOf(message)) client.link.send(failure);
    for (const id of message.ids) {
      this.#settle(handle, client, id);
      this.#ports.metrics.observe(this.#feedingKind, "ERR_OVERLOADED", 0);
    }
  }

  #observe(message: ClientReply, kind: RequestKind, ms: number): void {
    this.#ports.metrics.observe(kind, message.kind === "failed" ? message.code : "ok", ms);
  }

  /** From now on every new request is refused. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Sends what the links have queued, then closes them all. */
  close(): void {
    this.closeWhere(() => true);
  }

  /** Closes the links of some: their clients may connect again. */
  closeWhere(isMeant: (access: Access) => boolean): void {
    for (const { link } of [...this.#clients.values()]) if (isMeant(link.remote.access)) link.close();
  }

  #receive(handle: ClientHandle, client: Client, messages: readonly Message[]): void {
    // The wire lets only requests pass in this direction.
    const received = this.#permitted(client, messages as readonly ClientRequest[]);
    const requests = this.#isDraining ? this.#refuse(client, received) : received;
    if (requests.length === 0) return;
    const sinceMs = this.#ports.nowMs();
    const waitedMs = this.#ports.waitedMs(sinceMs);
    const feeding = { handle, sinceMs, answered: [] as number[] };
    this.#feeding = feeding;
    this.#feedingKind = kindOf(requests[0]!);
    const { underWayCount } = client;
    if (underWayCount > 0 && underWayCount + requests.length > CONNECTION_PENDING_MAX)
      this.#refuseExcess(handle, client, requests);
    else if (requests.length === 1)
      this.#ports.feed({ kind: "client", client: handle, request: requests[0]!, waitedMs });
    else this.#ports.feed({ kind: "clientBatch", client: handle, requests, waitedMs });
    this.#feeding = undefined;
    this.#noteUnanswered(handle, requests, feeding);
  }

  /** Above the connection's bound: answers heartbeats, and refuses the rest. */
  #refuseExcess(handle: ClientHandle, client: Client, requests: readonly ClientRequest[]): void {
    const ids: number[] = [];
    for (const request of requests) {
      if (request.kind === "ping") this.#ports.feed({ kind: "client", client: handle, request });
      else ids.push(request.id);
    }
    if (ids.length === 0) return;
    this.#refused(handle, client, { kind: "overloaded", ids, retryAfterMs: RETRY_AFTER_MS });
  }

  /** Remembers what the core has not answered at once. */
  #noteUnanswered(handle: ClientHandle, requests: readonly ClientRequest[], feeding: Feeding): void {
    const client = this.#clients.get(handle);
    const { answered, sinceMs } = feeding;
    if (client === undefined || answered.length >= requests.length) return;
    const isAnswered = answered.length > 0 ? new Set(answered) : undefined;
    let count = -answered.length;
    let arrival: Arrival | undefined;
    for (const request of requests) {
      if (request.kind === "ping") continue;
      count++;
      if (isAnswered?.has(request.id) === true) continue;
      if (arrival?.kind !== request.kind) arrival = { kind: request.kind, sinceMs };
      client.underWay ??= new NumberMap();
      client.underWay.set(request.id, arrival);
    }
    client.underWayCount += count;
    this.#underWayCount += count;
  }

  /** Answers the requests that the client's user may not make, and returns the others. */
  #permitted({ link }: Client, requests: readonly ClientRequest[]): readonly ClientRequest[] {
    const { access } = link.remote;
    if (access.grants === undefined) return requests;
    return requests.filter((request) => {
      const reason = objectionTo(request, access);
      if (reason === undefined || request.kind === "ping") return true;
      link.send(forbidden(request.id, reason));
      this.#ports.metrics.observe(request.kind, "ERR_FORBIDDEN", 0);
      this.#ports.onDenied(access.user, link.remoteAddress, reason);
      return false;
    });
  }

  /** While draining: refuses all requests, and returns the heartbeats among them. */
  #refuse(client: Client, requests: readonly ClientRequest[]): readonly ClientRequest[] {
    return requests.filter((request) => {
      if (request.kind === "ping") return true;
      client.link.send(this.#ports.refusal(request.id));
      this.#ports.metrics.observe(request.kind, "ERR_CLOSED", 0);
      return false;
    });
  }

  /** A reply larger than a frame may be is replaced by one that says so. */
  #oversized(handle: ClientHandle, message: Message): void {
    if (!("id" in message) || message.kind === "failed") return;
    const { link } = this.#clients.get(handle) ?? {};
    link?.send({
      kind: "failed",
      id: message.id,
      code: "ERR_TOO_LARGE",
      message: "The answer is larger than a frame may be",
      applied: "no",
      elsewhere: false,
    });
  }

  #forget(handle: ClientHandle): void {
    const client = this.#clients.get(handle);
    if (client === undefined) return;
    this.#clients.delete(handle);
    this.#underWayCount -= client.underWayCount;
    this.#ports.feed({ kind: "clientClosed", client: handle });
  }
}

/** The same, for who does not know the message. */
export function failuresOf({ ids, retryAfterMs }: Overloaded): readonly Failure[] {
  const message = `This node has more to do than it can; try again after ${retryAfterMs} ms`;
  const failure = {
    kind: "failed",
    code: "ERR_OVERLOADED",
    message,
    applied: "no",
    elsewhere: false,
  } as const;
  return ids.map((id) => ({ ...failure, id }));
}

function forbidden(id: number, message: string): Failure {
  return { kind: "failed", id, code: "ERR_FORBIDDEN", message, applied: "no", elsewhere: false };
}

const REQUEST_OF = {
  got: "get",
  written: "write",
  scanned: "scan",
  cleared: "clear",
  counted: "count",
  commanded: "command",
} as const;

function kindOf(request: ClientRequest): RequestKind {
  return request.kind === "ping" ? "get" : request.kind;
}
