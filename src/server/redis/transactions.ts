// MULTI, EXEC, DISCARD, WATCH. What is promised, and what is not:
// - A transaction that writes one key is atomic: its commands run on a copy of the entry, and what they leave is written in one step if
//   the key is still as it was read (or watched). With WATCH on that key this is Redis' optimistic locking, across the cluster. What its
//   commands do beside the keys (PUBLISH, ...) they do afterwards, once: the run may be repeated, or come to nothing.
// - One that writes several keys runs its commands in order, with no other command of its connection between them; others may see them
//   half done. If it watches keys, it is refused, because it could not keep that promise.
// - Where the door shows itself as a cluster, keys of several slots are refused, as in any Redis Cluster; as one server it takes them, because
//   tools that were written for one server send such transactions to save round trips.

import { slotOfKey } from "../../base/hash.ts";
import type { Change, Entry, Want } from "../../core/messages.ts";
import { decide } from "../../core/replication/decide.ts";
import { isLive } from "../../core/store/entry.ts";
import { readNow } from "../../io/clock.ts";
import { ask, Call, type CallListener } from "./call.ts";
import { type CommandSpec, isWrite, keyIndexes } from "./command-table.ts";
import type { Context, Handler, Queued } from "./context.ts";
import { CommandError, errorOf } from "./errors.ts";
import type { Keyspace, Waiter } from "./keyspace.ts";
import { bytesOf, ErrorReply, NULL_ARRAY, OK, REPLY_BYTES_MAX, type Reply } from "./reply.ts";
import { keyOf } from "./values.ts";

/** How often a transaction that watches nothing starts over because others changed its key. */
const ROUNDS_MAX = 64;
const PAUSE_MS_MAX = 32;
/** A transaction whose commands need not wait for anybody lets others be heard after so long. */
const AT_ONCE_MS_MAX = 5;
/** Keys that one connection may watch. */
const WATCHED_MAX = 1_000;

/** Commands that do something beside the keys, which cannot be taken back. */
const BESIDE_KEYS: ReadonlySet<string> = new Set(["publish", "client", "config"]);

/** Stands for the reply of a command that has run, and all further ones: together they would be too large. */
const TOO_LARGE = new ErrorReply(
  `ERR the command has run, but the replies are over ${REPLY_BYTES_MAX} bytes`,
);

const multi: Handler = (_call, { session }) => {
  if (session.queue !== undefined) throw new CommandError("ERR MULTI calls can not be nested");
  session.queue = [];
  session.queueBytes = 0;
  session.isQueueBroken = false;
  return OK;
};

function endTransaction({ session }: Context): void {
  session.queue = undefined;
  session.queueBytes = 0;
  session.isQueueBroken = false;
  session.watched.clear();
}

const discard: Handler = (_call, context) => {
  if (context.session.queue === undefined) throw new CommandError("ERR DISCARD without MULTI");
  endTransaction(context);
  return OK;
};

const watch: Handler = async (call, { session, services }) => {
  if (session.queue !== undefined) throw new CommandError("ERR WATCH inside MULTI is not allowed");
  const keys = call.args.slice(1).map(keyOf);
  if (session.watched.size + keys.length > WATCHED_MAX)
    throw new CommandError(`ERR a connection may watch at most ${WATCHED_MAX} keys`);
  const versions = await Promise.all(keys.map((key) => versionOf(services.keyspace, key)));
  for (const [index, key] of keys.entries()) {
    // A key that is watched already keeps the version that was seen first.
    if (!session.watched.has(key)) session.watched.set(key, versions[index]!);
  }
  return OK;
};

const unwatch: Handler = (_call, { session }) => {
  session.watched.clear();
  return OK;
};

/** 0 when there is nothing. What a majority holds: a lagging copy would make every transaction fail. */
async function versionOf(keyspace: Keyspace, key: string): Promise<number> {
  const answer = await ask((waiter) => keyspace.get(key, "entry", waiter, "quorum"));
  if (answer.kind === "failed") throw new CommandError(errorOf(answer, false).text);
  return answer.kind === "got" && answer.found ? answer.version : 0;
}

/** @param handlerOf Finds the commands; handed in, because EXEC is one of them. */
export function transactionCommands(
  handlerOf: (spec: CommandSpec) => Handler,
): Readonly<Record<string, Handler>> {
  const exec: Handler = async (call, context) => {
    const { session } = context;
    const { queue, isQueueBroken } = session;
    if (queue === undefined) throw new CommandError("ERR EXEC without MULTI");
    const watched = new Map(session.watched);
    endTransaction(context);
    if (isQueueBroken) return new ErrorReply("EXECABORT Transaction discarded because of previous errors.");
    return new Transaction({ queue, watched, keyspace: call.keyspace, context, handlerOf }).run();
  };
  return { multi, discard, watch, unwatch, exec };
}

interface TransactionParts {
  readonly queue: readonly Queued[];
  /** Versions of the watched keys. */
  readonly watched: ReadonlyMap<string, number>;
  /** The keys as its connection uses them. */
  readonly keyspace: Keyspace;
  readonly context: Context;
  readonly handlerOf: (spec: CommandSpec) => Handler;
}

