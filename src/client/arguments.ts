// Checks what callers pass, before anything is sent: a call with a bad argument changes nothing. Every refusal names the argument,
// what it must be, and what it was.

import { CacheError } from "../base/errors.ts";
import { nearestName } from "../base/suggest.ts";
import { parseDurationMs } from "../base/units.ts";
import { type Condition, READ_MODES, type ReadMode, WRITE_MODES, type WriteMode } from "../core/messages.ts";
import { hasUtf8LengthWithin } from "../wire/fields.ts";
import { KEY_BYTES_MAX } from "../wire/limits.ts";
import { READ_FROM, type ReadFrom } from "./client-machine.ts";
import { isWellFormed } from "./value-check.ts";

/** What every call takes. */
export interface CallOptions {
  /**
   * Milliseconds until the call fails with ERR_TIMEOUT or ERR_UNREACHABLE, 1 to 2^31 - 1. Reads of one key leave together when the task that
   * makes them has ended (or waits): what that task takes is not counted.
   *
   * @default the client's `timeout`
   */
  readonly timeout?: number | undefined;
  /** Aborting rejects the call with the signal's reason. A write that was sent may still be applied. */
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions extends CallOptions {
  /** `quorum` sees every acknowledged quorum write; `one` is faster. @default the client's, then the cluster's */
  readonly read?: ReadMode | undefined;
  /** Whom a read of mode `one` asks: the key's `first` replica, or `any` of them. @default the client's */
  readonly readFrom?: ReadFrom | undefined;
}

export interface WriteOptions extends CallOptions {
  /** When the write is acknowledged. @default the client's, then the cluster's */
  readonly write?: WriteMode | undefined;
}

/** Milliseconds, or a text such as `"30s"`, `"5m"`, `"2h"`. */
export type Ttl = number | string;

export interface SetOptions extends WriteOptions {
  /** How long the entry lives. @default for ever (until it is evicted for space) */
  readonly ttl?: Ttl | undefined;
  /** Store only when the key is absent. */
  readonly ifAbsent?: boolean | undefined;
  /** Store only when the key is present. */
  readonly ifPresent?: boolean | undefined;
  /** Store only when the entry has this version (see `getEntry`). */
  readonly ifVersion?: number | undefined;
}

export interface IncrementOptions extends WriteOptions {
  /** How long the entry lives when this call creates it. @default for ever */
  readonly ttl?: Ttl | undefined;
}

export interface SetManyOptions extends WriteOptions {
  /** For entries without a ttl of their own. @default for ever */
  readonly ttl?: Ttl | undefined;
}

export interface KeysOptions extends CallOptions {
  /** Only keys that begin with it. @default "" */
  readonly prefix?: string | undefined;
}

/** A duration longer than this (8,900 years) is a mistake, and instants must stay safe integers. */
const TTL_MS_MAX = 2 ** 48;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

const CALL_NAMES = ["timeout", "signal"] as const;
const READ_NAMES = [...CALL_NAMES, "read", "readFrom"] as const;
const WRITE_NAMES = [...CALL_NAMES, "write"] as const;
/** Option names by call. */
export const OPTION_NAMES = {
  call: CALL_NAMES,
  read: READ_NAMES,
  write: WRITE_NAMES,
  set: [...WRITE_NAMES, "ttl", "ifAbsent", "ifPresent", "ifVersion"],
  increment: [...WRITE_NAMES, "ttl"],
  setMany: [...WRITE_NAMES, "ttl"],
  keys: [...CALL_NAMES, "prefix"],
} as const satisfies Record<string, readonly string[]>;

/** @throws {CacheError} ERR_INVALID_ARGUMENT unless `key` is a text of 1 to 1,024 bytes in UTF-8 */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== "string") throw invalidArgument("key", "a text", key);
  if (key.length === 0) throw invalidArgument("key", "at least one character", key);
  if (!hasUtf8LengthWithin(key, KEY_BYTES_MAX)) {
    throw invalidArgument("key", `at most ${KEY_BYTES_MAX} bytes in UTF-8`, Buffer.byteLength(key));
  }
  if (!isWellFormed(key)) throw invalidArgument("key", "valid Unicode, without half a surrogate pair", key);
}

