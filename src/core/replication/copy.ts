// Copies slots from other members: one job, from the slots that are wanted to the last one done.
//
// The slot is the unit: of progress, of resumption, of completeness. For each wanted slot the job knows its candidates (who may
// hold it) and how many of them it needs; one after the other is asked, best first (`copy-source.ts` paces the questions). A slot
// whose digests agree costs a few bytes. A source that is no authority for a slot says so and is not asked again, unless it fills the
// slot itself and will know.
//
// A slot is done when enough candidates have been copied, or when nobody is left who might add anything: the others are no
// authorities themselves (they lost their memory too) or are gone for good. A candidate that merely cannot be reached, or cannot tell
// yet, is waited for as long as fewer than `enough` were copied: it may hold acknowledged writes that nobody else here has.
//
// What a copy finds out about others it tells: a source that holds something older, or nothing where this node holds something, gets
// a hint. Two replicas may differ without either of them having a reason to ask.

import { slotOfKey } from "../../base/hash.ts";
import { type MemberId, type RingId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, Pull, PullReply } from "../messages.ts";
import type { Store } from "../store/store.ts";
import type { HybridClock } from "./clock.ts";
import type { ClusterView } from "./cluster-view.ts";
import { CopySource, SLOT_COPIED, SLOT_LATER, SLOT_NO_AUTHORITY, SLOT_UNKNOWN } from "./copy-source.ts";
import type { Outbox } from "./outbox.ts";

const PULL_TIMEOUT_MS = 2_000;
/** After a source failed to answer, it rests for this long. */
const SOURCE_REST_MS = 100;
/** Who fills a slot is asked for it again after this. */
const ASK_AGAIN_MS = 1_000;

export interface CopyParts {
  readonly store: Store;
  readonly clock: HybridClock;
  readonly view: ClusterView;
  readonly outbox: Outbox;
  readonly nextId: () => number;
  /** Whether this node serves callers at the moment. */
  isServing(now: Now): boolean;
  /** The member turned out not to have the key's version that this node holds. */
  lags(member: MemberId, key: string, slot: Slot, now: Now): void;
  /** Whether this node knows that the entry's operation completed under another version. */
  isDead(entry: Entry): boolean;
  /** Counts what all copies of this node receive. */
  readonly received: CopyCounts;
}

/** Entries of slots that were copied from others, since the start; bytes of keys and values. */
export interface CopyCounts {
  entriesTotal: number;
  bytesTotal: number;
  /** The finished copy that received the most entries: a measure of how fast this node copies. Zeros before the first. */
  largest: CopyPace;
}

/** What one copy received and how long it took. */
export interface CopyPace {
  readonly entries: number;
  readonly bytes: number;
  readonly ms: number;
}

/** The counts of a node that has copied nothing yet. */
export function noCopies(): CopyCounts {
  return { entriesTotal: 0, bytesTotal: 0, largest: { entries: 0, bytes: 0, ms: 0 } };
}

/** What to copy, from whom, and what to do with a slot that is done. */
export interface CopyJob {
  readonly ringId: RingId;
  readonly isRehearsal: boolean;
  /** Of slots that this node holds already, with all who can be asked. */
  readonly isComparison: boolean;
  readonly slots: readonly Slot[];
  /** Members that may hold the slot, best first, without this node. */
  candidates(slot: Slot): readonly MemberId[];
  /** Whether the member is one of those who make the copy complete. The others are asked as well when these are too few. */
  isOwing(slot: Slot, member: MemberId): boolean;
  /** How many of them make the copy complete; at least 1. */
  needed(slot: Slot): number;
  /** After how many of them nobody is waited for who cannot answer now; 0 to wait for one answer only, whatever it says. */
  enough(slot: Slot): number;
  /** Whether those who gained the slot are waited for until they hold it. Those must not be waiting for this node. */
  waitsForFilling(slot: Slot): boolean;
  /** Whether those who left and cannot be reached are waited for like members. */
  waitsForLeft(): boolean;
  /** Whether callers wait for the slot: then it is copied without regard for others. */
  isUrgent(slot: Slot): boolean;
  /** `sources`: how many were copied. */
  done(slot: Slot, sources: number, now: Now): void;
}

