// A node inside the calling process, with a cache beside it: what `startNode` returns. The cache is an ordinary client that knows the
// node as its seed; it goes through a socket like any other, so that it behaves like any other when the node is away.

import { Cache } from "./client/cache.ts";
import { ClientDriver } from "./client/driver.ts";
import { resolveClientOptions } from "./client/options.ts";
import type { NodeStatus } from "./core/status.ts";
import { loadHashes } from "./io/hashes.ts";
import { type RunningServer, startServer } from "./server/node.ts";
import type { NodeOptions } from "./server/options.ts";

/** A node that runs in this process. */
export interface EmbeddedNode {
  readonly id: string;
  /** For {@link connect}: `ringhold://host:port`. */
  readonly url: string;
  /** `host:port` for Redis clients; `undefined` when the node has no Redis door. */
  readonly redisAddress: string | undefined;
  /** A cache on the node's cluster: the same one on every call, or a new one when that was closed. Closed by {@link EmbeddedNode.stop}. */
  cache(): Cache;
  /** The node and the cluster as it sees it. */
  status(): NodeStatus;
  /** Hands the slots over to the other nodes and leaves the ring for good, then stops. Idempotent: joins a leave in progress. */
  leave(): Promise<void>;
  /** Closes the cache and stops the node, so that it can come back under its name. Idempotent: joins a stop in progress. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a node in this process and resolves once it is in the ring and answers.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the option; ERR_UNREACHABLE, ERR_UNAUTHORIZED, ERR_PROTOCOL or ERR_TIMEOUT when
 * the nodes to join did not take it in
 * @example
 * ```ts
 * import { startNode } from "ringhold";
 * await using node = await startNode({ listen: "127.0.0.1:7400" });
 * const cache = node.cache();
 * await cache.set("greeting", "hello");
 * ```
 */
export async function startNode(options: NodeOptions = {}): Promise<EmbeddedNode> {
  const server = await startServer(options);
  const { credentials } = server;
  const { cluster } = options;
  const { tls, secrets } = credentials;
  // Secrets and certificates are asked for at each connection, because the node's files may hold others by then.
  const secret = secrets.length === 0 ? undefined : () => credentials.secrets as readonly string[];
  // The node keeps the process alive, not its own client.
  const resolved = resolveClientOptions(server.url, { secret, tls, cluster, unref: true });
  const clientOptions = {
    ...resolved,
    get tls() {
      return credentials.tls;
    },
  };
  const hashes = await loadHashes();
  const node = new Embedded(server, () => new ClientDriver(clientOptions, hashes));
  // A node that cannot reach itself at the address it tells others still serves them; its cache keeps trying.
  await node.cacheReady();
  return node;
}

/** The node answers already, so this takes milliseconds. */
const CACHE_READY_MS_MAX = 2_000;

class Embedded implements EmbeddedNode {
  readonly #server: RunningServer;
  readonly #openDriver: () => ClientDriver;
  #driver: ClientDriver;
  #cache: Cache;
  #leaving: Promise<void> | undefined;
  #isOver = false;

  constructor(server: RunningServer, openDriver: () => ClientDriver) {
    this.#server = server;
    this.#openDriver = openDriver;
    this.#driver = openDriver();
    this.#cache = new Cache(this.#driver);
  }

  get id(): string {
    return this.#server.id;
  }

  get redisAddress(): string | undefined {
    return this.#server.redisAddress;
  }

  get url(): string {
    return this.#server.url;
  }

  cache(): Cache {
    // An `await using` elsewhere in the program must not take the cache away from the rest of it.
    if (this.#driver.isClosed && !this.#isOver) {
      this.#driver = this.#openDriver();
      this.#cache = new Cache(this.#driver);
    }
    return this.#cache;
  }

  status(): NodeStatus {
    return this.#server.status();
  }

  /** Whether the cache has found the node, within {@link CACHE_READY_MS_MAX}. */
  cacheReady(): Promise<boolean> {
    return this.#driver.ready(CACHE_READY_MS_MAX);
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async #leave(): Promise<void> {
    try {
      await this.#server.leave();
    } catch (error) {
      // Not within its time: it may be tried again.
      this.#leaving = undefined;
      throw error;
    }
    this.#isOver = true;
    await this.#cache.close();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#cache.close();
    await this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
