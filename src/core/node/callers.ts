// The clients' side of a node: who is connected, what they ask, what is refused under overload, and the topology that they route by.
//
// Each request is handed to the coordinator with the address that its answer goes to. Whoever is connected is sent the topology at
// once, and again whenever it changed.

import type { MemberId } from "../../base/ids.ts";
import { Admission } from "../admission.ts";
import type { ClientHandle, Input, Now } from "../machine.ts";
import { type ClientRequest, isInRing, type Topology } from "../messages.ts";
import type { NodeCoreOptions } from "../options.ts";
import type { Coordinator } from "../replication/coordinator.ts";
import type { Outbox } from "../replication/outbox.ts";
import type { Cluster } from "./cluster.ts";
import type { Tenure } from "./tenure.ts";

/** Requests named in one refusal. */
const REFUSED_IDS_MAX = 4_096;
/** Copies give way to callers for so long after the last of their requests. */
const SERVING_MS = 50;

/** What requests are handed to. */
export interface CallersParts {
  readonly options: NodeCoreOptions;
  readonly cluster: Cluster;
  readonly coordinator: Coordinator;
  readonly tenure: Tenure;
  readonly outbox: Outbox;
}

/** See the top of the file. */
export class Callers {
  readonly #parts: CallersParts;
  readonly #clients = new Set<ClientHandle>();
  readonly #admission = new Admission();
  #isTopologyStale = false;
  /** As told in the last event. */
  #isOverloaded = false;
  #servedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: CallersParts) {
    this.#parts = parts;
  }

  /** Whether frames had to wait lately: what nobody waits for should give way. */
  isBusy(now: Now): boolean {
    return this.#admission.isBusy(now.monoMs);
  }

  /** Whether a caller asked something of late, here or through another node. */
  isServing(now: Now): boolean {
    return now.monoMs - this.#servedMs < SERVING_MS;
  }

  noteServed(now: Now): void {
    this.#servedMs = now.monoMs;
  }

  /** After a stall of this process, what waited did so because of it. */
  stalled(): void {
    this.#admission.stalled();
  }

  opened(client: ClientHandle): void {
    this.#clients.add(client);
    this.#parts.outbox.reply(client, this.#topology());
  }

  closed(client: ClientHandle): void {
    this.#clients.delete(client);
  }

  request(client: ClientHandle, request: ClientRequest, now: Now, realNow: Now): void {
    const { coordinator, outbox } = this.#parts;
    if (request.kind === "ping") {
      const { monoMs, wallMs } = realNow;
      outbox.reply(client, { kind: "pong", sentMs: request.sentMs, monoMs, wallMs });
      return;
    }
    const replyTo = { type: "client", client, id: request.id } as const;
    this.noteServed(now);
    switch (request.kind) {
      case "get":
        coordinator.get(request, replyTo, now);
        return;
      case "write":
        coordinator.write(request, replyTo, false, now);
        return;
      case "scan":
        coordinator.scan(request, replyTo, now);
        return;
      case "count":
        coordinator.count(request, replyTo);
        return;
      case "clear":
        coordinator.clear(request, replyTo, now);
        return;
      case "place":
        this.#parts.cluster.membership.wish(request, realNow, outbox.effects);
        outbox.reply(client, { kind: "commanded", id: request.id });
        return;
      case "command":
        this.#command(request, realNow);
        outbox.reply(client, { kind: "commanded", id: request.id });
        return;
    }
  }

  /** Asks another node on the client's behalf. Does nothing with what cannot be handed on: the driver asks for no such thing. */
  handOn({ client, request }: Extract<Input, { kind: "client" }>, to: MemberId, now: Now): void {
    const { kind } = request;
    if (kind !== "get" && kind !== "write" && kind !== "scan" && kind !== "count") return;
    this.#parts.coordinator.ask(request, { type: "client", client, id: request.id }, to, now);
  }

  /** One look per frame: takes what it holds, or refuses all of it but heartbeats and commands of operators. */
  refuses(
    { client, waitedMs }: Extract<Input, { kind: "client" | "clientBatch" }>,
    requests: readonly ClientRequest[],
    now: Now,
    realNow: Now,
  ): boolean {
    if (waitedMs === undefined) return false;
    const retryAfterMs = this.#admission.consider(waitedMs, now.monoMs);
    this.#noteOverload(waitedMs);
    if (retryAfterMs === 0) return false;
    const ids: number[] = [];
    for (const request of requests) {
      const isAlwaysTaken = request.kind === "ping" || request.kind === "command" || request.kind === "place";
      if (isAlwaysTaken) this.request(client, request, now, realNow);
      else ids.push(request.id);
    }
    for (let start = 0; start < ids.length; start += REFUSED_IDS_MAX) {
      const some = ids.slice(start, start + REFUSED_IDS_MAX);
      this.#parts.outbox.reply(client, { kind: "overloaded", ids: some, retryAfterMs });
    }
    return true;
  }

  /** Ends an overload that is over although no frame came. */
  review(now: Now): void {
    this.#admission.review(now.monoMs);
    this.#noteOverload(0);
  }

  /** The topology is about to be told again. */
  topologyChanged(): void {
    this.#isTopologyStale = true;
  }

  publishIfStale(): void {
    if (this.#isTopologyStale) this.publish();
  }

  /** Sends the topology to everybody connected. */
  publish(): void {
    this.#isTopologyStale = false;
    if (this.#clients.size === 0) return;
    const topology = this.#topology();
    for (const client of this.#clients) this.#parts.outbox.reply(client, topology);
  }

  #command({ command, member }: Extract<ClientRequest, { kind: "command" }>, now: Now): void {
    const { cluster, outbox, tenure } = this.#parts;
    if (command === "leave") tenure.leave(now);
    else cluster.membership.evict(member as MemberId, now, outbox.effects);
  }

  #noteOverload(waitedMs: number): void {
    const isOverloaded = this.#admission.isRefusing;
    if (isOverloaded === this.#isOverloaded) return;
    this.#isOverloaded = isOverloaded;
    this.#parts.outbox.event({ type: "overload", isOverloaded, waitedMs: Math.round(waitedMs) });
  }

  #topology(): Topology {
    const { cluster, options } = this.#parts;
    const { replicas, defaultWrite, defaultRead, valueBytesMax } = options;
    const members = cluster.membership
      .records()
      .filter(({ ringState }) => isInRing(ringState))
      .map(({ id, address, zone, weight, liveness, ringState }) => ({
        id,
        address,
        zone,
        weight,
        liveness,
        ringState,
      }));
    const { ringId } = cluster;
    return { kind: "topology", ringId, replicas, defaultWrite, defaultRead, valueBytesMax, members };
  }
}
