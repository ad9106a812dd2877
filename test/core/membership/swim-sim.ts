// A small world of Membership machines on one virtual clock: seeded delay, loss, one- and two-way cuts, stalls of the event
// loop, crashes and restarts. Everything is decided by the seed; `digest` sums up all that happened, so that two runs of one
// seed can be compared. Messages are cloned on the way, as a wire would.

import { Heap } from "../../../src/base/heap.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { NodeEvent } from "../../../src/core/events.ts";
import type { Effect, Now } from "../../../src/core/machine.ts";
import { Membership, type SelfPatch } from "../../../src/core/membership/membership.ts";
import type { MembershipMessage } from "../../../src/core/membership/messenger.ts";
import type { MemberRecord, RingState } from "../../../src/core/messages.ts";
import { MEMBERSHIP_DEFAULTS, type MembershipOptions } from "../../../src/core/options.ts";

const WALL_START_MS = 1_700_000_000_000;
/** A table of so many records is handed on as it is, and its length stands for it in the digest: records are never changed. */
const LARGE_TABLE = 100;
/** Steps at one instant after which the world is surely spinning. */
const SPIN_MAX = 100_000;

export interface SwimSimConfig {
  readonly seed: number;
  readonly nodes: number;
  /** Share of messages that get lost, 0 to 1. */
  readonly loss?: number;
  /** One-way delay: the least, and how much more it may be. */
  readonly delayMs?: readonly [least: number, more: number];
  readonly options?: Partial<MembershipOptions>;
  /** Whether the others hear at once that a crashed process closed its connections. */
  readonly tellsLinks?: boolean;
  /** Every node that has joined becomes active; otherwise it stays `joining`. @default true */
  readonly activates?: boolean;
}

/** Something a node told, and when (ms of the world). */
export interface SimEvent {
  readonly atMs: number;
  readonly node: string;
  readonly event: NodeEvent;
}

export interface SimNode {
  readonly id: MemberId;
  address: string;
  membership: Membership;
  isUp: boolean;
  stalledUntilMs: number;
  /** What arrived during a stall. */
  readonly inbox: (() => void)[];
  readonly monoOffsetMs: number;
  tickSerial: number;
  boots: number;
  redials: number;
  sent: number;
}

interface Due {
  readonly atMs: number;
  readonly serial: number;
  run(): void;
}

/** See the top of the file. Node 0 founds the cluster; the others get its address (and node 1's) as seeds. */
export class SwimSim {
  nowMs = 0;
  loss: number;
  readonly events: SimEvent[] = [];
  readonly nodes: SimNode[] = [];
  readonly #byAddress = new Map<string, SimNode>();
  readonly seed: number;
  readonly #config: SwimSimConfig;
  readonly #queue = new Heap<Due>((a, b) => a.atMs - b.atMs || a.serial - b.serial);
  readonly #network: Prng;
  readonly #nodePrng: Prng;
  /** `from>to` pairs whose messages get lost. */
  readonly #cuts = new Set<string>();
  #serial = 0;
  #digest = 0x811c9dc5;
  #spin = 0;

  constructor(config: SwimSimConfig) {
    this.#config = config;
    this.seed = config.seed;
    this.loss = config.loss ?? 0;
    const root = new Prng(config.seed);
    this.#network = root.fork("network");
    this.#nodePrng = root.fork("nodes");
    for (let index = 0; index < config.nodes; index++) this.addNode();
  }

  /** Sums up every step so far. */
  get digest(): number {
    return this.#digest >>> 0;
  }

  addNode(): SimNode {
    const index = this.nodes.length;
    const id = `n${String(index).padStart(2, "0")}` as MemberId;
    const address = `10.0.0.${index}:7400`;
    const monoOffsetMs = this.#nodePrng.below(1_000_000);
    const node: SimNode = {
      id,
      address,
      membership: this.#boot({ id, address, index, boots: 0, monoOffsetMs }),
      isUp: true,
      stalledUntilMs: 0,
      inbox: [],
      monoOffsetMs,
      tickSerial: 0,
      boots: 1,
      redials: 0,
      sent: 0,
    };
    this.nodes.push(node);
    this.#byAddress.set(address, node);
    this.#schedule(node);
    return node;
  }

  node(index: number): SimNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  /** Runs `fn` at an instant of the world. */
  at(atMs: number, fn: () => void): void {
    this.#queue.push({ atMs, serial: this.#serial++, run: fn });
  }

