// Judges counters that callers only increment by one and read.
//
// Upper bound, always: no increment takes effect twice, so no number above (acknowledged + unknown) is ever seen. Lower bound,
// where increments are promised to be atomic: nothing acknowledged is missing, and no two calls are told the same number.

import { describeRecorded, type Recorded } from "../history.ts";
import { Violation } from "../violation.ts";

/** @throws {Violation} when a key saw an increment applied twice, or (if `isExact`) one missing. */
export function checkCounter(key: string, operations: readonly Recorded[], isExact: boolean): void {
  const increments = operations.filter(({ operation }) => operation.f === "increment");
  for (const seen of numbersSeen(operations)) {
    // All increments that could have taken effect by then, this one included.
    const possible = increments.filter(
      ({ type, callMs }) => type !== "fail" && callMs <= seen.recorded.returnMs,
    ).length;
    if (seen.number > possible) {
      throw new Violation(
        "applied once",
        `key ${key}: ${describeRecorded(seen.recorded)} but at most ${possible} increments can have taken effect\n${tail(operations, seen.recorded)}`,
      );
    }
    if (!isExact) continue;
    const certain = increments.filter(
      ({ type, returnMs }) => type === "ok" && returnMs < seen.recorded.callMs,
    ).length;
    if (seen.number < certain) {
      throw new Violation(
        "increment lost",
        `key ${key}: ${describeRecorded(seen.recorded)} but ${certain} were acknowledged before\n${tail(operations, seen.recorded)}`,
      );
    }
  }
  if (isExact) checkDistinct(key, increments);
}

function checkDistinct(key: string, increments: readonly Recorded[]): void {
  const toldTo = new Map<number, Recorded>();
  for (const recorded of increments) {
    if (recorded.type !== "ok" || typeof recorded.outcome !== "number") continue;
    const other = toldTo.get(recorded.outcome);
    if (other !== undefined) {
      throw new Violation(
        "increment lost",
        `key ${key}: one number for two calls: ${describeRecorded(other)} and ${describeRecorded(recorded)}`,
      );
    }
    toldTo.set(recorded.outcome, recorded);
  }
}

function numbersSeen(operations: readonly Recorded[]): { number: number; recorded: Recorded }[] {
  const seen: { number: number; recorded: Recorded }[] = [];
  for (const recorded of operations) {
    if (recorded.type !== "ok") continue;
    const { f } = recorded.operation;
    if (f === "increment") seen.push({ number: Number(recorded.outcome), recorded });
    if (f === "get") seen.push({ number: Number(recorded.value ?? 0), recorded });
  }
  return seen;
}

function tail(operations: readonly Recorded[], until: Recorded): string {
  const before = operations.filter(({ callMs }) => callMs <= until.returnMs);
  return before.slice(-25).map(describeRecorded).join("\n");
}
