// One connection of a Redis client: bytes in, requests, replies, bytes out.
//
// Invariants:
// 1. Replies leave in the order of their requests.
// 2. A request starts when those before it have ended, except that requests on keys may run beside others on other keys: what
//    one connection sees is as if they ran one after the other, and a pipeline waits for the cluster once and not once per request.
// 3. At most `RUNNING_MAX` requests run, and fewer where replies are large; no further one is parsed before there is room, and the
//    socket is not read while what was read waits. So what a connection holds is bounded, whatever it sends.
// 4. Requests are not started while the client does not read its replies; pushes to one that does not read close it.

import type { Socket } from "node:net";
import { ignoreError } from "../../io/ignored-error.ts";
import { type Access, OPEN_ACCESS } from "../../io/link.ts";
import { objectionTo } from "./access.ts";
import { Call, type CallListener } from "./call.ts";
import { COMMANDS, type CommandSpec, fitsArity } from "./command-table.ts";
import {
  type Context,
  type Handler,
  isSubscriber,
  type Queued,
  type Services,
  type Session,
} from "./context.ts";
import { endSocket } from "./end-socket.ts";
import { unknownCommand, wrongArity } from "./errors.ts";
import type { Keyspace } from "./keyspace.ts";
import { ReadWindow } from "./read-window.ts";
import { ErrorReply, type Protocol, QUEUED, type Reply, ReplyWriter } from "./reply.ts";
import { Request } from "./request.ts";
import { RequestError, type RequestLimits, RequestParser } from "./request-parser.ts";
import type { Tracking } from "./tracking.ts";
import { runHandler } from "./transactions.ts";

/** Requests of one connection that run at a time, if their replies are small; further ones wait. */
const RUNNING_MAX = 512;
/** Bytes that wait to be sent: above it, no further request starts until the client has read. */
const OUTPUT_BYTES_HIGH = 1024 * 1024;
/** Bytes that wait to be sent: a push beyond it closes the connection. */
const OUTPUT_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes that were read and wait: above it, the socket is not read. */
const INPUT_BYTES_HIGH = 64 * 1024;
/** Requests and their bytes that one transaction may hold. */
const QUEUE_MAX = 10_000;
const QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** Whoever has not read to the end by then, or still sends, is cut. */
const ENDING_MS_MAX = 2_000;
/** Until a connection has proved itself it gets as little as from Redis: 10 arguments of 16 KiB. */
const STRANGER_LIMITS: RequestLimits = {
  argumentsMax: 10,
  argumentBytesMax: 16 * 1024,
  requestBytesMax: 64 * 1024,
};
const NO_AUTH = new ErrorReply("NOAUTH Authentication required.");
const LOADING = new ErrorReply("LOADING Ringhold is joining its cluster");

/** A command as the door runs it. */
export interface Command {
  readonly spec: CommandSpec;
  readonly handler: Handler;
  /** Whether requests of it may run beside others. */
  readonly isOnKeys: boolean;
}

export interface ConnectionPorts {
  readonly services: Services;
  readonly limits: RequestLimits;
  commandOf(request: Request): Command | undefined;
  /** Has {@link Connection.goOn} and {@link Connection.flush} called at the end of the turn. */
  wake(connection: Connection): void;
  /** The core has enough to do: has {@link Connection.wake} called when it has room. */
  hold(connection: Connection): void;
  onClose(connection: Connection): void;
}

