// What a node's core is told at birth, with the defaults. `resolveNodeCoreOptions` is the only place that checks them.

import { invalidOption } from "../base/errors.ts";
import { isMemberId, isZone, type MemberId } from "../base/ids.ts";
import { READ_MODES, type ReadMode, WRITE_MODES, type WriteMode } from "./messages.ts";

/** Timing and limits of failure detection (see `membership/membership.ts` for the formulas). */
export interface MembershipOptions {
  /** Milliseconds between probes. @default 500. Lower finds deaths sooner and accuses slow members more often. */
  readonly probeIntervalMs: number;
  /** Milliseconds for a direct answer; less than the interval. @default 200 */
  readonly probeTimeoutMs: number;
  /** Members asked to probe indirectly. @default 3 */
  readonly indirectProbes: number;
  /** Shortest suspicion is mult x max(1, log10 n) x probe interval. @default 4 */
  readonly suspicionMult: number;
  /** Longest suspicion in shortest ones. @default 6 */
  readonly suspicionMaxMult: number;
  /** Local health runs from 0 to this less one; it stretches the probe interval. @default 8 */
  readonly awarenessMax: number;
  /** Milliseconds between gossip rounds. @default 100 */
  readonly gossipIntervalMs: number;
  /** Members told per round. @default 3 */
  readonly gossipNodes: number;
  /** Each update is sent mult x ceil(log10(n + 1)) times. @default 4 */
  readonly retransmitMult: number;
  /** Milliseconds between full syncs with a random member, longer above 32 members. @default 15000 */
  readonly syncIntervalMs: number;
  /** Milliseconds between attempts to reach a dead member or an unknown seed. @default 2000 */
  readonly healIntervalMs: number;
  /** Milliseconds a member must be dead before it may be evicted. @default 60000 */
  readonly deadGraceMs: number;
  /**
   * Milliseconds for which a node goes on with quorum operations while less than half of the ring answers it; at most `deadGraceMs`
   * (view-lease.ts). Lower refuses callers sooner in a cut; below 1000 heartbeats that come late do it too.
   * @default 5000, or half of `deadGraceMs` where that is less
   */
  readonly leaseMs: number;
  /** Milliseconds between two batches of evictions. @default 30000 */
  readonly evictionSpacingMs: number;
}

/** Everything a {@link NodeCore} is configured with; nothing optional is left. */
export interface NodeCoreOptions {
  readonly id: MemberId;
  /** `host:port` that others reach this node at. */
  readonly address: string;
  readonly zone: string;
  /** Integer 1 to 64. @default 1 */
  readonly weight: number;
  /** Greater than at any earlier start of the same id: milliseconds since 1970 at start. */
  readonly generation: number;
  /** Addresses of other nodes. Empty: this node founds a cluster. */
  readonly seeds: readonly string[];
  readonly clusterName: string;
  /** A founder's new random id; "" when it is to be learnt from a seed. */
  readonly genesisId: string;
  /** Copies of each key, 1 to 7; the same on all nodes. @default 3 */
  readonly replicas: number;
  readonly defaultWrite: WriteMode;
  readonly defaultRead: ReadMode;
  /** @default 8 MiB */
  readonly valueBytesMax: number;
  readonly membership: MembershipOptions;
  readonly replication: ReplicationOptions;
}

/** Timing and limits of replication. */
export interface ReplicationOptions {
  /** A replica that has not answered by then gets a hint; the write goes on without it. @default 150 ms */
  readonly replicaTimeoutMs: number;
  /** Longest time a node works for one request; its sender tries elsewhere long before. @default 2000 ms */
  readonly requestMsMax: number;
  /** Requests under way on this node; more are refused with ERR_OVERLOADED. @default 50000 */
  readonly pendingMax: number;
  /** Remote clocks further ahead than this are refused. @default 500 ms */
  readonly clockSkewMsMax: number;
  /** @default 200000 hints for one target; past it the slot is marked for a sync instead */
  readonly hintsPerTargetMax: number;
  /** @default 64 MiB for one target, four times that for the node */
  readonly hintBytesPerTargetMax: number;
  /** @default 10 minutes; older hints turn into a sync of their slot */
  readonly hintWindowMs: number;
  /** Unacknowledged hints on their way to one target. @default 64 */
  readonly hintsInFlightMax: number;
  /** Operations remembered to recognise a retry. @default 100000; past it the oldest are forgotten */
  readonly operationsMax: number;
  /** Silence on a peer link after which it is dropped, in heartbeats of 250 ms. @default 2 */
  readonly missedHeartbeatsMax: number;
}

