// What this node may say about each slot.
//
// - `none`: no replica of it.
// - `counted`: a replica whose answers count towards quorums.
// - `warming`: a replica by the ring, but its memory of the slot is not complete: it stores what it is sent, and never counts.
// - `former`: was counted under an earlier ring and is no replica now: a source to copy from until everybody is settled, nothing more.
//
// Why this keeps acknowledged writes (N replicas, W = floor(N/2)+1, reads ask W): a write acknowledged under a ring is held by W
// counted replicas of that ring, so at most N - W counted ones lack it. A ring change only takes members out of the counted
// set; a newcomer enters it after copying from N - W + 1 members that were counted, one of which holds the write. Hence the
// number of counted replicas that lack it never exceeds N - W, and every read quorum meets it. No quorum mixes rings, because
// replicas refuse foreground messages of another ring than theirs. When the ring changes again before a newcomer has copied, the slot that
// it still has to fill is owed to it by the same members as before: those of the ring that it came after, or of a later one.
//
// A node that restarts knows of no ring before the present one, and so of no former replica. Until everybody is settled, those who
// gained the slot may be the only others of its list that will hold what it lost: they are waited for. They wait in turn for nobody but
// the absent, since they ask the former replicas. So nobody waits in a circle, however many have restarted.
//
// A counted slot can also be `doubtful`: a peer that might have acknowledged a write without us reaching us is gone. It still
// counts (quorums cover for it), but this node must not answer for it alone until it compared notes with the others, after the
// doubt arose: a comparison already under way may have asked too early. A warming slot keeps a doubt for when it counts.

import { type MemberId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Ring } from "../ring/ring.ts";

const NONE = 0;
const COUNTED = 1;
const WARMING = 2;
const FORMER = 3;

/** Doubtful; or doubtful, and being compared since the last doubt. */
const DOUBTED = 1;
const COMPARED = 2;

/** The state of every slot on this node. */
export class SlotStates {
  readonly #states = new Uint8Array(SLOT_COUNT);
  readonly #doubtful = new Uint8Array(SLOT_COUNT);
  /** Monotonic time from which on a counted slot has counted. */
  readonly #countedSinceMs = new Float64Array(SLOT_COUNT).fill(Number.NEGATIVE_INFINITY);
  /** Of the slots that the present ring took from this node: from which time on they counted; of all others infinity. */
  readonly #heldSinceMs = new Float64Array(SLOT_COUNT).fill(Number.POSITIVE_INFINITY);
  /** Slots that warm because a change of the ring gave them to this node, and not because it forgot them. */
  readonly #gained = new Uint8Array(SLOT_COUNT);
  #warmingCount = 0;
  #doubtfulCount = 0;
  #gainedCount = 0;
  #lostCount = 0;

  get warmingCount(): number {
    return this.#warmingCount;
  }

  get doubtfulCount(): number {
    return this.#doubtfulCount;
  }

  /** Slots that the present ring gave to this node, to be filled. */
  get gainedCount(): number {
    return this.#gainedCount;
  }

  /** Slots that the present ring took from this node, where they had counted. */
  get lostCount(): number {
    return this.#lostCount;
  }

  counts(slot: Slot): boolean {
    return this.#states[slot] === COUNTED;
  }

  /** Whether the slot counts, and has since `sinceMs`: what was copied before tells nothing of writes that were overwritten. */
  countsSince(slot: Slot, sinceMs: number): boolean {
    return this.counts(slot) && this.#countedSinceMs[slot]! <= sinceMs;
  }

  /** Whether the slot counts, and a change of the ring has given it to this node: it was never lost here. */
  isNewcomer(slot: Slot): boolean {
    return this.counts(slot) && this.#gained[slot] === 1;
  }

  /** Whether the present ring took the slot from this node, where it had counted since `sinceMs`. */
  countedUntilLost(slot: Slot, sinceMs: number): boolean {
    return this.#heldSinceMs[slot]! <= sinceMs;
  }

  isWarming(slot: Slot): boolean {
    return this.#states[slot] === WARMING;
  }

  /** Whether a slot that warms does so because a change of the ring gave it to this node. */
  isGained(slot: Slot): boolean {
    return this.#gained[slot] === 1;
  }

  /** Gained and not filled: this node knows who held the slot before, and waits for none of those who gained it with it. */
  isFilling(slot: Slot): boolean {
    return this.isWarming(slot) && this.isGained(slot);
  }

  isDoubtful(slot: Slot): boolean {
    return this.#doubtful[slot] !== 0;
  }

  /** Whether a doubtful slot is being compared, and nothing has made it doubtful since. */
  isCompared(slot: Slot): boolean {
    return this.#doubtful[slot] === COMPARED;
  }

