// The slow, obviously right judge of small register histories, for comparison with the fast one: tries every order of every
// subset of the unknown operations.

import type { RegisterOperation } from "../../../cluster/linearizability.ts";

/** Whether some order explains the history. Factorial time: at most about eight operations. */
export function isLinearizableByForce(operations: readonly RegisterOperation[], initial = 0): boolean {
  return canFinish(operations, new Set(), initial);
}

function canFinish(
  operations: readonly RegisterOperation[],
  done: ReadonlySet<number>,
  state: number,
): boolean {
  const waiting = operations.map((_, index) => index).filter((index) => !done.has(index));
  if (waiting.every((index) => operations[index]!.returnMs === Number.POSITIVE_INFINITY)) return true;
  // What takes effect next must have been called before every waiting operation returned.
  const firstReturnMs = Math.min(...waiting.map((index) => operations[index]!.returnMs));
  return waiting.some((index) => {
    const { f, state: value, callMs } = operations[index]!;
    if (callMs > firstReturnMs) return false;
    if (f === "read" && value !== state) return false;
    return canFinish(operations, new Set([...done, index]), f === "write" ? value : state);
  });
}