class Transaction {
  readonly #queue: readonly Queued[];
  readonly #watched: ReadonlyMap<string, number>;
  readonly #keyspace: Keyspace;
  readonly #context: Context;
  readonly #handlerOf: (spec: CommandSpec) => Handler;

  constructor({ queue, watched, keyspace, context, handlerOf }: TransactionParts) {
    this.#queue = queue;
    this.#watched = watched;
    this.#keyspace = keyspace;
    this.#context = context;
    this.#handlerOf = handlerOf;
  }

  async run(): Promise<Reply> {
    if (this.#context.services.isCluster && this.#slotCount() > 1)
      return new ErrorReply("CROSSSLOT Keys in request don't hash to the same slot");
    const written = this.#writtenKeys();
    if (this.#watched.size > 0 && (written.size > 1 || this.#touchesAllKeys())) {
      return new ErrorReply(
        "EXECABORT a transaction that watches keys can write one key here, received several",
      );
    }
    const [key] = written;
    if (key !== undefined && written.size === 1 && !this.#touchesAllKeys()) return this.#runOnKey(key);
    if (!(await this.#areUnchanged(undefined))) return NULL_ARRAY;
    return this.#runAll(this.#keyspace);
  }

  #writtenKeys(): Set<string> {
    const keys = new Set<string>();
    for (const { spec, request } of this.#queue) {
      if (!isWrite(spec)) continue;
      // A key that is none makes its command fail, as it would alone.
      for (const index of keyIndexes(spec, request.length)) keys.add(request.text(index));
    }
    return keys;
  }

  /** How many slots its keys are in, those that are read or watched included. */
  #slotCount(): number {
    const slots = new Set<number>([...this.#watched.keys()].map(slotOfKey));
    for (const { spec, request } of this.#queue)
      for (const index of keyIndexes(spec, request.length))
        slots.add(slotOfKey(request.at(index).toString("utf8")));
    return slots.size;
  }

  #touchesAllKeys(): boolean {
    return this.#queue.some(({ spec }) => ["flushall", "flushdb"].includes(spec.name));
  }

  /** Whether every watched key but `except` is as it was. */
  async #areUnchanged(except: string | undefined): Promise<boolean> {
    const { keyspace } = this.#context.services;
    const checks = [...this.#watched].filter(([key]) => key !== except);
    const now = await Promise.all(checks.map(([key]) => versionOf(keyspace, key)));
    return checks.every(([, version], index) => version === now[index]);
  }

  async #runOnKey(latin1Key: string): Promise<Reply> {
    let key: string;
    try {
      key = keyOf(Buffer.from(latin1Key, "latin1"));
    } catch {
      return this.#runAll(this.#keyspace);
    }
    const keyspace = this.#keyspace;
    const watchedVersion = this.#watched.get(key);
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (!(await this.#areUnchanged(key))) return NULL_ARRAY;
      const found = await ask((waiter) =>
        keyspace.get(
          key,
          "entry",
          waiter,
          round === 0 && watchedVersion === undefined ? undefined : "quorum",
        ),
      );
      if (found.kind !== "got") return found.kind === "failed" ? errorOf(found, false) : NULL_ARRAY;
      const version = found.found ? found.version : 0;
      if (watchedVersion !== undefined && watchedVersion !== version) return NULL_ARRAY;
      const own = new OneKeySpace(key, found.found ? found : undefined, {
        context: this.#context,
        others: keyspace,
      });
      const replies = new Replies();
      await this.#runWhere(isOnKeys, own, replies);
      const rest = async () => {
        await this.#runWhere((queued) => !isOnKeys(queued), keyspace, replies);
        return replies.items;
      };
      const left = own.left;
      if (left === undefined) return rest();
      const condition = found.found ? ("version" as const) : ("absent" as const);
      const change: Change = { type: "put", ...left, condition, ifVersion: version };
      const written = await ask((waiter) => keyspace.write(key, change, waiter));
      if (written.kind === "failed") return errorOf(written, true);
      if (written.kind === "written" && written.outcome !== false) return rest();
      if (watchedVersion !== undefined) return NULL_ARRAY;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(PAUSE_MS_MAX, 2 ** round)));
    }
    return new ErrorReply(`BUSY The key was changed by others ${ROUNDS_MAX} times meanwhile`);
  }

  async #runAll(keyspace: Keyspace): Promise<readonly Reply[]> {
    const replies = new Replies();
    await this.#runWhere(() => true, keyspace, replies);
    return replies.items;
  }

  /** Runs those of its commands that are meant, in their order. */
  async #runWhere(isMeant: (queued: Queued) => boolean, keyspace: Keyspace, replies: Replies): Promise<void> {
    let sinceMs = readNow().monoMs;
    for (const [index, queued] of this.#queue.entries()) {
      if (!isMeant(queued)) continue;
      if (readNow().monoMs - sinceMs > AT_ONCE_MS_MAX) {
        await new Promise((resolve) => setImmediate(resolve));
        sinceMs = readNow().monoMs;
      }
      replies.set(index, await this.#runOne(queued, keyspace));
    }
  }

  #runOne({ spec, request }: Queued, keyspace: Keyspace): Promise<Reply> {
    return new Promise((resolve) => {
      const listener: CallListener = {
        callDone: (call) => {
          // It waits for the others, and its bytes are only lent.
          const { reply } = call;
          resolve(reply instanceof Uint8Array ? Uint8Array.prototype.slice.call(reply) : (reply ?? null));
        },
      };
      const call = new Call(spec, request, keyspace, listener);
      runHandler(this.#handlerOf(spec), call, this.#context);
    });
  }
}

function isOnKeys({ spec }: Queued): boolean {
  return !BESIDE_KEYS.has(spec.name);
}

/** The replies to the commands of a transaction, each at its place, whichever comes first; in the place of what would be too much an error. */
class Replies {
  readonly items: Reply[] = [];
  #bytes = 0;

