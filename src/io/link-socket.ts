// An established link over one WebSocket: batches what is sent, takes received frames apart, and bounds what waits in memory.
//
// Batching: all messages of one turn of the event loop leave as one frame, sent in the turn's check phase (`setImmediate`). That
// comes after every callback and promise continuation of the turn, so that what many callers say at once shares a frame,
// and before the loop waits again, so that a lone message loses no time. A microtask would run before the other callers' continuations.
// Answers to a client's frame leave at once: nobody else will join them. Between nodes they wait for the end of the turn, for much of
// what the turn still has to deal with leads to the same few links.
//
// A side that asks (`isAsking`) sends no small frame after one that nothing has come back for yet, for a millisecond at most: answers that
// trickle in would make questions that trickle out, and frames of one or two messages cost ten times as much per message as
// frames of twenty. A lone call never waits, because nothing is unanswered. A full frame does not wait for the end of the turn either: calls
// that were answered together ask together, and the other side would have nothing to do until all of them have been written down.
//
// Bounds: output that the other side does not take is cut off at `outputBytesMax` (a slow reader). On the client path a node
// also stops reading requests while more than a megabyte of answers waits, and hands on a large batch in portions, so that a client
// that asks for much at once is served at the pace at which it reads instead of being cut. Connections with large answers take turns
// (`turn-taking.ts`), and what waits for all of them is bounded as well (`unread-output.ts`).

import type { Socket } from "node:net";
import type WebSocket from "ws";
import type { Message, Path } from "../core/messages.ts";
import { decodeFrame, encodeFrame, releaseFrame } from "../wire/codec.ts";
import { FRAME_ITEMS_MAX, type LinkLimits } from "../wire/limits.ts";
import { costOf, type FrameCost } from "../wire/size.ts";
import type { Link, LinkHandlers, RemoteIdentity } from "./link.ts";
import type { TurnTaking } from "./turn-taking.ts";
import type { Writer } from "./unfinished-input.ts";
import type { UnreadOutput } from "./unread-output.ts";

/** Close codes of RFC 6455, section 7.4.1. */
export const CLOSE_CODES = { normal: 1000, protocolError: 1002, notBinary: 1003, policy: 1008 } as const;

/** Milliseconds between `close()` and the cut, when the other side does not close too. */
export const CLOSE_TIMEOUT_MS = 1_000;

/** What a frame holds beside its messages, from above: its array and its version. */
const FRAME_COST: FrameCost = { bytes: 16, items: 2 };

/** From here on a frame's memory is worth giving back when the frame is sent. */
const LARGE_FRAME_BYTES = 64 * 1024;

// Above the first, requests wait; below the second, they go on. One megabyte keeps a 10 Gbit/s reader busy for a millisecond.
const OUTPUT_HIGH_BYTES = 1024 * 1024;
const OUTPUT_LOW_BYTES = 256 * 1024;
/** Less than that waiting is nothing. */
const UNREAD_BYTES_MIN = 16 * 1024;

// Requests handed on between two looks at the waiting output: the fewer, the larger their answers have been.
const PORTION_MESSAGES_MAX = 1_024;
/** Values above this are large: copying and sending one costs as much as a hundred small requests. */
const LARGE_ANSWER_BYTES = 64 * 1024;
/** What an answer leaves of the memory of larger ones before it. */
const ANSWER_MEMORY = 0.95;

/** Messages that make a frame worth sending although the one before it is not answered. */
const GATHERED_MESSAGES = 64;
/** Messages that leave at once on a side that asks: of what it costs to send and to take a frame, little is left for each. */
const FULL_FRAME_MESSAGES = 128;
/** How long fewer messages wait for such an answer. Timers know nothing shorter. */
const GATHER_MS = 1;
/** Unanswered messages that are no crowd yet: what follows them does not wait. */
const FEW_MESSAGES = 4;
/** Messages between two looks at the bound of the output, unless they are large. */
const LOOK_MESSAGES = 64;
const LOOK_BYTES = 16 * 1024;

/**
 * Options that both ends give to ws: no compression (a bomb in a few bytes), frames of at most `maxPayload` bytes in few
 * fragments. `maxFragments`, `maxBufferedChunks` and `closeTimeout` are options that its types do not know yet.
 */
export function hardening(maxPayload: number) {
  return {
    perMessageDeflate: false,
    maxPayload,
    maxFragments: 64,
    // Reads that may make up one frame. A network hands over little more than one segment (about 1.4 KiB) at a time, so less
    // than one per KiB would refuse honest frames; more would let a frame that drips in by the byte cost more than it weighs.
    maxBufferedChunks: Math.max(1_024, Math.ceil(maxPayload / 1_024)),
    closeTimeout: CLOSE_TIMEOUT_MS,
  };
}

