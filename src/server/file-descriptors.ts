// How many connections the operating system lets this process have: each takes a file descriptor, and so do logs, links that the node dials, and the
// node's own files. A node that has none left can neither dial its peers nor read its certificates, so it keeps some back.

import { readFileSync } from "node:fs";

/** Descriptors that connections do not get: for Node itself (about 20), files, and links that this node dials. */
const RESERVED = 48;

/**
 * The most connections to accept: `connectionsMax`, or less where the limit of open files says so. Other systems than Linux are taken at
 * their word.
 *
 * @param limits The text of `/proc/self/limits`; for tests.
 */
export function affordableConnections(connectionsMax: number, limits: string = readLimits()): number {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return Math.min(connectionsMax, Math.max(1, limit - RESERVED));
}

function readLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
