// Who is in the cluster, and who of them lives: SWIM with Lifeguard, as one state machine. This file joins the parts: the record
// lattice (record.ts), the table of members (member-table.ts), how news changes it (view.ts), what is said to whom (messenger.ts,
// broadcasts.ts), probing (prober.ts), suspicion timers (suspicion.ts), local health (awareness.ts), finding others
// (contacts.ts) and the guard of evictions (eviction.ts).
//
// Invariants (those of the view are in view.ts):
// 1. A member of the ring is never forgotten and always tried again, so two halves of a partition meet however long it lasted.
//    What left or was evicted is remembered for 24 h, and told in full syncs for the first half of that only: otherwise two
//    nodes could remind each other of it for ever.
// 2. Who is out gets no hearing until its next boot; a node that is out itself accuses nobody.
// 3. Time in which this node stood still counts against nobody.

import type { MemberId } from "../../base/ids.ts";
import type { Prng } from "../../base/prng.ts";
import type { Effect, Now } from "../machine.ts";
import {
  isInRing,
  type MemberRecord,
  type Place,
  type Probe,
  type ProbeRequest,
  placed,
  type RingState,
  type Update,
  wantedPlace,
} from "../messages.ts";
import type { MembershipOptions } from "../options.ts";
import { Awareness } from "./awareness.ts";
import { Contacts } from "./contacts.ts";
import { type Candidate, EvictionGuard } from "./eviction.ts";
import { forgettableSinceMs, type Member, MemberTable, TOMBSTONE_MS } from "./member-table.ts";
import { type MembershipMessage, Messenger, type Step, updateOf } from "./messenger.ts";
import { type ProbeAction, Prober, type ProbeView } from "./prober.ts";
import { isOut } from "./record.ts";
import { type Sender, View } from "./view.ts";

/** How often the table is looked through for what may be forgotten. */
const SWEEP_MS = 60_000;
/** Pause between two looks at whether somebody is to be evicted. */
const EVICTION_CHECK_MS = 1_000;
/** A condemned member whose eviction was not enacted in this time is evicted all the same: somebody cannot rehearse it. */
const CONDEMNED_MS_MAX = 300_000;
/** Live members asked at one such look for what they know. */
const EVICTION_ASKS_MAX = 3;
/** Shortest time between full syncs asked of members that are not in view. */
const STRANGER_SPACING_MS = 100;
/** Shortest time between two redials of one member, and between telling one that is out that it is. */
const REDIAL_SPACING_MS = 1_000;
/** A tick whose verdicts are late by more than this, or half a probe timeout, puts them off once, by the grace: answers may wait. */
const LATE_MS_MIN = 50;
const LATE_GRACE_MS = 20;
/** A tick later than this is a stall that nobody reported. */
const STALL_MS_MIN = 1_000;

/** What a node is when it starts. */
export interface MembershipConfig {
  readonly self: Pick<MemberRecord, "id" | "address" | "zone" | "weight" | "generation">;
  /** Addresses of other nodes; this node's own is skipped. */
  readonly seeds: readonly string[];
  /** A founder starts `active`, others `joining`. */
  readonly startsInRing: boolean;
  /** The boot of this node that it knows to be out of the ring, and all before it. @default 0 for none */
  readonly outGeneration?: number;
  readonly options: MembershipOptions;
  /** Copies of each key. Plays no part in detecting failures. */
  readonly replicas: number;
  /** Whether a member's data link answers now. Decides nothing but whether this node may evict others. @default always */
  isReachable?(member: MemberId): boolean;
  /** Whether who is to be evicted is condemned first, and evicted by {@link Membership.enact}. @default false */
  readonly condemns?: boolean;
}

/** What a node may change about its own place in the ring. */
export type SelfPatch = Partial<Pick<MemberRecord, "ringState" | "settledRingId" | "preparedRingId">>;

/** What becomes of a member by others' word. */
export interface MemberChange {
  readonly id: MemberId;
  readonly ringState: RingState;
  /** The place that it gets. @default it keeps the one that it has */
  readonly place?: Place;
}

