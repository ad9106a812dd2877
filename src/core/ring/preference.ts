// Who keeps the copies of a slot: its owner, then the owners of the slots that follow clockwise, each member once. With zones,
// copies are kept apart, so that losing one zone does not lose a slot.
//
// - `distinct`: every copy is in another zone. Only when there are at least as many zones as copies, and none of them is so
//   small that its members would drown (a zone with one of nine members would hold a copy of everything: 3 times the mean).
// - `preferred`: otherwise, the second copy goes to the nearest member outside the owner's zone, the rest to whoever is next.
//
// The rule follows from the members alone, so nodes and clients agree on it. Source: Dynamo 4.3 and 6.2, Cassandra's
// NetworkTopologyStrategy, and CASSANDRA-3810 for the danger of a small zone.

import { assert } from "../../base/assert.ts";
import { SLOT_COUNT } from "../../base/ids.ts";

/** See the top of the file. With a single zone both rules are the plain walk. */
export type ZoneRule = "distinct" | "preferred";

interface Zoned {
  readonly weight: number;
  readonly zone: string;
}

/** Decides how zones keep copies apart: `distinct` needs `copies` zones, each with at least half its fair share of weight. */
export function computeZoneRule(members: readonly Zoned[], copies: number): ZoneRule {
  const weightOfZone = new Map<string, number>();
  let total = 0;
  for (const { zone, weight } of members) {
    weightOfZone.set(zone, (weightOfZone.get(zone) ?? 0) + weight);
    total += weight;
  }
  const zones = weightOfZone.size;
  if (zones < copies) return "preferred";
  return [...weightOfZone.values()].every((weight) => 2 * zones * weight >= total) ? "distinct" : "preferred";
}

/** What {@link computeReplicaTable} walks over. */
export interface WalkInput {
  /** Owner of each slot, an index into `members`. */
  readonly owners: Uint16Array;
  readonly members: readonly Zoned[];
  /** From 1 to the number of members. */
  readonly copies: number;
}

/** Replicas of all slots, `copies` member indexes per slot, in order of preference, the owner first, no repeats. */
export function computeReplicaTable({ owners, members, copies }: WalkInput): Uint16Array {
  const zones = numberZones(members);
  const owning = membersOwning(owners, members.length);
  // A member of tiny weight may own no slot; walks never meet it, and it keeps no copies.
  assert(owning.length >= copies, "caps that spread slots over as many members as there are copies");
  const zonesOwning = new Set(owning.map((owner) => zones[owner])).size;
  const wantedApart = computeZoneRule(members, copies) === "distinct" ? copies : 2;
  const placesApart = Math.min(copies, wantedApart, zonesOwning);
  const table = new Uint16Array(SLOT_COUNT * copies);
  // One row for all slots: rings are built seldom, by code that is not compiled by then, and a view for each slot took most of the time.
  const walked: Walk = { owners, zones, placesApart, row: new Uint16Array(copies) };
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    walk(walked, slot);
    table.set(walked.row, slot * copies);
  }
  return table;
}

/** Indexes of the members that own a slot, ascending. */
function membersOwning(owners: Uint16Array, memberCount: number): readonly number[] {
  const isOwning = new Uint8Array(memberCount);
  for (let slot = 0; slot < owners.length; slot++) isOwning[owners[slot]!] = 1;
  return [...isOwning.keys()].filter((member) => isOwning[member] === 1);
}

/** A number for each member's zone. */
function numberZones(members: readonly Zoned[]): Uint16Array {
  const numbers = new Map<string, number>();
  return Uint16Array.from(members, ({ zone }) => {
    if (!numbers.has(zone)) numbers.set(zone, numbers.size);
    return numbers.get(zone)!;
  });
}

interface Walk {
  readonly owners: Uint16Array;
  readonly zones: Uint16Array;
  /** The first so many replicas are all in different zones; at most as many as there are zones that own slots. */
  readonly placesApart: number;
  /** Filled with the replicas of a slot. */
  readonly row: Uint16Array;
}

function walk({ owners, zones, placesApart, row }: Walk, slot: number): void {
  row[0] = owners[slot]!;
  let taken = 1;
  for (let step = slot; taken < placesApart; step = (step + 1) % SLOT_COUNT) {
    const candidate = owners[step]!;
    if (!sharesZone(row, taken, candidate, zones)) row[taken++] = candidate;
  }
  for (let step = slot; taken < row.length; step = (step + 1) % SLOT_COUNT) {
    const candidate = owners[step]!;
    if (!includes(row, taken, candidate)) row[taken++] = candidate;
  }
}

function includes(row: Uint16Array, taken: number, candidate: number): boolean {
  for (let place = 0; place < taken; place++) if (row[place] === candidate) return true;
  return false;
}

function sharesZone(row: Uint16Array, taken: number, candidate: number, zones: Uint16Array): boolean {
  for (let place = 0; place < taken; place++) if (zones[row[place]!] === zones[candidate]) return true;
  return false;
}
