// How news changes this node's view: of others, and of itself.
//
// Invariants:
// 1. The view only moves up the lattice of records. News that changes nothing is not passed on. One exception: who hears that it has left
//    forgets whom it held dead. It may have been cut off, and nobody defends himself before one that is out (membership.ts).
// 2. Only a member itself raises its incarnation: it answers every accusation, and what it says of its own place in the ring
//    stands, except that others may let it in and take it out.
// 3. `dead` in a full sync is taken as `suspect`: it may be old, and the accused gets to answer. This still converges: for each
//    incarnation the suspicion ends in the same `dead`, by our own timer, or in a higher incarnation that beats both. Who has left probes
//    nobody, and takes others' word.
// 4. A node finds out whether it was in the ring before a restart before it tells of itself, and then comes back as
//    `warming`: as `joining` it would lose its slots for a moment, and all its data would move. In the same place as before: another
//    one that it was started with is a wish.

import type { MemberId } from "../../base/ids.ts";
import type { NodeEvent } from "../events.ts";
import { isInRing, type MemberRecord, type Sync, type Update, wantedPlace } from "../messages.ts";
import type { MembershipOptions } from "../options.ts";
import type { Awareness } from "./awareness.ts";
import { UPDATES_PER_MESSAGE_MAX } from "./broadcasts.ts";
import type { Contacts } from "./contacts.ts";
import type { EvictionGuard } from "./eviction.ts";
import { addWitness, MEMBERS_MAX, type Member, type MemberTable } from "./member-table.ts";
import { type Messenger, type Step, updateOf } from "./messenger.ts";
import type { Prober } from "./prober.ts";
import { compareRing, isLeap, isOut, isPlausible, isSameLiveness, mergeRecords } from "./record.ts";
import { Suspicion, suspicionTimes } from "./suspicion.ts";

/** Shortest time between two alarms about another process with this node's id. */
const DUPLICATE_SPACING_MS = 10_000;

/** New members that are believed in within so many milliseconds: a whole cluster that starts at once. Further ones are ignored. */
const STRANGERS_MAX = 1_024;
const STRANGERS_MS = 10_000;

/** A member that sent us something. */
export interface Sender {
  readonly id: MemberId;
  readonly address: string;
}

/** A record as somebody told it. */
interface Told {
  readonly record: MemberRecord;
  readonly accuser: MemberId;
  readonly from: MemberId;
  readonly isSync: boolean;
}

/** The parts that a changed view has consequences for. */
interface ViewParts {
  readonly options: MembershipOptions;
  readonly table: MemberTable;
  readonly messenger: Messenger;
  readonly prober: Prober;
  readonly awareness: Awareness;
  readonly contacts: Contacts;
  readonly guard: EvictionGuard;
  /** This node's boots up to this one are known to be out of the ring; 0 for none. */
  readonly outGeneration: number;
}

