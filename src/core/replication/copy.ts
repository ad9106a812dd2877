// Copies slots from other members: one job, from the slots that are wanted to the last one done.
//
// The slot is the unit: of progress, of resumption, of completeness. For each wanted slot the job knows its candidates (who may
// hold it) and how many of them it needs. Sources are asked for up to 1,024 slots at a time, two questions under way for each;
// a slot whose digests agree costs a few bytes. A source that is no authority for a slot says so and is not asked again.
//
// A slot is done when enough candidates have been copied, or when nobody is left who might add anything: the others are no
// authorities themselves (they lost their memory too) or are gone for good. A candidate that merely cannot be reached is
// waited for when `waitsForAbsent` is set: it may hold acknowledged writes that nobody else here has.

import { slotOfKey } from "../../base/hash.ts";
import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, Pull, PullReply } from "../messages.ts";
import type { Store } from "../store/store.ts";
import type { HybridClock } from "./clock.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { Outbox } from "./outbox.ts";

const SLOTS_PER_PULL_MAX = 1_024;
const PULL_TIMEOUT_MS = 2_000;
/** After a source failed to answer, it rests for this long. */
const SOURCE_REST_MS = 100;

const UNKNOWN = 0;
const COPIED = 1;
const NO_AUTHORITY = 2;
const IN_FLIGHT = 3;
/** So many slots in a row that no source has room for: the rest need not be looked at now. */
const BLOCKED_SLOTS_MAX = 256;

export interface CopyParts {
  readonly store: Store;
  readonly clock: HybridClock;
  readonly view: ClusterView;
  readonly outbox: Outbox;
  readonly nextId: () => number;
  readonly pullsInFlightMax: number;
}

/** What to copy, from whom, and what to do with a slot that is done. */
export interface CopyJob {
  readonly ringId: RingId;
  readonly isRehearsal: boolean;
  readonly waitsForAbsent: boolean;
  readonly slots: readonly Slot[];
  /** Members that may hold the slot, best first, without this node. */
  candidates(slot: Slot): readonly MemberId[];
  /** How many of them make the copy complete; at least 1. */
  needed(slot: Slot): number;
  /** `sources`: how many were copied. */
  done(slot: Slot, sources: number, now: Now): void;
}

interface PullInFlight {
  readonly slots: readonly Slot[];
  readonly sentMs: number;
  /** Keys received of the slot that a reply left unfinished. */
  readonly partialKeys: Set<string>;
}

interface Source {
  readonly status: Uint8Array;
  readonly inFlight: Map<number, PullInFlight>;
  restsUntilMs: number;
}

/** See the top of the file. Bounded by the number of members times slots. */
export class Copy {
  readonly #parts: CopyParts;
  readonly #job: CopyJob;
  readonly #wanted = new Set<Slot>();
  /** Per slot: sources copied, and sources asked and not answered. */
  readonly #copied = new Uint8Array(SLOT_COUNT);
  readonly #underWay = new Uint8Array(SLOT_COUNT);
  readonly #sources = new Map<MemberId, Source>();
  #entriesReceived = 0;

  constructor(parts: CopyParts, job: CopyJob) {
    this.#parts = parts;
    this.#job = job;
    for (const slot of job.slots) this.#wanted.add(slot);
  }

  get isDone(): boolean {
    return this.#wanted.size === 0;
  }

  /** Slots that are not done. */
  get remaining(): number {
    return this.#wanted.size;
  }

  get entriesReceived(): number {
    return this.#entriesReceived;
  }

