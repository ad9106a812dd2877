// The one error class of the public API. Callers match on `code`, never on the message or on `instanceof`:
// two copies of the package in one process must not break error handling.

/** Every code a {@link CacheError} can carry. The README's table says when each occurs and what to do. */
export const ERROR_CODES = [
  "ERR_INVALID_OPTION",
  "ERR_INVALID_ARGUMENT",
  "ERR_TOO_LARGE",
  "ERR_NO_QUORUM",
  "ERR_TIMEOUT",
  "ERR_OVERLOADED",
  "ERR_UNREACHABLE",
  "ERR_UNAUTHORIZED",
  "ERR_CLOSED",
  "ERR_PROTOCOL",
  "ERR_NOT_A_NUMBER",
  "ERR_FORBIDDEN",
] as const;

/** See {@link ERROR_CODES}. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** Whether a failed write may have taken effect: `"no"` is certain, `"maybe"` is not. */
export type Applied = "no" | "maybe";

/** Facts that come with an error, for logs and for programs. Never a value or a secret. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** What {@link CacheError} takes beside its code and message. */
export interface CacheErrorOptions {
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
  readonly applied?: Applied;
}

/**
 * The only error that Ringhold's public calls throw or reject with (an aborted call rejects with
 * `signal.reason` instead).
 */
export class CacheError extends Error {
  override readonly name = "CacheError";
  /** Stable: safe to match on. */
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  /** For writes: whether the write may have been applied. `undefined` for reads and for errors before any call. */
  readonly applied: Applied | undefined;

  constructor(code: ErrorCode, message: string, options: CacheErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.applied = options.applied;
  }
}

/**
 * The same error without a stack: for what is told to callers by the thousand, long after their call. Taking the stack is most of what an error
 * costs (20 microseconds of 22), and it would show nothing but the inside of this client.
 */
export function cacheErrorWithoutStack(
  code: ErrorCode,
  message: string,
  options: CacheErrorOptions = {},
): CacheError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = new CacheError(code, message, options);
  Error.stackTraceLimit = stackTraceLimit;
  return error;
}

/** The error for a bad option: names it, what it must be, and what it was. Not for secrets: it shows what it received. */
export function invalidOption(option: string, expected: string, received: unknown): CacheError {
  return new CacheError(
    "ERR_INVALID_OPTION",
    `Option ${option} must be ${expected}, received ${show(received)}`,
    {
      details: { option },
    },
  );
}

/** A value for a message: short, on one line, and never a throw. */
function show(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}
