// A replica: keeps versions of keys, refuses what is not newer, and says what it holds.
//
// Invariants:
// 1. A version is stored only over something older. Two majorities share a replica, so an acknowledged write is newer than
//    every write that was acknowledged before it began, whatever the clocks say.
// 2. A foreground write is stored only under this node's ring: no quorum is collected across two rings.
// 3. An attempt of an operation is refused once a later attempt asked about it here (the fence), and a version written by
//    an earlier attempt is dead once a later attempt completed under another version. Where an operation is stored, or was before
//    something newer came, it is not stored under another version: a value that was shown is on a majority, so nothing is written twice.
//    But what is held may be put above a dead version, by a reader that names it: that is no attempt.
// 4. Not knowing an operation means something only where the slot has counted since before the operation began: what was
//    copied into it before are entries, and not what they replaced. A newcomer says that it is one. Who lost the slot with the present ring
//    can tell of the ring before, under which it stores nothing any more.
// 5. No new write is stored from a clock too far ahead, unless it follows what is held here, nor past the instant the sender set.
//    What other replicas hold already is taken however far ahead it is: refused for good, the copies could never agree.

import { slotOfKey } from "../../base/hash.ts";
import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type {
  ClearReplica,
  ClearReplicaReply,
  Entry,
  ReadReplica,
  ReadReplicaReply,
  Replicate,
  ReplicateReply,
  ReplicateStatus,
} from "../messages.ts";
import { compareVersions } from "../store/entry.ts";
import type { EntryHead, Store } from "../store/store.ts";
import { type HybridClock, isTooFarAhead, stampOf } from "./clock.ts";
import type { ClusterView } from "./cluster-view.ts";
import { rememberedOf } from "./decide.ts";
import type { KnownOperation, OperationTable } from "./operations.ts";
import type { Outbox } from "./outbox.ts";
import type { SlotStates } from "./slot-states.ts";

/** What a replica works with. */
export interface ReplicaParts {
  readonly store: Store;
  readonly clock: HybridClock;
  readonly operations: OperationTable;
  readonly slots: SlotStates;
  readonly view: ClusterView;
  readonly outbox: Outbox;
  readonly clockSkewMsMax: number;
  /** Whether this node may go by its clock; not in the first moments after a start. */
  isTimeKnown(now: Now): boolean;
}

