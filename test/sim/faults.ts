// The fault schedule of a swarm run, as data: drawn from the seed before the run begins, so that it can be printed and shrunk.
// Each seed first draws which kinds of faults exist at all and how often they come; runs with few kinds reach states that
// runs with all of them never do.
//
// One rule keeps the promises meaningful: a process is killed only while every other copy is in place (nothing is warming,
// nobody is down), because the loss of W copies at once is a loss that nobody promises against. Who is evicted gives up its copies as well.

import { isInRing } from "../../src/core/messages.ts";
import type { NetworkProfile } from "./network.ts";
import type { NodeProcess } from "./node-process.ts";
import { prngFor } from "./randomness.ts";
import type { World } from "./world.ts";

/** `pick` and `other` choose among what runs at that moment: a number from 0 to 1 each. */
export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly ms: number;
  readonly pick: number;
  readonly other: number;
  /** Meaning depends on the kind: a chance, a delay, a clock error... from 0 to 1. */
  readonly strength: number;
}

export const FAULT_KINDS = [
  "crash",
  "powerOff",
  "pause",
  "stall",
  "partition",
  "oneWay",
  "flaky",
  "slow",
  "reset",
  "clock",
  "drift",
  "join",
  "leave",
  "flipFlop",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** Mean pause between two faults of a kind, and how long one lasts at most. */
const TIMING: Record<FaultKind, { readonly everyMs: number; readonly msMax: number }> = {
  crash: { everyMs: 5000, msMax: 6000 },
  powerOff: { everyMs: 7000, msMax: 6000 },
  pause: { everyMs: 5000, msMax: 5000 },
  stall: { everyMs: 1500, msMax: 600 },
  partition: { everyMs: 6000, msMax: 8000 },
  oneWay: { everyMs: 4000, msMax: 5000 },
  flaky: { everyMs: 3000, msMax: 5000 },
  flipFlop: { everyMs: 8000, msMax: 6000 },
  slow: { everyMs: 5000, msMax: 5000 },
  reset: { everyMs: 2000, msMax: 0 },
  clock: { everyMs: 8000, msMax: 8000 },
  drift: { everyMs: 8000, msMax: 8000 },
  join: { everyMs: 9000, msMax: 0 },
  leave: { everyMs: 12_000, msMax: 0 },
};

/** What may keep a node from the others for as long as it takes to evict it, where that is not long. */
const CUTS: readonly FaultKind[] = ["partition", "oneWay", "flaky", "flipFlop"];
/** No fault lasts longer. */
const FAULT_MS_MAX = 8_000;

/** Nodes that must stay in the cluster, and at most so many are started. */
const NODES_MIN = 4;
const NODES_MAX = 8;
/** Where two are cut off and evicted together, both their copies are given up; of so few only one may go (membership/eviction.ts). */
const NODES_MAX_EVICTING = 5;

/** Draws the faults of one run, in the order of time. */
export function drawFaults(seed: number, durationMs: number): Fault[] {
  const chance = prngFor(seed, "faults");
  const faults: Fault[] = [];
  for (const kind of FAULT_KINDS) {
    const own = prngFor(seed, `faults ${kind}`);
    if (!chance.chance(0.4)) continue;
    const { everyMs, msMax } = TIMING[kind];
    const paceMs = everyMs * (0.4 + 1.2 * own.float());
    for (let atMs = own.float() * paceMs; atMs < durationMs; atMs += paceMs * (0.3 + 1.4 * own.float())) {
      // Short ones are as interesting as long ones: the square spreads them over the scales.
      const ms = 20 + msMax * own.float() ** 2;
      faults.push({ kind, atMs, ms, pick: own.float(), other: own.float(), strength: own.float() });
    }
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** Draws how the network of one run behaves. */
export function drawNetwork(seed: number): Partial<NetworkProfile> {
  const chance = prngFor(seed, "network profile");
  return {
    mode: chance.chance(0.7) ? "stream" : "datagram",
    delayMs: chance.pick([0.2, 0.5, 2, 10])!,
    tailChance: chance.pick([0, 0.01, 0.05])!,
    tailMsMax: chance.pick([20, 200, 1000])!,
    lossChance: chance.pick([0, 0, 0.001, 0.02])!,
    duplicateChance: chance.pick([0, 0.02])!,
  };
}

/** Puts the faults on the world's queue; returns what ends them all. */
export function scheduleFaults(world: World, faults: readonly Fault[]): () => void {
  let isOver = false;
  for (const fault of faults) {
    world.queue.after(fault.atMs, () => {
      if (!isOver) apply(world, fault, () => isOver);
    });
  }
  return () => {
    isOver = true;
  };
}

function apply(world: World, fault: Fault, isOver: () => boolean): void {
  const { kind, ms, strength } = fault;
  const running = world.running.filter(({ hasLeft }) => !hasLeft);
  const node = running[Math.floor(fault.pick * running.length)];
  const other = running[Math.floor(fault.other * running.length)];
  if (node === undefined || other === undefined) return;
  if (CUTS.includes(kind) && evictsSoon(world) && !isMemoryComplete(world)) return;
  const later = (work: () => void) => world.queue.after(ms, work);
  switch (kind) {
    case "crash":
    case "powerOff":
      if (!isMemoryComplete(world) || (evictsSoon(world) && !isEverybodyInTouch(world))) return;
      world.crash(node.id, kind === "powerOff");
      later(() => revive(world, node, strength));
      return;
    case "pause":
    case "stall":
      world.pause(node.id, ms);
      return;
    case "partition":
      later(world.partition(...split(world, fault)));
      return;
    case "oneWay":
      later(world.cut([node.id], [other.id], true));
      return;
    case "flaky":
      later(world.network.lose(node.id, other.id, 0.05 + 0.6 * strength));
      return;
    case "flipFlop":
      flipFlop(world, {
        from: node.id,
        to: other.id,
        untilMs: world.nowMs + ms,
        everyMs: 50 + 950 * strength,
      });
      return;
    case "slow":
      later(world.network.slowDown(node.id, 1 + 100 * strength));
      return;
    case "reset":
      world.trace("world", () => `reset ${node.id}`);
      world.connections.reset(node);
      return;
    case "clock":
      if (hasWrongClock(world)) return;
      world.trace("world", () => `clock of ${node.id} jumps for ${ms} ms`);
      node.loop.clock.jump((strength - 0.5) * 2 * (strength > 0.5 ? 7_200_000 : 4000));
      later(() => node.loop.clock.correct());
      return;
    case "drift":
      if (hasWrongClock(world)) return;
      node.loop.clock.setDrift((strength - 0.5) * 0.002, world.nowMs);
      later(() => node.loop.clock.correct());
      return;
    case "join":
      if (world.nodes.size < (evictsSoon(world) ? NODES_MAX_EVICTING : NODES_MAX) && !isOver())
        world.startNode(`n${world.nodes.size + 1}`);
      return;
    case "leave":
      if (running.length > NODES_MIN && isMemoryComplete(world)) node.leave();
      return;
  }
}

/** A one-way cut that comes and goes: what Rapid (Suresh et al. 2018) shows to be hardest on gossip. */
function flipFlop(
  world: World,
  link: { readonly from: string; readonly to: string; readonly untilMs: number; readonly everyMs: number },
): void {
  if (world.nowMs >= link.untilMs) return;
  const heal = world.cut([link.from], [link.to], true);
  world.queue.after(link.everyMs, heal);
  world.queue.after(2 * link.everyMs, () => flipFlop(world, link));
}

function revive(world: World, node: NodeProcess, strength: number): void {
  if (!node.isRunning)
    world.restart(node.id, strength < 0.15 ? `${node.id}:${7500 + world.nodes.size}` : undefined);
}

/** Every node that ever started and has not left runs, is in the ring, and has filled its slots. */
function isMemoryComplete(world: World): boolean {
  for (const node of world.nodes.values()) {
    if (node.hasLeft) continue;
    const status = node.status;
    if (status === undefined || !status.isReady || status.slotsWarming > 0) return false;
    const self = status.members.find(({ id }) => id === node.id);
    if (self?.ringState !== "active" || !self.isSettled) return false;
  }
  return true;
}

/**
 * Whether a node that is cut off may be evicted before the cut ends. What it holds is then given up, so it must not happen while another one
 * has lost its memory: the two would be more copies than a majority can do without.
 */
function evictsSoon(world: World): boolean {
  return world.running.some(({ options }) => (options?.membership.deadGraceMs ?? 0) <= FAULT_MS_MAX);
}

/** Nothing is cut, and nobody doubts that anybody in the ring is alive. */
function isEverybodyInTouch(world: World): boolean {
  const { running, network } = world;
  return running.every(
    ({ id, status }) =>
      running.every((other) => network.isConnected(id, other.id)) &&
      (status?.members ?? []).every(
        ({ liveness, ringState }) => liveness === "alive" || !isInRing(ringState),
      ),
  );
}

function hasWrongClock(world: World): boolean {
  return [...world.nodes.values()].some(({ loop }) => Math.abs(loop.clock.errorMs(world.nowMs)) > 1);
}

/** Two groups of all hosts, clients too. */
function split(world: World, { pick, other }: Fault): [string[], string[]] {
  const hosts = [...world.running.map(({ id }) => id as string), ...world.clients.keys()];
  const groups: [string[], string[]] = [[], []];
  const prng = prngFor(world.seed, `split ${pick} ${other}`);
  for (const host of hosts) groups[prng.chance(0.4) ? 0 : 1].push(host);
  return groups;
}
