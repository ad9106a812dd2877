// What a client is told: where the cluster is, and how to behave. `resolveClientOptions` is the only place with defaults and checks.

import { parseSeeds, SEEDS_MAX, splitLogin } from "../base/address.ts";
import { CacheError, invalidOption } from "../base/errors.ts";
import { nearestName } from "../base/suggest.ts";
import { READ_MODES, type ReadMode, WRITE_MODES, type WriteMode } from "../core/messages.ts";
import type { TlsOptions } from "../io/link.ts";
import { SECRETS_MAX, type SecretRing } from "../io/proofs.ts";
import { READ_FROM, type ReadFrom } from "./client-machine.ts";

/** How a client behaves. Everything has a default. */
export interface CacheOptions {
  /** Milliseconds that a call may take unless it says otherwise, 1 to 2^31 - 1. Less fails sooner when a node fails over. @default 1000 */
  readonly timeout?: number | undefined;
  /** Milliseconds that {@link connect} keeps trying to reach a seed, 1 to 2^31 - 1. @default 3000, or `timeout` when that is more */
  readonly connectTimeout?: number | undefined;
  /**
   * The cluster's shared secret, or, with `user`, that user's own. While it is being changed, a list: the one in use first. A function is asked at
   * each connection, so that a new secret is picked up without a restart. @default none
   */
  readonly secret?: ClientSecret | undefined;
  /** The user that this client is, and whose `secret` it has. @default none: a holder of the cluster's secret */
  readonly user?: string | undefined;
  /** `true`, or certificates in PEM: every connection is TLS. A `ringholds://` URL says `true`. @default false */
  readonly tls?: boolean | TlsOptions | undefined;
  /** When writes are acknowledged unless the call says otherwise. @default the cluster's */
  readonly write?: WriteMode | undefined;
  /** What answers reads unless the call says otherwise. @default the cluster's */
  readonly read?: ReadMode | undefined;
  /**
   * Whom reads of mode `one` ask unless the call says otherwise: the key's `first` replica, which sees this client's own writes, or `any`
   * one of them, by latency and load. Another one than the first may lack what was written in the last milliseconds. @default "first"
   */
  readonly readFrom?: ReadFrom | undefined;
  /** The cluster's name; nodes of another one are refused. @default "ringhold" */
  readonly cluster?: string | undefined;
  /** Whether the process may end although the cache is open. Calls under way keep it alive. @default false */
  readonly unref?: boolean | undefined;
}

/** A secret, or several of which the nodes know at least one, or a function that returns them. */
export type ClientSecret = string | readonly string[] | (() => string | readonly string[]);

/** The form of {@link connect}'s first argument that is no URL: seeds, and options if one likes. */
export interface ConnectTarget extends CacheOptions {
  /** `host:port` of some nodes; the others are learnt from them. Port 7400 unless given. */
  readonly seeds: string | readonly string[];
}

/** {@link CacheOptions} with nothing left out. */
export interface ResolvedClientOptions {
  readonly seeds: readonly string[];
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Read at each connection. Neither `inspect` nor `JSON.stringify` shows what it returns. */
  readonly secrets: () => SecretRing;
  /** "" for none. */
  readonly user: string;
  readonly tls: TlsOptions | undefined;
  readonly write: WriteMode | undefined;
  readonly read: ReadMode | undefined;
  readonly readFrom: ReadFrom;
  readonly cluster: string;
  readonly isUnref: boolean;
}

const TIMEOUT_MS_DEFAULT = 1_000;
/** Longer than a call's: nodes that start together with their clients take a moment. */
const CONNECT_TIMEOUT_MS_DEFAULT = 3_000;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** Every option's name; the mapped type makes a forgotten one an error of the compiler. */
const OPTION_NAMES = Object.keys({
  seeds: 0,
  timeout: 0,
  connectTimeout: 0,
  secret: 0,
  user: 0,
  tls: 0,
  write: 0,
  read: 0,
  readFrom: 0,
  cluster: 0,
  unref: 0,
} satisfies Record<keyof ConnectTarget, 0>);

/**
 * Reads a URL (`ringhold://a:7400,b:7400`, `ringholds://` for TLS, `ringhold://user:secret@a` for a user) or an object with seeds, fills defaults and checks every field.
 * Options of the second argument win over those of the first. Does not change its arguments; returns a frozen object.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the option and, unless it is the secret, the value received
 */
export function resolveClientOptions(target: unknown, options: unknown = {}): ResolvedClientOptions {
  if (!isRecord(options)) throw invalidOption("options", "an object", options);
  if ("seeds" in options) throw invalidOption("seeds", "part of the first argument", options.seeds);
  const given = defined({ ...(isRecord(target) ? target : { seeds: target }), ...defined(options) });
  for (const name of Object.keys(given)) if (!OPTION_NAMES.includes(name)) throw unknownOption(name);
  const { seeds, isTls, login } = resolveSeeds(given.seeds);
  if (login !== undefined && (given.user !== undefined || given.secret !== undefined)) {
    throw invalidOption("seeds", "without user and secret when they are options", "an address with @");
  }
  const user = resolveUser(login?.user ?? given.user);
  const secrets = resolveSecret(login?.secret ?? given.secret);
  if (user !== "" && secrets === NO_SECRETS) throw invalidOption("secret", "given with user", undefined);
  const timeoutMs = milliseconds("timeout", given.timeout ?? TIMEOUT_MS_DEFAULT);
  const connectFallback = Math.max(CONNECT_TIMEOUT_MS_DEFAULT, timeoutMs);
  return Object.freeze({
    seeds,
    timeoutMs,
    connectTimeoutMs: milliseconds("connectTimeout", given.connectTimeout ?? connectFallback),
    secrets,
    user,
    tls: resolveTls(given.tls, isTls),
    write: oneOf("write", given.write, WRITE_MODES),
    read: oneOf("read", given.read, READ_MODES),
    readFrom: oneOf("readFrom", given.readFrom, READ_FROM) ?? "first",
    cluster: resolveCluster(given.cluster ?? "ringhold"),
    isUnref: boolean("unref", given.unref ?? false),
  });
}

