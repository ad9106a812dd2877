// One source of a copy, as the node that copies sees it: which slots are to be asked for there, and how fast.
//
// One question at a time ("stop and wait"), of ascending slots. The time an answer takes is the measure of how busy both
// ends are: what it takes beyond the quickest one has been waiting behind callers. So pauses grow with it, and a cluster with
// nothing else to do copies as fast as it can (delay-based congestion control, as in LEDBAT, RFC 6817). Questions do not shrink: an answer
// is bounded whatever was asked, and twice as many questions would be more work, not less. While
// callers are served, each answer is besides followed by a rest of a few times what it took, of its source and, where the asker
// serves them too, of the asker: most of the time stays theirs even before they are seen to wait.
// An answer may stop in the middle of a slot; the next question goes on after the last key that came.

import { type MemberId, SLOT_COUNT, type Slot } from "../../base/ids.ts";

/**
 * Slots in one question. The first ones are small: nothing is known of the source yet. Where digests agree, 1,024 took either end a step of
 * 3 to 5 ms while callers waited; 256 take one.
 */
const SLOTS_START = 64;
const SLOTS_MAX = 256;
/** Some answers hold part of a slot, the next one several. */
const SLOTS_USEFUL_MIN = 4;
/** Waiting up to this long says nothing: timers and garbage collections do as much. */
const DELAY_MS_QUIET = 4;
/** Waiting longer than this makes the rests longer. */
const DELAY_MS_BUSY = 12;
const PAUSE_MS_MAX = 250;
/**
 * Rest after an answer while callers are served, in multiples of what the answer took. It begins long (what is new to a process is slow in
 * it) and falls with each quick answer, to leave callers five sixths of the time; a slow answer makes it longer again. With 3,
 * two thirds of the time were enough for a move, and the p99 of callers in its course was 1.5 times the quiet one instead of 1.2.
 */
const REST_SHARE_MIN = 5;
const REST_SHARE_MAX = 12;
const REST_SHARE_STEP = 0.9;

/** What is known of a slot at a source. */
export const SLOT_UNKNOWN = 0;
export const SLOT_COPIED = 1;
export const SLOT_NO_AUTHORITY = 2;
/** To be asked for, or asked. */
export const SLOT_QUEUED = 3;
/** No authority yet. */
export const SLOT_LATER = 4;

/** A question under way. */
interface Asked {
  readonly id: number;
  readonly slots: readonly Slot[];
  readonly sentMs: number;
}

/** See the top of the file. Bounded: each slot is queued at most once. */
export class CopySource {
  readonly member: MemberId;
  readonly status = new Uint8Array(SLOT_COUNT);
  /** Whether it can be asked now, and whether it may come back otherwise; as of the last look. */
  isUsable = false;
  isMember = false;
  /** The question under way. */
  asked: Asked | undefined;
  /** Of the first queued slot: the last key that came, "" for none; and the keys that came so far. */
  after = "";
  partialKeys = new Set<string>();
  /** The next question may be sent from this instant on (monotonic ms). */
  nextMs = Number.NEGATIVE_INFINITY;
  /** How long to rest after the last answer while callers are served. */
  restMs = 0;
  readonly #isUrgent: (slot: Slot) => boolean;
  #restShare = REST_SHARE_MAX;
  #todo: Slot[] = [];
  #head = 0;
  #slotsMax = SLOTS_START;
  /** What an answer has room for, as far as known: digests of slots beyond that are computed and sent in vain. */
  #slotsUseful = SLOTS_MAX;
  #quickestMs = Number.POSITIVE_INFINITY;

  /** @param isUrgent Whether callers wait for a slot. */
  constructor(member: MemberId, isUrgent: (slot: Slot) => boolean = () => false) {
    this.member = member;
    this.#isUrgent = isUrgent;
  }

  get hasWork(): boolean {
    return this.#head < this.#todo.length;
  }

  queue(slot: Slot): void {
    this.status[slot] = SLOT_QUEUED;
    this.#todo.push(slot);
  }

  /**
   * The slots to ask for next, ascending, from the head of the queue: urgent ones or others. They stay queued until {@link taken}. They are
   * put in order here, because they come in pieces from the sources asked before, and each piece would be a question of its own.
   */
  next(): readonly Slot[] {
    const todo = this.#todo;
    const head = this.#head;
    const first = todo[head]!;
    const isUrgent = this.#isUrgent(first);
    const endMax = Math.min(todo.length, head + Math.min(this.#slotsMax, this.#slotsUseful));
    let end = head + 1;
    while (end < endMax && this.#isUrgent(todo[end]!) === isUrgent) end++;
    const slots = todo.slice(head, end).sort((a, b) => a - b);
    // A part of the first one has come: it stays the first.
    const from = this.after === "" ? 0 : slots.indexOf(first);
    const ordered = [...slots.slice(from), ...slots.slice(0, from)];
    for (const [index, slot] of ordered.entries()) todo[head + index] = slot;
    return slots.slice(from);
  }

  /** What it could not tell yet of the slot is to be asked again. */
  askAgain(slot: Slot): void {
    if (this.status[slot] === SLOT_LATER) this.status[slot] = SLOT_UNKNOWN;
  }

  /** The first `count` queued slots are dealt with. */
  taken(count: number): void {
    this.#head += count;
    if (count > 0) this.#forgetPartial();
    if (this.hasWork) return;
    this.#todo = [];
    this.#head = 0;
  }

  /** Empties the queue and forgets the question under way. Returns the slots that were queued: nothing is known of them. */
  giveBack(): readonly Slot[] {
    const slots = this.#todo.slice(this.#head);
    for (const slot of slots) this.status[slot] = SLOT_UNKNOWN;
    this.#todo = [];
    this.#head = 0;
    this.asked = undefined;
    this.#forgetPartial();
    return slots;
  }

  /**
   * An answer came that was complete for the first `slotsDone` slots asked: sets the size of the next question and the pause before it.
   * `rests`: callers are served meanwhile, and not waiting for these slots.
   */
  answered(
    { slots, sentMs }: Asked,
    { slotsDone, rests }: { slotsDone: number; rests: boolean },
    nowMs: number,
  ): void {
    const tookMs = nowMs - sentMs;
    const isWhole = slotsDone >= slots.length;
    this.#slotsUseful = isWhole
      ? Math.min(SLOTS_MAX, Math.max(this.#slotsUseful, 2 * slots.length))
      : Math.max(SLOTS_USEFUL_MIN, 2 * slotsDone);
    this.#quickestMs = Math.min(this.#quickestMs, tookMs);
    const delayMs = tookMs - this.#quickestMs;
    this.#slotsMax = Math.min(SLOTS_MAX, this.#slotsMax << 1);
    const pauseMs = delayMs <= DELAY_MS_QUIET ? 0 : delayMs;
    this.#restShare =
      delayMs > DELAY_MS_BUSY
        ? Math.min(REST_SHARE_MAX, 1.5 * this.#restShare)
        : Math.max(REST_SHARE_MIN, REST_SHARE_STEP * this.#restShare);
    this.restMs = Math.min(PAUSE_MS_MAX, this.#restShare * tookMs);
    this.nextMs = nowMs + Math.max(Math.min(PAUSE_MS_MAX, pauseMs), rests ? this.restMs : 0);
  }

  #forgetPartial(): void {
    this.after = "";
    if (this.partialKeys.size > 0) this.partialKeys = new Set();
  }
}
