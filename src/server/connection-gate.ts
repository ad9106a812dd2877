// Who may connect, before anything is read: how many connections there are in all, from one address, and of strangers, how long a stranger may take
// to prove itself, and how soon somebody may try again who has proved something wrong.
//
// A stranger is a connection that has neither become a link, nor a Redis connection that is let in, nor had an HTTP request answered that it was
// entitled to make. Refusing costs the node an accept and a close, whatever the other side would have sent. Established connections are not touched.
//
// The gate stands in front of a server's own listeners: they see a connection once it has said something, so that parsers, TLS and their timers are
// not set up for who is turned away or says nothing. Node accepts one connection per turn of its loop, and one that has spoken is handed on per turn:
// what a crowd says at once would keep everybody else waiting until all of it is parsed and answered. Cutting keeps to small portions too, because a crowd
// that came together grows old together, and closing 500 sockets at once holds everybody else up for 40 ms.
//
// Back-off: an address has `FAILURES_MAX` wrong proofs to spend and gets `FAILURES_PER_SECOND` back; once it has spent some, it may have as many
// strangers as it has left, and further connections are dropped. That also concerns the honest neighbours of a guesser who shares their address, for as long as the guessing goes on; those that are
// connected stay so.

import type { Server, Socket } from "node:net";
import { ignoreError } from "../io/ignored-error.ts";
import { TurnTaking } from "../io/turn-taking.ts";

/** Addresses that are remembered. Past it those without connections are forgotten, and their failures with them. */
const ADDRESSES_MAX = 10_000;
/** From the connection on, TLS and HTTP included. Together with the interval of looking: within 5 s. */
const STRANGER_MS_MAX = 4_500;
const LOOK_INTERVAL_MS = 250;
/** Cuts in one turn of the event loop: half a millisecond. */
const CUTS_MAX = 8;
/** As much as a turn of the event loop is for: nobody else is handed on in it. */
const WHOLE_TURN = Number.POSITIVE_INFINITY;
/** Strangers of one address: as many handshakes as a reconnecting crowd behind one router has under way. */
const STRANGERS_PER_ADDRESS_MAX = 512;
/**
 * Enough for nodes and clients whose secret is wrong, which try several times a second. A proof costs some 20 microseconds and its connection less than a
 * millisecond, so this many cost little; and no number of guesses finds a secret of 128 bits.
 */
const FAILURES_MAX = 100;
const FAILURES_PER_SECOND = 20;

/** Why a connection was dropped as it came; `accept`: by the system. */
export type GateReason = "total" | "address" | "strangers" | "back-off" | "time" | "accept";

export interface GateOptions {
  /** Connections in all, of every server that is attached. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  nowMs(): number;
  onRefused(reason: GateReason, address: string): void;
}

/** What is known of one address. */
interface Neighbour {
  open: number;
  strangers: number;
  /** Wrong proofs that it may still make, as of `creditMs`. */
  credit: number;
  creditMs: number;
}

interface Stranger {
  readonly socket: Socket;
  readonly neighbour: Neighbour;
  readonly address: string;
  readonly sinceMs: number;
}

/** See the top of the file. */
export class ConnectionGate {
  readonly #options: GateOptions;
  readonly #neighbours = new Map<string, Neighbour>();
  /** By the number of the server and the other end's `host:port`, in the order they came. One end may be connected to several servers. */
  readonly #strangers = new Map<string, Stranger>();
  #servers = 0;
  /** Of those who have spoken and were not handed on yet. */
  readonly #turns = new TurnTaking();
  #open = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Connections that are open. */
  get count(): number {
    return this.#open;
  }

  get strangerCount(): number {
    return this.#strangers.size;
  }

