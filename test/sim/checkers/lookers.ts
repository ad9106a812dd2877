// Judges walks over all keys, counts, and times to live that are changed.
//
// - A walk finds every key that was there all the time that it took and for a while before, in which nodes notice that others are cut off. It
//   finds none that nobody had written.
// - A count is never above the number of keys that were ever written.
// - A key that one caller writes has the times to live that it was given: it is there until the last of them ends, and is gone then. Touching
//   never brings it back.

import { describeRecorded, type Recorded } from "../history.ts";
import { Violation } from "../violation.ts";

/** How long before a walk a write was acknowledged that it must see: longer than a node takes a link for whole that is cut. */
const NOTICED_MS = 2_000;
/** How far clocks of the cluster may be off when something expires. */
const EXPIRY_ALLOWANCE_MS = 1_000;

/** @throws {Violation} */
export function checkScan(scan: Recorded, operations: readonly Recorded[]): void {
  if (scan.type !== "ok" || scan.keys === undefined) return;
  const found = new Set(scan.keys);
  const written = new Set<string>();
  /** Keys that are certainly there, by the write that says so; in the order of calls. */
  const present = new Map<string, Recorded>();
  for (const recorded of operations) {
    const { operation, callMs } = recorded;
    if (callMs > scan.returnMs || !isWrite(recorded) || recorded.type === "fail") continue;
    if (operation.key === "") {
      present.clear();
      continue;
    }
    if (brings(recorded)) written.add(operation.key);
    if (keeps(recorded)) {
      if (
        recorded.type === "ok" &&
        recorded.returnMs + NOTICED_MS < scan.callMs &&
        !present.has(operation.key)
      )
        present.set(operation.key, recorded);
    } else {
      present.delete(operation.key);
    }
  }
  for (const [key, write] of present) {
    // What removes may take effect as long as nobody knows how it ended.
    if (found.has(key) || operations.some((other) => endsAfter(other, write, scan))) continue;
    throw new Violation(
      "a walk finds what is there",
      `${describeRecorded(scan)}: ${key} is missing\n${describeRecorded(write)}`,
    );
  }
  for (const key of found) {
    if (!written.has(key)) throw new Violation("a walk finds what is there", `${key}: nobody wrote it`);
  }
}

/** Whether the operation may remove what `write` wrote before the end of the scan. */
function endsAfter(other: Recorded, write: Recorded, scan: Recorded): boolean {
  if (!isWrite(other) || other.type === "fail" || other.callMs > scan.returnMs) return false;
  if (other.operation.key !== write.operation.key && other.operation.key !== "") return false;
  if (keeps(other)) return false;
  return other.type !== "ok" || other.returnMs > write.callMs;
}

/** @throws {Violation} */
export function checkCount(count: Recorded, operations: readonly Recorded[]): void {
  if (count.type !== "ok") return;
  const written = new Set<string>();
  for (const recorded of operations) {
    if (recorded.type !== "fail" && recorded.callMs <= count.returnMs && brings(recorded))
      written.add(recorded.operation.key);
  }
  if (Number(count.outcome) <= written.size) return;
  throw new Violation(
    "a count is no more than there is",
    `${describeRecorded(count)} of ${written.size} ever written`,
  );
}

function isWrite({ operation }: Recorded): boolean {
  return !["get", "scan", "count"].includes(operation.f);
}

/** Whether the operation may make a key. */
function brings({ operation, outcome, type }: Recorded): boolean {
  if (operation.f === "increment") return true;
  return operation.f === "set" && !(type === "ok" && outcome === false);
}

/** Whether the key is there after the operation for good. A condition that was not met says so, too. */
function keeps({ operation }: Recorded): boolean {
  if (operation.f === "increment") return true;
  return operation.f === "set" && operation.ttlMs === 0 && operation.condition !== "present";
}

/** All that is known of a key between two calls of its only writer. */
interface Known {
  readonly value: string;
  /** From when to when it may expire. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** @param operations Of one caller, one after the other, the unknown ones last. @throws {Violation} */
export function checkTouched(
  operations: readonly Recorded[],
  { isEvicting }: { readonly isEvicting: boolean },
): void {
  let known: Known | undefined;
  for (const recorded of operations) {
    const { operation, type, callMs, returnMs } = recorded;
    if (type === "fail") continue;
    if (type !== "ok") return;
    const mayBeThere: boolean = known !== undefined && callMs <= known.untilMs + EXPIRY_ALLOWANCE_MS;
    const mustBeThere: boolean =
      known !== undefined && returnMs < known.fromMs - EXPIRY_ALLOWANCE_MS && !isEvicting;
    const seen = operation.f === "get" ? recorded.value !== undefined : recorded.outcome === true;
    // A delete that was repeated says that it found what its first attempt may have marked only.
    if (operation.f === "get" || operation.f === "touch") {
      if (seen && !mayBeThere) throw new Violation("nothing expired comes back", tail(operations, recorded));
      if (!seen && mustBeThere) throw new Violation("a touched value stays", tail(operations, recorded));
    }
    if (operation.f === "get" && seen && recorded.value !== known?.value)
      throw new Violation("a touched value stays", tail(operations, recorded));
    if (operation.f === "set") known = timed(operation.value, operation.ttlMs, recorded);
    else if (operation.f === "touch" && seen) known = timed(known!.value, operation.ttlMs, recorded);
    else if (operation.f === "delete") known = undefined;
  }
}

function timed(value: string, ttlMs: number, { callMs, returnMs }: Recorded): Known {
  return { value, fromMs: callMs + ttlMs, untilMs: returnMs + ttlMs };
}

function tail(operations: readonly Recorded[], until: Recorded): string {
  const end = operations.indexOf(until) + 1;
  return operations
    .slice(Math.max(0, end - 10), end)
    .map(describeRecorded)
    .join("\n");
}
