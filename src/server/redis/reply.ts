// What is said to a Redis client: replies as plain values, and their bytes in RESP2 or RESP3. A reply knows no protocol; the writer is
// told it with each one, because a connection may change it (HELLO) between two replies that wait for each other.

/** A line of status, such as OK. */
export class Simple {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An error: its code in capitals, then words. Line ends in it become spaces. */
export class ErrorReply {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Keys and values in turn: a map in RESP3, a flat array in RESP2. */
export class MapReply {
  readonly items: readonly Reply[];
  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** A set in RESP3, an array in RESP2. */
export class SetReply {
  readonly items: readonly Reply[];
  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** Something nobody asked for: a push in RESP3, an array in RESP2. */
export class PushReply {
  readonly items: readonly Reply[];
  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** Several replies to one request, such as those to a SUBSCRIBE to two channels. */
export class ManyReplies {
  readonly replies: readonly Reply[];
  constructor(replies: readonly Reply[]) {
    this.replies = replies;
  }
}

/** Text for people: verbatim in RESP3, a bulk string in RESP2. */
export class VerbatimReply {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** No array: differs from no string in RESP2 only. */
export const NULL_ARRAY = Symbol("null array");
export const OK = new Simple("OK");
export const QUEUED = new Simple("QUEUED");
export const PONG = new Simple("PONG");

/** Bytes and text are bulk strings, `null` is no string, an array is an array. */
export type Reply =
  | Uint8Array
  | string
  | number
  | bigint
  | null
  | typeof NULL_ARRAY
  | readonly Reply[]
  | Simple
  | ErrorReply
  | MapReply
  | SetReply
  | PushReply
  | ManyReplies
  | VerbatimReply;

export type Protocol = 2 | 3;

/** All that one reply may hold. What would be more is refused while it is gathered. */
export const REPLY_BYTES_MAX = 64 * 1024 * 1024;

/** What an element takes beside its text: its line in the reply, and some of what it takes in memory. Half of it would count lists of numbers too low. */
const ELEMENT_BYTES = 16;

/** About what a reply takes, written and in memory. Walks through all of it. */
export function bytesOf(reply: Reply): number {
  if (reply instanceof Uint8Array) return ELEMENT_BYTES + reply.length;
  if (typeof reply === "string") return ELEMENT_BYTES + Buffer.byteLength(reply);
  if (reply instanceof Simple || reply instanceof ErrorReply || reply instanceof VerbatimReply)
    return ELEMENT_BYTES + Buffer.byteLength(reply.text);
  return partsOf(reply).reduce<number>((sum, part) => sum + bytesOf(part), ELEMENT_BYTES);
}

function partsOf(reply: Reply): readonly Reply[] {
  if (Array.isArray(reply)) return reply as readonly Reply[];
  if (reply instanceof MapReply || reply instanceof SetReply || reply instanceof PushReply)
    return reply.items;
  return reply instanceof ManyReplies ? reply.replies : [];
}

const STAR = 42;
const PLUS = 43;
const MINUS = 45;
const COLON = 58;
const DOLLAR = 36;
const PERCENT = 37;
const TILDE = 126;
const GREATER = 62;
const EQUALS = 61;
const CR = 13;
const LF = 10;
const FIRST_BYTES = 16 * 1024;
/** Up to here a loop is faster than a call into the runtime. */
const LOOP_BYTES_MAX = 48;
const EMPTY = Buffer.alloc(0);

/** Gathers replies until they are taken. Grows with what is written; whoever writes bounds it by {@link ReplyWriter.length}. */
export class ReplyWriter {
  #buffer: Buffer = EMPTY;
  #length = 0;

  /** Bytes written and not taken. */
  get length(): number {
    return this.#length;
  }

