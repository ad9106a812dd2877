// Shrinks a failing plan: drops faults, callers, clients and nodes, and shortens what is left, as long as the same promise breaks
// (delta debugging, Zeller and Hildebrandt 2002). What one run costs is paid a few hundred times.

import type { SwarmPlan } from "./swarm-plan.ts";

/** Says whether the plan still breaks the promise. */
export type StillFails = (plan: SwarmPlan) => boolean;

const RUNS_MAX = 400;

/** The smallest plan found that still fails. `onProgress` hears each success. */
export function minimise(plan: SwarmPlan, fails: StillFails, onProgress: (text: string) => void): SwarmPlan {
  let runs = 0;
  let best = plan;
  const accept = (candidate: SwarmPlan): boolean => {
    if (runs >= RUNS_MAX || JSON.stringify(candidate) === JSON.stringify(best)) return false;
    runs++;
    if (!fails(candidate)) return false;
    best = candidate;
    onProgress(`run ${runs}: ${describePlan(best)}`);
    return true;
  };
  for (let before = ""; before !== JSON.stringify(best); ) {
    before = JSON.stringify(best);
    cutEnd(() => best, accept);
    dropFaults(() => best, accept);
    dropCallers(() => best, accept);
    for (const simpler of simplifications(best)) accept({ ...best, ...simpler });
  }
  return best;
}

/** One line about a plan. */
export function describePlan({ nodes, durationMs, faults, workload }: SwarmPlan): string {
  const callers = workload.only?.length ?? workload.callers;
  return `${nodes} nodes, ${Math.round(durationMs)} ms, ${callers} callers, ${faults.length} faults: ${faults.map(({ kind }) => kind).join(" ")}`;
}

/** Ends earlier, by halves of what is left. */
function cutEnd(best: () => SwarmPlan, accept: StillFails): void {
  for (let cut = best().durationMs / 2; cut >= 100; cut /= 2) {
    const durationMs = best().durationMs - cut;
    accept({ ...best(), durationMs, faults: best().faults.filter(({ atMs }) => atMs < durationMs) });
  }
}

/** Chunks of half the list, then of a quarter, and so on. */
function dropFaults(best: () => SwarmPlan, accept: StillFails): void {
  for (let size = Math.ceil(best().faults.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < best().faults.length; ) {
      const { faults } = best();
      const isAccepted = accept({
        ...best(),
        faults: [...faults.slice(0, start), ...faults.slice(start + size)],
      });
      if (!isAccepted) start += size;
    }
  }
}

function dropCallers(best: () => SwarmPlan, accept: StillFails): void {
  const all = Array.from({ length: best().workload.callers }, (_, index) => index);
  for (const caller of all) {
    const { workload } = best();
    const only = (workload.only ?? all).filter((each) => each !== caller);
    if (only.length > 0) accept({ ...best(), workload: { ...workload, only } });
  }
}

function simplifications(plan: SwarmPlan): Partial<SwarmPlan>[] {
  const { workload, network } = plan;
  return [
    { nodes: 3 },
    { nodes: 4 },
    { clients: 1 },
    { replication: {} },
    { membership: {} },
    { network: { ...network, lossChance: 0, duplicateChance: 0 } },
    { network: { ...network, tailChance: 0 } },
    { network: {} },
    { workload: { ...workload, weights: { get: 5, set: 4, delete: 1 } } },
    { workload: { ...workload, weights: { get: 5, set: 4 } } },
    { workload: { ...workload, keys: 1 } },
  ];
}