/** Checks all keys of an iterable and returns them as an array. @throws {CacheError} ERR_INVALID_ARGUMENT naming the index */
export function checkKeys(keys: unknown): readonly string[] {
  if (typeof keys === "string" || !isIterable(keys)) throw invalidArgument("keys", "an array of keys", keys);
  const list = [...keys];
  for (const [index, key] of list.entries()) {
    try {
      checkKey(key);
    } catch (error) {
      throw error instanceof CacheError ? atIndex(error, "keys", index) : error;
    }
  }
  return list as string[];
}

/** Checks the names of a call's options, its timeout, its signal and its modes. `undefined` is an empty object. */
export function checkOptions<T extends CallOptions>(options: unknown, names: readonly string[]): T {
  if (options === undefined) return NO_OPTIONS as T;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalidArgument("options", "an object", options);
  }
  for (const name of Object.keys(options)) if (!names.includes(name)) throw unknownOption(name, names);
  const { timeout, signal, read, readFrom, write } = options as ReadOptions & WriteOptions;
  if (timeout !== undefined && !(typeof timeout === "number" && timeout >= 1 && timeout <= TIMEOUT_MS_MAX)) {
    throw invalidArgument("timeout", `milliseconds from 1 to ${TIMEOUT_MS_MAX}`, timeout);
  }
  if (signal !== undefined && !isSignal(signal)) throw invalidArgument("signal", "an AbortSignal", signal);
  if (read !== undefined && !READ_MODES.includes(read)) {
    throw invalidArgument("read", `one of ${READ_MODES.join(", ")}`, read);
  }
  if (readFrom !== undefined && !READ_FROM.includes(readFrom)) {
    throw invalidArgument("readFrom", `one of ${READ_FROM.join(", ")}`, readFrom);
  }
  if (write !== undefined && !WRITE_MODES.includes(write)) {
    throw invalidArgument("write", `one of ${WRITE_MODES.join(", ")}`, write);
  }
  return options as T;
}

const NO_OPTIONS: CallOptions = Object.freeze({});

/** Whole milliseconds, rounded up. @throws {CacheError} ERR_INVALID_ARGUMENT for anything but a duration above 0 */
export function checkTtl(ttl: unknown): number {
  const ms = typeof ttl === "string" ? parseDurationMs(ttl) : ttl;
  if (typeof ms === "number" && ms > 0 && ms <= TTL_MS_MAX) return Math.ceil(ms);
  const isTooLong = typeof ms === "number" && ms > TTL_MS_MAX;
  const expected = isTooLong
    ? `at most ${TTL_MS_MAX} milliseconds`
    : 'milliseconds above 0, or a text such as "30s", "5m" or "2h"';
  throw invalidArgument("ttl", `${expected} (left out, the entry does not expire)`, ttl);
}

/** {@link checkTtl}, with 0 (no expiry on the wire) for `undefined`. */
export function checkOptionalTtl(ttl: unknown): number {
  return ttl === undefined ? 0 : checkTtl(ttl);
}

/** A bare duration stands for `{ ttl }`. */
export function checkSetOptions(options: unknown): SetOptions {
  const isTtl = typeof options === "number" || typeof options === "string";
  return checkOptions<SetOptions>(isTtl ? { ttl: options } : options, OPTION_NAMES.set);
}

/** @throws {CacheError} ERR_INVALID_ARGUMENT when conditions have the wrong type or exclude each other */
export function checkCondition(options: SetOptions): {
  readonly condition: Condition;
  readonly ifVersion: number;
} {
  const { ifAbsent, ifPresent, ifVersion } = options;
  for (const [name, value] of Object.entries({ ifAbsent, ifPresent })) {
    if (value !== undefined && typeof value !== "boolean")
      throw invalidArgument(name, "true or false", value);
  }
  if (ifVersion !== undefined && !(Number.isSafeInteger(ifVersion) && ifVersion > 0)) {
    throw invalidArgument("ifVersion", "the version of an entry, as getEntry returns it", ifVersion);
  }
  const conditions: Condition[] = [];
  if (ifAbsent === true) conditions.push("absent");
  if (ifPresent === true) conditions.push("present");
  if (ifVersion !== undefined) conditions.push("version");
  if (conditions.length > 1) {
    throw invalidArgument(
      "options",
      "at most one of ifAbsent, ifPresent and ifVersion",
      conditions.join(" and "),
    );
  }
  return { condition: conditions[0] ?? "none", ifVersion: ifVersion ?? 0 };
}

