// A node's process: a NodeCore and the shell around it as server/driver would build it: connections dialled when something is
// to be sent, at most one frame per turn and destination, link news fed back, seeds dialled until a genesis id is learnt.

import type { Hashes } from "../../src/base/hash.ts";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { ClientHandle, Effect, Input, Machine, Now } from "../../src/core/machine.ts";
import type {
  ClientReply,
  ClientRequest,
  GossipMessage,
  Message,
  PeerMessage,
} from "../../src/core/messages.ts";
import type { NodeCoreInput, NodeCoreOptions } from "../../src/core/options.ts";
import { resolveNodeCoreOptions } from "../../src/core/options.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import type { Store } from "../../src/core/store/store.ts";
import { Channels } from "./channels.ts";
import { HostClock } from "./clock.ts";
import type { Connection, Connections, Endpoint, SideIndex } from "./connections.ts";
import type { EventQueue } from "./event-queue.ts";
import { ProcessLoop } from "./process.ts";
import { prngFor } from "./randomness.ts";
import { Violation } from "./violation.ts";

/** A NodeCore, or something that stands in for it. */
export interface NodeMachine extends Machine<Input, Effect> {
  readonly genesisId: string;
  /** `undefined` of a stand-in that has none. */
  status(now: Now): NodeStatus | undefined;
}

export interface NodePorts {
  readonly store: Store;
  readonly hashes: Hashes;
  readonly prng: Prng;
}

export type NodeFactory = (options: NodeCoreOptions, ports: NodePorts, now: Now) => NodeMachine;

/** What the process tells the world. */
export interface NodeObserver {
  event(node: NodeProcess, event: NodeEvent): void;
  /** Just before a client's request goes in. */
  request(node: NodeProcess, client: ClientHandle, request: ClientRequest): void;
  /** Just before a reply leaves the node. */
  reply(node: NodeProcess, client: ClientHandle, message: ClientReply): void;
  trace(source: string, text: () => string): void;
}

export interface NodeEnvironment {
  readonly seed: number;
  readonly queue: EventQueue;
  readonly connections: Connections;
  readonly hashes: Hashes;
  readonly createNode: NodeFactory;
  readonly createStore: (options: NodeCoreOptions) => Store;
  readonly observer: NodeObserver;
}

const SEED_DIAL_MS = 300;
/** Wall clocks that are kept by a time daemon differ by up to this from the true time. */
const USUAL_CLOCK_ERROR_MS = 20;
/** No connection has this handle. */
const NOBODY = 0;
/** A driver takes a delay of at least this for a stall. */
const STALL_MS = 100;

export class NodeProcess implements Endpoint {
  readonly host: string;
  readonly id: MemberId;
  /** As it stands in the versions that it gives. */
  readonly origin: number;
  readonly role = "node" as const;
  readonly loop: ProcessLoop;
  epoch = 0;
  isRunning = false;
  /** The last start's options; `undefined` before the first. */
  options: NodeCoreOptions | undefined;
  store: Store | undefined;
  /** When the running process started (virtual ms). */
  startedAtMs = 0;
  /** When it last crashed, was held or left (virtual ms); -Infinity for never. */
  lastFaultMs = Number.NEGATIVE_INFINITY;
  hasLeft = false;
  /** The ring it has now. */
  ringId: RingId | "" = "";
  readonly #env: NodeEnvironment;
  readonly #prng: Prng;
  #core: NodeMachine | undefined;
  #generation = 0;
  #channels: Channels;
  #clients = new Map<ClientHandle, { connection: Connection; side: SideIndex }>();
  #handles = new Map<number, ClientHandle>();
  #nextHandle = 1;