/** See the top of the file. */
export class View {
  readonly #parts: ViewParts;
  #duplicateAtMs = Number.NEGATIVE_INFINITY;
  /** See {@link ViewParts.outGeneration}: as much as is known by now. */
  #outGeneration: number;
  #recordsRefused = 0;
  #recordsIgnored = 0;
  #recordsForged = 0;
  #membersExcess = 0;
  /** New members heard of, and since when. */
  #strangers = 0;
  #strangersSinceMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ViewParts) {
    this.#parts = parts;
    this.#outGeneration = parts.outGeneration;
  }

  /** Records that were not believed: generation or numbers out of range. */
  get recordsRefused(): number {
    return this.#recordsRefused;
  }

  /** Those among them that no member in order can hold. */
  get recordsForged(): number {
    return this.#recordsForged;
  }

  /** Records of new members that came in numbers in which members do not come. */
  get membersExcess(): number {
    return this.#membersExcess;
  }

  /** Records for which there was no room. */
  get recordsIgnored(): number {
    return this.#recordsIgnored;
  }

  /** Takes what came along with a message. Updates past 4,096 are ignored, as in {@link learnSync}. */
  learnUpdates(sender: Sender, told: readonly Update[], step: Step): void {
    this.#recordsIgnored += Math.max(0, told.length - MEMBERS_MAX);
    const updates = told.slice(0, MEMBERS_MAX);
    for (const { record, accuser } of updates) {
      const source = accuser === "" ? sender.id : accuser;
      this.#learn({ record, accuser: source, from: sender.id, isSync: false }, step);
    }
    const records = updates.map(({ record }) => record);
    this.#correct(sender, records, step);
  }

  /** Takes another member's table. Records past 4,096 are ignored: an honest table has no more. */
  learnSync(sender: Sender, sync: Sync, step: Step): void {
    this.#recordsIgnored += Math.max(0, sync.records.length - MEMBERS_MAX);
    const records = sync.records.slice(0, MEMBERS_MAX);
    for (const record of records) {
      this.#learn({ record, accuser: sender.id, from: sender.id, isSync: true }, step);
    }
    // A reply says it all anyway.
    if (!sync.wantsReply) this.#correct(sender, records, step);
  }

  /**
   * Takes a record that is above the one held (or of a new member) into the view, and spreads it. This node's own is told to all
   * at once, unless the caller does that.
   */
  change(record: MemberRecord, accuser: MemberId | "", step: Step, isToldByCaller = false): void {
    const { table, messenger, guard, contacts } = this.#parts;
    const nowMs = step.now.monoMs;
    const before = table.get(record.id)?.record;
    const member = table.put(record, nowMs);
    if (before === undefined || !isSameLiveness(before, record)) this.#takeLiveness(member, accuser, nowMs);
    if (isOut(record.ringState)) this.#takeOut(member, nowMs);
    if (record.ringState === "evicted" && before !== undefined && isInRing(before.ringState)) {
      guard.note(record.weight, nowMs);
    }
    if (before === undefined && table.clusterSize === 2) contacts.foundSomeone(nowMs);
    emitChange(before, member, step);
    if (record.id === table.self.id && !isToldByCaller) messenger.tellAll([updateOf(member)], step);
    else messenger.spread(updateOf(member));
  }

  /** This node itself says that the member does not answer. */
  accuse(member: Member, step: Step): void {
    const { table, messenger } = this.#parts;
    const self = table.self.id;
    // At first hand, so it is told to all at once: the queue of news keeps one accuser for a member, and a suspicion that lacks
    // accusers lasts long.
    if (member.suspicion?.confirm(self, step.now.monoMs)) {
      messenger.tellAll([{ record: member.record, accuser: self }], step);
    }
    if (member.record.liveness !== "alive") return;
    this.change({ ...member.record, liveness: "suspect" }, self, step);
    messenger.tellAll([{ record: member.record, accuser: self }], step);
    // The suspect hears it first (Lifeguard's buddy system): it may answer before anyone else does.
    messenger.accuse(member, member.record.address, step, 0);
  }

  /** Declares dead who did not answer in time. */
  tickSuspicions(step: Step): void {
    const { table } = this.#parts;
    for (const member of table.suspects()) {
      if (member.suspicion === undefined || member.suspicion.deadlineMs > step.now.monoMs) continue;
      for (const accuser of member.suspicion.accusers) addWitness(member, accuser);
      this.change({ ...member.record, liveness: "dead" }, table.self.id, step);
    }
  }

  /** Another live process has this node's id: not fought (raising our generation would only make the two take turns), but told. */
  reportDuplicate(address: string, step: Step): void {
    if (step.now.monoMs < this.#duplicateAtMs + DUPLICATE_SPACING_MS) return;
    this.#duplicateAtMs = step.now.monoMs;
    emit({ type: "duplicateId", member: this.#parts.table.self.id, address }, step);
  }

  #learn(told: Told, step: Step): void {
    const { table } = this.#parts;
    if (!isPlausible(told.record, step.now.wallMs)) {
      this.#recordsRefused++;
      this.#recordsForged++;
      return;
    }
    const held = table.get(told.record.id)?.record;
    if (held !== undefined && isLeap(held, told.record)) {
      this.#recordsRefused++;
      return;
    }
    if (told.record.id === table.self.id) {
      this.#learnOfSelf(told.record, step);
      return;
    }
    const known = held;
    if (known === undefined && !this.#hasRoomForStranger(step.now.monoMs)) {
      this.#recordsIgnored++;
      return;
    }
    const isSoftened = told.isSync && !isOut(table.self.ringState);
    const incoming = isSoftened ? softened(told.record, known) : told.record;
    const merged = known === undefined ? incoming : mergeRecords(known, incoming);
    if (merged !== known) this.change(merged, told.accuser, step);
    this.#weigh(told, step);
  }

  /** Members that are news come one by one, or a few hundred at once; a whole table comes before this node has told of itself. */
  #hasRoomForStranger(nowMs: number): boolean {
    const { table, messenger } = this.#parts;
    if (table.size >= MEMBERS_MAX) return false;
    if (!messenger.isAnnounced) return true;
    if (nowMs - this.#strangersSinceMs >= STRANGERS_MS) {
      this.#strangersSinceMs = nowMs;
      this.#strangers = 0;
    }
    if (++this.#strangers <= STRANGERS_MAX) return true;
    this.#membersExcess++;
    return false;
  }

  /** Counts what was said against a member in its present incarnation, whether it changed the view or not. */
  #weigh(told: Told, step: Step): void {
    const { record: said, accuser, from } = told;
    const member = this.#parts.table.get(said.id);
    if (member === undefined || said.liveness === "alive") return;
    const { generation, incarnation } = member.record;
    if (said.generation !== generation || said.incarnation !== incarnation) return;
    if (said.liveness === "dead") {
      addWitness(member, from);
      addWitness(member, accuser);
    }
    // A full sync repeats suspicions without saying whose they are: that is no further accuser.
    if (told.isSync && said.liveness === "suspect") return;
    if (!member.suspicion?.confirm(accuser, step.now.monoMs)) return;
    this.#parts.messenger.spread({ record: member.record, accuser });
  }

  /** Who still believes in a member that is out, or in an older boot of one, is told better. At most one message. */
  #correct(sender: Sender, told: readonly MemberRecord[], step: Step): void {
    const { table, messenger } = this.#parts;
    const updates: Update[] = [];
    for (const record of told) {
      const known = record.id === table.self.id ? undefined : table.get(record.id);
      if (known === undefined || updates.length >= UPDATES_PER_MESSAGE_MAX) continue;
      if (isOutdated(record, known.record)) updates.push(updateOf(known));
    }
    if (updates.length > 0) messenger.send(sender, { kind: "gossip", updates }, step);
  }

  /** Others may know this node from before its restart, suspect it, or have evicted it. */
  #learnOfSelf(told: MemberRecord, step: Step): void {
    const { self } = this.#parts.table;
    if (isOut(self.ringState)) return;
    if (told.generation < self.generation) {
      this.#learnOfEarlierSelf(told, step);
      return;
    }
    if (told.generation > self.generation || told.address !== self.address) {
      this.reportDuplicate(told.address, step);
    }
    if (told.generation > self.generation) return;
    const isAccused = told.liveness !== "alive" && told.incarnation >= self.incarnation;
    if (isAccused || told.incarnation > self.incarnation) this.#refute(told.incarnation, step);
    if (told.placeSeq > self.placeSeq) {
      const { zone, weight, placeSeq } = told;
      this.change({ ...this.#parts.table.self, zone, weight, placeSeq }, "", step);
    }
    if (isOut(told.ringState)) {
      const { ringSeq, ringState, settledRingId, preparedRingId } = told;
      this.change({ ...this.#parts.table.self, ringSeq, ringState, settledRingId, preparedRingId }, "", step);
    } else if (self.ringState === "joining" && isInRing(told.ringState)) {
      const ringSeq = Math.max(told.ringSeq, self.ringSeq) + 1;
      this.change({ ...this.#parts.table.self, ringSeq, ringState: "warming" }, "", step);
    } else if (compareRing(told, self) > 0) {
      this.change({ ...this.#parts.table.self, ringSeq: told.ringSeq + 1 }, "", step);
    }
  }

  #learnOfEarlierSelf(told: MemberRecord, step: Step): void {
    const { table, messenger } = this.#parts;
    const { self } = table;
    if (isOut(told.ringState)) this.#outGeneration = Math.max(this.#outGeneration, told.generation);
    // What says that it is in the ring may be old news: it waited in a queue while the member was evicted and told so.
    const isStale = told.generation <= this.#outGeneration;
    if (self.ringState !== "joining" || !isInRing(told.ringState) || isStale) {
      messenger.remind();
      return;
    }
    const resumed = { ...self, ...placeAfterRestart(self, told) };
    this.change({ ...resumed, ringState: "warming", ringSeq: self.ringSeq + 1 }, "", step);
  }

  #refute(incarnation: number, step: Step): void {
    const { table, awareness } = this.#parts;
    const refuted = Math.max(table.self.incarnation, incarnation) + 1;
    // Who is accused may be the slow one (Lifeguard).
    awareness.apply(1);
    this.change({ ...table.self, incarnation: refuted }, "", step);
    emit({ type: "refuted", incarnation: refuted }, step);
  }

  #takeLiveness(member: Member, accuser: MemberId | "", nowMs: number): void {
    const { table, prober, options } = this.#parts;
    const { id, liveness } = member.record;
    member.suspicion = undefined;
    member.accuser = liveness === "alive" ? "" : accuser;
    if (id === table.self.id) return;
    if (liveness === "dead") prober.drop(id);
    if (liveness === "alive") prober.add(id, nowMs);
    if (liveness === "suspect" && accuser !== "") {
      member.suspicion = new Suspicion(suspicionTimes(table.clusterSize, options), accuser, nowMs);
      prober.prefer(id, nowMs);
    }
  }

  #takeOut(member: Member, nowMs: number): void {
    const { table, prober } = this.#parts;
    member.suspicion = undefined;
    prober.drop(member.record.id);
    if (member.record.id !== table.self.id) return;
    for (const { record } of table.deadPeers()) table.put({ ...record, liveness: "suspect" }, nowMs);
  }
}

/**
 * The place of a member that was in the ring before it restarted, and what it wishes: what it was started with; where that says
 * nothing (no zone, a weight of 1) what it had, or wished for last.
 */
function placeAfterRestart(
  self: MemberRecord,
  told: MemberRecord,
): Pick<MemberRecord, "zone" | "weight" | "wanted"> {
  const { zone, weight } = told;
  const asked = wantedPlace(told) ?? told;
  const wanted = {
    seq: self.placeSeq + 1,
    zone: self.zone === "" ? asked.zone : self.zone,
    weight: self.weight === 1 ? asked.weight : self.weight,
  };
  const isContent = wanted.zone === zone && wanted.weight === weight;
  return { zone, weight, wanted: isContent ? undefined : wanted };
}

/** Whether someone who says `told` should hear `known`: it is of an older boot, or the member is out. */
function isOutdated(told: MemberRecord, known: MemberRecord): boolean {
  if (told.generation !== known.generation) return told.generation < known.generation;
  return isOut(known.ringState) && !isOut(told.ringState);
}

/** Invariant 3. Members that are out are not suspected of anything any more. */
function softened(record: MemberRecord, known: MemberRecord | undefined): MemberRecord {
  const isFinal = isOut(record.ringState) || (known !== undefined && isOut(known.ringState));
  return record.liveness === "dead" && !isFinal ? { ...record, liveness: "suspect" } : record;
}

function emitChange(before: MemberRecord | undefined, member: Member, step: Step): void {
  const { id, liveness, incarnation, ringState, address, zone, weight } = member.record;
  if (before?.liveness !== liveness) {
    emit({ type: "memberLiveness", member: id, liveness, incarnation, by: member.accuser }, step);
  }
  if (before?.ringState !== ringState) emit({ type: "memberRingState", member: id, ringState }, step);
  if (before !== undefined && before.address !== address) {
    emit({ type: "memberAddress", member: id, address }, step);
  }
  if (before !== undefined && (before.zone !== zone || before.weight !== weight)) {
    emit({ type: "memberPlace", member: id, zone, weight }, step);
  }
}

function emit(event: NodeEvent, step: Step): void {
  step.out.push({ kind: "event", event });
}
