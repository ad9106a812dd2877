// Keeps this node's slots complete. Three reasons to copy slots, one mechanism (`copy.ts`):
//
// - warming: the slots this node holds by the ring without having held them before (a join, an eviction, a restart). A slot
//   counts again once N - W + 1 members that counted for it were copied, or nobody is left who might add anything. Who left and cannot be
//   reached may not know it, and have acknowledged writes with another that left: it is waited for as long as if it were dead.
//   When the ring changes again meanwhile, those who held the slot before it came are asked still: nobody else may have it.
// - doubtful: a peer is gone that may have acknowledged writes with others and not with us. Compared with who can be reached, and with
//   N - W members that count or counted for it at least: what this node has missed is held by one of them.
// - rehearsal: the slots this node would hold under a planned ring. Copied before the ring changes, so that afterwards only
//   what changed meanwhile has to move (as in live migration of virtual machines: pre-copy, then a short final pass).

import { slotOfKey } from "../../base/hash.ts";
import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, PullReply } from "../messages.ts";
import { rememberByLists } from "../ring/list-pairs.ts";
import type { Ring } from "../ring/ring.ts";
import { majorityOf, sourcesNeeded } from "./cluster-view.ts";
import { Copy, type CopyParts } from "./copy.ts";
import type { SlotStates } from "./slot-states.ts";

/**
 * How often unfinished copies are looked at for what timed out or may be asked again: a walk over all their slots, so less and
 * less often while nothing gets done, as on the minor side of a long cut. Members that come back are asked at once.
 */
const ADVANCE_MS = 100;
const ADVANCE_MS_MAX = 1_600;

/** Rings remembered when one comes after the other before all are settled; of the oldest nobody is asked any more. */
const OLDER_RINGS_MAX = 8;

/** The members of a slot's lists under earlier rings; the latest first, without repeats. */
interface EarlierLists {
  /** From the ring on that the slot came after. */
  readonly owing: readonly MemberId[];
  /** And of those before it. */
  readonly all: readonly MemberId[];
}

export interface FillParts extends CopyParts {
  readonly slots: SlotStates;
  /** Whether this node may go by its clock: not in the first moments after a start, and nothing is copied before. */
  isTimeKnown(now: Now): boolean;
  /** Milliseconds for which those who left with the present ring are waited for, when they cannot be reached. */
  readonly leftGraceMs: number;
}

/** How far one kind of copying is; times are monotonic. */
export interface FillProgress {
  readonly slotsDone: number;
  readonly slotsTotal: number;
  readonly sinceMs: number;
}

/** See the top of the file. */
export class Fill {
  readonly #parts: FillParts;
  #previous: Ring | undefined;
  /** Rings before that one since which not everybody has been settled; the latest first. */
  #olderRings: readonly Ring[] = [];
  /** Of slots that warm. */
  readonly #earlier = new Map<Slot, EarlierLists>();
  /** The members of two lists without this node, without repeats. New with each ring. */
  #others: (list: readonly MemberId[], earlier: readonly MemberId[]) => readonly MemberId[];
  /** Who left with the present ring is waited for until then. */
  #leftUntilMs = Number.NEGATIVE_INFINITY;
  #isLeftAwaited = false;
  #warming: Copy | undefined;
  #warmingSlots = 0;
  #warmingSinceMs = 0;
  #filledFromFew = 0;
  #doubtful: Copy | undefined;
  #rehearsal: Copy | undefined;
  #rehearsalRing: Ring | undefined;
  /** The ring rehearsed last since the present one came, also when that was given up. */
  #latestTargetId: RingId | "" = "";
  #rehearsalSlots = 0;
  #rehearsalSinceMs = 0;
  #preparedRingId: RingId | "" = "";
  /** The present ring, when it was rehearsed to the end before it came. */
  #rehearsedRingId: RingId | "" = "";
  /** By member: slots that were in doubt while it could not be reached. Bounded by the members of the ring times the slots. */
  readonly #notCompared = new Map<MemberId, Set<Slot>>();
  #advanceAtMs = Number.POSITIVE_INFINITY;
  /** Between two looks: doubles while nothing gets done. */
  #pauseMs = ADVANCE_MS;
  #remaining = 0;

  constructor(parts: FillParts) {
    this.#parts = parts;
    this.#others = othersThan(parts.view.self);
  }

  /** The planned ring that has been rehearsed; "" for none. */
  get preparedRingId(): RingId | "" {
    return this.#preparedRingId;
  }