/** This node's copies, as coordinators (its own included) see them. */
export class Replica {
  readonly #parts: ReplicaParts;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  read(request: ReadReplica): ReadReplicaReply {
    const { store, operations, slots, view } = this.#parts;
    const slot = slotOfKey(request.key);
    const reply = {
      kind: "readReply",
      id: request.id,
      counts: false,
      isNewcomer: false,
      entry: undefined,
      clearedVersion: 0,
      known: undefined,
    } as const;
    const isFormer = request.opClient > 0 && request.ringId === view.previousRing?.id;
    if (view.ring === undefined || (request.ringId !== view.ring.id && !isFormer))
      return { ...reply, status: "ring" };
    if (!isFormer && !view.ring.isReplica(slot, view.self)) return { ...reply, status: "notReplica" };
    const known = operations.find(request.opClient, request.opSeq);
    if (request.opClient > 0) operations.fence(request.opClient, request.opSeq, request.attempt);
    const entry = store.peek(slot, request.key);
    const knowledge = known.version > 0 ? { version: known.version, outcome: known.number } : undefined;
    if (isFormer) {
      const counts = slots.countedUntilLost(slot, request.begunAt);
      return { ...reply, status: "notReplica", counts, entry, known: knowledge };
    }
    const isKnown = request.opClient === 0 || known.version > 0 || isOf(entry, request);
    const canTell = isKnown || slots.countsSince(slot, request.begunAt);
    const isNewcomer = !canTell && slots.isNewcomer(slot);
    return {
      ...reply,
      status: "ok",
      counts: canTell ? slots.counts(slot) : isNewcomer,
      isNewcomer,
      entry,
      clearedVersion: store.clearedVersion(slot),
      known: knowledge,
    };
  }

  /** Whether this replica stored the operation, whatever became of it since. */
  knows(opClient: number, opSeq: number): boolean {
    return this.#parts.operations.find(opClient, opSeq).version > 0;
  }

  /** What this replica remembers of the operation, to answer its repeats with. */
  remembered(opClient: number, opSeq: number): number {
    return this.#parts.operations.find(opClient, opSeq).number;
  }

  /** Whether a later attempt of the operation that wrote it completed under another version, as far as this replica knows. */
  isDead(entry: Entry): boolean {
    return isDead(entry, this.#parts.operations.find(entry.opClient, entry.opSeq));
  }

  /** @param now With cluster wall time. */
  replicate(request: Replicate, from: MemberId, now: Now): ReplicateReply {
    const slot = slotOfKey(request.entry.key);
    const reply = this.judge(request, { from, slot }, now);
    const { store, operations, clock } = this.#parts;
    const { entry } = request;
    // What is refused as older or by a fence may be stored by another replica: what this node writes from now on has to be above it as well.
    if (mayBeHeld(reply.status)) clock.observe(entry.version, now.wallMs);
    if (reply.status !== "stored") return reply;
    const merged = store.merge(slot, entry, now.wallMs, request.purpose === "client" ? HOT : COLD);
    const isHeldAsFloor = merged.status === "newer" && this.#isHeldAsFloor(request, merged.heldVersion);
    if (merged.status === "full") return { ...reply, status: "full" };
    const { version, opClient, opSeq, opAttempt: attempt } = entry;
    if (merged.status === "newer" && !isHeldAsFloor) {
      // To a repair "stored" would say that nothing newer is here.
      const isKnown = request.purpose === "client" && wasStored(entry, operations.find(opClient, opSeq));
      if (!isKnown) return { ...reply, status: "newer", heldVersion: merged.heldVersion };
    }
    operations.record(opClient, opSeq, { version, attempt, number: rememberedOf(entry) });
    return reply;
  }

  /** What {@link replicate} would answer before it touches the store: `stored` may still turn into `newer` or `full`. */
  judge(
    request: Replicate,
    { from, slot }: { readonly from: MemberId; readonly slot: Slot },
    now: Now,
  ): ReplicateReply {
    const { store, slots, view, operations } = this.#parts;
    const { entry, purpose, id } = request;
    // A repair is stored under any ring, and counts for the sender's majority only under the same one (invariant 2).
    const counts = slots.counts(slot) && request.ringId === view.ring?.id;
    const reply = { kind: "replicated", id, counts, heldVersion: entry.version } as const;
    const known = operations.find(entry.opClient, entry.opSeq);
    const held = store.head(slot, entry.key);
    const isAgain = isWrittenAgain(request, held, known);
    const isSuperseded = purpose === "client" ? !isAgain && isFenced(entry, known) : isDead(entry, known);
    const refusal = this.#refusal(request, { from, slot }, now) ?? (isSuperseded ? "fenced" : undefined);
    if (refusal !== undefined) return { ...reply, status: refusal };
    const otherVersion = purpose === "client" && !isAgain ? otherVersionOf(request, held, known) : 0;
    if (otherVersion > 0)
      return { ...reply, status: "newer", heldVersion: Math.max(otherVersion, held?.version ?? 0) };
    // A write that was decided on nothing (0) is not outdated by a clear since: there is nothing still.
    const heldVersion = held?.version ?? (request.over > 0 ? store.clearedVersion(slot) : 0);
    const isSame = held !== undefined && (isSameWrite(held, entry) || isEarlierIssue(held, entry));
    const isKept = wasStored(entry, known) && !isHidden(entry, held);
    if (!isSame && !isKept && purpose === "client" && heldVersion > request.over)
      return { ...reply, status: "newer", heldVersion };
    return { kind: "replicated", id, status: "stored", counts, heldVersion: entry.version };
  }

  /**
   * A tombstone that was dropped for space left its version as the floor: the delete is held all the same. So it is under any
   * higher floor; a foreground delete must be newer than what was acknowledged before it all the same.
   */
  #isHeldAsFloor({ entry, purpose }: Replicate, heldVersion: number): boolean {
    if (entry.value !== undefined) return false;
    if (heldVersion === entry.version) return true;
    return purpose !== "client" && this.#parts.store.head(slotOfKey(entry.key), entry.key) === undefined;
  }

  #refusal(
    request: Replicate,
    { from, slot }: { readonly from: MemberId; readonly slot: Slot },
    now: Now,
  ): ReplicateStatus | undefined {
    const { view, outbox, slots, isTimeKnown } = this.#parts;
    const { entry, purpose } = request;
    // Not now: by a clock that is far ahead the value has expired.
    if (view.ring === undefined || !isTimeKnown(now)) return "ring";
    if (purpose === "client" && request.ringId !== view.ring.id) return "ring";
    if (!view.ring.isReplica(slot, view.self)) return "notReplica";
    if (request.notAfter > 0 && now.monoMs > request.notAfter) return "late";
    // Not the own writes: they follow what the others accepted, and it is this node's wall clock that may be slow.
    if (from !== view.self && purpose === "client" && this.#isTooFarAhead(slot, entry, now)) {
      // If it is, the others have acknowledged a write that this node lacks.
      slots.doubt(slot);
      const aheadMs = Math.round((entry.version - stampOf(now.wallMs)) / 4096);
      outbox.event({ type: "versionRefused", member: from, aheadMs });
      return "clock";
    }
    return undefined;
  }

  /** Invariant 5. */
  #isTooFarAhead(slot: Slot, { key, version }: Entry, { wallMs }: Now): boolean {
    const { store, clockSkewMsMax: skewMsMax } = this.#parts;
    if (!isTooFarAhead(version, { wallMs, skewMsMax, held: 0 })) return false;
    const held = store.head(slot, key)?.version ?? Math.max(store.floor(slot), store.clearedVersion(slot));
    return isTooFarAhead(version, { wallMs, skewMsMax, held });
  }

  /** Answers `ring`, for "not now", to a version from a clock too far ahead as well. */
  clear(request: ClearReplica, now: Now): ClearReplicaReply {
    const { store, view, clock, clockSkewMsMax: skewMsMax, operations } = this.#parts;
    const { slots, version, opClient, opSeq, attempt } = request;
    const refusal = { kind: "clearReplicaReply", id: request.id, counts: slots.map(() => false) } as const;
    const isOtherRing = view.ring === undefined || request.ringId !== view.ring.id;
    const newest = slots.reduce((most, slot) => Math.max(most, store.newest(slot)), 0);
    if (isOtherRing || isTooFarAhead(version, { wallMs: now.wallMs, skewMsMax, held: newest }))
      return { ...refusal, status: "ring", newest: 0, known: 0 };
    const { fence, version: known } = operations.find(opClient, opSeq);
    // What is refused as well: somebody may have cleared under it.
    if (version > 0) clock.observe(version, now.wallMs);
    if (version > 0 && attempt < fence) return { ...refusal, status: "fenced", newest: 0, known };
    const counts = this.#countsForClear(request, known);
    if (version === 0) {
      if (opClient > 0) operations.fence(opClient, opSeq, attempt);
    } else {
      // Told again, it costs no walk over the slot.
      for (const slot of slots) if (version > store.clearedVersion(slot)) store.clear(slot, version);
      operations.record(opClient, opSeq, { version, attempt, number: 0 });
    }
    return { kind: "clearReplicaReply", id: request.id, status: "ok", counts, newest, known };
  }

  /** Invariant 4. */
  #countsForClear({ slots, version, attempt, begunAt }: ClearReplica, known: number): boolean[] {
    const { slots: states } = this.#parts;
    const canTell = version > 0 || known > 0 || attempt <= 1;
    return slots.map((slot) => (canTell ? states.counts(slot) : states.countsSince(slot, begunAt)));
  }
}

