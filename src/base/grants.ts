// What a user may do: classes of commands, on keys that begin with certain texts. Nodes enforce it at the connection that proved the
// user's name; clients are told theirs, so that a call on many keys can be refused before any of it was sent.
//
// Two rules: what is not granted is denied, and a class that works on keys needs one of the prefixes as well.

/** In the order in which they are listed. */
export const COMMAND_CLASSES = ["read", "write", "delete", "admin", "cluster"] as const;

/**
 * `read`: values, and the names of keys. `write`: sets, touches, increments (which return the new number). `delete`: removing keys.
 * `admin`: status, metrics, and what concerns other connections. `cluster`: taking nodes out of the cluster, weights and zones.
 */
export type CommandClass = (typeof COMMAND_CLASSES)[number];

/** Prefixes of one user, and bytes of each; a users file with more is refused. So a user's grants fit into the handshake. */
export const PREFIXES_MAX = 16;
export const PREFIX_BYTES_MAX = 128;

/** What a user may do. */
export interface Grants {
  /** Without repeats, in the order of {@link COMMAND_CLASSES}. */
  readonly classes: readonly CommandClass[];
  /** Keys that begin with any of them; "" is every key. */
  readonly prefixes: readonly string[];
}

/** Whether the class is granted, whatever the key. `undefined` grants stand for everything, here and below. */
export function mayUse(grants: Grants | undefined, commandClass: CommandClass): boolean {
  return grants === undefined || grants.classes.includes(commandClass);
}

/** Whether the class is granted for this key. */
export function mayUseKey(grants: Grants | undefined, commandClass: CommandClass, key: string): boolean {
  return grants === undefined || (grants.classes.includes(commandClass) && isWithin(grants, key));
}

/** Whether the class is granted for every key there is. */
export function mayUseAllKeys(grants: Grants | undefined, commandClass: CommandClass): boolean {
  return grants === undefined || (grants.classes.includes(commandClass) && grants.prefixes.includes(""));
}

/** Whether the key, or every key that begins with this text, is among those of the grants. */
export function isWithin(grants: Grants | undefined, keyOrPrefix: string): boolean {
  return grants === undefined || grants.prefixes.some((prefix) => keyOrPrefix.startsWith(prefix));
}

/** Whether two grants are the same. */
export function equalGrants(a: Grants, b: Grants): boolean {
  const isSame = (x: readonly string[], y: readonly string[]) =>
    x.length === y.length && x.every((value, index) => value === y[index]);
  return isSame(a.classes, b.classes) && isSame(a.prefixes, b.prefixes);
}
