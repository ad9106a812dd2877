// The links that clients opened to this node: hands their requests to the core and its replies back, counts and times both, and
// can drain: refuse what is new in a way that sends a client on to another node, while what is under way is answered.

import type { ClientHandle, Input } from "../core/machine.ts";
import type { ClientReply, ClientRequest, Failure, Message } from "../core/messages.ts";
import type { Link, LinkHandlers } from "../io/link.ts";
import type { RequestKind, RequestMetrics } from "./request-metrics.ts";

/** What the links need from the rest of the shell. */
export interface ClientLinksPorts {
  /** Must carry the input out at once, unless it is called within a step. */
  feed(input: Input): void;
  nowMs(): number;
  readonly metrics: RequestMetrics;
  /** The answer to a request that came while this node was stopping. */
  refusal(requestId: number): Failure;
}

/** One client. `underWay`: when each unanswered request came, by its id; the core bounds how many it takes on. */
interface Client {
  readonly link: Link;
  readonly underWay: Map<number, { readonly kind: RequestKind; readonly sinceMs: number }>;
}

/** See the top of the file. */
export class ClientLinks {
  readonly #ports: ClientLinksPorts;
  readonly #clients = new Map<ClientHandle, Client>();
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
    const client: Client = { link, underWay: new Map() };
    this.#clients.set(handle, client);
    this.#ports.feed({ kind: "clientOpened", client: handle });
    return {
      onMessages: (messages) => this.#receive(handle, client, messages),
      onClose: () => this.#forget(handle),
      onOversized: (message) => this.#oversized(handle, message),
    };
  }

  /** Carries out a `reply`; does nothing when the client has gone. */
  reply(handle: ClientHandle, message: ClientReply, nowMs: number): void {
    const client = this.#clients.get(handle);
    if (client === undefined) return;
    client.link.send(message);
    if (message.kind === "pong" || message.kind === "topology") return;
    const request = client.underWay.get(message.id);
    if (request === undefined) return;
    client.underWay.delete(message.id);
    this.#underWayCount--;
    const outcome = message.kind === "failed" ? message.code : "ok";
    this.#ports.metrics.observe(request.kind, outcome, nowMs - request.sinceMs);
  }

  /** From now on every new request is refused. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Sends what the links have queued, then closes them all. */
  close(): void {
    for (const { link } of [...this.#clients.values()]) link.close();
  }

  #receive(handle: ClientHandle, client: Client, messages: readonly Message[]): void {
    const sinceMs = this.#ports.nowMs();
    for (const message of messages) {
      // The wire lets only requests pass in this direction.
      const request = message as ClientRequest;
      if (request.kind !== "ping") {
        if (this.#isDraining) {
          client.link.send(this.#ports.refusal(request.id));
          this.#ports.metrics.observe(request.kind, "ERR_CLOSED", 0);
          continue;
        }
        // An id in use again is the client's mistake: it gets two answers, and the first is timed.
        if (!client.underWay.has(request.id)) this.#underWayCount++;
        client.underWay.set(request.id, { kind: request.kind, sinceMs });
      }
      this.#ports.feed({ kind: "client", client: handle, request });
    }
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
    this.#underWayCount -= client.underWay.size;
    this.#ports.feed({ kind: "clientClosed", client: handle });
  }
}