/** See the top of the file. Bounded by the number of members times slots. */
export class Copy {
  readonly #parts: CopyParts;
  readonly #job: CopyJob;
  readonly #sources = new Map<MemberId, CopySource>();
  /** Sources by list of candidates: the lists are few, and shared by slots. */
  readonly #byCandidates = new Map<readonly MemberId[], readonly CopySource[]>();
  /** Per slot: sources copied, and sources it is queued at. */
  readonly #copied = new Uint8Array(SLOT_COUNT);
  readonly #underWay = new Uint8Array(SLOT_COUNT);
  /** Slots that were queued nowhere yet: all of them, until the first {@link advance}. */
  #fresh: readonly Slot[];
  /** Slots that are queued nowhere any more, and those whose candidates cannot be reached. */
  readonly #idle = new Set<Slot>();
  /** While callers are served here: one source is asked at a time, and after each answer none for a while. */
  #asksOne = false;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  /** Whether callers wait for what was asked last. */
  #isUrgent = false;
  #askAgainMs = Number.NEGATIVE_INFINITY;
  #remaining: number;
  #entriesReceived = 0;
  #bytesReceived = 0;

  constructor(parts: CopyParts, job: CopyJob) {
    this.#parts = parts;
    this.#job = job;
    this.#fresh = job.slots;
    this.#isUrgent = job.slots.length > 0 && job.isUrgent(job.slots[0]!);
    this.#remaining = job.slots.length;
  }

  get isDone(): boolean {
    return this.#remaining === 0;
  }

  /** Whether all slots that are not done wait for members that cannot answer now. */
  get isStuck(): boolean {
    return this.#remaining > 0 && this.#idle.size === this.#remaining;
  }

  /** Slots that are not done. */
  get remaining(): number {
    return this.#remaining;
  }

  get entriesReceived(): number {
    return this.#entriesReceived;
  }

  /** Of keys and values. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** When {@link pump} has something to send. */
  deadline(): number {
    const atMs = this.#nextSource()?.nextMs ?? Number.POSITIVE_INFINITY;
    if (!this.#asksOne) return atMs;
    return this.#askedCount > 0 ? Number.POSITIVE_INFINITY : Math.max(atMs, this.#restUntilMs);
  }

  get #askedCount(): number {
    let count = 0;
    for (const source of this.#sources.values()) if (source.asked !== undefined) count++;
    return count;
  }

  /** Looks again at what timed out and at the slots that nobody could be asked for, and asks what can be asked. */
  advance(now: Now): void {
    for (const source of this.#sources.values()) {
      const isLost = source.asked !== undefined && now.monoMs - source.asked.sentMs >= PULL_TIMEOUT_MS;
      if (isLost || !this.#parts.view.isUsable(source.member)) this.#giveBack(source, now);
    }
    this.#lookAtSources();
    const asksAgain = now.monoMs >= this.#askAgainMs;
    if (asksAgain) this.#askAgainMs = now.monoMs + ASK_AGAIN_MS;
    for (const slot of this.#idle) {
      if (asksAgain) for (const source of this.#sourcesOf(this.#job.candidates(slot))) source.askAgain(slot);
      this.#place(slot, now);
    }
    const fresh = this.#fresh;
    this.#fresh = [];
    for (const slot of fresh) this.#place(slot, now);
    this.pump(now);
  }

  /** Sends the questions that are due: one to each source, or, while callers are served here, one in all. */
  pump(now: Now): void {
    this.#asksOne = this.#parts.isServing(now) && !this.#isUrgent;
    while (!this.#isResting(now)) {
      const source = this.#nextSource();
      if (source === undefined || source.nextMs > now.monoMs) return;
      this.#ask(source, now);
    }
  }

  #isResting(now: Now): boolean {
    return this.#asksOne && (this.#askedCount > 0 || this.#restUntilMs > now.monoMs);
  }

  /** The source that may be asked first, of those that can be asked. */
  #nextSource(): CopySource | undefined {
    let next: CopySource | undefined;
    for (const source of this.#sources.values()) {
      const canBeAsked = source.asked === undefined && source.hasWork;
      if (canBeAsked && (next === undefined || source.nextMs < next.nextMs)) next = source;
    }
    return next;
  }

  /**
   * Queues the slot at the next source that it needs, or ends it when nobody is left who might add anything. One source after the
   * other: what the first has brought, the digests of the second agree with. Asked at the same time, both would send it all.
   */
  #place(slot: Slot, now: Now): void {
    const needed = this.#job.needed(slot);
    const enough = this.#job.enough(slot);
    const candidates = this.#sourcesOf(this.#job.candidates(slot));
    let heard = 0;
    let isAnyAwaited = false;
    for (const source of candidates) {
      if (this.#copied[slot]! >= needed || this.#underWay[slot]! > 0) break;
      const status = source.status[slot]!;
      if (status === SLOT_COPIED || status === SLOT_NO_AUTHORITY) heard++;
      else if (status === SLOT_UNKNOWN && source.isUsable) {
        source.queue(slot);
        this.#underWay[slot]! += 1;
      } else if (source.isMember) {
        isAnyAwaited = this.#copied[slot]! < enough;
      }
    }
    if (this.#underWay[slot]! > 0) {
      this.#idle.delete(slot);
      return;
    }
    // A job that waits for nobody still wants one answer, or a node that is cut off would be done at once.
    const isAnsweredOrVain = heard > 0 || candidates.every((source) => !source.isMember);
    const isExhausted = !isAnyAwaited && (enough > 0 || isAnsweredOrVain);
    if (this.#copied[slot]! >= needed || isExhausted) this.#finish(slot, now);
    else this.#idle.add(slot);
  }

  #finish(slot: Slot, now: Now): void {
    this.#idle.delete(slot);
    this.#remaining--;
    this.#job.done(slot, this.#copied[slot]!, now);
  }

  #ask(source: CopySource, now: Now): void {
    const { store, outbox, nextId } = this.#parts;
    const { ringId, isRehearsal } = this.#job;
    const slots = source.next();
    const id = nextId();
    const digests = slots.map((slot) => store.digest(slot));
    const pull: Pull = { kind: "pull", id, ringId, isRehearsal, slots, digests, after: source.after };
    source.asked = { id, slots, sentMs: now.monoMs };
    outbox.peer(source.member, pull);
  }

