// What a node can be told, by `startNode` and by the command line alike, and the only place where that is checked. Each option
// is checked by itself, then in pairs; an unknown name is an error, because a mistyped safety option that is silently ignored is
// worse than a node that does not start. The secret is wrapped so that no log, status or error can show it.

import {
  type Address,
  DEFAULT_PORT,
  formatAddress,
  isLoopbackHost,
  parseAddress,
  parseSeeds,
  SEEDS_MAX,
} from "../base/address.ts";
import { CacheError, invalidOption } from "../base/errors.ts";
import type { MemberId } from "../base/ids.ts";
import { nearestName } from "../base/suggest.ts";
import { parseBytes, parseDurationMs } from "../base/units.ts";
import type { NodeEvent } from "../core/events.ts";
import type { ReadMode, WriteMode } from "../core/messages.ts";
import {
  MEMBERSHIP_DEFAULTS,
  type MembershipOptions,
  REPLICATION_DEFAULTS,
  type ReplicationOptions,
  resolveNodeCoreOptions,
} from "../core/options.ts";
import { LOG_LEVELS, type LogLevel, type NodeLogger } from "./logger.ts";
import { resolveSecret, type Secret } from "./secret.ts";
import type { NodeTls, NodeTlsFiles } from "./tls.ts";

const MEMORY_BYTES_DEFAULT = 256 * 1024 * 1024;
const MEMORY_BYTES_MIN = 1024 * 1024;
/** What the store can address. A node uses one core: larger machines run several. */
const MEMORY_BYTES_MAX = 32 * 1024 ** 3;
const VALUE_BYTES_DEFAULT = 8 * 1024 * 1024;
const VALUE_BYTES_MAX = 256 * 1024 * 1024;
const READY_TIMEOUT_MS_DEFAULT = 30_000;
const REDIS_PORT = 6379;

