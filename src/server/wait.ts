// Waiting, for the few places of the shell that do: for somebody else to settle a promise, or for a condition.

import { readNow } from "../io/clock.ts";

/** Between two looks at a condition. What waits is a node that stops: soon enough, and no load. */
const POLL_MS = 5;

/** See {@link deferred}. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** A promise and what settles it; only the first settling counts. */
export function deferred<T>(): Deferred<T> {
  let settle: Pick<Deferred<T>, "resolve" | "reject"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle! };
}

/** Resolves when the condition holds, or after `ms` milliseconds at the latest. */
export async function until(condition: () => boolean, ms: number): Promise<void> {
  const end = readNow().monoMs + ms;
  while (!condition() && readNow().monoMs < end) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