  /** @param id The member id; another one's for a process that was started by mistake. */
  constructor(host: string, env: NodeEnvironment, id = host) {
    this.host = host;
    this.id = id as MemberId;
    this.origin = env.hashes.hash32(id);
    this.#env = env;
    this.#prng = prngFor(env.seed, `node shell ${host}`);
    const machine = {
      tick: () => this.#step({ kind: "tick" }),
      deadline: () => this.#core?.deadline() ?? Number.POSITIVE_INFINITY,
    };
    const clock = new HostClock(Math.round((this.#prng.float() - 0.5) * 2 * USUAL_CLOCK_ERROR_MS));
    this.loop = new ProcessLoop(host, env.queue, machine, clock);
    this.#channels = this.#newChannels();
  }

  get isResponsive(): boolean {
    return this.loop.isResponsive;
  }

  get genesisId(): string {
    return this.#core?.genesisId ?? "";
  }

  get address(): string {
    return this.options?.address ?? "";
  }

  get status(): NodeStatus | undefined {
    return this.#core?.status(this.loop.now);
  }

  /** Starts a process with empty memory. Its generation is greater than at any start before. */
  start(input: Omit<NodeCoreInput, "id" | "generation">): void {
    if (this.isRunning) throw new Error(`${this.id} is running`);
    const { queue, connections, createNode, createStore, hashes, seed } = this.#env;
    if (this.options !== undefined && this.options.address !== input.address) {
      connections.unlisten(this.options.address, this);
    }
    this.epoch++;
    this.loop.reset();
    this.#forgetConnections();
    // Monotonic clocks: half of the processes start near zero, as with performance.now(), the others anywhere.
    this.loop.clock.monoOffsetMs = this.#prng.chance(0.5)
      ? 20 + this.#prng.below(50) - queue.nowMs
      : this.#prng.below(100_000_000) / 7;
    const now = this.loop.now;
    this.#generation = Math.max(this.#generation + 1, now.wallMs);
    this.options = resolveNodeCoreOptions({ ...input, id: this.id, generation: this.#generation });
    this.store = createStore(this.options);
    const prng = prngFor(seed, `node ${this.host} ${this.epoch}`);
    this.#core = createNode(this.options, { store: this.store, hashes, prng }, now);
    this.isRunning = true;
    this.hasLeft = false;
    this.ringId = "";
    this.startedAtMs = queue.nowMs;
    connections.listen(input.address, this);
    this.loop.arm();
    this.#dialSeeds(0);
  }

  /** The process is gone with everything it knew. `isSilent`: like a loss of power, nobody is told. */
  crash(isSilent: boolean): void {
    if (!this.isRunning) return;
    this.isRunning = false;
    this.lastFaultMs = this.#env.queue.nowMs;
    this.loop.reset();
    if (isSilent) this.#env.connections.powerOff(this);
    this.#env.connections.abandon(this, isSilent);
    this.#core = undefined;
    this.store = undefined;
    this.#forgetConnections();
  }

  pause(): void {
    this.lastFaultMs = this.#env.queue.nowMs;
    this.loop.hold();
  }

  resume(): void {
    if (!this.isRunning) return;
    this.lastFaultMs = this.#env.queue.nowMs;
    this.loop.release((ms) => {
      if (ms >= STALL_MS) this.#step({ kind: "stall", ms });
    });
  }

  leave(): void {
    this.lastFaultMs = this.#env.queue.nowMs;
    this.loop.accept(() => this.#step({ kind: "leave" }));
  }

  /** An operator asks it for another place in the ring. Who asked has gone before the answer. */
  wish(zone: string, weight: number): void {
    const request = { kind: "place", id: 1, zone, weight } as const;
    this.loop.accept(() => this.#step({ kind: "client", client: NOBODY, request }));
  }

  opened(connection: Connection, side: SideIndex): void {
    this.#accept(connection, side, () => {
      const { endpoint } = connection.sides[side === 0 ? 1 : 0];
      if (endpoint.role === "client") return this.#clientOpened(connection, side);
      const peer = endpoint as NodeProcess;
      if (side === 0 && this.genesisId === "" && peer.genesisId !== "") {
        this.#step({ kind: "genesis", genesisId: peer.genesisId });
      }
      const generation = peer.options?.generation ?? 0;
      this.#channels.opened(connection, { id: peer.id, address: peer.address, generation });
    });
  }

  received(connection: Connection, side: SideIndex, messages: readonly Message[]): void {
    this.#accept(connection, side, () => {
      const { epoch } = this;
      for (const message of messages) {
        if (this.epoch !== epoch || !this.isRunning) return;
        this.#receive(connection, message);
      }
    });
  }

  closed(connection: Connection, side: SideIndex): void {
    this.#accept(connection, side, () => this.#lost(connection));
  }

  #accept(connection: Connection, side: SideIndex, work: () => void): void {
    if (!this.loop.accept(work)) this.#env.connections.close(connection, side);
  }

  #receive(connection: Connection, message: Message): void {
    if (connection.path === "client") {
      const client = this.#handles.get(connection.id);
      if (client === undefined) return;
      const request = message as ClientRequest;
      this.#env.observer.request(this, client, request);
      this.#step({ kind: "client", client, request });
      return;
    }
    const peer = this.#channels.peerOf(connection);
    if (peer === undefined) return;
    if (connection.path === "peer") {
      this.#step({ kind: "peer", from: peer.id, message: message as PeerMessage });
    } else {
      const gossip = message as GossipMessage;
      this.#step({ kind: "gossip", from: peer.id, fromAddress: peer.address, message: gossip });
    }
  }

  #clientOpened(connection: Connection, side: SideIndex): void {
    const client = this.#nextHandle++;
    this.#clients.set(client, { connection, side });
    this.#handles.set(connection.id, client);
    this.#step({ kind: "clientOpened", client });
  }