  set(index: number, reply: Reply): void {
    if (this.#bytes <= REPLY_BYTES_MAX) this.#bytes += bytesOf(reply);
    this.items[index] = this.#bytes > REPLY_BYTES_MAX ? TOO_LARGE : reply;
  }
}

/** Runs a command and sees to it that the call ends. */
export function runHandler(handler: Handler, call: Call, context: Context): void {
  const { onBug } = context.services;
  try {
    const result = handler(call, context);
    if (result === undefined) return;
    if (result instanceof Promise) {
      result.then(
        (reply) => call.done(reply),
        (error: unknown) => call.fail(error, onBug),
      );
    } else {
      call.done(result);
    }
  } catch (error) {
    call.fail(error, onBug);
  }
}

/** One key as a transaction sees it, changed nowhere else until it is written; other keys are read as they are. */
class OneKeySpace implements Keyspace {
  readonly isOwnView = true;
  readonly #key: string;
  readonly #context: Context;
  readonly #others: Keyspace;
  #entry: Entry | undefined;
  #isChanged = false;

  constructor(
    key: string,
    found: Pick<Entry, "format" | "value" | "version" | "expiresAt"> | undefined,
    { context, others }: { readonly context: Context; readonly others: Keyspace },
  ) {
    this.#key = key;
    this.#context = context;
    this.#others = others;
    if (found !== undefined)
      this.#entry = { key, origin: 0, opClient: 0, opSeq: 0, opAttempt: 0, ...pick(found) };
  }

  /** What is to be written; `undefined` when nothing changed. */
  get left(): { value: Uint8Array | undefined; format: Entry["format"]; expiresAt: number } | undefined {
    if (!this.#isChanged) return undefined;
    const entry = this.#entry;
    if (entry?.value === undefined) return { value: undefined, format: 0, expiresAt: 0 };
    return { value: entry.value, format: entry.format, expiresAt: entry.expiresAt };
  }

  get(key: string, want: Want, waiter: Waiter): void {
    if (key !== this.#key) {
      this.#others.get(key, want, waiter);
      return;
    }
    const entry = this.#live();
    waiter.settle({
      kind: "got",
      id: 0,
      found: entry !== undefined,
      format: entry?.format ?? 0,
      value: entry?.value ?? new Uint8Array(0),
      version: entry?.version ?? 0,
      expiresAt: entry?.expiresAt ?? 0,
    });
  }

  write(key: string, change: Change, waiter: Waiter): void {
    const { wallMs, valueBytesMax } = this.#context.services;
    const decision = decide(change, this.#live(), wallMs());
    const failed = { kind: "failed", id: 0, applied: "no", elsewhere: false } as const;
    if (key !== this.#key) {
      waiter.settle({ ...failed, code: "ERR_PROTOCOL", message: "The transaction writes another key" });
    } else if (decision.type === "refuse") {
      waiter.settle({ ...failed, code: decision.code, message: decision.message });
    } else if (decision.type === "write" && (decision.value?.length ?? 0) > valueBytesMax) {
      waiter.settle({ ...failed, code: "ERR_TOO_LARGE", message: "The value is too large" });
    } else {
      if (decision.type === "write") this.#put(decision);
      waiter.settle({ kind: "written", id: 0, outcome: decision.outcome });
    }
  }

  #live(): Entry | undefined {
    const entry = this.#entry;
    return entry !== undefined && isLive(entry, this.#context.services.wallMs()) ? entry : undefined;
  }

  #put({ value, format, expiresAt }: Pick<Entry, "value" | "format" | "expiresAt">): void {
    this.#isChanged = true;
    const version = (this.#entry?.version ?? 0) + 1;
    this.#entry = {
      key: this.#key,
      origin: 0,
      opClient: 0,
      opSeq: 0,
      opAttempt: 0,
      value,
      format,
      expiresAt,
      version,
    };
  }
}

function pick({
  format,
  value,
  version,
  expiresAt,
}: Pick<Entry, "format" | "value" | "version" | "expiresAt">) {
  return { format, value, version, expiresAt };
}
