// Turns rows of member indexes into lists of ids, one shared frozen list per distinct row, so that asking for a preference
// list allocates nothing and a small cluster keeps a few dozen lists instead of 16,384.
//
// Equal rows are found with a hash table of slots, open addressing, at most half full. (A Map keyed by text is shorter, and
// took half the time of building a whole ring.)

import { mix32 } from "../../base/hash.ts";
import { type MemberId, SLOT_COUNT } from "../../base/ids.ts";

const BUCKET_MASK = 2 * SLOT_COUNT - 1;
const EMPTY = -1;

/** Rows of `copies` indexes into `ids`, one row per slot. */
export interface ReplicaRows {
  readonly table: Uint16Array;
  readonly copies: number;
  readonly ids: readonly MemberId[];
}

/** The lists by slot. Equal rows are the same frozen array. */
export function internLists(rows: ReplicaRows): readonly (readonly MemberId[])[] {
  const lists: (readonly MemberId[])[] = [];
  const firstSlots = new Int32Array(BUCKET_MASK + 1).fill(EMPTY);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const bucket = findBucket(rows, slot, firstSlots);
    if (firstSlots[bucket] === EMPTY) {
      firstSlots[bucket] = slot;
      lists.push(Object.freeze(idsOf(rows, slot)));
    } else {
      lists.push(lists[firstSlots[bucket]!]!);
    }
  }
  return lists;
}

/** The bucket of the first slot with the same row, or the empty one where this slot belongs. */
function findBucket(rows: ReplicaRows, slot: number, firstSlots: Int32Array): number {
  let bucket = hashRow(rows, slot) & BUCKET_MASK;
  while (firstSlots[bucket] !== EMPTY && !areRowsEqual(rows, firstSlots[bucket]!, slot)) {
    bucket = (bucket + 1) & BUCKET_MASK;
  }
  return bucket;
}

function hashRow({ table, copies }: ReplicaRows, slot: number): number {
  let hash = 0;
  for (let place = slot * copies; place < (slot + 1) * copies; place++)
    hash = mix32(hash ^ (table[place]! + 1));
  return hash;
}

function areRowsEqual({ table, copies }: ReplicaRows, slot: number, otherSlot: number): boolean {
  for (let place = 0; place < copies; place++) {
    if (table[slot * copies + place] !== table[otherSlot * copies + place]) return false;
  }
  return true;
}

function idsOf({ table, copies, ids }: ReplicaRows, slot: number): MemberId[] {
  const list: MemberId[] = [];
  for (let place = slot * copies; place < (slot + 1) * copies; place++) list.push(ids[table[place]!]!);
  return list;
}