/** What a node is told. Everything has a default: `{}` is a new cluster of one node on loopback. */
export interface NodeOptions {
  /** The node's id, 1 to 64 characters of `[A-Za-z0-9._-]`: keep it over restarts. @default a new "node-xxxxxxxx" */
  readonly name?: string | undefined;
  /** `host:port` to listen on; port 0 takes a free one. Other hosts than loopback need a secret. @default "127.0.0.1:7400" */
  readonly listen?: string | undefined;
  /** `host:port` that others reach this node at. @default `listen`, with the port that was bound */
  readonly advertise?: string | undefined;
  /** Seeds: addresses of nodes of the cluster to join, as `"a:7400,b:7400"`, `"ringhold://a,b"` or an array. @default none: found a cluster */
  readonly join?: string | readonly string[] | undefined;
  /** Found a new cluster although `join` names seeds, which are then ignored. For one node only, and once. @default whether there are no seeds */
  readonly bootstrap?: boolean | undefined;
  /** Failure domain, such as a machine's name: copies of a key go to different zones while there are enough. @default "" */
  readonly zone?: string | undefined;
  /** Share of the ring against the other nodes, an integer from 1 to 64. @default 1 */
  readonly weight?: number | undefined;
  /** Budget for entries and all that is kept about them: bytes, or a text such as `"256mb"`. At least 1 MiB. @default "256mb" */
  readonly memory?: number | string | undefined;
  /** Copies of each key, 1 to 7; the same on all nodes of a cluster. @default 3 */
  readonly replicas?: number | undefined;
  /** When writes are acknowledged unless the call says otherwise. @default "quorum" */
  readonly write?: WriteMode | undefined;
  /** What answers reads unless the call says otherwise. @default "one" */
  readonly read?: ReadMode | undefined;
  /** The cluster's name; nodes of another one are refused. @default "ringhold" */
  readonly cluster?: string | undefined;
  /** `host:port` that Redis clients may connect to; port 0 takes a free one. Other hosts than loopback need a secret. @default none: no Redis door */
  readonly redis?: string | undefined;
  /** Whether the Redis door shows the cluster's nodes, so that cluster-aware clients go to a key's owner; else it looks like one server. @default false */
  readonly redisCluster?: boolean | undefined;
  /** Shared by all nodes and clients, proved by challenge and response: 16 to 1,024 bytes. While it is changed, a list: the one in use first. @default none */
  readonly secret?: string | readonly string[] | undefined;
  /** A file with the secret, or several, one per line, instead of `secret`. Read again when it changes. @default none */
  readonly secretFile?: string | undefined;
  /** A file with users: clients that have secrets of their own and may do only what it says. Needs a secret. Read again when it changes. @default none */
  readonly usersFile?: string | undefined;
  /** Certificates, or the files they are in, which are read again when they change. @default none: plain connections */
  readonly tls?: NodeTls | NodeTlsFiles | undefined;
  /** Largest value, in bytes or as `"8mb"`, at most 256 MiB. @default 8 MiB, or a quarter of `memory` when that is less */
  readonly valueBytesMax?: number | string | undefined;
  /** How long a node is dead before the others take its slots over, in milliseconds or as `"60s"`. @default "60s" */
  readonly deadGrace?: number | string | undefined;
  /** Whether a stop hands the node's slots over for good, instead of expecting it back. @default false */
  readonly leaveOnStop?: boolean | undefined;
  /**
   * How long a start may take until the node answers, in milliseconds or as `"30s"`; 0 waits for ever. A new node also waits while another is
   * dead and not evicted yet (`deadGrace`): a service that must start then all the same says more than that. @default 30000
   */
  readonly readyTimeout?: number | string | undefined;
  /** Connections accepted at a time, HTTP included; further ones are dropped. 16 to 65,536. @default 10000 */
  readonly connectionsMax?: number | undefined;
  /** The same of one address (of an IPv6 network of 64 bits), so that nobody takes them all. 1 to `connectionsMax`. @default half of `connectionsMax` */
  readonly connectionsPerAddressMax?: number | undefined;
  /** What is logged, to stderr as JSON lines. @default "silent" */
  readonly logLevel?: LogLevel | undefined;
  /** A pino logger, or anything with its four methods, instead of `logLevel`. */
  readonly logger?: NodeLogger | undefined;
  /** Told of everything worth knowing, in order. Must not throw or block. @default nobody */
  readonly onEvent?: ((event: NodeEvent) => void) | undefined;
  /** Timing of failure detection; see {@link MembershipOptions}. */
  readonly membership?: Partial<MembershipOptions> | undefined;
  /** Timing and limits of replication; see {@link ReplicationOptions}. */
  readonly replication?: Partial<ReplicationOptions> | undefined;
}

/** {@link NodeOptions} with every default filled in and every text parsed. */
export interface ResolvedNodeOptions {
  readonly name: MemberId;
  readonly listen: Address;
  /** `undefined`: what is listened on. Port 0 stands for the bound port. */
  readonly advertise: Address | undefined;
  /** `host:port` texts. Empty for a founder. */
  readonly seeds: readonly string[];
  readonly isFounder: boolean;
  readonly zone: string;
  readonly weight: number;
  readonly memoryBytes: number;
  readonly replicas: number;
  readonly write: WriteMode;
  readonly read: ReadMode;
  readonly cluster: string;
  /** `undefined`: there is no Redis door. */
  readonly redis: Address | undefined;
  readonly redisCluster: boolean;
  readonly secret: Secret | undefined;
  readonly secretFile: string | undefined;
  readonly usersFile: string | undefined;
  readonly tls: NodeTls | NodeTlsFiles | undefined;
  readonly valueBytesMax: number;
  readonly leaveOnStop: boolean;
  /** 0: wait for ever. */
  readonly readyTimeoutMs: number;
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** Of no use when a logger was given. */
  readonly logLevel: LogLevel;
  readonly logger: NodeLogger | undefined;
  readonly onEvent: ((event: NodeEvent) => void) | undefined;
  readonly membership: MembershipOptions;
  readonly replication: ReplicationOptions;
}

