// What this node has to say to one member (or to whoever answers at a seed's address) on one path: the open links, the
// attempt to dial one, and the messages that wait for it.
//
// A link is dialled when there is something to send and none is open; while attempts fail they come 50 ms to 1 s apart (doubling, with
// jitter, so that a whole cluster does not knock in step). A link that is lost at once counts as a failure: the other side may
// have turned us away. Waiting messages are replaceable, because the core times out and
// decides anew: they are kept for two seconds at most, and the oldest go first when there are too many.

import type { Change, GossipMessage, Message, PeerMessage } from "../core/messages.ts";
import type { Link } from "../io/link.ts";
import { capabilityFor } from "../wire/handshake.ts";

export type NodeMessage = PeerMessage | GossipMessage;

/** Bounds of one channel. */
export interface ChannelLimits {
  /** Messages that wait for a link. Past it the oldest is dropped. */
  readonly messagesMax: number;
  /** Their bytes, roughly. Past it the oldest are dropped, a single larger message excepted. */
  readonly bytesMax: number;
  /** Age at which a waiting message is dropped: by then whoever caused it has given up. */
  readonly ageMsMax: number;
  /** First and longest pause between attempts to dial. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** A link lost before this age counts as a failed attempt. */
  readonly stableMsMin: number;
}

export const CHANNEL_LIMITS: ChannelLimits = Object.freeze({
  messagesMax: 1_000,
  bytesMax: 4 * 1024 * 1024,
  ageMsMax: 2_000,
  backoffMsMin: 50,
  backoffMsMax: 1_000,
  stableMsMin: 1_000,
});

/** What a channel needs. */
export interface ChannelPorts {
  /** Opens a link and hands it to whoever owns the channels; rejects with why not. */
  dial(address: string): Promise<unknown>;
  nowMs(): number;
  /** In [0, 1). */
  random(): number;
  /** Messages given up before they were sent. */
  onDropped(count: number): void;
  /** A message was not sent, because the other side is of a version that does not know it. */
  onUnknown(message: NodeMessage): void;
}

interface Waiting {
  readonly message: NodeMessage;
  readonly bytes: number;
  readonly sinceMs: number;
}

/** See the top of the file. */
export class Channel {
  readonly #ports: ChannelPorts;
  readonly #limits: ChannelLimits;
  /** In the order they opened. All are of one process of the member. */
  readonly #links: Link[] = [];
  /** When the latest link opened. */
  #openedMs = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Where to dial: as told with the latest send. */
  #address = "";
  #isDialing = false;
  #isClosed = false;
  /** Attempts that failed since a link lasted. */
  #failures = 0;
  #retryAtMs = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;

  constructor(ports: ChannelPorts, limits: ChannelLimits = CHANNEL_LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
  }

  /** The link that sends use, the newest (the one most likely to work); `undefined` while there is none. */
  get link(): Link | undefined {
    return this.#links.at(-1);
  }

  get links(): readonly Link[] {
    return this.#links;
  }

  /** Why the last attempt to dial failed; `undefined` when none did since a link was open. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Nothing open, nothing waiting, nothing on its way: forgetting it loses a count of failures only. */
  get isIdle(): boolean {
    return this.#links.length === 0 && this.#waiting.length === 0 && !this.#isDialing;
  }

  /** Sends on the open link, or waits for one and sees to it that one is dialled. */
  send(message: NodeMessage, address: string): void {
    if (this.#isClosed) return;
    this.#address = address;
    const link = this.link;
    if (link !== undefined) {
      this.#say(link, message);
      return;
    }
    this.#wait(message);
    this.#dialSoon();
  }

  /** Takes an open link; from now on it is the one that is used. */
  add(link: Link): void {
    this.#links.push(link);
    this.#openedMs = this.#ports.nowMs();
    this.#lastError = undefined;
  }

  /** Sends what waits; for when an added link is ready to be used. */
  flush(): void {
    const link = this.link;
    if (link === undefined) return;
    this.#dropOld();
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { message } of waiting) this.#say(link, message);
  }