export const MEMBERSHIP_DEFAULTS: MembershipOptions = Object.freeze({
  probeIntervalMs: 500,
  probeTimeoutMs: 200,
  indirectProbes: 3,
  suspicionMult: 4,
  suspicionMaxMult: 6,
  awarenessMax: 8,
  gossipIntervalMs: 100,
  gossipNodes: 3,
  retransmitMult: 4,
  syncIntervalMs: 15_000,
  healIntervalMs: 2_000,
  deadGraceMs: 60_000,
  leaseMs: 5_000,
  evictionSpacingMs: 30_000,
});

export const REPLICATION_DEFAULTS: ReplicationOptions = Object.freeze({
  replicaTimeoutMs: 150,
  requestMsMax: 2_000,
  pendingMax: 50_000,
  clockSkewMsMax: 500,
  hintsPerTargetMax: 200_000,
  hintBytesPerTargetMax: 64 * 1024 * 1024,
  hintWindowMs: 600_000,
  hintsInFlightMax: 64,
  operationsMax: 100_000,
  missedHeartbeatsMax: 2,
});

/** What {@link resolveNodeCoreOptions} takes: identity is required, the rest has defaults. */
export interface NodeCoreInput
  extends Partial<Omit<NodeCoreOptions, "id" | "address" | "generation" | "membership" | "replication">>,
    Pick<NodeCoreOptions, "address" | "generation"> {
  readonly id: string;
  readonly membership?: Partial<MembershipOptions>;
  readonly replication?: Partial<ReplicationOptions>;
}

/**
 * Fills defaults and checks every field, then pairs.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the field and the value received
 */
export function resolveNodeCoreOptions(input: NodeCoreInput): NodeCoreOptions {
  if (!isMemberId(input.id)) {
    throw invalidOption("name", "1 to 64 characters of A-Z a-z 0-9 . _ -", input.id);
  }
  const options: NodeCoreOptions = {
    id: input.id,
    address: input.address,
    zone: input.zone ?? "",
    weight: input.weight ?? 1,
    generation: input.generation,
    seeds: Object.freeze([...(input.seeds ?? [])]),
    clusterName: input.clusterName ?? "ringhold",
    genesisId: input.genesisId ?? "",
    replicas: input.replicas ?? 3,
    defaultWrite: input.defaultWrite ?? "quorum",
    defaultRead: input.defaultRead ?? "one",
    valueBytesMax: input.valueBytesMax ?? 8 * 1024 * 1024,
    membership: resolveMembership(input.membership ?? {}),
    replication: Object.freeze({ ...REPLICATION_DEFAULTS, ...input.replication }),
  };
  checkInteger("weight", options.weight, 1, 64);
  checkInteger("replicas", options.replicas, 1, 7);
  checkInteger("generation", options.generation, 1, Number.MAX_SAFE_INTEGER);
  checkInteger("valueBytesMax", options.valueBytesMax, 1, 256 * 1024 * 1024);
  checkOneOf("write", options.defaultWrite, WRITE_MODES);
  checkOneOf("read", options.defaultRead, READ_MODES);
  if (!isZone(options.zone)) {
    throw invalidOption("zone", "at most 64 characters of A-Z a-z 0-9 . _ -", options.zone);
  }
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(options.clusterName)) {
    throw invalidOption("cluster", "1 to 64 characters of A-Z a-z 0-9 . _ -", options.clusterName);
  }
  for (const [name, value] of [
    ...Object.entries(options.membership),
    ...Object.entries(options.replication),
  ]) {
    checkInteger(name, value, 1, Number.MAX_SAFE_INTEGER);
  }
  if (options.membership.probeTimeoutMs >= options.membership.probeIntervalMs) {
    throw invalidOption("probeTimeoutMs", "less than probeIntervalMs", options.membership.probeTimeoutMs);
  }
  const { leaseMs, deadGraceMs } = options.membership;
  if (leaseMs > deadGraceMs) throw invalidOption("leaseMs", "at most deadGraceMs", leaseMs);
  return Object.freeze(options);
}

function resolveMembership(input: Partial<MembershipOptions>): MembershipOptions {
  const { deadGraceMs = MEMBERSHIP_DEFAULTS.deadGraceMs } = input;
  const leaseMs = Math.min(MEMBERSHIP_DEFAULTS.leaseMs, Math.ceil(deadGraceMs / 2));
  return Object.freeze({ ...MEMBERSHIP_DEFAULTS, leaseMs, ...input });
}

function checkInteger(name: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw invalidOption(name, `an integer from ${min} to ${max}`, value);
  }
}

function checkOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw invalidOption(name, `one of ${allowed.join(", ")}`, value);
}
