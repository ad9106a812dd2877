// The links between this node and the other members: who is connected on which path, and which link a send takes.
//
// Invariants:
// 1. A link belongs to the member that proved its identity in the handshake. Whatever arrives on it is from that member, whatever a
//    field of a message says, and nothing for another member is ever sent on it.
// 2. The core is told `isUp` when the first link of a member and path opens, and not `isUp` when the last one closes; when
//    a newer process of the member connects, it is told both, because what was under way with the older one is lost.
// 3. A link that stands on a proof which is not valid any more is replaced: by a new one first, where the other side can prove what is valid.
// 4. No message passes a link whose ends do not share a genesis id. A node that does not know its cluster yet learns it from
//    a node it dialled itself, never from one that dials it: the stranger may belong to the cluster that used the address before.

import { CacheError } from "../base/errors.ts";
import { isMemberId, type MemberId } from "../base/ids.ts";
import type { NodeEvent } from "../core/events.ts";
import type { Input } from "../core/machine.ts";
import type { DoorMessage, Failure, GossipMessage, Message, PeerMessage, Secrets } from "../core/messages.ts";
import type { Access, Link, LinkHandlers } from "../io/link.ts";
import { Channel, type ChannelPorts, mayReceive, type NodeMessage } from "./channel.ts";
import type { SendEffect } from "./driver.ts";

/** The paths between nodes. */
export type NodePath = "peer" | "gossip";

/** Members (or seeds) remembered per path, connected ones excepted; past it those with nothing under way are forgotten. */
const CHANNELS_MAX = 1_024;
/** Links kept open with one member on one path. Both sides may dial at once; past it the oldest is cut. */
const LINKS_MAX = 4;

/** How long a link that is to be replaced is kept for what is under way on it, and for the new one to open. */
const RENEW_MS = 3_000;

/** What the links need from the rest of the shell. */
export interface PeerLinksPorts {
  /** This node: its id, boot number, and the genesis id, "" while unknown. */
  self(): { readonly id: MemberId; readonly generation: number; readonly genesisId: string };
  /** Opens a link; `onLink` is called once, before any message is delivered. Rejects with a reason for people. */
  dial(address: string, path: NodePath, onLink: (link: Link) => LinkHandlers): Promise<unknown>;
  /** Must carry the input out at once, unless it is called within a step. */
  feed(input: Input): void;
  onEvent(event: NodeEvent): void;
  nowMs(): number;
  random(): number;
  /** Messages given up before they were sent. */
  onDropped(count: number): void;
  /** For the log: a link came, went, or was turned away. */
  trace(text: "link opened" | "link closed" | "link turned away", facts: object): void;
  /** The answer to a request that came while this node was stopping. */
  refusal(requestId: number): Failure;
}

/** See the top of the file. */
export class PeerLinks {
  readonly #ports: PeerLinksPorts;
  /** By path, then by member. */
  readonly #members: Record<NodePath, Map<MemberId, Channel>> = { peer: new Map(), gossip: new Map() };
  /** By path, then by address: sends to seeds whose id is not known. Their links are also in `#members`. */
  readonly #seeds: Record<NodePath, Map<string, Channel>> = { peer: new Map(), gossip: new Map() };
  #isDraining = false;
  #isClosed = false;

  constructor(ports: PeerLinksPorts) {
    this.#ports = ports;
  }

