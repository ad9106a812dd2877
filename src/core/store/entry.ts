// What can be said of one entry alone: its order among versions of the same key, and whether it is live. Pure helpers, shared
// by the store engines and by replication, so that every replica decides the same.

import type { Entry } from "../messages.ts";
import type { EntryHead } from "./store.ts";

/** The part of an entry that orders it among the versions of its key. */
export type EntryVersion = Pick<Entry, "version" | "origin">;

/**
 * Below 0 when `a` is older than `b`, above 0 when it is newer, 0 when both are the same write. A total order: by version, then
 * by origin.
 */
export function compareVersions(a: EntryVersion, b: EntryVersion): number {
  return a.version === b.version ? a.origin - b.origin : a.version < b.version ? -1 : 1;
}

/** Whether the entry is a remembered delete or expiry. An empty value is a value. */
export function isTombstone(entry: Pick<Entry, "value">): boolean {
  return entry.value === undefined;
}

/** Whether the entry's time is over at `wallMs`: from `expiresAt` on, that instant included. Never for tombstones. */
export function isExpired(entry: Pick<Entry, "expiresAt">, wallMs: number): boolean {
  return entry.expiresAt !== 0 && wallMs >= entry.expiresAt;
}

/** Whether the entry is a value that a reader may see at `wallMs`. */
export function isLive(entry: Pick<Entry, "value" | "expiresAt">, wallMs: number): boolean {
  return entry.value !== undefined && !isExpired(entry, wallMs);
}

/** The entry without its bytes. */
export function headOf(entry: Entry): EntryHead {
  return {
    key: entry.key,
    version: entry.version,
    origin: entry.origin,
    expiresAt: entry.expiresAt,
    format: entry.format,
    opClient: entry.opClient,
    opSeq: entry.opSeq,
    opAttempt: entry.opAttempt,
    size: entry.value?.length,
  };
}

/** The same version of the same key as a tombstone: without its bytes, and with no expiry of its own. A delete's keeps what its format says. */
export function tombstoneOf(entry: Entry): Entry {
  return {
    key: entry.key,
    version: entry.version,
    origin: entry.origin,
    expiresAt: 0,
    format: entry.value === undefined ? entry.format : 0,
    value: undefined,
    opClient: entry.opClient,
    opSeq: entry.opSeq,
    opAttempt: entry.opAttempt,
  };
}
