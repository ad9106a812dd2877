// Processes die with everything they knew, and come back empty.

import { describeRecorded, type Recorded } from "../history.ts";
import { finish } from "../judge.ts";
import { loadKeys, readLoadedKeys } from "../load.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { Violation } from "../violation.ts";
import type { World } from "../world.ts";

const NODES = ["n1", "n2", "n3", "n4", "n5"];
const KEYS = 300;

export const crash: Scenario = {
  name: "crash",
  title:
    "One node after another is killed under load and started again, at times elsewhere or without a word: no acknowledged quorum write is lost, and reads of one replica stay current.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    world.startClient("c1");
    const reader = world.startClient("c2");
    loadKeys(world, reader, KEYS);
    world.startWorkload({ name: "w", weights: { get: 5, set: 4, delete: 1, ownIncrement: 2 } });
    world.startWorkload({ name: "v", read: "one", callers: 4 });
    for (const id of chance.shuffled(NODES).slice(0, 3)) {
      world.run(500 + chance.below(1500));
      world.crash(id, chance.chance(0.3));
      world.run(chance.pick([50, 400, 2000, 8000])!);
      world.restart(id, chance.chance(0.2) ? `${id}:${8000 + chance.below(1000)}` : undefined);
      world.awaitSettled(`${id} to be back`, 30_000);
    }
    finish(world, { isReadOneCurrent: true });
    checkLoaded(world, "one");
  },
};

export const behind: Scenario = {
  name: "behind",
  title:
    "A node is cut off for a moment and misses writes; as it comes back another one is killed and started again: the empty one is not believed, nothing acknowledged is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(4);
    world.startClient("c1");
    world.startClient("c2");
    world.startWorkload({ name: "w", callers: 8, keys: 12, pauseMs: 4 });
    for (let round = 0; round < 6; round++) {
      const [late, dead] = chance.shuffled(["n1", "n2", "n3", "n4"]);
      const heal = world.cut(
        [late!],
        ["n1", "n2", "n3", "n4"].filter((id) => id !== late),
      );
      world.run(100 + chance.below(500));
      world.crash(dead!, chance.chance(0.3));
      heal();
      world.run(1 + chance.below(50));
      world.restart(dead!);
      world.run(1000);
      world.awaitSettled("everybody to be back", 60_000);
    }
    finish(world);
  },
};

export const rollingCrash: Scenario = {
  name: "rolling-crash",
  title:
    "Each node is killed as soon as /safez allows it, until none is left that was there: no acknowledged key is lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    loadKeys(world, world.startClient("c1"), KEYS);
    world.startWorkload({ name: "w" });
    for (const id of [...NODES, ...chance.shuffled(NODES)]) {
      world.crash(id, chance.chance(0.3));
      world.run(chance.pick([10, 100, 1000])!);
      world.restart(id);
      // No more than an operator can see: what any one node says of the cluster.
      const witness = chance.pick(NODES)!;
      world.await(
        `${witness} to say that it is safe`,
        () => world.node(witness).status?.isSafe === true,
        60_000,
      );
    }
    finish(world);
    checkLoaded(world, "quorum");
  },
};

export const fullRestart: Scenario = {
  name: "full-restart",
  title:
    "All nodes die at once and are started again: the cluster serves again, empty, without a new client.",
  run(make) {
    const world = make();
    world.bootCluster(5);
    const client = world.startClient("c1");
    loadKeys(world, client, 50);
    for (const id of NODES) world.crash(id);
    world.run(3000);
    world.startNode("n1", { isFounder: true });
    for (const id of NODES.slice(1)) world.restart(id);
    world.awaitSettled("the cluster to be back", 30_000);
    const found = readLoadedKeys(world, client, { count: 50, read: "one" }).filter(
      ({ type, value }) => type !== "ok" || value !== undefined,
    );
    if (found[0] !== undefined) throw new Violation("empty after a full restart", describeRecorded(found[0]));
    // From here on a history of its own: what was before is gone, as promised.
    world.history.operations.length = 0;
    world.startWorkload({ name: "w" });
    world.run(3000);
    finish(world);
    const failed = world.history.operations.find(({ type }) => type !== "ok");
    if (failed !== undefined) throw new Violation("availability", describeRecorded(failed));
  },
};

/** Milliseconds before a crash within which asynchronous writes may still be on their way to a second replica. */
const ASYNC_WINDOW_MS = 100;

export const asyncCrash: Scenario = {
  name: "async-crash",
  title:
    "Asynchronous writes while nodes are killed: only what was acknowledged within 100 ms before a crash may be lost.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    const world = make();
    world.bootCluster(5);
    world.startClient("c1");
    world.startClient("c2");
    world.startWorkload({
      name: "w",
      callers: 8,
      keys: 200,
      pauseMs: 5,
      write: "async",
      read: "quorum",
      weights: { set: 1 },
    });
    const crashes: number[] = [];
    for (const id of chance.shuffled(NODES).slice(0, 3)) {
      world.run(1000 + chance.below(1000));
      crashes.push(world.nowMs);
      world.crash(id);
      world.run(chance.below(1000));
      world.restart(id);
      world.awaitSettled(`${id} to be back`, 30_000);
    }
    finish(world, { isLinearizable: false });
    const lost = lostWrites(world);
    world.eventCounts.set("sim: async writes lost", lost.length);
    const tooOld = lost.find(
      ({ returnMs }) => !crashes.some((atMs) => returnMs <= atMs && atMs - returnMs <= ASYNC_WINDOW_MS),
    );
    if (tooOld !== undefined) {
      throw new Violation(
        "bounded asynchronous loss",
        `${describeRecorded(tooOld)}; crashes at ${crashes.map((atMs) => atMs.toFixed(1)).join()}`,
      );
    }
  },
};

/** Acknowledged writes that the last reads show to be gone although nothing can have replaced them. */
function lostWrites(world: World): Recorded[] {
  const lost: Recorded[] = [];
  for (const operations of world.history.byKey().values()) {
    const last = operations.at(-1)!;
    const writes = operations.filter(({ operation, type }) => operation.f !== "get" && type !== "fail");
    const acknowledged = writes.filter(({ type }) => type === "ok");
    for (const write of acknowledged) {
      const isReplaced = acknowledged.some(({ callMs }) => callMs > write.returnMs);
      const survivor = writes.find(
        ({ operation }) => operation.f === "set" && operation.value === last.value,
      );
      if (isReplaced || survivor === write) continue;
      const survivorEndMs =
        survivor === undefined
          ? Number.NEGATIVE_INFINITY
          : survivor.type === "ok"
            ? survivor.returnMs
            : Number.POSITIVE_INFINITY;
      if (survivorEndMs < write.callMs) lost.push(write);
    }
  }
  return lost;
}

/** @throws {Violation} when a key that was written once before everything is not there */
function checkLoaded(world: World, read: "one" | "quorum"): void {
  const reader = world.startClient("last");
  const missing = readLoadedKeys(world, reader, { count: KEYS, read });
  if (missing[0] !== undefined) {
    throw new Violation(
      "no acknowledged write lost",
      `${missing.length} of ${KEYS} keys: ${describeRecorded(missing[0])}`,
    );
  }
}
