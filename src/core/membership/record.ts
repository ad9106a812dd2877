// The order of member records: a join-semilattice, so that views agree whatever way, how often and in which order news travels.
//
// A record has parts. `generation` (the boot number) is compared first: the newer boot's record replaces the older one
// whole, address and all. Within one generation the others are joined one by one, each by its own total order:
//   address    never differs honestly; the greater wins so that even a mistake converges
//   place      (placeSeq, zone, weight): what the member is in the ring; the arbiter moves it to the member's wish
//   wish       (seq, zone, weight): the place that the member wants; its own
//   liveness   (incarnation, alive < suspect < dead): anyone accuses, only the member itself raises its incarnation
//   ring       (phase, ringSeq, state, settled, prepared): the member's own, but others may move it on: into the ring, towards
//              its eviction, out. The phases (before, in, out of the ring) only go forward, whatever the member says meanwhile
// A product of chains under a chain, hence: merge is commutative, associative and idempotent, and only ever moves up.
// Source: SWIM section 4.2; the generation is Cassandra's.

import { compareIds } from "../../base/ids.ts";
import { isInRing, type Liveness, type MemberRecord, type Place, type RingState } from "../messages.ts";

/** A boot number further ahead of our wall clock than this is refused: it could never be replaced. 24 hours. */
export const GENERATION_AHEAD_MS_MAX = 86_400_000;

/** Incarnations and sequence numbers above this are refused: an honest member never gets there, and could not go beyond. */
export const SEQUENCE_MAX = 2 ** 31;

const LIVENESS_RANK: Readonly<Record<Liveness, number>> = { alive: 0, suspect: 1, dead: 2 };
const RING_RANK: Readonly<Record<RingState, number>> = {
  joining: 0,
  warming: 1,
  active: 2,
  leaving: 3,
  condemned: 4,
  left: 5,
  evicted: 6,
};

/** Whether the state is final: this generation of the member is out of the ring for good. */
export function isOut(state: RingState): boolean {
  return state === "left" || state === "evicted";
}

/** The least record that is at or above both. Returns `known` itself when `incoming` adds nothing. Both are of one id. */
export function mergeRecords(known: MemberRecord, incoming: MemberRecord): MemberRecord {
  if (known.generation !== incoming.generation) {
    return known.generation > incoming.generation ? known : incoming;
  }
  const identity = compareIds(known.address, incoming.address) >= 0 ? known : incoming;
  const place = comparePlace(placeOf(known), placeOf(incoming)) >= 0 ? known : incoming;
  const wish = comparePlace(known.wanted, incoming.wanted) >= 0 ? known : incoming;
  const liveness = compareLiveness(known, incoming) >= 0 ? known : incoming;
  const ring = compareRing(known, incoming) >= 0 ? known : incoming;
  if ([place, wish, liveness, ring].every((part) => part === identity)) return identity;
  return {
    id: known.id,
    address: identity.address,
    zone: place.zone,
    weight: place.weight,
    placeSeq: place.placeSeq,
    wanted: wish.wanted,
    generation: known.generation,
    incarnation: liveness.incarnation,
    liveness: liveness.liveness,
    ringSeq: ring.ringSeq,
    ringState: ring.ringState,
    settledRingId: ring.settledRingId,
    preparedRingId: ring.preparedRingId,
  };
}

/** Order of the liveness parts of two records of one generation: negative, 0 or positive. */
export function compareLiveness(a: MemberRecord, b: MemberRecord): number {
  return a.incarnation - b.incarnation || LIVENESS_RANK[a.liveness] - LIVENESS_RANK[b.liveness];
}

/** Order of the ring parts of two records of one generation. The ids come last only to make the order total. */
export function compareRing(a: MemberRecord, b: MemberRecord): number {
  return (
    phaseOf(a.ringState) - phaseOf(b.ringState) ||
    a.ringSeq - b.ringSeq ||
    RING_RANK[a.ringState] - RING_RANK[b.ringState] ||
    compareIds(a.settledRingId, b.settledRingId) ||
    compareIds(a.preparedRingId, b.preparedRingId)
  );
}

/** 0 before the ring, 1 in it, 2 out of it: no generation of a member goes back. */
function phaseOf(state: RingState): number {
  return isOut(state) ? 2 : Number(isInRing(state));
}

/** None is below all others. Zone and weight come last only to make the order total. */
function comparePlace(a: Place | undefined, b: Place | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return a.seq - b.seq || compareIds(a.zone, b.zone) || a.weight - b.weight;
}

function placeOf({ placeSeq: seq, zone, weight }: MemberRecord): Place {
  return { seq, zone, weight };
}

/** Whether both say the same about the member's life: boot, incarnation and liveness. */
export function isSameLiveness(a: MemberRecord, b: MemberRecord): boolean {
  return a.generation === b.generation && a.incarnation === b.incarnation && a.liveness === b.liveness;
}

/** An incarnation or sequence number that is ahead by more than this of what is known of the same boot is refused: each step is news of its own. */
const STEPS_MAX = 1_000;

/**
 * Whether a record of a known member's same boot is further ahead than news can have been missed. Who believed it would force the member to go
 * beyond, and in a few such steps to numbers that nobody believes.
 */
export function isLeap(known: MemberRecord, told: MemberRecord): boolean {
  if (known.generation !== told.generation) return false;
  return stepsBetween(known, told) > STEPS_MAX;
}

/** By the number that went furthest. */
function stepsBetween(known: MemberRecord, told: MemberRecord): number {
  return Math.max(
    told.incarnation - known.incarnation,
    told.ringSeq - known.ringSeq,
    told.placeSeq - known.placeSeq,
    (told.wanted?.seq ?? 0) - (known.wanted?.seq ?? 0),
  );
}

/** Whether a record may be believed at all, by our own wall clock (ms since 1970). */
export function isPlausible(record: MemberRecord, wallMs: number): boolean {
  return (
    record.generation <= wallMs + GENERATION_AHEAD_MS_MAX &&
    record.incarnation <= SEQUENCE_MAX &&
    record.ringSeq <= SEQUENCE_MAX &&
    record.placeSeq <= SEQUENCE_MAX &&
    (record.wanted?.seq ?? 0) <= SEQUENCE_MAX
  );
}
