// A node's answer to "how are you, and how is the cluster as you see it": the body of /status, the members table, and the
// verdicts behind /readyz and /safez. Plain JSON.

import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../base/ids.ts";
import type { ChangeStatus } from "./change-status.ts";
import { isInRing, type Liveness, type MemberRecord, type RingState } from "./messages.ts";
import type { NodeCoreOptions } from "./options.ts";
import type { CopyCounts } from "./replication/copy.ts";
import type { SlotStates } from "./replication/slot-states.ts";
import type { Ring } from "./ring/ring.ts";
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
  /** The change of the ring that is under way. */
  readonly change: ChangeStatus;
  /** What this node copied from others for ring changes, restarts and comparisons, since it started. */
  readonly copied: Readonly<CopyCounts>;
  /** Slots of this node that are still being filled. */
  readonly slotsWarming: number;
  /** Slots of which some copy is missing, as this node sees it. */
  readonly slotsUnderReplicated: number;
  readonly hints: { readonly count: number; readonly bytes: number };
  readonly pending: number;
  readonly clockSkewMs: number;
  readonly store: StoreStats;
  /** Of a node that asks for a secret. The core knows nothing of it. */
  readonly secrets?: SecretsStatus;
}

/** Which secrets are accepted, by fingerprint, and which members have others than most. */
export interface SecretsStatus {
  readonly inUse: string;
  /** The one in use first. */
  readonly accepted: readonly string[];
  /** In the order of ids. */
  readonly behind: readonly { readonly member: MemberId; readonly difference: string }[];
}

/** What a status is made from. */
export interface StatusInput {
  readonly options: NodeCoreOptions;
  readonly genesisId: string;
  readonly ring: Ring | undefined;
  readonly records: readonly MemberRecord[];
  readonly uptimeMs: number;
  readonly isReachable: (member: MemberId) => boolean;
  readonly change: ChangeStatus;
  readonly copied: CopyCounts;
  readonly slots: SlotStates;
  readonly slotsUnderReplicated: number;
  readonly hints: { readonly count: number; readonly bytes: number };
  readonly isBehind: boolean;
  readonly pending: number;
  readonly clockSkewMs: number;
  readonly store: StoreStats;
}

/** Makes the status. */
export function nodeStatus(input: StatusInput): NodeStatus {
  const { options, ring, records, slots } = input;
  const self = records.find(({ id }) => id === options.id);
  const members = records.map((record) => memberStatus(record, input));
  const { slotsUnderReplicated } = input;
  const copies = ring === undefined ? 0 : Math.min(options.replicas, ring.members.length);
  const isComplete =
    slotsUnderReplicated === 0 && slots.doubtfulCount === 0 && input.hints.count === 0 && !input.isBehind;
  const isSafe = copies > 1 && isComplete;
  return {
    id: options.id,
    address: options.address,
    clusterName: options.clusterName,
    genesisId: input.genesisId,
    ringId: ring?.id ?? "",
    replicas: options.replicas,
    uptimeMs: Math.round(input.uptimeMs),
    isReady: self?.ringState === "active",
    isSafe,
    verdict: verdict({
      isJoining: self?.ringState === "joining",
      copies,
      isSafe,
      slotsUnderReplicated,
      hints: input.hints.count,
      members,
      replicas: options.replicas,
    }),
    members,
    change: input.change,
    copied: { ...input.copied },
    slotsWarming: slots.warmingCount,
    slotsUnderReplicated,
    hints: input.hints,
    pending: input.pending,
    clockSkewMs: Math.round(input.clockSkewMs),
    store: input.store,
  };
}

function memberStatus(record: MemberRecord, { ring, options, isReachable }: StatusInput): MemberStatus {
  const { id, address, zone, weight, liveness, ringState } = record;
  const isMember = ring?.has(id) === true;
  const slotsOwned = isMember ? ring.slotsOwnedBy(id) : 0;
  return {
    id,
    address,
    zone,
    weight,
    liveness,
    ringState,
    isReachable: id === options.id || isReachable(id),
    isSettled: ring !== undefined && record.settledRingId === ring.id,
    slotsOwned,
    slotsReplicated: isMember ? ring.slotsReplicatedBy(id) : 0,
    share: slotsOwned / SLOT_COUNT,
    shareIdeal: isMember ? ring.idealShare(id) : 0,
  };
}

/** Slots of which some replica is dead, or has not filled its slots for this ring. Costs a walk over the slots. */
export function countUnderReplicated(
  ring: Ring | undefined,
  { records, slots, self }: { records: readonly MemberRecord[]; slots: SlotStates; self: MemberId },
): number {
  if (ring === undefined) return SLOT_COUNT;
  const lacking = new Set<MemberId>();
  for (const { id, liveness, settledRingId } of records) {
    if (ring.has(id) && id !== self && (liveness !== "alive" || settledRingId !== ring.id)) lacking.add(id);
  }
  if (lacking.size === 0) return slots.warmingCount;
  // Rings share one list object among slots.
  const isLackingByList = new Map<readonly MemberId[], boolean>();
  let count = 0;
  for (let index = 0; index < SLOT_COUNT; index++) {
    const slot = index as Slot;
    const list = ring.preferenceList(slot);
    let isLacking = isLackingByList.get(list);
    if (isLacking === undefined) {
      isLacking = list.some((member) => lacking.has(member));
      isLackingByList.set(list, isLacking);
    }
    if (isLacking || slots.isWarming(slot)) count++;
  }
  return count;
}

function verdict(facts: {
  readonly isJoining: boolean;
  readonly copies: number;
  readonly isSafe: boolean;
  readonly slotsUnderReplicated: number;
  readonly hints: number;
  readonly members: readonly MemberStatus[];
  readonly replicas: number;
}): string {
  const { copies, isSafe, slotsUnderReplicated, hints, members, replicas } = facts;
  if (copies === 0) return "WAITING: this node is not in a ring yet";
  const dead = members.filter(({ ringState, liveness }) => isInRing(ringState) && liveness === "dead");
  if (facts.isJoining && dead.length > 0)
    return `WAITING to join: nobody does while a member is dead and not evicted (${dead.map(({ id }) => id).join(", ")})`;
  if (isSafe) {
    const note = copies < replicas ? ` (${replicas} wanted, add nodes)` : "";
    return `SAFE: every key has ${copies} copies${note}`;
  }
  if (copies === 1)
    return `UNSAFE: every key has 1 copy, ${replicas === 1 ? "as replicas says" : "add nodes"}`;
  const reasons = members
    .filter(({ ringState }) => isInRing(ringState))
    .filter(({ liveness, isSettled }) => liveness !== "alive" || !isSettled)
    .map(({ id, liveness }) => `${id} is ${liveness === "alive" ? "filling its slots" : liveness}`);
  if (hints > 0) reasons.push(`${hints} writes wait to be handed over`);
  if (slotsUnderReplicated === 0)
    return `DEGRADED: copies are being compared${reasons.length > 0 ? `; ${reasons.join(", ")}` : ""}`;
  return `DEGRADED: ${slotsUnderReplicated} of ${SLOT_COUNT} slots lack a copy; ${reasons.join(", ")}`;
}