  /** Runs until the given instant. */
  runUntil(atMs: number): void {
    for (let due = this.#queue.peek(); due !== undefined && due.atMs <= atMs; due = this.#queue.peek()) {
      this.#queue.pop();
      this.#spin = due.atMs > this.nowMs ? 0 : this.#spin + 1;
      if (this.#spin > SPIN_MAX) throw new Error(`seed ${this.seed}: spinning at ${this.nowMs}`);
      this.nowMs = Math.max(this.nowMs, due.atMs);
      due.run();
    }
    this.nowMs = atMs;
  }

  runFor(ms: number): void {
    this.runUntil(this.nowMs + ms);
  }

  /** Runs until the condition holds, looking every 10 ms. Returns the ms it took, or `undefined` when `maxMs` was not enough. */
  runUntilTrue(condition: () => boolean, maxMs: number): number | undefined {
    const startMs = this.nowMs;
    while (!condition()) {
      if (this.nowMs - startMs >= maxMs) return undefined;
      this.runFor(10);
    }
    return this.nowMs - startMs;
  }

  /** Calls a machine as its driver would. Does nothing while the node is down. */
  call(node: SimNode, run: (membership: Membership, now: Now, out: Effect[]) => void): void {
    if (!node.isUp) return;
    const out: Effect[] = [];
    run(node.membership, this.#clock(node.monoOffsetMs), out);
    this.#carryOut(node, out);
    this.#schedule(node);
  }

  setSelf(node: SimNode, patch: SelfPatch): void {
    this.call(node, (membership, now, out) => membership.setSelf(patch, now, out));
  }

  /** SIGKILL. */
  crash(node: SimNode): void {
    node.isUp = false;
    node.inbox.length = 0;
    if (!this.#config.tellsLinks) return;
    for (const other of this.nodes) {
      if (other === node || !other.isUp) continue;
      const delayMs = this.#delayMs();
      this.at(this.nowMs + delayMs, () => this.#deliver(other, () => this.#linkDown(other, node.id)));
    }
  }

  /** A new process with the same id, after a crash; a new address if asked for. */
  restart(node: SimNode, address = node.address): void {
    const index = this.nodes.indexOf(node);
    this.#byAddress.delete(node.address);
    this.#byAddress.set(address, node);
    node.address = address;
    node.membership = this.#boot({ ...node, index });
    node.boots++;
    node.isUp = true;
    node.stalledUntilMs = 0;
    this.#schedule(node);
  }

  /** The event loop of the node stands still. */
  stall(node: SimNode, ms: number): void {
    if (!node.isUp) return;
    node.stalledUntilMs = this.nowMs + ms;
    this.at(node.stalledUntilMs, () => this.#resume(node, ms));
  }

  /** Loses what `from` sends to `to`, from now on. */
  cutOneWay(from: SimNode, to: SimNode): void {
    this.#cuts.add(`${from.id}>${to.id}`);
  }

  /** Loses everything between the two groups. */
  cut(left: readonly SimNode[], right: readonly SimNode[]): void {
    for (const a of left) {
      for (const b of right) {
        this.cutOneWay(a, b);
        this.cutOneWay(b, a);
      }
    }
  }

  /** Ends all cuts. */
  heal(): void {
    this.#cuts.clear();
  }

  /** Nodes that run. */
  get up(): readonly SimNode[] {
    return this.nodes.filter(({ isUp }) => isUp);
  }

  /** What `viewer` holds of `about`. */
  record(viewer: SimNode, about: SimNode): MemberRecord | undefined {
    return viewer.membership.get(about.id);
  }

  /** Whether all running nodes hold the member dead. */
  isDeadEverywhere(about: SimNode): boolean {
    return this.up.every((viewer) => this.record(viewer, about)?.liveness === "dead");
  }

  /** Whether all running nodes hold all running nodes alive, and all views are the same. */
  isConverged(): boolean {
    const { up } = this;
    const views = new Set(up.map(({ membership }) => JSON.stringify(membership.records())));
    return (
      views.size === 1 &&
      up.every((viewer) => up.every((about) => this.record(viewer, about)?.liveness === "alive"))
    );
  }

  /** Whether all running nodes hold the member in this state. */
  isEverywhere(about: SimNode, ringState: RingState): boolean {
    return this.up.every((viewer) => this.record(viewer, about)?.ringState === ringState);
  }

  /** Events of one type, as far as asked from an instant on. */
  eventsOf<T extends NodeEvent["type"]>(
    type: T,
    sinceMs = 0,
  ): (SimEvent & { readonly event: Extract<NodeEvent, { type: T }> })[] {
    return this.events.filter(
      (item): item is SimEvent & { readonly event: Extract<NodeEvent, { type: T }> } =>
        item.event.type === type && item.atMs >= sinceMs,
    );
  }

  #boot(init: {
    readonly id: MemberId;
    readonly address: string;
    readonly index: number;
    readonly boots: number;
    readonly monoOffsetMs: number;
  }): Membership {
    const isFounder = init.index === 0 && init.boots === 0;
    const now = this.#clock(init.monoOffsetMs);
    return new Membership(
      {
        self: {
          id: init.id,
          address: init.address,
          zone: "",
          weight: 1,
          generation: Math.floor(now.wallMs) + init.boots,
        },
        seeds: isFounder ? [] : ["10.0.0.0:7400", "10.0.0.1:7400"],
        startsInRing: isFounder,
        options: { ...MEMBERSHIP_DEFAULTS, ...this.#config.options },
        replicas: 3,
      },
      this.#nodePrng.fork(`${init.id}/${init.boots}`),
      now,
    );
  }

  #clock(monoOffsetMs: number): Now {
    return { monoMs: this.nowMs + monoOffsetMs, wallMs: WALL_START_MS + this.nowMs };
  }

  #schedule(node: SimNode): void {
    const serial = ++node.tickSerial;
    const atMs = Math.max(this.nowMs, node.membership.deadline() - node.monoOffsetMs);
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.at(atMs, () => {
      if (node.tickSerial !== serial || !node.isUp || this.nowMs < node.stalledUntilMs) return;
      this.#mark(`t ${node.id}`);
      this.call(node, (membership, now, out) => membership.tick(now, out));
    });
  }

  /** After a stall: first what is waiting, then the stall itself, then what is overdue. */
  #resume(node: SimNode, ms: number): void {
    if (!node.isUp || this.nowMs < node.stalledUntilMs) return;
    for (const run of node.inbox.splice(0)) run();
    this.call(node, (membership, now, out) => membership.stalled(ms, now, out));
  }

  #deliver(node: SimNode, run: () => void): void {
    if (!node.isUp) return;
    if (this.nowMs < node.stalledUntilMs) node.inbox.push(run);
    else run();
  }

