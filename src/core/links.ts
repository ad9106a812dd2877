// Heartbeats on the data links: who answers right now, and how far apart the clocks are.
//
// A paused or powered-off host sends no FIN, and TCP alone takes seconds to find out after a cut. So every member that is not
// dead is pinged each 250 ms; one that has been silent for two pings and a half counts as unreachable at once, and its
// connection is dropped and dialled anew. That only steers routing: whether a member is dead is for membership to say.
//
// Pongs carry the other side's clocks. The offset kept for its monotonic clock is the largest of (its time - our time on
// receipt) over recent pongs: the reply took time to travel, so the true offset is never smaller, and an instant translated
// with it comes out early, never late. A restart may go unnoticed (a host that lost power and is back says nothing): samples that
// the offset known cannot have given are another process's. Wall clocks give the skew: the lower median over the cluster, this node included.

import type { MemberId } from "../base/ids.ts";
import type { Now } from "./machine.ts";
import type { Pong } from "./messages.ts";
import type { Outbox } from "./replication/outbox.ts";

/** Milliseconds between heartbeats. Half would double idle traffic; double would miss the silence bounds callers are promised. */
export const HEARTBEAT_MS = 250;
/** In rings of so many members clocks are compared; in smaller ones nobody can say which is wrong, and each follows its own. */
export const CLOCKS_MIN = 3;
/** A clock sample older than this no longer counts: rates differ by up to 200 ppm, 6 ms in this time. */
const SAMPLE_LIFE_MS = 30_000;
/** By this much the rates above can move an offset while it is remembered, and some to spare. */
const DRIFT_MS_MAX = 20;
/** A pong that took longer says little about the other side's wall clock: it only rules out what cannot be. */
const TRIP_MS_MAX = 50;
/** An unreachable member is asked to be redialled no more often than this. */
const REDIAL_SPACING_MS = 500;

interface Peer {
  isReachable: boolean;
  isUp: boolean;
  /** When the connection came up: until it had time to answer it is not silent. */
  upMs: number;
  lastHeardMs: number;
  /** When the latest ping that it answered was sent. */
  answeredMs: number;
  lastPingMs: number;
  lastRedialMs: number;
  /** Samples of two half-lives: `older` is dropped when `sinceMs` is a half-life ago. */
  offset: { current: number; older: number; sinceMs: number };
  wallSkewMs: number | undefined;
}

/** Liveness and clocks of the other members' data links. */
export class PeerLinks {
  readonly #peers = new Map<MemberId, Peer>();
  readonly #silenceMsMax: number;
  readonly #outbox: Outbox;
  #nextPingMs = 0;

  /** @param missedMax Heartbeats that may be missed before a member counts as unreachable. */
  constructor(missedMax: number, outbox: Outbox) {
    this.#silenceMsMax = HEARTBEAT_MS * (missedMax + 0.5);
    this.#outbox = outbox;
  }

  /** Members that are pinged: all known ones that are not dead. */
  get count(): number {
    return this.#peers.size;
  }

  /** Whether the member's data link answered lately. */
  isReachable(member: MemberId): boolean {
    return this.#peers.get(member)?.isReachable ?? false;
  }

  /** When the latest ping that the member answered was sent, in our monotonic clock; minus infinity while it answered none. */
  answeredMs(member: MemberId): number {
    return this.#peers.get(member)?.answeredMs ?? Number.NEGATIVE_INFINITY;
  }

