// The commands on strings: GET, SET and their family. Plain ones are one operation of the core; those that depend on the value in a way
// that only Redis knows are edits (edit.ts).

import { type Change, VALUE_FORMAT } from "../../core/messages.ts";
import { askAll, type Call, callAll, failureOf } from "./call.ts";
import type { Context, Handler } from "./context.ts";
import { type Decide, type EditQueue, edit as editKey, type Held } from "./edit.ts";
import {
  CommandError,
  errorOf,
  NOT_A_FLOAT,
  NOT_AN_INTEGER,
  OVERFLOW,
  SYNTAX_ERROR,
  TOO_LONG,
} from "./errors.ts";
import { deadlineOf, type ExpiryUnit, expiryUnit } from "./expiry.ts";
import type { Answer, Waiter } from "./keyspace.ts";
import { addDecimals, formatDecimal, isInt64, parseDecimal, parseInt64 } from "./numbers.ts";
import { bytesOf, ErrorReply, OK, REPLY_BYTES_MAX, type Reply } from "./reply.ts";
import { formatOf, keyOf, stringOf } from "./values.ts";

const NO_BYTES = Buffer.alloc(0);

/** Edits a string; WRONGTYPE when the key holds something else. */
export function edit(call: Call, context: Context, key: string, decide: Decide): undefined {
  return editKey(call, key, decide, { queue: queueFor(call, context), readsValue: true });
}

/** Edits a key whatever it holds: the decision must not look into the value. */
export function editUnread(call: Call, context: Context, key: string, decide: Decide): undefined {
  return editKey(call, key, decide, { queue: queueFor(call, context), readsValue: false });
}

function queueFor(call: Call, { services }: Context): EditQueue | undefined {
  return call.keyspace.isOwnView ? undefined : services.edits;
}

function setOf(value: Uint8Array, ttlMs = 0, condition: "none" | "absent" | "present" = "none"): Change {
  return { type: "set", value, format: formatOf(value), ttlMs, condition, ifVersion: 0 };
}

const ok = (): Reply => OK;

// ---- GET and SET

const get: Handler = (call, { services }) =>
  call.get(call.key(1), "value", (reply) => {
    if (reply.found) services.counters.hitsTotal++;
    else services.counters.missesTotal++;
    return stringOf(reply) ?? null;
  });

interface SetOptions {
  condition: "none" | "absent" | "present";
  wantsOld: boolean;
  keepsTtl: boolean;
  expiry: { readonly unit: ExpiryUnit; readonly text: string } | undefined;
}

function setOptions(call: Call): SetOptions {
  const options: SetOptions = { condition: "none", wantsOld: false, keepsTtl: false, expiry: undefined };
  for (let index = 3; index < call.count; index++) {
    const word = call.word(index).toLowerCase();
    const unit = expiryUnit(word);
    if (word === "nx" && options.condition !== "present") options.condition = "absent";
    else if (word === "xx" && options.condition !== "absent") options.condition = "present";
    else if (word === "get") options.wantsOld = true;
    else if (word === "keepttl" && options.expiry === undefined) options.keepsTtl = true;
    else if (
      unit !== undefined &&
      options.expiry === undefined &&
      !options.keepsTtl &&
      index + 1 < call.count
    )
      options.expiry = { unit, text: call.word(++index) };
    else throw new CommandError(SYNTAX_ERROR);
  }
  return options;
}

const set: Handler = (call, context) => {
  const key = call.key(1);
  const value = call.request.at(2);
  if (call.count === 3) return call.write(key, setOf(value), ok);
  const options = setOptions(call);
  const nowMs = context.services.wallMs();
  const expiresAt =
    options.expiry === undefined ? 0 : deadlineOf(options.expiry.text, options.expiry.unit, nowMs, "set");
  const reply = (outcome: boolean | number): Reply => (outcome === false ? null : OK);
  if (options.wantsOld || options.keepsTtl) {
    const editSet = options.wantsOld ? edit : editUnread;
    return editSet(call, context, key, (held) => decideSet(held, { ...options, value, expiresAt, nowMs }));
  }
  const { condition } = options;
  if (expiresAt === 0) return call.write(key, setOf(value, 0, condition), reply);
  return call.write(key, { ...put(value, expiresAt, nowMs), condition }, reply);
};