  #lost(connection: Connection): void {
    if (connection.path === "client") {
      const client = this.#handles.get(connection.id);
      if (client === undefined) return;
      this.#handles.delete(connection.id);
      this.#clients.delete(client);
      this.#step({ kind: "clientClosed", client });
      return;
    }
    this.#channels.closed(connection);
  }

  #step(input: Input): void {
    const core = this.#core;
    if (core === undefined) return;
    const { observer } = this.#env;
    observer.trace(this.host, () => `<- ${describe(input)}`);
    let effects: readonly Effect[];
    try {
      effects = core.step(input, this.loop.now);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Violation("assertion", `${this.id} on ${describe(input)}: ${text}`, this.#env.queue.count);
    }
    this.#carryOut(effects);
    this.loop.arm();
  }

  #carryOut(effects: readonly Effect[]): void {
    const frames = new Map<string, { send: (messages: Message[]) => void; messages: Message[] }>();
    const flush = () => {
      for (const { send, messages } of frames.values()) send(messages);
      frames.clear();
    };
    const add = (key: string, message: Message, send: (messages: Message[]) => void) => {
      const frame = frames.get(key);
      if (frame === undefined) frames.set(key, { send, messages: [message] });
      else frame.messages.push(message);
    };
    for (const effect of effects) {
      this.#env.observer.trace(this.host, () => `-> ${describe(effect)}`);
      if (effect.kind === "send") {
        const { to, address, path } = effect;
        const key = `${path} ${to === "" ? `@${address}` : to}`;
        add(key, effect.message, (messages) => this.#channels.send({ to, address, path }, messages));
      } else if (effect.kind === "reply") {
        const { client, message } = effect;
        this.#env.observer.reply(this, client, message);
        add(`client ${client}`, message, (messages) => this.#reply(client, messages));
      } else if (effect.kind === "event") {
        if (effect.event.type === "ringChanged") this.ringId = effect.event.ringId;
        this.#env.observer.event(this, effect.event);
      } else if (effect.kind === "redial") {
        flush();
        this.#channels.redial(effect.member, effect.path);
      } else {
        flush();
        this.#released();
      }
    }
    flush();
  }

  #reply(client: ClientHandle, messages: readonly Message[]): void {
    const entry = this.#clients.get(client);
    if (entry !== undefined) this.#env.connections.send(entry.connection, entry.side, messages);
  }

  #newChannels(): Channels {
    const { queue, connections } = this.#env;
    return new Channels({
      endpoint: this,
      queue,
      connections,
      prng: this.#prng,
      accept: (work) => this.loop.accept(work),
      news: (member, path, isUp) => this.#step({ kind: "link", member, path, isUp }),
    });
  }

  #released(): void {
    const { epoch } = this;
    this.hasLeft = true;
    this.#env.queue.after(100, () => {
      if (this.epoch === epoch) this.crash(false);
      this.hasLeft = true;
    });
  }

  /** Dials one seed after the other until one has told the genesis id. */
  #dialSeeds(attempt: number): void {
    const { epoch } = this;
    const seeds = this.options?.seeds ?? [];
    if (!this.isRunning || this.genesisId !== "" || seeds.length === 0) return;
    const address = seeds[attempt % seeds.length]!;
    this.#env.connections.dial(this, { address, path: "gossip" }, { onOpen: () => {}, onFailure: () => {} });
    this.#env.queue.after(SEED_DIAL_MS, () => {
      if (this.epoch === epoch) this.#dialSeeds(attempt + 1);
    });
  }

  #forgetConnections(): void {
    this.#channels = this.#newChannels();
    this.#clients = new Map();
    this.#handles = new Map();
  }
}

/** One line for traces. */
export function describe(value: unknown): string {
  return JSON.stringify(value, (key, field: unknown) => {
    if (field instanceof Uint8Array) return new TextDecoder().decode(field);
    if (Array.isArray(field) && field.length > 12) return `[${field.length} ${key}]`;
    return field;
  });
}