/** See the top of the file. */
export class Connection implements Session, CallListener {
  readonly id: number;
  readonly address: string;
  readonly localAddress: string;
  readonly sinceMs: number;
  lastMs: number;
  lastCommand = "";
  protocol: Protocol = 2;
  name = "";
  libraryName = "";
  libraryVersion = "";
  queue: Queued[] | undefined;
  queueBytes = 0;
  isQueueBroken = false;
  readonly watched = new Map<string, number>();
  readonly channels = new Set<string>();
  readonly patterns = new Set<string>();
  patternsBytes = 0;
  replies: Session["replies"] = "on";
  tracking: Tracking | undefined;
  readonly #socket: Socket;
  readonly #ports: ConnectionPorts;
  readonly #context: Context;
  readonly #parser: RequestParser;
  readonly #writer = new ReplyWriter();
  /** Requests under way, in their order; ended ones wait for those before them. */
  readonly #running: Call[] = [];
  readonly #window = new ReadWindow(RUNNING_MAX);
  readonly #busyKeys = new Set<string>();
  /** How many of `#running` may run beside others: all, or there is a single other one. */
  #runningOnKeys = 0;
  /** Parsed, and waiting for others to end. */
  #next: { readonly command: Command; readonly call: Call } | undefined;
  /** The call that is being started: when it ends at once, it never enters `#running`. */
  #starting: Call | undefined;
  #access: Access | undefined;
  #isAwake = false;
  #isPaused = false;
  /** It waits until the core has room for more. */
  #isHeld = false;
  /** The client sends no more: it ends once what it has sent is answered. */
  #isInputOver = false;
  #isEnding = false;
  #isClosed = false;

  constructor(id: number, socket: Socket, ports: ConnectionPorts) {
    this.id = id;
    this.#socket = socket;
    this.#ports = ports;
    this.#context = { session: this, services: ports.services };
    this.#access = ports.services.isSecured ? undefined : OPEN_ACCESS;
    this.#parser = new RequestParser(this.#access === undefined ? STRANGER_LIMITS : ports.limits);
    this.address = `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? ""}:${socket.localPort ?? 0}`;
    this.sinceMs = ports.services.wallMs();
    this.lastMs = this.sinceMs;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => {
      this.#isInputOver = true;
      this.wake();
    });
    socket.on("drain", () => this.wake());
    socket.on("error", ignoreError);
    socket.on("close", () => this.#closed());
  }

  get access(): Access | undefined {
    return this.#access;
  }

  set access(access: Access | undefined) {
    this.#access = access;
    this.#parser.limits = access === undefined ? STRANGER_LIMITS : this.#ports.limits;
  }

  /** Requests that were taken on and not answered. */
  get pending(): number {
    return this.#running.length + (this.#next === undefined ? 0 : 1);
  }

  push(reply: Reply): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#writer.write(reply, this.protocol);
    if (this.#writer.length + this.#socket.writableLength > OUTPUT_BYTES_MAX) this.#socket.destroy();
    else this.wake();
  }

  afterRunning(action: () => void): void {
    const last = this.#running.at(-1);
    if (last === undefined) action();
    else last.onWritten(action);
  }

  close(): void {
    this.#isEnding = true;
    this.wake();
  }

  /** Cuts it, whatever is under way. */
  destroy(): void {
    this.#socket.destroy();
  }

