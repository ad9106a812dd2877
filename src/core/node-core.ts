// One node as a deterministic state machine: joins the parts and hands each input to the part that owns it.
//
//   input --> peers    what other nodes say       --> cluster      membership, the ring of the moment and the planned one
//         |                                       --> replica      this node's copies
//         |                                       --> fill, hints, catch-up    copies kept complete
//         --> callers  what clients ask           --> coordinator  their calls --> replica, other nodes' replicas
//         --> tenure   this node's own place: when to enter and leave the ring, and to change it for others
//
// After every input the view is brought up to date: a changed record may make a new ring, and a new ring may move slots. The
// order inside one step is always: take the input in, refresh the view, act on it.

import type { Hashes } from "../base/hash.ts";
import { type MemberId, SLOT_COUNT } from "../base/ids.ts";
import type { Prng } from "../base/prng.ts";
import { changeStatus } from "./change-status.ts";
import { ClusterTime } from "./cluster-time.ts";
import { PeerLinks } from "./links.ts";
import type { Effect, Input, Machine, Now } from "./machine.ts";
import { MessageIds } from "./message-ids.ts";
import type { Entry, PeerMessage, ReadScope } from "./messages.ts";
import { Callers } from "./node/callers.ts";
import { ClockWatch } from "./node/clock-watch.ts";
import { Cluster, type ClusterListener } from "./node/cluster.ts";
import { ForeignSlots } from "./node/foreign-slots.ts";
import { Peers } from "./node/peers.ts";
import { Tenure } from "./node/tenure.ts";
import type { NodeCoreOptions } from "./options.ts";
import { CatchUp } from "./replication/catch-up.ts";
import { HybridClock } from "./replication/clock.ts";
import type { ClusterView } from "./replication/cluster-view.ts";
import { Coordinator, type NOT_ALONE } from "./replication/coordinator.ts";
import { type CopyCounts, noCopies } from "./replication/copy.ts";
import { Fill } from "./replication/fill.ts";
import { Hints } from "./replication/hints.ts";
import { OperationTable } from "./replication/operations.ts";
import { Outbox } from "./replication/outbox.ts";
import { Replica } from "./replication/replica.ts";
import { SlotStates } from "./replication/slot-states.ts";
import type { Ring } from "./ring/ring.ts";
import { countUnderReplicated, type NodeStatus, nodeStatus } from "./status.ts";
import type { Store } from "./store/store.ts";
import { ViewLease } from "./view-lease.ts";

/** Upkeep that needs no precise instant runs this often. */
const HOUSEKEEPING_MS = 50;
/** Entries turned or dropped per round of upkeep: about a millisecond of work. */
const SWEEP_BUDGET = 500;
/** While callers are served, and there is no hurry. */
const SWEEP_BUDGET_SERVING = 100;
/** The next sweep when one left work behind: fifty thousand expired entries a second at most, half a millisecond each time. */
const SWEEP_AGAIN_MS = 10;

/** What the core is given beside its options. */
export interface NodeCorePorts {
  readonly store: Store;
  readonly hashes: Hashes;
  readonly prng: Prng;
}

/** See the top of the file. Driven by the rules of `machine.ts`. */
export class NodeCore implements Machine<Input, Effect> {
  readonly #options: NodeCoreOptions;
  readonly #store: Store;
  readonly #startedMs: number;
  readonly #outbox: Outbox;
  readonly #time: ClusterTime;
  readonly #cluster: Cluster;
  readonly #links: PeerLinks;
  readonly #slots = new SlotStates();
  readonly #foreignSlots: ForeignSlots;
  readonly #clock: HybridClock;
  readonly #clockWatch: ClockWatch;
  readonly #hints: Hints;
  readonly #fill: Fill;
  readonly #copied: CopyCounts = noCopies();
  readonly #catchUp: CatchUp;
  readonly #coordinator: Coordinator;
  readonly #tenure: Tenure;
  readonly #callers: Callers;
  readonly #peers: Peers;
  #genesisId: string;
  #housekeepingMs: number;
  #sweepMs: number;
  #underReplicated = { key: "", count: SLOT_COUNT };

