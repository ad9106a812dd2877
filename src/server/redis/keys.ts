// The commands on keys whatever they hold: DEL, EXISTS, the EXPIRE and TTL families, TYPE, OBJECT, SCAN and KEYS.

import { isWithin } from "../../base/grants.ts";
import { type GetReply, VALUE_FORMAT } from "../../core/messages.ts";
import { ask, type Call, callAll, inDoubt } from "./call.ts";
import type { Handler } from "./context.ts";
import type { Held } from "./edit.ts";
import { CommandError, errorOf, NOT_AN_INTEGER, SYNTAX_ERROR } from "./errors.ts";
import { type ExpiryUnit, instantOf } from "./expiry.ts";
import { checkPattern, globOf, globPrefix } from "./glob.ts";
import { parseInt64 } from "./numbers.ts";
import { ErrorReply, OK, type Reply, Simple } from "./reply.ts";
import { ReplyList } from "./reply-list.ts";
import { editUnread } from "./strings.ts";
import { keyBytes, keyOf, typeName } from "./values.ts";

/** Counts the keys of the request for which the answer says yes. */
function countKeys(isCounted: "found" | "written"): Handler {
  return (call) => {
    const keys = call.args.slice(1).map(keyOf);
    // A key that comes twice is deleted once, and exists twice.
    const items = isCounted === "written" ? [...new Set(keys)] : keys;
    const start = (key: string, waiter: Parameters<typeof call.keyspace.write>[2]) =>
      isCounted === "written"
        ? call.keyspace.write(key, { type: "delete" }, waiter)
        : call.keyspace.get(key, "exists", waiter);
    return callAll(call, items, start, (answers) => {
      const isYes = (answer: (typeof answers)[number]) =>
        (answer.kind === "got" && answer.found) || (answer.kind === "written" && answer.outcome === true);
      return answers.filter(isYes).length;
    });
  };
}

// ---- expiry

/** Conditions of EXPIRE. */
interface ExpireFlags {
  readonly nx: boolean;
  readonly xx: boolean;
  readonly gt: boolean;
  readonly lt: boolean;
}

function expireFlags(call: Call): ExpireFlags {
  const flags = { nx: false, xx: false, gt: false, lt: false };
  for (let index = 3; index < call.count; index++) {
    const word = call.word(index).toLowerCase();
    if (!Object.hasOwn(flags, word)) throw new CommandError(`ERR Unsupported option ${call.word(index)}`);
    flags[word as keyof typeof flags] = true;
  }
  if (flags.nx && (flags.xx || flags.gt || flags.lt))
    throw new CommandError("ERR NX and XX, GT or LT options at the same time are not compatible");
  if (flags.gt && flags.lt)
    throw new CommandError("ERR GT and LT options at the same time are not compatible");
  return flags;
}

/** No expiry is later than every instant. */
function allowsExpiry({ nx, xx, gt, lt }: ExpireFlags, held: Held, expiresAt: number): boolean {
  const current = held.expiresAt === 0 ? Number.POSITIVE_INFINITY : held.expiresAt;
  if (nx) return held.expiresAt === 0;
  if (xx && held.expiresAt === 0) return false;
  return !(gt && expiresAt <= current) && !(lt && expiresAt >= current);
}

/** A longer ttl is written as an instant: one clock decides then, and not a second one by which the instant is no exact number any more. */
const TOUCH_MS_MAX = 2 ** 48;

function expire(unit: ExpiryUnit, name: string): Handler {
  return (call, context) => {
    const key = call.key(1);
    const nowMs = context.services.wallMs();
    const expiresAt = instantOf(call.word(2), unit, nowMs, name);
    const flags = expireFlags(call);
    const isPast = expiresAt <= nowMs;
    const yes = (outcome: boolean | number): Reply => (outcome === false ? 0 : 1);
    const isPlain = call.count === 3;
    if (isPlain && isPast) return call.write(key, { type: "delete" }, yes);
    const ttlMs = expiresAt - Math.floor(nowMs);
    if (isPlain && (unit === "ex" || unit === "px") && ttlMs <= TOUCH_MS_MAX)
      return call.write(key, { type: "touch", ttlMs }, yes);
    return editUnread(call, context, key, (held) => {
      if (held === undefined || !allowsExpiry(flags, held, expiresAt)) return { reply: 0 };
      return { reply: 1, leave: { value: isPast ? undefined : held.value, format: held.format, expiresAt } };
    });
  };
}

