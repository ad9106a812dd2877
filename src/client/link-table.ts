// The connections of a client: which addresses it keeps links to, heartbeats on them, and dialling again.
//
// Wanted are the members of the view. The seeds are wanted as well while no member is up: at the start, when everything was
// down, and for good where members advertise addresses that this client cannot reach.
// Invariants: 1. A link is in `up`, sorted by address, exactly while its phase is `up`. 2. At most `linksMax` links are wanted.
// 3. A link that is up and silent for `silenceMsMax` is dropped and dialled anew: TCP takes seconds to notice.

import { compareIds } from "../base/ids.ts";
import type { Prng } from "../base/prng.ts";
import type { Now } from "../core/machine.ts";
import type { Pong } from "../core/messages.ts";
import type { ClientEffect } from "./client-machine.ts";
import { type LinkFailure, NodeLink } from "./node-link.ts";
import type { Slowness } from "./slowness.ts";
import type { ClientTiming } from "./timing.ts";

/** Told when a link begins or ceases to carry calls. */
export interface LinkObserver {
  linkUp(link: NodeLink, now: Now, out: ClientEffect[]): void;
  linkDown(link: NodeLink, now: Now, out: ClientEffect[]): void;
}

export class LinkTable {
  readonly #seeds: readonly string[];
  readonly #timing: ClientTiming;
  readonly #prng: Prng;
  readonly #observer: LinkObserver;
  readonly #links = new Map<string, NodeLink>();
  readonly #up: NodeLink[] = [];
  #members: readonly string[] = [];
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #usualLatencyMs = Number.POSITIVE_INFINITY;

  constructor(seeds: readonly string[], timing: ClientTiming, prng: Prng, observer: LinkObserver) {
    this.#seeds = seeds.slice(0, timing.linksMax);
    this.#timing = timing;
    this.#prng = prng;
    this.#observer = observer;
  }

  /** Links that carry calls, by address. */
  get up(): readonly NodeLink[] {
    return this.#up;
  }

  get(address: string): NodeLink | undefined {
    return this.#links.get(address);
  }

  /** Every link, in the order of their creation. */
  all(): Iterable<NodeLink> {
    return this.#links.values();
  }

  /** When {@link tick} is next due; may be early. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** The median of the slow latencies of the links that are up, some heartbeats old; of two the larger one. */
  get usualLatencyMs(): number {
    return this.#usualLatencyMs;
  }

  /** Whether others are to be asked before a node that is slow. A third of the nodes at most: slowness of more is that of the load, or of this process. */
  isSpared(link: NodeLink, nowMs: number): boolean {
    const { slowness } = link;
    if (!slowness.isMarked(nowMs)) return false;
    const isWorse = (other: Slowness): boolean => other.isMarked(nowMs) && other.isWorseThan(slowness);
    const worse = this.#up.filter((other) => other !== link && isWorse(other.slowness)).length;
    return (worse + 1) * 3 <= this.#up.length;
  }

  /** Replaces the members' addresses; at most `linksMax`. */
  setMembers(addresses: readonly string[], now: Now, out: ClientEffect[]): void {
    this.#members = addresses.slice(0, this.#timing.linksMax);
    this.reconcile(now, out);
  }