  /** All that was written since the last time; the caller's from now on. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#length);
    // What is left of the buffer serves the next replies.
    this.#buffer = this.#buffer.length - this.#length > 1024 ? this.#buffer.subarray(this.#length) : EMPTY;
    this.#length = 0;
    return taken;
  }

  write(reply: Reply, protocol: Protocol): void {
    if (reply === null) this.#nil(protocol);
    else if (reply instanceof Uint8Array) this.#bulk(reply);
    else if (typeof reply === "number" || typeof reply === "bigint") this.#line(COLON, String(reply));
    else if (typeof reply === "string") this.#bulkText(reply);
    else if (reply === OK) this.#raw(OK_BYTES);
    else if (Array.isArray(reply)) this.#aggregate(STAR, reply as readonly Reply[], protocol);
    else this.#special(reply as Exclude<Reply, readonly Reply[]>, protocol);
  }

  /** Bytes that are replies already. */
  raw(bytes: Uint8Array): void {
    this.#raw(bytes);
  }

  #special(reply: Exclude<Reply, readonly Reply[]>, protocol: Protocol): void {
    if (reply instanceof Simple) this.#line(PLUS, reply.text);
    else if (reply instanceof ErrorReply) this.#line(MINUS, reply.text.replace(/[\r\n]/g, " "));
    else if (reply === NULL_ARRAY) this.#raw(protocol === 3 ? NULL_BYTES : NULL_ARRAY_BYTES);
    else if (reply instanceof ManyReplies) for (const one of reply.replies) this.write(one, protocol);
    else if (reply instanceof VerbatimReply) this.#verbatim(reply.text, protocol);
    else if (reply instanceof MapReply && protocol === 3)
      this.#aggregate(PERCENT, reply.items, protocol, reply.items.length / 2);
    else if (reply instanceof SetReply && protocol === 3) this.#aggregate(TILDE, reply.items, protocol);
    else if (reply instanceof PushReply && protocol === 3) this.#aggregate(GREATER, reply.items, protocol);
    else this.#aggregate(STAR, (reply as MapReply | SetReply | PushReply).items, protocol);
  }

  #nil(protocol: Protocol): void {
    this.#raw(protocol === 3 ? NULL_BYTES : NIL_BYTES);
  }

  #aggregate(type: number, items: readonly Reply[], protocol: Protocol, count = items.length): void {
    this.#line(type, String(count));
    for (const item of items) this.write(item, protocol);
  }

  #verbatim(text: string, protocol: Protocol): void {
    if (protocol === 2) this.#bulkText(text);
    else {
      this.#line(EQUALS, String(Buffer.byteLength(text) + 4));
      this.#raw(Buffer.from(`txt:${text}\r\n`));
    }
  }

  #bulkText(text: string): void {
    this.#bulk(Buffer.from(text));
  }

  #bulk(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length + 32);
    this.#line(DOLLAR, String(length));
    const buffer = this.#buffer;
    let at = this.#length;
    if (length <= LOOP_BYTES_MAX)
      for (let index = 0; index < length; index++) buffer[at + index] = bytes[index]!;
    else buffer.set(bytes, at);
    at += length;
    buffer[at] = CR;
    buffer[at + 1] = LF;
    this.#length = at + 2;
  }

  /** A type, a text and the line's end. */
  #line(type: number, text: string): void {
    const { length } = text;
    this.#reserve(3 * length + 3);
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = type;
    if (length <= LOOP_BYTES_MAX && type !== MINUS && type !== PLUS) {
      // Digits.
      for (let index = 0; index < length; index++) buffer[at + index] = text.charCodeAt(index);
      at += length;
    } else {
      at += buffer.write(text, at, "utf8");
    }
    buffer[at] = CR;
    buffer[at + 1] = LF;
    this.#length = at + 2;
  }

  #raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, needed, 2 * this.#length));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

const OK_BYTES = Buffer.from("+OK\r\n");
const NIL_BYTES = Buffer.from("$-1\r\n");
const NULL_ARRAY_BYTES = Buffer.from("*-1\r\n");
const NULL_BYTES = Buffer.from("_\r\n");
