// The end of a run: faults stop, the cluster must come to rest within a bound, its replicas must agree, every key is read once
// more, and then the whole history is judged.

import { findDivergence } from "./checkers/convergence.ts";
import { checkCounter } from "./checkers/counters.ts";
import {
  checkLinearizable,
  checkNoExpiredReads,
  checkNoPhantoms,
  checkNoStaleReads,
} from "./checkers/registers.ts";
import type { Settled } from "./client-adapter.ts";
import type { Recorded } from "./history.ts";
import { checkLookersAtRest, judgeLookers } from "./lookers.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** What the scenario's faults leave of the promises. */
export interface Promises {
  /** Quorum writes and quorum reads of registers: linearizable. @default true */
  readonly isLinearizable?: boolean;
  /** Reads, of one replica too, see every acknowledged quorum write. @default false */
  readonly isReadOneCurrent?: boolean;
  /** Increments of counters with one writer are exact. @default true */
  readonly isOwnCounterExact?: boolean;
  /** Increments of shared counters are exact: only while the acting primary does not change. @default false */
  readonly isSharedCounterExact?: boolean;
  /** How late an expired value may be read. @default 1000 */
  readonly expiryAllowanceMs?: number;
  /** Stores are too small for the keys: a miss says nothing, but what is found must be current. @default false */
  readonly isEvicting?: boolean;
  /** Time to come to rest. @default 60000 */
  readonly settleMs?: number;
  /** Time for replicas to agree after that. @default 30000 */
  readonly convergeMs?: number;
}

/** Stops callers and faults, waits for rest and agreement, reads everything, judges everything. */
export function finish(world: World, promises: Promises = {}): void {
  world.drainWorkloads();
  world.healAll();
  world.network.profile = { ...world.network.profile, lossChance: 0, duplicateChance: 0 };
  world.awaitSettled("the cluster to come to rest", promises.settleMs ?? 60_000);
  awaitAgreement(world, promises);
  readEverything(world);
  judge(world, promises);
  if (world.hasLookers) {
    judgeLookers(world.history.operations, promises.isEvicting ?? false);
    checkLookersAtRest(world, promises.isEvicting ?? false);
  }
}

/** Waits until all natural replicas of every key that was used hold the same. */
function awaitAgreement(world: World, { isEvicting = false, convergeMs = 30_000 }: Promises): void {
  const boundMs = convergeMs;
  const keys = [...world.history.byKey().keys()];
  if (world.runUntil(() => findDivergence(world, keys, isEvicting).length === 0, boundMs)) return;
  const divergent = findDivergence(world, keys, isEvicting);
  throw new Violation(
    "convergence",
    `${divergent.length} of ${keys.length} keys differ between replicas after ${boundMs} ms of quiet:\n${divergent.slice(0, 10).join("\n")}`,
    world.queue.count,
  );
}

/** One quorum read of each key by a new client; each must be answered. */
export function readEverything(world: World): void {
  const reader = world.startClient(`reader${world.clients.size}`);
  for (const key of [...world.history.byKey().keys()]) {
    const operation = { f: "get", key, read: "quorum" } as const;
    const recorded = world.history.begin(reader.host, reader.host, operation, world.nowMs);
    let settled: Settled | undefined;
    reader.call(operation, 5000, (result) => {
      settled = result;
      world.history.end(recorded, result, world.nowMs);
    });
    world.await(`the last read of ${key}`, () => settled !== undefined, 6000);
    if (settled?.ok === false) {
      throw new Violation("liveness", `the last read of ${key} failed: ${settled.code} ${settled.message}`);
    }
  }
}

/** @throws {Violation} at the first broken promise */
export function judge(world: World, promises: Promises): void {
  const registers = new Map<string, Recorded[]>();
  const expiring = new Map<string, Recorded[]>();
  const conditional = new Map<string, Recorded[]>();
  for (const [key, all] of world.history.byKey()) {
    const operations = promises.isEvicting === true ? all.filter((each) => !isMiss(each)) : all;
    const kind = /-([a-z])[^-]*$/.exec(key)?.[1];
    if (kind === "r") registers.set(key, operations);
    if (kind === "t") expiring.set(key, operations);
    if (kind === "a") conditional.set(key, operations);
    if (kind === "n") checkCounter(key, operations, promises.isSharedCounterExact ?? false);
    if (kind === "o") checkCounter(key, operations, promises.isOwnCounterExact ?? true);
  }
  checkNoPhantoms(new Map([...registers, ...expiring, ...conditional]));
  checkNoExpiredReads(expiring, promises.expiryAllowanceMs ?? 1000);
  const isBinding = ({ operation }: Recorded) => "write" in operation && operation.write !== "async";
  checkNoStaleReads("no acknowledged write lost", registers, {
    isWriteBinding: isBinding,
    isReadBound: ({ operation }) =>
      promises.isReadOneCurrent === true || (operation.f === "get" && operation.read === "quorum"),
  });
  if (promises.isLinearizable ?? true) {
    const unknown = checkLinearizable(quorumOnly(registers));
    if (unknown.length > 0) world.eventCounts.set("sim: search given up", unknown.length);
  }
}

function isMiss({ operation, type, value }: Recorded): boolean {
  return operation.f === "get" && type === "ok" && value === undefined;
}

/** Histories without asynchronous writes, and without reads of one replica. */
function quorumOnly(byKey: ReadonlyMap<string, readonly Recorded[]>): Map<string, Recorded[]> {
  const result = new Map<string, Recorded[]>();
  for (const [key, operations] of byKey) {
    const isAsync = operations.some(({ operation }) => "write" in operation && operation.write === "async");
    if (isAsync) continue;
    result.set(
      key,
      operations.filter(({ operation }) => operation.f !== "get" || operation.read === "quorum"),
    );
  }
  return result;
}