  /** Counted, and current enough to answer for the slot alone. */
  isTrusted(slot: Slot): boolean {
    return this.#states[slot] === COUNTED && this.#doubtful[slot] === 0;
  }

  /** Whether others may copy the slot from here. */
  isEntitled(slot: Slot): boolean {
    return this.#states[slot] === COUNTED || this.#states[slot] === FORMER;
  }

  /** Whether nothing of the slot needs to be kept. */
  isForeign(slot: Slot): boolean {
    return this.#states[slot] === NONE || this.#states[slot] === FORMER;
  }

  /**
   * Moves every slot to its state under the next ring. `isFounding`: there is nobody to copy from, new slots count at once.
   * `isChange`: this node knew a ring before, and what it gains it never lost ({@link isNewcomer}). Returns the slots that are new here: of
   * those that come back while this node is a source of them it holds what others may lack.
   */
  adopt(ring: Ring, self: MemberId, isFounding: boolean, isChange = false): readonly Slot[] {
    const added: Slot[] = [];
    this.#gainedCount = 0;
    this.#lostCount = 0;
    for (let index = 0; index < SLOT_COUNT; index++) {
      const slot = index as Slot;
      const state = this.#states[slot]!;
      const isReplica = ring.isReplica(slot, self);
      const isLost = state === COUNTED && !isReplica;
      this.#heldSinceMs[slot] = isLost ? this.#countedSinceMs[slot]! : Number.POSITIVE_INFINITY;
      if (isReplica) {
        if (state === COUNTED || state === WARMING) continue;
        this.#set(slot, isFounding ? COUNTED : WARMING);
        this.#gained[slot] = Number(isChange);
        if (isFounding) continue;
        this.#gainedCount++;
        if (state !== FORMER) added.push(slot);
      } else if (isLost) {
        this.#set(slot, FORMER);
        this.#lostCount++;
      } else if (state === WARMING) {
        this.#set(slot, NONE);
      }
    }
    return added;
  }

  /** This node is a replica of nothing any more. */
  reset(): void {
    for (let index = 0; index < SLOT_COUNT; index++) this.#set(index as Slot, NONE);
    this.#heldSinceMs.fill(Number.POSITIVE_INFINITY);
  }

  /** A warming slot is filled, or the comparison of a doubtful one is over: it settles what was doubted before it began. */
  settle(slot: Slot, nowMs: number): void {
    if (this.#states[slot] === WARMING) {
      this.#set(slot, COUNTED);
      this.#countedSinceMs[slot] = nowMs;
    } else if (this.#doubtful[slot] === COMPARED) {
      this.#setDoubtful(slot, 0);
    }
  }

  /** Does nothing unless this node is a replica of the slot. */
  doubt(slot: Slot): void {
    if (!this.isForeign(slot)) this.#setDoubtful(slot, DOUBTED);
  }

  /** Doubts every slot of the member's: who is gone may have acknowledged writes with others that this node has not got. */
  doubtShared(ring: Ring, member: MemberId): void {
    for (let index = 0; index < SLOT_COUNT; index++) {
      const slot = index as Slot;
      if (ring.isReplica(slot, member)) this.doubt(slot);
    }
  }

  /**
   * Who becomes a slot's first replica answers for it alone from now on, and may have missed what the one before acknowledged: in doubt
   * until compared. Whoever was first before, or is not first now, is not asked for more than it knows.
   */
  doubtInherited(from: Ring, to: Ring, self: MemberId): void {
    for (let index = 0; index < SLOT_COUNT; index++) {
      const slot = index as Slot;
      if (to.ownerOf(slot) === self && from.ownerOf(slot) !== self) this.doubt(slot);
    }
  }

  /** A comparison of a doubtful slot begins. */
  compare(slot: Slot): void {
    if (this.#doubtful[slot] === DOUBTED) this.#setDoubtful(slot, COMPARED);
  }

  /** Ends the role of source for slots of an earlier ring. */
  releaseFormer(slot: Slot): void {
    if (this.#states[slot] === FORMER) this.#set(slot, NONE);
  }

  #set(slot: Slot, state: number): void {
    const before = this.#states[slot];
    if (before === WARMING) this.#warmingCount--;
    if (state === WARMING) this.#warmingCount++;
    this.#states[slot] = state;
    if (state !== COUNTED) this.#setDoubtful(slot, 0);
  }

  #setDoubtful(slot: Slot, doubt: number): void {
    const before = this.#doubtful[slot]!;
    this.#doubtful[slot] = doubt;
    this.#doubtfulCount += Math.sign(doubt) - Math.sign(before);
  }
}
