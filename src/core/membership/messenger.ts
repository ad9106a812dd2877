// What this node says, and to whom: news riding on every message (SWIM's piggybacking), gossip rounds between them, urgent
// news to everyone at once, and full syncs of the whole table.

import type { MemberId } from "../../base/ids.ts";
import type { Prng } from "../../base/prng.ts";
import type { Effect, Now } from "../machine.ts";
import type {
  Gossip,
  MemberRecord,
  Probe,
  ProbeAck,
  ProbeNack,
  ProbeRequest,
  Sync,
  Update,
} from "../messages.ts";
import type { MembershipOptions } from "../options.ts";
import { Broadcasts, transmitsMax, UPDATES_PER_MESSAGE_MAX } from "./broadcasts.ts";
import { forgettableSinceMs, type Member, type MemberTable, TOMBSTONE_MS } from "./member-table.ts";

/** Up to so many live peers, urgent news goes to all of them at once; beyond, gossip is cheaper and nearly as fast. */
const TELL_ALL_MAX = 32;
/** For so long the dead are still gossiped to: if they live, they learn that they must answer. */
const GOSSIP_TO_DEAD_MS = 30_000;
/** Shortest time between full syncs asked of one member. */
const SYNC_SPACING_MS = 20;
/** Shortest time between telling a member twice what is held against it. */
const TELL_SPACING_MS = 200;

/** The gossip messages that membership speaks. */
export type MembershipMessage = Probe | ProbeAck | ProbeRequest | ProbeNack | Gossip | Sync;

/** One input being handled: the clocks, and where effects go. */
export interface Step {
  readonly now: Now;
  readonly out: Effect[];
}

/** Whom a message goes to or comes from; the id is "" for whoever answers at a seed's address. */
export interface Correspondent {
  readonly id: MemberId | "";
  readonly address: string;
}

/** See the top of the file. */
export class Messenger {
  readonly #table: MemberTable;
  readonly #options: MembershipOptions;
  readonly #prng: Prng;
  readonly #broadcasts = new Broadcasts();
  #isAnnounced: boolean;
  #gossipAtMs: number;

  constructor(
    parts: {
      readonly table: MemberTable;
      readonly options: MembershipOptions;
      readonly isAnnounced: boolean;
    },
    prng: Prng,
    nowMs: number,
  ) {
    this.#table = parts.table;
    this.#options = parts.options;
    this.#isAnnounced = parts.isAnnounced;
    this.#prng = prng;
    this.#gossipAtMs = nowMs;
  }

  /** Whether this node's own record may be told. */
  get isAnnounced(): boolean {
    return this.#isAnnounced;
  }

