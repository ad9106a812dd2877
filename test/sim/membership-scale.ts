// Membership alone at any size, `npm run sim -- --nodes 1000`: how long a death takes to be known, how much is said, and whether
// anybody healthy is declared dead. The world is that of test/core/membership/swim-sim.ts.

import { Prng } from "../../src/base/prng.ts";
import { SwimSim } from "../core/membership/swim-sim.ts";

/** One row of the table. Times in ms. */
export interface MembershipFigures {
  readonly nodes: number;
  readonly firstSuspectMs: number;
  readonly firstDeadMs: number;
  readonly deadEverywhereMs: number;
  readonly messagesPerNodeSecond: number;
  /** Verdicts of death on healthy members, in a minute of each of {@link TROUBLES}. */
  readonly falseDeaths: readonly number[];
}

const QUIET_MS = 10_000;
const CRASH_MS_MAX = 60_000;
const TROUBLE_MS = 60_000;

/** What healthy members go through without being declared dead. */
const TROUBLES: readonly { readonly title: string; begin(sim: SwimSim, chance: Prng): void }[] = [
  {
    title: "1 % loss, 500 ms stalls",
    begin(sim, chance) {
      sim.loss = 0.01;
      stallSome(sim, chance, 500);
    },
  },
  {
    title: "10 % loss",
    begin(sim) {
      sim.loss = 0.1;
    },
  },
  {
    title: "1 s stalls",
    begin: (sim, chance) => stallSome(sim, chance, 1_000),
  },
  {
    title: "0.2 core",
    begin(sim, chance) {
      const node = sim.node(chance.below(sim.nodes.length));
      for (let ms = 0; ms < TROUBLE_MS / 2; ms += 100) sim.at(sim.nowMs + ms, () => sim.stall(node, 80));
    },
  },
];

/** Measures one seed. Cost grows with the square of the nodes: two minutes at 1,000. */
export function measureMembership(nodes: number, seed: number): MembershipFigures {
  const sim = new SwimSim({ seed, nodes });
  sim.runUntilTrue(() => sim.nodes.every(({ membership }) => membership.records().length === nodes), 120_000);
  const sentBefore = sim.nodes.reduce((sum, { sent }) => sum + sent, 0);
  sim.runFor(QUIET_MS);
  const sent = sim.nodes.reduce((sum, node) => sum + node.sent, 0) - sentBefore;

  const falseDeaths = TROUBLES.map(({ begin }, index) => {
    const fromMs = sim.nowMs;
    begin(sim, new Prng(seed).fork(`trouble ${index}`));
    sim.runFor(TROUBLE_MS);
    sim.loss = 0;
    return sim.eventsOf("memberLiveness", fromMs).filter(({ event }) => event.liveness === "dead").length;
  });

  const crashedMs = sim.nowMs;
  const victim = sim.node(new Prng(seed).below(nodes));
  sim.crash(victim);
  const deadEverywhereMs = sim.runUntilTrue(() => sim.isDeadEverywhere(victim), CRASH_MS_MAX);
  const first = (liveness: "suspect" | "dead"): number => {
    const seen = sim
      .eventsOf("memberLiveness", crashedMs)
      .find(({ event }) => event.member === victim.id && event.liveness === liveness);
    return seen === undefined ? Number.NaN : seen.atMs - crashedMs;
  };
  return {
    nodes,
    firstSuspectMs: first("suspect"),
    firstDeadMs: first("dead"),
    deadEverywhereMs: deadEverywhereMs ?? Number.NaN,
    messagesPerNodeSecond: (sent / nodes / QUIET_MS) * 1000,
    falseDeaths,
  };
}

/** Each tenth member, every ten seconds or so. */
function stallSome(sim: SwimSim, chance: Prng, stallMs: number): void {
  for (const node of sim.nodes) {
    if (!chance.chance(0.1)) continue;
    for (let ms = chance.below(10_000); ms < TROUBLE_MS - 1_000; ms += 5_000 + chance.below(10_000)) {
      sim.at(sim.nowMs + ms, () => sim.stall(node, stallMs));
    }
  }
}

/** The figures of some seeds as a table of medians. */
export function membershipTable(rows: readonly MembershipFigures[]): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(1).padStart(13);
  const lines = ["nodes  first suspect  first dead s    dead at all  messages/node/s"];
  for (const nodes of new Set(rows.map((row) => row.nodes))) {
    const own = rows.filter((row) => row.nodes === nodes);
    const median = (pick: (row: MembershipFigures) => number) =>
      own.map(pick).sort((a, b) => a - b)[Math.floor(own.length / 2)]!;
    lines.push(
      [
        String(nodes).padStart(5),
        seconds(median((row) => row.firstSuspectMs)),
        seconds(median((row) => row.firstDeadMs)),
        seconds(median((row) => row.deadEverywhereMs)),
        median((row) => row.messagesPerNodeSecond)
          .toFixed(1)
          .padStart(15),
      ].join("  "),
    );
    for (const [index, { title }] of TROUBLES.entries()) {
      const deaths = own.reduce((sum, row) => sum + row.falseDeaths[index]!, 0);
      lines.push(`       healthy members said dead in a minute of ${title}: ${deaths}`);
    }
  }
  return lines.join("\n");
}
