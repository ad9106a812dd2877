// Connections as the operating system gives them: dialled, accepted, carrying frames in order, closed with or without a word.
//
// Each side has its own view of a connection. A crash closes it at once on the dead side; the other side hears of it after a
// short delay (FIN or RST), unless the host lost power, is cut off, or the news is lost: then only silence tells. What was
// under way when a side closed may still arrive. Nothing ever crosses from one process to the next one under the same address.

import type { Message, Path } from "../../src/core/messages.ts";
import type { CheckedCodec, Role } from "./codec.ts";
import type { TraceDigest } from "./digest.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Network } from "./network.ts";

/** A process at one end of connections. */
export interface Endpoint {
  /** The machine it runs on, as the network knows it. */
  readonly host: string;
  /** A node's member id: two hosts may claim one. A client's name. */
  readonly id: string;
  readonly role: Role;
  /** Number of the process on this host: changes with every start. */
  readonly epoch: number;
  readonly isRunning: boolean;
  /** False while paused or stalled: nothing is accepted or read. */
  readonly isResponsive: boolean;
  /** "" while unknown. Two processes with different ones refuse each other. */
  readonly genesisId: string;
  /** A connection is ready for use. */
  opened(connection: Connection, side: SideIndex): void;
  received(connection: Connection, side: SideIndex, messages: readonly Message[]): void;
  /** The other side, or the network, closed it. */
  closed(connection: Connection, side: SideIndex): void;
}

/** 0: who dialled. 1: who accepted. */
export type SideIndex = 0 | 1;

export type DialFailure = "refused" | "timeout" | "mismatch";

interface Side {
  readonly endpoint: Endpoint;
  readonly epoch: number;
  isOpen: boolean;
  /** Earliest instant at which this side's next frame may arrive: keeps the order. */
  arrivesAfterMs: number;
  /** Frames that the network holds back (cut or lost), oldest first, and the pause before the next attempt. */
  held: Uint8Array[];
  heldBytes: number;
  retransmitMs: number;
}

export interface Connection {
  readonly id: number;
  readonly path: Path;
  readonly sides: readonly [Side, Side];
}

/** How long a dial waits for an answer. */
const DIAL_TIMEOUT_MS = 1000;
/** TCP's first retransmission after 200 ms, then twice that, and so on up to this. */
const RETRANSMIT_MS = 200;
const RETRANSMIT_MS_MAX = 10_000;
/** Bytes that may wait in one direction of a stuck connection; past it the connection breaks. */
const HELD_BYTES_MAX = 8 * 1024 * 1024;

export class Connections {
  readonly #queue: EventQueue;
  readonly #network: Network;
  readonly #codec: CheckedCodec;
  readonly #digest: TraceDigest;
  readonly #listeners = new Map<string, Endpoint>();
  /** Hosts without power: they neither accept nor refuse. */
  readonly #silentHosts = new Set<string>();
  readonly #open = new Map<string, Set<Connection>>();
  #nextId = 1;
  framesTotal = 0;
  bytesTotal = 0;

  constructor(parts: { queue: EventQueue; network: Network; codec: CheckedCodec; digest: TraceDigest }) {
    this.#queue = parts.queue;
    this.#network = parts.network;
    this.#codec = parts.codec;
    this.#digest = parts.digest;
  }

  listen(address: string, endpoint: Endpoint): void {
    this.#listeners.set(address, endpoint);
    this.#silentHosts.delete(endpoint.host);
  }

