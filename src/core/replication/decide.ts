// What a write does to the value that is there: pure rules, one place. The coordinator finds the current value, calls
// `decide`, and replicates what comes out.

import { assertNever } from "../../base/assert.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { type Change, type Entry, type Outcome, VALUE_FORMAT, type ValueFormat } from "../messages.ts";

/** `keep`: nothing is to be written. `write`: this is. `refuse`: the call itself is wrong. */
export type Decision =
  | { readonly type: "keep"; readonly outcome: Outcome }
  | {
      readonly type: "write";
      readonly outcome: Outcome;
      /** `undefined` for a tombstone. */
      readonly value: Uint8Array | undefined;
      readonly format: ValueFormat;
      readonly expiresAt: number;
    }
  | { readonly type: "refuse"; readonly code: ErrorCode; readonly message: string };

/** Whether the decision depends on the value that is there. */
export function needsCurrent(change: Change): boolean {
  return (change.type !== "set" && change.type !== "put") || change.condition !== "none";
}

/** @param current The live value: no tombstone, not expired. @param wallMs Cluster wall time, from which a ttl counts. */
export function decide(change: Change, current: Entry | undefined, wallMs: number): Decision {
  switch (change.type) {
    case "set": {
      if (!conditionHolds(change, current)) return { type: "keep", outcome: false };
      const expiresAt = instantAfter(change.ttlMs, wallMs);
      return { type: "write", outcome: true, value: change.value, format: change.format, expiresAt };
    }
    case "delete":
      if (current === undefined) return { type: "keep", outcome: false };
      return { type: "write", outcome: true, value: undefined, format: 0, expiresAt: 0 };
    case "touch": {
      if (current === undefined) return { type: "keep", outcome: false };
      const expiresAt = instantAfter(change.ttlMs, wallMs);
      return { type: "write", outcome: true, value: current.value, format: current.format, expiresAt };
    }
    case "increment":
      return increment(change, current, wallMs);
    case "put": {
      if (!conditionHolds(change, current)) return { type: "keep", outcome: false };
      const { value, format, expiresAt } = change;
      if (value === undefined)
        return { type: "write", outcome: true, value: undefined, format: 0, expiresAt: 0 };
      return { type: "write", outcome: true, value, format, expiresAt };
    }
    default:
      return assertNever(change);
  }
}

/** 0 for no ttl. An instant beyond the exact integers could not be told to other nodes: they refuse the frame it comes in. */
function instantAfter(ttlMs: number, wallMs: number): number {
  return ttlMs === 0 ? 0 : Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(wallMs + ttlMs));
}

function conditionHolds(
  change: Pick<Extract<Change, { type: "put" }>, "condition" | "ifVersion">,
  current: Entry | undefined,
): boolean {
  switch (change.condition) {
    case "none":
      return true;
    case "absent":
      return current === undefined;
    case "present":
      return current !== undefined;
    case "version":
      return current !== undefined && current.version === change.ifVersion;
    default:
      return assertNever(change.condition);
  }
}

function increment(
  { by, ttlMs, integersOnly }: Extract<Change, { type: "increment" }>,
  current: Entry | undefined,
  wallMs: number,
): Decision {
  const base = current === undefined ? 0 : numberIn(current);
  if (base === undefined || (integersOnly && !Number.isSafeInteger(base))) {
    return {
      type: "refuse",
      code: "ERR_NOT_A_NUMBER",
      message: "Cannot increment: the value is not a number",
    };
  }
  const sum = base + by;
  const isExact = !Number.isInteger(base) || !Number.isInteger(by) || Number.isSafeInteger(sum);
  if (!Number.isFinite(sum) || !isExact) {
    const message = `Cannot increment ${base} by ${by}: the sum is outside the exact integers of a number`;
    return { type: "refuse", code: "ERR_NOT_A_NUMBER", message };
  }
  const expiresAt = current?.expiresAt ?? instantAfter(ttlMs, wallMs);
  // Adding zero turns a negative zero into the zero that decimal text can carry.
  return {
    type: "write",
    outcome: sum + 0,
    value: asciiBytes(String(sum + 0)),
    format: VALUE_FORMAT.number,
    expiresAt,
  };
}

/**
 * The number an entry holds; `undefined` when it holds something else. Text counts when it is written exactly as the number would
 * be ("10", not "010" or "1e1"): who cannot say "number", such as a Redis client, sets a counter to such a text.
 */
export function numberIn(entry: Entry): number | undefined {
  const { format, value } = entry;
  if (format === VALUE_FORMAT.msgpack || value === undefined || value.length > 32) return undefined;
  const text = asciiText(value);
  const number = Number(text);
  if (!Number.isFinite(number)) return undefined;
  return format === VALUE_FORMAT.number || String(number) === text ? number : undefined;
}

/** The `format` of a tombstone whose delete found nothing: its repeats say so again. */
export const FOUND_NOTHING: ValueFormat = 1;

/** What replicas remember of an operation, to answer its repeats with: an increment's number, {@link FOUND_NOTHING}, or 0. */
export function rememberedOf(entry: Entry): number {
  return entry.value === undefined ? entry.format : (numberIn(entry) ?? 0);
}

/** What an operation answered of which this is remembered, by one replica or another. Whoever has seen its value expire says 0. */
export function outcomeOf(change: Change, remembered: readonly number[]): Outcome {
  const number = remembered.find((each) => each !== 0) ?? 0;
  if (change.type === "increment") return number;
  return change.type !== "delete" || number !== FOUND_NOTHING;
}

function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function asciiText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
