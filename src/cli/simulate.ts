// A change of the ring that is only asked about: from what nodes say of themselves to the plan. Used by `ringhold ring --simulate` and by
// the `--dry-run` of `ringhold cluster add` and `remove`, and of `ringhold member set`.

import type { MemberId } from "../base/ids.ts";
import { isInRing } from "../core/messages.ts";
import { noCopies } from "../core/replication/copy.ts";
import type { RingMember } from "../core/ring/ring.ts";
import type { MemberStatus } from "../core/status.ts";
import { loadHashes } from "../io/hashes.ts";
import { UsageError } from "./failure.ts";
import type { ClusterView } from "./members-table.ts";
import { type ChangePlan, type MemberLoad, planChange } from "./ring-plan.ts";

/** Nodes that a simulated change adds. */
export const SIMULATED_NODES_MAX = 256;

/** What is asked about: so many new nodes, named or not, the end of one, or another place for one. */
export type Simulated =
  | { readonly verb: "add"; readonly count: number; readonly names?: readonly string[] }
  | { readonly verb: "remove"; readonly name: string }
  | {
      readonly verb: "set";
      readonly name: string;
      /** What is `undefined` stays. */
      readonly zone: string | undefined;
      readonly weight: number | undefined;
    };

/** `add 2` or `remove node-3`. @throws {UsageError} for anything else */
export function parseSimulated(words: readonly string[]): Simulated {
  const [verb, what, ...more] = words.join(" ").trim().split(/\s+/);
  if (verb === "remove" && what !== undefined && more.length === 0) return { verb, name: what };
  const count = Number(what ?? "1");
  if (verb === "add" && more.length === 0 && Number.isInteger(count) && count >= 1) {
    if (count <= SIMULATED_NODES_MAX) return { verb, count };
  }
  throw new UsageError(
    `--simulate must be \`add COUNT\` (1 to ${SIMULATED_NODES_MAX}) or \`remove NAME\`, received ${words.join(" ")}`,
  );
}

/** The members that are in the ring, as the asked node sees it. */
export function ringMembersOf(view: ClusterView): readonly MemberStatus[] {
  return view.asked.members.filter(({ ringState }) => isInRing(ringState));
}

/**
 * Works out what the change would move. New nodes have weight 1 and no zone.
 *
 * @throws {UsageError} when the node to be removed or moved is not in the ring, or the one to be removed is alone there
 */
export async function simulate(view: ClusterView, change: Simulated): Promise<ChangePlan> {
  const members = ringMembersOf(view);
  if (members.length === 0)
    throw new UsageError(`${view.asked.id} is not in a ring yet: ask again in a moment`);
  if (change.verb !== "add") checkPresence(members, change.name);
  if (change.verb === "remove" && members.length === 1)
    throw new UsageError(`${change.name} is the only node in the ring: nobody could take its slots`);
  return planChange(
    {
      members: members.map(({ id, weight, zone }) => ({ id, weight, zone })),
      replicas: view.asked.replicas,
      add: comers(view, change),
      remove: change.verb === "add" ? [] : [change.name as MemberId],
      loads: loadsOf(view),
    },
    await loadHashes(),
  );
}

function checkPresence(members: readonly MemberStatus[], name: string): void {
  if (members.some(({ id }) => id === name)) return;
  const names = members.map(({ id }) => id).join(", ");
  throw new UsageError(`${name} is not in the ring: its members are ${names}`);
}

/** Who comes: new nodes, or the node with its new place. */
function comers(view: ClusterView, change: Simulated): readonly RingMember[] {
  if (change.verb === "remove") return [];
  if (change.verb === "add") return newNames(view, change).map((id) => ({ id, weight: 1, zone: "" }));
  return ringMembersOf(view)
    .filter(({ id }) => id === change.name)
    .map(({ id, weight, zone }) => ({ id, weight: change.weight ?? weight, zone: change.zone ?? zone }));
}

/** `node-4`, `node-5`, ... as a local cluster would name them, unless names are given. */
function newNames(view: ClusterView, { count, names }: Extract<Simulated, { verb: "add" }>): MemberId[] {
  if (names !== undefined) return names.map((name) => name as MemberId);
  const taken = new Set<string>(view.asked.members.map(({ id }) => id));
  const numbers = [...taken].map((id) => Number(/-(\d+)$/.exec(id)?.[1] ?? 0));
  const first = 1 + Math.max(0, ...numbers.filter(Number.isSafeInteger));
  return Array.from({ length: count }, (_, index) => `node-${first + index}` as MemberId);
}

function loadsOf(view: ClusterView): Map<MemberId, MemberLoad> {
  const loads = new Map<MemberId, MemberLoad>();
  for (const { id, store, copied } of view.answers.values()) {
    // Nodes of an earlier version do not tell what they copied.
    const pace = copied?.largest ?? noCopies().largest;
    loads.set(id, { entries: store.entries, bytes: store.bytes, pace });
  }
  return loads;
}
