// Everything that a swarm run draws from its seed, as data: it can be printed, shrunk and repeated without its seed's draws.
// Each concern has a generator of its own, so that taking a fault, a caller or a node away reshuffles nothing else.

import type { MembershipOptions, ReplicationOptions } from "../../src/core/options.ts";
import { drawFaults, drawNetwork, type Fault, scheduleFaults } from "./faults.ts";
import { finish } from "./judge.ts";
import { drawsLookers } from "./lookers.ts";
import type { NetworkProfile } from "./network.ts";
import { prngFor } from "./randomness.ts";
import type { WorldMaker } from "./run-seed.ts";
import { WORKLOAD, type WorkloadOptions } from "./workload.ts";

export interface SwarmPlan {
  readonly nodes: number;
  readonly clients: number;
  readonly network: Partial<NetworkProfile>;
  readonly membership: Partial<MembershipOptions>;
  readonly replication: Partial<ReplicationOptions>;
  readonly workload: WorkloadOptions;
  /** Store budget of each node. Small ones evict all the time. */
  readonly storeBytesMax?: number;
  readonly tombstoneShare?: number;
  /** How long faults go on. */
  readonly durationMs: number;
  readonly faults: readonly Fault[];
  /** Whether callers walk over all keys and change times to live. */
  readonly hasLookers?: boolean;
}

/** Rare branches are made common: few hints, few operations remembered, short queues. */
const TIGHT: Partial<ReplicationOptions> = {
  hintsPerTargetMax: 3,
  hintsInFlightMax: 2,
};

/** In half of the runs some gets are of several keys. */
export function drawBulkReads(seed: number): number {
  return prngFor(seed, "bulk reads").chance(0.5) ? 0.3 : 0;
}

/** Draws the plan of one seed: some 60 simulated seconds in all, 50 of them with faults. */
export function drawPlan(seed: number): SwarmPlan {
  const chance = prngFor(seed, "swarm");
  const durationMs = 20_000 + chance.below(50_000);
  const callers = 2 + chance.below(6);
  return {
    nodes: chance.pick([3, 4, 5, 5])!,
    clients: 2,
    network: drawNetwork(seed),
    membership: chance.chance(0.3) ? { deadGraceMs: 4_000, evictionSpacingMs: 1_000 } : {},
    replication: chance.chance(0.3) ? TIGHT : {},
    workload: {
      ...WORKLOAD,
      callers,
      keys: chance.pick([1, 4, 20])!,
      pauseMs: chance.pick([3, 10, 40])!,
      burst: 12,
      restMs: 250 * callers,
      timeoutMs: chance.pick([500, 2000])!,
      weights: { get: 5, set: 4, delete: 1, increment: 1, ownIncrement: 2, ttl: 1, ifAbsent: 1 },
      bulkReads: drawBulkReads(seed),
    },
    durationMs,
    faults: drawFaults(seed, durationMs),
    hasLookers: drawsLookers(seed),
  };
}

/** Draws a plan with a dense load for a short time: many operations of one key are under way at any instant. */
export function drawDensePlan(seed: number): SwarmPlan {
  const chance = prngFor(seed, "scenario");
  const isTight = chance.chance(0.3);
  const nodes = chance.pick([3, 4, 5, 5])!;
  const workload: WorkloadOptions = {
    ...WORKLOAD,
    callers: 2 + chance.below(7),
    keys: chance.pick([1, 4, 20])!,
    pauseMs: chance.pick([5, 20, 80])!,
    timeoutMs: chance.pick([500, 2000])!,
    weights: { get: 5, set: 4, delete: 1, increment: 1, ownIncrement: 2, ttl: 1, ifAbsent: 1 },
    bulkReads: drawBulkReads(seed),
  };
  const durationMs = 8000 + chance.below(12_000);
  return {
    nodes,
    clients: 2,
    network: drawNetwork(seed),
    membership: {},
    replication: isTight ? TIGHT : {},
    workload,
    durationMs,
    faults: drawFaults(seed, durationMs),
  };
}

/** Draws a swarm whose stores are far too small for its keys: every node evicts all the time, and each something else. */
export function drawPressurePlan(seed: number): SwarmPlan {
  const plan = drawPlan(seed);
  const chance = prngFor(seed, "pressure");
  const keys = chance.pick([20, 60, 200])!;
  const weights = { get: 5, set: 5, delete: 1, ownIncrement: 1, ttl: 1 };
  return {
    ...plan,
    durationMs: plan.durationMs / 2,
    faults: plan.faults.filter(({ atMs }) => atMs < plan.durationMs / 2),
    workload: { ...plan.workload, keys, weights, restMs: 100 * plan.workload.callers },
    // An entry counts as some 900 bytes.
    storeBytesMax: 1_000 * Math.round(keys * (0.3 + 0.5 * chance.float())),
  };
}

/** Draws a dense swarm whose keys share one slot and whose tombstones are dropped at once: its floor says all that is left of them. */
export function drawForgetfulPlan(seed: number): SwarmPlan {
  const plan = drawDensePlan(seed);
  const weights = { get: 5, set: 4, delete: 3 };
  return { ...plan, tombstoneShare: 0, workload: { ...plan.workload, name: "{w}", keys: 6, weights } };
}

/** Draws a dense swarm in which everything is removed now and then. */
export function drawClearingPlan(seed: number): SwarmPlan {
  const plan = drawDensePlan(seed);
  return { ...plan, workload: { ...plan.workload, weights: { get: 6, set: 5, delete: 1, clear: 0.5 } } };
}

/** A safety phase with the plan's faults, then a liveness phase: they stop, and the cluster must come to rest. */
export function runPlan(make: WorldMaker, plan: SwarmPlan): void {
  const { network, membership, replication, durationMs } = plan;
  const { storeBytesMax, tombstoneShare } = plan;
  const world = make({
    network: { ...network, lossChance: 0 },
    node: { membership, replication },
    ...(storeBytesMax === undefined ? {} : { storeBytesMax }),
    ...(tombstoneShare === undefined ? {} : { tombstoneShare }),
  });
  world.bootCluster(plan.nodes);
  for (let count = 1; count <= plan.clients; count++) world.startClient(`c${count}`);
  world.startWorkload(plan.workload);
  if (plan.hasLookers === true) world.startLookers();
  world.network.profile = { ...world.network.profile, ...network };
  const end = scheduleFaults(world, plan.faults);
  world.run(durationMs);
  end();
  world.drainWorkloads();
  // Long enough for every fault under way to end by itself: the dead come back.
  world.run(9000);
  const isRoomy = storeBytesMax === undefined && tombstoneShare === undefined;
  finish(world, isRoomy ? {} : { isEvicting: true, isOwnCounterExact: false });
}