  /** @param options As returned by `resolveNodeCoreOptions`. */
  constructor(options: NodeCoreOptions, ports: NodeCorePorts, now: Now) {
    const { replication } = options;
    const { store, hashes, prng } = ports;
    const { clockSkewMsMax } = replication;
    const slots = this.#slots;
    this.#options = options;
    this.#store = store;
    this.#startedMs = now.monoMs;
    this.#housekeepingMs = now.monoMs;
    this.#sweepMs = now.monoMs;
    this.#genesisId = options.genesisId;
    const time = new ClusterTime(now, () => this.#links.wallClockSet());
    const outbox = new Outbox((member) => this.#cluster.membership.get(member)?.address);
    const links = new PeerLinks(replication.missedHeartbeatsMax, outbox);
    const clock = new HybridClock(clockSkewMsMax);
    this.#time = time;
    this.#outbox = outbox;
    this.#links = links;
    this.#clock = clock;
    const cluster = new Cluster({ options, hashes, prng, links, slots }, this.#listener(), now);
    this.#cluster = cluster;
    const messageIds = new MessageIds(prng.fork("message ids"));
    const nextId = () => messageIds.next();
    const isTimeKnown = (at: Now) => this.#clockWatch.isTimeKnown(at);
    const shared = { store, clock, view: cluster, outbox, slots, nextId, isTimeKnown };
    this.#clockWatch = new ClockWatch({ time, links, clock, cluster, outbox, clockSkewMsMax }, now);
    const operations = new OperationTable(replication.operationsMax);
    const replica = new Replica({ ...shared, operations, clockSkewMsMax });
    const hints = new Hints({
      ...shared,
      options: replication,
      givesWay: (at) => this.#callers.isBusy(at),
      repair: (key, at) => this.#coordinator.repair(key, at),
      clearOwn: (message, at) => replica.clear(message, at),
    });
    const fill = new Fill({
      ...shared,
      leftGraceMs: options.membership.deadGraceMs,
      received: this.#copied,
      isServing: (at) => this.#callers.isServing(at),
      lags: (member, key, slot, at) => hints.add(member, { key, slot }, at),
      isDead: (entry) => replica.isDead(entry),
    });
    const catchUp = new CatchUp({
      ...shared,
      doubtShared: (member) => this.#doubtShared(member),
      doubt: (doubted) => {
        for (const slot of doubted) slots.doubt(slot);
      },
    });
    const lease = new ViewLease({
      self: options.id,
      leaseMs: options.membership.leaseMs,
      ringMemberIds: () => cluster.ringMemberIds(),
      answeredMs: (member) => links.answeredMs(member),
    });
    const coordinator = new Coordinator(
      { ...shared, replica, hints, options: replication, origin: hashes.hash32(options.id) },
      {
        isBehind: () => catchUp.isBehind,
        writeObstacle: (at) => this.#clockWatch.writeObstacle(at),
        readObstacle: (at) => this.#clockWatch.readObstacle(at),
        hasLease: (at) => lease.isHeld(at),
        valueBytesMax: options.valueBytesMax,
      },
      nextId,
    );
    const tenure = new Tenure({ cluster, fill, hints, slots, outbox, copied: this.#copied });
    const callers = new Callers({ options, cluster, coordinator, tenure, outbox });
    this.#hints = hints;
    this.#fill = fill;
    this.#catchUp = catchUp;
    this.#coordinator = coordinator;
    this.#tenure = tenure;
    this.#callers = callers;
    this.#foreignSlots = new ForeignSlots({ cluster, fill, slots, store });
    const parts = {
      cluster,
      links,
      outbox,
      store,
      slots,
      replica,
      coordinator,
      hints,
      fill,
      catchUp,
      callers,
    };
    this.#peers = new Peers(parts);
    if (cluster.isFounder) outbox.event({ type: "genesis", genesisId: this.#genesisId, isFounder: true });
    cluster.refresh(time.at(now));
  }

  /** The cluster's genesis id; "" while unknown. The handshake carries it. */
  get genesisId(): string {
    return this.#genesisId;
  }

  /** In the ring, with all its slots counted since it came. */
  get isReady(): boolean {
    return this.#cluster.own.ringState === "active";
  }

  /** The cluster as this node sees it now: a live view. */
  get view(): ClusterView {
    return this.#cluster;
  }

  /**
   * What a `get` would answer, when this node may answer alone: the live entry, `undefined` for none, or {@link NOT_ALONE}. No step: nothing
   * changes but what was used last. To be asked only where a step might be taken, after a stall that was reported.
   */
  getAlone(key: string, read: ReadScope, realNow: Now): Entry | undefined | typeof NOT_ALONE {
    return this.#coordinator.getAlone(key, read, this.#time.at(realNow));
  }

  /** Takes back the value of a `got` that was written out, and that nobody else holds. */
  giveBack(value: Uint8Array): void {
    this.#store.giveBack?.(value);
  }

  /** The cluster's wall time, in ms since 1970: what entries expire by. */
  wallMs(realNow: Now): number {
    return this.#time.at(realNow).wallMs;
  }

  step(input: Input, realNow: Now): readonly Effect[] {
    const now = this.#time.at(realNow);
    this.#take(input, now, realNow);
    this.#cluster.refresh(now);
    // What it depends on besides may wait for the next tick.
    if (isUpkeep(input) || this.#tenure.hasProgressed) this.#tenure.advance(now);
    return this.#outbox.take();
  }

  deadline(): number {
    return Math.min(
      this.#peers.deadline(),
      this.#coordinator.deadline(),
      this.#fill.deadline(),
      this.#housekeepingMs,
      this.#sweepMs,
    );
  }

  /** A snapshot for people and tools. Cheap unless something changed since the last one. */
  status(now: Now): NodeStatus {
    const cluster = this.#cluster;
    const records = cluster.membership.records();
    return nodeStatus({
      options: this.#options,
      genesisId: this.#genesisId,
      ring: cluster.ring,
      records,
      uptimeMs: now.monoMs - this.#startedMs,
      isReachable: (member) => cluster.isUsable(member),
      change: changeStatus({
        records,
        ringId: cluster.ringId,
        plan: cluster.plan,
        plannedRingId: cluster.plannedRingId,
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
      clockSkewMs: this.#clockWatch.skewMs,
      store: this.#store.stats(),
    });
  }

  #countUnderReplicated(): number {
    const { ring, self, viewVersion, membership } = this.#cluster;
    const key = `${viewVersion}:${this.#slots.warmingCount}`;
    if (this.#underReplicated.key !== key) {
      const facts = { records: membership.records(), slots: this.#slots, self };
      this.#underReplicated = { key, count: countUnderReplicated(ring, facts) };
    }
    return this.#underReplicated.count;
  }

  #take(input: Input, now: Now, realNow: Now): void {
    switch (input.kind) {
      case "tick":
        this.#tick(now, realNow);
        break;
      case "stall":
        this.#callers.stalled();
        this.#peers.stalled(input.ms, now, realNow);
        break;
      case "gossip":
        this.#peers.gossip(input.from, input.fromAddress, input.message, realNow);
        break;
      case "peer":
        this.#hear(input.from, [input.message], now, realNow);
        break;
      case "peerBatch":
        this.#hear(input.from, input.messages, now, realNow);
        break;
      case "client":
        if (this.#callers.refuses(input, [input.request], now, realNow)) break;
        if (input.to === undefined || input.to === this.#options.id)
          this.#callers.request(input.client, input.request, now, realNow);
        else this.#callers.handOn(input, input.to, now);
        break;
      case "clientBatch":
        if (this.#callers.refuses(input, input.requests, now, realNow)) break;
        for (const request of input.requests) {
          this.#callers.request(input.client, request, now, realNow);
          this.#cluster.refresh(now);
        }
        break;
      case "clientOpened":
        this.#callers.opened(input.client);
        break;
      case "clientClosed":
        this.#callers.closed(input.client);
        break;
      case "link":
        this.#peers.link(input.member, input.path, input.isUp, now, realNow);
        break;
      case "genesis":
        if (this.#genesisId !== "") break;
        this.#genesisId = input.genesisId;
        this.#outbox.event({ type: "genesis", genesisId: input.genesisId, isFounder: false });
        break;
      case "leave":
        this.#tenure.leave(realNow);
        break;
    }
  }

  #hear(from: MemberId, messages: readonly PeerMessage[], now: Now, realNow: Now): void {
    this.#peers.messages(from, messages, now, realNow);
    if (this.#clockWatch.heard()) this.#fill.wake(now);
  }

  #tick(now: Now, realNow: Now): void {
    this.#peers.tick(now, realNow);
    this.#coordinator.tick(now);
    this.#fill.tick(now);
    if (now.monoMs >= this.#sweepMs) this.#sweep(now);
    if (now.monoMs >= this.#housekeepingMs) this.#keepHouse(now);
  }

  #sweep(now: Now): void {
    const budget = this.#callers.isServing(now) ? SWEEP_BUDGET_SERVING : SWEEP_BUDGET;
    const nextMs = this.#store.sweep(now.wallMs, budget);
    this.#sweepMs = now.monoMs + (nextMs <= now.wallMs ? SWEEP_AGAIN_MS : HOUSEKEEPING_MS);
  }

  #keepHouse(now: Now): void {
    this.#housekeepingMs = now.monoMs + HOUSEKEEPING_MS;
    this.#callers.review(now);
    this.#hints.replay(now);
    this.#catchUp.tick(now);
    this.#clockWatch.review();
    this.#clock.review(now);
    this.#foreignSlots.dropSome();
    this.#tenure.review(now);
    const isFillIdle = this.#fill.deadline() === Number.POSITIVE_INFINITY;
    if (isFillIdle && this.#slots.doubtfulCount + this.#slots.warmingCount > 0) this.#fill.wake(now);
    this.#callers.publishIfStale();
  }

  /** What a change of the cluster means for the other parts. */
  #listener(): ClusterListener {
    return {
      recordsChanged: () => this.#callers.topologyChanged(),
      ringChanged: (ring, previous, now) => this.#ringChanged(ring, previous, now),
      ringPlanned: (planned, now) => this.#fill.rehearse(planned, now),
      memberChanged: (member, { isGone, isAnew, ringBefore }, now) => {
        if (isAnew) {
          this.#links.restarted(member);
          this.#coordinator.memberRestarted(member, now);
        }
        if (ringBefore !== this.#cluster.ring && ringBefore !== undefined)
          this.#slots.doubtShared(ringBefore, member);
        this.#doubtShared(member);
        if (isGone) this.#peers.lost(member, now);
      },
    };
  }

  #ringChanged(ring: Ring, previous: Ring | undefined, now: Now): void {
    const { self, isFounder } = this.#cluster;
    const isChange = previous !== undefined;
    const added = this.#slots.adopt(ring, self, isFounder && !isChange, isChange);
    for (const slot of added) if (!this.#fill.keepsFor(ring, slot)) this.#store.drop(slot);
    this.#outbox.event({
      type: "ringChanged",
      ringId: ring.id,
      members: ring.members.length,
      slotsGained: this.#slots.gainedCount,
      slotsLost: isChange ? this.#slots.lostCount : 0,
    });
    if (isChange) {
      this.#slots.doubtInherited(previous, ring, self);
      this.#doubtLeft(previous, ring);
    }
    this.#foreignSlots.restart();
    this.#fill.restart(previous, now);
    this.#coordinator.ringChanged(now);
    this.#callers.publish();
  }

  /** Who left has taken along what it kept for this node, if they were not in touch. (Who died was in doubt from then on.) */
  #doubtLeft(previous: Ring, ring: Ring): void {
    const { membership } = this.#cluster;
    for (const { id } of previous.members) {
      if (ring.has(id) || membership.get(id)?.liveness === "dead") continue;
      if (this.#catchUp.isAsking(id) || !this.#cluster.isUsable(id)) this.#slots.doubtShared(previous, id);
    }
  }

  /** Who is gone may have acknowledged writes with others that this node has not got. */
  #doubtShared(member: MemberId): void {
    const { ring } = this.#cluster;
    if (ring !== undefined) this.#slots.doubtShared(ring, member);
  }
}

/** Inputs that come at any rate concern calls and copies; the others concern who is there, or time. */
function isUpkeep({ kind }: Input): boolean {
  return kind !== "client" && kind !== "clientBatch" && kind !== "peer" && kind !== "peerBatch";
}