  /** Forgets an address that its host has given up for another one. */
  unlisten(address: string, endpoint: Endpoint): void {
    if (this.#listeners.get(address) === endpoint) this.#listeners.delete(address);
  }

  /** The endpoint's host lost power: nothing there answers, not even with a refusal, until it listens again. */
  powerOff(endpoint: Endpoint): void {
    this.#silentHosts.add(endpoint.host);
  }

  /**
   * Opens a connection. Exactly one of the endpoint's `opened` and `onFailure` follows, unless the dialling process ends
   * first. `onOpen` comes right before `opened`.
   */
  dial(
    dialler: Endpoint,
    target: { address: string; path: Path },
    outcome: { onOpen: (connection: Connection) => void; onFailure: (why: DialFailure) => void },
  ): void {
    const { epoch } = dialler;
    const fail = (why: DialFailure, ms: number) => {
      this.#queue.after(ms, () => {
        if (dialler.epoch === epoch && dialler.isRunning) outcome.onFailure(why);
      });
    };
    // An address that was never listened at: its machine is up and refuses.
    const acceptor = this.#listeners.get(target.address);
    if (acceptor === undefined) {
      fail("refused", 1);
      return;
    }
    const there = () => this.#network.delayMs(dialler.host, acceptor.host, target.path);
    const back = () => this.#network.delayMs(acceptor.host, dialler.host, target.path);
    // TCP's greeting and ours: two round trips.
    const toMs = there() + back() + there();
    const backMs = back();
    this.#queue.after(toMs, () => {
      if (!this.#network.isConnected(dialler.host, acceptor.host)) return fail("timeout", DIAL_TIMEOUT_MS);
      if (this.#silentHosts.has(acceptor.host)) return fail("timeout", DIAL_TIMEOUT_MS);
      if (!acceptor.isRunning || this.#listeners.get(target.address) !== acceptor) {
        return fail("refused", backMs);
      }
      if (!acceptor.isResponsive) return fail("timeout", DIAL_TIMEOUT_MS);
      if (dialler.id === acceptor.id || !isSameCluster(dialler, acceptor)) return fail("mismatch", backMs);
      if (dialler.epoch !== epoch || !dialler.isRunning) return;
      const connection = this.#create(target.path, dialler, acceptor);
      const [here, peer] = connection.sides;
      const openMs = this.#queue.nowMs + backMs;
      peer.isOpen = true;
      peer.arrivesAfterMs = openMs;
      acceptor.opened(connection, 1);
      this.#queue.at(openMs, () => {
        if (dialler.epoch !== epoch || !dialler.isRunning) return;
        if (!peer.isOpen) return outcome.onFailure("refused");
        here.isOpen = true;
        outcome.onOpen(connection);
        dialler.opened(connection, 0);
      });
    });
  }

  /** Sends one frame. Dropped when this side is closed. */
  send(connection: Connection, from: SideIndex, messages: readonly Message[]): void {
    const side = connection.sides[from];
    if (!side.isOpen) return;
    const bytes = this.#codec.encode(messages, connection.path, side.endpoint.role);
    this.framesTotal++;
    this.bytesTotal += bytes.length;
    if (this.#network.profile.mode === "stream") this.#sendInOrder(connection, from, bytes);
    else this.#sendLoosely(connection, from, bytes);
  }

  /** This side closes; the other hears of it if the network lets it. */
  close(connection: Connection, from: SideIndex): void {
    this.#closeSide(connection, from);
    this.#tellClosed(connection, from);
  }

  /** Breaks every connection of a process that goes on running: both sides hear of it. */
  reset(endpoint: Endpoint): void {
    for (const connection of [...(this.#open.get(endpoint.host) ?? [])]) {
      const index: SideIndex = connection.sides[0].endpoint === endpoint ? 0 : 1;
      if (connection.sides[index].isOpen) this.#breakSide(connection, index);
    }
  }

  /** The process at one end is gone. `isSilent`: nobody is told. */
  abandon(endpoint: Endpoint, isSilent: boolean): void {
    for (const connection of [...(this.#open.get(endpoint.host) ?? [])]) {
      for (const index of [0, 1] as const) {
        const side = connection.sides[index];
        if (side.endpoint !== endpoint || !side.isOpen) continue;
        this.#closeSide(connection, index);
        if (!isSilent) this.#tellClosed(connection, index);
      }
    }
  }

  #create(path: Path, dialler: Endpoint, acceptor: Endpoint): Connection {
    const connection: Connection = {
      id: this.#nextId++,
      path,
      sides: [newSide(dialler), newSide(acceptor)],
    };
    for (const { endpoint } of connection.sides) {
      let open = this.#open.get(endpoint.host);
      if (open === undefined) {
        open = new Set();
        this.#open.set(endpoint.host, open);
      }
      open.add(connection);
    }
    return connection;
  }

  #closeSide(connection: Connection, index: SideIndex): void {
    const side = connection.sides[index];
    side.isOpen = false;
    side.held = [];
    side.heldBytes = 0;
    this.#open.get(side.endpoint.host)?.delete(connection);
  }

  /** FIN or RST: takes one delay, is lost in a cut. */
  #tellClosed(connection: Connection, from: SideIndex): void {
    const to: SideIndex = from === 0 ? 1 : 0;
    const source = connection.sides[from].endpoint;
    const target = connection.sides[to];
    if (this.#network.isCut(source.host, target.endpoint.host)) return;
    // Behind everything that this side has sent and that is not stuck.
    const delayMs = this.#network.delayMs(source.host, target.endpoint.host, connection.path);
    const atMs = Math.max(this.#queue.nowMs + delayMs, connection.sides[from].arrivesAfterMs + 0.001);
    this.#queue.at(atMs, () => {
      if (!target.isOpen || !this.#isCurrent(target)) return;
      if (this.#network.isCut(source.host, target.endpoint.host)) return;
      this.#closeSide(connection, to);
      target.endpoint.closed(connection, to);
    });
  }

  #sendInOrder(connection: Connection, from: SideIndex, bytes: Uint8Array): void {
    const side = connection.sides[from];
    const [source, target] = this.#hosts(connection, from);
    const delayMs = this.#network.delayMs(source, target, connection.path);
    const atMs = Math.max(this.#queue.nowMs + delayMs, side.arrivesAfterMs + 0.001);
    side.arrivesAfterMs = atMs;
    const isLost = this.#network.isLost(source, target, connection.path, bytes.length);
    this.#queue.at(atMs, () => {
      if (side.held.length === 0 && !isLost && !this.#network.isCut(source, target)) {
        this.#arrive(connection, from, bytes);
        return;
      }
      // Held back while this side lives; a closed side's frames are lost with its socket.
      if (!side.isOpen) return;
      side.held.push(bytes);
      side.heldBytes += bytes.length;
      if (side.heldBytes > HELD_BYTES_MAX) this.#breakSide(connection, from);
      else if (side.held.length === 1) this.#retransmitLater(connection, from);
    });
  }

  #retransmitLater(connection: Connection, from: SideIndex): void {
    const side = connection.sides[from];
    const [source, target] = this.#hosts(connection, from);
    this.#queue.after(side.retransmitMs, () => {
      if (side.held.length === 0) return;
      const isLost = this.#network.isLost(source, target, connection.path, side.held[0]!.length);
      if (isLost || this.#network.isCut(source, target)) {
        side.retransmitMs = Math.min(RETRANSMIT_MS_MAX, side.retransmitMs * 2);
        this.#retransmitLater(connection, from);
        return;
      }
      const frames = side.held;
      side.held = [];
      side.heldBytes = 0;
      side.retransmitMs = RETRANSMIT_MS;
      for (const frame of frames) this.#arrive(connection, from, frame);
    });
  }

  /** The connection breaks under its user: too much is stuck, or somebody between reset it. */
  #breakSide(connection: Connection, index: SideIndex): void {
    const side = connection.sides[index];
    this.#closeSide(connection, index);
    this.#tellClosed(connection, index);
    side.endpoint.closed(connection, index);
  }

  #sendLoosely(connection: Connection, from: SideIndex, bytes: Uint8Array): void {
    const [source, target] = this.#hosts(connection, from);
    const copies = this.#network.isDuplicated(source, target, connection.path) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#network.isLost(source, target, connection.path, bytes.length)) continue;
      const delayMs = this.#network.delayMs(source, target, connection.path);
      // Not before the other side knows of the connection.
      const atMs = Math.max(this.#queue.nowMs + delayMs, connection.sides[from].arrivesAfterMs + 0.001);
      this.#queue.at(atMs, () => {
        if (!this.#network.isCut(source, target)) this.#arrive(connection, from, bytes);
      });
    }
  }

  #arrive(connection: Connection, from: SideIndex, bytes: Uint8Array): void {
    const to: SideIndex = from === 0 ? 1 : 0;
    const side = connection.sides[to];
    if (!this.#isCurrent(side)) {
      this.#answerReset(connection, to);
      return;
    }
    if (!side.isOpen) {
      // Between nodes a late frame of a closed connection is let through in the harsh mode, as if it had been read before.
      const isLate = this.#network.profile.mode === "datagram" && connection.path !== "client";
      if (!isLate) {
        this.#answerReset(connection, to);
        return;
      }
    }
    this.#digest.addNumber(connection.id);
    this.#digest.addNumber(this.#queue.nowMs);
    this.#digest.addBytes(bytes);
    const sender = connection.sides[from].endpoint.role;
    side.endpoint.received(connection, to, this.#codec.decode(bytes, connection.path, sender));
  }

  /** A frame for a connection that this host does not know: a host with power answers with RST. */
  #answerReset(connection: Connection, at: SideIndex): void {
    const { endpoint } = connection.sides[at];
    const from: SideIndex = at === 0 ? 1 : 0;
    if (connection.sides[from].isOpen && !this.#silentHosts.has(endpoint.host)) {
      this.#tellClosed(connection, at);
    }
  }

  #isCurrent(side: Side): boolean {
    return side.endpoint.isRunning && side.endpoint.epoch === side.epoch;
  }

  #hosts(connection: Connection, from: SideIndex): [string, string] {
    const to: SideIndex = from === 0 ? 1 : 0;
    return [connection.sides[from].endpoint.host, connection.sides[to].endpoint.host];
  }
}

function newSide(endpoint: Endpoint): Side {
  return {
    endpoint,
    epoch: endpoint.epoch,
    isOpen: false,
    arrivesAfterMs: 0,
    held: [],
    heldBytes: 0,
    retransmitMs: RETRANSMIT_MS,
  };
}

/** What the handshake checks: a node without a genesis id may learn it by dialling; nobody talks to one that has none. */
function isSameCluster(dialler: Endpoint, acceptor: Endpoint): boolean {
  if (acceptor.genesisId === "") return false;
  return dialler.genesisId === "" || dialler.genesisId === acceptor.genesisId;
}
