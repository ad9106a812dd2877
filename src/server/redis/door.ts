// The Redis door of a node: listens, and lets each connection run its commands on the node's own core (keyspace.ts). It keeps nothing of
// its own: what it answers is what the cluster holds.
//
// It works in turns of the event loop: what all connections asked in a turn goes to the core in one step, and what a connection is answered
// in a turn leaves in one write. While the core has enough to do, requests wait in their sockets: Redis clients know no other way to be told to wait.
//
// With a secret, a connection has to prove it (AUTH, HELLO AUTH) within a few seconds; with certificates, it is TLS.

import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { type Address, formatAddress } from "../../base/address.ts";
import type { Hashes } from "../../base/hash.ts";
import type { MemberId } from "../../base/ids.ts";
import type { Input } from "../../core/machine.ts";
import type { ClientReply, DoorMessage, ReadMode, WriteMode } from "../../core/messages.ts";
import type { ClusterView } from "../../core/replication/cluster-view.ts";
import type { NodeStatus } from "../../core/status.ts";
import { ignoreError } from "../../io/ignored-error.ts";
import type { Access } from "../../io/link.ts";
import type { ConnectionGate } from "../connection-gate.ts";
import type { Credentials } from "../credentials.ts";
import type { NodeLogger } from "../logger.ts";
import type { RequestMetrics } from "../request-metrics.ts";
import { type NodeTls, secureContext } from "../tls.ts";
import { BIT_COMMANDS } from "./bits.ts";
import { CLUSTER_COMMANDS } from "./cluster-commands.ts";
import { ClusterMap } from "./cluster-map.ts";
import { COMMANDS } from "./command-table.ts";
import { type Command, Connection, type ConnectionPorts } from "./connection.ts";
import { CONNECTION_COMMANDS } from "./connection-commands.ts";
import type { DoorCounters, Handler, Services } from "./context.ts";
import { EditQueue } from "./edit.ts";
import { endSocket } from "./end-socket.ts";
import { KEY_COMMANDS } from "./keys.ts";
import { CoreKeyspace, type CoreKeyspacePorts } from "./keyspace.ts";
import { PubSub } from "./pub-sub.ts";
import { PUB_SUB_COMMANDS } from "./pub-sub-commands.ts";
import { hashOfName, type Request } from "./request.ts";
import { SERVER_COMMANDS } from "./server-commands.ts";
import { SlotSweep } from "./slot-sweep.ts";
import { SlotWatch } from "./slot-watch.ts";
import { STRING_COMMANDS } from "./strings.ts";
import { Tracker } from "./tracking.ts";
import { transactionCommands } from "./transactions.ts";

/** What Redis this door follows: clients choose what they send by it. */
const REDIS_VERSION = "7.0.15";
/**
 * Arguments of one request: a quarter of what Redis takes, since taking a request apart and writing its reply is one step each, in which nobody
 * else is served: an MGET of a million keys held a node for 2 s, one of 250,000 holds it for a third of a second. Its bytes are bounded
 * besides, and so is what is under way of it (call.ts).
 */
const ARGUMENTS_MAX = 256 * 1024;
/** A connection that has not ended its TLS handshake by then, or not proved itself so long after it, is closed. */
const TLS_MS_MAX = 2_000;
const AUTH_MS_MAX = 2_500;
/** So long somebody who is not taken may read that. */
const REJECTED_MS_MAX = 1_000;
/** How often, within one turn, answers let requests go on that waited for them. */
const ROUNDS_MAX = 64;
/** Then others are heard, and the rest waits for the next turn. */
const TURN_MS_MAX = 5;
/** A half-open connection is found by the system after this much silence. */
const KEEP_ALIVE_MS = 60_000;

/** The door's own options, resolved. */
export interface DoorOptions {
  readonly credentials: Credentials;
  readonly gate: ConnectionGate;
  readonly isCluster: boolean;
  readonly valueBytesMax: number;
  readonly memoryBytes: number;
  readonly connectionsMax: number;
  readonly read: ReadMode;
  readonly write: WriteMode;
  /** How long one operation may take. */
  readonly timeoutMs: number;
}