/** What a link is made of. */
export interface LinkParts {
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  readonly path: Path;
  readonly remote: RemoteIdentity;
  readonly limits: LinkLimits;
  /** For a side that answers requests, and reads no faster than it is read: what it shares with others like it. */
  readonly sharing: { readonly turns: TurnTaking; readonly unread: UnreadOutput } | undefined;
  /** Whether this side only asks, and is answered: then small frames wait for answers. */
  readonly isAsking: boolean;
  /** Holds the link from its start to its end. */
  readonly register: Set<WebSocketLink> | undefined;
}

/** See the top of the file. The owner calls {@link start} once, before anything else. */
export class WebSocketLink implements Link, Writer {
  readonly path: Path;
  readonly remote: RemoteIdentity;
  readonly remoteAddress: string;
  readonly #parts: LinkParts;
  #handlers: LinkHandlers | undefined;
  #state: "open" | "closing" | "closed" = "open";
  /** Why it closes, when this side knows; the first reason stays. */
  #reason: string | undefined;
  /** Messages of this turn, and their size from above. */
  #queue: Message[] = [];
  #queuedBytes = 0;
  #queuedItems = 0;
  /** A flush is scheduled for this turn. */
  #isFlushDue = false;
  /** Within {@link #receive}, which flushes at its end. */
  #isReceiving = false;
  /** What the socket had read when the last frame was whole. */
  #bytesReadBefore: number;
  /** Messages in the last frame, until anything comes back. */
  #unanswered = 0;
  #gatherTimer: NodeJS.Timeout | undefined;
  #portion = 1;
  /** The largest value answered with of late, in bytes. */
  #answerBytes = 0;
  /** Received messages that wait for output to be read; only on a paced link. */
  #inbox: readonly Message[] = [];
  #isDelivering = false;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.path = parts.path;
    this.remote = parts.remote;
    this.remoteAddress = `${parts.socket.remoteAddress ?? "unknown"}:${parts.socket.remotePort ?? 0}`;
    this.#bytesReadBefore = parts.socket.bytesRead;
  }

  /** Begins to receive. `onLink` is called first, so that no message comes before its handlers. */
  start(onLink: (link: Link) => LinkHandlers): void {
    const { webSocket, register } = this.#parts;
    register?.add(this);
    webSocket.on("message", (data, isBinary) => this.#receive(data as Uint8Array, isBinary));
    webSocket.on("error", (error) => {
      this.#noteReason(describeError(error));
      this.#leaveOpen();
    });
    webSocket.on("close", (code, reason) => this.#finish(describeClose(code, reason.toString())));
    this.#handlers = onLink(this);
  }

  get bufferedBytes(): number {
    return this.#queuedBytes + this.#parts.webSocket.bufferedAmount;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** None while this side does not read: what is there then is not the other's fault. */
  get unfinished(): Writer["unfinished"] {
    const { socket, webSocket } = this.#parts;
    const bytes = webSocket.isPaused ? 0 : socket.bytesRead - this.#bytesReadBefore;
    return { bytes, since: this.#bytesReadBefore };
  }

  send(message: Message): void {
    if (this.#state !== "open") return;
    const { bytes, items } = costOf(message);
    if (message.kind === "got") this.#answerBytes = Math.max(bytes, ANSWER_MEMORY * this.#answerBytes);
    const count = this.#queue.push(message);
    this.#queuedBytes += bytes;
    this.#queuedItems += items;
    const mustLook = count % LOOK_MESSAGES === 1 || bytes > LOOK_BYTES;
    if (mustLook && this.bufferedBytes > this.#parts.limits.outputBytesMax[this.path]) {
      this.terminate("slow reader");
    } else if (this.#parts.isAsking && count >= FULL_FRAME_MESSAGES) {
      this.#flush();
    } else if (!this.#isFlushDue && !this.#isReceiving) {
      this.#scheduleFlush();
    }
  }

  /** For this turn, or, where small frames wait, for the next answer. */
  #scheduleFlush(): void {
    const isCrowd = this.#parts.isAsking && this.#unanswered > FEW_MESSAGES;
    if (isCrowd && this.#queue.length < GATHERED_MESSAGES && this.#queuedBytes < LOOK_BYTES) {
      this.#gatherTimer ??= setTimeout(this.#onGathered, GATHER_MS);
    } else {
      this.#isFlushDue = true;
      setImmediate(this.#onTurnEnd);
    }
  }

  readonly #onTurnEnd = (): void => this.#flush();

  readonly #onGathered = (): void => {
    this.#gatherTimer = undefined;
    this.#flush();
  };

  close(): void {
    if (this.#state !== "open") return;
    this.#flush();
    this.#close(CLOSE_CODES.normal, "closed");
  }

  terminate(reason = "terminated"): void {
    if (this.#state === "closed") return;
    this.#noteReason(reason);
    this.#leaveOpen();
    this.#parts.webSocket.terminate();
  }

  ref(): void {
    this.#parts.socket.ref();
  }

  unref(): void {
    this.#parts.socket.unref();
  }

  /** Sends what the turn has queued, in as many frames as it takes. */
  #flush(): void {
    this.#isFlushDue = false;
    if (this.#state !== "open" || this.#queue.length === 0) return;
    if (this.#gatherTimer !== undefined) {
      clearTimeout(this.#gatherTimer);
      this.#gatherTimer = undefined;
    }
    const queue = this.#queue;
    const bytesMax = this.#parts.limits.frameBytesMax[this.path];
    const fits =
      this.#queuedBytes + FRAME_COST.bytes <= bytesMax &&
      this.#queuedItems + FRAME_COST.items <= FRAME_ITEMS_MAX;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#queuedItems = 0;
    this.#unanswered = queue.length;
    if (fits) this.#sendFrame(queue);
    else this.#sendInParts(queue, bytesMax);
    this.#noteUnread();
  }

  #sendInParts(queue: readonly Message[], bytesMax: number): void {
    let batch: Message[] = [];
    let { bytes, items } = FRAME_COST;
    for (const message of queue) {
      const cost = costOf(message);
      if (batch.length > 0 && (bytes + cost.bytes > bytesMax || items + cost.items > FRAME_ITEMS_MAX)) {
        this.#sendFrame(batch);
        batch = [];
        ({ bytes, items } = FRAME_COST);
      }
      batch.push(message);
      bytes += cost.bytes;
      items += cost.items;
    }
    this.#sendFrame(batch);
  }

  #sendFrame(batch: readonly Message[]): void {
    const { webSocket, limits } = this.#parts;
    const frame = encodeFrame(batch);
    if (frame.length > limits.frameBytesMax[this.path]) {
      // Batches are split below the limit, so this is one message.
      for (const message of batch) {
        this.#handlers?.onOversized?.(message, `a ${message.kind} of ${frame.length} bytes`);
      }
      return;
    }
    if (frame.length < LARGE_FRAME_BYTES) {
      webSocket.send(frame, this.#onSent);
      return;
    }
    this.#handlers?.onLargeWritten?.(batch);
    webSocket.send(frame, () => {
      releaseFrame(frame);
      this.#onSent();
    });
  }

  /** Says how much waits to be read, where that is shared. */
  #noteUnread(): void {
    const { sharing, webSocket } = this.#parts;
    if (sharing === undefined) return;
    const bytes = this.#state === "open" ? webSocket.bufferedAmount : 0;
    sharing.unread.waits(this, bytes > UNREAD_BYTES_MIN ? bytes : 0);
  }

  /** The operating system took a frame: there may be room for more answers. */
  readonly #onSent = (): void => {
    this.#noteUnread();
    if (this.#parts.webSocket.isPaused && this.bufferedBytes <= OUTPUT_LOW_BYTES) this.#goOn();
  };

  #receive(data: Uint8Array, isBinary: boolean): void {
    if (this.#state !== "open") return;
    // Only where somebody looks at it: asking the socket takes longer than all else here.
    if (this.#parts.sharing !== undefined) this.#bytesReadBefore = this.#parts.socket.bytesRead;
    this.#unanswered = 0;
    this.#isReceiving = true;
    this.#take(data, isBinary);
    this.#isReceiving = false;
    if (this.#queue.length === 0) return;
    if (this.#parts.sharing !== undefined) this.#flush();
    // On an asking side this is what has been waiting, and leaves with what the answers lead to.
    else if (!this.#isFlushDue) this.#scheduleFlush();
  }

  #take(data: Uint8Array, isBinary: boolean): void {
    if (!isBinary) {
      this.#close(CLOSE_CODES.notBinary, "protocol: a text frame");
      return;
    }
    const decoded = decodeFrame(data, { path: this.path, from: this.remote.role });
    if (!decoded.ok) {
      this.#close(CLOSE_CODES.protocolError, `protocol: ${decoded.reason}`);
    } else if (this.#parts.sharing !== undefined) {
      if (this.#inbox.length === 0) this.#inbox = decoded.messages;
      else this.#inbox = [...this.#inbox, ...decoded.messages];
      this.#goOn();
    } else if (decoded.messages.length > 0) {
      this.#handlers?.onMessages(decoded.messages);
    }
  }

  get #isLarge(): boolean {
    return this.#answerBytes > LARGE_ANSWER_BYTES;
  }

  /** Hands on what has been received, now or when it is this link's turn. */
  #goOn(): void {
    const { sharing } = this.#parts;
    if (sharing === undefined || !this.#isLarge) {
      this.#deliver();
      return;
    }
    // Until then no more is read.
    this.#setPaused(true);
    sharing.turns.next(this.#deliver);
  }

  /** In portions, for as long as the answers are being read; where they are large, one portion at a time. Returns the bytes of answers so far. */
  readonly #deliver = (): number => {
    if (this.#isDelivering || this.#state !== "open") return 0;
    this.#isDelivering = true;
    const bytesBefore = this.#queuedBytes;
    let start = 0;
    do {
      if (start >= this.#inbox.length || !this.#hasRoom) break;
      const isAll = start === 0 && this.#inbox.length <= this.#portion;
      const portion = isAll ? this.#inbox : this.#inbox.slice(start, start + this.#portion);
      start += portion.length;
      this.#handlers?.onMessages(portion);
      this.#choosePortion();
    } while (!this.#isLarge);
    this.#inbox = start < this.#inbox.length ? this.#inbox.slice(start) : NO_MESSAGES;
    this.#isDelivering = false;
    const bytes = this.#queuedBytes - bytesBefore;
    if (this.#inbox.length > 0 && this.#hasRoom) this.#goOn();
    else this.#setPaused(this.#inbox.length > 0 || !this.#hasRoom);
    return bytes;
  };

  get #hasRoom(): boolean {
    if (this.#state !== "open") return false;
    const bytes = this.bufferedBytes;
    return (
      bytes <= UNREAD_BYTES_MIN ||
      (bytes <= OUTPUT_HIGH_BYTES && this.#parts.sharing?.unread.isFull() !== true)
    );
  }

  /** So many requests that answers of this size stay far from the bound; grows slowly, shrinks at once. */
  #choosePortion(): void {
    const portion = Math.floor(OUTPUT_LOW_BYTES / Math.max(1, this.#answerBytes));
    this.#portion = Math.max(1, Math.min(PORTION_MESSAGES_MAX, 2 * this.#portion, portion));
  }

  #setPaused(isPaused: boolean): void {
    const { webSocket, socket, limits } = this.#parts;
    if (this.#state !== "open" || webSocket.isPaused === isPaused) return;
    if (isPaused) webSocket.pause();
    else webSocket.resume();
    // Of the socket itself: it knows when the other side has taken a part of a frame.
    socket.setTimeout(isPaused ? limits.readerStallMs : 0, this.#onStalled);
  }

  readonly #onStalled = (): void => this.terminate("slow reader");

  #close(code: number, reason: string): void {
    this.#noteReason(reason);
    this.#leaveOpen();
    // A paused socket would never see the other side's close.
    if (this.#parts.webSocket.isPaused) this.#parts.webSocket.resume();
    this.#parts.webSocket.close(code, reason.slice(0, CLOSE_REASON_MAX));
  }

  /** From here on nothing is queued or delivered any more. */
  #leaveOpen(): void {
    if (this.#state === "open") this.#state = "closing";
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#queuedItems = 0;
    this.#inbox = NO_MESSAGES;
    this.#parts.sharing?.turns.leave(this.#deliver);
    this.#noteUnread();
    this.#parts.socket.setTimeout(0, this.#onStalled);
    clearTimeout(this.#gatherTimer);
  }

  #noteReason(reason: string): void {
    this.#reason ??= reason;
  }

  #finish(reason: string): void {
    if (this.#state === "closed") return;
    this.#leaveOpen();
    this.#state = "closed";
    this.#parts.register?.delete(this);
    this.#handlers?.onClose(this.#reason ?? reason);
  }
}

const NO_MESSAGES: readonly Message[] = Object.freeze([]);

/** A close frame holds at most 123 bytes of reason, and ours are ASCII. */
const CLOSE_REASON_MAX = 120;

/** An error of ws or of the socket, as a reason. */
function describeError(error: Error): string {
  const code = "code" in error ? String(error.code) : "";
  return code.startsWith("WS_ERR_")
    ? `protocol: ${error.message}`
    : `connection lost: ${code || error.message}`;
}

function describeClose(code: number, reason: string): string {
  if (code === CLOSE_CODES.normal) return "closed by the other side";
  if (code === 1006) return "connection lost";
  // The text is the other side's: only what is fit for a log, and not much of it.
  const text = reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, CLOSE_REASON_MAX);
  return `closed by the other side: ${code}${text === "" ? "" : ` ${text}`}`;
}
