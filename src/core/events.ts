// Everything worth logging, counting or telling. The core emits these; the server folds each one into a log line, a counter
// and the listeners of embedded nodes: one list, three uses. Values of entries and secrets never appear here.

import type { MemberId, RingId } from "../base/ids.ts";
import type { Liveness, RingState } from "./messages.ts";

export type NodeEvent =
  /** A member's liveness changed in this node's view. */
  | {
      readonly type: "memberLiveness";
      readonly member: MemberId;
      readonly liveness: Liveness;
      readonly incarnation: number;
      readonly by: MemberId | "";
    }
  | { readonly type: "memberRingState"; readonly member: MemberId; readonly ringState: RingState }
  | { readonly type: "memberAddress"; readonly member: MemberId; readonly address: string }
  /** A member has another weight or zone in the ring. */
  | {
      readonly type: "memberPlace";
      readonly member: MemberId;
      readonly zone: string;
      readonly weight: number;
    }
  /** Others suspected this node and it answered. */
  | { readonly type: "refuted"; readonly incarnation: number }
  /** Two live processes use one id. A human must act. */
  | { readonly type: "duplicateId"; readonly member: MemberId; readonly address: string }
  | { readonly type: "stalled"; readonly ms: number }
  | { readonly type: "genesis"; readonly genesisId: string; readonly isFounder: boolean }
  | { readonly type: "waitingForSeeds"; readonly seeds: readonly string[] }
  | {
      readonly type: "ringChanged";
      readonly ringId: RingId;
      readonly members: number;
      readonly slotsGained: number;
      readonly slotsLost: number;
    }
  | { readonly type: "peerReachable"; readonly member: MemberId; readonly isReachable: boolean }
  | { readonly type: "fillStarted"; readonly slots: number }
  | { readonly type: "fillFinished"; readonly slots: number; readonly entries: number; readonly ms: number }
  | { readonly type: "settled"; readonly ringId: RingId }
  /** A slot counts again although fewer sources than promised could be copied. */
  | { readonly type: "filledFromFew"; readonly slots: number }
  | { readonly type: "hintStored"; readonly target: MemberId }
  | { readonly type: "hintsReplayed"; readonly target: MemberId; readonly count: number }
  | {
      readonly type: "hintsDropped";
      readonly target: MemberId;
      readonly count: number;
      readonly reason: "overflow" | "expired" | "gone";
    }
  | { readonly type: "caughtUp"; readonly ms: number }
  | { readonly type: "readRepaired"; readonly replicas: number }
  | { readonly type: "writeReissued" }
  | { readonly type: "writeDeduplicated" }
  | { readonly type: "noQuorum"; readonly write: boolean }
  | { readonly type: "clockOff"; readonly skewMs: number; readonly isOff: boolean }
  | { readonly type: "versionRefused"; readonly member: MemberId; readonly aheadMs: number }
  /** From now on clients' requests are refused, or are not any more. */
  | { readonly type: "overload"; readonly isOverloaded: boolean; readonly waitedMs: number }
  /** A member said what no member in order can say; it was refused. At most one a second for each member. */
  | {
      readonly type: "forged";
      readonly member: MemberId;
      readonly what: "version" | "record" | "members" | "owner";
    }
  /** The member is not heard for so long. */
  | { readonly type: "quarantined"; readonly member: MemberId; readonly ms: number }
  | { readonly type: "evicting"; readonly member: MemberId }
  | { readonly type: "leaving" }
  | { readonly type: "released" };