  /** How much of the planned ring has been rehearsed; `undefined` without one. */
  get rehearsalProgress(): FillProgress | undefined {
    if (this.#rehearsalRing === undefined) return undefined;
    const slotsTotal = this.#rehearsalSlots;
    const slotsDone = slotsTotal - (this.#rehearsal?.remaining ?? 0);
    return { slotsDone, slotsTotal, sinceMs: this.#rehearsalSinceMs };
  }

  /** How many of the slots that the present ring gave to this node count by now; `undefined` when all do. */
  get warmingProgress(): FillProgress | undefined {
    if (this.#warming === undefined) return undefined;
    const slotsTotal = this.#warmingSlots;
    return { slotsDone: slotsTotal - this.#warming.remaining, slotsTotal, sinceMs: this.#warmingSinceMs };
  }

  /** Whether a slot that is not ours now is kept for a planned ring. */
  isRehearsed(slot: Slot): boolean {
    return this.#rehearsalRing?.isReplica(slot, this.#parts.view.self) ?? false;
  }

  /**
   * Whether what this node holds of a slot that `ring` gives it is kept when that ring comes. So it is when the rehearsal was given up:
   * whoever makes the change may have heard later why than that all were prepared.
   */
  keepsFor(ring: Ring, slot: Slot): boolean {
    return ring.id === this.#latestTargetId || this.isRehearsed(slot);
  }

  /** The ring changed, or a start made slots warm: begins anew with what is wanted now. Slots that were done stay done. */
  restart(previous: Ring | undefined, now: Now): void {
    if (previous === undefined) {
      this.#earlier.clear();
      this.#olderRings = [];
    } else {
      // While a ring is taken in, `isSettled` is of the one before.
      const isKept = this.#previous !== undefined && !this.#parts.view.isSettled;
      this.#olderRings = isKept ? [this.#previous!, ...this.#olderRings].slice(0, OLDER_RINGS_MAX) : [];
      this.#previous = previous;
      this.#noteEarlierLists(previous);
      this.#leftUntilMs = now.monoMs + this.#parts.leftGraceMs;
    }
    this.#others = othersThan(this.#parts.view.self);
    this.#warming = undefined;
    this.#doubtful = undefined;
    const target = this.#rehearsalRing;
    if (target !== undefined && target.id === this.#parts.view.ring?.id) {
      this.#rehearsedRingId = this.#preparedRingId;
      this.rehearse(undefined, now);
    }
    this.#latestTargetId = this.#rehearsalRing?.id ?? "";
    this.advance(now);
  }

  /**
   * A slot that warms since before the last change may be held by nobody but former replicas of a ring before that one. So may one that came
   * with the last change, when those on its list before had not copied it either.
   */
  #noteEarlierLists(previous: Ring): void {
    const joined = rememberByLists((list, earlier) => [...new Set([...list, ...earlier])]);
    const before = new Map(this.#earlier);
    this.#earlier.clear();
    for (const slot of slotsWhere((each) => this.#parts.slots.isWarming(each))) {
      const list = previous.preferenceList(slot);
      const known = before.get(slot);
      const older = this.#olderRings.map((ring) => ring.preferenceList(slot));
      const owing = known === undefined ? list : joined(list, known.owing);
      const all = known === undefined ? older.reduce(joined, list) : joined(list, known.all);
      this.#earlier.set(slot, { owing, all });
    }
  }

  /** Copies what this node would hold under `target`; `undefined` ends the rehearsal. */
  rehearse(target: Ring | undefined, now: Now): void {
    if (target?.id === this.#rehearsalRing?.id) return;
    this.#rehearsalRing = target;
    this.#rehearsal = undefined;
    this.#preparedRingId = "";
    if (target === undefined) return;
    this.#latestTargetId = target.id;
    const { slots, view } = this.#parts;
    // Slots that are filling under the present ring are copied anyway.
    const wanted = target
      .replicaSlots(view.self)
      .filter((slot) => !slots.counts(slot) && !slots.isWarming(slot));
    this.#rehearsalSlots = wanted.length;
    this.#rehearsalSinceMs = now.monoMs;
    this.#rehearsal = new Copy(this.#parts, {
      ringId: target.id,
      isRehearsal: true,
      isComparison: false,
      slots: wanted,
      candidates: (slot) => this.#candidates(slot, view.ring, view.ring),
      isOwing: () => true,
      needed: (slot) => sourcesNeeded(view.ring?.preferenceList(slot).length ?? 1),
      enough: () => 0,
      waitsForFilling: () => false,
      waitsForLeft: () => false,
      isUrgent: () => false,
      done: () => {},
    });
    this.advance(now);
  }

  /** Keeps what was written to a slot while it is rehearsed: so little is left to be copied when the ring changes. */
  written(entry: Entry, now: Now): void {
    const slot = slotOfKey(entry.key);
    if (!this.isRehearsed(slot) || !this.#parts.isTimeKnown(now)) return;
    const { clock, store } = this.#parts;
    clock.observe(entry.version, now.wallMs);
    store.merge(slot, entry, now.wallMs, { cold: true });
  }

  advance(now: Now): void {
    if (!this.#parts.isTimeKnown(now)) {
      this.#advanceAtMs = now.monoMs + ADVANCE_MS;
      return;
    }
    this.#advanceWarming(now);
    this.#advanceDoubtful(now);
    if (this.#rehearsal !== undefined) {
      this.#rehearsal.advance(now);
      if (this.#rehearsal.isDone) {
        this.#notePace(this.#rehearsal, now.monoMs - this.#rehearsalSinceMs);
        this.#rehearsal = undefined;
        this.#preparedRingId = this.#rehearsalRing?.id ?? "";
      }
    }
    const copies = this.#copies();
    const isIdle = copies.length === 0;
    const remaining = copies.reduce((sum, copy) => sum + copy.remaining, 0);
    this.#pauseMs = remaining === this.#remaining ? Math.min(ADVANCE_MS_MAX, this.#pauseMs * 2) : ADVANCE_MS;
    this.#remaining = remaining;
    this.#advanceAtMs = isIdle ? Number.POSITIVE_INFINITY : now.monoMs + this.#pauseMs;
  }

  #advanceWarming(now: Now): void {
    const { slots, view, outbox } = this.#parts;
    const ring = view.ring;
    this.#isLeftAwaited = now.monoMs < this.#leftUntilMs;
    if (this.#warming === undefined && slots.warmingCount > 0 && ring !== undefined) {
      this.#warmingSlots = slots.warmingCount;
      this.#warmingSinceMs = now.monoMs;
      this.#filledFromFew = 0;
      outbox.event({ type: "fillStarted", slots: slots.warmingCount });
      const isUrgent = this.#urgency(ring);
      // What was acknowledged under the ring before is on a majority of its replicas, which may be more than there are now.
      const previous = this.#previous ?? ring;
      const owed = (slot: Slot) => sourcesNeeded(previous.preferenceList(slot).length);
      const needed = (slot: Slot) => Math.max(owed(slot), sourcesNeeded(ring.preferenceList(slot).length));
      const [urgent, others]: [Slot[], Slot[]] = [[], []];
      for (const slot of slotsWhere((each) => slots.isWarming(each)))
        (isUrgent(slot) ? urgent : others).push(slot);
      this.#warming = new Copy(this.#parts, {
        ringId: ring.id,
        isRehearsal: false,
        isComparison: false,
        slots: [...urgent, ...others],
        candidates: (slot) => {
          const earlier = this.#earlier.get(slot);
          if (earlier === undefined) return this.#candidates(slot, ring, this.#previous);
          return this.#others(ring.preferenceList(slot), earlier.all);
        },
        isOwing: (slot, member) => {
          const owing = this.#earlier.get(slot)?.owing;
          return owing === undefined || owing.includes(member) || ring.preferenceList(slot).includes(member);
        },
        needed,
        enough: needed,
        // Who gained the slot as well knows no more than this node, and asks the same.
        waitsForFilling: (slot) => !slots.isGained(slot),
        waitsForLeft: () => this.#isLeftAwaited,
        isUrgent,
        done: (slot, sources, at) => {
          if (sources < owed(slot)) this.#filledFromFew++;
          this.#earlier.delete(slot);
          slots.settle(slot, at.monoMs);
        },
      });
    }
    if (this.#warming === undefined) return;
    this.#warming.advance(now);
    if (!this.#warming.isDone) return;
    const ms = Math.round(now.monoMs - this.#warmingSinceMs);
    outbox.event({
      type: "fillFinished",
      slots: this.#warmingSlots,
      entries: this.#warming.entriesReceived,
      ms,
    });
    this.#notePace(this.#warming, ms);
    if (this.#filledFromFew > 0) outbox.event({ type: "filledFromFew", slots: this.#filledFromFew });
    this.#warming = undefined;
  }

  #notePace({ entriesReceived: entries, bytesReceived: bytes }: Copy, ms: number): void {
    const { received } = this.#parts;
    if (entries > received.largest.entries) received.largest = { entries, bytes, ms: Math.round(ms) };
  }

  /**
   * Slots that lost their majority of counted replicas with the ring before serve nobody until a newcomer counts. And what has been
   * rehearsed is soon done, while each read of such a slot asks several replicas.
   */
  #urgency(ring: Ring): (slot: Slot) => boolean {
    const previous = this.#previous;
    if (previous === undefined) return () => false;
    const { slots } = this.#parts;
    if (this.#rehearsedRingId === ring.id) return (slot) => slots.isGained(slot);
    const keepsMajority = rememberByLists(
      (list, earlier) => list.filter((member) => earlier.includes(member)).length >= majorityOf(list.length),
    );
    return (slot) => !keepsMajority(ring.preferenceList(slot), previous.preferenceList(slot));
  }

  #advanceDoubtful(now: Now): void {
    const { slots, view } = this.#parts;
    const ring = view.ring;
    const isDue = (this.#doubtful?.isStuck ?? true) && slots.doubtfulCount > 0;
    const wanted = isDue ? slotsWhere((slot) => slots.isDoubtful(slot) && slots.counts(slot)) : [];
    // What has come into doubt since does not wait for what nobody can tell of now.
    const isNew = this.#doubtful === undefined || wanted.some((slot) => !slots.isCompared(slot));
    if (ring !== undefined && isNew && wanted.length > 0) {
      for (const slot of wanted) slots.compare(slot);
      // The other replicas may all have come with this ring: they say nothing yet, and those of the ring before know.
      const earlier = view.isSettled ? ring : (this.#previous ?? ring);
      this.#doubtful = new Copy(this.#parts, {
        ringId: ring.id,
        isRehearsal: false,
        isComparison: true,
        slots: wanted,
        candidates: (slot) => this.#candidates(slot, ring, earlier),
        isOwing: () => true,
        // Everybody who can be reached: whoever has the missed write, it is not known who.
        needed: (slot) => ring.preferenceList(slot).length,
        // With this node itself they are N - W + 1. One in any case: not all writes wait for a majority.
        enough: (slot) => {
          const replicas = Math.max(ring.preferenceList(slot).length, earlier.preferenceList(slot).length);
          return Math.max(1, sourcesNeeded(replicas) - 1);
        },
        waitsForFilling: () => true,
        waitsForLeft: () => false,
        isUrgent: () => false,
        done: (slot, _sources, at) => {
          slots.settle(slot, at.monoMs);
          this.#noteAbsent(slot, ring.preferenceList(slot));
        },
      });
    }
    this.#doubtful?.advance(now);
    if (this.#doubtful?.isDone === true) this.#doubtful = undefined;
  }

  /** Members of the slot's list now and under the ring before: one of the latter may hold what no present replica does. */
  #candidates(slot: Slot, ring: Ring | undefined, earlier: Ring | undefined): readonly MemberId[] {
    const list = ring?.preferenceList(slot) ?? [];
    return this.#others(list, earlier?.preferenceList(slot) ?? list);
  }

  pulled(from: MemberId, reply: PullReply, now: Now): void {
    const copy = this.#copies().find((job) => job.pulled(from, reply, now));
    if (copy?.isDone === true) this.advance(now);
  }

  /** Whoever could not be asked about a doubtful slot is asked when it is back. */
  #noteAbsent(slot: Slot, list: readonly MemberId[]): void {
    const { view } = this.#parts;
    for (const member of this.#others(list, list)) {
      if (view.isUsable(member) || !view.isMember(member)) continue;
      const slots = this.#notCompared.get(member);
      if (slots === undefined) this.#notCompared.set(member, new Set([slot]));
      else slots.add(slot);
    }
  }

  /** The member can be reached again. */
  memberBack(member: MemberId, now: Now): void {
    for (const slot of this.#notCompared.get(member) ?? []) this.#parts.slots.doubt(slot);
    this.#notCompared.delete(member);
    this.wake(now);
  }

  memberLost(member: MemberId, now: Now): void {
    for (const copy of this.#copies()) copy.memberLost(member, now);
    this.#advanceAtMs = Math.min(this.#advanceAtMs, now.monoMs);
  }

  tick(now: Now): void {
    if (now.monoMs >= this.#advanceAtMs) this.advance(now);
    for (const copy of this.#copies()) copy.pump(now);
  }

  /** There may be something new to do: warming or doubtful slots. */
  wake(now: Now): void {
    this.#advanceAtMs = Math.min(this.#advanceAtMs, now.monoMs);
  }

  deadline(): number {
    let atMs = this.#advanceAtMs;
    // Asked after every step: without lists of what is under way.
    if (this.#warming !== undefined) atMs = Math.min(atMs, this.#warming.deadline());
    if (this.#doubtful !== undefined) atMs = Math.min(atMs, this.#doubtful.deadline());
    if (this.#rehearsal !== undefined) atMs = Math.min(atMs, this.#rehearsal.deadline());
    return atMs;
  }

  #copies(): readonly Copy[] {
    return [this.#warming, this.#doubtful, this.#rehearsal].filter((copy) => copy !== undefined);
  }
}

function othersThan(self: MemberId) {
  return rememberByLists((list, earlier) =>
    [...new Set([...list, ...earlier])].filter((member) => member !== self),
  );
}

function slotsWhere(predicate: (slot: Slot) => boolean): readonly Slot[] {
  const slots: Slot[] = [];
  for (let index = 0; index < SLOT_COUNT; index++) if (predicate(index as Slot)) slots.push(index as Slot);
  return slots;
}
