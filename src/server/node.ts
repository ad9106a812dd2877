// A node as a running thing: its options resolved, its port bound, its core built and driven, its links and pages attached; and
// the ways it ends. `startServer` is what embedding programs use (behind `startNode`, which adds a client); the command line uses `openServer`, which
// does not wait for a cluster to answer.
//
// The ways a node ends:
// - stop: so that it can come back under its name without a failed call. New requests are refused in a way that sends clients on to
//   another node, those under way are answered (within a bound), then the links close; whoever still waited on one repeats
//   elsewhere, and writes recognise their repetition.
// - leave: hands its slots over first, then stops.
// - a bug: the core threw. It is never stepped again, and everything closes at once: peers treat it as a crash.

import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { type Address, formatAddress } from "../base/address.ts";
import { CacheError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import type { NodeStatus } from "../core/status.ts";
import { loadHashes } from "../io/hashes.ts";
import { Credentials } from "./credentials.ts";
import { affordableConnections } from "./file-descriptors.ts";
import { createHttpServer, type HttpPages, servePages, type Verdict } from "./http.ts";
import { advertisedAddress, holdConnections, listen } from "./listen.ts";
import { createLogger, harmless, type NodeLogger } from "./logger.ts";
import { type CreateCore, NodeShell, type ShellSetup } from "./node-shell.ts";
import { isWildcardHost, type NodeOptions, type ResolvedNodeOptions, resolveNodeOptions } from "./options.ts";
import { deferred, until } from "./wait.ts";

/** How long a stop waits for requests under way. Most end within a replica's timeout (150 ms). */
const DRAIN_MS_MAX = 2_000;
/** How long a stop waits for links to close; they cut themselves after a second. */
const CLOSE_MS_MAX = 1_500;
/** How long `leave` waits for the slots to be handed over, unless told otherwise. */
const LEAVE_MS_DEFAULT = 300_000;

/** A node that listens. */
export interface RunningServer {
  readonly id: string;
  /** `host:port` that others reach it at. */
  readonly address: string;
  /** For `connect`: `ringhold://host:port`. */
  readonly url: string;
  /** `host:port` for Redis clients; `undefined` when the node has no Redis door. */
  readonly redisAddress: string | undefined;
  /** Resolves once the node is in the ring and answers. Rejects with ERR_CLOSED, or the bug, when it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when the node has ended: to `undefined` after a stop, to the error after a bug. Never rejects. */
  readonly ended: Promise<Error | undefined>;
  /** The node, and the cluster as it sees it, now. */
  status(): NodeStatus;
  /** Secrets and certificates as they are now: for clients of the same process. */
  readonly credentials: Pick<Credentials, "secrets" | "tls">;
  /** By address of a seed: why the last attempt to reach it failed. Empty once the cluster is found. */
  seedErrors(): ReadonlyMap<string, Error>;
  /**
   * Hands the slots over to the other nodes, leaves the ring for good, and stops.
   *
   * @throws {CacheError} ERR_TIMEOUT when that takes longer than `timeoutMs` (default 5 minutes); the node goes on trying.
   * ERR_CLOSED when it ends before it has left.
   */
  leave(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Stops, after {@link RunningServer.leave} when `leaveOnStop` is set. Idempotent: joins a stop in progress. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a node and resolves as soon as it listens; {@link RunningServer.ready} tells when it is in the ring. It keeps trying to
 * reach its seeds for as long as it runs.
 *
 * @param createCore replaces the core; for tests
 * @throws {CacheError} ERR_INVALID_OPTION naming the option (`listen` also when the address cannot be bound)
 */
export async function openServer(options: NodeOptions = {}, createCore?: CreateCore): Promise<RunningServer> {
  return NodeServer.open(resolveNodeOptions(options, randomName), createCore);
}

/**
 * Starts a node and resolves once it is in the ring and answers.
 *
 * @param createCore replaces the core; for tests
 * @throws {CacheError} ERR_INVALID_OPTION naming the option (`listen` also when the address cannot be bound); ERR_UNAUTHORIZED or
 * ERR_PROTOCOL when every seed refuses this node; ERR_UNREACHABLE when no seed answered within `readyTimeout`, naming each
 * and why; ERR_TIMEOUT when the cluster answered but did not take the node in
 */
export async function startServer(
  options: NodeOptions = {},
  createCore?: CreateCore,
): Promise<RunningServer> {
  const resolved = resolveNodeOptions(options, randomName);
  const server = await NodeServer.open(resolved, createCore);
  try {
    await server.readyWithin(resolved.readyTimeoutMs);
    return server;
  } catch (error) {
    // It is not in the ring: there is nothing to hand over, whatever `leaveOnStop` says.
    await server.close();
    throw error;
  }
}

class NodeServer implements RunningServer {
  readonly id: string;
  readonly address: string;
  readonly url: string;
  readonly #options: ResolvedNodeOptions;
  readonly #credentials: Credentials;
  readonly #logger: NodeLogger;
  readonly #http: Server;
  readonly #shell: NodeShell;
  readonly #ready = deferred<void>();
  readonly #released = deferred<void>();
  readonly #ended = deferred<Error | undefined>();
  /** Set while somebody waits for the start: told when waiting has become pointless. */
  #onHopeless: ((error: CacheError) => void) | undefined;
  #isReady = false;
  #bug: Error | undefined;
  #stopping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Binds the ports first, because the core must know its address. Who connects before the node has been made waits for it. */
  static async open(options: ResolvedNodeOptions, createCore?: CreateCore): Promise<NodeServer> {
    const hashes = await loadHashes();
    const logger = harmless(options.logger ?? createLogger(options.logLevel, options.name));
    // Before anything listens: a node whose files are not right must not be there for a moment.
    const credentials = new Credentials(options, logger);
    const connectionsMax = affordableConnections(options.connectionsMax);
    if (connectionsMax < options.connectionsMax) {
      const facts = { connectionsMax, option: options.connectionsMax };
      logger.warn(facts, "fewer connections than connectionsMax: the limit of open files is low");
    }
    const doorModule = options.redis === undefined ? undefined : await import("./redis/door.ts");
    const http = createHttpServer({ tls: credentials.tls, connectionsMax });
    const held = [holdConnections(http)];
    const bound = await listen(http, options.listen);
    let door: ShellSetup["door"];
    try {
      const address = advertisedAddress(bound, options.advertise);
      if (doorModule !== undefined && options.redis !== undefined) {
        const server = doorModule.createDoorServer(credentials.tls);
        held.push(holdConnections(server));
        const redis = await doorAddress(server, options.redis, address);
        door = { server, address: redis, Door: doorModule.RedisDoor };
      }
      const setup = {
        options,
        credentials,
        connectionsMax,
        address: formatAddress(address),
        hashes,
        logger,
        createCore,
        door,
      };
      const handOver = held.map((release) => release());
      const node = new NodeServer(http, setup);
      for (const each of handOver) each();
      return node;
    } catch (error) {
      door?.server.close();
      http.close();
      throw error;
    }
  }

  constructor(http: Server, setup: ShellSetup) {
    const { options, address, logger } = setup;
    this.id = options.name;
    this.address = address;
    this.url = `ringhold://${address}`;
    this.#options = options;
    this.#credentials = setup.credentials;
    this.#logger = logger;
    this.#http = http;
    // Whoever does not wait for these is not to be punished with an unhandled rejection.
    this.#ready.promise.catch(() => {});
    this.#released.promise.catch(() => {});
    this.#shell = new NodeShell(setup, {
      onChange: () => this.#onChange(),
      onReleased: () => this.#onReleased(),
      onFatal: (error) => this.#onBug(error),
    });
    servePages(http, this.#pages(), {
      isSecured: setup.credentials.isSecured,
      accessOf: (name, secret) => setup.credentials.accessOf(name, secret),
      onWrongSecret: (remoteAddress) => this.#shell.wrongSecret(remoteAddress),
      onEntitled: (remoteAddress) => this.#shell.entitled(remoteAddress),
    });
    this.#shell.start(http);
    logger.info({ address, seeds: options.seeds, cluster: options.cluster }, "listening");
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get ended(): Promise<Error | undefined> {
    return this.#ended.promise;
  }

  get redisAddress(): string | undefined {
    return this.#shell.redisAddress;
  }

  get credentials(): Pick<Credentials, "secrets" | "tls"> {
    return this.#credentials;
  }

  status(): NodeStatus {
    return this.#shell.status();
  }

  seedErrors(): ReadonlyMap<string, Error> {
    return this.#shell.genesisId === "" ? this.#shell.seedErrors() : new Map();
  }

  /** {@link RunningServer.ready}, unless it takes too long (0 is never) or cannot happen. */
  async readyWithin(timeoutMs: number): Promise<void> {
    const hopeless = deferred<never>();
    this.#onHopeless = hopeless.reject;
    const onLate = () => hopeless.reject(this.#lateError(timeoutMs));
    const timer = timeoutMs > 0 ? setTimeout(onLate, timeoutMs) : undefined;
    try {
      await Promise.race([this.ready, hopeless.promise]);
    } finally {
      clearTimeout(timer);
      this.#onHopeless = undefined;
    }
  }

  async leave({ timeoutMs = LEAVE_MS_DEFAULT } = {}): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    await this.#leaveRing(timeoutMs);
    await this.close();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** {@link RunningServer.stop} without leaving first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #stop(): Promise<void> {
    // A node that never was in the ring has nothing to hand over, and one that is closing has no time to.
    if (this.#options.leaveOnStop && this.#isReady && this.#closing === undefined) {
      try {
        await this.#leaveRing(LEAVE_MS_DEFAULT);
      } catch (error) {
        this.#logger.warn({ err: error }, "stopping although the slots were not handed over");
      }
    }
    await this.close();
  }

  async #leaveRing(timeoutMs: number): Promise<void> {
    const late = deferred<never>();
    const timer = setTimeout(() => {
      const text = `Node ${this.id} has not handed its slots over within ${formatDuration(timeoutMs)}`;
      late.reject(new CacheError("ERR_TIMEOUT", `${text}: ${this.status().verdict}`));
    }, timeoutMs);
    try {
      this.#shell.leave();
      await Promise.race([this.#released.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** See the top of the file. The order matters: callers first, then what their last writes still send to the other nodes. */
  async #close(): Promise<void> {
    this.#logger.info({}, "stopping");
    this.#http.close();
    if (this.#bug === undefined) {
      this.#shell.drain();
      await until(() => this.#bug !== undefined || this.#shell.isDrained, DRAIN_MS_MAX);
    }
    this.#shell.closeClients();
    await until(() => this.#shell.clientCount === 0, CLOSE_MS_MAX);
    this.#shell.closePeers();
    await until(() => this.#shell.peerLinkCount === 0, CLOSE_MS_MAX);
    this.#shell.stop();
    this.#http.closeAllConnections();
    this.#logger.info({}, "stopped");
    const error = this.#bug ?? this.#closedError();
    this.#ready.reject(error);
    this.#released.reject(error);
    this.#ended.resolve(this.#bug);
  }

  #onChange(): void {
    if (this.#isReady || this.#closing !== undefined) return;
    const seeds = this.#options.seeds;
    const refusals = [...this.seedErrors().values()].filter(isRefusal);
    if (seeds.length > 0 && refusals.length >= seeds.length)
      this.#onHopeless?.(this.#refusedError(refusals[0]!));
    if (!this.#shell.isReady) return;
    this.#isReady = true;
    this.#logger.info({ address: this.address }, "ready");
    this.#ready.resolve();
  }

  /** An operator may have told it to leave, so nobody here need be waiting for it. */
  #onReleased(): void {
    this.#released.resolve();
    void this.close();
  }

  #onBug(error: unknown): void {
    this.#bug = error instanceof Error ? error : new Error(String(error));
    void this.close();
  }

  #pages(): HttpPages {
    return {
      health: () =>
        this.#bug === undefined
          ? { isGood: true, line: "ok" }
          : { isGood: false, line: "stopped by a bug, see the log" },
      ready: () => this.#readiness(),
      safe: () => {
        const { isSafe, verdict } = this.status();
        return { isGood: isSafe, line: verdict };
      },
      status: () => this.status(),
      metrics: () => this.#shell.metrics(),
    };
  }

  #readiness(): Verdict {
    if (this.#closing !== undefined) return { isGood: false, line: "not ready: stopping" };
    if (this.#shell.genesisId === "") return { isGood: false, line: "not ready: no seed has answered yet" };
    const { isReady, verdict } = this.status();
    return { isGood: isReady, line: isReady ? "ready" : `not ready: ${verdict}` };
  }

  #closedError(): CacheError {
    return new CacheError("ERR_CLOSED", `Node ${this.id} has been stopped`);
  }

  #refusedError(first: CacheError): CacheError {
    const message = `The cluster refuses node ${this.id}: ${this.#seedReasons()}`;
    return new CacheError(first.code, message, { details: this.#seedDetails(), cause: first });
  }

  #lateError(timeoutMs: number): CacheError {
    const within = `within ${formatDuration(timeoutMs)}`;
    return this.#shell.genesisId === ""
      ? new CacheError(
          "ERR_UNREACHABLE",
          `No seed of node ${this.id} answered ${within}: ${this.#seedReasons()}`,
          {
            details: this.#seedDetails(),
          },
        )
      : new CacheError(
          "ERR_TIMEOUT",
          `Node ${this.id} was not in the ring ${within}: ${this.status().verdict}`,
        );
  }

  #seedReasons(): string {
    const errors = this.seedErrors();
    return this.#options.seeds
      .map((seed) => errors.get(seed)?.message ?? `${seed} has not answered yet`)
      .join("; ");
  }

  #seedDetails(): { readonly seeds: Readonly<Record<string, string>> } {
    const errors = this.seedErrors();
    const reasons = this.#options.seeds.map((seed) => [seed, errors.get(seed)?.message ?? "no answer yet"]);
    return { seeds: Object.fromEntries(reasons) };
  }
}

/** Binds the Redis door's port. On a wildcard it is reached at the node's own host. */
async function doorAddress(server: NetServer, redis: Address, node: Address): Promise<Address> {
  const bound = await listen(server, redis, "redis");
  return { host: isWildcardHost(bound.host) ? node.host : bound.host, port: bound.port };
}

/** Whether only a change of somebody's options helps. */
function isRefusal(error: Error): error is CacheError {
  return error instanceof CacheError && (error.code === "ERR_UNAUTHORIZED" || error.code === "ERR_PROTOCOL");
}

/** 32 random bits: a cluster of a thousand nodes has a collision once in ten thousand times, and the handshake reports it. */
function randomName(): string {
  return `node-${randomBytes(4).toString("hex")}`;
}