  #say(link: Link, message: NodeMessage): void {
    if (mayReceive(link, message)) link.send(message);
    else this.#ports.onUnknown(message);
  }

  /** Forgets a link. Returns whether it was one of this channel's. */
  remove(link: Link): boolean {
    const index = this.#links.indexOf(link);
    if (index === -1) return false;
    this.#links.splice(index, 1);
    if (this.#links.length === 0) {
      if (this.#ports.nowMs() - this.#openedMs >= this.#limits.stableMsMin) this.#failures = 0;
      else this.#backOff();
    }
    return true;
  }

  /** Dials at once, whatever the pause between attempts says; does nothing while a dial is on its way or without an address. */
  dialNow(): void {
    if (this.#isDialing || this.#isClosed || this.#address === "") return;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    void this.#dial(this.#address);
  }

  /** Gives up what waits and dials no more. The links are the caller's to close. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#drop(this.#waiting.length);
  }

  #dialSoon(): void {
    if (this.#isDialing || this.#retryTimer !== undefined) return;
    const delayMs = this.#retryAtMs - this.#ports.nowMs();
    if (delayMs <= 0) {
      this.dialNow();
      return;
    }
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#dropOld();
      if (this.#waiting.length > 0 && this.link === undefined) this.dialNow();
    }, delayMs);
  }

  async #dial(address: string): Promise<void> {
    this.#isDialing = true;
    let error: unknown;
    try {
      await this.#ports.dial(address);
    } catch (caught) {
      error = caught;
    }
    this.#isDialing = false;
    if (this.#isClosed) return;
    if (this.link !== undefined) return this.flush();
    this.#backOff();
    this.#lastError = error instanceof Error ? error : new Error(`${address} closed the connection at once`);
    this.#dropOld();
    if (this.#waiting.length > 0) this.#dialSoon();
  }

  /** Counts a failure, and puts the next attempt off by half to the whole of its pause. */
  #backOff(): void {
    const { backoffMsMin, backoffMsMax } = this.#limits;
    const backoffMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(20, this.#failures));
    this.#retryAtMs = this.#ports.nowMs() + backoffMs * (0.5 + this.#ports.random() / 2);
    this.#failures++;
  }

  #wait(message: NodeMessage): void {
    const bytes = roughBytes(message);
    this.#waiting.push({ message, bytes, sinceMs: this.#ports.nowMs() });
    this.#waitingBytes += bytes;
    let excess = Math.max(0, this.#waiting.length - this.#limits.messagesMax);
    let excessBytes = this.#waitingBytes - this.#limits.bytesMax;
    for (let index = 0; index < this.#waiting.length - 1 && excessBytes > 0; index++) {
      excessBytes -= this.#waiting[index]!.bytes;
      excess = Math.max(excess, index + 1);
    }
    this.#drop(excess);
  }

  #dropOld(): void {
    const oldestMs = this.#ports.nowMs() - this.#limits.ageMsMax;
    const fresh = this.#waiting.findIndex(({ sinceMs }) => sinceMs >= oldestMs);
    this.#drop(fresh === -1 ? this.#waiting.length : fresh);
  }

  /** Drops the `count` oldest. */
  #drop(count: number): void {
    if (count === 0) return;
    for (const { bytes } of this.#waiting.splice(0, count)) this.#waitingBytes -= bytes;
    this.#ports.onDropped(count);
  }
}

/** Whether the other side's version knows such messages. */
export function mayReceive(link: Link, message: NodeMessage): boolean {
  const needed = capabilityFor(message);
  return needed === undefined || link.remote.capabilities.includes(needed);
}

/** What a message weighs, near enough for a bound: its values and texts, and something for the rest. */
export function roughBytes(message: Message): number {
  const rest = 128;
  switch (message.kind) {
    case "replicate":
      return rest + message.entry.key.length + (message.entry.value?.length ?? 0);
    case "readReply":
      return rest + (message.entry?.value?.length ?? 0);
    case "forward":
      return rest + (message.request.kind === "write" ? roughBytes(message.request) : 0);
    case "write":
      return rest + message.key.length + valueBytes(message.change);
    case "publish":
      return rest + message.channel.length + message.payload.length;
    case "forwarded":
      return rest + (message.reply.kind === "got" ? message.reply.value.length : 0);
    case "changed":
      return message.items.reduce((sum, { key }) => sum + rest + key.length, rest);
    case "pull":
      return rest + 32 * message.slots.length;
    case "pulled":
      return message.entries.reduce(
        (sum, { key, value }) => sum + rest + key.length + (value?.length ?? 0),
        rest,
      );
    case "sync":
      return rest + 256 * message.records.length;
    case "gossip":
    case "probe":
    case "ack":
    case "probeRequest":
      return rest + 256 * message.updates.length;
    default:
      return rest;
  }
}

function valueBytes(change: Change): number {
  return change.type === "set" || change.type === "put" ? (change.value?.length ?? 0) : 0;
}