function decideSet(
  held: Held | undefined,
  plan: SetOptions & { readonly value: Uint8Array; readonly expiresAt: number; readonly nowMs: number },
) {
  const old = plan.wantsOld ? (held?.value ?? null) : undefined;
  const isRefused =
    (plan.condition === "absent" && held !== undefined) ||
    (plan.condition === "present" && held === undefined);
  if (isRefused) return { reply: old === undefined ? null : old };
  const expiresAt = plan.keepsTtl ? (held?.expiresAt ?? 0) : plan.expiresAt;
  return { reply: old === undefined ? OK : old, leave: put(plan.value, expiresAt, plan.nowMs) };
}

/** What a value with an absolute expiry leaves: nothing, when that is past. */
function put(value: Uint8Array, expiresAt: number, nowMs: number): Extract<Change, { type: "put" }> {
  const isPast = expiresAt !== 0 && expiresAt <= nowMs;
  return {
    type: "put",
    value: isPast ? undefined : value,
    format: isPast ? 0 : formatOf(value),
    expiresAt: isPast ? 0 : expiresAt,
    condition: "none",
    ifVersion: 0,
  };
}

const setnx: Handler = (call) =>
  call.write(call.key(1), setOf(call.args[2]!, 0, "absent"), (outcome) => (outcome === false ? 0 : 1));

function setWithTtl(unit: ExpiryUnit, name: string): Handler {
  return (call, { services }) => {
    const key = call.key(1);
    const nowMs = services.wallMs();
    const expiresAt = deadlineOf(call.word(2), unit, nowMs, name);
    return call.write(key, put(call.args[3]!, expiresAt, nowMs), ok);
  };
}

const getset: Handler = (call, context) => {
  const value = call.args[2]!;
  return edit(call, context, call.key(1), (held) => ({
    reply: held?.value ?? null,
    leave: { value, format: formatOf(value), expiresAt: 0 },
  }));
};

const getdel: Handler = (call, context) =>
  edit(call, context, call.key(1), (held) =>
    held === undefined
      ? { reply: null }
      : { reply: held.value, leave: { value: undefined, format: 0, expiresAt: 0 } },
  );

const getex: Handler = (call, context) => {
  const key = call.key(1);
  const nowMs = context.services.wallMs();
  const expiresAt = getexDeadline(call, nowMs);
  if (expiresAt === undefined) return get(call, context) as undefined;
  return edit(call, context, key, (held) => {
    if (held === undefined) return { reply: null };
    if (expiresAt === held.expiresAt) return { reply: held.value };
    const isPast = expiresAt !== 0 && expiresAt <= nowMs;
    const { value, format } = held;
    return { reply: value, leave: { value: isPast ? undefined : value, format, expiresAt } };
  });
};

/** When the value is to expire; 0 for PERSIST, `undefined` without options. */
function getexDeadline(call: Call, nowMs: number): number | undefined {
  if (call.count === 2) return undefined;
  const word = call.word(2).toLowerCase();
  const unit = expiryUnit(word);
  if (word === "persist" && call.count === 3) return 0;
  if (unit !== undefined && call.count === 4) return deadlineOf(call.word(3), unit, nowMs, "getex");
  throw new CommandError(SYNTAX_ERROR);
}

// ---- several keys

