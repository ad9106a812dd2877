// A node's way to the other nodes, as server/peer-links.ts and server/channel.ts go it: connections are dialled when there is
// something to send, what waits meanwhile is kept for two seconds at most, and attempts that fail come further and further apart.

import type { MemberId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { Message, Path } from "../../src/core/messages.ts";
import type { Connection, Connections, Endpoint, SideIndex } from "./connections.ts";
import type { EventQueue } from "./event-queue.ts";

const WAITING_MAX = 1000;
const WAITING_MS_MAX = 2000;
const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 2000;
/** A connection lost before this age counts as a failed attempt. */
const STABLE_MS_MIN = 1000;

/** A node at the other end, as it introduced itself. */
export interface Peer {
  readonly id: MemberId;
  readonly address: string;
  readonly generation: number;
}

/** Where a frame goes: `to` is "" when only an address is known. */
export interface Destination {
  readonly to: MemberId | "";
  readonly address: string;
  readonly path: Path;
}

interface Channel {
  readonly to: MemberId | "";
  readonly path: Path;
  address: string;
  readonly links: Connection[];
  openedMs: number;
  waiting: { readonly message: Message; readonly sinceMs: number }[];
  isDialling: boolean;
  failures: number;
  retryAtMs: number;
  isRetrySet: boolean;
}

export interface ChannelsParts {
  readonly endpoint: Endpoint;
  readonly queue: EventQueue;
  readonly connections: Connections;
  readonly prng: Prng;
  /** Does the work now, or when the process reads again. */
  accept(work: () => void): void;
  /** The first connection to a member opened on this path, or the last one closed. */
  news(member: MemberId, path: "peer" | "gossip", isUp: boolean): void;
}

/** The channels of one process; a new process has new ones. */
export class Channels {
  readonly #parts: ChannelsParts;
  readonly #epoch: number;
  readonly #byName = new Map<string, Channel>();
  readonly #peers = new Map<number, Peer>();

  constructor(parts: ChannelsParts) {
    this.#parts = parts;
    this.#epoch = parts.endpoint.epoch;
  }

  /** Who is at the other end of an open connection. */
  peerOf(connection: Connection): Peer | undefined {
    return this.#peers.get(connection.id);
  }

  send(destination: Destination, messages: readonly Message[]): void {
    const channel = this.#channel(destination);
    channel.address = destination.address;
    const link = channel.links.at(-1);
    if (link !== undefined) {
      this.#parts.connections.send(link, this.#sideOf(link), messages);
      return;
    }
    const sinceMs = this.#parts.queue.nowMs;
    for (const message of messages) channel.waiting.push({ message, sinceMs });
    channel.waiting.splice(0, channel.waiting.length - WAITING_MAX);
    this.#dialSoon(channel);
  }

  /** Takes a connection that has just opened, whoever dialled. Of two processes of one member, only the later is talked to. */
  opened(connection: Connection, peer: Peer): void {
    const path = connection.path as "peer" | "gossip";
    const channel = this.#channel({ to: peer.id, address: peer.address, path });
    const generations = channel.links.map((link) => this.#peers.get(link.id)!.generation);
    if (generations.some((generation) => generation > peer.generation)) {
      this.#parts.connections.close(connection, this.#sideOf(connection));
      return;
    }
    for (const link of [...channel.links]) {
      if (this.#peers.get(link.id)!.generation === peer.generation) continue;
      channel.links.splice(channel.links.indexOf(link), 1);
      this.#parts.connections.close(link, this.#sideOf(link));
    }
    this.#peers.set(connection.id, peer);
    channel.links.push(connection);
    channel.openedMs = this.#parts.queue.nowMs;
    if (channel.links.length === 1) this.#parts.news(peer.id, path, true);
    this.#flush(channel);
  }

  /** A connection is gone. */
  closed(connection: Connection): void {
    const peer = this.#peers.get(connection.id);
    if (peer === undefined) return;
    const path = connection.path as "peer" | "gossip";
    const channel = this.#channel({ to: peer.id, address: peer.address, path });
    const index = channel.links.indexOf(connection);
    if (index === -1) return;
    channel.links.splice(index, 1);
    if (channel.links.length > 0) return;
    if (this.#parts.queue.nowMs - channel.openedMs >= STABLE_MS_MIN) channel.failures = 0;
    else this.#backOff(channel);
    this.#parts.news(peer.id, path, false);
  }

  /** Cuts what is open to the member and dials again at once. */
  redial(member: MemberId, path: "peer" | "gossip"): void {
    const { connections, queue, accept } = this.#parts;
    const channel = this.#channel({ to: member, address: "", path });
    for (const link of [...channel.links]) {
      connections.close(link, this.#sideOf(link));
      // The news comes in its own turn, not in the middle of this one.
      queue.after(0, () => {
        if (this.#isCurrent) accept(() => this.closed(link));
      });
    }
    if (channel.address !== "" && !channel.isDialling) this.#dial(channel);
  }

  get #isCurrent(): boolean {
    const { endpoint } = this.#parts;
    return endpoint.isRunning && endpoint.epoch === this.#epoch;
  }

  #channel({ to, address, path }: Destination): Channel {
    const name = `${path} ${to === "" ? `@${address}` : to}`;
    let channel = this.#byName.get(name);
    if (channel === undefined) {
      channel = {
        to,
        path,
        address,
        links: [],
        openedMs: 0,
        waiting: [],
        isDialling: false,
        failures: 0,
        retryAtMs: 0,
        isRetrySet: false,
      };
      this.#byName.set(name, channel);
    }
    return channel;
  }

  #dialSoon(channel: Channel): void {
    const { queue, accept } = this.#parts;
    if (channel.isDialling || channel.isRetrySet) return;
    if (channel.retryAtMs <= queue.nowMs) {
      this.#dial(channel);
      return;
    }
    channel.isRetrySet = true;
    queue.at(channel.retryAtMs, () => {
      if (!this.#isCurrent) return;
      accept(() => {
        channel.isRetrySet = false;
        this.#dropOld(channel);
        const isNeeded = channel.waiting.length > 0 && channel.links.length === 0;
        if (isNeeded && !channel.isDialling) this.#dial(channel);
      });
    });
  }

  #dial(channel: Channel): void {
    const { connections, endpoint, accept } = this.#parts;
    channel.isDialling = true;
    const failed = () => {
      channel.isDialling = false;
      this.#backOff(channel);
      this.#dropOld(channel);
      if (channel.waiting.length > 0 && channel.links.length === 0) this.#dialSoon(channel);
    };
    connections.dial(
      endpoint,
      { address: channel.address, path: channel.path },
      {
        onFailure: () => {
          if (this.#isCurrent) accept(failed);
        },
        onOpen: (connection) => {
          if (!this.#isCurrent) return;
          accept(() => {
            channel.isDialling = false;
            const peer = connection.sides[1].endpoint.id as MemberId;
            if (channel.to !== "" && channel.to !== peer) failed();
            // A seed named by address only: what waits for it goes out under its name.
            else if (channel.to === "") this.#handOver(channel, peer);
          });
        },
      },
    );
  }

  /** A host has the name of its node. */
  #handOver(channel: Channel, peer: MemberId): void {
    const named = this.#channel({ to: peer, address: channel.address, path: channel.path });
    named.waiting.push(...channel.waiting.splice(0));
  }

  #flush(channel: Channel): void {
    const link = channel.links.at(-1);
    this.#dropOld(channel);
    const messages = channel.waiting.splice(0).map(({ message }) => message);
    if (link !== undefined && messages.length > 0) {
      this.#parts.connections.send(link, this.#sideOf(link), messages);
    }
  }

  #dropOld(channel: Channel): void {
    const { nowMs } = this.#parts.queue;
    channel.waiting = channel.waiting.filter(({ sinceMs }) => nowMs - sinceMs <= WAITING_MS_MAX);
  }

  #backOff(channel: Channel): void {
    const { queue, prng } = this.#parts;
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(20, channel.failures));
    channel.retryAtMs = queue.nowMs + backoffMs * (0.5 + prng.float() / 2);
    channel.failures++;
  }

  #sideOf(connection: Connection): SideIndex {
    return connection.sides[0].endpoint === this.#parts.endpoint ? 0 : 1;
  }
}
