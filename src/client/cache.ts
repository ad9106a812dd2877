// The cache as applications use it. Every call checks its arguments, makes one or more calls through the driver, and turns replies into
// values; everything that is hard (routing, failover, deadlines) is in `client-core.ts`.

import type { Applied } from "../base/errors.ts";
import { CacheError } from "../base/errors.ts";
import { slotOfKey } from "../base/hash.ts";
import { SLOT_COUNT } from "../base/ids.ts";
import {
  type Change,
  type GetReply,
  isInRing,
  type Liveness,
  type Outcome,
  type RingState,
  type Want,
} from "../core/messages.ts";
import { loadHashes } from "../io/hashes.ts";
import { type Caller, checkMany, listablePrefixes } from "./access.ts";
import {
  atIndex,
  type CallOptions,
  checkCondition,
  checkEntries,
  checkIncrement,
  checkKey,
  checkKeys,
  checkOptionalTtl,
  checkOptions,
  checkPrefix,
  checkSetOptions,
  checkTtl,
  type IncrementOptions,
  type KeysOptions,
  type ManyEntry,
  OPTION_NAMES,
  type ReadOptions,
  type SetManyOptions,
  type SetOptions,
  type Ttl,
  type WriteOptions,
} from "./arguments.ts";
import type { CallReply, CallRequest, GetOptions } from "./client-machine.ts";
import { type CallLimits, ClientDriver, type Dial } from "./driver.ts";
import { callMany, getMany } from "./many.ts";
import { type CacheOptions, type ConnectTarget, resolveClientOptions } from "./options.ts";
import { scanKeys, sweepInBatches, sweepSlots } from "./sweep.ts";
import { decodeValue, encodeValue } from "./values.ts";
import {
  type CallResult,
  decodedValue,
  OutcomeWaiter,
  outcomeIn,
  SingleWaiter,
  ValueWaiter,
  type Waiter,
} from "./waiters.ts";

const NO_OPTIONS: SetOptions = Object.freeze({});
const UNCONDITIONAL = { condition: "none", ifVersion: 0 } as const;

/** A value with what the cluster knows of it. */
export interface CacheEntry<T = unknown> {
  readonly value: T;
  /** Changes with every write; for `set` with `ifVersion`. */
  readonly version: number;
  /** Milliseconds since 1970; left out when the entry does not expire. */
  readonly expiresAt?: number;
}

/** Where a key lives. */
export interface KeyLocation {
  /** 0 to 16,383. */
  readonly slot: number;
  /** Ids of the nodes that keep it, its owner first. */
  readonly replicas: readonly string[];
}

/** One node as the client was last told. */
export interface ClusterMember {
  readonly id: string;
  /** `host:port`. */
  readonly address: string;
  readonly zone: string;
  readonly weight: number;
  /** Its part in the ring. */
  readonly state: RingState;
  readonly liveness: Liveness;
  /** Slots it owns over all slots, 0 to 1. */
  readonly share: number;
  /** Whether this client can send it calls now. */
  readonly isConnected: boolean;
}

/** The cluster as the client was last told. */
export interface ClusterTopology {
  /** Names the ring: the same id, the same table. */
  readonly ringId: string;
  /** Copies of each key. */
  readonly replicas: number;
  /** By id. */
  readonly members: readonly ClusterMember[];
}

/** What {@link Cache.setMany} takes: pairs, objects, a Map, or an object of values by key. */
export type ManyEntries =
  | Iterable<readonly [string, unknown] | ManyEntry>
  | Readonly<Record<string, unknown>>;

/**
 * Connects to a cluster and resolves to a ready cache. Nodes that are not named are learnt from those that are.
 *
 * @param target A URL (`ringhold://host:port,host:port`, `ringholds://` for TLS) or an object with `seeds`.
 * @throws {CacheError} ERR_INVALID_OPTION for a bad URL or option; ERR_UNREACHABLE when no seed could be used within `connectTimeout`;
 * ERR_UNAUTHORIZED when they refused the secret; ERR_PROTOCOL when they are no nodes of this cluster. Names each seed and why it failed.
 * @example
 * ```ts
 * import { connect } from "ringhold";
 * await using cache = await connect("ringhold://127.0.0.1:7400,127.0.0.1:7401", { timeout: 1000 });
 * await cache.set("greeting", "hello");
 * ```
 */
export async function connect(target: string | ConnectTarget, options: CacheOptions = {}): Promise<Cache> {
  return connectWith(target, options);
}