  /** Dials what is due, sends heartbeats, gives up the silent. */
  tick(now: Now, out: ClientEffect[]): void {
    for (const link of [...this.#links.values()]) {
      // What came before may have removed it.
      if (this.#links.get(link.address) !== link) continue;
      if (link.phase === "waiting") this.#maybeDial(link, now, out);
      else if (link.phase === "up") this.#beat(link, now, out);
      else if (link.nextMs <= now.monoMs)
        this.#giveUp(link, `no answer within ${this.#timing.dialMsMax} ms`, now, out);
    }
    const latencies = this.#up.map((link) => link.latency.ms).sort((a, b) => a - b);
    this.#usualLatencyMs = latencies[latencies.length >> 1] ?? Number.POSITIVE_INFINITY;
    this.reconcile(now, out);
  }

  /** A dial succeeded. The first heartbeat leaves at once; its answer makes the link carry calls. */
  opened(address: string, now: Now, out: ClientEffect[]): void {
    const link = this.#links.get(address);
    if (link?.phase !== "dialling") {
      // Given up meanwhile: nobody is to think that it is in use.
      out.push({ kind: "drop", address });
      return;
    }
    link.phase = "greeting";
    link.nextMs = now.monoMs + this.#timing.silenceMsMax;
    link.lastHeardMs = now.monoMs;
    this.#ping(link, now, out);
    this.#dueAt(link.nextMs);
  }

  /** A dial failed, or a connection ended. Does nothing for one that was given up already. */
  closed(address: string, failure: LinkFailure, now: Now, out: ClientEffect[]): void {
    const link = this.#links.get(address);
    if (link !== undefined && link.phase !== "waiting") this.#lost(link, failure, now, out);
  }

  heard(link: NodeLink, now: Now): void {
    link.lastHeardMs = now.monoMs;
    link.isResponsive = true;
  }

  pong(link: NodeLink, message: Pong, now: Now, out: ClientEffect[]): void {
    link.clock.sample(message.monoMs, now.monoMs);
    if (link.phase !== "greeting") return;
    link.phase = "up";
    link.backoffMs = this.#timing.redialMsMin;
    link.failure = undefined;
    link.nextMs = now.monoMs + this.#timing.pingIntervalMs;
    this.#dueAt(link.nextMs);
    this.#up.push(link);
    this.#up.sort((a, b) => compareIds(a.address, b.address));
    this.reconcile(now, out);
    if (link.phase === "up") this.#observer.linkUp(link, now, out);
  }

  /** A call needs a link and none is up: dials everything now, though no address more often than every `redialMsMin`. */
  dialSoon(now: Now, out: ClientEffect[]): void {
    for (const link of this.#links.values()) {
      if (link.phase !== "waiting") continue;
      link.nextMs = Math.min(link.nextMs, Math.max(now.monoMs, link.failedMs + this.#timing.redialMsMin));
      this.#maybeDial(link, now, out);
    }
  }

  /** This process stood still for `ms`: what the links said meanwhile may lie unread, so their silence does not count. */
  forgive(ms: number, now: Now): void {
    for (const link of this.#up) link.lastHeardMs = Math.min(now.monoMs, link.lastHeardMs + ms);
  }

  /** Drops everything for good. */
  close(out: ClientEffect[]): void {
    for (const link of this.#links.values()) {
      if (link.phase !== "waiting") out.push({ kind: "drop", address: link.address });
    }
    this.#links.clear();
    this.#up.length = 0;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** Brings the links in line with what is wanted. */
  reconcile(now: Now, out: ClientEffect[]): void {
    const isMemberUp = this.#members.some((address) => this.#links.get(address)?.phase === "up");
    const wanted = new Set(isMemberUp ? this.#members : [...this.#members, ...this.#seeds]);
    for (const address of wanted) {
      if (this.#links.has(address)) continue;
      const link = new NodeLink(address, this.#timing, now.monoMs);
      this.#links.set(address, link);
      this.#maybeDial(link, now, out);
    }
    for (const link of [...this.#links.values()]) {
      link.isWanted = wanted.has(link.address);
      if (!link.isWanted && link.inFlight === 0 && link.queue.size === 0) this.#remove(link, out);
    }
    this.#recomputeDeadline();
  }

  #maybeDial(link: NodeLink, now: Now, out: ClientEffect[]): void {
    if (link.nextMs <= now.monoMs) {
      link.phase = "dialling";
      link.nextMs = now.monoMs + this.#timing.dialMsMax;
      out.push({ kind: "dial", address: link.address });
    }
    this.#dueAt(link.nextMs);
  }

  #beat(link: NodeLink, now: Now, out: ClientEffect[]): void {
    // The same sum as in the deadline: a difference may round to the other side of it, and the tick would do nothing for ever.
    if (now.monoMs >= link.lastHeardMs + this.#timing.silenceMsMax) {
      this.#giveUp(link, `no answer to heartbeats for ${this.#timing.silenceMsMax} ms`, now, out);
    } else if (link.nextMs <= now.monoMs) {
      link.nextMs = now.monoMs + this.#timing.pingIntervalMs;
      this.#ping(link, now, out);
    }
  }

  #ping(link: NodeLink, now: Now, out: ClientEffect[]): void {
    out.push({
      kind: "send",
      address: link.address,
      message: { kind: "ping", sentMs: Math.floor(now.monoMs) },
    });
  }

  #giveUp(link: NodeLink, reason: string, now: Now, out: ClientEffect[]): void {
    out.push({ kind: "drop", address: link.address });
    this.#lost(link, { code: "ERR_UNREACHABLE", reason }, now, out);
  }

  #lost(link: NodeLink, failure: LinkFailure, now: Now, out: ClientEffect[]): void {
    const wasUp = link.phase === "up";
    if (wasUp) this.#up.splice(this.#up.indexOf(link), 1);
    link.phase = "waiting";
    link.failure = failure;
    link.failedMs = now.monoMs;
    link.isResponsive = true;
    link.clock.reset();
    // Half to the whole of the current pause: clients that lost the same node do not come back in step.
    link.nextMs = now.monoMs + link.backoffMs * (0.5 + this.#prng.float() / 2);
    link.backoffMs = Math.min(this.#timing.redialMsMax, link.backoffMs * 2);
    if (wasUp) this.#observer.linkDown(link, now, out);
    this.reconcile(now, out);
  }

  #remove(link: NodeLink, out: ClientEffect[]): void {
    if (link.phase === "up") this.#up.splice(this.#up.indexOf(link), 1);
    if (link.phase !== "waiting") out.push({ kind: "drop", address: link.address });
    this.#links.delete(link.address);
  }

  #dueAt(ms: number): void {
    if (ms < this.#deadlineMs) this.#deadlineMs = ms;
  }

  #recomputeDeadline(): void {
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    for (const link of this.#links.values()) {
      const silentMs =
        link.phase === "up" ? link.lastHeardMs + this.#timing.silenceMsMax : Number.POSITIVE_INFINITY;
      this.#dueAt(Math.min(link.nextMs, silentMs));
    }
  }
}
