// One change of the ring after another under load, and at a random moment of each something else: a process is killed, a link cut, a
// host split off, a process paused, or the next change asked for; in some runs members get other weights and zones as well. Short
// runs, meant for thousands of seeds.

import type { Prng } from "../../../src/base/prng.ts";
import type { ClientProcess } from "../client-process.ts";
import { describeRecorded } from "../history.ts";
import { finish } from "../judge.ts";
import { beginReadingLoadedKeys, loadKeys, readLoadedKeys } from "../load.ts";
import { drawsLookers } from "../lookers.ts";
import { prngFor } from "../randomness.ts";
import type { Scenario } from "../run-seed.ts";
import { drawBulkReads } from "../swarm-plan.ts";
import { Violation } from "../violation.ts";
import type { World } from "../world.ts";

const KEYS = 24;
/** Members that every ring keeps: with fewer, the loss of one more would be the loss of a majority of copies. */
const NODES_MIN = 4;
const CHANGE_MS_MAX = 1_500;

export const ringChanges: Scenario = {
  name: "ring-changes",
  title:
    "Nodes join, leave, move to other weights and zones or die for good, and at a random moment of that one is killed, cut off or paused: no stale quorum read, no present key missed, nothing deleted comes back.",
  run(make, seed) {
    const chance = prngFor(seed, "scenario");
    // A generator of their own, and in some runs none at all: those run as they did before there were any.
    const places = prngFor(seed, "new places");
    const hasMoves = places.chance(0.4);
    const world = make({
      node: { membership: { deadGraceMs: 7_000, evictionSpacingMs: 300 } },
      // Where messages take their time, copies do: that is when a newcomer must not be believed.
      network: { mode: chance.pick(["stream", "datagram"])!, delayMs: chance.pick([0.3, 3, 15])! },
    });
    world.bootCluster(NODES_MIN + chance.below(2));
    world.startClient("c1");
    const reader = world.startClient("c2");
    loadKeys(world, reader, KEYS);
    world.startWorkload({
      name: "w",
      callers: 5,
      keys: 5,
      pauseMs: 25,
      weights: { get: 5, set: 4, delete: 1, ownIncrement: 1 },
      bulkReads: drawBulkReads(seed),
    });
    if (drawsLookers(seed)) world.startLookers();
    let reads = 0;
    world.onEvent = (node, event) => {
      // In its own turn; the first to change its ring is enough.
      if (event.type !== "ringChanged" || node.id !== world.running[0]?.id) return;
      for (const afterMs of [1, 10, 50]) {
        world.queue.after(afterMs, () => beginReadingLoadedKeys(world, reader, KEYS, `changed${++reads}`));
      }
    };
    const rounds = 1 + chance.below(2);
    const { profile } = world.network;
    const lossChance = chance.pick([0, 0.05, 0.2])!;
    for (let round = 0; round < rounds; round++) {
      world.network.profile = { ...profile, lossChance };
      const isLoss = change(world, chance);
      if (hasMoves) world.queue.after(places.below(2_500), () => move(world, places));
      world.run(CHANGE_MS_MAX * chance.float() ** 2);
      const heal = disturb(world, chance, isLoss);
      // Some calls may find no majority while this lasts; none may be answered wrongly.
      checkPresent(world, reader, false);
      world.run(chance.below(1_500));
      heal();
      checkPresent(world, reader, false);
      if (chance.chance(0.5)) world.run(3_000);
      world.network.profile = profile;
      world.awaitSettled("the change to be over", 60_000);
      checkPresent(world, reader, true);
    }
    finish(world);
    checkPresent(world, reader, true);
  },
};

/** Asks for a change of the ring. Says whether a member was lost with all it knew. */
function change(world: World, chance: Prng): boolean {
  const ids = world.running.map(({ id }) => id as string);
  const kind = ids.length > NODES_MIN ? chance.pick(["join", "leave", "die"]) : "join";
  if (kind === "leave") world.node(chance.pick(ids)!).leave();
  if (kind === "die") world.crash(chance.pick(ids)!, chance.chance(0.5));
  if (kind === "join") {
    const count = 1 + chance.below(2);
    for (let number = 0; number < count; number++) world.startNode(`n${world.nodes.size + 1}`);
  }
  return kind === "die";
}

/** Somebody asks for another weight and zone. */
function move(world: World, places: Prng): void {
  const member = places.pick(world.running.filter(({ hasLeft }) => !hasLeft));
  member?.wish(places.pick(["", "a", "b"])!, 1 + places.below(3));
}

/** Does something else as well; returns what undoes it. A second process is killed only where no first one was. */
function disturb(world: World, chance: Prng, isLoss: boolean): () => void {
  const ids = world.running.filter(({ hasLeft }) => !hasLeft).map(({ id }) => id as string);
  const [victim, other] = [chance.pick(ids)!, chance.pick(ids)!];
  const kind = chance.pick(["kill", "isolate", "oneWay", "split", "pause", "change", "nothing"]);
  switch (isLoss && (kind === "kill" || kind === "change") ? "oneWay" : kind) {
    case "kill":
      world.crash(victim, chance.chance(0.5));
      return () => {
        if (!world.node(victim).isRunning) world.restart(victim);
      };
    case "isolate":
      return world.partition(
        [victim],
        ids.filter((id) => id !== victim),
      );
    case "oneWay":
      return world.cut([victim], [other], true);
    case "split": {
      const half = ids.filter(() => chance.chance(0.5));
      return world.partition(
        half,
        ids.filter((id) => !half.includes(id)),
      );
    }
    case "pause":
      world.pause(victim, 100 + chance.below(1_500));
      return () => {};
    case "change":
      world.startNode(`n${world.nodes.size + 1}`);
      return () => {};
    default:
      return () => {};
  }
}

/** @throws {Violation} when a key that was written and never touched again is not found. `isDue`: nor may the call fail. */
function checkPresent(world: World, reader: ClientProcess, isDue: boolean): void {
  const wrong = readLoadedKeys(world, reader, { count: KEYS, read: "quorum" });
  const missed = wrong.filter(({ type }) => isDue || type === "ok");
  if (missed[0] === undefined) return;
  const text = `${missed.length} of ${KEYS} keys: ${describeRecorded(missed[0])}`;
  throw new Violation("present keys are found", text, world.queue.count);
}
