// One request of a Redis client under way: its arguments, the keys it works on, and its reply when there is one. It is also whom the
// keyspace answers, so that a plain GET needs nothing beside it.

import type { Change, GetReply, Want } from "../../core/messages.ts";
import type { CommandSpec } from "./command-table.ts";
import { keyIndexes } from "./command-table.ts";
import { CommandError, errorOf } from "./errors.ts";
import type { Answer, Keyspace, Waiter } from "./keyspace.ts";
import { ErrorReply, type Reply } from "./reply.ts";

/** What a finished call tells. */
export interface CallListener {
  /** Called once. */
  callDone(call: Call): void;
}

/** Turns an answer that is no failure into the reply. May throw a {@link CommandError}. */
export type Convert = (answer: Answer) => Reply;

/** See the top of the file. */
export class Call implements Waiter {
  readonly spec: CommandSpec;
  readonly args: readonly Buffer[];
  readonly keyspace: Keyspace;
  readonly #listener: CallListener;
  #reply: Reply | undefined;
  #convert: Convert | undefined;
  #busyKeys: readonly string[] | undefined;

  constructor(spec: CommandSpec, args: readonly Buffer[], keyspace: Keyspace, listener: CallListener) {
    this.spec = spec;
    this.args = args;
    this.keyspace = keyspace;
    this.#listener = listener;
  }

  /** `undefined` while it is under way. */
  get reply(): Reply | undefined {
    return this.#reply;
  }

  get isDone(): boolean {
    return this.#reply !== undefined;
  }

  /** The text of an argument, byte for byte a character: for options and numbers. */
  word(index: number): string {
    const bytes = this.args[index]!;
    return bytes.toString("latin1");
  }

  /** What tells its keys from those of other calls: injective, cheap, and not the keys themselves. */
  get busyKeys(): readonly string[] {
    this.#busyKeys ??= keyIndexes(this.spec, this.args.length).map((index) => this.word(index));
    return this.#busyKeys;
  }

  /** Ends the call. Does nothing when it has ended. */
  done(reply: Reply): void {
    if (this.#reply !== undefined) return;
    this.#reply = reply;
    this.#listener.callDone(this);
  }

  /** Ends the call with what went wrong; what is no {@link CommandError} is a bug and goes to `onBug`. */
  fail(error: unknown, onBug: (error: unknown) => void): void {
    if (error instanceof CommandError) this.done(new ErrorReply(error.message));
    else {
      onBug(error);
      this.done(new ErrorReply("ERR internal error: see the node's log"));
    }
  }

  /** Replaces the reply of an ended call that has to wait for its turn by a copy that stays valid. */
  keep(): void {
    if (this.#reply instanceof Uint8Array) this.#reply = Uint8Array.prototype.slice.call(this.#reply);
  }

  /** Reads a key; `convert` makes the reply. */
  get(key: string, want: Want, convert: (reply: GetReply) => Reply): undefined {
    this.#convert = convert as Convert;
    this.keyspace.get(key, want, this);
  }

  /** Writes a key; `convert` makes the reply out of the outcome. */
  write(key: string, change: Change, convert: (outcome: boolean | number) => Reply): undefined {
    this.#convert = (answer) => convert(answer.kind === "written" ? answer.outcome : false);
    this.keyspace.write(key, change, this);
  }

  settle(answer: Answer): void {
    if (answer.kind === "failed") {
      this.done(errorOf(answer, this.spec.flags.includes("write")));
      return;
    }
    try {
      this.done(this.#convert!(answer));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.done(new ErrorReply(error.message));
    }
  }
}

/** Calls back with every answer once all are there; several operations of one request. */
export class Gathered {
  readonly #answers: Answer[] = [];
  readonly #done: (answers: readonly Answer[]) => void;
  #missing: number;

  constructor(count: number, done: (answers: readonly Answer[]) => void) {
    this.#missing = count;
    this.#done = done;
  }

  /** The waiter for the operation at `index`. */
  at(index: number): Waiter {
    return {
      settle: (answer) => {
        // It waits for the others, and its bytes are only lent.
        this.#answers[index] =
          answer.kind === "got" && answer.value.length > 0
            ? { ...answer, value: Uint8Array.prototype.slice.call(answer.value) }
            : answer;
        if (--this.#missing === 0) this.#done(this.#answers);
      },
    };
  }
}

/** Runs `start` for each item and ends the call with `combine` of all answers, or with the first failure. */
export function callAll<T>(
  call: Call,
  items: readonly T[],
  start: (item: T, waiter: Waiter) => void,
  combine: (answers: readonly Answer[]) => Reply,
): undefined {
  const gathered = new Gathered(items.length, (answers) => {
    const failure = answers.find((answer) => answer.kind === "failed");
    if (failure?.kind === "failed") call.done(errorOf(failure, call.spec.flags.includes("write")));
    else call.done(combine(answers));
  });
  for (const [index, item] of items.entries()) start(item, gathered.at(index));
}

/** The answer to one operation as a promise, for the commands where that does not matter. */
export function ask(start: (waiter: Waiter) => void): Promise<Answer> {
  return new Promise((resolve) => {
    start({
      settle: (answer) =>
        resolve(
          answer.kind === "got"
            ? { ...answer, value: Uint8Array.prototype.slice.call(answer.value) }
            : answer,
        ),
    });
  });
}
