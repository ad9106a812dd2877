// How much a slot prefers a member: rendezvous (highest random weight) hashing, with less chance in it than usual.
//
// Slots come in 128 blocks of 128 neighbours. Within a block, a member's scores are spread evenly: the top 7 bits are a
// permutation of 0..127 that is drawn per member and block, the other 25 bits are a hash. So each member has exactly one score
// in each 128th of the range in every block, and wins nearly the same number of slots everywhere on the ring. That halves the
// variance of independent scores: at 50 members the fullest wants 1.09 times its share instead of 1.12, the cap turns away
// fewer slots, and a join moves 1.05 times the ideal instead of 1.08 (worst of 60 rings: 1.12 instead of 1.17).
//
// A member of weight w scores as its best of w copies. (The usual -ln(u)/w needs a logarithm, which engines may round
// differently; two members must never disagree on a slot.) Source: Thaler & Ravishankar 1998; the blocks are ours.

import { mix32 } from "../../base/hash.ts";
import { SLOT_COUNT } from "../../base/ids.ts";

/** Slots per block, and blocks: 2^7 of each. Half or double of it measured the same within noise. */
export const BLOCK_SIZE = 128;
const BLOCK_BITS = 7;
/** Bits of a score below the permuted ones. */
const HASH_BITS = 32 - BLOCK_BITS;
const BLOCK_COUNT = SLOT_COUNT / BLOCK_SIZE;

/** 2^32 / golden ratio, as a step: successive multiples are far apart in all bits. */
const GOLDEN = 0x9e3779b1;
/** Step from one weight copy's seed to the next; odd, and not GOLDEN, so that copies never walk along the slots' seeds. */
const COPY_STEP = 0x61c88647;

const SLOT_SEEDS = seeds(0, SLOT_COUNT);
const BLOCK_SEEDS = seeds(SLOT_COUNT, BLOCK_COUNT);

function seeds(first: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => mix32(Math.imul(first + index + 1, GOLDEN)));
}

/** What a score needs to know of a member. */
export interface Scorer {
  /** Any 32-bit integer that depends on the member's id alone. */
  readonly seed: number;
  readonly weight: number;
}

/** The score of one slot for one member: an unsigned 32-bit integer. Costs two hashes per unit of weight. */
export function score(slot: number, { seed, weight }: Scorer): number {
  let best = 0;
  for (let copy = 0; copy < weight; copy++) {
    const seedOfCopy = copySeed(seed, copy);
    const stratum = permuteInBlock(slot, blockKey(slot >>> BLOCK_BITS, seedOfCopy));
    const value = join(stratum, slot, seedOfCopy);
    if (value > best) best = value;
  }
  return best;
}

/** The best score of each slot so far, and whose it is. */
export interface BestScores {
  readonly scores: Uint32Array;
  /** Indexes of members. */
  readonly owners: Uint16Array;
}

/**
 * Makes `index` the owner of every slot that `scorer` scores strictly higher than the best so far. Most slots are decided by
 * the permutation alone, without a hash: that halves the cost of a ring, and more with weights.
 */
export function claimSlots(index: number, { seed, weight }: Scorer, best: BestScores): void {
  const { scores, owners } = best;
  for (let copy = 0; copy < weight; copy++) {
    const seedOfCopy = copySeed(seed, copy);
    for (let block = 0; block < BLOCK_COUNT; block++) {
      const key = blockKey(block, seedOfCopy);
      const end = (block + 1) * BLOCK_SIZE;
      for (let slot = block * BLOCK_SIZE; slot < end; slot++) {
        const stratum = permuteInBlock(slot, key);
        if (stratum < scores[slot]! >>> HASH_BITS) continue;
        const value = join(stratum, slot, seedOfCopy);
        if (value <= scores[slot]!) continue;
        scores[slot] = value;
        owners[slot] = index;
      }
    }
  }
}

function copySeed(seed: number, copy: number): number {
  return (seed + Math.imul(copy, COPY_STEP)) | 0;
}

function blockKey(block: number, seed: number): number {
  return mix32(BLOCK_SEEDS[block]! ^ seed);
}

function join(stratum: number, slot: number, seed: number): number {
  return ((stratum << HASH_BITS) | (mix32(SLOT_SEEDS[slot]! ^ seed) >>> BLOCK_BITS)) >>> 0;
}

/** A permutation of 0..127, applied to the slot's place in its block: each step (odd factor, sum, shifted xor) is reversible. */
function permuteInBlock(slot: number, key: number): number {
  let place = slot & (BLOCK_SIZE - 1);
  place = (Math.imul(place, key | 1) + (key >>> 7)) & (BLOCK_SIZE - 1);
  place ^= place >>> 3;
  place = (Math.imul(place, (key >>> 14) | 1) + (key >>> 21)) & (BLOCK_SIZE - 1);
  return place ^ (place >>> 4);
}