/** @throws {CacheError} ERR_INVALID_ARGUMENT unless it is a finite number */
export function checkIncrement(by: unknown): number {
  if (typeof by !== "number" || !Number.isFinite(by)) throw invalidArgument("by", "a finite number", by);
  return by + 0;
}

/** @throws {CacheError} ERR_INVALID_ARGUMENT unless it is a text that a key could begin with */
export function checkPrefix(prefix: unknown): string {
  if (prefix === undefined) return "";
  const isGood =
    typeof prefix === "string" && hasUtf8LengthWithin(prefix, KEY_BYTES_MAX) && isWellFormed(prefix);
  if (!isGood) throw invalidArgument("prefix", `a text of at most ${KEY_BYTES_MAX} bytes in UTF-8`, prefix);
  return prefix;
}

/** One entry of `setMany`. */
export interface ManyEntry {
  readonly key: string;
  readonly value: unknown;
  readonly ttl?: Ttl | undefined;
}

/** Pairs, objects `{ key, value, ttl? }`, a Map, or an object of values by key. Keys are checked, values are not. */
export function checkEntries(entries: unknown): readonly ManyEntry[] {
  if (typeof entries !== "object" || entries === null) {
    throw invalidArgument("entries", "pairs of key and value, a Map, or an object", entries);
  }
  const list = isIterable(entries) ? [...entries] : Object.entries(entries);
  return list.map((entry, index) => {
    try {
      return checkEntry(entry);
    } catch (error) {
      throw error instanceof CacheError ? atIndex(error, "entries", index) : error;
    }
  });
}

function checkEntry(entry: unknown): ManyEntry {
  if (Array.isArray(entry)) {
    const [key, value] = entry as readonly unknown[];
    if (entry.length !== 2) throw invalidArgument("entry", "a pair of key and value", entry);
    checkKey(key);
    return { key, value };
  }
  if (typeof entry !== "object" || entry === null) {
    throw invalidArgument("entry", "a pair of key and value", entry);
  }
  for (const name of Object.keys(entry)) {
    if (!ENTRY_NAMES.includes(name)) throw unknownOption(name, ENTRY_NAMES);
  }
  const { key, value, ttl } = entry as ManyEntry;
  checkKey(key);
  return { key, value, ttl };
}

const ENTRY_NAMES = ["key", "value", "ttl"];

/** Adds to an error which item of a list it is about. */
export function atIndex(error: CacheError, list: string, index: number): CacheError {
  return new CacheError(error.code, `${error.message} (${list}[${index}])`, {
    details: { ...error.details, index },
    ...(error.applied === undefined ? {} : { applied: error.applied }),
    cause: error.cause,
  });
}

/** The error for a bad argument: names it, what it must be, and what it was. */
export function invalidArgument(argument: string, expected: string, received: unknown): CacheError {
  return new CacheError(
    "ERR_INVALID_ARGUMENT",
    `Argument ${argument} must be ${expected}, received ${show(received)}`,
    { details: { argument }, applied: "no" },
  );
}

function unknownOption(name: string, names: readonly string[]): CacheError {
  const nearest = nearestName(name, names);
  const hint = nearest === undefined ? `known are ${names.join(", ")}` : `did you mean ${nearest}?`;
  return new CacheError("ERR_INVALID_ARGUMENT", `Unknown option ${name.slice(0, 100)}: ${hint}`, {
    details: { argument: name.slice(0, 100) },
    applied: "no",
  });
}

/** Never more than a glimpse: arguments may be large, or private. */
function show(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "bigint" ? `${value}n` : String(value);
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

/** Also one of another make, as of a test environment: what is used of it must be there. */
function isSignal(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { aborted, throwIfAborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  const calls = [throwIfAborted, addEventListener, removeEventListener];
  return typeof aborted === "boolean" && calls.every((call) => typeof call === "function");
}
