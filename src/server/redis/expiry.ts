// When a key is to expire, out of the words of a request. Redis knows signed 64-bit milliseconds; here an instant is a double's exact
// integer, so what is later than the year 287,396 is then.

import { CommandError, NOT_AN_INTEGER } from "./errors.ts";
import { parseInt64 } from "./numbers.ts";

/** Seconds or milliseconds, from now or since 1970. */
export type ExpiryUnit = "ex" | "px" | "exat" | "pxat";

const INT64_MAX = 2n ** 63n - 1n;

/** The unit that an option in lower case names. */
export function expiryUnit(word: string): ExpiryUnit | undefined {
  return word === "ex" || word === "px" || word === "exat" || word === "pxat" ? word : undefined;
}

/**
 * The instant in ms since 1970, for SET and the like: it must be positive.
 *
 * @throws {CommandError} in Redis' words, naming the command
 */
export function deadlineOf(text: string, unit: ExpiryUnit, nowMs: number, command: string): number {
  const value = parseInt64(text);
  if (value === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (value <= 0n) throw invalid(command);
  return instant(value, unit, nowMs, command);
}

/**
 * The instant in ms since 1970, for EXPIRE and the like: 0 or below is allowed and long past.
 *
 * @throws {CommandError}
 */
export function instantOf(text: string, unit: ExpiryUnit, nowMs: number, command: string): number {
  const value = parseInt64(text);
  if (value === undefined) throw new CommandError(NOT_AN_INTEGER);
  return instant(value, unit, nowMs, command);
}

function instant(value: bigint, unit: ExpiryUnit, nowMs: number, command: string): number {
  const isSeconds = unit === "ex" || unit === "exat";
  const isRelative = unit === "ex" || unit === "px";
  const milliseconds = isSeconds ? value * 1000n : value;
  const absolute = isRelative ? milliseconds + BigInt(Math.floor(nowMs)) : milliseconds;
  if (milliseconds > INT64_MAX || milliseconds < -INT64_MAX - 1n || absolute > INT64_MAX)
    throw invalid(command);
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(absolute)));
}

function invalid(command: string): CommandError {
  return new CommandError(`ERR invalid expire time in '${command}' command`);
}