interface Seeds {
  readonly seeds: readonly string[];
  readonly isTls: boolean;
  readonly login: Login | undefined;
}

interface Login {
  readonly user: string;
  readonly secret: string;
}

function resolveSeeds(input: unknown): Seeds {
  const list = typeof input === "string" ? [input] : input;
  const isList = Array.isArray(list) && list.every((part) => typeof part === "string");
  if (!isList || list.length === 0) {
    throw invalidOption("seeds", "a URL such as ringhold://host:7400 or an array of host:port", input);
  }
  const { texts, login } = withoutLogin(list as readonly string[]);
  const tlsTexts = texts.filter((text) => /^\s*ringholds:\/\//.test(text));
  if (tlsTexts.length !== 0 && tlsTexts.length !== texts.length) {
    throw invalidOption("seeds", "all ringhold:// or all ringholds://", texts.join(" "));
  }
  const result = parseSeeds(texts.map((text) => text.replace(/^\s*ringholds:\/\//, "ringhold://")));
  if ("bad" in result) {
    throw invalidOption("seeds", "host:port addresses, as in ringhold://host:7400,host:7401", result.bad);
  }
  if (result.seeds.length > SEEDS_MAX) throw invalidOption("seeds", `at most ${SEEDS_MAX}`, texts.join(" "));
  return { seeds: Object.freeze([...result.seeds]), isTls: tlsTexts.length > 0, login };
}

/** Takes `user:secret@` out of a single URL; both parts may be percent-encoded. Anything else with an @ is refused, unseen: it may hold a secret. */
function withoutLogin(texts: readonly string[]): {
  readonly texts: readonly string[];
  readonly login: Login | undefined;
} {
  if (!texts.some((text) => text.includes("@"))) return { texts, login: undefined };
  const parts = texts.length === 1 ? splitLogin(texts[0]!) : undefined;
  try {
    if (parts === undefined || parts.url.includes("@")) throw new URIError("no user and secret");
    const login = { user: decodeURIComponent(parts.user), secret: decodeURIComponent(parts.secret) };
    return { texts: [parts.url], login };
  } catch {
    throw invalidOption("seeds", "a URL with at most one user:secret@, percent-encoded", "an address with @");
  }
}

function resolveUser(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(value)) return value;
  throw invalidOption("user", "1 to 64 characters of A-Z a-z 0-9 . _ -", value);
}

const NO_SECRETS = (): SecretRing => [];

function resolveSecret(value: unknown): () => SecretRing {
  if (value === undefined) return NO_SECRETS;
  if (typeof value === "function") return () => checkSecrets((value as () => unknown)());
  const secrets = checkSecrets(value);
  return () => secrets;
}

function checkSecrets(value: unknown): SecretRing {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isRing = list.every((text) => typeof text === "string" && text !== "");
  if (isRing && list.length >= 1 && list.length <= SECRETS_MAX) return list as readonly string[];
  // What was given instead may be the secret in another form: only its type is shown.
  const expected = `a text that is not empty, or a list of 1 to ${SECRETS_MAX} of them`;
  throw invalidOption("secret", expected, typeof value);
}

function resolveTls(value: unknown, isTlsUrl: boolean): TlsOptions | undefined {
  if (value === undefined) return isTlsUrl ? {} : undefined;
  if (value === true) return {};
  if (value === false) {
    if (isTlsUrl) throw invalidOption("tls", "true or certificates with a ringholds:// URL", value);
    return undefined;
  }
  if (!isRecord(value)) throw invalidOption("tls", "true, false or an object { ca, cert, key }", value);
  for (const [name, pem] of Object.entries(value)) {
    if (!["ca", "cert", "key"].includes(name))
      throw invalidOption("tls", "an object { ca, cert, key }", name);
    const isPem = pem === undefined || typeof pem === "string" || pem instanceof Uint8Array;
    // It may be half a key: only its type is shown.
    if (!isPem) throw invalidOption(`tls.${name}`, "a PEM text or bytes", typeof pem);
  }
  const { cert, key } = value as TlsOptions;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CacheError(
      "ERR_INVALID_OPTION",
      "Options tls.cert and tls.key go together: give both or none",
      {
        details: { option: "tls" },
      },
    );
  }
  return value as TlsOptions;
}

function resolveCluster(value: unknown): string {
  if (typeof value === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(value)) return value;
  throw invalidOption("cluster", "1 to 64 characters of A-Z a-z 0-9 . _ -", value);
}

function milliseconds(name: string, value: unknown): number {
  if (typeof value === "number" && value >= 1 && value <= TIMEOUT_MS_MAX) return value;
  throw invalidOption(name, `milliseconds from 1 to ${TIMEOUT_MS_MAX}`, value);
}

function boolean(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalidOption(name, "true or false", value);
}

function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T | undefined {
  if (value === undefined || allowed.includes(value as T)) return value as T | undefined;
  throw invalidOption(name, `one of ${allowed.join(", ")}`, value);
}

function unknownOption(name: string): CacheError {
  const nearest = nearestName(name, OPTION_NAMES);
  const hint = nearest === undefined ? `known are ${OPTION_NAMES.join(", ")}` : `did you mean ${nearest}?`;
  return new CacheError("ERR_INVALID_OPTION", `Unknown option ${name.slice(0, 100)}: ${hint}`, {
    details: { option: name.slice(0, 100) },
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Options that are `undefined` count as not given. */
function defined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