  /** The members worth pinging: all known ones that are not dead. Forgets the others. */
  track(members: readonly MemberId[]): void {
    const wanted = new Set(members);
    for (const id of this.#peers.keys()) if (!wanted.has(id)) this.#peers.delete(id);
    for (const id of members) if (!this.#peers.has(id)) this.#peers.set(id, newPeer());
  }

  /** Any message from the member shows that its link works. Returns whether it has just become reachable. */
  heard(member: MemberId, now: Now): boolean {
    const peer = this.#peers.get(member);
    if (peer === undefined) return false;
    peer.lastHeardMs = now.monoMs;
    if (peer.isReachable) return false;
    this.#setReachable(member, peer, true);
    return true;
  }

  pong(member: MemberId, pong: Pong, now: Now): void {
    const peer = this.#peers.get(member);
    if (peer === undefined) return;
    peer.answeredMs = Math.max(peer.answeredMs, Math.min(pong.sentMs, now.monoMs));
    const sample = pong.monoMs - now.monoMs;
    const tripMs = Math.max(0, now.monoMs - pong.sentMs);
    // The true offset is between the sample and a trip more: what was known is not this process's.
    if (largestOf(peer.offset) > sample + tripMs + DRIFT_MS_MAX) peer.offset = noOffset();
    if (now.monoMs - peer.offset.sinceMs > SAMPLE_LIFE_MS / 2) {
      peer.offset = { current: sample, older: peer.offset.current, sinceMs: now.monoMs };
    } else {
      peer.offset.current = Math.max(peer.offset.current, sample);
    }
    // The other clock shows at least this much more than ours, and at most a trip more than that.
    const leastMs = pong.wallMs - now.wallMs;
    const known = peer.wallSkewMs;
    if (tripMs <= TRIP_MS_MAX || known === undefined) peer.wallSkewMs = leastMs + tripMs / 2;
    else peer.wallSkewMs = Math.min(Math.max(known, leastMs), leastMs + tripMs);
  }

  /** The member is another process now: what is known of the clock of the one before is worth nothing. */
  restarted(member: MemberId): void {
    const peer = this.#peers.get(member);
    if (peer !== undefined) peer.offset = noOffset();
  }

  /** This node's wall clock was set: what was measured against it before says nothing any more. */
  wallClockSet(): void {
    for (const peer of this.#peers.values()) peer.wallSkewMs = undefined;
  }

  /** A connection came or went. Returns whether the member has just become unreachable. */
  link(member: MemberId, isUp: boolean, now: Now): boolean {
    const peer = this.#peers.get(member);
    if (peer === undefined) return false;
    peer.isUp = isUp;
    if (isUp) {
      peer.upMs = now.monoMs;
      this.#ping(member, peer, now);
      return false;
    }
    // Its offset may be that of a process that is gone.
    peer.offset = noOffset();
    if (!peer.isReachable) return false;
    this.#setReachable(member, peer, false);
    return true;
  }

  /** Translates an instant of ours to the member's monotonic clock, early rather than late; 0 while unknown. */
  toPeerMono(member: MemberId, monoMs: number): number {
    const offset = this.#peers.get(member)?.offset;
    if (offset === undefined) return 0;
    const largest = largestOf(offset);
    return largest === Number.NEGATIVE_INFINITY ? 0 : Math.max(1, monoMs + largest);
  }

  /**
   * What to add to this node's wall clock to agree with the cluster: the lower median over reachable members and itself;
   * `undefined` with fewer than three clocks, of which nobody can say which is wrong.
   */
  clusterSkewMs(): number | undefined {
    const skews = [0];
    for (const peer of this.#peers.values()) {
      if (peer.isReachable && peer.wallSkewMs !== undefined) skews.push(peer.wallSkewMs);
    }
    if (skews.length < CLOCKS_MIN) return undefined;
    skews.sort((a, b) => a - b);
    return skews[Math.floor((skews.length - 1) / 2)]!;
  }

  /** Sends due pings. Returns the members that have just become unreachable. */
  tick(now: Now): readonly MemberId[] {
    if (now.monoMs < this.#nextPingMs) return [];
    this.#nextPingMs = now.monoMs + HEARTBEAT_MS;
    const lost: MemberId[] = [];
    for (const [member, peer] of this.#peers) {
      const isSilent = now.monoMs - peer.lastHeardMs > this.#silenceMsMax;
      if (isSilent && peer.isReachable) {
        this.#setReachable(member, peer, false);
        lost.push(member);
      }
      if (isSilent && peer.isUp && now.monoMs - peer.upMs > this.#silenceMsMax)
        this.#maybeRedial(member, peer, now);
      this.#ping(member, peer, now);
    }
    return lost;
  }

  /** After a stall of this process the silence was ours: everybody gets a fresh start. */
  stalled(now: Now): void {
    for (const peer of this.#peers.values()) if (peer.isReachable) peer.lastHeardMs = now.monoMs;
    this.#nextPingMs = now.monoMs;
  }

  deadline(): number {
    return this.#peers.size === 0 ? Number.POSITIVE_INFINITY : this.#nextPingMs;
  }

  #ping(member: MemberId, peer: Peer, now: Now): void {
    peer.lastPingMs = now.monoMs;
    this.#outbox.peer(member, { kind: "ping", sentMs: now.monoMs });
  }

  #maybeRedial(member: MemberId, peer: Peer, now: Now): void {
    if (now.monoMs - peer.lastRedialMs < REDIAL_SPACING_MS) return;
    peer.lastRedialMs = now.monoMs;
    this.#outbox.effects.push({ kind: "redial", member, path: "peer" });
  }

  #setReachable(member: MemberId, peer: Peer, isReachable: boolean): void {
    peer.isReachable = isReachable;
    this.#outbox.event({ type: "peerReachable", member, isReachable });
  }
}

function largestOf({ current, older }: Peer["offset"]): number {
  return Math.max(current, older);
}

function noOffset(): Peer["offset"] {
  return {
    current: Number.NEGATIVE_INFINITY,
    older: Number.NEGATIVE_INFINITY,
    sinceMs: Number.NEGATIVE_INFINITY,
  };
}

function newPeer(): Peer {
  return {
    isReachable: false,
    isUp: false,
    upMs: Number.NEGATIVE_INFINITY,
    lastHeardMs: Number.NEGATIVE_INFINITY,
    answeredMs: Number.NEGATIVE_INFINITY,
    lastPingMs: Number.NEGATIVE_INFINITY,
    lastRedialMs: Number.NEGATIVE_INFINITY,
    offset: noOffset(),
    wallSkewMs: undefined,
  };
}