  /** Takes in an answer and asks for more. Returns false when it was not for this job. */
  pulled(from: MemberId, reply: PullReply, now: Now): boolean {
    const source = this.#sources.get(from);
    const asked = source?.asked;
    if (source === undefined || asked?.id !== reply.id) return false;
    const hasMoved = reply.slotsDone > 0 || reply.after !== "";
    if (reply.status !== "ok" || reply.slotsDone > asked.slots.length || !hasMoved) {
      this.#giveBack(source, now);
      return true;
    }
    source.asked = undefined;
    this.#isUrgent = this.#job.isUrgent(asked.slots[0]!);
    source.answered(
      asked,
      { slotsDone: reply.slotsDone, rests: reply.isBusy && !this.#isUrgent },
      now.monoMs,
    );
    this.#restUntilMs = now.monoMs + source.restMs;
    this.#lookAtSources();
    this.#merge(source, reply.entries, now);
    this.#slotsDone(source, asked.slots, reply, now);
    if (reply.after !== "") {
      source.after = reply.after;
      const rest = asked.slots[reply.slotsDone];
      for (const { key } of reply.entries) if (slotOfKey(key) === rest) source.partialKeys.add(key);
    }
    this.pump(now);
    return true;
  }

  #merge(source: CopySource, entries: readonly Entry[], now: Now): void {
    const { store, clock, received, isDead } = this.#parts;
    let bytes = 0;
    for (const entry of entries) {
      const slot = slotOfKey(entry.key);
      const before = this.#copied[slot]! > 0 ? store.digest(slot).sum : undefined;
      bytes += entry.key.length + (entry.value?.length ?? 0);
      // However far ahead of this node's clock: other replicas took it, and a copy that leaves it out would count all the same.
      clock.observe(entry.version, now.wallMs);
      // What it hides here may be acknowledged: the repair that follows the hint writes that again above it.
      if (isDead(entry) && store.head(slot, entry.key) !== undefined) {
        this.#tell(source, entry.key, slot, now);
        continue;
      }
      const { status } = store.merge(slot, entry, now.wallMs, { cold: true });
      if (status === "newer" && store.head(slot, entry.key) !== undefined) {
        this.#tell(source, entry.key, slot, now);
      } else if (before !== undefined && store.digest(slot).sum !== before) {
        // Those that were copied before do not hold this.
        for (const other of this.#sources.values()) {
          if (other !== source && other.status[slot] === SLOT_COPIED) this.#tell(other, entry.key, slot, now);
        }
      }
    }
    this.#entriesReceived += entries.length;
    this.#bytesReceived += bytes;
    received.entriesTotal += entries.length;
    received.bytesTotal += bytes;
  }

