// One node as a deterministic state machine: joins the parts and hands each input to the part that owns it.
//
//   input --> membership   who is there, who is alive                      \
//         --> links        who answers right now, how far clocks are apart  |--> view (this file): the ring of the moment
//         --> ring change  when to enter and leave the ring                /
//         --> coordinator  clients' requests        --> replica (this node's copies), other nodes' replicas
//         --> fill, hints, catch-up                 --> copies kept complete
//
// After every input the view is brought up to date: a changed record may make a new ring, and a new ring may move slots. The
// order inside one step is always: take the input in, refresh the view, act on it.

import type { Hashes } from "../base/hash.ts";
import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../base/ids.ts";
import type { Prng } from "../base/prng.ts";
import { Admission } from "./admission.ts";
import { JoinPatience, LeavePatience } from "./change-patience.ts";
import { changeStatus } from "./change-status.ts";
import { ClusterTime } from "./cluster-time.ts";
import { CLOCKS_MIN, PeerLinks } from "./links.ts";
import type { ClientHandle, Effect, Input, Machine, Now } from "./machine.ts";
import { Membership } from "./membership/membership.ts";
import { MessageIds } from "./message-ids.ts";
import {
  type ClientRequest,
  type Entry,
  type GossipMessage,
  isInRing,
  type MemberRecord,
  type PeerMessage,
  type ReadScope,
  type Replicate,
  type RingState,
  type Topology,
} from "./messages.ts";
import type { NodeCoreOptions } from "./options.ts";
import { hasForgedVersion, type Offence, Quarantine } from "./quarantine.ts";
import { CatchUp } from "./replication/catch-up.ts";
import { HybridClock } from "./replication/clock.ts";
import type { ClusterView } from "./replication/cluster-view.ts";
import { Coordinator, type NOT_ALONE } from "./replication/coordinator.ts";
import { type CopyCounts, noCopies } from "./replication/copy.ts";
import { Fill } from "./replication/fill.ts";
import { Hints } from "./replication/hints.ts";
import { OperationTable } from "./replication/operations.ts";
import { Outbox } from "./replication/outbox.ts";
import { answerPull } from "./replication/pull-source.ts";
import { Replica } from "./replication/replica.ts";
import { SlotStates } from "./replication/slot-states.ts";
import { computeRingId, Ring, type RingMember, ringParameters } from "./ring/ring.ts";
import {
  changesToEnact,
  hasMajority,
  ownNextState,
  planOf,
  type RingChangeView,
  type RingPlan,
} from "./ring-change.ts";
import { countUnderReplicated, type NodeStatus, nodeStatus } from "./status.ts";
import type { Store } from "./store/store.ts";

/** Upkeep that needs no precise instant runs this often. */
const HOUSEKEEPING_MS = 50;
/** Entries turned or dropped per round of upkeep: about a millisecond of work. */
const SWEEP_BUDGET = 500;
/** While callers are served, and there is no hurry. */
const SWEEP_BUDGET_SERVING = 100;
/** The next sweep when one left work behind: fifty thousand expired entries a second at most, half a millisecond each time. */
const SWEEP_AGAIN_MS = 10;
/** Slots that are no longer ours, dropped per round of upkeep. */
const DROPS_PER_ROUND = 256;
/** Wall clocks that differ by less from the cluster's are left alone: estimates are no better. */
const SKEW_DEAD_BAND_MS = 50;
/** A stall after which others may have acknowledged writes without this node: callers turn elsewhere no sooner. */
const BEHIND_STALL_MS = 120;
/** Requests named in one refusal. */
const REFUSED_IDS_MAX = 4_096;
/** Copies give way to callers for so long after the last of their requests. */
const SERVING_MS = 50;
/** A node that left waits this long for the others to take over, then goes anyway: each slot has its other copies. */
const RELEASE_PATIENCE_MS = 600_000;

/** What the core is given beside its options. */
export interface NodeCorePorts {
  readonly store: Store;
  readonly hashes: Hashes;
  readonly prng: Prng;
}