function isOf(entry: Entry | undefined, { opClient, opSeq }: ReadReplica): boolean {
  return entry !== undefined && entry.opClient === opClient && entry.opSeq === opSeq;
}

// What is known of the entry's operation. Of no operation (client 0) nothing is: all zeros.

/** A later attempt asked about the operation here: no write of this one is to be stored (invariant 3). */
function isFenced({ opAttempt }: Entry, known: KnownOperation): boolean {
  return opAttempt < known.fence;
}

/**
 * A reader writes again, above a dead version, what the operation is stored as here. Whoever asked about the operation was told of it, so
 * no attempt goes on as if it were unknown.
 */
function isWrittenAgain(
  { entry, over }: Replicate,
  held: EntryHead | undefined,
  known: KnownOperation,
): boolean {
  return known.version > 0 && known.version === over && held?.version === over && entry.version > over;
}

/** A later attempt completed under another version (invariant 3). */
function isDead({ version, opAttempt }: Entry, known: KnownOperation): boolean {
  return known.version > 0 && known.version !== version && opAttempt < known.attempt;
}

/**
 * The other version under which the operation is stored here, where it may not be replaced; 0 for none. The coordinator was told by a
 * majority that they do not know the write, and since then a reader may have brought it to a majority and shown it. Another issue of
 * the same attempt may replace it while nothing came after it: neither here, nor where the new one was decided.
 */
function otherVersionOf(
  { entry, over }: Replicate,
  held: EntryHead | undefined,
  known: KnownOperation,
): number {
  if (entry.opClient === 0) return 0;
  if (held !== undefined && isEarlierIssue(held, entry)) return over <= held.version ? 0 : held.version;
  return known.version !== entry.version && known.attempt <= entry.opAttempt ? known.version : 0;
}

/** Stored before, and overwritten since: the answer was lost, and "newer" would have it written once more on top. */
function wasStored({ version }: Entry, known: KnownOperation): boolean {
  return known.version === version;
}

/**
 * Another version of the same operation lies over the entry, as it may come with a copy. Once this one is acknowledged that one is dead, and
 * what it hides is not kept here.
 */
function isHidden({ opClient, opSeq, version }: Entry, held: EntryHead | undefined): boolean {
  return held !== undefined && held.opClient === opClient && held.opSeq === opSeq && held.version > version;
}

/** Whether the version that was answered so may be held, be it elsewhere. */
function mayBeHeld(status: ReplicateStatus): boolean {
  return status === "stored" || status === "newer" || status === "fenced";
}

const HOT = Object.freeze({ cold: false });
const COLD = Object.freeze({ cold: true });

/** The stamp alone does not tell: a node that starts again after its clock was set back may give one twice. */
function isSameWrite(held: EntryHead, entry: Entry): boolean {
  const isSameOperation = held.opClient === entry.opClient && held.opSeq === entry.opSeq;
  return isSameOperation && compareVersions(held, entry) === 0;
}

/** The same attempt of the same operation under a lower version: it replaced nothing that the present one may not replace. */
function isEarlierIssue(held: EntryHead, entry: Entry): boolean {
  const { opClient, opSeq, opAttempt } = held;
  if (opClient === 0 || opClient !== entry.opClient || opSeq !== entry.opSeq) return false;
  return opAttempt === entry.opAttempt && held.version < entry.version;
}