/** What the door needs from the rest of the node. */
export interface DoorPorts {
  feed(input: Input): void;
  /** See {@link CoreKeyspacePorts.getAlone}. */
  getAlone: CoreKeyspacePorts["getAlone"];
  nowMs(): number;
  /** The cluster's wall time. */
  wallMs(): number;
  status(): NodeStatus;
  /** Tells a member, this node included. False when it cannot be told; true and lost all the same, when its link breaks. */
  tell(member: MemberId, message: DoorMessage): boolean;
  readonly view: ClusterView;
  readonly hashes: Hashes;
  readonly metrics: RequestMetrics;
  readonly logger: NodeLogger;
  /** A request was refused that its user may not make. */
  onDenied(user: string, remoteAddress: string, reason: string): void;
}

/**
 * A server that does not listen yet: {@link RedisDoor} takes its connections. Whoever has said all it wants to say (`printf ... | nc`) is
 * still answered.
 */
export function createDoorServer(tls: NodeTls | undefined): Server {
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  const options = { allowHalfOpen: true, noDelay: true, ...keepAlive };
  if (tls === undefined) return createServer(options);
  return createTlsServer({ ...options, ...secureContext(tls), handshakeTimeout: TLS_MS_MAX });
}

/** See the top of the file. */
export class RedisDoor {
  readonly #options: DoorOptions;
  readonly #ports: DoorPorts;
  readonly #server: Server;
  readonly #address: Address;
  readonly #connections = new Map<number, Connection>();
  readonly #keyspace: CoreKeyspace;
  readonly #pubSub: PubSub;
  readonly #tracker: Tracker;
  readonly #map: ClusterMap;
  readonly #connectionPorts: ConnectionPorts;
  readonly #counters: DoorCounters = {
    connectionsTotal: 0,
    commandsTotal: 0,
    rejectedTotal: 0,
    hitsTotal: 0,
    missesTotal: 0,
  };
  #awake: Connection[] = [];
  #isTurnDue = false;
  /** Wait until the core has room for more. */
  readonly #held = new Set<Connection>();
  #lastId = 0;
  #isDraining = false;

  /** @param bound Where `server` listens; @param address where others reach it. */
  constructor(server: Server, address: Address, options: DoorOptions, ports: DoorPorts) {
    this.#server = server;
    this.#address = address;
    this.#options = options;
    this.#ports = ports;
    const { read, write, timeoutMs, valueBytesMax } = options;
    const { feed, getAlone, nowMs, metrics, view } = ports;
    const clientId = randomBytes(6).readUIntBE(0, 6) + 1;
    const firstRound = Math.max(1, Math.floor(ports.wallMs()));
    const random = Math.random;
    this.#keyspace = new CoreKeyspace({
      feed,
      getAlone,
      nowMs,
      metrics,
      view,
      read,
      write,
      timeoutMs,
      clientId,
      random,
      soon: () => this.#turnSoon(),
    });
    this.#pubSub = new PubSub((channel, payload) => this.#broadcast(channel, payload));
    this.#tracker = new Tracker(
      { keyspace: this.#keyspace, session: (id) => this.#session(id), clientId },
      (listener) => new SlotWatch({ view, send: ports.tell, nowMs, firstRound, ...listener }),
    );
    this.#map = new ClusterMap(view, address);
    this.#connectionPorts = {
      services: this.#services(),
      limits: {
        argumentsMax: ARGUMENTS_MAX,
        argumentBytesMax: valueBytesMax,
        requestBytesMax: 2 * valueBytesMax + 1024 * 1024,
      },
      commandOf: commandOf(commandTable()),
      wake: (connection) => this.#wake(connection),
      hold: (connection) => this.#held.add(connection),
      onClose: (connection) => {
        this.#connections.delete(connection.id);
        this.#held.delete(connection);
      },
    };
    const isTls = options.credentials.tls !== undefined;
    server.on(isTls ? "secureConnection" : "connection", (socket: Socket) => this.#accept(socket));
    options.gate.attach(server, !isTls && !options.credentials.isSecured);
    ports.logger.info({ address: formatAddress(address), cluster: options.isCluster }, "redis door open");
  }

  /** `host:port` that Redis clients reach it at. */
  get address(): string {
    return formatAddress(this.#address);
  }

  /** For the node's metrics. */
  get counts(): { readonly connections: number; readonly commandsTotal: number } {
    return { connections: this.#connections.size, commandsTotal: this.#counters.commandsTotal };
  }

  /** Whether every request that was taken on is answered. */
  get isDrained(): boolean {
    if (this.#keyspace.pending > 0) return false;
    for (const { pending } of this.#connections.values()) if (pending > 0) return false;
    return true;
  }

  /** Takes a reply of the core for the door. */
  reply(message: ClientReply): void {
    this.#keyspace.reply(message);
  }

  /** A link to a member opened: it is told where this door is. */
  linkUp(member: MemberId): void {
    this.#ports.tell(member, { kind: "doorAddress", address: this.address });
    this.#tracker.clusterChanged(member);
  }

  /** The last link to a member closed. */
  linkDown(member: MemberId): void {
    this.#tracker.clusterChanged(member);
  }

  /** The members, or the ring, are not what they were. */
  clusterChanged(): void {
    const { view, tell } = this.#ports;
    this.#tracker.clusterChanged();
    // Again: whoever was told before may not have heard it. A few bytes at each change.
    for (const { id } of view.ring?.members ?? [])
      if (id !== view.self) tell(id, { kind: "doorAddress", address: this.address });
  }

  /** Takes what another node's door, or a member's store, says. */
  heard(member: MemberId, message: Exclude<DoorMessage, { kind: "watch" }>): void {
    if (message.kind === "doorAddress") this.#map.setDoor(member, message.address);
    else if (message.kind === "publish") this.#pubSub.deliver(message.channel, message.payload);
    else this.#tracker.heard(member, message);
  }

  /** No new connections, and each ends once its requests under way are answered: clients connect elsewhere. */
  drain(): void {
    this.#isDraining = true;
    this.#server.close();
    for (const connection of this.#connections.values()) connection.close();
  }

  /** Ends the connections of some once their requests under way are answered: their clients may connect again. */
  closeWhere(isMeant: (access: Access) => boolean): void {
    for (const connection of [...this.#connections.values()]) {
      if (connection.access !== undefined && isMeant(connection.access)) connection.close();
    }
  }

  /** The node's certificates have changed. New connections see the new ones. */
  renewCertificates(): void {
    const { tls } = this.#options.credentials;
    if (tls !== undefined) (this.#server as TlsServer).setSecureContext(secureContext(tls));
  }

  /** Cuts whatever is left. */
  close(): void {
    this.drain();
    this.#keyspace.close();
    for (const connection of [...this.#connections.values()]) connection.destroy();
    this.#tracker.close();
  }

  #accept(socket: Socket): void {
    if (this.#isDraining || this.#connections.size >= this.#options.connectionsMax) {
      this.#counters.rejectedTotal++;
      socket.on("error", ignoreError);
      socket.write("-ERR max number of clients reached\r\n");
      endSocket(socket, REJECTED_MS_MAX);
      return;
    }
    this.#counters.connectionsTotal++;
    const connection = new Connection(++this.#lastId, socket, this.#connectionPorts);
    this.#connections.set(connection.id, connection);
    if (!this.#options.credentials.isSecured) {
      this.#options.gate.proved(connection.address);
      return;
    }
    const timer = setTimeout(() => {
      if (connection.access === undefined) connection.destroy();
    }, AUTH_MS_MAX);
    socket.once("close", () => clearTimeout(timer));
  }

  #wake(connection: Connection): void {
    this.#awake.push(connection);
    this.#turnSoon();
  }

  #turnSoon(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    setImmediate(() => this.#turn());
  }

  /** See the top of the file. What is left after some rounds waits for the next turn: others are to be heard in between. */
  #turn(): void {
    this.#isTurnDue = false;
    const touched: Connection[] = [];
    const endMs = this.#ports.nowMs() + TURN_MS_MAX;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#keyspace.flush();
      const isOver = this.#awake.length === 0 && !this.#keyspace.isWaiting;
      if (isOver || this.#ports.nowMs() > endMs) break;
      const awake = this.#awake;
      this.#awake = [];
      for (const connection of awake) {
        connection.goOn();
        touched.push(connection);
      }
    }
    // Once each; those that are awake again come with the next turn.
    for (const connection of new Set(touched)) connection.flush();
    if (this.#awake.length > 0 || this.#keyspace.isWaiting) this.#turnSoon();
    this.#wakeHeld();
  }

  /** Connections that waited for others to be served may go on. */
  #wakeHeld(): void {
    if (this.#held.size === 0 || this.#keyspace.isFull) return;
    const held = [...this.#held];
    this.#held.clear();
    for (const connection of held) connection.wake();
  }

  #session(id: number): Connection | undefined {
    return this.#connections.get(id);
  }

  #broadcast(channel: Uint8Array, payload: Uint8Array): void {
    const { view, tell } = this.#ports;
    for (const { id } of view.ring?.members ?? []) {
      if (id !== view.self && view.isUsable(id)) tell(id, { kind: "publish", channel, payload });
    }
  }

  #services(): Services {
    const { credentials, gate, isCluster, valueBytesMax, memoryBytes, connectionsMax } = this.#options;
    const { wallMs, status, hashes, logger, onDenied } = this.#ports;
    return {
      keyspace: this.#keyspace,
      edits: new EditQueue(),
      pubSub: this.#pubSub,
      tracker: this.#tracker,
      sweep: new SlotSweep(this.#keyspace, hashes, isCluster ? () => this.#map.ownSlots() : undefined),
      map: this.#map,
      counters: this.#counters,
      isSecured: credentials.isSecured,
      accessOf: (name, secret) => credentials.accessOf(name, secret),
      onWrongSecret: ({ address }) => gate.failed(address),
      onProved: ({ address }) => gate.proved(address),
      onDenied: (session, reason) => onDenied(session.access?.user ?? "", session.address, reason),
      port: this.#address.port,
      runId: randomBytes(20).toString("hex"),
      version: REDIS_VERSION,
      ...{ isCluster, valueBytesMax, memoryBytes, connectionsMax, wallMs, status },
      sessions: () => this.#connections.values(),
      session: (id) => this.#session(id),
      onBug: (error) => logger.error({ err: error }, "a bug in the redis door: please report it"),
    };
  }
}

/** Every command with its handler; a command of the table without one is a bug found at start. */
function commandTable(): ReadonlyMap<string, Command> {
  const handlers: Record<string, Handler> = {
    ...STRING_COMMANDS,
    ...BIT_COMMANDS,
    ...KEY_COMMANDS,
    ...CONNECTION_COMMANDS,
    ...SERVER_COMMANDS,
    ...PUB_SUB_COMMANDS,
    ...CLUSTER_COMMANDS,
    ...transactionCommands(({ name }) => handlers[name]!),
  };
  const table = new Map<string, Command>();
  for (const spec of COMMANDS.values()) {
    const handler = handlers[spec.name];
    if (handler === undefined) throw new Error(`No handler for ${spec.name}`);
    const isOnKeys = spec.firstKey > 0 && spec.name !== "watch";
    table.set(spec.name, { spec, handler, isOnKeys });
  }
  return table;
}

/** Finds a command by the bytes of its name, whatever their case. */
function commandOf(table: ReadonlyMap<string, Command>): (request: Request) => Command | undefined {
  const byHash = new Map<number, Command[]>();
  for (const [name, command] of table) {
    const hash = hashOfName(name);
    byHash.set(hash, [...(byHash.get(hash) ?? []), command]);
  }
  return (request) => byHash.get(request.nameHash)?.find(({ spec }) => request.isNamed(spec.name));
}
