// The other nodes' side of a node: what they say, and when they come, go or misbehave.
//
// Messages go to the part that they are for; gossip goes to the membership. On the way each sender is held to the rules that only a
// broken or hostile node breaks (quarantine.ts), and everything heard shows that its link works (links.ts). A sender that goes by
// another ring is told of ours.

import type { MemberId, RingId } from "../../base/ids.ts";
import type { PeerLinks } from "../links.ts";
import type { Now } from "../machine.ts";
import type { ClearReplica, GossipMessage, PeerMessage, Replicate } from "../messages.ts";
import { hasForgedVersion, type Offence, Quarantine } from "../quarantine.ts";
import type { CatchUp } from "../replication/catch-up.ts";
import type { Coordinator } from "../replication/coordinator.ts";
import type { Fill } from "../replication/fill.ts";
import type { Hints } from "../replication/hints.ts";
import type { Outbox } from "../replication/outbox.ts";
import { answerPull } from "../replication/pull-source.ts";
import type { Replica } from "../replication/replica.ts";
import type { SlotStates } from "../replication/slot-states.ts";
import type { Store } from "../store/store.ts";
import type { Callers } from "./callers.ts";
import type { Cluster } from "./cluster.ts";

/** A stall after which others may have acknowledged writes without this node: callers turn elsewhere no sooner. */
const BEHIND_STALL_MS = 120;

/** What messages are handed to. */
export interface PeersParts {
  readonly cluster: Cluster;
  readonly links: PeerLinks;
  readonly outbox: Outbox;
  readonly store: Store;
  readonly slots: SlotStates;
  readonly replica: Replica;
  readonly coordinator: Coordinator;
  readonly hints: Hints;
  readonly fill: Fill;
  readonly catchUp: CatchUp;
  readonly callers: Callers;
}

/** See the top of the file. Of the clocks, `realNow` is this process's own, and `now` shows the cluster's wall time. */
export class Peers {
  readonly #parts: PeersParts;
  readonly #quarantine = new Quarantine();

  constructor(parts: PeersParts) {
    this.#parts = parts;
  }

