// One request of a Redis client under way: its arguments, the keys it works on, and its reply when there is one. It is also whom the
// keyspace answers, so that a plain GET needs nothing beside it.

import type { Change, Failure, GetReply, Want } from "../../core/messages.ts";
import type { CommandSpec } from "./command-table.ts";
import { keyIndexes } from "./command-table.ts";
import { CommandError, errorOf } from "./errors.ts";
import type { Answer, Keyspace, Waiter } from "./keyspace.ts";
import { ReadWindow } from "./read-window.ts";
import { ErrorReply, type Reply } from "./reply.ts";
import type { Request } from "./request.ts";

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
  readonly request: Request;
  readonly keyspace: Keyspace;
  /** Whether its connection has noted its keys as busy. */
  isOnKeys = false;
  /** Bytes of the value that it has read, whatever it says of it. */
  valueBytes = 0;
  readonly #listener: CallListener;
  #reply: Reply | undefined;
  #convert: Convert | undefined;
  #outcome: ((outcome: boolean | number) => Reply) | undefined;
  #keyTexts: readonly string[] | undefined;
  #onWritten: (() => void)[] | undefined;

  constructor(spec: CommandSpec, request: Request, keyspace: Keyspace, listener: CallListener) {
    this.spec = spec;
    this.request = request;
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

  /** The arguments, the name included. */
  get args(): readonly Buffer[] {
    return this.request.all;
  }

  /** How many arguments there are, the name included. */
  get count(): number {
    return this.request.length;
  }

  /** The text of an argument, byte for byte a character: for options and numbers. */
  word(index: number): string {
    return this.request.text(index);
  }

  /** The key in an argument. @throws {CommandError} when it cannot be one */
  key(index: number): string {
    return this.request.key(index);
  }

  /** Whether one of its keys is in `busy`. Keys are told apart by {@link Request.text}: injective, and cheaper than the keys themselves. */
  sharesKey(busy: ReadonlySet<string>): boolean {
    if (this.spec.hasOneKey) return busy.has(this.request.firstKeyText);
    return this.#texts.some((text) => busy.has(text));
  }

  addKeys(busy: Set<string>): void {
    if (this.spec.hasOneKey) busy.add(this.request.firstKeyText);
    else for (const text of this.#texts) busy.add(text);
  }

  removeKeys(busy: Set<string>): void {
    if (this.spec.hasOneKey) busy.delete(this.request.firstKeyText);
    else for (const text of this.#texts) busy.delete(text);
  }

  get #texts(): readonly string[] {
    this.#keyTexts ??= keyIndexes(this.spec, this.count).map((index) => this.word(index));
    return this.#keyTexts;
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

  /** Has `action` run once the reply has been written. */
  onWritten(action: () => void): void {
    this.#onWritten ??= [];
    this.#onWritten.push(action);
  }

  /** The reply has been written. */
  written(): void {
    for (const action of this.#onWritten ?? []) action();
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
    this.#outcome = convert;
    this.keyspace.write(key, change, this);
  }

  settle(answer: Answer): void {
    if (answer.kind === "failed") {
      this.done(errorOf(answer, this.spec.flags.includes("write")));
      return;
    }
    if (answer.kind === "got") this.valueBytes = answer.value.length;
    try {
      if (this.#outcome === undefined) this.done(this.#convert!(answer));
      else this.done(this.#outcome(answer.kind === "written" ? answer.outcome : false));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.done(new ErrorReply(error.message));
    }
  }
}

/** Operations of one request that are under way at a time: a node bounds those of all its clients. */
const UNDER_WAY_MAX = 2_048;
/** Operations of one request that are started in one turn of the event loop: what the node has at hand is answered at once, and others wait. */
const STARTED_PER_TURN = 2_048;

/** Several operations of one request: starts them, some at a time, and hands over all answers, in order, when all are there. */
class Fan<T> {
  readonly #items: readonly T[];
  readonly #start: (item: T, waiter: Waiter) => void;
  readonly #done: (answers: readonly Answer[]) => void;
  readonly #answers: Answer[] = [];
  readonly #window = new ReadWindow(UNDER_WAY_MAX);
  #started = 0;
  #settled = 0;
  /** Also while it waits for its next turn to start more. */
  #isStarting = false;
  #hasFailed = false;

  constructor(
    items: readonly T[],
    start: (item: T, waiter: Waiter) => void,
    done: (answers: readonly Answer[]) => void,
  ) {
    this.#items = items;
    this.#start = start;
    this.#done = done;
  }

  /** Starts what may start; none after a failure. */
  run(): void {
    // An operation may be answered while it is started.
    if (this.#isStarting) return;
    this.#isStarting = true;
    const startedMax = this.#started + STARTED_PER_TURN;
    while (
      this.#started < this.#items.length &&
      this.#started - this.#settled < this.#window.count &&
      !this.#hasFailed
    ) {
      if (this.#started === startedMax) {
        setImmediate(this.#nextTurn);
        return;
      }
      const index = this.#started++;
      this.#start(this.#items[index]!, { settle: (answer) => this.#settle(index, answer) });
    }
    this.#isStarting = false;
    const isOver = this.#settled === this.#started;
    if (isOver && (this.#hasFailed || this.#started === this.#items.length)) this.#done(this.#answers);
  }

  readonly #nextTurn = (): void => {
    this.#isStarting = false;
    this.run();
  };

  #settle(index: number, answer: Answer): void {
    // It waits for the others, and its bytes are only lent.
    this.#answers[index] =
      answer.kind === "got" && answer.value.length > 0
        ? { ...answer, value: Uint8Array.prototype.slice.call(answer.value) }
        : answer;
    this.#window.answered(answer.kind === "got" ? answer.value.length : 0);
    this.#settled++;
    if (answer.kind === "failed") this.#hasFailed = true;
    this.run();
  }
}

/** Runs `start` for each item and ends the call with `combine` of all answers, or with the first failure. */
export function callAll<T>(
  call: Call,
  items: readonly T[],
  start: (item: T, waiter: Waiter) => void,
  combine: (answers: readonly Answer[]) => Reply,
): undefined {
  const done = (answers: readonly Answer[]): void => {
    const failure = failureOf(answers);
    if (failure === undefined) call.done(combine(answers));
    else call.done(errorOf(failure, call.spec.flags.includes("write")));
  };
  new Fan(items, start, done).run();
}

/** Runs `start` for each item, some at a time; after a failure no further ones are started, and those have no answer. */
export function askAll<T>(
  items: readonly T[],
  start: (item: T, waiter: Waiter) => void,
): Promise<readonly Answer[]> {
  return new Promise((resolve) => new Fan(items, start, resolve).run());
}

/** The first failure among the parts of one request; in doubt when any part was, or may have been, written. */
export function failureOf(answers: readonly Answer[]): Failure | undefined {
  const failure = answers.find((answer) => answer?.kind === "failed");
  return failure?.kind === "failed" && answers.some(mayHaveWritten) ? inDoubt(failure) : failure;
}

/** The failure of a request of which a part was written before. */
export function inDoubt(failure: Failure): Failure {
  return { ...failure, applied: "maybe" };
}

function mayHaveWritten(answer: Answer): boolean {
  if (answer?.kind === "failed") return answer.applied === "maybe";
  return answer?.kind === "cleared" || (answer?.kind === "written" && answer.outcome !== false);
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