  callDone(call: Call): void {
    if (call === this.#starting) return;
    // Bytes that are lent for the moment are written at once, or copied; everything else waits for the end of the turn.
    if (call === this.#running[0] && call.reply instanceof Uint8Array) this.#writeEnded();
    else call.keep();
    this.wake();
  }

  /** Has it go on at the end of the turn. */
  wake(): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.#ports.wake(this);
  }

  /** Goes on after something has changed: starts what may start. */
  goOn(): void {
    this.#isAwake = false;
    this.#isHeld = false;
    if (this.#isClosed) return;
    this.#writeEnded();
    this.#process();
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#parser.push(chunk);
    this.lastMs = this.#ports.services.wallMs();
    this.#process();
    this.wake();
  }

  #process(): void {
    while (!this.#isEnding && !this.#isClosed) {
      if (this.#next === undefined && !this.#parseNext()) break;
      const next = this.#next;
      if (next === undefined) continue;
      if (!this.#mayStart(next.command, next.call)) break;
      this.#next = undefined;
      this.#start(next.command, next.call);
    }
    this.#readOrPause();
  }

  /** Whether there was another request; it is in `#next`, unless it is answered already. */
  #parseNext(): boolean {
    if (this.#running.length >= this.#window.count) return false;
    if (this.#ports.services.keyspace.isFull) {
      this.#isHeld = true;
      this.#ports.hold(this);
      return false;
    }
    if (this.#writer.length + this.#socket.writableLength > OUTPUT_BYTES_HIGH) {
      // Only what the socket holds is drained by the client.
      this.flush();
      if (this.#socket.writableLength > OUTPUT_BYTES_HIGH) return false;
    }
    const request = this.#parser.next();
    if (request === undefined) {
      this.#isEnding = this.#isInputOver;
      return false;
    }
    if (request instanceof RequestError) {
      // Replies to the requests before it come first; there are none after it.
      if (this.#running.length > 0) return false;
      this.#writer.write(new ErrorReply(`ERR Protocol error: ${request.message}`), this.protocol);
      this.#isEnding = true;
      return false;
    }
    this.#take(request);
    return true;
  }

  #take(request: Request): void {
    const { services } = this.#ports;
    services.counters.commandsTotal++;
    const command = this.#ports.commandOf(request);
    const spec = command?.spec ?? NO_SPEC;
    const call = new Call(spec, request, this.#keyspaceFor(spec), this);
    this.lastCommand = spec.name;
    const problem = this.#objection(command, request);
    if (command === undefined || problem !== undefined) {
      // A transaction is told at its end that one of its requests was none.
      if (this.queue !== undefined) this.isQueueBroken = true;
      this.#next = { command: BARRIER, call };
      call.done(problem ?? unknownCommand(request.all));
    } else if (this.queue !== undefined && !OUTSIDE_QUEUE.has(spec.name)) {
      this.#next = { command: BARRIER, call };
      call.done(this.#enqueue(spec, request));
    } else {
      this.#next = { command, call };
    }
  }

  #keyspaceFor(spec: CommandSpec): Keyspace {
    const { services } = this.#ports;
    const { tracking } = this;
    if (tracking === undefined) return services.keyspace;
    const keyspace = services.tracker.keyspaceOf(this, spec.isReadOnly || spec.name === "exec");
    // CLIENT CACHING is about the next command, or about all of a transaction.
    const isKept = spec.name === "client" || spec.name === "multi" || this.queue !== undefined;
    if (!isKept || spec.name === "exec" || spec.name === "discard") tracking.isExcepted = false;
    return keyspace;
  }

  /** Why the request cannot run; `undefined` when it can. */
  #objection(command: Command | undefined, request: Request): Reply | undefined {
    const access = this.#access;
    if (access === undefined && !command?.spec.flags.includes("no_auth")) {
      // Replies to a stranger end with the first: more of them, unread, would fill this node's memory (CVE-2025-21605).
      this.#isEnding = true;
      return NO_AUTH;
    }
    if (command === undefined) return unknownCommand(request.all);
    const { spec } = command;
    if (!fitsArity(spec, request.length)) return wrongArity(spec.name);
    const denial = access?.grants === undefined ? undefined : objectionTo(spec, request.all, access);
    if (denial !== undefined) {
      this.#ports.services.onDenied(this, denial.text);
      return denial;
    }
    if (isSubscriber(this) && !FOR_SUBSCRIBERS.has(spec.name)) {
      return new ErrorReply(
        `ERR Can't execute '${spec.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`,
      );
    }
    const isLoading = this.#ports.services.keyspace.view.ring === undefined;
    if (isLoading && !FOR_LOADING.has(spec.name)) return LOADING;
    return undefined;
  }

  #enqueue(spec: CommandSpec, request: Request): Reply {
    const queue = this.queue!;
    const bytes = request.bytes + 32 * request.length;
    if (NOT_IN_QUEUE.has(spec.name)) {
      this.isQueueBroken = true;
      return new ErrorReply("ERR Command not allowed inside a transaction");
    }
    if (queue.length >= QUEUE_MAX || this.queueBytes + bytes > QUEUE_BYTES_MAX) {
      this.isQueueBroken = true;
      return new ErrorReply(`ERR a transaction may hold ${QUEUE_MAX} commands and ${QUEUE_BYTES_MAX} bytes`);
    }
    // A transaction may be held for long: its arguments must not keep whole chunks of input alive.
    queue.push({ spec, request: Request.of(request.all) });
    this.queueBytes += bytes;
    return QUEUED;
  }

  #mayStart({ isOnKeys }: Command, call: Call): boolean {
    const { length } = this.#running;
    if (length === 0) return true;
    if (!isOnKeys || this.#runningOnKeys < length) return false;
    return !call.sharesKey(this.#busyKeys);
  }

  #start(command: Command, call: Call): void {
    const isAlone = this.#running.length === 0;
    if (!call.isDone) {
      this.#starting = call;
      runHandler(command.handler, call, this.#context);
      this.#starting = undefined;
    }
    if (call.isDone && isAlone) {
      this.#writeReply(call);
      return;
    }
    if (call.isDone) call.keep();
    this.#running.push(call);
    if (!command.isOnKeys) return;
    call.isOnKeys = true;
    this.#runningOnKeys++;
    call.addKeys(this.#busyKeys);
  }

  #writeEnded(): void {
    const isAll = this.#running.every(({ isDone }) => isDone);
    if (isAll && this.#runningOnKeys > 0) {
      this.#runningOnKeys = 0;
      this.#busyKeys.clear();
    }
    let ended = 0;
    while (ended < this.#running.length && this.#running[ended]!.isDone) {
      const call = this.#running[ended]!;
      this.#writeReply(call);
      call.written();
      if (call.isOnKeys && !isAll) {
        this.#runningOnKeys--;
        call.removeKeys(this.#busyKeys);
      }
      ended++;
    }
    this.#running.splice(0, ended);
  }

  #writeReply(call: Call): void {
    const { replies } = this;
    // CLIENT REPLY SKIP concerns the next request, and itself has no reply either.
    if (replies === "skip next") this.replies = "skip";
    else if (replies === "skip") this.replies = "on";
    const before = this.#writer.length;
    if (replies === "on") this.#writer.write(call.reply!, this.protocol);
    this.#window.answered(Math.max(call.valueBytes, this.#writer.length - before));
  }

  #readOrPause(): void {
    const isWaiting = this.#isHeld || this.pending > 0 || this.#isBehind();
    const isFull = this.#parser.pendingBytes > INPUT_BYTES_HIGH && isWaiting;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }

  #isBehind(): boolean {
    return this.#writer.length + this.#socket.writableLength > OUTPUT_BYTES_HIGH;
  }

  /** Sends what has been written. */
  flush(): void {
    if (this.#isClosed) return;
    if (this.#writer.length > 0) this.#socket.write(this.#writer.take());
    if (this.#isEnding && this.#running.length === 0) {
      this.#isClosed = true;
      endSocket(this.#socket, ENDING_MS_MAX);
      this.#socket.unref();
      this.#forget();
    }
  }

  #closed(): void {
    this.#isClosed = true;
    this.#forget();
  }

  #forget(): void {
    const { pubSub, tracker } = this.#ports.services;
    pubSub.forget(this);
    if (this.tracking !== undefined) tracker.turnOff(this);
    this.#ports.onClose(this);
  }
}

/** Stands for what never runs: it waits for everything before it, and everything waits for it. */
const NO_SPEC: CommandSpec = {
  name: "",
  arity: 0,
  flags: [],
  ...{ firstKey: 0, lastKey: 0, keyStep: 0 },
  ...{ group: "", since: "", summary: "", subcommands: [] },
  ...{ isReadOnly: false, hasOneKey: false },
};
const BARRIER: Command = { spec: NO_SPEC, handler: () => undefined, isOnKeys: false };

/** Run at once within a transaction. */
const OUTSIDE_QUEUE = new Set(["exec", "discard", "multi", "watch", "reset", "quit"]);
const NOT_IN_QUEUE = new Set(["subscribe", "psubscribe", "unsubscribe", "punsubscribe", "hello", "auth"]);
const FOR_SUBSCRIBERS = new Set([
  ...["subscribe", "psubscribe", "unsubscribe", "punsubscribe"],
  ...["ping", "quit", "reset"],
]);
/** What a node that is not in the ring yet can answer. */
const FOR_LOADING: ReadonlySet<string> = new Set(
  [...COMMANDS.values()]
    .filter(({ flags, group }) => flags.includes("loading") || group === "connection" || group === "cluster")
    .map(({ name }) => name)
    .concat("config", "info"),
);
