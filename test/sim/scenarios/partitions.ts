// Cuts: two against three, for seconds or for minutes, and one-way cuts that come and go.

import type { MemberId } from "../../../src/base/ids.ts";
import type { ClientProcess } from "../client-process.ts";
import { describeRecorded } from "../history.ts";
import { finish } from "../judge.ts";
import type { Heal } from "../network.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";
import type { World } from "../world.ts";

const NODES = ["n1", "n2", "n3", "n4", "n5"];

export const partition: Scenario = {
  name: "partition",
  title:
    "Two nodes and a client are cut off from three and a client: the minority acknowledges no quorum write; after healing all agree.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    const few = world.startClient("few");
    const many = world.startClient("many");
    world.startWorkload({ name: "w", timeoutMs: 1000 }, [few, many]);
    world.run(2000);
    const minority = chance.shuffled(NODES).slice(0, 2).sort();
    const majority = NODES.filter((id) => !minority.includes(id));
    const heal = world.partition([...minority, "few"], [...majority, "many"]);
    const fromMs = world.nowMs;
    world.run(chance.pick([2000, 10_000, 30_000])!);
    checkMinority(world, { fromMs, host: "few", minority });
    heal();
    world.run(5000);
    finish(world);
    checkNobodyEvicted(world);
  },
};

export const longCut: Scenario = {
  name: "long-cut",
  title: "The same for ten minutes, far past every grace period: the halves find each other again.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    const many = world.startClient("many");
    world.startWorkload({ name: "w", pauseMs: 2000 }, [many]);
    const minority = chance.shuffled(NODES).slice(0, 2).sort();
    const majority = NODES.filter((id) => !minority.includes(id));
    const heal = world.partition(minority, [...majority, "many"]);
    world.run(600_000);
    heal();
    world.run(10_000);
    finish(world);
  },
};

const PAIR_KEYS = 8;

export const evictedPair: Scenario = {
  name: "evicted-pair",
  title:
    "Two of six or seven, the majority of some slot's replicas, are cut off with a reader until they are evicted, and longer: they answer no quorum read with what has been overwritten since.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make({ node: { membership: { deadGraceMs: 10_000, evictionSpacingMs: 1_000 } } });
    world.bootCluster(6 + chance.below(2));
    const few = world.startClient("few");
    const many = world.startClient("many");
    const workload = { name: "w", keys: PAIR_KEYS, callers: 6, weights: { get: 3, set: 4, delete: 1 } };
    // Nothing is under way when the cut comes: a write that only the two have heard of goes when they are evicted.
    const before = world.startWorkload({ ...workload, only: [0, 1, 2] }, [many]);
    world.run(1500);
    before.stop();
    world.run(2500);
    const pair = chance
      .shuffled(world.rings.replicasOf(world.node("n1").ringId, "w-r0"))
      .slice(0, 2)
      .sort();
    const others = [...world.nodes.keys()].filter((id) => !pair.includes(id as MemberId));
    const heal = world.partition([...pair, "few"], [...others, "many"]);
    const stopReading = keepReading(world, few);
    world.startWorkload({ ...workload, only: [3, 4, 5] }, [many]);
    const isWithoutPair = (id: string) =>
      world
        .node(id)
        .status!.members.every((member) => !pair.includes(member.id) || member.ringState === "evicted");
    world.await("the two to be evicted", () => others.every(isWithoutPair), 60_000);
    world.run(2000 + chance.below(8000));
    heal();
    world.run(5000);
    stopReading();
    finish(world);
  },
};

export const oneWay: Scenario = {
  name: "one-way",
  title: "One-way cuts between random pairs come and go: nobody is evicted, nothing acknowledged is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    // A short grace makes a wrong accusation expensive soon.
    const world = make({ node: { membership: { deadGraceMs: 5000 } } });
    world.bootCluster(5);
    world.startClient("c1");
    world.startWorkload({ name: "w", timeoutMs: 1500 });
    world.run(1000);
    let heals: Heal[] = [];
    for (let round = 0; round < 10; round++) {
      for (let count = 1 + chance.below(2); count > 0; count--) {
        const [from, to] = chance.shuffled(NODES);
        heals.push(world.cut([from!], [to!], true));
      }
      world.run(500 + chance.below(4000));
      if (chance.chance(0.7)) {
        for (const heal of heals) heal();
        heals = [];
      }
      world.run(chance.below(1500));
    }
    finish(world);
    checkNobodyEvicted(world);
  },
};

/** Reads each key of {@link evictedPair} by quorum, again and again, until told to stop. */
function keepReading(world: World, client: ClientProcess): () => void {
  let isStopped = false;
  const readAgain = (key: string) => {
    if (isStopped) return;
    const operation = { f: "get", key, read: "quorum" } as const;
    const recorded = world.history.begin(`${client.host} ${key}`, client.host, operation, world.nowMs);
    client.call(operation, 1000, (settled) => {
      world.history.end(recorded, settled, world.nowMs);
      world.queue.after(100, () => readAgain(key));
    });
  };
  for (let number = 0; number < PAIR_KEYS; number++) readAgain(`w-r${number}`);
  return () => {
    isStopped = true;
  };
}

/** @throws {Violation} when a client that reached only `minority` was told of a write that needs the others */
function checkMinority(
  world: World,
  cut: { readonly fromMs: number; readonly host: string; readonly minority: readonly string[] },
): void {
  const ringId = world.node(cut.minority[0]!).ringId;
  for (const recorded of world.history.operations) {
    const { operation, type, callMs, host } = recorded;
    if (operation.f === "get" || type !== "ok" || callMs <= cut.fromMs || host !== cut.host) continue;
    const replicas = world.rings.replicasOf(ringId, operation.key);
    const reachable = replicas.filter((id: MemberId) => cut.minority.includes(id)).length;
    if (reachable <= replicas.length / 2) {
      throw new Violation(
        "a minority acknowledges nothing",
        `${describeRecorded(recorded)} with ${reachable} of ${replicas.join()}`,
      );
    }
  }
}

/** @throws {Violation} when any node saw an eviction */
export function checkNobodyEvicted(world: World): void {
  if ((world.eventCounts.get("evicting") ?? 0) > 0) {
    throw new Violation("no healthy node evicted", `evicted\n${world.describe()}`);
  }
}