  /** From now on this node's own record is told. */
  announce(step: Step): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    this.tellAll([{ record: this.#table.self, accuser: "" }], step);
  }

  send(to: Correspondent, message: MembershipMessage, step: Step): void {
    step.out.push({ kind: "send", to: to.id, address: to.address, path: "gossip", message });
  }

  /** To a member at the address of its record. Nothing for unknown ones. */
  sendTo(id: MemberId, message: MembershipMessage, step: Step): void {
    const member = this.#table.get(id);
    if (member !== undefined) this.send(member.record, message, step);
  }

  /** What goes along with a message to `target`: first what is held against it, then the news. At most 32 updates. */
  updatesFor(target: MemberId): readonly Update[] {
    const member = this.#table.get(target);
    const limit = transmitsMax(this.#table.clusterSize, this.#options.retransmitMult);
    if (member === undefined || member.record.liveness === "alive") {
      return this.#broadcasts.take(UPDATES_PER_MESSAGE_MAX, limit);
    }
    const news = this.#broadcasts.take(UPDATES_PER_MESSAGE_MAX - 1, limit, target);
    return [updateOf(member), ...news];
  }

  /** Queues news for the next messages. This node's own record waits until it is announced. */
  spread(update: Update): void {
    if (update.record.id === this.#table.self.id && !this.#isAnnounced) return;
    this.#broadcasts.put(update);
  }

  /** Queues this node's own record unless it is on its way already: somebody holds an older one. */
  remind(): void {
    const { self } = this.#table;
    if (!this.#broadcasts.has(self.id)) this.spread({ record: self, accuser: "" });
  }

  /** Queues urgent news, and tells all live peers at once when there are at most 32. */
  tellAll(news: readonly Update[], step: Step): void {
    const { self } = this.#table;
    const updates = news.filter(({ record }) => record.id !== self.id || this.#isAnnounced);
    for (const update of updates) this.spread(update);
    const peers = this.#table.livePeers();
    if (peers.length > TELL_ALL_MAX) return;
    for (let from = 0; from < updates.length; from += UPDATES_PER_MESSAGE_MAX) {
      const some = updates.slice(from, from + UPDATES_PER_MESSAGE_MAX);
      for (const { record } of peers) this.send(record, { kind: "gossip", updates: some }, step);
    }
  }

  /** Tells a member at `address` what is held against it, at most every `spacingMs`. */
  accuse(member: Member, address: string, step: Step, spacingMs = TELL_SPACING_MS): void {
    if (step.now.monoMs - member.toldMs < spacingMs) return;
    member.toldMs = step.now.monoMs;
    this.send({ id: member.record.id, address }, { kind: "gossip", updates: [updateOf(member)] }, step);
  }

  /** Asks a member for a full sync, at most every 20 ms. */
  askSync(member: Member, step: Step): void {
    if (step.now.monoMs - member.syncedMs < SYNC_SPACING_MS) return;
    member.syncedMs = step.now.monoMs;
    this.sendSync(member.record, true, step);
  }

  /** Sends the table. Old tombstones are left out, unless the receiver's own. */
  sendSync(to: Correspondent, wantsReply: boolean, step: Step): void {
    const records: MemberRecord[] = [];
    for (const member of this.#table.all()) {
      const { id } = member.record;
      const isFresh = step.now.monoMs - forgettableSinceMs(member) < TOMBSTONE_MS / 2;
      const isTold = id === this.#table.self.id ? this.#isAnnounced : isFresh || id === to.id;
      if (isTold) records.push(member.record);
    }
    this.send(to, { kind: "sync", wantsReply, records }, step);
  }

  /** Nothing is to be said any more about a member that is forgotten. */
  forget(id: MemberId): void {
    this.#broadcasts.drop(id);
  }

  /** This node stood still until now. */
  resume(nowMs: number): void {
    this.#gossipAtMs = Math.max(this.#gossipAtMs, nowMs);
  }

  /** One round of gossip, if there is news and it is time. */
  tick(step: Step): void {
    const nowMs = step.now.monoMs;
    if (this.#broadcasts.size === 0 || nowMs < this.#gossipAtMs) return;
    this.#gossipAtMs = nowMs + this.#options.gossipIntervalMs;
    const targets = this.#prng.shuffled(this.#gossipTargets(nowMs)).slice(0, this.#options.gossipNodes);
    for (const { record } of targets) {
      const updates = this.updatesFor(record.id);
      if (updates.length > 0) this.send(record, { kind: "gossip", updates }, step);
    }
  }

  /** Time of the next round; `Infinity` with no news or nobody to tell. */
  deadlineMs(): number {
    const canTell = this.#broadcasts.size > 0 && this.#gossipTargets(this.#gossipAtMs).length > 0;
    return canTell ? this.#gossipAtMs : Number.POSITIVE_INFINITY;
  }

  #gossipTargets(nowMs: number): readonly Member[] {
    const dead = this.#table.deadPeers();
    const recent = dead.filter(({ livenessSinceMs }) => nowMs - livenessSinceMs < GOSSIP_TO_DEAD_MS);
    return recent.length === 0 ? this.#table.livePeers() : [...this.#table.livePeers(), ...recent];
  }
}

/** A member's record as it travels. */
export function updateOf(member: Member): Update {
  return { record: member.record, accuser: member.accuser };
}
