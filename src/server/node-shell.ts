// The inside of a running node: core, driver, links, events and metrics, put together. It knows how to run, drain and close;
// when it does so is the lifecycle's matter (node.ts).

import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Server as NetServer } from "node:net";
import type { Address } from "../base/address.ts";
import type { Hashes } from "../base/hash.ts";
import type { MemberId } from "../base/ids.ts";
import { Prng } from "../base/prng.ts";
import type { Effect, Input, Machine, Now } from "../core/machine.ts";
import type { DoorMessage, Entry, Failure, ReadMode, Secrets } from "../core/messages.ts";
import { NodeCore } from "../core/node-core.ts";
import { type NodeCoreOptions, resolveNodeCoreOptions } from "../core/options.ts";
import type { ClusterView } from "../core/replication/cluster-view.ts";
import { NOT_ALONE } from "../core/replication/coordinator.ts";
import type { NodeStatus } from "../core/status.ts";
import { SegmentStore } from "../core/store/segment-store.ts";
import type { StoreWatch } from "../core/store/store.ts";
import { readNow } from "../io/clock.ts";
import {
  type Access,
  dialLink,
  type Link,
  LinkAcceptor,
  type LinkHandlers,
  type LocalIdentity,
  type Refusal,
} from "../io/link.ts";
import { resolveLinkLimits } from "../wire/limits.ts";
import { ClientLinks, failuresOf } from "./client-links.ts";
import { ConnectionGate } from "./connection-gate.ts";
import type { CredentialPart, Credentials } from "./credentials.ts";
import { Denials } from "./denials.ts";
import { Driver } from "./driver.ts";
import { EventFold } from "./events.ts";
import type { NodeLogger } from "./logger.ts";
import { metricsPage } from "./metrics.ts";
import type { ResolvedNodeOptions } from "./options.ts";
import { isForDoor, PeerLinks } from "./peer-links.ts";
import type { RedisDoor } from "./redis/door.ts";
import { DOOR_HANDLE } from "./redis/door-handle.ts";
import { RequestMetrics } from "./request-metrics.ts";
import { SecretSharing } from "./secret-sharing.ts";
import { SlotWatchers } from "./slot-watchers.ts";
import { secureContext } from "./tls.ts";

/** For name lookup, connection, TLS and handshake together: six round trips of 300 ms. */
const DIAL_TIMEOUT_MS = 2_000;

/** What the shell needs from a core: {@link NodeCore}, or a test's. */
export interface NodeMachine extends Machine<Input, Effect> {
  readonly genesisId: string;
  readonly isReady: boolean;
  /** Live: its answers change from step to step. */
  readonly view: ClusterView;
  status(now: Now): NodeStatus;
  /** The cluster's wall time. */
  wallMs(now: Now): number;
  /** See {@link NodeCore.getAlone}. */
  getAlone: NodeCore["getAlone"];
  /** See {@link NodeCore.giveBack}. */
  giveBack?(value: Uint8Array): void;
}

/** Builds the core of a node; for tests. */
export type CreateCore = (options: NodeCoreOptions, now: Now) => NodeMachine;

/** What a shell is built from, all of it known only once the port is bound. */
export interface ShellSetup {
  readonly options: ResolvedNodeOptions;
  readonly credentials: Credentials;
  /** What the options say, or as much as the system affords. */
  readonly connectionsMax: number;
  /** `host:port` that others reach this node at. */
  readonly address: string;
  readonly hashes: Hashes;
  readonly logger: NodeLogger;
  readonly createCore: CreateCore | undefined;
  /** The Redis door's server, which listens already, and where others reach it; `undefined` for no door. */
  readonly door: ListeningDoor | undefined;
}

/** A Redis door's server, and the class that serves it: loaded only where there is a door. */
export interface ListeningDoor {
  readonly server: NetServer;
  readonly address: Address;
  readonly Door: typeof RedisDoor;
}