/** {@link connect} over links of another kind. For tests. */
export async function connectWith(target: unknown, options: unknown = {}, dial?: Dial): Promise<Cache> {
  const resolved = resolveClientOptions(target, options);
  const driver = new ClientDriver(resolved, await loadHashes(), dial);
  if (await driver.ready(resolved.connectTimeoutMs)) return new Cache(driver);
  const error = driver.connectError();
  await driver.close();
  throw error;
}

/**
 * A connection to a cluster. All calls may be made at any time and in any number at once; those of one turn of the event loop
 * travel together. Each has one deadline (option `timeout`), by which it settles; until then it is repeated on other nodes as needed.
 *
 * Every call rejects with a {@link CacheError}: ERR_INVALID_ARGUMENT for bad arguments (nothing is sent), ERR_TIMEOUT or
 * ERR_UNREACHABLE at its deadline, ERR_OVERLOADED when too much is asked at once, ERR_CLOSED after `close`. Writes also with
 * ERR_NO_QUORUM (certainly not done). A call that is aborted rejects with its signal's reason.
 */
export class Cache {
  readonly #driver: ClientDriver;
  /** Of gets without options. */
  readonly #plainGet: GetOptions;

  /** Use {@link connect}. */
  constructor(driver: ClientDriver) {
    this.#driver = driver;
    this.#plainGet = this.#getOptions("value", {});
  }

  /**
   * The value under a key, `undefined` when there is none.
   *
   * @throws {CacheError} ERR_PROTOCOL when the stored bytes are no value that a client of this kind writes
   * @example
   * ```ts
   * const user = await cache.get<{ name: string }>("user:1");
   * ```
   */
  get<T = unknown>(key: string, options?: ReadOptions): Promise<T | undefined> {
    // No async function: it would be a second promise, and two turns of the queue, for every call.
    return new Promise<T | undefined>((resolve, reject) => {
      const waiter = new ValueWaiter(resolve as (value: unknown) => void, reject);
      this.#startRead(key, "value", options, waiter, reject);
    });
  }

  /**
   * The value under a key with its version and expiry, `undefined` when there is none.
   *
   * @example
   * ```ts
   * const entry = await cache.getEntry<number>("stock:7");
   * if (entry) await cache.set("stock:7", entry.value - 1, { ifVersion: entry.version });
   * ```
   */
  async getEntry<T = unknown>(key: string, options?: ReadOptions): Promise<CacheEntry<T> | undefined> {
    const reply = await this.#read(key, "entry", options);
    if (!reply.found) return undefined;
    const value = decodeValue(reply.format, reply.value) as T;
    const { version, expiresAt } = reply;
    return expiresAt > 0 ? { value, version, expiresAt } : { value, version };
  }

  /**
   * Whether there is a value under a key. Cheaper than `get`: the value does not travel.
   *
   * @example
   * ```ts
   * if (!(await cache.has("user:1"))) console.log("not cached");
   * ```
   */
  async has(key: string, options?: ReadOptions): Promise<boolean> {
    const reply = await this.#read(key, "exists", options);
    return reply.found;
  }

