// An established link over one WebSocket: batches what is sent, takes received frames apart, and bounds what waits in memory.
//
// Batching: all messages of one turn of the event loop leave as one frame, sent in the turn's check phase (`setImmediate`). That
// comes after every callback and promise continuation of the turn, so that what many callers say at once shares a frame,
// and before the loop waits again, so that a lone message loses no time. A microtask would run before the other callers' continuations.
//
// Bounds: output that the other side does not take is cut off at `outputBytesMax` (a slow reader). On the client path a node
// also stops reading requests while more than a megabyte of answers waits, and hands on a large batch in portions, so that a client
// that asks for much at once is served at the pace at which it reads instead of being cut.

import type { Socket } from "node:net";
import type WebSocket from "ws";
import type { Message, Path } from "../core/messages.ts";
import { decodeFrame, encodeFrame } from "../wire/codec.ts";
import { FRAME_ITEMS_MAX, type LinkLimits } from "../wire/limits.ts";
import { costOf, type FrameCost } from "../wire/size.ts";
import type { Link, LinkHandlers, RemoteIdentity } from "./link.ts";

/** Close codes of RFC 6455, section 7.4.1. */
export const CLOSE_CODES = { normal: 1000, protocolError: 1002, notBinary: 1003, policy: 1008 } as const;

/** Milliseconds between `close()` and the cut, when the other side does not close too. */
export const CLOSE_TIMEOUT_MS = 1_000;

/** What a frame holds beside its messages, from above: its array and its version. */
const FRAME_COST: FrameCost = { bytes: 16, items: 2 };

// Above the first, requests wait; below the second, they go on. One megabyte keeps a 10 Gbit/s reader busy for a millisecond.
const OUTPUT_HIGH_BYTES = 1024 * 1024;
const OUTPUT_LOW_BYTES = 256 * 1024;

/** Requests handed on between two looks at the waiting output. */
const PORTION_MESSAGES = 16;

/** A reader that takes nothing for this long while requests wait for it is cut. */
const STALL_MS = 10_000;

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
  /** Whether this side answers requests: then it reads no faster than it is read. */
  readonly isPaced: boolean;
}

/** See the top of the file. The owner calls {@link start} once, before anything else. */
export class WebSocketLink implements Link {
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
  /** Received messages that wait for output to be read; only on a paced link. */
  #inbox: Message[] = [];
  #isDelivering = false;
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.path = parts.path;
    this.remote = parts.remote;
    this.remoteAddress = `${parts.socket.remoteAddress ?? "unknown"}:${parts.socket.remotePort ?? 0}`;
  }

  /** Begins to receive. `onLink` is called first, so that no message comes before its handlers. */
  start(onLink: (link: Link) => LinkHandlers): void {
    const { webSocket } = this.#parts;
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

  send(message: Message): void {
    if (this.#state !== "open") return;
    if (this.#queue.length === 0) setImmediate(() => this.#flush());
    this.#queue.push(message);
    this.#queuedBytes += costOf(message).bytes;
    if (this.bufferedBytes > this.#parts.limits.outputBytesMax[this.path]) this.terminate("slow reader");
  }

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
    if (this.#state !== "open" || this.#queue.length === 0) return;
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    const bytesMax = this.#parts.limits.frameBytesMax[this.path];
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
    webSocket.send(frame, this.#onSent);
  }

  /** The operating system took a frame: there may be room for more answers. */
  readonly #onSent = (): void => {
    this.#stallTimer?.refresh();
    if (this.#parts.webSocket.isPaused && this.bufferedBytes <= OUTPUT_LOW_BYTES) this.#deliver();
  };

  #receive(data: Uint8Array, isBinary: boolean): void {
    if (this.#state !== "open") return;
    if (!isBinary) {
      this.#close(CLOSE_CODES.notBinary, "protocol: a text frame");
      return;
    }
    const decoded = decodeFrame(data, { path: this.path, from: this.remote.role });
    if (!decoded.ok) {
      this.#close(CLOSE_CODES.protocolError, `protocol: ${decoded.reason}`);
    } else if (this.#parts.isPaced) {
      for (const message of decoded.messages) this.#inbox.push(message);
      this.#deliver();
    } else if (decoded.messages.length > 0) {
      this.#handlers?.onMessages(decoded.messages);
    }
  }

  /** Hands on what has been received, in portions, for as long as the answers are being read. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    let start = 0;
    while (start < this.#inbox.length && this.#state === "open" && this.bufferedBytes <= OUTPUT_HIGH_BYTES) {
      const portion = this.#inbox.slice(start, start + PORTION_MESSAGES);
      start += portion.length;
      this.#handlers?.onMessages(portion);
    }
    this.#inbox = this.#inbox.slice(start);
    this.#isDelivering = false;
    this.#setPaused(this.#inbox.length > 0 || this.bufferedBytes > OUTPUT_HIGH_BYTES);
  }

  #setPaused(isPaused: boolean): void {
    const { webSocket } = this.#parts;
    if (this.#state !== "open" || webSocket.isPaused === isPaused) return;
    if (isPaused) {
      webSocket.pause();
      this.#stallTimer = setTimeout(() => this.terminate("slow reader"), STALL_MS);
      this.#stallTimer.unref();
    } else {
      webSocket.resume();
      clearTimeout(this.#stallTimer);
      this.#stallTimer = undefined;
    }
  }

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
    this.#inbox = [];
    clearTimeout(this.#stallTimer);
  }

  #noteReason(reason: string): void {
    this.#reason ??= reason;
  }

  #finish(reason: string): void {
    if (this.#state === "closed") return;
    this.#leaveOpen();
    this.#state = "closed";
    this.#handlers?.onClose(this.#reason ?? reason);
  }
}

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