/** See the top of the file. Driven by the rules of `machine.ts`. */
export class NodeCore implements Machine<Input, Effect> {
  readonly #options: NodeCoreOptions;
  readonly #ports: NodeCorePorts;
  readonly #startedMs: number;
  readonly #outbox: Outbox;
  readonly #time: ClusterTime;
  readonly #links: PeerLinks;
  readonly #slots = new SlotStates();
  readonly #clock: HybridClock;
  readonly #hints: Hints;
  readonly #fill: Fill;
  readonly #copied: CopyCounts = noCopies();
  readonly #catchUp: CatchUp;
  readonly #replica: Replica;
  readonly #coordinator: Coordinator;
  readonly #admission = new Admission();
  readonly #quarantine = new Quarantine();
  readonly #clients = new Set<ClientHandle>();
  readonly #view: ClusterView;
  #membership: Membership;
  #genesisId: string;
  #ring: Ring | undefined;
  /** The change of the ring that is being rehearsed, and the ring that it makes. */
  #plan: RingPlan | undefined;
  #plannedRing: Ring | undefined;
  #viewVersion = -1;
  /** What was known when the ring change was last looked at. */
  #advanced: {
    readonly viewVersion: number;
    readonly preparedRingId: RingId | "";
    readonly isFilled: boolean;
  } = {
    viewVersion: -1,
    preparedRingId: "",
    isFilled: false,
  };
  #hasTable = false;
  #seen = new Map<MemberId, MemberRecord>();
  #isTopologyStale = false;
  #isLeaving = false;
  readonly #joinPatience = new JoinPatience();
  readonly #leavePatience = new LeavePatience();
  #leftMs = Number.POSITIVE_INFINITY;
  #isReleased = false;
  #skewMs = 0;
  #isClockOff = false;
  /** As told in the last event. */
  #isOverloaded = false;
  #housekeepingMs: number;
  #sweepMs: number;
  #dropCursor = SLOT_COUNT;
  /** When a caller's request, or another node's on behalf of one, came last. */
  #servedMs = Number.NEGATIVE_INFINITY;
  #underReplicated = { key: "", count: SLOT_COUNT };

  /** @param options As returned by `resolveNodeCoreOptions`. */
  constructor(options: NodeCoreOptions, ports: NodeCorePorts, now: Now) {
    const { replication } = options;
    const { store, hashes } = ports;
    this.#options = options;
    this.#ports = ports;
    this.#time = new ClusterTime(now);
    this.#startedMs = now.monoMs;
    this.#housekeepingMs = now.monoMs;
    this.#sweepMs = now.monoMs;
    this.#genesisId = options.genesisId;
    this.#membership = this.#newMembership(options.generation, options.seeds, now);
    this.#outbox = new Outbox((member) => this.#membership.get(member)?.address);
    this.#links = new PeerLinks(replication.missedHeartbeatsMax, this.#outbox);
    this.#view = this.#newView();
    const clock = new HybridClock(replication.clockSkewMsMax);
    this.#clock = clock;
    const messageIds = new MessageIds(ports.prng.fork("message ids"));
    const nextId = () => messageIds.next();
    const operations = new OperationTable(replication.operationsMax);
    const { clockSkewMsMax } = replication;
    const shared = { store, clock, view: this.#view, outbox: this.#outbox, slots: this.#slots, nextId };
    this.#hints = new Hints({
      ...shared,
      options: replication,
      givesWay: (at) => this.#admission.isBusy(at.monoMs),
      repair: (key, at) => this.#coordinator.repair(key, at),
    });
    this.#replica = new Replica({ ...shared, operations, clockSkewMsMax });
    this.#fill = new Fill({
      ...shared,
      received: this.#copied,
      isServing: (at) => this.#isServing(at),
      lags: (member, key, slot, at) => this.#hints.add(member, { key, slot }, at),
    });
    this.#catchUp = new CatchUp({
      ...shared,
      doubtShared: (member) => this.#doubtShared(member),
      doubt: (slots) => {
        for (const slot of slots) this.#slots.doubt(slot);
      },
    });
    this.#coordinator = new Coordinator(
      {
        ...shared,
        replica: this.#replica,
        hints: this.#hints,
        options: replication,
        origin: hashes.hash32(options.id),
      },
      {
        isBehind: () => this.#catchUp.isBehind,
        writeObstacle: (at) => this.#writeObstacle(at),
        valueBytesMax: options.valueBytesMax,
      },
      nextId,
    );
    if (this.#isFounder) this.#outbox.event({ type: "genesis", genesisId: this.#genesisId, isFounder: true });
    this.#refreshView(this.#time.at(now));
  }

  /** The cluster's genesis id; "" while unknown. The handshake carries it. */
  get genesisId(): string {
    return this.#genesisId;
  }

  /** In the ring, with all its slots counted since it came. */
  get isReady(): boolean {
    return this.#membership.self.ringState === "active";
  }

  /** The cluster as this node sees it now: a live view. */
  get view(): ClusterView {
    return this.#view;
  }

  /**
   * What a `get` would answer, when this node may answer alone: the live entry, `undefined` for none, or {@link NOT_ALONE}. No step: nothing
   * changes but what was used last. To be asked only where a step might be taken, after a stall that was reported.
   */
  getAlone(key: string, read: ReadScope, realNow: Now): Entry | undefined | typeof NOT_ALONE {
    return this.#coordinator.getAlone(key, read, this.#time.at(realNow));
  }

  /** The cluster's wall time, in ms since 1970: what entries expire by. */
  wallMs(realNow: Now): number {
    return this.#time.at(realNow).wallMs;
  }

  step(input: Input, realNow: Now): readonly Effect[] {
    const now = this.#time.at(realNow);
    this.#take(input, now, realNow);
    this.#refreshView(now);
    // What it depends on besides may wait for the next tick.
    if (isUpkeep(input) || this.#hasProgressed()) this.#advanceRingChange(now);
    return this.#outbox.take();
  }

  deadline(): number {
    return Math.min(
      this.#membership.deadline(),
      this.#links.deadline(),
      this.#coordinator.deadline(),
      this.#fill.deadline(),
      this.#housekeepingMs,
      this.#sweepMs,
    );
  }

  /** A snapshot for people and tools. Cheap unless something changed since the last one. */
  status(now: Now): NodeStatus {
    return nodeStatus({
      options: this.#options,
      genesisId: this.#genesisId,
      ring: this.#ring,
      records: this.#membership.records(),
      uptimeMs: now.monoMs - this.#startedMs,
      isReachable: (member) => this.#view.isUsable(member),
      change: changeStatus({
        records: this.#membership.records(),
        ringId: this.#ring?.id ?? "",
        plan: this.#plan,
        plannedRingId: this.#plannedRing?.id ?? "",
        rehearsal: this.#fill.rehearsalProgress,
        warming: this.#fill.warmingProgress,
        monoMs: now.monoMs,
      }),
      copied: this.#copied,
      slots: this.#slots,
      slotsUnderReplicated: this.#countUnderReplicated(),
      hints: { count: this.#hints.count, bytes: this.#hints.bytes },
      isBehind: this.#catchUp.isBehind,
      pending: this.#coordinator.pending,
      clockSkewMs: this.#skewMs,
      store: this.#ports.store.stats(),
    });
  }

  #countUnderReplicated(): number {
    const key = `${this.#viewVersion}:${this.#slots.warmingCount}`;
    if (this.#underReplicated.key !== key) {
      const facts = { records: this.#membership.records(), slots: this.#slots, self: this.#options.id };
      this.#underReplicated = { key, count: countUnderReplicated(this.#ring, facts) };
    }
    return this.#underReplicated.count;
  }

  // ---- inputs

  #take(input: Input, now: Now, realNow: Now): void {
    switch (input.kind) {
      case "tick":
        this.#tick(now, realNow);
        break;
      case "stall":
        this.#membership.stalled(input.ms, realNow, this.#outbox.effects);
        this.#links.stalled(now);
        this.#admission.stalled();
        // Callers give a node longer than this before they turn to another one.
        if (input.ms >= BEHIND_STALL_MS) this.#catchUp.begin(this.#ringMemberIds(), now);
        break;
      case "gossip":
        if (this.#quarantine.holds(input.from, now.monoMs)) break;
        this.#gossip(input.from, input.fromAddress, input.message, realNow);
        break;
      case "peer":
        if (this.#quarantine.holds(input.from, now.monoMs)) break;
        if (this.#links.heard(input.from, now)) this.#peerIsBack(input.from, now);
        this.#peer(input.from, input.message, now, realNow);
        break;
      case "client":
        if (this.#refuses(input, [input.request], now, realNow)) break;
        if (input.to === undefined || input.to === this.#options.id)
          this.#client(input.client, input.request, now, realNow);
        else this.#handOn(input, input.to, now);
        break;
      case "peerBatch":
        if (this.#quarantine.holds(input.from, now.monoMs)) break;
        if (this.#links.heard(input.from, now)) this.#peerIsBack(input.from, now);
        for (const message of input.messages) {
          this.#peer(input.from, message, now, realNow);
          this.#refreshView(now);
        }
        break;
      case "clientBatch":
        if (this.#refuses(input, input.requests, now, realNow)) break;
        for (const request of input.requests) {
          this.#client(input.client, request, now, realNow);
          this.#refreshView(now);
        }
        break;
      case "clientOpened":
        this.#clients.add(input.client);
        this.#outbox.reply(input.client, this.#topology());
        break;
      case "clientClosed":
        this.#clients.delete(input.client);
        break;
      case "link":
        this.#link(input.member, input.path, input.isUp, now, realNow);
        break;
      case "genesis":
        if (this.#genesisId !== "") break;
        this.#genesisId = input.genesisId;
        this.#outbox.event({ type: "genesis", genesisId: input.genesisId, isFounder: false });
        break;
      case "leave":
        this.#leave(realNow);
        break;
    }
  }

  #tick(now: Now, realNow: Now): void {
    if (realNow.monoMs >= this.#membership.deadline())
      this.#withRefutations(now, () => this.#membership.tick(realNow, this.#outbox.effects));
    for (const member of this.#links.tick(realNow)) this.#lost(member, now);
    this.#coordinator.tick(now);
    this.#fill.tick(now);
    if (now.monoMs >= this.#sweepMs) this.#sweep(now);
    if (now.monoMs >= this.#housekeepingMs) this.#keepHouse(now);
  }

  #sweep(now: Now): void {
    const budget = this.#isServing(now) ? SWEEP_BUDGET_SERVING : SWEEP_BUDGET;
    const nextMs = this.#ports.store.sweep(now.wallMs, budget);
    this.#sweepMs = now.monoMs + (nextMs <= now.wallMs ? SWEEP_AGAIN_MS : HOUSEKEEPING_MS);
  }

  #keepHouse(now: Now): void {
    this.#housekeepingMs = now.monoMs + HOUSEKEEPING_MS;
    this.#admission.review(now.monoMs);
    this.#noteOverload(0);
    this.#hints.replay(now);
    this.#catchUp.tick(now);
    this.#updateSkew();
    this.#clock.review(now);
    this.#dropForeignSlots();
    this.#maybeGiveWay(now);
    this.#maybeRelease(now);
    const isFillIdle = this.#fill.deadline() === Number.POSITIVE_INFINITY;
    if (isFillIdle && this.#slots.doubtfulCount + this.#slots.warmingCount > 0) this.#fill.wake(now);
    if (this.#isTopologyStale) this.#publishTopology();
  }

  #isServing(now: Now): boolean {
    return now.monoMs - this.#servedMs < SERVING_MS;
  }

  #gossip(from: MemberId, fromAddress: string, message: GossipMessage, now: Now): void {
    const { recordsForged, membersExcess } = this.#membership.counters;
    this.#withRefutations(now, () =>
      this.#membership.handle(from, fromAddress, message, now, this.#outbox.effects),
    );
    const after = this.#membership.counters;
    if (after.recordsForged > recordsForged) this.#offend(from, "record", now);
    if (after.membersExcess > membersExcess) this.#offend(from, "members", now);
  }

  #offend(member: MemberId, what: Offence, now: Now): void {
    const others = this.#links.count;
    for (const event of this.#quarantine.offend(member, what, others, now.monoMs)) this.#outbox.event(event);
  }

  #peer(from: MemberId, message: PeerMessage, now: Now, realNow: Now): void {
    if (hasForgedVersion(message, now.wallMs)) {
      this.#offend(from, "version", now);
      return;
    }
    switch (message.kind) {
      case "ping":
        this.#outbox.peer(from, {
          kind: "pong",
          sentMs: message.sentMs,
          monoMs: realNow.monoMs,
          wallMs: realNow.wallMs,
        });
        return;
      case "pong":
        this.#links.pong(from, message, realNow);
        return;
      case "read":
        this.#syncIfOtherRing(from, message.ringId, realNow);
        this.#outbox.peer(from, this.#replica.read(message));
        return;
      case "replicate":
        if (message.purpose === "client") {
          this.#servedMs = now.monoMs;
          this.#syncIfOtherRing(from, message.ringId, realNow);
        }
        if (message.purpose === "rehearsal") this.#fill.written(message.entry, now);
        else this.#replicate(from, message, now);
        return;
      case "clearReplica":
        this.#syncIfOtherRing(from, message.ringId, realNow);
        this.#outbox.peer(from, this.#replica.clear(message, now));
        return;
      case "readReply":
        if (message.status === "ring") this.#sync(from, realNow);
        this.#coordinator.readReplied(from, message, now);
        return;
      case "replicated":
        if (message.status === "ring") this.#sync(from, realNow);
        if (!this.#hints.replicated(from, message, now)) this.#coordinator.replicated(from, message, now);
        return;
      case "clearReplicaReply":
        if (message.status === "ring") this.#sync(from, realNow);
        if (!this.#hints.clearReplied(from, message)) this.#coordinator.clearReplied(from, message, now);
        return;
      case "forward":
        this.#coordinator.forwarded(from, message, now);
        return;
      case "forwarded":
        this.#coordinator.forwardAnswered(from, message);
        return;
      case "pull":
        if (!message.isRehearsal) this.#syncIfOtherRing(from, message.ringId, realNow);
        this.#outbox.peer(
          from,
          answerPull(
            message,
            { store: this.#ports.store, slots: this.#slots, view: this.#view },
            this.#isServing(now),
          ),
        );
        return;
      case "pulled":
        if (message.status === "ring") this.#sync(from, realNow);
        this.#fill.pulled(from, message, now);
        return;
      case "catchUp":
        this.#outbox.peer(from, { kind: "catchUpReply", id: message.id, ...this.#hints.drain(from) });
        this.#hints.replay(now);
        return;
      case "catchUpReply":
        this.#catchUp.replied(from, message, now);
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

  #client(client: ClientHandle, request: ClientRequest, now: Now, realNow: Now): void {
    const coordinator = this.#coordinator;
    if (request.kind === "ping") {
      const { monoMs, wallMs } = realNow;
      this.#outbox.reply(client, { kind: "pong", sentMs: request.sentMs, monoMs, wallMs });
      return;
    }
    const replyTo = { type: "client", client, id: request.id } as const;
    this.#servedMs = now.monoMs;
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
      case "command":
        if (request.command === "leave") this.#leave(realNow);
        else this.#membership.evict(request.member as MemberId, realNow, this.#outbox.effects);
        this.#outbox.reply(client, { kind: "commanded", id: request.id });
        return;
    }
  }

  /** One look per frame: takes what it holds, or refuses all of it but heartbeats and commands of operators. */
  #refuses(
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
      if (request.kind === "ping" || request.kind === "command") this.#client(client, request, now, realNow);
      else ids.push(request.id);
    }
    for (let start = 0; start < ids.length; start += REFUSED_IDS_MAX) {
      const some = ids.slice(start, start + REFUSED_IDS_MAX);
      this.#outbox.reply(client, { kind: "overloaded", ids: some, retryAfterMs });
    }
    return true;
  }

  #noteOverload(waitedMs: number): void {
    const isOverloaded = this.#admission.isRefusing;
    if (isOverloaded === this.#isOverloaded) return;
    this.#isOverloaded = isOverloaded;
    this.#outbox.event({ type: "overload", isOverloaded, waitedMs: Math.round(waitedMs) });
  }

  #replicate(from: MemberId, message: Replicate, now: Now): void {
    const ringId = this.#ring?.id;
    const reply = this.#replica.replicate(message, from, now);
    this.#outbox.peer(from, reply);
    // Under our own ring the sender knows whose the slot is.
    const isOfRing = message.purpose === "client" && message.ringId === ringId;
    if (isOfRing && reply.status === "notReplica") this.#offend(from, "owner", now);
  }

  /** Does nothing with what cannot be handed on: the driver asks for no such thing. */
  #handOn({ client, request }: Extract<Input, { kind: "client" }>, to: MemberId, now: Now): void {
    const { kind } = request;
    if (kind !== "get" && kind !== "write" && kind !== "scan" && kind !== "count") return;
    this.#coordinator.ask(request, { type: "client", client, id: request.id }, to, now);
  }

  #link(member: MemberId, path: "peer" | "gossip", isUp: boolean, now: Now, realNow: Now): void {
    if (path === "peer" && this.#links.link(member, isUp, realNow)) this.#lost(member, now);
    this.#membership.link(member, isUp, realNow, this.#outbox.effects);
  }

  /** Others said something of us that was not so: they may have gone on without us. */
  #withRefutations(now: Now, run: () => void): void {
    const before = this.#outbox.effects.length;
    run();
    const effects = this.#outbox.effects;
    for (let index = before; index < effects.length; index++) {
      const effect = effects[index]!;
      if (effect.kind !== "event" || effect.event.type !== "refuted") continue;
      this.#catchUp.begin(this.#ringMemberIds(), now);
      return;
    }
  }

  #lost(member: MemberId, now: Now): void {
    this.#coordinator.memberLost(member, now);
    this.#fill.memberLost(member, now);
    this.#isTopologyStale = true;
  }

  #peerIsBack(member: MemberId, now: Now): void {
    this.#catchUp.begin([member], now);
    this.#fill.memberBack(member, now);
    this.#hints.replay(now);
  }

  #syncIfOtherRing(from: MemberId, ringId: RingId, now: Now): void {
    if (ringId !== this.#ring?.id) this.#sync(from, now);
  }

  #sync(from: MemberId, now: Now): void {
    this.#membership.syncWith(from, now, this.#outbox.effects);
  }

  // ---- the view

  /** Records may have changed: is it still the same ring, and who has come, gone or started anew? */
  #refreshView(now: Now): void {
    const { viewVersion, hasTable } = this.#membership;
    if (viewVersion === this.#viewVersion && hasTable === this.#hasTable) return;
    this.#viewVersion = viewVersion;
    this.#hasTable = hasTable;
    this.#isTopologyStale = true;
    const records = this.#membership.records();
    if (this.#membership.self.ringState === "evicted") {
      this.#startOver(now);
      return;
    }
    this.#links.track(this.#idsToReach(records));
    if (hasTable) this.#adoptRing(records, now);
    this.#noteChanges(records, now);
  }

  #adoptRing(records: readonly MemberRecord[], now: Now): void {
    const members = ringMembersOf(records, (record) => isInRing(record.ringState));
    const ring = this.#ringOf(members);
    if (ring?.id !== this.#ring?.id && ring !== undefined) {
      const previous = this.#ring;
      const isFounding = this.#isFounder && previous === undefined;
      this.#ring = ring;
      const gained = this.#slots.adopt(ring, this.#view.self, isFounding, previous !== undefined);
      for (const slot of gained) if (!this.#fill.isRehearsed(slot)) this.#ports.store.drop(slot);
      const slotsLost = previous === undefined ? 0 : this.#slots.formerCount;
      this.#outbox.event({
        type: "ringChanged",
        ringId: ring.id,
        members: members.length,
        slotsGained: gained.length,
        slotsLost,
      });
      if (previous !== undefined) this.#doubtInherited(previous, ring);
      this.#dropCursor = 0;
      this.#fill.restart(previous, now);
      this.#coordinator.ringChanged(now);
      this.#publishTopology();
    }
    this.#planRing(records, now);
  }

  /** The ring that the next change would make, when one is in preparation; rehearsed by everybody who will be in it. */
  #planRing(records: readonly MemberRecord[], now: Now): void {
    this.#plan = this.#ring === undefined ? undefined : planOf(records, this.#options.replicas);
    this.#plannedRing =
      this.#plan === undefined ? undefined : this.#ringOf(ringMembersOf(this.#plan.members, () => true));
    const isMember = this.#plannedRing?.has(this.#membership.self.id) === true;
    this.#fill.rehearse(isMember ? this.#plannedRing : undefined, now);
  }

  /** The ring of these members; the present or the planned one when it is that. */
  #ringOf(members: readonly RingMember[]): Ring | undefined {
    if (members.length === 0) return undefined;
    const parameters = ringParameters(this.#options.replicas);
    const id = computeRingId(members, parameters, this.#ports.hashes);
    const known = [this.#ring, this.#plannedRing].find((ring) => ring?.id === id);
    return known ?? Ring.build(members, parameters, this.#ports.hashes);
  }

  #noteChanges(records: readonly MemberRecord[], now: Now): void {
    const seen = new Map<MemberId, MemberRecord>();
    for (const record of records) {
      const before = this.#seen.get(record.id);
      seen.set(record.id, record);
      if (before === undefined || record.id === this.#view.self) continue;
      const isGone = record.liveness === "dead" && before.liveness !== "dead";
      const isAnew = record.generation !== before.generation;
      if (isAnew) this.#links.restarted(record.id);
      if (isGone || isAnew) this.#doubtShared(record.id);
      if (isGone) this.#lost(record.id, now);
    }
    this.#seen = seen;
  }

  /** Who is gone may have acknowledged writes with others that this node has not got. */
  #doubtShared(member: MemberId): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    for (let index = 0; index < SLOT_COUNT; index++) {
      const slot = index as Slot;
      if (ring.isReplica(slot, member)) this.#slots.doubt(slot);
    }
  }

  /**
   * Who becomes a slot's first replica answers for it alone from now on, and may have missed what the one before acknowledged: in doubt
   * until compared. Whoever was first before, or is not first now, is not asked for more than it knows.
   */
  #doubtInherited(from: Ring, to: Ring): void {
    const self = this.#view.self;
    for (let index = 0; index < SLOT_COUNT; index++) {
      const slot = index as Slot;
      if (to.ownerOf(slot) === self && from.ownerOf(slot) !== self) this.#slots.doubt(slot);
    }
  }

  /** Everybody alive, save those that left and have nothing to hand over any more. */
  #idsToReach(records: readonly MemberRecord[]): readonly MemberId[] {
    const ids: MemberId[] = [];
    for (const { id, liveness, ringState } of records) {
      if (id === this.#view.self || liveness === "dead" || ringState === "evicted") continue;
      if (
        ringState === "left" &&
        (this.#seen.get(id)?.ringState ?? "left") === "left" &&
        this.#slots.warmingCount === 0
      )
        continue;
      ids.push(id);
    }
    return ids;
  }

  /** Who will keep the slot under the planned ring and does not now. */
  #newcomers(slot: Slot): readonly MemberId[] {
    const planned = this.#plannedRing?.preferenceList(slot);
    if (planned === undefined) return NOBODY;
    const present = this.#ring?.preferenceList(slot) ?? NOBODY;
    return planned.filter((member) => !present.includes(member));
  }

  #ringMemberIds(): readonly MemberId[] {
    return this.#ring?.members.map(({ id }) => id) ?? [];
  }

  #newView(): ClusterView {
    const core = this;
    return {
      self: this.#options.id,
      get ring() {
        return core.#ring;
      },
      isUsable: (member) => {
        if (member === core.#options.id) return true;
        return core.#membership.get(member)?.liveness !== "dead" && core.#links.isReachable(member);
      },
      mayCount: (member) => {
        const state = core.#membership.get(member)?.ringState;
        return state === "active" || state === "leaving";
      },
      newcomers: (slot) => core.#newcomers(slot),
      isMember: (member) => {
        const state = core.#membership.get(member)?.ringState;
        return state !== undefined && isInRing(state);
      },
      toPeerMono: (member, monoMs) => core.#links.toPeerMono(member, monoMs),
    };
  }

  // ---- ring changes

  #ringChangeView(): RingChangeView {
    return {
      self: this.#membership.self,
      records: this.#membership.records(),
      ringId: this.#ring?.id ?? "",
      plan: this.#plan,
      plannedRingId: this.#plannedRing?.id ?? "",
      isFilled: this.#slots.warmingCount === 0,
      isReachable: (member) => this.#view.isUsable(member),
    };
  }

  /** Whether this node knows more of a ring change than when it last looked: cheap, and asked after every input. */
  #hasProgressed(): boolean {
    return (
      this.#viewVersion !== this.#advanced.viewVersion ||
      this.#fill.preparedRingId !== this.#advanced.preparedRingId ||
      (this.#slots.warmingCount === 0) !== this.#advanced.isFilled
    );
  }

  #advanceRingChange(now: Now): void {
    this.#advanced = {
      viewVersion: this.#viewVersion,
      preparedRingId: this.#fill.preparedRingId,
      isFilled: this.#slots.warmingCount === 0,
    };
    const self = this.#membership.self;
    const ringId = this.#ring?.id;
    const view = this.#ringChangeView();
    const next = ownNextState(view);
    if (next !== undefined) this.#enter(next, now);
    const changes = changesToEnact(view);
    if (changes.length > 0) {
      this.#membership.enact(changes, now, this.#outbox.effects);
      this.#refreshView(now);
      return;
    }
    const isSettled = ringId !== undefined && this.#slots.warmingCount === 0 && isInRing(self.ringState);
    const settledRingId = isSettled && next === undefined ? ringId : self.settledRingId;
    const preparedRingId = this.#fill.preparedRingId;
    if (settledRingId !== self.settledRingId && settledRingId !== "" && next === undefined) {
      this.#outbox.event({ type: "settled", ringId: settledRingId });
    }
    if (
      next === undefined &&
      (settledRingId !== self.settledRingId || preparedRingId !== self.preparedRingId)
    ) {
      this.#membership.setSelf({ settledRingId, preparedRingId }, now, this.#outbox.effects);
      this.#refreshView(now);
    }
  }

  #enter(state: RingState, now: Now): void {
    const isActive = state === "active" && this.#ring !== undefined;
    const patch = isActive ? { ringState: state, settledRingId: this.#ring!.id } : { ringState: state };
    if (isActive) this.#outbox.event({ type: "settled", ringId: this.#ring!.id });
    this.#membership.setSelf(patch, now, this.#outbox.effects);
    this.#refreshView(now);
  }

  #leave(now: Now): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#outbox.event({ type: "leaving" });
    const state = this.#membership.self.ringState;
    const isAlone = this.#ring === undefined || this.#ring.members.length === 1;
    if (isInRing(state) && !isAlone) this.#enter("leaving", now);
    else this.#enter("left", now);
  }

  /** A change that this node holds up is given up (change-patience.ts). */
  #maybeGiveWay(now: Now): void {
    const { ringState } = this.#membership.self;
    const rehearsal = ringState === "joining" ? this.#fill.rehearsalProgress : undefined;
    const isUnderWay = rehearsal !== undefined && rehearsal.slotsDone < rehearsal.slotsTotal;
    const progress = `${this.#plannedRing?.id} ${rehearsal?.slotsDone} ${this.#copied.entriesTotal}`;
    const next = this.#joinPatience.look(isUnderWay ? progress : undefined, now.monoMs);
    if (next === "withdraw") this.#enter("left", now);
    else if (next === "return" && !this.#isLeaving) this.#startOver(now);
    const isHopeful =
      ringState !== "leaving" ||
      hasMajority(this.#membership.records(), (member) => this.#view.isUsable(member));
    if (this.#leavePatience.isOver(isHopeful, now.monoMs)) this.#release();
  }

  /** The others have all they need: the process may end. */
  #maybeRelease(now: Now): void {
    if (this.#membership.self.ringState !== "left" || this.#isReleased || this.#hasWithdrawn) return;
    this.#leftMs = Math.min(this.#leftMs, now.monoMs);
    const ringId = this.#ring?.id;
    const others = this.#membership
      .records()
      .filter(({ id, ringState }) => id !== this.#view.self && isInRing(ringState));
    const isTaken = others.every(
      ({ liveness, settledRingId }) => liveness === "dead" || settledRingId === ringId,
    );
    if (!isTaken && now.monoMs - this.#leftMs < RELEASE_PATIENCE_MS) {
      const member = others.find(({ liveness }) => liveness === "alive")?.id;
      if (member !== undefined) this.#sync(member, now);
      return;
    }
    this.#release();
  }

  /** Out of the ring for a while, and not for good. */
  get #hasWithdrawn(): boolean {
    return this.#joinPatience.isOut && !this.#isLeaving;
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#outbox.event({ type: "released" });
    this.#outbox.effects.push({ kind: "released" });
  }

  /**
   * The others took this node for gone and gave its slots away: it comes back as a new member. What it holds counts for nothing
   * any more, and is kept until it has its place in the ring: it may be all that is left of what it acknowledged with another
   * that was taken for gone as well.
   */
  #startOver(now: Now): void {
    const addresses = this.#membership
      .records()
      .filter(({ id }) => id !== this.#view.self)
      .map(({ address }) => address);
    const outGeneration = this.#membership.self.generation;
    const generation = Math.max(outGeneration + 1, Math.floor(now.wallMs));
    this.#slots.reset();
    this.#ring = undefined;
    this.#seen = new Map();
    this.#fill.rehearse(undefined, now);
    this.#membership = this.#newMembership(generation, addresses.slice(0, SEEDS_MAX), now, outGeneration);
    this.#viewVersion = -1;
    this.#refreshView(now);
  }

  #newMembership(generation: number, seeds: readonly string[], now: Now, outGeneration = 0): Membership {
    const { id, address, zone, weight, membership: options, replicas } = this.#options;
    const startsInRing = this.#isFounder && generation === this.#options.generation;
    const self = { id, address, zone, weight, generation };
    return new Membership(
      {
        self,
        seeds,
        startsInRing,
        outGeneration,
        options,
        replicas,
        condemns: true,
        isReachable: (member) => this.#links.isReachable(member),
      },
      this.#ports.prng.fork("membership"),
      now,
    );
  }

  get #isFounder(): boolean {
    return this.#options.genesisId !== "";
  }

  /**
   * Slots that moved away are kept until everybody is settled: until then this node may be their last source. So they are while
   * it joins, for it may have been in the ring before.
   */
  #dropForeignSlots(): void {
    if (this.#dropCursor >= SLOT_COUNT || this.#ring === undefined) return;
    if (this.#membership.self.ringState === "joining") return;
    const ringId = this.#ring.id;
    const isSettled = this.#membership
      .records()
      .every(({ ringState, settledRingId }) => !isInRing(ringState) || settledRingId === ringId);
    if (!isSettled) return;
    const end = Math.min(SLOT_COUNT, this.#dropCursor + DROPS_PER_ROUND);
    for (; this.#dropCursor < end; this.#dropCursor++) {
      const slot = this.#dropCursor as Slot;
      if (!this.#slots.isForeign(slot) || this.#fill.isRehearsed(slot)) continue;
      this.#slots.releaseFormer(slot);
      this.#ports.store.drop(slot);
    }
  }

  // ---- clocks

  #updateSkew(): void {
    const isComparable = (this.#ring?.members.length ?? 0) >= CLOCKS_MIN;
    const skewMs = this.#links.clusterSkewMs() ?? (isComparable ? undefined : 0);
    if (skewMs === undefined) {
      this.#time.correct(undefined);
      return;
    }
    this.#skewMs = Math.abs(skewMs) > SKEW_DEAD_BAND_MS ? skewMs : 0;
    this.#time.correct(this.#skewMs);
    const isOff = Math.abs(skewMs) > this.#options.replication.clockSkewMsMax;
    if (isOff === this.#isClockOff) return;
    this.#isClockOff = isOff;
    this.#outbox.event({ type: "clockOff", skewMs: Math.round(skewMs), isOff });
  }

  #writeObstacle({ wallMs }: Now): string | undefined {
    if (this.#isClockOff) return "This node's clock is too far from the cluster's";
    // What it issued would be refused by the others, and stay here alone.
    const isAlone = this.#ring?.members.length === 1;
    return !isAlone && this.#clock.isBeyondBelief(wallMs) ? "This node's clock was set back" : undefined;
  }

  // ---- clients

  #publishTopology(): void {
    this.#isTopologyStale = false;
    if (this.#clients.size === 0) return;
    const topology = this.#topology();
    for (const client of this.#clients) this.#outbox.reply(client, topology);
  }

  #topology(): Topology {
    const { replicas, defaultWrite, defaultRead, valueBytesMax } = this.#options;
    const members = this.#membership
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
    const ringId = this.#ring?.id ?? "";
    return { kind: "topology", ringId, replicas, defaultWrite, defaultRead, valueBytesMax, members };
  }
}

const NOBODY: readonly MemberId[] = Object.freeze([]);
/** Addresses tried by a node that starts over. */
const SEEDS_MAX = 16;

function ringMembersOf(
  records: readonly MemberRecord[],
  isMember: (record: MemberRecord) => boolean,
): readonly RingMember[] {
  return records.filter(isMember).map(({ id, weight, zone }) => ({ id, weight, zone }));
}

/** Inputs that come at any rate concern calls and copies; the others concern who is there, or time. */
function isUpkeep({ kind }: Input): boolean {
  return kind !== "client" && kind !== "clientBatch" && kind !== "peer" && kind !== "peerBatch";
}