  /** Carries out a `send`: at once when a link is open, otherwise when one is, or never. */
  send(effect: SendEffect): void {
    if (this.#isClosed) return;
    const { to, address, path, message } = effect;
    const channel = to === "" ? this.#seedChannel(path, address) : this.#memberChannel(path, to);
    channel.send(message, address);
  }

  /** Says it on an open link to the member. False when there is none, or when the member is of a version that does not know such messages. */
  tell(member: MemberId, message: DoorMessage | Secrets): boolean {
    const link = this.#members.peer.get(member)?.link;
    if (this.#isClosed || link === undefined || !mayReceive(link, message)) return false;
    link.send(message);
    return true;
  }

  /** Carries out a `redial`: cuts what is open and dials again. */
  redial(member: MemberId, path: NodePath): void {
    const channel = this.#members[path].get(member);
    if (channel === undefined || this.#isClosed) return;
    for (const link of [...channel.links]) this.#cut(link, "silent");
    channel.dialNow();
  }

  /** Takes a link that another node opened. */
  accept(link: Link): LinkHandlers {
    const objection = this.#objection(link, false);
    return objection === undefined ? this.#open(link, undefined) : this.#turnAway(link, objection);
  }

  /** From now on requests that other nodes hand on are refused; everything else goes on. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Says something to every member that a data link is open to and that knows such messages. */
  tellAll(message: Secrets): void {
    for (const member of this.#members.peer.keys()) this.tell(member, message);
  }

  /** Replaces the links whose other side has proved nothing that is valid now. */
  renew(isValid: (access: Access) => boolean): void {
    const stale = this.#allLinks().filter(({ remote }) => !isValid(remote.access));
    for (const { path, remote } of stale) {
      const channel = this.#members[path as NodePath].get(remote.id as MemberId);
      if (channel?.links.every((link) => stale.includes(link)) === true) channel.dialNow();
    }
    if (stale.length === 0) return;
    const timer = setTimeout(() => {
      for (const link of stale) {
        this.#forget(link);
        link.close();
      }
    }, RENEW_MS);
    timer.unref();
  }

  /** Links open on both paths. */
  get openCount(): number {
    return this.#allLinks().length;
  }

  /** By address of a seed: why the last attempt to reach it failed. */
  seedErrors(): ReadonlyMap<string, Error> {
    const errors = new Map<string, Error>();
    for (const [address, { lastError }] of this.#seeds.gossip) {
      if (lastError !== undefined) errors.set(address, lastError);
    }
    return errors;
  }

  /** Sends what the links have queued, then closes them all and dials no more. */
  close(): void {
    this.#isClosed = true;
    const links = this.#allLinks();
    for (const path of ["peer", "gossip"] as const) {
      for (const channel of [...this.#members[path].values(), ...this.#seeds[path].values()]) channel.close();
    }
    for (const link of links) link.close();
  }

  #allLinks(): readonly Link[] {
    return [...this.#members.peer.values(), ...this.#members.gossip.values()].flatMap(({ links }) => links);
  }

  #memberChannel(path: NodePath, member: MemberId): Channel {
    return this.#channel(this.#members[path], member, {
      dial: (address) => this.#dial(address, path, member),
      onUnknown: (message) => this.#sendBack(member, message),
    });
  }

  #seedChannel(path: NodePath, seed: string): Channel {
    // Gossip is the same in all versions.
    const onUnknown = () => {};
    return this.#channel(this.#seeds[path], seed, {
      dial: (address) => this.#dial(address, path, ""),
      onUnknown,
    });
  }

