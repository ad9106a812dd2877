// A second ring, slow and obvious, for the real one to be compared with: one proposal at a time in an order of its own, full
// preference orders sorted up front, and replicas picked from the complete clockwise list of members.

import { SLOT_COUNT } from "../../../src/base/ids.ts";
import { computeZoneRule } from "../../../src/core/ring/preference.ts";
import type { RingMember } from "../../../src/core/ring/ring.ts";

/** How much `slot` wants `member`, an index. */
export type ScoreOf = (slot: number, member: number) => number;

/** Owners by slot. Slots propose one by one, the highest slot first, and the rejected ones again at once. */
export function slowOwners(memberCount: number, caps: readonly number[], scoreOf: ScoreOf): number[] {
  const owners = new Array<number>(SLOT_COUNT).fill(-1);
  const choices = new Map<number, number[]>();
  const held = Array.from({ length: memberCount }, () => new Set<number>());
  const waiting = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
  for (let slot = waiting.pop(); slot !== undefined; slot = waiting.pop()) {
    if (!choices.has(slot)) choices.set(slot, orderOf(slot, memberCount, scoreOf));
    const choice = choices.get(slot)!.shift()!;
    owners[slot] = choice;
    held[choice]!.add(slot);
    if (held[choice]!.size > caps[choice]!) {
      const worst = worstOf(held[choice]!, choice, scoreOf);
      held[choice]!.delete(worst);
      waiting.push(worst);
    }
  }
  return owners;
}

function orderOf(slot: number, memberCount: number, scoreOf: ScoreOf): number[] {
  const members = Array.from({ length: memberCount }, (_, index) => index);
  return members.sort((a, b) => scoreOf(slot, b) - scoreOf(slot, a) || a - b);
}

function worstOf(slots: ReadonlySet<number>, member: number, scoreOf: ScoreOf): number {
  return [...slots].reduce((worst, slot) => {
    const difference = scoreOf(slot, member) - scoreOf(worst, member);
    return difference < 0 || (difference === 0 && slot > worst) ? slot : worst;
  });
}

/** Replicas of one slot as indexes into `members`, in order of preference. */
export function slowReplicas(
  slot: number,
  owners: readonly number[],
  members: readonly RingMember[],
  replicas: number,
): number[] {
  const copies = Math.min(replicas, members.length);
  const clockwise = [...new Set([...owners.slice(slot), ...owners.slice(0, slot)])];
  const zoneOf = (index: number | undefined): string => members[index!]!.zone;
  if (computeZoneRule(members, copies) === "distinct") {
    const firstOfZone = clockwise.filter(
      (index, place) => clockwise.findIndex((other) => zoneOf(other) === zoneOf(index)) === place,
    );
    return firstOfZone.slice(0, copies);
  }
  const owner = clockwise[0]!;
  const elsewhere = copies >= 2 ? clockwise.find((index) => zoneOf(index) !== zoneOf(owner)) : undefined;
  const first = elsewhere === undefined ? [owner] : [owner, elsewhere];
  return [...first, ...clockwise.filter((index) => !first.includes(index))].slice(0, copies);
}
