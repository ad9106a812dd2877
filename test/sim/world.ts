// A whole cluster with its clients on one virtual clock: the second driver of the machines that server/ and client/ drive on
// real time. Scenarios are plain programs over a World: start nodes, run for a while, break something, look.
//
// Everything that chance decides comes from generators derived from the run's seed, one per concern; nothing reads real time.

import type { Hashes } from "../../src/base/hash.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { ClientHandle } from "../../src/core/machine.ts";
import type { ClientReply, ClientRequest } from "../../src/core/messages.ts";
import type { NodeCoreInput, NodeCoreOptions } from "../../src/core/options.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import { SegmentStore } from "../../src/core/store/segment-store.ts";
import type { Store } from "../../src/core/store/store.ts";
import { AcknowledgementAuditor } from "./checkers/acknowledgements.ts";
import { checkBounds } from "./checkers/bounds.ts";
import { checkEviction } from "./checkers/evictions.ts";
import { RingRegistry } from "./checkers/rings.ts";
import type { ClientMachine } from "./client-adapter.ts";
import { ClientProcess } from "./client-process.ts";
import { CheckedCodec, type Codec } from "./codec.ts";
import { Connections } from "./connections.ts";
import { TraceDigest } from "./digest.ts";
import { EventQueue } from "./event-queue.ts";
import { History } from "./history.ts";
import { Lookers } from "./lookers.ts";
import { CALM, type Heal, Network, type NetworkProfile } from "./network.ts";
import { type NodeEnvironment, type NodeFactory, type NodeObserver, NodeProcess } from "./node-process.ts";
import { prngFor } from "./randomness.ts";
import { createCoreClient, createCoreNode, WIRE_CODEC } from "./subjects.ts";
import { Violation } from "./violation.ts";
import { WORKLOAD, Workload, type WorkloadOptions } from "./workload.ts";

/** What a client core is made with. */
export interface ClientSpec {
  readonly seed: number;
  readonly name: string;
  readonly seeds: readonly string[];
  readonly hashes: Hashes;
  readonly now: { readonly monoMs: number; readonly wallMs: number };
}

export type ClientFactory = (spec: ClientSpec) => ClientMachine;