const mget: Handler = (call) => {
  const keys = call.args.slice(1).map(keyOf);
  let bytes = 0;
  const settle = (answer: Answer, waiter: Waiter): void => {
    if (answer.kind === "got") bytes += bytesOf(answer.value);
    waiter.settle(bytes > REPLY_BYTES_MAX ? REPLY_TOO_LARGE : answer);
  };
  return callAll(
    call,
    keys,
    (key, waiter) => call.keyspace.get(key, "value", { settle: (answer) => settle(answer, waiter) }),
    (answers) =>
      answers.map((answer) =>
        answer.kind === "got" && answer.found && answer.format !== VALUE_FORMAT.msgpack ? answer.value : null,
      ),
  );
};

/** Ends the request before more is gathered. */
const REPLY_TOO_LARGE: Answer = {
  kind: "failed",
  id: 0,
  code: "ERR_INVALID_ARGUMENT",
  message: `the reply is over ${REPLY_BYTES_MAX} bytes`,
  applied: "no",
  elsewhere: false,
};

/** Keys and values in turn, from the first argument on. The last value of a key that comes twice wins. */
function pairs(call: Call): [string, Buffer][] {
  if (call.count % 2 === 0)
    throw new CommandError(`ERR wrong number of arguments for '${call.spec.name}' command`);
  const found = new Map<string, Buffer>();
  for (let index = 1; index < call.count; index += 2)
    found.set(keyOf(call.args[index]!), call.args[index + 1]!);
  return [...found];
}

const mset: Handler = (call) =>
  callAll(call, pairs(call), ([key, value], waiter) => call.keyspace.write(key, setOf(value), waiter), ok);

/** Not one step: the keys are looked at, then set one by one where they are still absent. */
const msetnx: Handler = async (call) => {
  const entries = pairs(call);
  const look = await askAll(entries, ([key], waiter) => call.keyspace.get(key, "exists", waiter));
  const problem = failureOf(look);
  if (problem !== undefined) return errorOf(problem, true);
  if (look.some((answer) => answer.kind === "got" && answer.found)) return 0;
  const writes = await askAll(entries, ([key, value], waiter) =>
    call.keyspace.write(key, setOf(value, 0, "absent"), waiter),
  );
  const failure = failureOf(writes);
  if (failure !== undefined) return errorOf(failure, true);
  const isWhole = writes.every((answer) => answer.kind === "written" && answer.outcome === true);
  return isWhole
    ? 1
    : new ErrorReply("ERR one of the keys was set by others meanwhile; some of the others have been set");
};

// ---- numbers

/** Adds in the core where it can, and here beyond 2^53. */
function add(by: (call: Call) => bigint): Handler {
  return (call, context) => {
    const key = call.key(1);
    const increment = by(call);
    const asEdit = () => edit(call, context, key, (held) => decideAdd(held, increment));
    const isSmall =
      increment >= BigInt(Number.MIN_SAFE_INTEGER) && increment <= BigInt(Number.MAX_SAFE_INTEGER);
    if (!isSmall) return asEdit();
    const change = { type: "increment", by: Number(increment), ttlMs: 0, integersOnly: true } as const;
    call.keyspace.write(key, change, {
      settle: (answer) => {
        if (answer.kind === "failed" && answer.code === "ERR_NOT_A_NUMBER") asEdit();
        else if (answer.kind === "written") call.done(Number(answer.outcome));
        else call.settle(answer);
      },
    });
    return undefined;
  };
}

function decideAdd(held: Held | undefined, by: bigint) {
  const text = held === undefined ? "0" : textOf(held.value, 32);
  const current = text === undefined ? undefined : parseInt64(text);
  if (current === undefined) throw new CommandError(NOT_AN_INTEGER);
  const sum = current + by;
  if (!isInt64(sum)) throw new CommandError(OVERFLOW);
  const isSafe = Number.isSafeInteger(Number(sum));
  const format = isSafe ? VALUE_FORMAT.number : VALUE_FORMAT.text;
  return { reply: sum, leave: { value: Buffer.from(String(sum)), format, expiresAt: held?.expiresAt ?? 0 } };
}

function integerArgument(call: Call): bigint {
  const value = parseInt64(call.word(2));
  if (value === undefined) throw new CommandError(NOT_AN_INTEGER);
  return value;
}

