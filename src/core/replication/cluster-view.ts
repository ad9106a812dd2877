// The little that replication needs to know of the cluster: who this node is, the ring, and who can be talked to now.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Ring } from "../ring/ring.ts";

/** A live view: its answers change from step to step. */
export interface ClusterView {
  readonly self: MemberId;
  /** `undefined` until the node knows of a ring. */
  readonly ring: Ring | undefined;
  /** The ring before it; `undefined` when this node knew none. */
  readonly previousRing: Ring | undefined;
  /** Whether every member of the ring said that it goes by it: under the ring before nothing is acknowledged any more. */
  readonly isSettled: boolean;
  /** Not dead, and its data link answers. Always true for this node itself. */
  isUsable(member: MemberId): boolean;
  /** Whether the member may count for slots: in the ring and not warming after a start. */
  mayCount(member: MemberId): boolean;
  /** Members that will keep the slot under the planned ring and do not now: they get a copy of what is written meanwhile. */
  newcomers(slot: Slot): readonly MemberId[];
  /** Whether the member can still come back to this ring: false once it left, was evicted or is unknown. */
  isMember(member: MemberId): boolean;
  /** Whether the member has been dead for so long that the planned ring is without it. */
  isCondemned(member: MemberId): boolean;
  /** Whether the member left, and may not have ended yet: what others knew of it when it did may be news to it. */
  hasLeft(member: MemberId): boolean;
  /** Translates an instant of ours to the member's monotonic clock, early rather than late; 0 while unknown. */
  toPeerMono(member: MemberId, monoMs: number): number;
}

/** The beginning of an operation, translated likewise. 1, which stands for any instant before this process began, stays 1. */
export function toPeerBegunAt(view: ClusterView, member: MemberId, begunAt: number): number {
  return begunAt <= 1 ? begunAt : view.toPeerMono(member, begunAt);
}

/** Replicas that make a majority of a preference list. */
export function majorityOf(replicas: number): number {
  return Math.floor(replicas / 2) + 1;
}

/** N - W + 1: so many members of a preference list that one of them holds any acknowledged write. */
export function sourcesNeeded(replicas: number): number {
  return replicas - majorityOf(replicas) + 1;
}