  #tell({ member }: CopySource, key: string, slot: Slot, now: Now): void {
    const { view, lags } = this.#parts;
    if (!this.#job.isRehearsal && view.ring?.isReplica(slot, member) === true) lags(member, key, slot, now);
  }

  /** What this node holds and the source did not send: it lacks that, or has evicted or forgotten it. */
  #tellMissing(source: CopySource, slot: Slot, floor: number, keys: ReadonlySet<string>, now: Now): void {
    for (const { key, version } of this.#parts.store.heads(slot)) {
      if (version > floor && !keys.has(key)) this.#tell(source, key, slot, now);
    }
  }

  #slotsDone(source: CopySource, slots: readonly Slot[], reply: PullReply, now: Now): void {
    const isSame = reply.isSame.every((each) => each);
    const keys =
      !isSame && (this.#job.isComparison || reply.floors.some((floor) => floor > 0))
        ? new Set([...source.partialKeys, ...reply.entries.map(({ key }) => key)])
        : NO_KEYS;
    source.taken(reply.slotsDone);
    for (let index = 0; index < reply.slotsDone; index++) {
      const slot = slots[index]!;
      const isEntitled = reply.entitled[index] === true;
      source.status[slot] = isEntitled
        ? SLOT_COPIED
        : this.#statusWithout(slot, reply.isSame[index] === true);
      this.#underWay[slot]! -= 1;
      if (isEntitled) {
        if (this.#job.isOwing(slot, source.member)) this.#copied[slot]! += 1;
        this.#takeOver(source, slot, { reply, index, keys }, now);
      }
      if (this.#underWay[slot] === 0) this.#place(slot, now);
    }
  }

  /** Of a slot that the source may not answer for: whether it is to be asked again. */
  #statusWithout(slot: Slot, isFilling: boolean): number {
    return isFilling && this.#job.waitsForFilling(slot) ? SLOT_LATER : SLOT_NO_AUTHORITY;
  }

  /** What the source knows of the slot beside its entries. */
  #takeOver(
    source: CopySource,
    slot: Slot,
    answer: { readonly reply: PullReply; readonly index: number; readonly keys: ReadonlySet<string> },
    now: Now,
  ): void {
    const { reply, index, keys } = answer;
    const { store } = this.#parts;
    const floor = reply.floors[index] ?? 0;
    const isSame = reply.isSame[index] === true;
    if (floor > 0 && !isSame) this.#dropForgotten(slot, floor, keys, now);
    if (!isSame && this.#job.isComparison) this.#tellMissing(source, slot, floor, keys, now);
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

  /** The member's answers are lost with its link. */
  memberLost(member: MemberId, now: Now): void {
    const source = this.#sources.get(member);
    if (source !== undefined) this.#giveBack(source, now);
  }

  /** What was queued there is asked elsewhere, or there again after a rest. */
  #giveBack(source: CopySource, now: Now): void {
    source.nextMs = Math.max(source.nextMs, now.monoMs + SOURCE_REST_MS);
    for (const slot of source.giveBack()) {
      this.#underWay[slot]! -= 1;
      if (this.#underWay[slot] === 0) this.#idle.add(slot);
    }
  }

  /** Who can be asked now, looked up once for all the slots of a step. */
  #lookAtSources(): void {
    const { view } = this.#parts;
    for (const source of this.#sources.values()) {
      source.isUsable = view.isUsable(source.member);
      source.isMember = this.#mayComeBack(source.member);
    }
  }

  #mayComeBack(member: MemberId): boolean {
    const { view } = this.#parts;
    // The change that is rehearsed is made without it: should it come back, there is another plan.
    if (this.#job.isRehearsal && view.isCondemned(member)) return false;
    return view.isMember(member) || (this.#job.waitsForLeft() && view.hasLeft(member));
  }

  #sourcesOf(candidates: readonly MemberId[]): readonly CopySource[] {
    let sources = this.#byCandidates.get(candidates);
    if (sources === undefined) {
      sources = candidates.map((member) => this.#source(member));
      this.#byCandidates.set(candidates, sources);
    }
    return sources;
  }

  #source(member: MemberId): CopySource {
    let source = this.#sources.get(member);
    if (source === undefined) {
      source = new CopySource(member, (slot) => this.#job.isUrgent(slot));
      source.isUsable = this.#parts.view.isUsable(member);
      source.isMember = this.#mayComeBack(member);
      this.#sources.set(member, source);
    }
    return source;
  }
}

const NO_KEYS: ReadonlySet<string> = new Set();
