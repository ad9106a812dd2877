// Changes that depend on the value that is there and that the core does not know (APPEND, SETRANGE, GETEX, ...): read the entry, decide,
// write with the version that was read as the condition, and start over when somebody else was faster. Edits of one key run one at a time
// here, so that only writers elsewhere can be faster.
//
// The alternative was to teach the core each command. A decision here costs a read more, but the core stays small, and a
// repeated attempt of a write stays what it is: the same value under the same operation.

import type { Change, GetReply } from "../../core/messages.ts";
import type { Call } from "./call.ts";
import { CommandError, errorOf } from "./errors.ts";
import type { Keyspace } from "./keyspace.ts";
import { ErrorReply, type Reply } from "./reply.ts";
import { stringOf } from "./values.ts";

/** What is under a key. */
export interface Held {
  readonly value: Uint8Array;
  readonly format: GetReply["format"];
  /** 0 for never. */
  readonly expiresAt: number;
}

/** What to leave there; `undefined` value deletes. */
export interface Leave {
  readonly value: Uint8Array | undefined;
  readonly format: GetReply["format"];
  readonly expiresAt: number;
}

/** The decision: what is answered, and what is written first, if anything. */
export interface Edit {
  readonly reply: Reply;
  readonly leave?: Leave;
}

/** Decides; may throw a {@link CommandError}. Called again when somebody else was faster. */
export type Decide = (held: Held | undefined) => Edit;

/** How often an edit starts over before it gives up: each time, somebody else's write of the key succeeded. */
const ROUNDS_MAX = 64;
/** From here on it waits a little before it starts over. */
const ROUNDS_AT_ONCE = 4;
const PAUSE_MS_MAX = 32;

/** Edits of keys under way: those that wait for their turn, by key. Bounded by the calls that connections may have under way. */
export class EditQueue {
  readonly #queues = new Map<string, (() => void)[]>();

  /** Runs `start` when the edits of the key before it are over; each must call {@link EditQueue.leave} once. */
  enter(key: string, start: () => void): void {
    const queue = this.#queues.get(key);
    if (queue !== undefined) {
      queue.push(start);
      return;
    }
    this.#queues.set(key, []);
    start();
  }

  leave(key: string): void {
    const next = this.#queues.get(key)?.shift();
    if (next === undefined) this.#queues.delete(key);
    // A long queue must not become a deep stack.
    else queueMicrotask(next);
  }
}

export interface EditOptions {
  /** `undefined` where nobody else can be faster: in a transaction's own view. */
  readonly queue: EditQueue | undefined;
  /** Whether the decision looks into the value. Otherwise it may be one that is no string to a Redis client. */
  readonly readsValue: boolean;
}

/** Edits `key` for `call`. */
export function edit(call: Call, key: string, decide: Decide, options: EditOptions): undefined {
  const { queue } = options;
  const task = new EditTask(call, key, decide, options);
  if (queue === undefined) task.read();
  else queue.enter(key, () => task.read());
}

class EditTask {
  readonly #call: Call;
  readonly #keyspace: Keyspace;
  readonly #key: string;
  readonly #decide: Decide;
  readonly #options: EditOptions;
  #rounds = 0;

  constructor(call: Call, key: string, decide: Decide, options: EditOptions) {
    this.#call = call;
    this.#keyspace = call.keyspace;
    this.#key = key;
    this.#decide = decide;
    this.#options = options;
  }

  read(): void {
    const settle = (answer: Parameters<Call["settle"]>[0]): void => {
      if (answer.kind === "failed") this.#end(errorOf(answer, true));
      else if (answer.kind === "got") this.#found(answer);
    };
    // A replica that lags would lose every round.
    const read = this.#rounds === 0 ? undefined : "quorum";
    this.#keyspace.get(this.#key, "entry", { settle }, read);
  }

  #found(reply: GetReply): void {
    this.#call.valueBytes = reply.value.length;
    let edited: Edit;
    try {
      edited = this.#decide(this.#heldIn(reply));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.#end(new ErrorReply(error.message));
      return;
    }
    // Whatever is the held value itself is only lent.
    const answer = edited.reply === reply.value ? new Uint8Array(reply.value) : edited.reply;
    if (edited.leave === undefined) this.#end(answer);
    else this.#write(reply, edited.leave, answer);
  }

  /** @throws {CommandError} WRONGTYPE when the decision looks into the value and cannot */
  #heldIn(reply: GetReply): Held | undefined {
    if (!reply.found) return undefined;
    const value = this.#options.readsValue ? stringOf(reply)! : reply.value;
    return { value, format: reply.format, expiresAt: reply.expiresAt };
  }

  #write(reply: GetReply, leave: Leave, answer: Reply): void {
    const isDelete = leave.value === undefined;
    if (isDelete && !reply.found) {
      this.#end(answer);
      return;
    }
    const change: Change = {
      type: "put",
      value: leave.value === reply.value ? new Uint8Array(reply.value) : leave.value,
      format: isDelete ? 0 : leave.format,
      expiresAt: isDelete ? 0 : leave.expiresAt,
      condition: reply.found ? "version" : "absent",
      ifVersion: reply.version,
    };
    this.#keyspace.write(this.#key, change, {
      settle: (written) => {
        if (written.kind === "failed") this.#end(errorOf(written, true));
        else if (written.kind === "written" && written.outcome !== false) this.#end(answer);
        else this.#again();
      },
    });
  }

  #again(): void {
    this.#rounds++;
    if (this.#rounds >= ROUNDS_MAX) {
      this.#end(new ErrorReply(`BUSY The key was changed by others ${ROUNDS_MAX} times meanwhile`));
    } else if (this.#rounds < ROUNDS_AT_ONCE) {
      queueMicrotask(() => this.read());
    } else {
      setTimeout(() => this.read(), Math.random() * Math.min(PAUSE_MS_MAX, 2 ** this.#rounds));
    }
  }

  #end(reply: Reply): void {
    this.#options.queue?.leave(this.#key);
    this.#call.done(reply);
  }
}