  /** A request that the member's version does not know: it has certainly not been done, and another node may do it. */
  #sendBack(member: MemberId, message: NodeMessage): void {
    if (message.kind !== "forward") return;
    const { id, request } = message;
    const text = `Node ${member} is of an older version, which does not know this request`;
    const reply: Failure = {
      kind: "failed",
      id: request.id,
      code: "ERR_UNREACHABLE",
      message: text,
      applied: "no",
      elsewhere: true,
    };
    this.#ports.feed({ kind: "peer", from: member, message: { kind: "forwarded", id, reply } });
  }

  #channel<Key>(
    channels: Map<Key, Channel>,
    key: Key,
    own: Pick<ChannelPorts, "dial" | "onUnknown">,
  ): Channel {
    const known = channels.get(key);
    if (known !== undefined) return known;
    if (channels.size >= CHANNELS_MAX) {
      for (const [other, { isIdle }] of channels) if (isIdle) channels.delete(other);
    }
    const { nowMs, random, onDropped } = this.#ports;
    const channel = new Channel({ ...own, nowMs, random, onDropped });
    channels.set(key, channel);
    return channel;
  }

  /** Opens a link to `member`, or, when it is "", to whoever answers at the seed's address. */
  async #dial(address: string, path: NodePath, member: MemberId | ""): Promise<void> {
    let objection: Objection | undefined;
    await this.#ports.dial(address, path, (link) => {
      objection = this.#objection(link, true);
      if (objection !== undefined) return this.#turnAway(link, objection);
      // The link is good for whom it reached, but not for what was to be said to `member`.
      if (member !== "" && link.remote.id !== member) objection = later(`is member ${link.remote.id} now`);
      return this.#open(link, member === "" ? this.#seedChannel(path, address) : undefined);
    });
    if (objection !== undefined) throw new CacheError(objection.code, `${address} ${objection.reason}`);
  }

  /** What speaks against using a link; `undefined` for nothing. */
  #objection(link: Link, isDialled: boolean): Objection | undefined {
    const { id, generation, genesisId, address } = link.remote;
    const self = this.#ports.self();
    if (this.#isClosed) return later("came while this node was stopping");
    if (!isMemberId(id)) return never("is not a node");
    if (id === self.id) {
      if (generation === self.generation) return never("is this node itself");
      this.#ports.onEvent({ type: "duplicateId", member: id, address });
      return never(`is another process with this node's name, ${id}: names must differ`);
    }
    if (self.genesisId === "" && !isDialled) return later("called before this node knew its cluster");
    if (genesisId === "" && isDialled) return later("does not know its cluster yet");
    if (self.genesisId !== "" && genesisId !== "" && genesisId !== self.genesisId) {
      return never(`belongs to another cluster (genesis ${genesisId}, here ${self.genesisId})`);
    }
    const current = this.#members[link.path as NodePath].get(id)?.link;
    if (current !== undefined && current.remote.generation > generation) {
      return later(`is an older process of ${id} than the one connected`);
    }
    return undefined;
  }

  #turnAway(link: Link, { reason }: Objection): LinkHandlers {
    this.#ports.trace("link turned away", { ...describe(link), reason });
    link.terminate(reason);
    return IGNORE;
  }

  #open(link: Link, seedChannel: Channel | undefined): LinkHandlers {
    const path = link.path as NodePath;
    const member = link.remote.id as MemberId;
    // Learnt before the link is used, so that all that follows is said as a node of that cluster.
    if (this.#ports.self().genesisId === "") {
      this.#ports.feed({ kind: "genesis", genesisId: link.remote.genesisId });
    }
    const channel = this.#memberChannel(path, member);
    const kept = channel.links.filter(({ remote }) => remote.generation === link.remote.generation);
    const kicked = channel.links.filter((other) => !kept.includes(other));
    kicked.push(...kept.slice(0, Math.max(0, kept.length - LINKS_MAX + 1)));
    for (const other of kicked) this.#cut(other, "replaced by a newer connection");
    this.#ports.trace("link opened", describe(link));
    const isFirst = channel.link === undefined;
    channel.add(link);
    seedChannel?.add(link);
    if (isFirst) this.#ports.feed({ kind: "link", member, path, isUp: true });
    channel.flush();
    seedChannel?.flush();
    return {
      onMessages: (messages) => this.#receive(link, messages),
      onClose: (reason) => {
        this.#ports.trace("link closed", { ...describe(link), reason });
        this.#forget(link);
      },
      onOversized: () => this.#ports.onDropped(1),
    };
  }

  #receive(link: Link, messages: readonly Message[]): void {
    const { feed } = this.#ports;
    const from = link.remote.id as MemberId;
    // The wire lets only messages of the link's path pass.
    if (link.path === "gossip") {
      const fromAddress = link.remote.address;
      for (const message of messages as readonly GossipMessage[]) {
        feed({ kind: "gossip", from, fromAddress, message });
      }
      return;
    }
    const taken = this.#isDraining ? this.#refuseForwards(link, messages) : (messages as PeerMessage[]);
    // What is not for the core comes one by one, so that it can be told apart.
    for (let start = 0; start < taken.length; ) {
      let end = start + 1;
      if (!isForShell(taken[start]!)) while (end < taken.length && !isForShell(taken[end]!)) end++;
      if (end === start + 1) feed({ kind: "peer", from, message: taken[start]! });
      else
        feed({
          kind: "peerBatch",
          from,
          messages: end - start === taken.length ? taken : taken.slice(start, end),
        });
      start = end;
    }
  }

  /** Returns the messages that are no forwarded requests. */
  #refuseForwards(link: Link, messages: readonly Message[]): readonly PeerMessage[] {
    return messages.filter((message): message is PeerMessage => {
      if (message.kind !== "forward") return true;
      const reply = this.#ports.refusal(message.request.id);
      link.send({ kind: "forwarded", id: message.id, reply });
      return false;
    });
  }

  #cut(link: Link, reason: string): void {
    this.#forget(link);
    link.terminate(reason);
  }

  /** Does nothing for a link that is forgotten already. */
  #forget(link: Link): void {
    const path = link.path as NodePath;
    const member = link.remote.id as MemberId;
    for (const seedChannel of this.#seeds[path].values()) seedChannel.remove(link);
    const channel = this.#members[path].get(member);
    if (channel?.remove(link) && channel.link === undefined) {
      this.#ports.feed({ kind: "link", member, path, isUp: false });
    }
  }
}

/** Whether the shell takes it, and not the core. */
function isForShell(message: PeerMessage): boolean {
  return message.kind === "secrets" || isForDoor(message);
}

/** Whether it is for this node's door, or for those who watch its store. */
export function isForDoor(message: PeerMessage): message is DoorMessage {
  const { kind } = message;
  return (
    kind === "doorAddress" ||
    kind === "publish" ||
    kind === "changed" ||
    kind === "watch" ||
    kind === "watching"
  );
}

/** Why a link is not used. Reads as "<address> <reason>". */
interface Objection {
  readonly code: "ERR_UNREACHABLE" | "ERR_PROTOCOL";
  readonly reason: string;
}

/** Trying again may help. */
function later(reason: string): Objection {
  return { code: "ERR_UNREACHABLE", reason };
}

/** Only a change of somebody's options helps. */
function never(reason: string): Objection {
  return { code: "ERR_PROTOCOL", reason };
}

function describe({ path, remote, remoteAddress }: Link): object {
  return { member: remote.id, path, remoteAddress };
}

const IGNORE: LinkHandlers = Object.freeze({ onMessages: () => {}, onClose: () => {} });
