// What a Redis command needs of the user who sends it: a class, and where its keys are. Asked before a command runs or is queued, so that one
// denied key leaves nothing of the command behind, and a transaction with a denied command none of its others.
//
// Commands that are not named here and have keys need `write` or `read` on each of them, as their flags say; commands that are not named and have
// none (PING, MULTI, HELLO, ...) are for everybody who has proved something. A new command about other connections or about all keys has to be named.

import { type CommandClass, type Grants, mayUse, mayUseAllKeys, mayUseKey } from "../../base/grants.ts";
import type { Access } from "../../io/link.ts";
import { type CommandSpec, isWrite, keyIndexes } from "./command-table.ts";
import { globPrefix } from "./glob.ts";
import { ErrorReply } from "./reply.ts";

/** Classes of commands on keys that are not told by the flags alone. */
const KEY_CLASSES: Readonly<Record<string, readonly CommandClass[]>> = {
  del: ["delete"],
  unlink: ["delete"],
  getdel: ["read", "delete"],
  getex: ["read", "write"],
  getset: ["read", "write"],
  copy: ["read", "write"],
  rename: ["read", "write", "delete"],
  renamenx: ["read", "write", "delete"],
  // Answers with the bit that was there.
  setbit: ["read", "write"],
  watch: ["read"],
};

/** Commands about all keys. */
const ALL_KEYS: Readonly<Record<string, CommandClass>> = {
  dbsize: "read",
  randomkey: "read",
  flushall: "delete",
  flushdb: "delete",
};

/** Commands that list keys: what the user may not know of is left out of the answer. */
const LISTING: ReadonlySet<string> = new Set(["keys", "scan"]);

/** Subcommands that anybody may send; the others of these commands are `admin`. */
const PUBLIC_SUBCOMMANDS: Readonly<Record<string, ReadonlySet<string>>> = {
  client: new Set([
    ...["caching", "getname", "getredir", "help", "id", "info"],
    ...["reply", "setinfo", "setname", "trackinginfo"],
  ]),
  config: new Set(["help"]),
  pubsub: new Set(["help"]),
};

/** Why the request is refused; `undefined` when it may run. The arguments include the command's name. */
export function objectionTo(
  spec: CommandSpec,
  args: readonly Uint8Array[],
  access: Access,
): ErrorReply | undefined {
  const { grants } = access;
  if (grants === undefined) return undefined;
  const { name } = spec;
  const subcommand = () => text(args[1]).toLowerCase();
  const isGranted = (() => {
    const allKeys = ALL_KEYS[name];
    if (allKeys !== undefined) return mayUseAllKeys(grants, allKeys);
    if (LISTING.has(name)) return mayUse(grants, "read");
    if (name === "client" && subcommand() === "tracking") return mayTrack(args, grants);
    const open = PUBLIC_SUBCOMMANDS[name];
    if (open !== undefined) return open.has(subcommand()) || mayUse(grants, "admin");
    if (name === "cluster" && ["countkeysinslot", "getkeysinslot"].includes(subcommand()))
      return mayUseAllKeys(grants, "read");
    if (name === "object" || name === "memory")
      return args.length < 3 ? true : mayUseKey(grants, "read", text(args[2]));
    return keysIn(spec, args).every((key) =>
      classesOf(spec, args).every((commandClass) => mayUseKey(grants, commandClass, key)),
    );
  })();
  return isGranted ? undefined : denied(spec, access);
}

/** The reply to a command that its user may not send. As Redis has it, but for the text after the code. */
function denied({ name }: CommandSpec, { user }: Access): ErrorReply {
  return new ErrorReply(`NOPERM User ${user} has no permission for '${name}' or for one of its keys`);
}

function classesOf(spec: CommandSpec, args: readonly Uint8Array[]): readonly CommandClass[] {
  const named = KEY_CLASSES[spec.name];
  if (named !== undefined) return named;
  if (spec.name === "set" && args.slice(3).some((arg) => text(arg).toLowerCase() === "get"))
    return ["read", "write"];
  if (spec.name === "publish") return ["write"];
  return isWrite(spec) ? ["write"] : ["read"];
}

/** Keys, and what stands for them: channels, and what all channels of a pattern begin with. */
function keysIn(spec: CommandSpec, args: readonly Uint8Array[]): readonly string[] {
  if (spec.name === "publish") return [text(args[1])];
  if (spec.name === "subscribe") return args.slice(1).map(text);
  if (spec.name === "psubscribe") return args.slice(1).map((pattern) => globPrefix(text(pattern)));
  return keyIndexes(spec, args.length).map((index) => text(args[index]));
}

/** Whether all keys that the connection would be told of are the user's own to read. Without BCAST it is told of those it has read. */
function mayTrack(args: readonly Uint8Array[], grants: Grants): boolean {
  const words = args.slice(2).map(text);
  const isBroadcast = words.some((word) => word.toLowerCase() === "bcast");
  if (!isBroadcast || mayUseAllKeys(grants, "read")) return true;
  const prefixes = words.filter((_, index) => words[index - 1]?.toLowerCase() === "prefix");
  return prefixes.length > 0 && prefixes.every((prefix) => mayUseKey(grants, "read", prefix));
}

/** What is no valid UTF-8 is no key and matches only a user of all keys; the command itself says what is wrong with it. */
function text(bytes: Uint8Array | undefined): string {
  return bytes === undefined
    ? ""
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
}