/** Every option's name; the mapped type makes a forgotten one an error of the compiler. */
const OPTION_NAMES = Object.keys({
  name: 0,
  listen: 0,
  advertise: 0,
  join: 0,
  bootstrap: 0,
  zone: 0,
  weight: 0,
  memory: 0,
  replicas: 0,
  write: 0,
  read: 0,
  cluster: 0,
  redis: 0,
  redisCluster: 0,
  secret: 0,
  secretFile: 0,
  usersFile: 0,
  tls: 0,
  valueBytesMax: 0,
  deadGrace: 0,
  leaveOnStop: 0,
  readyTimeout: 0,
  connectionsMax: 0,
  connectionsPerAddressMax: 0,
  logLevel: 0,
  logger: 0,
  onEvent: 0,
  membership: 0,
  replication: 0,
} satisfies Record<keyof NodeOptions, 0>);

/**
 * Fills defaults and checks every field, then pairs. Does not change its argument; returns a frozen object.
 *
 * @param randomName supplies the id of a node without a name
 * @throws {CacheError} ERR_INVALID_OPTION naming the option and, unless it is the secret, the value received
 */
export function resolveNodeOptions(input: NodeOptions, randomName: () => string): ResolvedNodeOptions {
  if (typeof input !== "object" || input === null) throw invalidOption("options", "an object", input);
  checkNames("", input, OPTION_NAMES);
  const text = (name: "name" | "zone" | "cluster", fallback: string): string =>
    checkType(name, input[name] ?? fallback, "string", "a text");
  const listen = address("listen", input.listen ?? `127.0.0.1:${DEFAULT_PORT}`);
  const memoryBytes = bytes(
    "memory",
    input.memory ?? MEMORY_BYTES_DEFAULT,
    MEMORY_BYTES_MIN,
    MEMORY_BYTES_MAX,
  );
  const valueBytesFallback = Math.min(VALUE_BYTES_DEFAULT, Math.floor(memoryBytes / 4));
  const seeds = resolveSeeds(input.join ?? []);
  const bootstrap = checkType("bootstrap", input.bootstrap ?? seeds.length === 0, "boolean", "true or false");
  const connectionsMax = integer("connectionsMax", input.connectionsMax ?? 10_000, 16, 65_536);
  const perAddress = input.connectionsPerAddressMax ?? Math.ceil(connectionsMax / 2);
  // The core checks the fields that it shares with the simulator's nodes; address and generation are known only later.
  const core = resolveNodeCoreOptions({
    id: text("name", randomName()),
    address: "",
    generation: 1,
    zone: text("zone", ""),
    weight: input.weight ?? 1,
    clusterName: text("cluster", "ringhold"),
    replicas: input.replicas ?? 3,
    defaultWrite: input.write ?? "quorum",
    defaultRead: input.read ?? "one",
    valueBytesMax: bytes("valueBytesMax", input.valueBytesMax ?? valueBytesFallback, 1, VALUE_BYTES_MAX),
    membership: membershipPart(input),
    replication: part("replication", input.replication, REPLICATION_DEFAULTS),
  });
  const options: ResolvedNodeOptions = {
    name: core.id,
    listen,
    advertise: input.advertise === undefined ? undefined : address("advertise", input.advertise),
    seeds: Object.freeze(bootstrap ? [] : seeds),
    isFounder: bootstrap,
    zone: core.zone,
    weight: core.weight,
    memoryBytes,
    replicas: core.replicas,
    write: core.defaultWrite,
    read: core.defaultRead,
    cluster: core.clusterName,
    redis: input.redis === undefined ? undefined : redisAddress(input.redis),
    redisCluster: checkType("redisCluster", input.redisCluster ?? false, "boolean", "true or false"),
    secret: resolveSecret(input.secret),
    secretFile: file("secretFile", input.secretFile),
    usersFile: file("usersFile", input.usersFile),
    tls: resolveTls(input.tls),
    valueBytesMax: core.valueBytesMax,
    leaveOnStop: checkType("leaveOnStop", input.leaveOnStop ?? false, "boolean", "true or false"),
    readyTimeoutMs: duration("readyTimeout", input.readyTimeout ?? READY_TIMEOUT_MS_DEFAULT),
    connectionsMax,
    connectionsPerAddressMax: integer("connectionsPerAddressMax", perAddress, 1, connectionsMax),
    logLevel: resolveLogLevel(input.logLevel ?? "silent"),
    logger: resolveLogger(input.logger),
    onEvent:
      input.onEvent === undefined
        ? undefined
        : checkType("onEvent", input.onEvent, "function", "a function of one event"),
    membership: core.membership,
    replication: core.replication,
  };
  checkPairs(input, options, seeds);
  return Object.freeze(options);
}