  gossip(from: MemberId, fromAddress: string, message: GossipMessage, now: Now): void {
    if (this.#quarantine.holds(from, now.monoMs)) return;
    const { membership } = this.#parts.cluster;
    const { recordsForged, membersExcess } = membership.counters;
    this.#withRefutations(now, () =>
      membership.handle(from, fromAddress, message, now, this.#parts.outbox.effects),
    );
    const after = membership.counters;
    if (after.recordsForged > recordsForged) this.#offend(from, "record", now);
    if (after.membersExcess > membersExcess) this.#offend(from, "members", now);
  }

  /** What came in one frame. */
  messages(from: MemberId, messages: readonly PeerMessage[], now: Now, realNow: Now): void {
    if (this.#quarantine.holds(from, now.monoMs)) return;
    if (this.#parts.links.heard(from, now)) this.#back(from, now);
    for (const message of messages) {
      this.#message(from, message, now, realNow);
      this.#parts.cluster.refresh(now);
    }
  }

  link(member: MemberId, path: "peer" | "gossip", isUp: boolean, now: Now, realNow: Now): void {
    const { cluster, links, outbox } = this.#parts;
    if (path === "peer" && links.link(member, isUp, realNow)) this.lost(member, now);
    cluster.membership.link(member, isUp, realNow, outbox.effects);
  }

  /** This process stood still for so long: nobody else's silence counts, and callers may have gone on with others. */
  stalled(ms: number, now: Now, realNow: Now): void {
    const { catchUp, cluster, links, outbox } = this.#parts;
    cluster.membership.stalled(ms, realNow, outbox.effects);
    links.stalled(now);
    if (ms >= BEHIND_STALL_MS) catchUp.begin(cluster.ringMemberIds(), now);
  }

  tick(now: Now, realNow: Now): void {
    const { cluster, links, outbox } = this.#parts;
    const { membership } = cluster;
    if (realNow.monoMs >= membership.deadline())
      this.#withRefutations(now, () => membership.tick(realNow, outbox.effects));
    for (const member of links.tick(realNow)) this.lost(member, now);
  }

  deadline(): number {
    return Math.min(this.#parts.cluster.membership.deadline(), this.#parts.links.deadline());
  }

  /** The member does not answer: what waits for it goes on without. */
  lost(member: MemberId, now: Now): void {
    this.#parts.coordinator.memberLost(member, now);
    this.#parts.fill.memberLost(member, now);
    this.#parts.callers.topologyChanged();
  }

  #back(member: MemberId, now: Now): void {
    this.#parts.catchUp.begin([member], now);
    this.#parts.fill.memberBack(member, now);
    this.#parts.hints.replay(now);
  }

  #message(from: MemberId, message: PeerMessage, now: Now, realNow: Now): void {
    if (hasForgedVersion(message, now.wallMs)) {
      this.#offend(from, "version", now);
      return;
    }
    const { callers, catchUp, cluster, coordinator, fill, hints, links, outbox, replica } = this.#parts;
    switch (message.kind) {
      case "ping": {
        // It is to hear that, and what became of it, before it gets a lease by our answer (view-lease.ts).
        if (cluster.membership.get(from)?.liveness === "dead") return;
        const { monoMs, wallMs } = realNow;
        outbox.peer(from, { kind: "pong", sentMs: message.sentMs, monoMs, wallMs });
        return;
      }
      case "pong":
        links.pong(from, message, realNow);
        return;
      case "read": {
        const reply = replica.read(message);
        // Who asks under the ring before may not know that it is.
        if (reply.status !== "ok") this.#sync(from, realNow);
        outbox.peer(from, reply);
        return;
      }
      case "replicate":
        if (message.purpose === "client") {
          callers.noteServed(now);
          this.#syncIfOtherRing(from, message.ringId, realNow);
        }
        if (message.purpose === "rehearsal") fill.written(message.entry, now);
        else this.#replicate(from, message, now);
        return;
      case "clearReplica":
        this.#syncIfOtherRing(from, message.ringId, realNow);
        this.#clear(from, message, now);
        return;
      case "readReply":
        if (message.status === "ring") this.#sync(from, realNow);
        coordinator.readReplied(from, message, now);
        return;
      case "replicated":
        if (message.status === "ring") this.#sync(from, realNow);
        if (!hints.replicated(from, message, now)) coordinator.replicated(from, message, now);
        return;
      case "clearReplicaReply":
        if (message.status === "ring") this.#sync(from, realNow);
        if (!hints.clearReplied(from, message, now)) coordinator.clearReplied(from, message, now);
        return;
      case "forward":
        coordinator.forwarded(from, message, now);
        return;
      case "forwarded":
        coordinator.forwardAnswered(from, message);
        return;
      case "pull": {
        if (!message.isRehearsal) this.#syncIfOtherRing(from, message.ringId, realNow);
        const { cluster: view, slots, store } = this.#parts;
        outbox.peer(from, answerPull(message, { store, slots, view }, callers.isServing(now)));
        return;
      }
      case "pulled":
        if (message.status === "ring") this.#sync(from, realNow);
        fill.pulled(from, message, now);
        return;
      case "catchUp":
        outbox.peer(from, { kind: "catchUpReply", id: message.id, ...hints.drain(from) });
        hints.replay(now);
        return;
      case "catchUpReply":
        catchUp.replied(from, message, now);
        return;
      case "doorAddress":
      case "publish":
      case "watch":
      case "watching":
      case "changed":
      case "secrets":
        // For the shell, which takes them before they get here.
        return;
    }
  }

  #replicate(from: MemberId, message: Replicate, now: Now): void {
    const { cluster, outbox, replica } = this.#parts;
    const reply = replica.replicate(message, from, now);
    outbox.peer(from, reply);
    // Under our own ring the sender knows whose the slot is.
    const isOfRing = message.purpose === "client" && message.ringId === cluster.ring?.id;
    if (isOfRing && reply.status === "notReplica") this.#offend(from, "owner", now);
  }

  #clear(from: MemberId, message: ClearReplica, now: Now): void {
    const { hints, outbox, replica, store } = this.#parts;
    const { slots, version } = message;
    const news = slots.filter((slot) => version > store.clearedVersion(slot));
    const reply = replica.clear(message, now);
    outbox.peer(from, reply);
    if (reply.status === "ok") hints.keepClears(from, news, version);
  }

  #offend(member: MemberId, what: Offence, now: Now): void {
    const { links, outbox } = this.#parts;
    for (const event of this.#quarantine.offend(member, what, links.count, now.monoMs)) outbox.event(event);
  }

  /** Others said something of us that was not so: they may have gone on without us. */
  #withRefutations(now: Now, run: () => void): void {
    const { effects } = this.#parts.outbox;
    const before = effects.length;
    run();
    const isRefuted = effects
      .slice(before)
      .some((effect) => effect.kind === "event" && effect.event.type === "refuted");
    if (isRefuted) this.#parts.catchUp.begin(this.#parts.cluster.ringMemberIds(), now);
  }

  #syncIfOtherRing(from: MemberId, ringId: RingId, now: Now): void {
    if (ringId !== this.#parts.cluster.ring?.id) this.#sync(from, now);
  }

  #sync(from: MemberId, now: Now): void {
    this.#parts.cluster.membership.syncWith(from, now, this.#parts.outbox.effects);
  }
}