  /** Settles what can be settled and asks for more. Costs a walk over the wanted slots; due after news and every 100 ms. */
  advance(now: Now): void {
    for (const source of this.#sources.values()) this.#timeOut(source, now);
    for (const slot of this.#wanted) if (this.#underWay[slot] === 0) this.#maybeFinish(slot, now);
    this.schedule(now);
  }

  /** Asks sources with room for more slots. Ends early when all of them are busy. */
  schedule(now: Now): void {
    const batches = new Map<MemberId, Slot[]>();
    let blocked = 0;
    for (const slot of this.#wanted) {
      if (this.#copied[slot]! + this.#underWay[slot]! >= this.#job.needed(slot)) continue;
      blocked = this.#assign(slot, batches, now) ? 0 : blocked + 1;
      if (blocked >= BLOCKED_SLOTS_MAX) break;
    }
    for (const [member, slots] of batches) {
      slots.sort((a, b) => a - b);
      this.#pull(member, slots, "", new Set(), now);
    }
  }

  /** Whether the slot is done: enough copied, or nobody left who might add anything. */
  #maybeFinish(slot: Slot, now: Now): void {
    const copied = this.#copied[slot]!;
    if (copied < this.#job.needed(slot) && !this.#isExhausted(slot)) return;
    this.#wanted.delete(slot);
    this.#job.done(slot, copied, now);
  }

  #isExhausted(slot: Slot): boolean {
    if (this.#underWay[slot]! > 0) return false;
    const candidates = this.#job.candidates(slot);
    let heard = 0;
    for (const member of candidates) {
      const status = this.#sources.get(member)?.status[slot] ?? UNKNOWN;
      if (status !== UNKNOWN) heard++;
      else if (this.#mightAnswer(member)) return false;
    }
    // A job that does not wait for the absent still wants one answer, or a node that is cut off would be done at once.
    return this.#job.waitsForAbsent || candidates.length === 0 || heard > 0;
  }

  /** Puts the slot into the batches of as many sources as it still needs. Returns whether any had room. */
  #assign(slot: Slot, batches: Map<MemberId, Slot[]>, now: Now): boolean {
    const { view, pullsInFlightMax } = this.#parts;
    let isAssigned = false;
    for (const member of this.#job.candidates(slot)) {
      if (this.#copied[slot]! + this.#underWay[slot]! >= this.#job.needed(slot)) break;
      const source = this.#source(member);
      const batch = batches.get(member);
      const isFree =
        source.status[slot] === UNKNOWN &&
        source.restsUntilMs <= now.monoMs &&
        source.inFlight.size < pullsInFlightMax &&
        (batch?.length ?? 0) < SLOTS_PER_PULL_MAX &&
        view.isUsable(member);
      if (!isFree) continue;
      this.#setStatus(source, slot, IN_FLIGHT);
      if (batch === undefined) batches.set(member, [slot]);
      else batch.push(slot);
      isAssigned = true;
    }
    return isAssigned;
  }

  #setStatus(source: Source, slot: Slot, status: number): void {
    const before = source.status[slot];
    if (before === IN_FLIGHT) this.#underWay[slot]! -= 1;
    if (status === IN_FLIGHT) this.#underWay[slot]! += 1;
    if (status === COPIED) this.#copied[slot]! += 1;
    source.status[slot] = status;
  }

  #mightAnswer(member: MemberId): boolean {
    const { view } = this.#parts;
    return view.isUsable(member) || (this.#job.waitsForAbsent && view.isMember(member));
  }

  #pull(member: MemberId, slots: readonly Slot[], after: string, partialKeys: Set<string>, now: Now): void {
    const { store, outbox, nextId } = this.#parts;
    const { ringId, isRehearsal } = this.#job;
    const id = nextId();
    const digests = slots.map((slot) => store.digest(slot));
    const pull: Pull = { kind: "pull", id, ringId, isRehearsal, slots, digests, after };
    this.#source(member).inFlight.set(id, { slots, sentMs: now.monoMs, partialKeys });
    outbox.peer(member, pull);
  }

  /** Takes in an answer and asks for more. Returns false when it was not for this job. */
  pulled(from: MemberId, reply: PullReply, now: Now): boolean {
    const source = this.#sources.get(from);
    const pull = source?.inFlight.get(reply.id);
    if (source === undefined || pull === undefined) return false;
    source.inFlight.delete(reply.id);
    if (reply.status !== "ok" || reply.slotsDone > pull.slots.length) {
      this.#giveBack(source, pull.slots, now);
      return true;
    }
    const keysBySlot = this.#merge(reply.entries, now);
    for (let index = 0; index < reply.slotsDone; index++) {
      const slot = pull.slots[index]!;
      const keys = keysBySlot.get(slot) ?? new Set<string>();
      if (index === 0) for (const key of pull.partialKeys) keys.add(key);
      this.#slotDone(source, slot, { reply, index, keys }, now);
      this.#maybeFinish(slot, now);
    }
    const rest = pull.slots.slice(reply.slotsDone);
    if (rest.length > 0) {
      const hasMoved = reply.slotsDone > 0 || reply.after !== "";
      if (!hasMoved) {
        this.#giveBack(source, rest, now);
        return true;
      }
      const partialKeys = reply.slotsDone > 0 ? new Set<string>() : pull.partialKeys;
      if (reply.after !== "") for (const key of keysBySlot.get(rest[0]!) ?? []) partialKeys.add(key);
      this.#pull(from, rest, reply.after, partialKeys, now);
    }
    this.schedule(now);
    return true;
  }

  #merge(entries: readonly Entry[], now: Now): Map<Slot, Set<string>> {
    const { store, clock } = this.#parts;
    const keysBySlot = new Map<Slot, Set<string>>();
    for (const entry of entries) {
      const slot = slotOfKey(entry.key);
      const keys = keysBySlot.get(slot) ?? new Set();
      keysBySlot.set(slot, keys.add(entry.key));
      // However far ahead of this node's clock: other replicas took it, and a copy that leaves it out would count all the same.
      clock.observe(entry.version, now.wallMs);
      store.merge(slot, entry, now.wallMs, { cold: true });
      this.#entriesReceived++;
    }
    return keysBySlot;
  }

  #slotDone(
    source: Source,
    slot: Slot,
    {
      reply,
      index,
      keys,
    }: { readonly reply: PullReply; readonly index: number; readonly keys: ReadonlySet<string> },
    now: Now,
  ): void {
    if (reply.entitled[index] !== true) {
      this.#setStatus(source, slot, NO_AUTHORITY);
      return;
    }
    this.#setStatus(source, slot, COPIED);
    const { store } = this.#parts;
    const floor = reply.floors[index] ?? 0;
    if (reply.isSame[index] !== true) this.#dropForgotten(slot, floor, keys, now);
    store.raiseFloor(slot, floor);
    const cleared = reply.cleared[index] ?? 0;
    if (cleared > store.clearedVersion(slot)) store.clear(slot, cleared);
  }