  #linkDown(node: SimNode, member: MemberId): void {
    this.#mark(`l ${node.id} ${member}`);
    this.call(node, (membership, now, out) => membership.link(member, false, now, out));
  }

  #carryOut(node: SimNode, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === "send" && effect.path === "gossip") {
        this.#send(node, effect.to, effect.address, effect.message as MembershipMessage);
      } else if (effect.kind === "event") this.#note(node, effect.event);
      else if (effect.kind === "redial") node.redials++;
    }
  }

  #note(node: SimNode, event: NodeEvent): void {
    this.#mark(`e ${node.id} ${JSON.stringify(event)}`);
    this.events.push({ atMs: this.nowMs, node: node.id, event });
    if (event.type !== "memberRingState" || this.#config.activates === false) return;
    // A stand-in for the rest of the node: whoever knows others is active 50 ms later.
    this.at(this.nowMs + 50, () => this.#activate(node));
  }

  #activate(node: SimNode): void {
    const { ringState } = node.membership.self;
    const knowsOthers = node.membership.records().length > 1;
    if (knowsOthers && (ringState === "joining" || ringState === "warming")) {
      this.setSelf(node, { ringState: "active" });
    }
  }

  #send(from: SimNode, to: MemberId | "", address: string, message: MembershipMessage): void {
    from.sent++;
    const isLarge = message.kind === "sync" && message.records.length >= LARGE_TABLE;
    const bytes = isLarge ? `sync ${message.records.length}` : JSON.stringify(message);
    const delayMs = this.#delayMs();
    const isLost = this.#network.chance(this.loss);
    if (isLost) return;
    const fromAddress = from.address;
    this.at(this.nowMs + delayMs, () => {
      const target = this.#byAddress.get(address);
      if (target === undefined || !target.isUp || (to !== "" && target.id !== to)) return;
      if (this.#cuts.has(`${from.id}>${target.id}`)) return;
      this.#deliver(target, () => {
        this.#mark(`m ${from.id} ${target.id} ${bytes}`);
        this.call(target, (membership, now, out) =>
          membership.handle(from.id, fromAddress, isLarge ? message : JSON.parse(bytes), now, out),
        );
      });
    });
  }

  #delayMs(): number {
    const [least, more] = this.#config.delayMs ?? [0.2, 1];
    return least + this.#network.float() * more;
  }

  #mark(text: string): void {
    let digest = this.#digest;
    const line = `${this.nowMs} ${text}`;
    for (let index = 0; index < line.length; index++) {
      digest = Math.imul(digest ^ line.charCodeAt(index), 0x01000193);
    }
    this.#digest = digest;
  }
}

/** A world whose nodes have all joined, are active and agree. */
export function settledSim(config: SwimSimConfig): SwimSim {
  const sim = new SwimSim({ ...config, loss: 0 });
  const isSettled = () => sim.isConverged() && sim.nodes.every((node) => sim.isEverywhere(node, "active"));
  if (sim.runUntilTrue(isSettled, 30_000) === undefined) {
    throw new Error(`seed ${config.seed}: ${config.nodes} nodes did not settle`);
  }
  sim.loss = config.loss ?? 0;
  return sim;
}