function negatedArgument(call: Call): bigint {
  const value = integerArgument(call);
  if (!isInt64(-value)) throw new CommandError("ERR decrement would overflow");
  return -value;
}

const incrbyfloat: Handler = (call, context) => {
  const key = call.key(1);
  const by = parseDecimal(call.word(2));
  if (by === undefined) throw new CommandError(NOT_A_FLOAT);
  return edit(call, context, key, (held) => {
    const text = held === undefined ? "0" : textOf(held.value, 256);
    const current = text === undefined ? undefined : parseDecimal(text);
    if (current === undefined) throw new CommandError(NOT_A_FLOAT);
    if (by === "infinite" || current === "infinite")
      throw new CommandError("ERR increment would produce NaN or Infinity");
    const sum = formatDecimal(addDecimals(current, by));
    const leave = { value: Buffer.from(sum), format: VALUE_FORMAT.text, expiresAt: held?.expiresAt ?? 0 };
    return { reply: sum, leave };
  });
};

function textOf(bytes: Uint8Array, lengthMax: number): string | undefined {
  if (bytes.length > lengthMax) return undefined;
  return String.fromCharCode(...bytes);
}

// ---- parts of strings

const strlen: Handler = (call) => call.get(call.key(1), "value", (reply) => stringOf(reply)?.length ?? 0);

const getrange: Handler = (call) => {
  const start = integer(call, 2);
  const end = integer(call, 3);
  return call.get(call.key(1), "value", (reply) => {
    const value = stringOf(reply) ?? NO_BYTES;
    const from = Math.max(0, start < 0 ? value.length + start : start);
    // An end before the string's begin is its first byte, as in Redis.
    const to = Math.min(value.length - 1, Math.max(0, end < 0 ? value.length + end : end));
    const isBackwards = start < 0 && end < 0 && start > end;
    return isBackwards || from > to ? NO_BYTES : value.subarray(from, to + 1);
  });
};

/** An index: what is beyond every string may lose its last digits. */
function integer(call: Call, index: number): number {
  const value = parseInt64(call.word(index));
  if (value === undefined) throw new CommandError(NOT_AN_INTEGER);
  return Number(value);
}

const append: Handler = (call, context) => {
  const more = call.args[2]!;
  return edit(call, context, call.key(1), (held) => {
    const value = held === undefined ? more : Buffer.concat([held.value, more]);
    if (value.length > context.services.valueBytesMax) throw new CommandError(TOO_LONG);
    return {
      reply: value.length,
      leave: { value, format: formatOf(value), expiresAt: held?.expiresAt ?? 0 },
    };
  });
};

const setrange: Handler = (call, context) => {
  const key = call.key(1);
  const offset = integer(call, 2);
  const part = call.args[3]!;
  if (offset < 0) throw new CommandError("ERR offset is out of range");
  return edit(call, context, key, (held) => {
    const old = held?.value ?? NO_BYTES;
    if (part.length === 0) return { reply: old.length };
    const length = Math.max(old.length, offset + part.length);
    if (length > context.services.valueBytesMax) throw new CommandError(TOO_LONG);
    const value = Buffer.alloc(length);
    value.set(old);
    value.set(part, offset);
    return { reply: length, leave: { value, format: formatOf(value), expiresAt: held?.expiresAt ?? 0 } };
  });
};

/** By name. */
export const STRING_COMMANDS: Readonly<Record<string, Handler>> = {
  ...{
    get,
    set,
    setnx,
    getset,
    getdel,
    getex,
    mget,
    mset,
    msetnx,
    incrbyfloat,
    strlen,
    getrange,
    append,
    setrange,
  },
  substr: getrange,
  setex: setWithTtl("ex", "setex"),
  psetex: setWithTtl("px", "psetex"),
  incr: add(() => 1n),
  decr: add(() => -1n),
  incrby: add(integerArgument),
  decrby: add(negatedArgument),
};