export interface WorldOptions {
  readonly seed: number;
  readonly hashes: Hashes;
  readonly network?: Partial<NetworkProfile>;
  /** Options of every node. */
  readonly node?: Partial<Omit<NodeCoreInput, "id" | "generation" | "address" | "seeds">>;
  /** Store budget per node. */
  readonly storeBytesMax?: number;
  /** Share of it for tombstones; next to nothing makes floors rise with every delete. */
  readonly tombstoneShare?: number;
  readonly createNode?: NodeFactory;
  readonly createClient?: ClientFactory;
  readonly codec?: Codec;
  /** Told every step, for people. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** Events within one virtual second after which something must be spinning. */
const EVENTS_PER_SECOND_MAX = 400_000;
/** How often conditions are looked at. */
const POLL_MS = 50;

export class World implements NodeObserver {
  readonly seed: number;
  readonly queue: EventQueue;
  readonly network: Network;
  readonly connections: Connections;
  readonly digest = new TraceDigest();
  readonly history = new History();
  readonly rings: RingRegistry;
  readonly nodes = new Map<string, NodeProcess>();
  readonly clients = new Map<string, ClientProcess>();
  /** How often each kind of node event happened: tells whether a scenario exercised what it claims to. */
  readonly eventCounts = new Map<string, number>();
  /** Called for every node event, after the standing checks. */
  onEvent: (node: NodeProcess, event: NodeEvent) => void = () => {};
  /** When each host last was at the edge of a cut (virtual ms). */
  readonly lastCutMs = new Map<string, number>();
  readonly #options: WorldOptions;
  readonly #env: NodeEnvironment;
  readonly #auditor: AcknowledgementAuditor;
  readonly #workloads: Workload[] = [];
  #lookers: Lookers | undefined;
  readonly #standingHeals = new Set<Heal>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.seed = options.seed;
    this.queue = new EventQueue(prngFor(options.seed, "scheduler"));
    this.network = new Network(options.seed, { ...CALM, ...options.network });
    const codec = new CheckedCodec(options.codec ?? WIRE_CODEC);
    const { queue, network, digest } = this;
    this.connections = new Connections({ queue, network, codec, digest });
    this.rings = new RingRegistry(options.hashes);
    this.#auditor = new AcknowledgementAuditor(this);
    this.#env = {
      seed: options.seed,
      queue,
      connections: this.connections,
      hashes: options.hashes,
      createNode: options.createNode ?? createCoreNode,
      createStore: (nodeOptions) => this.#createStore(nodeOptions),
      observer: this,
    };
  }

  get nowMs(): number {
    return this.queue.nowMs;
  }

  get replicas(): number {
    return this.#options.node?.replicas ?? 3;
  }

  // ---- building

  /** Starts a node, the first one as the founder, the others with the addresses of those that run as seeds. */
  startNode(
    id: string,
    input: Partial<Omit<NodeCoreInput, "id" | "generation">> & { isFounder?: boolean } = {},
  ): NodeProcess {
    const { isFounder = this.nodes.size === 0, ...overrides } = input;
    const node = this.nodes.get(id) ?? new NodeProcess(id, this.#env);
    this.nodes.set(id, node);
    const others = [...this.nodes.values()].filter((each) => each !== node && each.address !== "");
    node.start({
      ...this.#options.node,
      address: node.address === "" ? `${id}:7400` : node.address,
      seeds: isFounder ? [] : others.map(({ address }) => address),
      genesisId: isFounder ? `genesis-${this.seed}-${this.nowMs}` : "",
      ...overrides,
    });
    this.trace("world", () => `start ${id} at ${node.address}`);
    return node;
  }

  /**
   * Starts a second process under the node's id on a host of its own, as an orchestrator does that takes a slow node for gone. From
   * now on it is the node; the process before it goes by `<id>-old`.
   */
  startTwin(id: string): NodeProcess {
    const old = this.node(id);
    this.nodes.set(`${id}-old`, old);
    const host = `${id}-twin`;
    const twin = new NodeProcess(host, this.#env, id);
    this.nodes.set(id, twin);
    const seeds = this.running.filter((node) => node !== old && node !== twin).map(({ address }) => address);
    twin.start({ ...this.#options.node, address: `${host}:7400`, seeds, genesisId: "" });
    this.trace("world", () => `start a twin of ${id}`);
    return twin;
  }

  /** Starts `count` nodes n1, n2... and waits until they are one settled cluster. */
  bootCluster(count: number, boundMs = 60_000): void {
    for (let index = 1; index <= count; index++) this.startNode(`n${index}`);
    this.awaitSettled("the cluster to form", boundMs);
  }

  /** Starts callers that walk over all keys; they stop with the workloads. */
  startLookers(): void {
    this.#lookers = new Lookers(this);
  }

  /** Whether there are such callers. */
  get hasLookers(): boolean {
    return this.#lookers !== undefined;
  }

  /** Starts a client that knows all nodes' addresses, or the given ones. */
  startClient(name: string, seeds?: readonly string[]): ClientProcess {
    const addresses = seeds ?? [...this.nodes.values()].map(({ address }) => address);
    const create = this.#options.createClient ?? createCoreClient;
    const env = { queue: this.queue, connections: this.connections, trace: this.trace.bind(this) };
    const client = new ClientProcess(name, env, (loop) => {
      const prng = prngFor(this.seed, `client shell ${name}`);
      loop.clock.monoOffsetMs = prng.below(1_000_000);
      return create({
        seed: this.seed,
        name,
        seeds: addresses,
        hashes: this.#options.hashes,
        now: loop.now,
      });
    });
    this.clients.set(name, client);
    return client;
  }

  /** Starts callers on the given clients (default: all). */
  startWorkload(options: Partial<WorkloadOptions> = {}, clients?: readonly ClientProcess[]): Workload {
    const workload = new Workload({
      seed: this.seed,
      queue: this.queue,
      history: this.history,
      clients: clients ?? [...this.clients.values()],
      options: { ...WORKLOAD, ...options },
    });
    this.#workloads.push(workload);
    return workload;
  }

  // ---- time

  run(ms: number): void {
    const untilMs = this.queue.nowMs + ms;
    let secondEndsMs = this.queue.nowMs + 1000;
    let firstEvent = this.queue.count;
    try {
      while (this.queue.step(untilMs)) {
        if (this.queue.nowMs > secondEndsMs) {
          secondEndsMs = this.queue.nowMs + 1000;
          firstEvent = this.queue.count;
          checkBounds(this);
        } else if (this.queue.count - firstEvent > EVENTS_PER_SECOND_MAX) {
          throw new Violation("progress", `${EVENTS_PER_SECOND_MAX} events within one second`);
        }
      }
    } catch (error) {
      throw this.#numbered(error);
    }
  }

  /** Runs until `isTrue`, looked at every {@link POLL_MS}. Says whether it came true in time. */
  runUntil(isTrue: () => boolean, boundMs: number): boolean {
    const untilMs = this.nowMs + boundMs;
    while (!isTrue()) {
      if (this.nowMs >= untilMs) return false;
      this.run(Math.min(POLL_MS, untilMs - this.nowMs));
    }
    return true;
  }

  /** @throws {Violation} of the invariant `liveness` when it does not come true in time. */
  await(what: string, isTrue: () => boolean, boundMs: number): void {
    if (this.runUntil(isTrue, boundMs)) return;
    throw this.#numbered(new Violation("liveness", `waited ${boundMs} ms for ${what}\n${this.describe()}`));
  }

  // ---- faults

  crash(id: string, isSilent = false): void {
    this.trace("world", () => `crash ${id}${isSilent ? " silently" : ""}`);
    this.node(id).crash(isSilent);
  }

  /** Starts the node again under its id, optionally at a new address. */
  restart(id: string, address?: string): void {
    this.startNode(id, { isFounder: false, ...(address === undefined ? {} : { address }) });
  }

  /** Stops the process without a word for `ms`, as SIGSTOP and SIGCONT, or an event loop that is busy. */
  pause(id: string, ms: number): void {
    const node = this.node(id);
    const { epoch } = node;
    if (!node.isRunning) return;
    this.trace("world", () => `pause ${id} for ${ms} ms`);
    node.pause();
    this.queue.after(ms, () => {
      this.trace("world", () => `resume ${id}`);
      if (node.epoch === epoch) node.resume();
    });
  }

  /** Cuts between two groups of hosts; see {@link Network.cut}. */
  cut(sources: readonly string[], targets: readonly string[], isOneWay = false): Heal {
    this.trace("world", () => `cut ${sources.join()} ${isOneWay ? ">" : "|"} ${targets.join()}`);
    return this.#disturb([...sources, ...targets], this.network.cut(sources, targets, isOneWay));
  }

  partition(...groups: readonly (readonly string[])[]): Heal {
    this.trace("world", () => `partition ${groups.map((group) => group.join()).join(" | ")}`);
    return this.#disturb(groups.flat(), this.network.partition(groups));
  }

  /** Undoes every cut that is still there and sets every clock right. */
  healAll(): void {
    for (const heal of [...this.#standingHeals]) heal();
    for (const node of this.nodes.values()) node.loop.clock.correct();
  }

  #disturb(hosts: readonly string[], heal: Heal): Heal {
    const mark = () => {
      for (const host of hosts) this.lastCutMs.set(host, this.nowMs);
    };
    mark();
    const marked = () => {
      if (!this.#standingHeals.delete(marked)) return;
      this.trace("world", () => `heal ${hosts.join()}`);
      mark();
      heal();
    };
    this.#standingHeals.add(marked);
    return marked;
  }

  // ---- looking

  node(id: string): NodeProcess {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Running nodes, in the order of their first start. */
  get running(): NodeProcess[] {
    return [...this.nodes.values()].filter(({ isRunning }) => isRunning);
  }

  get statuses(): NodeStatus[] {
    return this.running.map((node) => node.status!);
  }

  /** Running nodes agree that they, and nobody else, are the ring, alive, with every copy in place. */
  get isSettled(): boolean {
    const ids = this.running.map(({ id }) => id).sort();
    const [first] = this.statuses;
    return (
      first !== undefined &&
      first.ringId !== "" &&
      this.statuses.every((status) => isAtRest(status, first, ids))
    );
  }

  awaitSettled(what: string, boundMs: number): void {
    this.await(what, () => this.isSettled, boundMs);
  }

  /** Stops the callers and waits for what they have under way: every call must settle by its deadline. */
  drainWorkloads(boundMs = 10_000): void {
    const callers = [...this.#workloads, ...(this.#lookers === undefined ? [] : [this.#lookers])];
    for (const each of callers) each.stop();
    this.await("every call to settle", () => callers.every(({ active }) => active === 0), boundMs);
  }

  /** The cluster as its nodes see it, for messages. */
  describe(): string {
    return [...this.nodes.values()]
      .map((node) => {
        const { status } = node;
        if (status === undefined) return `${node.id}: not running`;
        const members = status.members.map(
          (each) =>
            `${each.id}:${each.liveness}/${each.ringState}${each.isReachable ? "" : "!"}${each.isSettled ? "" : "~"}`,
        );
        return `${node.id}: ring ${status.ringId} ${status.verdict} warming ${status.slotsWarming} hints ${status.hints.count} pending ${status.pending} skew ${status.clockSkewMs} [${members.join(" ")}]`;
      })
      .join("\n");
  }

  trace(source: string, text: () => string): void {
    this.#options.trace?.(`${this.nowMs.toFixed(3)} ${source} ${text()}`);
  }

  // ---- observer of nodes

  event(node: NodeProcess, event: NodeEvent): void {
    this.eventCounts.set(event.type, (this.eventCounts.get(event.type) ?? 0) + 1);
    this.digest.addText(event.type);
    if (event.type === "ringChanged") this.rings.seen(node);
    if (event.type === "evicting") checkEviction(this, node, event.member);
    this.onEvent(node, event);
  }

  request(node: NodeProcess, client: ClientHandle, request: ClientRequest): void {
    // Where stores evict or have floors, that a replica holds nothing says nothing.
    const { storeBytesMax, tombstoneShare } = this.#options;
    if (storeBytesMax === undefined && tombstoneShare === undefined)
      this.#auditor.request(node, client, request);
  }

  reply(node: NodeProcess, client: ClientHandle, message: ClientReply): void {
    this.#auditor.reply(node, client, message);
  }

  #createStore(_options: NodeCoreOptions): Store {
    // Small segments, so that records cross their ends and are moved all the time.
    const { storeBytesMax: bytesMax = 64 * 1024 * 1024, tombstoneShare = 0.05, hashes } = this.#options;
    return new SegmentStore({ bytesMax, segmentBytes: 4096, tombstoneShare }, hashes);
  }

  #numbered(error: unknown): unknown {
    if (!(error instanceof Violation) || error.event !== 0) return error;
    const numbered = new Violation(error.invariant, "", this.queue.count);
    numbered.message = error.message;
    return numbered;
  }
}

function isAtRest(status: NodeStatus, first: NodeStatus, ids: readonly string[]): boolean {
  if (status.ringId !== first.ringId || !status.isReady || !status.isSafe || status.hints.count > 0)
    return false;
  if (status.change.moving.length > 0) return false;
  const inRing = status.members.filter(({ ringState }) => ringState === "active");
  return (
    inRing.length === ids.length &&
    inRing.every(
      ({ id, liveness, isReachable, isSettled }, index) =>
        id === ids[index] && liveness === "alive" && isReachable && isSettled,
    )
  );
}
