// What callers saw, in a form that can be judged. Each caller has one operation under way at a time and takes a new name after
// an unknown outcome; values are never written twice. The three ends of an operation:
// - ok: it happened, and this is what it returned;
// - fail: the system said that it certainly did not happen (and will not);
// - info: nobody knows. It may have happened, may happen later, or never. Calling an info a fail is the commonest lie of a harness.

import type { ErrorCode } from "../../src/base/errors.ts";
import type { Operation, Settled } from "./client-adapter.ts";

export interface Recorded {
  readonly id: number;
  /** The caller: at most one operation at a time. */
  readonly caller: string;
  /** Host of the client that carried it. */
  readonly host: string;
  readonly operation: Operation;
  /** Virtual ms. */
  readonly callMs: number;
  /** Virtual ms; Infinity while under way. For an info, when the caller gave up. */
  returnMs: number;
  type: "ok" | "fail" | "info" | "open";
  /** For an ok. */
  value: string | undefined;
  outcome: boolean | number | undefined;
  /** For a scan that is ok. */
  keys?: readonly string[];
  code: ErrorCode | undefined;
}

/** All operations of a run, in the order of their calls. */
export class History {
  readonly operations: Recorded[] = [];

  begin(caller: string, host: string, operation: Operation, callMs: number): Recorded {
    const recorded: Recorded = {
      id: this.operations.length,
      caller,
      host,
      operation,
      callMs,
      returnMs: Number.POSITIVE_INFINITY,
      type: "open",
      value: undefined,
      outcome: undefined,
      code: undefined,
    };
    this.operations.push(recorded);
    return recorded;
  }

  end(recorded: Recorded, settled: Settled, returnMs: number): void {
    recorded.returnMs = returnMs;
    if (settled.ok) {
      recorded.type = "ok";
      recorded.value = settled.value;
      recorded.outcome = settled.outcome;
      if (settled.keys !== undefined) recorded.keys = settled.keys;
      return;
    }
    recorded.code = settled.code;
    const isRead = ["get", "scan", "count"].includes(recorded.operation.f);
    recorded.type = isRead || settled.applied === "no" ? "fail" : "info";
  }

  /** Operations by key, each list in the order of calls, those that change all keys among them. Keys in the order of their first use. */
  byKey(): Map<string, Recorded[]> {
    const byKey = new Map<string, Recorded[]>();
    const onAll: Recorded[] = [];
    for (const recorded of this.operations) {
      const { key, f } = recorded.operation;
      if (key === "") {
        if (f === "clear") onAll.push(recorded);
        continue;
      }
      const list = byKey.get(key);
      if (list === undefined) byKey.set(key, [recorded]);
      else list.push(recorded);
    }
    if (onAll.length > 0) {
      for (const list of byKey.values()) list.push(...onAll);
      for (const list of byKey.values()) list.sort((a, b) => a.id - b.id);
    }
    return byKey;
  }
}

/** One line of a history, for messages. */
export function describeRecorded(recorded: Recorded): string {
  const { operation, type } = recorded;
  const arg =
    operation.f === "set"
      ? ` ${operation.value}${operation.ttlMs > 0 ? ` for ${operation.ttlMs}` : ""}`
      : operation.f === "increment"
        ? ` ${operation.by}`
        : operation.f === "touch"
          ? ` for ${operation.ttlMs}`
          : "";
  const mode = "read" in operation ? operation.read : "write" in operation ? operation.write : "";
  const out =
    type === "ok" ? String(operation.f === "get" ? recorded.value : recorded.outcome) : (recorded.code ?? "");
  const span = `${recorded.callMs.toFixed(2)}..${recorded.returnMs.toFixed(2)}`;
  return `[${span}] ${recorded.caller} ${operation.f}/${mode} ${operation.key}${arg} -> ${type} ${out}`;
}