  /**
   * Stores a value: anything that msgpack can carry, with Map, Set, Date, BigInt, typed arrays and `undefined` within objects. Texts
   * and byte arrays come back as they were (a Buffer as a Uint8Array), objects of classes as plain ones. The value is copied at once.
   *
   * @param options Options, or just the ttl.
   * @returns `true` if stored, `false` if the condition did not hold
   * @throws {CacheError} ERR_TOO_LARGE beyond the cluster's limit; ERR_INVALID_ARGUMENT for functions, symbols, cycles and
   * `undefined` itself, naming the place
   * @example
   * ```ts
   * await cache.set("user:1", { name: "Ada" }, { ttl: "5m" });
   * const isFirst = await cache.set("lock:1", process.pid, { ttl: 30_000, ifAbsent: true });
   * ```
   */
  set(key: string, value: unknown, options?: SetOptions | Ttl): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      checkKey(key);
      const given = options === undefined ? NO_OPTIONS : checkSetOptions(options);
      const change = this.#setChange(value, given);
      if (given.signal === undefined) {
        // A set ends in true or false.
        const waiter = new OutcomeWaiter(resolve as (outcome: Outcome) => void, reject);
        const request = this.#writeRequest(key, change, given);
        this.#driver.startWithin(request, this.#timeoutOf(given), waiter);
      } else {
        resolve(this.#write(key, change, given) as Promise<boolean>);
      }
    });
  }

  /**
   * Removes a key. Returns whether it existed.
   *
   * @example
   * ```ts
   * await cache.delete("user:1");
   * ```
   */
  async delete(key: string, options?: WriteOptions): Promise<boolean> {
    checkKey(key);
    const given = checkOptions<WriteOptions>(options, OPTION_NAMES.write);
    return (await this.#write(key, { type: "delete" }, given)) === true;
  }

  /**
   * Gives a key a new ttl, counted from now. Returns whether it existed.
   *
   * @example
   * ```ts
   * await cache.touch("session:9", "30m");
   * ```
   */
  async touch(key: string, ttl: Ttl, options?: WriteOptions): Promise<boolean> {
    checkKey(key);
    const ttlMs = checkTtl(ttl);
    const given = checkOptions<WriteOptions>(options, OPTION_NAMES.write);
    return (await this.#write(key, { type: "touch", ttlMs }, given)) === true;
  }

  /**
   * Adds to a number, from 0 when the key is absent, and returns the new one. Applied once per call, however often it had to be repeated.
   *
   * @param by Any finite number. 1 unless given.
   * @throws {CacheError} ERR_NOT_A_NUMBER when the key holds something else
   * @example
   * ```ts
   * const calls = await cache.increment("rate:ada", 1, { ttl: "1m" });
   * ```
   */
  async increment(key: string, by = 1, options?: IncrementOptions): Promise<number> {
    checkKey(key);
    const amount = checkIncrement(by);
    const given = checkOptions<IncrementOptions>(options, OPTION_NAMES.increment);
    const ttlMs = checkOptionalTtl(given.ttl);
    return Number(await this.#write(key, { type: "increment", by: amount, ttlMs }, given));
  }

  /**
   * The values under many keys, in their order, `undefined` for misses. Rejects when any of them cannot be read. `timeout` is for all of
   * them together: give a call on many thousands of keys more.
   *
   * @example
   * ```ts
   * const [ada, bob] = await cache.getMany(["user:1", "user:2"]);
   * ```
   */
  async getMany<T = unknown>(keys: Iterable<string>, options?: ReadOptions): Promise<(T | undefined)[]> {
    const list = checkKeys(keys);
    const given = checkOptions<ReadOptions>(options, OPTION_NAMES.read);
    this.#checkOpen();
    checkMany(this.#caller, "read", list);
    const get = this.#getOptions("value", given);
    const results = await getMany(this.#driver, list, get, this.#limits(given)).catch((error: unknown) => {
      if (!isOutOfTime(error) || list.length === 1) throw error;
      const text = `Not all of ${list.length} keys were read within ${this.#timeoutOf(given)} ms; the first failure: ${error.message}`;
      throw new CacheError(error.code, text, { details: error.details, cause: error.cause });
    });
    return results.map((result) => decodedValue(result as GetReply) as T | undefined);
  }

  /**
   * Stores many values; of a key that comes twice, the last. Not a transaction: when it rejects, with the first error, some may have been
   * stored; `details` says how many have failed. `timeout` is for all of them together: give a call on many thousands of entries more.
   *
   * @example
   * ```ts
   * await cache.setMany([["a", 1], ["b", 2]], { ttl: "1h" });
   * await cache.setMany([{ key: "c", value: 3, ttl: 5000 }]);
   * ```
   */
  async setMany(entries: ManyEntries, options?: SetManyOptions): Promise<void> {
    const list = checkEntries(entries);
    const given = checkOptions<SetManyOptions>(options, OPTION_NAMES.setMany);
    checkOptionalTtl(given.ttl);
    this.#checkOpen("no");
    if (this.#driver.grants !== undefined)
      checkMany(
        this.#caller,
        "write",
        list.map(({ key }) => key),
      );
    // Of a key that comes twice the last value is stored: the two writes might change places.
    const requests = new Map<string, CallRequest>();
    for (const [index, { key, value, ttl }] of list.entries()) {
      try {
        requests.set(key, this.#writeRequest(key, this.#setChange(value, { ttl: ttl ?? given.ttl }), given));
      } catch (error) {
        throw error instanceof CacheError ? atIndex(error, "entries", index) : error;
      }
    }
    await this.#writeMany([...requests.values()], given);
  }

  /**
   * Removes many keys. Returns how many existed. When it rejects, with the first error, some may have been removed. `timeout` as for
   * {@link Cache.setMany}.
   *
   * @example
   * ```ts
   * await cache.deleteMany(["user:1", "user:2"]);
   * ```
   */
  async deleteMany(keys: Iterable<string>, options?: WriteOptions): Promise<number> {
    const list = checkKeys(keys);
    const given = checkOptions<WriteOptions>(options, OPTION_NAMES.write);
    this.#checkOpen("no");
    checkMany(this.#caller, "delete", list);
    const requests = list.map((key) => this.#writeRequest(key, { type: "delete" }, given));
    const replies = await this.#writeMany(requests, given);
    return replies.filter((reply) => reply.kind === "written" && reply.outcome === true).length;
  }

  /**
   * All keys, in no particular order, a page at a time. Keys that come or go meanwhile may or may not be among them; a key that stays is,
   * and may come twice while nodes are missing. `timeout` is for each page.
   *
   * @example
   * ```ts
   * for await (const key of cache.keys({ prefix: "user:" })) console.log(key);
   * ```
   */
  async *keys(options?: KeysOptions): AsyncGenerator<string, void, undefined> {
    const given = checkOptions<KeysOptions>(options, OPTION_NAMES.keys);
    const prefix = checkPrefix(given.prefix);
    const { signal } = given;
    signal?.throwIfAborted();
    this.#checkOpen();
    const timeoutMs = this.#timeoutOf(given);
    for (const part of listablePrefixes(this.#caller, prefix)) {
      for await (const page of scanKeys(this.#driver, { prefix: part, timeoutMs, signal })) {
        for (const key of page) {
          yield key;
          signal?.throwIfAborted();
        }
      }
    }
  }

  /**
   * Removes everything that was stored before the call. When it rejects, parts may have been removed.
   *
   * @example
   * ```ts
   * await cache.clear({ timeout: 10_000 });
   * ```
   */
  async clear(options?: CallOptions): Promise<void> {
    const given = checkOptions<CallOptions>(options, OPTION_NAMES.call);
    const limits = this.#sweepLimits(given, "no");
    let cleared = 0;
    let isUncertain = false;
    try {
      await sweepInBatches(async (slots) => {
        try {
          await this.#driver.call({ kind: "clear", slots }, limits);
          cleared += slots.length;
        } catch (error) {
          isUncertain ||= error instanceof CacheError && error.applied === "maybe";
          throw error;
        }
      });
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      const applied = cleared > 0 || isUncertain ? "maybe" : "no";
      throw withApplied(error, applied, { slotsCleared: cleared });
    }
  }

  /**
   * About how many keys the cluster holds.
   *
   * @example
   * ```ts
   * console.log(`${await cache.size()} keys`);
   * ```
   */
  async size(options?: CallOptions): Promise<number> {
    const given = checkOptions<CallOptions>(options, OPTION_NAMES.call);
    const limits = { ...this.#sweepLimits(given), isPart: true };
    let size = 0;
    await sweepSlots(this.#driver, limits, async ({ address, slots }) => {
      const reply = await this.#driver.call({ kind: "count", target: address, slots }, limits);
      if (reply.kind === "counted") size += reply.count;
    });
    return size;
  }

  /**
   * Where a key lives: its slot, and the nodes that keep it, its owner first. From the client's own copy of the ring; nothing is sent.
   *
   * @throws {CacheError} ERR_INVALID_ARGUMENT, ERR_CLOSED
   * @example
   * ```ts
   * const { slot, replicas } = cache.locate("user:1");
   * ```
   */
  locate(key: string): KeyLocation {
    checkKey(key);
    this.#checkOpen();
    const slot = slotOfKey(key);
    return { slot, replicas: [...this.#driver.core.view.preferenceList(slot)] };
  }

  /**
   * The nodes with their state, address, zone and share of the ring, as this client was last told; nothing is sent.
   *
   * @throws {CacheError} ERR_CLOSED
   * @example
   * ```ts
   * for (const { id, state, share } of cache.topology().members) console.log(id, state, share);
   * ```
   */
  topology(): ClusterTopology {
    this.#checkOpen();
    const { view } = this.#driver.core;
    const members = view.members.map((member) => ({
      id: member.id,
      address: member.address,
      zone: member.zone,
      weight: member.weight,
      state: member.ringState,
      liveness: member.liveness,
      share: isInRing(member.ringState) ? (view.ring?.slotsOwnedBy(member.id) ?? 0) / SLOT_COUNT : 0,
      isConnected: this.#driver.core.isConnected(member.address),
    }));
    return { ringId: view.ringId, replicas: view.ring?.replicas ?? 0, members };
  }

  /**
   * Lets the calls under way end (each has its deadline), then closes the connections. New calls fail with ERR_CLOSED from
   * now on. Idempotent: joins a close in progress.
   *
   * @example
   * ```ts
   * await cache.close();
   * ```
   */
  async close(): Promise<void> {
    await this.#driver.close();
  }

  /** {@link Cache.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---- calls

  #read(key: unknown, want: Want, options: unknown): Promise<GetReply> {
    return new Promise<CallReply>((resolve, reject) => {
      this.#startRead(key, want, options, new SingleWaiter(resolve, reject), reject);
    }) as Promise<GetReply>;
  }

  /** With others of its task, in the order of the calls; by itself when it can be aborted. @throws {CacheError} ERR_INVALID_ARGUMENT */
  #startRead(
    key: unknown,
    want: Want,
    options: unknown,
    waiter: Waiter,
    reject: (error: unknown) => void,
  ): void {
    checkKey(key);
    const given = checkOptions<ReadOptions>(options, OPTION_NAMES.read);
    const isPlain = options === undefined && want === "value";
    const get = isPlain ? this.#plainGet : this.#getOptions(want, given);
    if (given.signal === undefined) {
      this.#driver.gather(key, get, this.#timeoutOf(given), waiter);
    } else {
      const reply = this.#driver.call({ kind: "get", key, ...get }, this.#limits(given));
      reply.then((got) => waiter.settle(got), reject);
    }
  }

  async #write(key: string, change: Change, given: WriteOptions): Promise<Outcome> {
    const reply = await this.#driver.call(this.#writeRequest(key, change, given), this.#limits(given));
    return outcomeIn(reply);
  }

  /** Waits for all, so that the error can say how many have failed. */
  async #writeMany(requests: readonly CallRequest[], given: WriteOptions): Promise<readonly CallReply[]> {
    const results = await callMany(this.#driver, requests, this.#limits(given));
    const errors = results.filter((result) => result instanceof CacheError);
    const [first] = errors;
    if (first === undefined) return results.filter(isReply);
    const isCertain = errors.length === results.length && errors.every(({ applied }) => applied === "no");
    const details = { failed: errors.length, total: results.length };
    throw withApplied(first, isCertain ? "no" : "maybe", details, this.#bulkMessage(first, details, given));
  }

  /** The parts of a bulk call have less and less time, the later they begin: it is the call's own time that its caller knows. */
  #bulkMessage(
    first: CacheError,
    { failed, total }: { readonly failed: number; readonly total: number },
    given: WriteOptions,
  ): string {
    if (total === 1) return first.message;
    const within = isOutOfTime(first)
      ? `were not acknowledged within ${this.#timeoutOf(given)} ms`
      : "failed";
    return `${failed} of ${total} writes ${within}; the first: ${first.message}`;
  }

  #getOptions(want: Want, given: ReadOptions): GetOptions {
    const { options } = this.#driver;
    return { want, read: given.read ?? options.read, readFrom: given.readFrom ?? options.readFrom };
  }

  #writeRequest(key: string, change: Change, given: WriteOptions): CallRequest {
    return { kind: "write", key, change, write: given.write ?? this.#driver.options.write };
  }

  #setChange(value: unknown, given: SetOptions): Change {
    const { condition, ifVersion } = given === NO_OPTIONS ? UNCONDITIONAL : checkCondition(given);
    const ttlMs = checkOptionalTtl(given.ttl);
    const { format, bytes } = encodeValue(value, this.#driver.core.view.valueBytesMax);
    return { type: "set", value: bytes, format, ttlMs, condition, ifVersion };
  }

  #limits(given: CallOptions): CallLimits {
    return { deadlineMs: this.#driver.nowMs() + this.#timeoutOf(given), signal: given.signal };
  }

  #timeoutOf({ timeout }: CallOptions): number {
    return timeout ?? this.#driver.options.timeoutMs;
  }

  #sweepLimits(given: CallOptions, applied?: Applied): CallLimits {
    given.signal?.throwIfAborted();
    this.#checkOpen(applied);
    return this.#limits(given);
  }

  get #caller(): Caller {
    return { user: this.#driver.options.user, grants: this.#driver.grants };
  }

  /** @param applied What the error says of a write. */
  #checkOpen(applied?: Applied): void {
    if (!this.#driver.isClosed) return;
    throw new CacheError("ERR_CLOSED", "The cache is closed", applied === undefined ? {} : { applied });
  }
}

function isReply(result: CallResult): result is CallReply {
  return !(result instanceof Error);
}

function isOutOfTime(error: unknown): error is CacheError {
  return error instanceof CacheError && (error.code === "ERR_TIMEOUT" || error.code === "ERR_UNREACHABLE");
}

/** The same error with what is known of a whole bulk call. */
function withApplied(
  error: CacheError,
  applied: Applied,
  details: Record<string, unknown>,
  message = error.message,
): CacheError {
  return new CacheError(error.code, message, {
    details: { ...error.details, ...details },
    applied,
    cause: error.cause,
  });
}
