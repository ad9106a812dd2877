// How a command ends: exit code 0 when it did what was asked, 1 when that failed, 2 when it was asked wrongly. What went wrong is
// one line on stderr.

import { CacheError } from "../base/errors.ts";

/** Exit codes; scripts rely on them. */
export const EXIT = { fine: 0, failed: 1, usage: 2 } as const;

/** The command was asked wrongly: exit code 2. The message names the flag and the value. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Ends the command with a code, and nothing more to say. */
export class QuietExit extends Error {
  override readonly name = "QuietExit";
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** The exit code that tells what kind of error this is. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof QuietExit) return error.exitCode;
  if (error instanceof UsageError) return EXIT.usage;
  // With a cause, the machine refused (a port in use), not the syntax.
  const isWrongInput =
    error instanceof CacheError &&
    error.cause === undefined &&
    (error.code === "ERR_INVALID_OPTION" || error.code === "ERR_INVALID_ARGUMENT");
  return isWrongInput ? EXIT.usage : EXIT.failed;
}

/** One line for people; a program asks for `--json` and gets {@link describeError}. */
export function errorLine(error: unknown): string {
  const { message, code, applied } = describeError(error);
  const doubt = applied === "maybe" ? " (the write may have been applied)" : "";
  const advice = code === "ERR_UNREACHABLE" && message.includes("ECONNREFUSED") ? NOBODY_THERE : "";
  return `error: ${message.replaceAll("\n", " ")}${doubt}${code === undefined ? "" : ` [${code}]`}${advice}`;
}

const NOBODY_THERE = ": start a cluster with `ringhold cluster start`, or say where it is with --server";

/** An error as plain data. */
export function describeError(error: unknown): {
  readonly message: string;
  readonly code?: string;
  readonly applied?: string;
} {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof CacheError)) return { message };
  return { message, code: error.code, ...(error.applied === undefined ? {} : { applied: error.applied }) };
}
