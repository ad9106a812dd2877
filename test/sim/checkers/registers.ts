// Judges the histories of registers: keys on which callers only get, set without condition, and delete.

import { checkRegister, type RegisterOperation, type Verdict } from "../../../cluster/linearizability.ts";
import { describeRecorded, type Recorded } from "../history.ts";
import { Violation } from "../violation.ts";

/** Turns recorded operations into register operations: failed ones and reads without an answer say nothing. */
export function toRegisterOperations(operations: readonly Recorded[]): RegisterOperation[] {
  const states = new Map<string, number>();
  const stateOf = (value: string | undefined): number => {
    if (value === undefined) return 0;
    const known = states.get(value);
    if (known !== undefined) return known;
    states.set(value, states.size + 1);
    return states.size;
  };
  const result: RegisterOperation[] = [];
  for (const { operation, type, value, callMs, returnMs } of operations) {
    if (type === "fail") continue;
    const end = type === "ok" ? returnMs : Number.POSITIVE_INFINITY;
    if (operation.f === "get") {
      if (type === "ok") result.push({ f: "read", state: stateOf(value), callMs, returnMs: end });
    } else if (operation.f === "set") {
      result.push({ f: "write", state: stateOf(operation.value), callMs, returnMs: end });
    } else if (operation.f === "delete" || operation.f === "clear") {
      result.push({ f: "write", state: 0, callMs, returnMs: end });
    }
  }
  return result;
}

/**
 * Every key's history must be linearizable. Meant for quorum writes with quorum reads.
 *
 * @returns keys whose search was given up
 * @throws {Violation} with the history of the offending key
 */
export function checkLinearizable(byKey: ReadonlyMap<string, readonly Recorded[]>): string[] {
  const unknown: string[] = [];
  for (const [key, operations] of byKey) {
    const verdict: Verdict = checkRegister(toRegisterOperations(operations));
    if (verdict === "unknown") unknown.push(key);
    if (verdict === "violated") {
      const shortest = shortestViolation(operations);
      throw new Violation("linearizable", `key ${key}\n${shortest.map(describeRecorded).join("\n")}`);
    }
  }
  return unknown;
}

/** The shortest beginning of the history that is violated already, by order of return. */
function shortestViolation(operations: readonly Recorded[]): readonly Recorded[] {
  const ends = operations.filter(({ type }) => type === "ok").map(({ returnMs }) => returnMs);
  ends.sort((a, b) => a - b);
  for (const endMs of ends) {
    const beginning = operations
      .filter(({ callMs }) => callMs <= endMs)
      .map((each): Recorded => {
        const isKnown = each.returnMs <= endMs || each.type === "fail";
        return isKnown ? each : { ...each, type: each.operation.f === "get" ? "fail" : "info" };
      });
    if (checkRegister(toRegisterOperations(beginning)) === "violated") return beginning.slice(-40);
  }
  return operations;
}

/**
 * No read may return something older than a write that was acknowledged before the read began: no lost acknowledged write, no
 * deleted value that comes back, read-your-writes. Weaker than linearizability (two reads may disagree about a write under
 * way), so it also judges reads of one replica.
 *
 * @param isWriteBinding says which acknowledged writes a later read must see
 * @param isReadBound says which reads must see them
 */
export function findStaleReads(
  operations: readonly Recorded[],
  isWriteBinding: (write: Recorded) => boolean,
  isReadBound: (read: Recorded) => boolean = () => true,
): { readonly read: Recorded; readonly missed: Recorded }[] {
  const writes = operations.filter(
    ({ operation, type }) => ["set", "delete", "clear"].includes(operation.f) && type !== "fail",
  );
  const stale: { read: Recorded; missed: Recorded }[] = [];
  for (const read of operations) {
    if (read.operation.f !== "get" || read.type !== "ok" || !isReadBound(read)) continue;
    // The binding write that began last among those acknowledged before the read.
    let last: Recorded | undefined;
    for (const write of writes) {
      if (write.type !== "ok" || write.returnMs >= read.callMs || !isWriteBinding(write)) continue;
      if (last === undefined || write.callMs > last.callMs) last = write;
    }
    if (last !== undefined && !canExplain(read, writes, last)) stale.push({ read, missed: last });
  }
  return stale;
}