function checkPairs(input: NodeOptions, options: ResolvedNodeOptions, seeds: readonly string[]): void {
  if (!options.isFounder && seeds.length === 0) {
    throw invalidOption("join", "given when bootstrap is false (name a node of the cluster)", input.join);
  }
  if (options.valueBytesMax > options.memoryBytes) {
    throw invalidOption(
      "valueBytesMax",
      `at most memory (${options.memoryBytes} bytes)`,
      options.valueBytesMax,
    );
  }
  if (input.logger !== undefined && input.logLevel !== undefined) {
    throw invalidOption(
      "logLevel",
      "left out when logger is given (the logger has its own level)",
      input.logLevel,
    );
  }
  if (options.advertise !== undefined && isWildcardHost(options.advertise.host)) {
    throw invalidOption("advertise", "an address that others can reach", formatAddress(options.advertise));
  }
  if (options.redisCluster && options.redis === undefined) {
    throw invalidOption("redisCluster", "left out when redis is not given", true);
  }
  if (options.secret !== undefined && options.secretFile !== undefined) {
    throw invalidOption("secretFile", "left out when secret is given", options.secretFile);
  }
  if (options.secret !== undefined || options.secretFile !== undefined) return;
  if (options.usersFile !== undefined) {
    throw invalidOption("usersFile", "left out when there is no secret (nodes need one)", options.usersFile);
  }
  demandLoopback("listen", options.listen);
  if (options.redis !== undefined) demandLoopback("redis", options.redis);
}

/** Without a secret. */
function demandLoopback(option: "listen" | "redis", address: Address): void {
  if (isLoopbackHost(address.host)) return;
  throw new CacheError(
    "ERR_INVALID_OPTION",
    `Refusing to listen on ${formatAddress(address)} without a secret, because anyone who can reach it could read and ` +
      "change the cache: set one with --secret-file or RINGHOLD_SECRET (option secret), or listen on 127.0.0.1",
    { details: { option } },
  );
}

/** Whether the host means "every address of this machine": something to listen on, but nothing to tell others. */
export function isWildcardHost(host: string): boolean {
  return /^(0\.0\.0\.0|[0:]*:[0:]*)$/.test(host);
}

/** Throws for a key of `input` that is not among `known`, with the nearest one that is. */
function checkNames(prefix: string, input: object, known: readonly string[]): void {
  for (const [name, value] of Object.entries(input)) {
    // Everywhere else `null` would be taken for an option that is not given.
    if (value === null)
      throw invalidOption(`${prefix}${name.slice(0, 100)}`, "left out or given a value", value);
    if (known.includes(name)) continue;
    const nearest = nearestName(name, known);
    const hint =
      nearest === undefined ? `known are ${known.join(", ")}` : `did you mean ${prefix}${nearest}?`;
    throw new CacheError("ERR_INVALID_OPTION", `Unknown option ${prefix}${name.slice(0, 100)}: ${hint}`, {
      details: { option: `${prefix}${name.slice(0, 100)}` },
    });
  }
}

function checkType<T>(name: string, value: T, type: "string" | "boolean" | "function", expected: string): T {
  if (typeof value !== type) throw invalidOption(name, expected, value);
  return value;
}