  /**
   * Guards a server's connections from now on: those who listen for them already hear of the admitted ones, with their first bytes, as the side that
   * connects speaks first.
   *
   * @param isOpen The server lets everybody in, who may then be silent for as long as they like: they are handed on as they come.
   */
  attach(server: Server, isOpen = false): void {
    const listeners = server.listeners("connection") as ((socket: Socket) => void)[];
    const number = this.#servers++;
    server.removeAllListeners("connection");
    // The process may have no descriptors or no memory left for a connection. The next one may fare better.
    server.on("error", () => this.#options.onRefused("accept", ""));
    server.on("connection", (socket: Socket) => {
      if (!this.#admit(socket, number)) return;
      socket.on("error", ignoreError);
      const handOn = () => {
        for (const listener of listeners) listener.call(server, socket);
      };
      if (isOpen) handOn();
      else socket.once("readable", () => this.#heard(socket, handOn));
    });
  }

  /** Connections from `host:port` are a stranger's no more. */
  proved(remoteAddress: string): void {
    for (let number = 0; number < this.#servers; number++) this.#forget(`${number} ${remoteAddress}`);
  }

  /** Somebody at `host:port` has proved something wrong. */
  failed(remoteAddress: string): void {
    const neighbour = this.#neighbour(addressOf(remoteAddress));
    neighbour.credit = Math.max(0, this.#creditOf(neighbour) - 1);
  }

  /** Cuts the strangers, and looks at no time any more. */
  stop(): void {
    clearTimeout(this.#timer);
    for (const { socket } of this.#strangers.values()) socket.destroy();
  }

  /** A stranger has said its first words, or has nothing to say. */
  #heard(socket: Socket, handOn: () => void): void {
    if (socket.readableLength === 0) {
      socket.destroy();
      return;
    }
    this.#turns.next(() => {
      if (socket.destroyed) return 0;
      handOn();
      return WHOLE_TURN;
    });
  }

  #forget(key: string): void {
    const stranger = this.#strangers.get(key);
    if (stranger === undefined) return;
    this.#strangers.delete(key);
    stranger.neighbour.strangers--;
  }

  /** Whether the connection stays. */
  #admit(socket: Socket, server: number): boolean {
    const remote = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    const address = addressOf(remote);
    const neighbour = this.#neighbour(address);
    const reason = this.#objection(neighbour);
    if (reason !== undefined) {
      socket.destroy();
      this.#options.onRefused(reason, address);
      return false;
    }
    this.#open++;
    neighbour.open++;
    neighbour.strangers++;
    const key = `${server} ${remote}`;
    // Of the same two ends: that one is gone, though nobody has heard of it yet.
    this.#forget(key);
    this.#strangers.set(key, { socket, neighbour, address, sinceMs: this.#options.nowMs() });
    this.#timer ??= this.#lookIn(LOOK_INTERVAL_MS);
    socket.once("close", () => {
      this.#open--;
      neighbour.open--;
      if (this.#strangers.get(key)?.socket === socket) this.#forget(key);
    });
    return true;
  }

  #objection(neighbour: Neighbour): GateReason | undefined {
    const { connectionsMax, connectionsPerAddressMax } = this.#options;
    if (this.#open >= connectionsMax) return "total";
    if (neighbour.open >= connectionsPerAddressMax) return "address";
    if (neighbour.strangers >= STRANGERS_PER_ADDRESS_MAX) return "strangers";
    // Each stranger may prove something wrong. Where none has, a crowd is only a crowd.
    const credit = this.#creditOf(neighbour);
    return credit < FAILURES_MAX && neighbour.strangers + 1 > credit ? "back-off" : undefined;
  }

  /** Brought up to date. */
  #creditOf(neighbour: Neighbour): number {
    const nowMs = this.#options.nowMs();
    const earned = ((nowMs - neighbour.creditMs) / 1_000) * FAILURES_PER_SECOND;
    neighbour.credit = Math.min(FAILURES_MAX, neighbour.credit + earned);
    neighbour.creditMs = nowMs;
    return neighbour.credit;
  }

  #neighbour(address: string): Neighbour {
    const known = this.#neighbours.get(address);
    if (known !== undefined) return known;
    if (this.#neighbours.size >= ADDRESSES_MAX) this.#forgetIdle();
    const neighbour = { open: 0, strangers: 0, credit: FAILURES_MAX, creditMs: this.#options.nowMs() };
    this.#neighbours.set(address, neighbour);
    return neighbour;
  }

  #forgetIdle(): void {
    for (const [address, { open }] of this.#neighbours) if (open === 0) this.#neighbours.delete(address);
  }

  #lookIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), ms).unref();
  }

  /** Cuts strangers that took too long, the oldest first, a few in each turn of the event loop. */
  #look(): void {
    const oldestMs = this.#options.nowMs() - STRANGER_MS_MAX;
    let delayMs = LOOK_INTERVAL_MS;
    let cuts = 0;
    for (const [key, { socket, address, sinceMs }] of this.#strangers) {
      if (sinceMs > oldestMs) break;
      if (cuts++ === CUTS_MAX) {
        delayMs = 1;
        break;
      }
      this.#forget(key);
      socket.destroy();
      this.#options.onRefused("time", address);
    }
    this.#timer = this.#strangers.size > 0 ? this.#lookIn(delayMs) : undefined;
  }
}

/** What one neighbour has of addresses: an IPv4 address, or the 64 bits in front of an IPv6 address, the rest of which it chooses freely. */
export function addressOf(remoteAddress: string): string {
  const host = remoteAddress.slice(0, remoteAddress.lastIndexOf(":"));
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (v4 !== undefined || !host.includes(":")) return v4 ?? host;
  const [head = "", tail = ""] = host.split("%")[0]!.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === "" ? [] : tail.split(":");
  const zeros = host.includes("::")
    ? new Array<string>(Math.max(0, 8 - front.length - back.length)).fill("0")
    : [];
  return `${[...front, ...zeros, ...back].slice(0, 4).join(":")}::/64`;
}