/** Records that were not believed (generation or numbers out of range) and that there was no room for. */
export interface MembershipCounters {
  readonly recordsRefused: number;
  readonly recordsIgnored: number;
  /** Among the refused: those that no member in order can hold. */
  readonly recordsForged: number;
  /** Among the ignored: new members in numbers in which members do not come. */
  readonly membersExcess: number;
}

/** See the top of the file. All methods append what is to be done to `out`; times are those of `now`. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #table: MemberTable;
  readonly #messenger: Messenger;
  readonly #view: View;
  readonly #prober: Prober;
  readonly #probeView: ProbeView;
  readonly #awareness: Awareness;
  readonly #contacts: Contacts;
  readonly #guard: EvictionGuard;
  readonly #isReachable: (member: MemberId) => boolean;
  readonly #syncPrng: Prng;
  readonly #condemns: boolean;
  #syncAtMs: number;
  #evictionAtMs: number;
  #sweepAtMs: number;
  #strangerAtMs: number;
  /** Cached; `undefined` after any input. */
  #deadlineMs: number | undefined;
  #unseenSeeds: { readonly version: number; readonly seeds: readonly string[] } | undefined;

  constructor(config: MembershipConfig, prng: Prng, now: Now) {
    const { options, self, seeds } = config;
    const nowMs = now.monoMs;
    const table = new MemberTable(initialRecord(config), nowMs);
    const awareness = new Awareness(options.awarenessMax);
    const guard = new EvictionGuard(self.id, options);
    const prober = new Prober(options, prng.fork("probe"), nowMs);
    const messengerParts = { table, options, isAnnounced: config.startsInRing };
    const messenger = new Messenger(messengerParts, prng.fork("gossip"), nowMs);
    const { healIntervalMs } = options;
    const contacts = new Contacts(
      { seeds, selfAddress: self.address, healIntervalMs },
      prng.fork("heal"),
      nowMs,
    );
    this.#options = options;
    this.#condemns = config.condemns ?? false;
    this.#table = table;
    this.#messenger = messenger;
    this.#prober = prober;
    this.#awareness = awareness;
    this.#contacts = contacts;
    this.#guard = guard;
    this.#isReachable = config.isReachable ?? (() => true);
    const { outGeneration = 0 } = config;
    this.#view = new View({ options, table, messenger, prober, awareness, contacts, guard, outGeneration });
    this.#probeView = probeView(table, awareness);
    this.#syncPrng = prng.fork("sync");
    this.#syncAtMs = nowMs + options.syncIntervalMs * this.#syncPrng.float();
    this.#evictionAtMs = nowMs;
    this.#sweepAtMs = nowMs + SWEEP_MS;
    this.#strangerAtMs = nowMs;
  }

  /** This node's own record. */
  get self(): MemberRecord {
    return this.#table.self;
  }

  get(id: MemberId): MemberRecord | undefined {
    return this.#table.get(id)?.record;
  }

  /** All known members by id, this node and those that left or were evicted included. The same frozen array until something changes. */
  records(): readonly MemberRecord[] {
    return this.#table.records();
  }

  /** +1 whenever any record changed. */
  get viewVersion(): number {
    return this.#table.version;
  }

  /**
   * Whether this node has seen a whole table since it started. Before, it knows whom chance has told it of, at times nobody but
   * its own earlier self: no ring may be built from that.
   */
  get hasTable(): boolean {
    return this.#messenger.isAnnounced;
  }

  /** The local health score: 0 is healthy, see {@link Awareness}. */
  get healthScore(): number {
    return this.#awareness.score;
  }

  get counters(): MembershipCounters {
    const { recordsRefused, recordsIgnored, recordsForged, membersExcess } = this.#view;
    return { recordsRefused, recordsIgnored, recordsForged, membersExcess };
  }

  /** Takes one message of another member; `fromAddress` is where it is reached. */
  handle(from: MemberId, fromAddress: string, message: MembershipMessage, now: Now, out: Effect[]): void {
    const step = this.#begin(now, out);
    if (from === this.self.id) {
      if (fromAddress !== this.self.address) this.#view.reportDuplicate(fromAddress, step);
      return;
    }
    const sender = { id: from, address: fromAddress };
    const member = this.#table.get(from);
    if (member !== undefined && isOut(member.record.ringState) && !bringsNewer(message, member.record)) {
      this.#answerOutcast(member, sender, message, step);
      return;
    }
    if (member !== undefined) member.heardMs = now.monoMs;
    this.#receive(sender, message, step);
    const isStranger = this.#table.get(from) === undefined || !this.#messenger.isAnnounced;
    if (isStranger && message.kind !== "sync") this.#askStranger(sender, step);
  }

  /** Does what is due. */
  tick(now: Now, out: Effect[]): void {
    this.#excuseLateness(now, out);
    const step = this.#begin(now, out);
    if (!isOut(this.self.ringState)) {
      this.#probe(step, (actions) => this.#prober.tick(this.#probeView, now.monoMs, actions));
      this.#view.tickSuspicions(step);
      this.#probe(step, (actions) => this.#prober.tickRound(this.#probeView, now.monoMs, actions));
      this.#tickSync(step);
      this.#tickContacts(step);
      this.#tickEviction(step);
    }
    this.#messenger.tick(step);
    this.#tickSweep(now.monoMs);
  }

  /** This node stood still for `ms` until now: nobody is to blame for what it did not hear meanwhile. */
  stalled(ms: number, now: Now, out: Effect[]): void {
    this.#begin(now, out);
    const nowMs = now.monoMs;
    this.#prober.shift(ms, nowMs);
    this.#guard.shift(ms);
    this.#contacts.resume(nowMs);
    this.#messenger.resume(nowMs);
    for (const member of this.#table.peers()) {
      member.suspicion?.shift(ms);
      member.livenessSinceMs = Math.min(nowMs, member.livenessSinceMs + ms);
    }
    // After a long one the view is old, and this node may be held dead: the next sync is due now.
    if (ms >= this.#options.probeIntervalMs) this.#syncAtMs = nowMs;
    this.#awareness.apply(1);
    out.push({ kind: "event", event: { type: "stalled", ms } });
  }

  /** A link to the member came or went. A hint only: a lost one has the member probed at once, a new one asks what it missed. */
  link(id: MemberId, isUp: boolean, now: Now, out: Effect[]): void {
    const step = this.#begin(now, out);
    const member = this.#table.get(id);
    if (member === undefined || id === this.self.id) return;
    const { liveness, ringState } = member.record;
    if (isOut(ringState) || isOut(this.self.ringState)) return;
    if (isUp) {
      if (liveness !== "alive") this.#messenger.askSync(member, step);
      return;
    }
    // Both paths break at once, and every failed dial may break again: one urgent probe says it all.
    if (liveness === "dead" || now.monoMs - member.urgentMs < this.#options.probeIntervalMs) return;
    member.urgentMs = now.monoMs;
    this.#probe(step, (actions) => this.#prober.probeUrgently(id, this.#probeView, now.monoMs, actions));
  }

  /** Monotonic time of the next tick; `Infinity` for none. May lie in the past: then it is due now. */
  deadline(): number {
    this.#deadlineMs ??= this.#computeDeadlineMs();
    return this.#deadlineMs;
  }

  /** Changes this node's own place in the ring. Told to all live peers at once up to 32 of them, by gossip beyond. Nothing once it is out. */
  setSelf(patch: SelfPatch, now: Now, out: Effect[]): void {
    const step = this.#begin(now, out);
    const { self } = this;
    const record = { ...self, ...patch, ringSeq: self.ringSeq + 1 };
    const isSame =
      record.ringState === self.ringState &&
      record.settledRingId === self.settledRingId &&
      record.preparedRingId === self.preparedRingId;
    if (!isSame && !isOut(self.ringState)) this.#view.change(record, "", step);
  }

  /**
   * Asks for another place in the ring for this node; what is `undefined` stays. A member that waits to join has it at once, one that is in
   * the ring when the others have rehearsed it. Nothing once it is out.
   */
  wish(
    { zone, weight }: { readonly zone: string | undefined; readonly weight: number | undefined },
    now: Now,
    out: Effect[],
  ): void {
    const step = this.#begin(now, out);
    const { self } = this;
    const asked = wantedPlace(self) ?? self;
    const place = { zone: zone ?? asked.zone, weight: weight ?? asked.weight };
    const isSame = place.zone === asked.zone && place.weight === asked.weight;
    if (isSame || isOut(self.ringState)) return;
    const wanted = { ...place, seq: Math.max(self.placeSeq, self.wanted?.seq ?? 0) + 1 };
    const record = { ...self, wanted };
    this.#view.change(isInRing(self.ringState) ? record : placed(record, wanted), "", step);
  }

  /** Asks a member for a full sync, at most once per 20 ms and member. Nothing for unknown members. */
  syncWith(id: MemberId, now: Now, out: Effect[]): void {
    const step = this.#begin(now, out);
    const member = this.#table.get(id);
    if (member !== undefined && id !== this.self.id) this.#messenger.askSync(member, step);
  }

  /**
   * Carries out a change of the ring: what was planned for these members happens in one message to everybody, so that all go from
   * one ring to the next. Members that are unknown or out by now are left alone.
   */
  enact(changes: readonly MemberChange[], now: Now, out: Effect[]): void {
    const step = this.#begin(now, out);
    const updates: Update[] = [];
    for (const { id, ringState, place } of changes) {
      const member = this.#table.get(id);
      if (member === undefined || isOut(member.record.ringState)) continue;
      if (ringState === "evicted") out.push({ kind: "event", event: { type: "evicting", member: id } });
      const record = place === undefined ? member.record : placed(member.record, place);
      this.#view.change({ ...record, ringState }, member.accuser, step, true);
      updates.push(updateOf(member));
    }
    this.#messenger.tellAll(updates, step);
  }

  /** An operator's word that the member is gone for good: no guard applies. False for unknown members, oneself, and those already out. */
  evict(id: MemberId, now: Now, out: Effect[]): boolean {
    const step = this.#begin(now, out);
    const member = this.#table.get(id);
    if (member === undefined || id === this.self.id || isOut(member.record.ringState)) return false;
    this.#evict(member, step);
    return true;
  }

  #begin(now: Now, out: Effect[]): Step {
    this.#deadlineMs = undefined;
    return { now, out };
  }

  // ---- messages

  #receive(sender: Sender, message: MembershipMessage, step: Step): void {
    if ("updates" in message) this.#view.learnUpdates(sender, message.updates, step);
    switch (message.kind) {
      case "probe":
        this.#answerProbe(sender, message, step);
        return;
      case "probeRequest":
        this.#helpProbe(sender, message, step);
        return;
      case "ack":
        this.#probe(step, (actions) => this.#prober.onAck(sender.id, message.seq, actions));
        return;
      case "nack":
        this.#probe(step, (actions) => this.#prober.onNack(sender.id, message.seq, this.#probeView, actions));
        return;
      case "gossip":
        this.#answerDead(sender, step);
        return;
      case "sync":
        this.#view.learnSync(sender, message, step);
        // Whoever tells its own record has a whole table: this node has one too from now on.
        if (message.records.some(({ id }) => id === sender.id)) this.#messenger.announce(step);
        if (message.wantsReply) this.#messenger.sendSync(sender, false, step);
    }
  }

  /** Only the member that was meant answers: at an address that changed hands somebody else may listen. */
  #answerProbe(sender: Sender, probe: Probe, step: Step): void {
    if (probe.target !== this.self.id) return;
    const updates = this.#messenger.updatesFor(sender.id);
    this.#messenger.send(sender, { kind: "ack", seq: probe.seq, updates }, step);
  }

  #helpProbe(sender: Sender, request: ProbeRequest, step: Step): void {
    const { seq, target } = request;
    const record = this.get(target);
    if (record === undefined || target === this.self.id || isOut(record.ringState)) {
      this.#messenger.send(sender, { kind: "nack", seq }, step);
      return;
    }
    const relay = { asker: sender.id, address: sender.address, seq, target };
    this.#probe(step, (actions) => this.#prober.relay(relay, step.now.monoMs, actions));
  }

  /** A member that we hold dead speaks: it must learn that it has to refute. (Acks, probes and syncs say so by themselves.) */
  #answerDead(sender: Sender, step: Step): void {
    const member = this.#table.get(sender.id);
    if (member?.record.liveness === "dead") this.#messenger.accuse(member, sender.address, step);
  }

  /** A member that is out gets no hearing (invariant 2), but learns why; its next boot will be heard. */
  #answerOutcast(member: Member, sender: Sender, message: MembershipMessage, step: Step): void {
    if (message.kind !== "sync") this.#messenger.accuse(member, sender.address, step, REDIAL_SPACING_MS);
    else if (message.wantsReply) this.#messenger.sendSync(sender, false, step);
  }

  /** Someone speaks of whom we know nothing, or to whom we are nothing yet: a full sync brings what is missing. */
  #askStranger(sender: Sender, step: Step): void {
    if (step.now.monoMs < this.#strangerAtMs) return;
    this.#strangerAtMs = step.now.monoMs + STRANGER_SPACING_MS;
    this.#messenger.sendSync(sender, true, step);
  }

  // ---- probes

  /** Runs a part of the prober and carries out what it asks for. */
  #probe(step: Step, run: (actions: ProbeAction[]) => void): void {
    const actions: ProbeAction[] = [];
    run(actions);
    for (const action of actions) this.#perform(action, step);
  }

  #perform(action: ProbeAction, step: Step): void {
    const messenger = this.#messenger;
    switch (action.do) {
      case "probe": {
        const { target, seq } = action;
        messenger.sendTo(target, { kind: "probe", seq, target, updates: messenger.updatesFor(target) }, step);
        return;
      }
      case "request": {
        const { helper, target, seq } = action;
        const updates = messenger.updatesFor(helper);
        messenger.sendTo(helper, { kind: "probeRequest", seq, target, updates }, step);
        return;
      }
      case "ack":
        messenger.send(
          { id: action.to, address: action.address },
          { kind: "ack", seq: action.seq, updates: [] },
          step,
        );
        return;
      case "nack":
        messenger.send({ id: action.to, address: action.address }, { kind: "nack", seq: action.seq }, step);
        return;
      case "verdict":
        this.#takeVerdict(action, step);
    }
  }

  #takeVerdict(verdict: Extract<ProbeAction, { do: "verdict" }>, step: Step): void {
    this.#awareness.apply(verdict.awarenessDelta);
    const member = this.#table.get(verdict.target);
    if (member === undefined || isOut(member.record.ringState)) return;
    // Nothing came from it directly since it was probed: even if others reach it, our link may be half dead.
    if (member.heardMs < verdict.sinceMs) this.#maybeRedial(member, step);
    if (verdict.outcome === "silent") this.#view.accuse(member, step);
  }

  #maybeRedial(member: Member, step: Step): void {
    const nowMs = step.now.monoMs;
    if (nowMs - member.heardMs <= 1.5 * this.#options.probeIntervalMs) return;
    if (nowMs - member.redialledMs < REDIAL_SPACING_MS) return;
    member.redialledMs = nowMs;
    step.out.push({ kind: "redial", member: member.record.id, path: "gossip" });
  }

  /** Verdicts that are due late are put off: the answers may be waiting behind this very tick. A long lateness is a stall. */
  #excuseLateness(now: Now, out: Effect[]): void {
    if (isOut(this.self.ringState)) return;
    const nowMs = now.monoMs;
    const lateMs = nowMs - Math.min(this.#probeDeadlineMs(), this.#suspicionDeadlineMs());
    if (lateMs <= Math.max(LATE_MS_MIN, this.#options.probeTimeoutMs / 2)) return;
    if (lateMs >= STALL_MS_MIN) {
      this.stalled(lateMs, now, out);
      return;
    }
    const untilMs = nowMs + LATE_GRACE_MS;
    this.#prober.postponeDue(nowMs, untilMs);
    for (const { suspicion } of this.#table.suspects()) {
      if (suspicion !== undefined && suspicion.deadlineMs <= nowMs) suspicion.postpone(untilMs);
    }
  }

  // ---- finding others, evicting, forgetting

  #tickSync(step: Step): void {
    if (step.now.monoMs < this.#syncAtMs) return;
    this.#syncAtMs = step.now.monoMs + syncIntervalMs(this.#table.clusterSize, this.#options);
    const peer = this.#syncPrng.pick(this.#table.livePeers());
    if (peer !== undefined) this.#messenger.askSync(peer, step);
  }

  #tickContacts(step: Step): void {
    if (this.#table.peers().length === 0) {
      this.#tickAlone(step);
      return;
    }
    const dead = this.#table.deadPeers().map(({ record }) => record.id);
    const contact = this.#contacts.healDue(dead, this.#unseen(), step.now.monoMs);
    if (contact === undefined) return;
    if ("seed" in contact) {
      this.#messenger.sendSync({ id: "", address: contact.seed }, true, step);
      return;
    }
    const member = this.#table.get(contact.member);
    if (member === undefined) return;
    this.#maybeRedial(member, step);
    this.#messenger.askSync(member, step);
  }

  #tickAlone(step: Step): void {
    const nowMs = step.now.monoMs;
    for (const address of this.#contacts.seedsDue(nowMs)) {
      this.#messenger.sendSync({ id: "", address }, true, step);
    }
    if (this.#contacts.isWaitingNewsDue(nowMs)) {
      step.out.push({ kind: "event", event: { type: "waitingForSeeds", seeds: this.#contacts.seeds } });
    }
  }

  /** Seeds that no live peer has as its address. */
  #unseen(): readonly string[] {
    const { version } = this.#table;
    if (this.#unseenSeeds?.version !== version) {
      const live = this.#table.livePeers();
      const isSeen = (address: string) => live.some(({ record }) => record.address === address);
      this.#unseenSeeds = { version, seeds: this.#contacts.unseenSeeds(isSeen) };
    }
    return this.#unseenSeeds.seeds;
  }

  #tickEviction(step: Step): void {
    const nowMs = step.now.monoMs;
    if (nowMs < this.#evictionDeadlineMs()) return;
    this.#evictionAtMs = nowMs + EVICTION_CHECK_MS;
    const ring = this.#table.all().filter(({ record }) => isInRing(record.ringState));
    const candidates = ring.map((member) => this.#candidate(member, nowMs));
    const { evict, ask } = this.#guard.decide(candidates, nowMs);
    for (const id of this.#syncPrng.shuffled(ask).slice(0, EVICTION_ASKS_MAX)) {
      const member = this.#table.get(id);
      if (member !== undefined) this.#messenger.askSync(member, step);
    }
    for (const id of evict) {
      const member = this.#table.get(id);
      if (member === undefined) continue;
      const deadForMs = nowMs - member.livenessSinceMs;
      if (!this.#condemns || deadForMs >= this.#options.deadGraceMs + CONDEMNED_MS_MAX)
        this.#evict(member, step);
      else if (member.record.ringState !== "condemned") this.#condemn(member, step);
    }
  }

  /** Who does not answer now may be on the other side of a cut that is too young for suspicions: no part of a majority. */
  #candidate(member: Member, nowMs: number): Candidate {
    const { id } = member.record;
    const seen = candidate(member, nowMs);
    const isSilent = seen.liveness === "alive" && id !== this.self.id && !this.#isReachable(id);
    return isSilent ? { ...seen, liveness: "suspect" } : seen;
  }

  #condemn(member: Member, step: Step): void {
    this.#view.change({ ...member.record, ringState: "condemned" }, member.accuser, step);
    this.#messenger.tellAll([updateOf(member)], step);
  }

  #evict(member: Member, step: Step): void {
    step.out.push({ kind: "event", event: { type: "evicting", member: member.record.id } });
    this.#view.change({ ...member.record, ringState: "evicted" }, member.accuser, step);
    this.#messenger.tellAll([updateOf(member)], step);
  }

  #tickSweep(nowMs: number): void {
    if (nowMs < this.#sweepAtMs) return;
    this.#sweepAtMs = nowMs + SWEEP_MS;
    for (const member of [...this.#table.all()]) {
      const { id } = member.record;
      if (id === this.self.id || nowMs - forgettableSinceMs(member) < TOMBSTONE_MS) continue;
      this.#table.delete(id);
      this.#messenger.forget(id);
    }
  }

  // ---- deadlines

  #computeDeadlineMs(): number {
    const sweepMs = this.#table.size > 1 ? this.#sweepAtMs : Number.POSITIVE_INFINITY;
    const alwaysMs = Math.min(this.#messenger.deadlineMs(), sweepMs);
    if (isOut(this.self.ringState)) return alwaysMs;
    return Math.min(
      alwaysMs,
      this.#probeDeadlineMs(),
      this.#suspicionDeadlineMs(),
      this.#table.livePeers().length > 0 ? this.#syncAtMs : Number.POSITIVE_INFINITY,
      this.#contactDeadlineMs(),
      this.#evictionDeadlineMs(),
    );
  }

  #probeDeadlineMs(): number {
    return this.#prober.deadlineMs(this.#table.livePeers().length > 0);
  }

  #suspicionDeadlineMs(): number {
    let deadlineMs = Number.POSITIVE_INFINITY;
    for (const { suspicion } of this.#table.suspects()) {
      if (suspicion !== undefined) deadlineMs = Math.min(deadlineMs, suspicion.deadlineMs);
    }
    return deadlineMs;
  }

  #contactDeadlineMs(): number {
    if (this.#table.peers().length === 0) return this.#contacts.aloneDeadlineMs;
    const hasContacts = this.#table.deadPeers().length > 0 || this.#unseen().length > 0;
    return hasContacts ? this.#contacts.healDeadlineMs : Number.POSITIVE_INFINITY;
  }

  /** Only who is in the ring looks, once somebody has been dead for the grace. */
  #evictionDeadlineMs(): number {
    if (!isInRing(this.self.ringState)) return Number.POSITIVE_INFINITY;
    let firstMs = Number.POSITIVE_INFINITY;
    for (const { record, livenessSinceMs } of this.#table.deadPeers()) {
      if (isInRing(record.ringState)) firstMs = Math.min(firstMs, livenessSinceMs);
    }
    return Math.max(this.#evictionAtMs, firstMs + this.#options.deadGraceMs);
  }
}

