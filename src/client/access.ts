// What a client of a user knows of its own rights: enough to refuse a call on many keys before any of it was sent, and to list keys under
// those prefixes that it may. The nodes decide; this only spares half-done work.

import { CacheError } from "../base/errors.ts";
import { type CommandClass, type Grants, isWithin, mayUse, mayUseKey } from "../base/grants.ts";

/** Who asks. */
export interface Caller {
  readonly user: string;
  /** `undefined` for everything. */
  readonly grants: Grants | undefined;
}

/**
 * Does nothing when all keys are granted.
 *
 * @throws {CacheError} ERR_FORBIDDEN naming the first key that is not; nothing was sent
 */
export function checkMany(
  { user, grants }: Caller,
  commandClass: CommandClass,
  keys: readonly string[],
): void {
  if (grants === undefined) return;
  const denied = keys.find((key) => !mayUseKey(grants, commandClass, key));
  if (denied === undefined) return;
  throw new CacheError(
    "ERR_FORBIDDEN",
    `User ${user} may not ${commandClass} ${JSON.stringify(denied)}: nothing was done`,
    {
      details: { key: denied },
      applied: "no",
    },
  );
}

/**
 * The prefixes to list so that all keys with `prefix` that may be known come once: itself, when all its keys may, otherwise
 * those of the grants that are within it.
 *
 * @throws {CacheError} ERR_FORBIDDEN when no key may be listed at all
 */
export function listablePrefixes({ user, grants }: Caller, prefix: string): readonly string[] {
  if (isWithin(grants, prefix) && mayUse(grants, "read")) return [prefix];
  if (!mayUse(grants, "read")) throw new CacheError("ERR_FORBIDDEN", `User ${user} may not list keys`);
  return grants?.prefixes.filter((granted) => granted.startsWith(prefix)) ?? [];
}
