// A node's answer to "how are you, and how is the cluster as you see it": the body of /status, the members table, and the
// verdicts behind /readyz and /safez. Plain JSON.

import type { MemberId, RingId } from "../base/ids.ts";
import type { Liveness, RingState } from "./messages.ts";
import type { StoreStats } from "./store/store.ts";

export interface MemberStatus {
  readonly id: MemberId;
  readonly address: string;
  readonly zone: string;
  readonly weight: number;
  readonly liveness: Liveness;
  readonly ringState: RingState;
  /** Whether this node's data link to it works now; true for itself. */
  readonly isReachable: boolean;
  /** Whether all its slots are filled for the current ring. */
  readonly isSettled: boolean;
  /** Slots it owns, and slots it keeps a copy of (owned ones included). */
  readonly slotsOwned: number;
  readonly slotsReplicated: number;
  /** Owned slots over all slots, 0 to 1; and what its weight entitles it to. */
  readonly share: number;
  readonly shareIdeal: number;
}

export interface NodeStatus {
  readonly id: MemberId;
  readonly address: string;
  readonly clusterName: string;
  readonly genesisId: string;
  readonly ringId: RingId | "";
  readonly replicas: number;
  readonly uptimeMs: number;
  /** In the ring and answering. */
  readonly isReady: boolean;
  /** Every slot has all its copies as this node sees it: losing any one node now loses nothing. */
  readonly isSafe: boolean;
  /** One line for people: `SAFE: ...` or what is under-replicated. */
  readonly verdict: string;
  readonly members: readonly MemberStatus[];
  /** Slots of this node that are still being filled. */
  readonly slotsWarming: number;
  /** Slots of which some copy is missing, as this node sees it. */
  readonly slotsUnderReplicated: number;
  readonly hints: { readonly count: number; readonly bytes: number };
  readonly pending: number;
  readonly clockSkewMs: number;
  readonly store: StoreStats;
}