/** What the lifecycle is told. */
export interface ShellListener {
  /** Something happened; {@link NodeShell.status} may say something else now. At least each 100 ms. */
  onChange(): void;
  onReleased(): void;
  onFatal(error: unknown): void;
}

/** See the top of the file. */
export class NodeShell {
  readonly #options: ResolvedNodeOptions;
  readonly #credentials: Credentials;
  readonly #denials: Denials;
  readonly #gate: ConnectionGate;
  readonly #sharing: SecretSharing;
  #behindLogged = "[]";
  readonly #core: NodeMachine;
  readonly #driver: Driver;
  readonly #clients: ClientLinks;
  readonly #peers: PeerLinks;
  readonly #acceptor: LinkAcceptor;
  readonly #events: EventFold;
  readonly #logger: NodeLogger;
  readonly #identity: Omit<LocalIdentity, "genesisId">;
  readonly #requests = new RequestMetrics();
  readonly #dials = new AbortController();
  readonly #refusals = new Map<string, number>();
  readonly #door: RedisDoor | undefined;
  readonly #watchers: SlotWatchers;
  /** When the door looked at what the node holds, for the rest of its callback; `undefined` between callbacks. */
  #lookedAt: Now | undefined;
  readonly #forgetLook = (): void => {
    this.#lookedAt = undefined;
  };
  #messagesDropped = 0;
  #loopLateMsMax = 0;

  /** The core begins its life here; nothing runs until {@link NodeShell.start}. */
  constructor(setup: ShellSetup, listener: ShellListener) {
    const { options } = setup;
    const now = readNow();
    this.#options = options;
    this.#credentials = setup.credentials;
    this.#sharing = new SecretSharing(options.name);
    this.#logger = setup.logger;
    this.#events = new EventFold(setup.logger, options.onEvent);
    const generation = Math.max(1, Math.floor(now.wallMs));
    this.#identity = {
      role: "node",
      clusterName: options.cluster,
      id: options.name,
      generation,
      address: setup.address,
      clientId: 0,
      replicas: options.replicas,
    };
    this.#watchers = new SlotWatchers({
      send: (member, message) => this.#tell(member, message),
      random: () => Math.floor(Math.random() * 2 ** 32),
    });
    const createCore = setup.createCore ?? realCore(options, setup.hashes, this.#watchers);
    this.#core = createCore(coreOptions(options, setup.address, generation), now);
    const feed = (input: Input) => this.#driver.feed(input);
    const nowMs = () => readNow().monoMs;
    const refusal = (id: number) => this.#refusal(id);
    const waitedMs = (at: number) => this.#driver.waitedMs(at);
    this.#gate = new ConnectionGate({
      connectionsMax: setup.connectionsMax,
      // The same share of what the system affords.
      connectionsPerAddressMax: Math.ceil(
        (options.connectionsPerAddressMax * setup.connectionsMax) / options.connectionsMax,
      ),
      nowMs,
      onRefused: (reason) => this.#countRefusal(reason),
    });
    const denials = new Denials(setup.logger, nowMs);
    this.#denials = denials;
    this.#clients = new ClientLinks({
      ...{ feed, nowMs, waitedMs, refusal, metrics: this.#requests },
      onDenied: (user, remoteAddress, reason) => denials.note(user, remoteAddress, reason),
      giveBack: (value) => this.#core.giveBack?.(value),
    });
    this.#peers = new PeerLinks({
      feed: (input) => this.#feedFromPeers(input),
      nowMs,
      refusal,
      self: () => ({ id: options.name, generation, genesisId: this.#core.genesisId }),
      dial: (address, path, onLink) => this.#dial(address, path, onLink),
      onEvent: (event) => this.#events.fold(event),
      random: Math.random,
      onDropped: (count) => {
        this.#messagesDropped += count;
      },
      trace: (text, facts) => setup.logger.debug(facts, text),
    });
    this.#driver = new Driver(this.#core, {
      now: readNow,
      send: (effect) => this.#peers.send(effect),
      redial: (member, path) => this.#peers.redial(member, path),
      reply: (client, message, atMs) => {
        if (client !== DOOR_HANDLE) this.#clients.reply(client, message, atMs);
        else if (message.kind === "topology") this.#door?.clusterChanged();
        else if (message.kind !== "overloaded") this.#door?.reply(message);
        else for (const failure of failuresOf(message)) this.#door?.reply(failure);
      },
      onEvent: (event) => {
        this.#events.fold(event, event.type === "waitingForSeeds" ? this.#seedReasons() : undefined);
        listener.onChange();
      },
      onReleased: () => listener.onReleased(),
      onBeat: (lateMs) => {
        this.#loopLateMsMax = Math.max(this.#loopLateMsMax, lateMs);
        listener.onChange();
      },
      onFatal: (error, inputKind) => {
        setup.logger.error({ err: error, input: inputKind }, "a bug stopped this node: please report it");
        listener.onFatal(error);
      },
    });
    this.#door = setup.door === undefined ? undefined : this.#newDoor(setup.door, setup.hashes);
    this.#acceptor = new LinkAcceptor({
      identity: () => this.#localIdentity(),
      secret: () => this.#credentials.secrets,
      findUser: this.#credentials.findUser,
      limits: this.#limits(),
      nodesNeedCertificate: options.tls !== undefined,
      onLink: this.#whileValid((link) => {
        this.#gate.proved(link.remoteAddress);
        return link.path === "client" ? this.#clients.accept(link) : this.#peers.accept(link);
      }),
      onRefused: (refused) => this.#onRefused(refused),
    });
  }

  /** Begins to keep time and to take connections. */
  start(server: Server): void {
    this.#acceptor.attach(server);
    this.#gate.attach(server);
    this.#driver.start();
    this.#credentials.start((part) => this.#onCredentials(part, server));
    if (this.#door !== undefined) this.#driver.feed({ kind: "clientOpened", client: DOOR_HANDLE });
  }

  /** Whoever asked for a page may have it: no stranger, who has the patience of HTTP's own limits. */
  entitled(remoteAddress: string): void {
    this.#gate.proved(remoteAddress);
  }

  /** Somebody sent a secret as it is that was wrong. */
  wrongSecret(remoteAddress: string): void {
    this.#gate.failed(remoteAddress);
  }

  /** `host:port` that Redis clients reach this node at; `undefined` without a door. */
  get redisAddress(): string | undefined {
    return this.#door?.address;
  }

  /** Feeds the core a command of the lifecycle. */
  leave(): void {
    this.#driver.feed({ kind: "leave" });
  }

  status(): NodeStatus {
    const status = this.#core.status(readNow());
    if (!this.#credentials.isSecured) return status;
    const secrets = this.#sharing.status(this.#credentials.fingerprints, status.members);
    return { ...status, secrets };
  }

  get isReady(): boolean {
    return this.#core.isReady;
  }

  /** "" until a seed has answered. */
  get genesisId(): string {
    return this.#core.genesisId;
  }

  /** By address of a seed: why the last attempt to reach it failed. */
  seedErrors(): ReadonlyMap<string, Error> {
    return this.#peers.seedErrors();
  }

  /** Refuses new requests from now on, of clients and of other nodes, so that they go elsewhere. */
  drain(): void {
    this.#clients.drain();
    this.#peers.drain();
    this.#door?.drain();
  }

  /** Whether every request that was taken on has been answered. */
  get isDrained(): boolean {
    const isDoorDrained = this.#door === undefined || this.#door.isDrained;
    return this.#clients.underWayCount === 0 && isDoorDrained && this.status().pending === 0;
  }

  /** Sends what is queued for the clients, then closes their links. */
  closeClients(): void {
    this.#clients.close();
    this.#door?.close();
  }

  /** Sends what is queued for the other nodes, then closes their links and dials no more. */
  closePeers(): void {
    this.#dials.abort();
    this.#peers.close();
  }

  get clientCount(): number {
    return this.#clients.count;
  }

  get peerLinkCount(): number {
    return this.#peers.openCount;
  }

  /** Ends it: no step follows, and what is still connected is cut. */
  stop(): void {
    this.#credentials.stop();
    this.#gate.stop();
    this.#driver.stop();
    this.#acceptor.close();
  }

  /** In the Prometheus text format. Reading resets the event loop's worst lateness. */
  metrics(): string {
    const loopLateMsMax = this.#loopLateMsMax;
    this.#loopLateMsMax = 0;
    return metricsPage({ events: this.#events, requests: this.#requests }, this.status(), {
      clients: this.#clients.count,
      peerLinks: this.#peers.openCount,
      messagesDroppedTotal: this.#messagesDropped,
      refusalsTotal: this.#refusals,
      deniedTotal: this.#denials.total,
      redis: this.#door?.counts,
      loopLateMsMax,
    });
  }

  #newDoor(door: NonNullable<ShellSetup["door"]>, hashes: Hashes): RedisDoor {
    const { redisCluster, valueBytesMax, memoryBytes, connectionsMax } = this.#options;
    const { read, write, replication } = this.#options;
    const options = {
      ...{ valueBytesMax, memoryBytes, connectionsMax, read, write },
      credentials: this.#credentials,
      gate: this.#gate,
      isCluster: redisCluster,
      timeoutMs: replication.requestMsMax,
    };
    return new door.Door(door.server, door.address, options, {
      feed: (input) => this.#driver.feed(input),
      getAlone: (key, read) => this.#getAlone(key, read),
      nowMs: () => readNow().monoMs,
      wallMs: () => this.#core.wallMs(readNow()),
      status: () => this.status(),
      tell: (member, message) => this.#tell(member, message),
      view: this.#core.view,
      hashes,
      metrics: this.#requests,
      logger: this.#logger,
      onDenied: (user, remoteAddress, reason) => this.#denials.note(user, remoteAddress, reason),
    });
  }

  /** New connections meet what is valid now; those that stand on what is not valid any more end. */
  #onCredentials(part: CredentialPart, server: Server): void {
    if (part === "certificates") {
      const { tls } = this.#credentials;
      // A server that began with certificates is one of TLS.
      if (tls !== undefined) (server as unknown as SecureServer).setSecureContext(secureContext(tls));
      this.#door?.renewCertificates();
      return;
    }
    const isInvalid = (access: Access) => !this.#credentials.isValid(access);
    if (part === "secrets") {
      this.#peers.renew((access) => !isInvalid(access));
      this.#peers.tellAll(this.#secretsMessage());
    }
    this.#clients.closeWhere(isInvalid);
    this.#door?.closeWhere(isInvalid);
  }

  /** Logs whoever is behind, when that has changed. */
  #noteSecrets(member: MemberId, fingerprints: readonly string[]): void {
    this.#sharing.heard(member, fingerprints);
    const behind = this.status().secrets?.behind ?? [];
    const text = JSON.stringify(behind);
    if (text === this.#behindLogged) return;
    this.#behindLogged = text;
    if (behind.length === 0) this.#logger.info({}, "all members have the same secrets");
    else this.#logger.warn({ behind }, "members have other secrets than most");
  }

  #secretsMessage(): Secrets {
    return { kind: "secrets", fingerprints: this.#credentials.fingerprints };
  }

  /** Reads the clock once for all that is asked in one go. */
  #getAlone(key: string, read: ReadMode): Entry | undefined | typeof NOT_ALONE {
    if (this.#lookedAt === undefined) {
      this.#lookedAt = this.#driver.look();
      queueMicrotask(this.#forgetLook);
    }
    const now = this.#lookedAt;
    return now === undefined ? NOT_ALONE : this.#core.getAlone(key, read, now);
  }

  /** What doors and stores tell each other does not concern the core. */
  #feedFromPeers(input: Input): void {
    if (input.kind === "peer" && isForDoor(input.message)) {
      this.#heard(input.from, input.message);
      return;
    }
    if (input.kind === "peer" && input.message.kind === "secrets") {
      this.#noteSecrets(input.from, input.message.fingerprints);
      return;
    }
    this.#driver.feed(input);
    if (input.kind !== "link" || input.path !== "peer") return;
    if (!input.isUp) this.#watchers.forget(input.member);
    if (input.isUp && this.#credentials.isSecured) this.#peers.tell(input.member, this.#secretsMessage());
    if (input.isUp) this.#door?.linkUp(input.member);
    else this.#door?.linkDown(input.member);
  }

  #heard(from: MemberId, message: DoorMessage): void {
    if (message.kind === "watch") this.#tell(from, this.#watchers.take(from, message));
    else this.#door?.heard(from, message);
  }

  /** To a member or to this node itself; false when nothing can be said to it. */
  #tell(member: MemberId, message: DoorMessage): boolean {
    if (member !== this.#options.name) return this.#peers.tell(member, message);
    this.#heard(member, message);
    return true;
  }

  #seedReasons(): object {
    const reasons = [...this.seedErrors()].map(([seed, { message }]) => [seed, message]);
    return { reasons: Object.fromEntries(reasons) };
  }

  #localIdentity(): LocalIdentity {
    return { ...this.#identity, genesisId: this.#core.genesisId };
  }

  #limits() {
    const { valueBytesMax, connectionsMax } = this.#options;
    return { ...resolveLinkLimits(valueBytesMax), connectionsMax };
  }

  #dial(address: string, path: "peer" | "gossip", onLink: (link: Link) => LinkHandlers): Promise<unknown> {
    return dialLink({
      address,
      path,
      identity: this.#localIdentity(),
      secret: this.#credentials.secrets,
      tls: this.#credentials.tls,
      timeoutMs: DIAL_TIMEOUT_MS,
      signal: this.#dials.signal,
      limits: this.#limits(),
      onLink: this.#whileValid(onLink),
    });
  }

  /** Cuts a link whose handshake began while what it proved was still accepted. */
  #whileValid(onLink: (link: Link) => LinkHandlers): (link: Link) => LinkHandlers {
    return (link) => {
      if (this.#credentials.isValid(link.remote.access)) return onLink(link);
      link.terminate("its secret was removed meanwhile");
      return DEAF;
    };
  }

  #refusal(id: number): Failure {
    const message = `Node ${this.#options.name} is stopping`;
    return { kind: "failed", id, code: "ERR_CLOSED", message, applied: "no", elsewhere: true };
  }

  #countRefusal(code: string): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  #onRefused({ path, remoteAddress, code, reason }: Refusal): void {
    if (code === "ERR_UNAUTHORIZED") this.#gate.failed(remoteAddress);
    this.#countRefusal(code);
    this.#logger.debug({ path, remoteAddress, code, reason }, "connection refused");
  }
}

/** For a link that is cut as it opens. */
const DEAF: LinkHandlers = Object.freeze({ onMessages: () => {}, onClose: () => {} });

function coreOptions(options: ResolvedNodeOptions, address: string, generation: number): NodeCoreOptions {
  return resolveNodeCoreOptions({
    id: options.name,
    address,
    generation,
    zone: options.zone,
    weight: options.weight,
    seeds: options.seeds,
    clusterName: options.cluster,
    genesisId: options.isFounder ? randomBytes(8).toString("hex") : "",
    replicas: options.replicas,
    defaultWrite: options.write,
    defaultRead: options.read,
    valueBytesMax: options.valueBytesMax,
    membership: options.membership,
    replication: options.replication,
  });
}

function realCore({ memoryBytes }: ResolvedNodeOptions, hashes: Hashes, watch: StoreWatch): CreateCore {
  return (options, now) => {
    const store = new SegmentStore({ bytesMax: memoryBytes }, hashes, watch);
    const prng = new Prng(randomBytes(4).readUInt32LE());
    return new NodeCore(options, { store, hashes, prng }, now);
  };
}