function initialRecord(config: MembershipConfig): MemberRecord {
  const { id, address, zone, weight, generation } = config.self;
  const ringState = config.startsInRing ? "active" : "joining";
  const life = { generation, incarnation: 0, liveness: "alive" } as const;
  const place = { zone, weight, placeSeq: 0, wanted: undefined };
  return { id, address, ...place, ...life, ringSeq: 0, ringState, settledRingId: "", preparedRingId: "" };
}

function probeView(table: MemberTable, awareness: Awareness): ProbeView {
  return {
    isProbeable: (id) => {
      const record = table.get(id)?.record;
      return record !== undefined && !isOut(record.ringState) && record.liveness !== "dead";
    },
    get targets() {
      return table.livePeers().map(({ record }) => record.id);
    },
    get helpers() {
      const alive = table.livePeers().filter(({ record }) => record.liveness === "alive");
      return alive.map(({ record }) => record.id);
    },
    get score() {
      return awareness.score;
    },
  };
}

/** Whether the message tells of a later boot of its sender than `known`. */
function bringsNewer(message: MembershipMessage, known: MemberRecord): boolean {
  if (message.kind === "nack") return false;
  const records = message.kind === "sync" ? message.records : message.updates.map(({ record }) => record);
  return records.some(({ id, generation }) => id === known.id && generation > known.generation);
}

function candidate({ record, livenessSinceMs, witnesses }: Member, nowMs: number): Candidate {
  const { id, weight, liveness, ringState } = record;
  const deadForMs = liveness === "dead" ? nowMs - livenessSinceMs : 0;
  return { id, weight, liveness, isActive: ringState === "active", deadForMs, witnesses };
}

/** Full syncs cost the square of the cluster's size if all do them: beyond 32 members each does them more rarely. */
function syncIntervalMs(members: number, options: MembershipOptions): number {
  const scale = members <= 32 ? 1 : Math.ceil(Math.log2(members) - 5) + 1;
  return options.syncIntervalMs * scale;
}