/** The given fields of one group of options, without those left `undefined`. */
function part<T extends object>(name: string, input: Partial<T> | undefined, defaults: T): Partial<T> {
  if (input === undefined) return {};
  if (typeof input !== "object" || input === null) throw invalidOption(name, "an object", input);
  checkNames(`${name}.`, input, Object.keys(defaults));
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** `deadGrace` is the one timing that operators change, so it also stands beside the other options. */
function membershipPart({ membership, deadGrace }: NodeOptions): Partial<MembershipOptions> {
  const given = part("membership", membership, MEMBERSHIP_DEFAULTS);
  if (deadGrace === undefined) return given;
  if (given.deadGraceMs !== undefined) {
    throw invalidOption("deadGrace", "left out when membership.deadGraceMs is given", deadGrace);
  }
  return { ...given, deadGraceMs: Math.round(duration("deadGrace", deadGrace)) };
}

function address(name: string, value: string): Address {
  const parsed = typeof value === "string" ? parseAddress(value) : undefined;
  if (parsed === undefined) throw invalidOption(name, "host:port", value);
  return parsed;
}

/** Without a port it is Redis' own. */
function redisAddress(value: string): Address {
  const parsed = address("redis", value);
  return /:\d+$/.test(value.trim()) ? parsed : { host: parsed.host, port: REDIS_PORT };
}

function resolveSeeds(join: string | readonly string[]): readonly string[] {
  const isList =
    typeof join === "string" || (Array.isArray(join) && join.every((part) => typeof part === "string"));
  if (!isList) throw invalidOption("join", "host:port addresses", join);
  const result = parseSeeds(join);
  if ("bad" in result) throw invalidOption("join", `at most ${SEEDS_MAX} addresses host:port`, result.bad);
  return result.seeds;
}

function integer(name: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw invalidOption(name, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

function bytes(name: string, value: number | string, min: number, max: number): number {
  const parsed = typeof value === "string" ? parseBytes(value) : value;
  if (parsed === undefined || !Number.isSafeInteger(parsed) || parsed < min || parsed > max) {
    throw invalidOption(name, `from ${min} to ${max} bytes, as a number or a text such as "256mb"`, value);
  }
  return parsed;
}

function duration(name: string, value: number | string): number {
  const parsed = typeof value === "string" ? parseDurationMs(value) : value;
  // Node's timers hold 31 bits of milliseconds.
  if (parsed === undefined || !(parsed >= 0 && parsed < 2 ** 31)) {
    throw invalidOption(name, 'milliseconds from 0 to 2147483647, or a text such as "30s"', value);
  }
  return parsed;
}

function resolveTls(value: NodeTls | NodeTlsFiles | undefined): NodeTls | NodeTlsFiles | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null)
    throw invalidOption("tls", "an object { cert, key, ca } or { certFile, keyFile, caFile }", value);
  if (["certFile", "keyFile", "caFile"].some((name) => name in value))
    return resolveTlsFiles(value as NodeTlsFiles);
  return resolvePem(value as NodeTls);
}

function resolvePem(value: NodeTls): NodeTls {
  checkNames("tls.", value, ["cert", "key", "ca"]);
  for (const name of ["cert", "key", "ca"] as const) {
    const pem = value[name];
    const isGiven = (typeof pem === "string" || pem instanceof Uint8Array) && pem.length > 0;
    // What was given instead may be half a key: it is not shown.
    if (!isGiven)
      throw invalidOption(`tls.${name}`, "a PEM text or bytes", pem === undefined ? pem : typeof pem);
  }
  const tls = { cert: value.cert, ca: value.ca };
  // Not enumerable: a private key, too, must not be printed with the options.
  return Object.freeze(Object.defineProperty(tls, "key", { value: value.key })) as NodeTls;
}

function resolveTlsFiles(value: NodeTlsFiles): NodeTlsFiles {
  checkNames("tls.", value, ["certFile", "keyFile", "caFile"]);
  const { certFile, keyFile, caFile } = value;
  for (const [name, path] of Object.entries({ certFile, keyFile, caFile })) {
    if (file(`tls.${name}`, path) === undefined) throw invalidOption(`tls.${name}`, "a file's name", path);
  }
  return Object.freeze({ certFile, keyFile, caFile });
}

function file(name: string, value: string | undefined): string | undefined {
  if (value === undefined || (typeof value === "string" && value !== "")) return value;
  throw invalidOption(name, "a file's name", value);
}

function resolveLogLevel(value: LogLevel): LogLevel {
  if (!LOG_LEVELS.includes(value)) throw invalidOption("logLevel", `one of ${LOG_LEVELS.join(", ")}`, value);
  return value;
}

function resolveLogger(value: NodeLogger | undefined): NodeLogger | undefined {
  if (value === undefined) return undefined;
  const isLogger =
    typeof value === "object" &&
    value !== null &&
    (["error", "warn", "info", "debug"] as const).every((method) => typeof value[method] === "function");
  if (!isLogger) throw invalidOption("logger", "a pino logger (error, warn, info, debug)", value);
  return value;
}