/** Whether some write with the read's value was not over before `last` began. */
function canExplain(read: Recorded, writes: readonly Recorded[], last: Recorded): boolean {
  return writes.some((write) => {
    const written = write.operation.f === "set" ? write.operation.value : undefined;
    if (written !== read.value || write.callMs > read.returnMs) return false;
    const endMs = write.type === "ok" ? write.returnMs : Number.POSITIVE_INFINITY;
    return write === last || endMs > last.callMs;
  });
}

/** @throws {Violation} at the first stale read, see {@link findStaleReads}. */
export function checkNoStaleReads(
  invariant: string,
  byKey: ReadonlyMap<string, readonly Recorded[]>,
  rules: {
    readonly isWriteBinding: (write: Recorded) => boolean;
    readonly isReadBound?: (read: Recorded) => boolean;
  },
): void {
  for (const [key, operations] of byKey) {
    const first = findStaleReads(operations, rules.isWriteBinding, rules.isReadBound)[0];
    if (first === undefined) continue;
    const { read, missed } = first;
    const around = operations.filter(({ callMs, returnMs, operation }) =>
      operation.f !== "get" ? returnMs > missed.callMs - 2000 && callMs <= read.returnMs : false,
    );
    throw new Violation(
      invariant,
      `key ${key}\n${describeRecorded(read)}\nmissed ${describeRecorded(missed)}\nwrites nearby:\n${around
        .slice(-30)
        .map(describeRecorded)
        .join("\n")}`,
    );
  }
}

/** No read that begins after a value's expiry, plus what clocks may be off, returns it. Keys must not be touched. */
export function checkNoExpiredReads(
  byKey: ReadonlyMap<string, readonly Recorded[]>,
  allowanceMs: number,
): void {
  for (const [key, operations] of byKey) {
    const goneAtMs = new Map<string, number>();
    for (const { operation, type, returnMs } of operations) {
      if (operation.f !== "set" || operation.ttlMs === 0 || type === "fail") continue;
      goneAtMs.set(operation.value, returnMs + operation.ttlMs + allowanceMs);
    }
    for (const read of operations) {
      if (read.operation.f !== "get" || read.type !== "ok" || read.value === undefined) continue;
      const goneMs = goneAtMs.get(read.value);
      if (goneMs !== undefined && read.callMs > goneMs) {
        throw new Violation(
          "no expired read",
          `key ${key}: ${describeRecorded(read)} but it was gone at ${goneMs.toFixed(1)}`,
        );
      }
    }
  }
}

/**
 * No read returns what nobody wrote: a value that was never called for, that certainly failed, that was refused by its condition
 * or that was called for only after the read.
 *
 * @throws {Violation} at the first such read
 */
export function checkNoPhantoms(byKey: ReadonlyMap<string, readonly Recorded[]>): void {
  for (const [key, operations] of byKey) {
    const writes = new Map<string, Recorded>();
    for (const recorded of operations) {
      if (recorded.operation.f === "set") writes.set(recorded.operation.value, recorded);
    }
    for (const read of operations) {
      if (read.operation.f !== "get" || read.type !== "ok" || read.value === undefined) continue;
      const write = writes.get(read.value);
      const wasWritten = write !== undefined && write.type !== "fail" && write.outcome !== false;
      if (!wasWritten || write.callMs > read.returnMs) {
        const cause = write === undefined ? "nobody wrote it" : describeRecorded(write);
        throw new Violation("no phantom", `key ${key}: ${describeRecorded(read)}, but ${cause}`);
      }
    }
  }
}
