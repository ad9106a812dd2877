// Waiting on a condition, with a deadline and words for what was awaited.

import { setTimeout as sleep } from "node:timers/promises";

/** See {@link waitFor}. */
export interface WaitOptions {
  /** What is awaited, for the error: "node-3 to be ready". */
  readonly what: string;
  /** @default 30000 ms */
  readonly timeoutMs?: number;
  /** Milliseconds between two looks. @default 50 */
  readonly intervalMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Facts added to the error when the time is over. */
  readonly explain?: () => string;
}

/**
 * Looks again and again until `look` gives something other than `undefined` or `false`, and returns that.
 *
 * @throws {Error} when the time is over, naming what was awaited, or `signal.reason` when aborted; whatever `look` throws
 */
export async function waitFor<T>(
  look: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() >= endMs) {
      const facts = options.explain?.() ?? "";
      throw new Error(
        `Waited ${timeoutMs / 1000} s in vain for ${options.what}${facts === "" ? "" : `: ${facts}`}`,
      );
    }
    await sleep(options.intervalMs ?? 50);
  }
}
