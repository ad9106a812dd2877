// What a client's request needs, and whether the user it came from may have it. Asked at the connection, before the core hears of a request:
// the core and the other nodes trust what comes through.

import { type CommandClass, isWithin, mayUse, mayUseAllKeys, mayUseKey } from "../base/grants.ts";
import type { Change, ClientRequest, ScanReply } from "../core/messages.ts";
import type { Access } from "../io/link.ts";

/** Characters of a key that a refusal shows. */
const KEY_SHOWN_MAX = 64;

/** Why the request is refused, in a sentence for the user; `undefined` when it may go on. */
export function objectionTo(request: ClientRequest, access: Access): string | undefined {
  const { grants } = access;
  if (grants === undefined) return undefined;
  switch (request.kind) {
    case "ping":
      return undefined;
    case "get":
      return onKey("read", request.key, access);
    case "write":
      return onKey(classOf(request.change), request.key, access);
    case "scan":
      // Also where a page ends is a key: none outside of the prefixes may be one.
      if (mayUse(grants, "read") && isWithin(grants, request.prefix)) return undefined;
      return denied(access, `list keys that begin with ${show(request.prefix)}`);
    case "count":
      return mayUseAllKeys(grants, "read") ? undefined : denied(access, "count all keys");
    case "clear":
      return mayUseAllKeys(grants, "delete") ? undefined : denied(access, "delete all keys");
    case "command":
    case "place":
      return mayUse(grants, "cluster") ? undefined : denied(access, "change the cluster");
    default:
      // A request that this list does not know is nobody's but the holder's of the cluster's secret.
      return denied(access, "do that");
  }
}

/** The refusal of a class of commands on a key; `undefined` when it is granted. */
export function onKey(commandClass: CommandClass, key: string, access: Access): string | undefined {
  if (mayUseKey(access.grants, commandClass, key)) return undefined;
  return denied(access, `${commandClass} ${show(key)}`);
}

/** The reply with those keys only that the user may know of. */
export function visible(reply: ScanReply, access: Access): ScanReply {
  if (access.grants === undefined) return reply;
  return { ...reply, keys: reply.keys.filter((key) => isWithin(access.grants, key)) };
}

function classOf(change: Change): CommandClass {
  const isDelete = change.type === "delete" || (change.type === "put" && change.value === undefined);
  return isDelete ? "delete" : "write";
}

function denied({ user }: Access, what: string): string {
  return `User ${user} may not ${what}`;
}

function show(key: string): string {
  return JSON.stringify(key.length > KEY_SHOWN_MAX ? `${key.slice(0, KEY_SHOWN_MAX)}...` : key);
}
