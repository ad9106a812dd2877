// The ring: which members keep a slot's copies, for all 16,384 slots (the virtual nodes). It is immutable and a function of
// the set of members and the parameters alone, so every node and every client that computes it holds the same table; `id`
// names it. When members come or go, a new ring is built (2 ms at 5 members, 7 ms at 50) and compared with the old one.
//
// Invariants, tested as properties:
// R1. The same members in any order give the same table and id.
// R2. Every slot has min(replicas, members) distinct replicas, its owner first.
// R3. Nobody owns more slots than its cap: 104 % of its share, rounded up.
// R4. A join or leave moves at most 2 % of the slots between two members that are there before and after, up to 100 members
//     (4 % where a weight is over the limit of `shares.ts`).
// R5. Copies are in distinct zones where the zone rule says so (`preference.ts`).
// R6. Golden tables are committed, so that the function cannot drift.

import { assert } from "../../base/assert.ts";
import { type Hashes, mix32 } from "../../base/hash.ts";
import { compareIds, type MemberId, type RingId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import { internLists } from "./intern-lists.ts";
import { computeReplicaTable, computeZoneRule, type ZoneRule } from "./preference.ts";
import { computeCaps, computeShares, type Shares } from "./shares.ts";
import { computeSlotTable } from "./slot-table.ts";

/** Names the whole ring function. Any change to a table it produces is a new version; the handshake refuses another one. */
export const HASH_VERSION = 1;

/** One member as the ring sees it. */
export interface RingMember {
  readonly id: MemberId;
  /** Integer from 1 to 64: its share of the slots against the others. */
  readonly weight: number;
  /** Members of one zone are expected to fail together; "" is a zone like any other. */
  readonly zone: string;
}

/** The same on every node of a cluster; the handshake checks it. */
export interface RingParameters {
  /** Copies of each key, from 1. */
  readonly replicas: number;
  /**
   * Most slots a member may own, in percent of its fair share; above 100. 104 and not 105, because rounding adds up to one
   * slot; 102 would move more slots at each join.
   */
  readonly capPercent: number;
}

/** The parameters of a cluster that keeps `replicas` copies. */
export function ringParameters(replicas: number): RingParameters {
  return Object.freeze({ replicas, capPercent: 104 });
}

/** Members of one ring. With more, a fair share is fewer than 16 slots, and rounding alone is over the cap. */
export const RING_MEMBERS_MAX = 1024;

/** An immutable table of the replicas of every slot. */
export class Ring {
  readonly id: RingId;
  /** By id; frozen. */
  readonly members: readonly RingMember[];
  readonly parameters: RingParameters;
  /** How copies are kept in different zones; worth a warning when zones are given and it is `preferred`. */
  readonly zoneRule: ZoneRule;
  readonly #shares: Shares;
  /** Copies of each slot: `replicas`, or all members where there are fewer. */
  readonly #copies: number;
  readonly #indexes: ReadonlyMap<string, number>;
  /** Row of `#copies` member indexes per slot. */
  readonly #table: Uint16Array;
  /** By slot; equal lists are one array. */
  readonly #lists: readonly (readonly MemberId[])[];
  readonly #ownedCounts: Uint32Array;
  readonly #replicaCounts: Uint32Array;

  /**
   * Builds the ring of these members, given in any order. Costs about 2 ms at 5 members of weight 1 and 7 ms at 50, and
   * grows with the sum of weights.
   *
   * @param members At least one, at most {@link RING_MEMBERS_MAX}, with unique ids. Copied.
   */
  static build(members: readonly RingMember[], parameters: RingParameters, hashes: Hashes): Ring {
    return new Ring(members, parameters, hashes);
  }

  private constructor(members: readonly RingMember[], parameters: RingParameters, hashes: Hashes) {
    checkInput(members, parameters);
    this.members = Object.freeze(
      sortedById(members).map(({ id, weight, zone }) => Object.freeze({ id, weight, zone })),
    );
    this.parameters = Object.freeze({ ...parameters });
    this.id = computeRingId(this.members, parameters, hashes);
    this.#indexes = new Map(this.members.map(({ id }, index) => [id, index]));
    assert(this.#indexes.size === this.members.length, "ids that are unique");
    this.#copies = Math.min(parameters.replicas, this.members.length);
    this.#shares = computeShares(
      this.members.map(({ weight }) => weight),
      this.#copies,
    );
    const scorers = this.members.map(({ id, weight }) => ({ seed: mix32(hashes.hash32(id)), weight }));
    const { owners, counts } = computeSlotTable(
      scorers,
      computeCaps(this.#shares, SLOT_COUNT, parameters.capPercent),
    );
    this.#ownedCounts = counts;
    this.zoneRule = computeZoneRule(this.members, this.#copies);
    this.#table = computeReplicaTable({ owners, members: this.members, copies: this.#copies });
    this.#replicaCounts = countReplicas(this.#table, this.members.length);
    this.#lists = internLists({
      table: this.#table,
      copies: this.#copies,
      ids: this.members.map(({ id }) => id),
    });
  }

  /** Copies asked for. A slot has fewer while there are fewer members. */
  get replicas(): number {
    return this.parameters.replicas;
  }

  /**
   * The members that keep the slot: min(replicas, members) ids in ring order, the owner first, no repeats. (Under the zone rule
   * `preferred`, the second is the nearest of another zone.) Frozen and shared: nothing is allocated.
   */
  preferenceList(slot: Slot): readonly MemberId[] {
    const list = this.#lists[slot];
    assert(list !== undefined, "a slot from 0 to 16383");
    return list;
  }

  /** The member that keeps the slot's first copy. */
  ownerOf(slot: Slot): MemberId {
    return this.preferenceList(slot)[0]!;
  }

  /** Whether `id` is a member of this ring. */
  has(id: MemberId): boolean {
    return this.#indexes.has(id);
  }

  /** Whether `id` keeps a copy of the slot; false for strangers. */
  isReplica(slot: Slot, id: MemberId): boolean {
    return this.preferenceList(slot).includes(id);
  }

  /** Slots whose first copy `id` keeps; 0 for strangers. */
  slotsOwnedBy(id: MemberId): number {
    return this.#ownedCounts[this.#indexes.get(id) ?? -1] ?? 0;
  }

  /** Slots of which `id` keeps a copy, owned ones included; 0 for strangers. */
  slotsReplicatedBy(id: MemberId): number {
    return this.#replicaCounts[this.#indexes.get(id) ?? -1] ?? 0;
  }

  /**
   * The part of all slots that the member's weight entitles it to own, 0 to 1; 0 for strangers. Its weight over all weights,
   * but at most one over the number of copies (`shares.ts`).
   */
  idealShare(id: MemberId): number {
    const index = this.#indexes.get(id);
    return index === undefined ? 0 : this.#shares.numerators[index]! / this.#shares.denominator;
  }

  /** Slots of which `id` keeps a copy, ascending; empty for strangers. Costs a walk over the table. */
  replicaSlots(id: MemberId): readonly Slot[] {
    const member = this.#indexes.get(id);
    const slots: Slot[] = [];
    if (member === undefined) return slots;
    for (let place = 0; place < this.#table.length; place++) {
      if (this.#table[place] === member) slots.push(Math.floor(place / this.#copies) as Slot);
    }
    return slots;
  }
}

/** Names the ring of these members, in any order, without building its table. Costs one sort and one short hash. */
export function computeRingId(
  members: readonly RingMember[],
  parameters: RingParameters,
  hashes: Hashes,
): RingId {
  const rows = sortedById(members).map(({ id, weight, zone }) => [id, weight, zone]);
  const canonical = [HASH_VERSION, SLOT_COUNT, parameters.capPercent, parameters.replicas, rows];
  return hashes.hash64Hex(JSON.stringify(canonical)) as RingId;
}

function checkInput(members: readonly RingMember[], { replicas, capPercent }: RingParameters): void {
  assert(members.length >= 1, "a ring of at least one member");
  assert(members.length <= RING_MEMBERS_MAX, `a ring of at most ${RING_MEMBERS_MAX} members`);
  assert(Number.isInteger(replicas) && replicas >= 1, "at least one replica");
  assert(Number.isInteger(capPercent) && capPercent >= 100, "a cap that leaves room for every slot");
  for (const { weight } of members) {
    assert(Number.isInteger(weight) && weight >= 1 && weight <= 64, "a weight from 1 to 64");
  }
}

function countReplicas(table: Uint16Array, memberCount: number): Uint32Array {
  const counts = new Uint32Array(memberCount);
  for (let place = 0; place < table.length; place++) counts[table[place]!]! += 1;
  return counts;
}

/** A new list in byte-wise order of ids. */
function sortedById(members: readonly RingMember[]): RingMember[] {
  return [...members].sort((a, b) => compareIds(a.id, b.id));
}