const persist: Handler = (call, context) =>
  editUnread(call, context, call.key(1), (held) =>
    held === undefined || held.expiresAt === 0
      ? { reply: 0 }
      : { reply: 1, leave: { ...held, expiresAt: 0 } },
  );

/** `relative`: what is left of its time; otherwise the instant. -1 without expiry, -2 without the key. */
function ttl(unitMs: 1 | 1000, isRelative: boolean): Handler {
  return (call, { services }) =>
    call.get(call.key(1), "entry", (reply) => {
      if (!reply.found) return -2;
      if (reply.expiresAt === 0) return -1;
      const ms = isRelative ? Math.max(0, reply.expiresAt - services.wallMs()) : reply.expiresAt;
      return unitMs === 1 ? Math.round(ms) : Math.floor((ms + 500) / 1000);
    });
}

// ---- what a key holds

const type: Handler = (call) =>
  call.get(call.key(1), "exists", (reply) => new Simple(reply.found ? typeName(reply.format) : "none"));

const object: Handler = (call) => {
  const subcommand = call.word(1).toLowerCase();
  if (subcommand === "help")
    return ["OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", "ENCODING <key>"];
  if (!["encoding", "refcount", "idletime", "freq"].includes(subcommand)) throw unknownSubcommand(call);
  if (call.count !== 3)
    throw new CommandError(`ERR wrong number of arguments for 'object|${subcommand}' command`);
  return call.get(keyOf(call.args[2]!), "value", (reply) => {
    if (!reply.found) return null;
    if (subcommand === "encoding") return encodingOf(reply);
    // Uses are counted only as far as eviction needs it, and nobody is told.
    return subcommand === "refcount" ? 1 : 0;
  });
};

function encodingOf(reply: GetReply): string {
  if (reply.format === VALUE_FORMAT.msgpack) return "raw";
  const isShort = reply.value.length <= 20;
  if (isShort && parseInt64(String.fromCharCode(...reply.value)) !== undefined) return "int";
  return reply.value.length <= 44 ? "embstr" : "raw";
}

/** Bytes that an entry takes beside its key and value; the store's own estimate. */
const ENTRY_BYTES = 96;

const memory: Handler = (call) => {
  const subcommand = call.word(1).toLowerCase();
  if (subcommand === "help") return ["MEMORY USAGE <key> [SAMPLES <count>]"];
  if (subcommand !== "usage" || call.count < 3) throw unknownSubcommand(call);
  if (call.count > 3) {
    const isSamples = call.count === 5 && call.word(3).toLowerCase() === "samples";
    if (!isSamples) throw new CommandError(SYNTAX_ERROR);
    const samples = parseInt64(call.word(4));
    if (samples === undefined) throw new CommandError(NOT_AN_INTEGER);
    if (samples < 0n) throw new CommandError(SYNTAX_ERROR);
  }
  const key = call.args[2]!;
  return call.get(keyOf(key), "value", (reply) =>
    reply.found ? ENTRY_BYTES + key.length + reply.value.length : null,
  );
};

export function unknownSubcommand(call: Call): CommandError {
  const name = call.word(1).slice(0, 128);
  return new CommandError(`ERR unknown subcommand '${name}'. Try ${call.spec.name.toUpperCase()} HELP.`);
}

// ---- all keys

const COUNT_DEFAULT = 10;
/** Keys that one SCAN looks at. A larger COUNT is taken as this. */
const COUNT_MAX = 1_000;

const scan: Handler = async (call, { services, session }) => {
  const cursor = call.word(1);
  if (!/^\d{1,20}$/.test(cursor)) throw new CommandError("ERR invalid cursor");
  let pattern: string | undefined;
  let wantedType: string | undefined;
  let count = COUNT_DEFAULT;
  for (let index = 2; index < call.count; index += 2) {
    const word = call.word(index).toLowerCase();
    const value = call.args[index + 1];
    if (value === undefined) throw new CommandError(SYNTAX_ERROR);
    if (word === "match") pattern = patternIn(value);
    else if (word === "type") wantedType = call.word(index + 1).toLowerCase();
    else if (word === "count") count = countOf(call.word(index + 1));
    else throw new CommandError(SYNTAX_ERROR);
  }
  const prefix = pattern === undefined ? "" : globPrefix(pattern);
  const matches = globOf(pattern ?? "*");
  const page = await services.sweep.page(Number(cursor), Math.min(COUNT_MAX, count), prefix);
  const matching = page.keys.filter((key) => isWithin(session.access?.grants, key) && matches(key));
  const keys = wantedType === undefined ? matching : await keysOfType(call, matching, wantedType);
  return [String(page.cursor), keys.map(keyBytes)];
};

