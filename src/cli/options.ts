// The parts that the commands' options are made of: one helper that gives every option its environment variable, and parsers
// whose complaints say what would have been right. Commander adds the flag's (or the variable's) name and the value received.

import { InvalidArgumentError, Option } from "commander";
import { formatAddress, parseAddress, parseSeeds, splitLogin } from "../base/address.ts";
import { parseBytes, parseDurationMs } from "../base/units.ts";
import { UsageError } from "./failure.ts";

/** What Node's timers hold. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** Turns an option's text into its value, or throws an {@link InvalidArgumentError} that says what it must be. */
export type Parse<T> = (text: string) => T;

/** An option that also reads `RINGHOLD_<FLAG>`. Without a parser its value stays a text, or is a boolean for a bare flag. */
export function option<T>(
  flags: string,
  description: string,
  details: {
    readonly parse?: Parse<T>;
    readonly choices?: readonly string[];
    readonly fallback?: T;
    /** How help shows the fallback. @default as JSON */
    readonly fallbackText?: string;
    readonly env?: string;
  } = {},
): Option {
  const made = new Option(flags, description);
  if (details.choices !== undefined) made.choices([...details.choices]);
  if (details.parse !== undefined) made.argParser(details.parse as (text: string) => T);
  if (details.fallback !== undefined) made.default(details.fallback, details.fallbackText);
  const name = details.env ?? environmentName(made.long ?? flags);
  // An empty variable says nothing, as where a container's file passes on what may not be set. Commander takes a bare flag as given when
  // its variable is set to anything at all; "0" and "false" must mean no.
  const text = process.env[name];
  if (text === "" || (text !== undefined && made.isBoolean() && !isFlagSet(name))) return made;
  return made.env(name);
}

/** Whether an environment variable says yes for a bare flag. */
export function isFlagSet(name: string): boolean {
  const text = process.env[name] ?? "";
  return text !== "" && !["0", "false", "no"].includes(text.toLowerCase());
}

/** `--secret-file` reads `RINGHOLD_SECRET_FILE`. */
export function environmentName(longFlag: string): string {
  return `RINGHOLD_${longFlag.replace(/^--/, "").replaceAll("-", "_").toUpperCase()}`;
}

/** An integer of `min` to `max`. */
export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
  };
}

/** The finite number that the text is; `undefined` where it is none. */
export function numberIn(text: string): number | undefined {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** A finite number. */
export function finiteNumber(text: string): number {
  const value = numberIn(text);
  if (value !== undefined) return value;
  throw new InvalidArgumentError("It must be a number.");
}

/** Milliseconds above 0, written as a number of milliseconds or as "250ms", "30s", "5m", "2h", "1d". */
export function duration(text: string): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : parseDurationMs(text);
  if (value !== undefined && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a duration above 0 such as "500ms", "30s", "5m" or "2h".');
}

/** A duration that timers can hold, in whole milliseconds. */
export function timeout(text: string): number {
  const value = Math.ceil(duration(text));
  if (value <= TIMEOUT_MS_MAX) return value;
  throw new InvalidArgumentError("It must be at most 24 days.");
}

/** Bytes, written as "512kb", "256mb", "2gb". */
export function size(text: string): number {
  const value = parseBytes(text);
  if (value !== undefined && value > 0 && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a size such as "64mb", "256mb" or "2gb".');
}

/** `host:port`, returned with its port. */
export function address(text: string): string {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return formatAddress(parsed);
  throw new InvalidArgumentError("It must be HOST:PORT with a port from 0 to 65535.");
}

/** `host:port`; 6379 without a port. */
export function redisAddress(text: string): string {
  return /:\d+$/.test(text.trim()) ? address(text) : address(`${text.trim()}:6379`);
}

/** Where a cluster is. */
export interface ServerAddress {
  /** `host:port` texts. */
  readonly seeds: readonly string[];
  readonly isTls: boolean;
  /** From a URL in the environment. */
  readonly login?: { readonly user: string; readonly secret: string };
}

/**
 * `ringhold://host:port,host:port`, `ringholds://...` for TLS, or just the addresses. In the environment also `ringhold://user:secret@host`.
 *
 * @throws {UsageError} when an argument holds a secret: every process of the machine can read arguments
 */
export function serverAddress(text: string): ServerAddress {
  const isTls = /^\s*ringholds:/.test(text);
  const parts = splitLogin(text);
  if (parts !== undefined && process.argv.some((argument) => argument.includes(text)))
    throw new UsageError(
      "--server must not hold a secret, which anybody here could read: set RINGHOLD_URL, or --user and --secret-file",
    );
  const seeds = addressList((parts?.url ?? text).replace(/^\s*ringholds:/, "ringhold:"));
  return parts === undefined ? { seeds, isTls } : { seeds, isTls, login: decoded(parts.user, parts.secret) };
}

function decoded(user: string, secret: string): { readonly user: string; readonly secret: string } {
  try {
    return { user: decodeURIComponent(user), secret: decodeURIComponent(secret) };
  } catch {
    throw new UsageError("RINGHOLD_URL: user and secret must be percent-encoded");
  }
}

/** `host:port,host:port` or `ringhold://...`, returned as `host:port` texts. */
export function addressList(text: string): readonly string[] {
  const result = parseSeeds(text);
  if ("seeds" in result) return result.seeds;
  throw new InvalidArgumentError("It must be HOST:PORT addresses separated by commas.");
}