  /**
   * What the source does not hold and is not newer than its floor may have been deleted there, its tombstone gone: keeping it
   * would bring a deleted value back.
   */
  #dropForgotten(slot: Slot, floor: number, keys: ReadonlySet<string>, now: Now): void {
    const { store } = this.#parts;
    const kept: Entry[] = [];
    let isAnyForgotten = false;
    for (const entry of store.entries(slot)) {
      if (entry.version <= floor && entry.value !== undefined && !keys.has(entry.key)) isAnyForgotten = true;
      else kept.push(entry);
    }
    if (!isAnyForgotten) return;
    const cleared = store.clearedVersion(slot);
    const ownFloor = store.floor(slot);
    store.drop(slot);
    if (cleared > 0) store.clear(slot, cleared);
    for (const entry of kept) store.merge(slot, entry, now.wallMs, { cold: true });
    store.raiseFloor(slot, ownFloor);
  }

  #timeOut(source: Source, now: Now): void {
    for (const [id, pull] of source.inFlight) {
      if (now.monoMs - pull.sentMs < PULL_TIMEOUT_MS) continue;
      source.inFlight.delete(id);
      this.#giveBack(source, pull.slots, now);
    }
  }

  /** The member's questions are lost with its link. */
  memberLost(member: MemberId, now: Now): void {
    const source = this.#sources.get(member);
    if (source === undefined) return;
    for (const pull of source.inFlight.values()) this.#giveBack(source, pull.slots, now);
    source.inFlight.clear();
  }

  #giveBack(source: Source, slots: readonly Slot[], now: Now): void {
    for (const slot of slots) if (source.status[slot] === IN_FLIGHT) this.#setStatus(source, slot, UNKNOWN);
    source.restsUntilMs = now.monoMs + SOURCE_REST_MS;
  }

  #source(member: MemberId): Source {
    let source = this.#sources.get(member);
    if (source === undefined) {
      source = { status: new Uint8Array(SLOT_COUNT), inFlight: new Map(), restsUntilMs: 0 };
      this.#sources.set(member, source);
    }
    return source;
  }
}