function patternIn(bytes: Buffer): string {
  checkPattern(bytes);
  return bytes.toString("utf8");
}

function countOf(text: string): number {
  const count = parseInt64(text);
  if (count === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (count < 1n) throw new CommandError(SYNTAX_ERROR);
  return Number(count);
}

async function keysOfType(
  call: Call,
  keys: readonly string[],
  wantedType: string,
): Promise<readonly string[]> {
  const answers = await Promise.all(
    keys.map((key) => ask((waiter) => call.keyspace.get(key, "exists", waiter))),
  );
  return keys.filter((_key, index) => {
    const answer = answers[index]!;
    return answer.kind === "got" && answer.found && typeName(answer.format) === wantedType;
  });
}

/** Keys that one KEYS may answer with: more is refused, as it would stop the node for everybody. */
const KEYS_MAX = 1_000_000;

const keysCommand: Handler = async (call, { services, session }) => {
  const pattern = patternIn(call.args[1]!);
  const prefix = globPrefix(pattern);
  const matches = globOf(pattern);
  const found = new Set<string>();
  const list = new ReplyList();
  let cursor = 0;
  do {
    const page = await services.sweep.page(cursor, COUNT_MAX, prefix);
    for (const key of page.keys) {
      if (found.has(key) || !isWithin(session.access?.grants, key) || !matches(key)) continue;
      found.add(key);
      list.add(key);
    }
    if (found.size > KEYS_MAX) return new ErrorReply(`ERR more than ${KEYS_MAX} keys match: use SCAN`);
    cursor = page.cursor;
  } while (cursor !== 0);
  return list.items;
};

const randomkey: Handler = async (_call, { services }) => {
  const key = await services.sweep.randomKey();
  return key === undefined ? null : keyBytes(key);
};

// ---- moving

/** Reads, writes, and for a rename deletes: not one step. */
function copyTo(kind: "copy" | "rename" | "renamenx"): Handler {
  return async (call) => {
    const source = call.key(1);
    const target = keyOf(call.args[2]!);
    const isReplacing = kind === "rename" || copyReplaces(call);
    const found = await ask((waiter) => call.keyspace.get(source, "entry", waiter));
    if (found.kind === "failed") return errorOf(found, true);
    if (found.kind !== "got" || !found.found) return kind === "copy" ? 0 : new ErrorReply("ERR no such key");
    if (source === target) {
      if (kind === "copy") return new ErrorReply("ERR source and destination objects are the same");
      return kind === "rename" ? OK : 0;
    }
    const { value, format, expiresAt } = found;
    const condition = isReplacing ? "none" : "absent";
    const put = { type: "put", value, format, expiresAt, condition, ifVersion: 0 } as const;
    const written = await ask((waiter) => call.keyspace.write(target, put, waiter));
    if (written.kind === "failed") return errorOf(written, true);
    if (written.kind === "written" && written.outcome === false) return 0;
    if (kind === "copy") return 1;
    const deleted = await ask((waiter) => call.keyspace.write(source, { type: "delete" }, waiter));
    if (deleted.kind === "failed") return errorOf(inDoubt(deleted), true);
    return kind === "rename" ? OK : 1;
  };
}

function copyReplaces(call: Call): boolean {
  let isReplacing = false;
  for (let index = 3; index < call.count; index++) {
    const word = call.word(index).toLowerCase();
    if (word === "replace") isReplacing = true;
    else if (word === "db" && call.args[index + 1] !== undefined) {
      if (call.word(++index) !== "0") throw new CommandError("ERR DB index is out of range");
    } else throw new CommandError(SYNTAX_ERROR);
  }
  return isReplacing;
}

/** By name. */
export const KEY_COMMANDS: Readonly<Record<string, Handler>> = {
  del: countKeys("written"),
  unlink: countKeys("written"),
  exists: countKeys("found"),
  touch: countKeys("found"),
  expire: expire("ex", "expire"),
  pexpire: expire("px", "pexpire"),
  expireat: expire("exat", "expireat"),
  pexpireat: expire("pxat", "pexpireat"),
  ttl: ttl(1000, true),
  pttl: ttl(1, true),
  expiretime: ttl(1000, false),
  pexpiretime: ttl(1, false),
  copy: copyTo("copy"),
  rename: copyTo("rename"),
  renamenx: copyTo("renamenx"),
  ...{ persist, type, object, memory, scan, randomkey },
  keys: keysCommand,
};
