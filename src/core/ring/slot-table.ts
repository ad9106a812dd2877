// The owner of every slot: rendezvous hashing with a cap, solved by deferred acceptance (Gale & Shapley 1962).
//
// Every slot proposes to the member it scores highest. A member keeps its best-scored slots up to its cap and turns the others
// away; those propose to their next choice, and so on until nobody is over its cap. Whatever order proposals are made in, the
// outcome is the same one, so it depends on nothing but the set of members: no coordinator, no memory of past rings.
//
// 1. No member owns more slots than its cap.
// 2. A slot's owner is the best-scored member that did not turn it away for better-scored slots.
// 3. Ties: a slot prefers the smaller id (the lower index here); a member prefers the lower slot.
//
// Without the cap, peak load is 1.09 times the mean at 50 members; with it 1.04, and few slots are turned away, so that
// nearly all a join moves is what the joiner takes.

import { assert } from "../../base/assert.ts";
import { SLOT_COUNT } from "../../base/ids.ts";
import { claimSlots, type Scorer, score } from "./score.ts";

/** Owners by slot, as indexes into the members given, and how many slots each of them owns. */
export interface SlotTable {
  readonly owners: Uint16Array;
  readonly counts: Uint32Array;
}

interface Assignment extends SlotTable {
  /** What each slot scores for its present owner. */
  readonly scores: Uint32Array;
}

/**
 * Computes the owners of all slots.
 *
 * @param members In byte-wise order of their ids; at most 65,535.
 * @param caps Most slots of each member; together at least the number of slots.
 */
export function computeSlotTable(members: readonly Scorer[], caps: readonly number[]): SlotTable {
  const table = assignFirstChoices(members);
  for (;;) {
    const rejected = rejectBeyondCaps(table, caps);
    if (rejected.length === 0) return table;
    for (const slot of rejected) proposeToNext(slot, members, table);
  }
}

function assignFirstChoices(members: readonly Scorer[]): Assignment {
  const owners = new Uint16Array(SLOT_COUNT);
  const scores = new Uint32Array(SLOT_COUNT);
  // In order of ids: of equal scores the earlier member's, that is the smaller id's, stays (3).
  members.forEach((member, index) => {
    claimSlots(index, member, { scores, owners });
  });
  const counts = new Uint32Array(members.length);
  for (let slot = 0; slot < SLOT_COUNT; slot++) counts[owners[slot]!]! += 1;
  return { owners, counts, scores };
}

/** The slots that members over their caps turn away: their worst-scored ones. */
function rejectBeyondCaps(table: Assignment, caps: readonly number[]): number[] {
  const held = new Map<number, number[]>();
  table.counts.forEach((count, member) => {
    if (count > caps[member]!) held.set(member, []);
  });
  if (held.size === 0) return [];
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    held.get(table.owners[slot]!)?.push(rankOf(slot, table.scores[slot]!));
  }
  const rejected: number[] = [];
  for (const [member, ranks] of held) {
    const worstFirst = Float64Array.from(ranks).sort();
    for (const rank of worstFirst.subarray(0, ranks.length - caps[member]!)) rejected.push(slotOf(rank));
  }
  return rejected;
}

/** Score and slot in one safe integer (46 bits), so that a numeric sort puts a member's least wanted slot first (3). */
function rankOf(slot: number, slotScore: number): number {
  return slotScore * SLOT_COUNT + (SLOT_COUNT - 1 - slot);
}

function slotOf(rank: number): number {
  return SLOT_COUNT - 1 - (rank % SLOT_COUNT);
}

/** Moves a slot from the member that turned it away to the next in the slot's order of preference. */
function proposeToNext(slot: number, members: readonly Scorer[], table: Assignment): void {
  const last = table.owners[slot]!;
  const lastScore = table.scores[slot]!;
  let next = -1;
  let nextScore = -1;
  for (let index = 0; index < members.length; index++) {
    const value = score(slot, members[index]!);
    const wasAsked = value > lastScore || (value === lastScore && index <= last);
    if (!wasAsked && value > nextScore) {
      next = index;
      nextScore = value;
    }
  }
  assert(next !== -1, "caps that leave room for every slot");
  table.counts[last]! -= 1;
  table.counts[next]! += 1;
  table.owners[slot] = next;
  table.scores[slot] = nextScore;
}
