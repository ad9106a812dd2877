// One write, from request to answer and on until every natural replica has it or a hint.
//
//   ask ------> decide ------> replicate ------> answered (acknowledged by enough counted replicas) ------> over
//
// - ask: only when the outcome depends on what is there and this node cannot tell alone, or when the write is a repeated
//   attempt, or has waited while the ring changed. A repeat first asks a majority whether they know the operation, which
//   also shuts out its earlier attempts. If it is the newest version anywhere it is completed under that version; if a
//   majority stored it, it is done; if nobody knows it, it is written anew; anything in between cannot be told apart and
//   ends as "maybe".
//   A value that an outcome depends on is one that a majority holds: nothing is built on a version that might be lost.
// - decide: `decide.ts`.
// - replicate: to all natural replicas at once. A replica that holds something newer refuses: the same write goes out again
//   with a higher version (a write whose outcome depends on the value is decided anew). Who cannot be reached gets a hint.
//
// What is promised: an acknowledgement means that the mode's number of counted natural replicas stored it, under one ring.
// "no" means that no replica can have stored it; everything else that fails is "maybe".

import type { ErrorCode } from "../../base/errors.ts";
import type { MemberId, RingId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, Outcome, Replicate, ReplicateReply, WriteRequest } from "../messages.ts";
import { compareVersions, isLive } from "../store/entry.ts";
import { wallMsOf } from "./clock.ts";
import { majorityOf } from "./cluster-view.ts";
import { type Decision, decide, FOUND_NOTHING, needsCurrent, outcomeOf, rememberedOf } from "./decide.ts";
import { type Answer, askAgainMs, EVERYBODY_MS, Gather, type GatherResult, newestOf } from "./gather.ts";
import { MemberSet } from "./member-set.ts";
import { NO_OPERATION } from "./operations.ts";
import { isNothing, type ReadResult, ReadTask } from "./read-task.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";

/** A write is re-issued at most this often; each time it lost to a concurrent write of the same key. */
const ISSUES_MAX = 16;

/** Longest wait for the first replica when enough others have the write; well within the time a caller gives one try. */
export const FIRST_REPLICA_MS = 50;

/** How long ago a write is taken to have begun when its client's clock is not known yet. */
const BEGUN_MS_MAX = 2_000;

export type WriteResult =
  | { readonly status: "ok"; readonly outcome: Outcome }
  | {
      readonly status: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly applied: "no" | "maybe";
      readonly elsewhere: boolean;
    };

/** Called exactly once; the task may go on for a while to see to the remaining replicas. */
export type WriteListener = (result: WriteResult, now: Now) => void;

/** See the top of the file. */
export class WriteTask implements Task {
  registration: Registration | undefined;
  readonly #context: TaskContext;
  readonly #request: WriteRequest;
  readonly #slot: Slot;
  readonly #deadlineMs: number;
  readonly #listener: WriteListener;
  readonly #canDecideAlone: boolean;
  /** The ring when it began, and when its replicas were last asked who knows this write. */
  #startRingId: RingId | undefined;
  #askedRingId: RingId | undefined;
  #list: readonly MemberId[] = [];
  #ringId: RingId | undefined;
  #entry: Entry | undefined;
  #outcome: Outcome = true;
  #over = 0;
  #id = 0;
  #issues = 0;
  #issuedMs = 0;
  /** Rounds of sending one issue again. */
  #sendRounds = 0;
  /** Acknowledged and counted; stored by a replica that does not count (yet); sent and not answered. */
  readonly #counted = new MemberSet();
  readonly #uncounted = new MemberSet();
  readonly #waiting = new MemberSet();
  /** Refused for a passing reason (another ring): to be sent again. */
  readonly #again = new MemberSet();
  /** Who may hold something this task issued: stored it, or was sent it and has not refused. Kept from issue to issue. */
  readonly #mayHold = new MemberSet();
  #mayBeApplied = false;
  /** Somebody who was sent this write, by this attempt or may be by an earlier one, has not said that it does not know it. */
  #mayBeLeft = false;
  #isCompletion = false;
  /** What the last decision was built on; and whether any replica held something newer than that. */
  #base: Entry | undefined;
  #wasOvertaken = false;
  /** This node is a replica and has not stored the issue yet. */
  #isOwnDue = false;
  /** Some replica holds something newer than what was issued last. */
  #isRefused = false;
  /** The newest version that any replica was found to hold: what is issued goes above it. */
  #newestHeld = 0;
  /** Of a delete: all replicas have said that they hold no value, be it one that has expired. */
  #isNoValueHeld = false;
  #isAnswered = false;
  #isOver = false;

  /** @param canDecideAlone Whether this node's own copy is known to be current. */
  constructor(
    context: TaskContext,
    request: WriteRequest,
    plan: { readonly slot: Slot; readonly deadlineMs: number; readonly canDecideAlone: boolean },
    listener: WriteListener,
  ) {
    this.#context = context;
    this.#request = request;
    this.#slot = plan.slot;
    this.#deadlineMs = plan.deadlineMs;
    this.#canDecideAlone = plan.canDecideAlone;
    this.#listener = listener;
  }

  start(now: Now): void {
    const { change, attempt, opClient, opSeq } = this.#request;
    this.#startRingId = this.#context.view.ring?.id;
    this.#askedRingId = this.#startRingId;
    // A first attempt that is known already is a message that arrived twice.
    if (attempt > 1 || this.#context.replica.knows(opClient, opSeq)) this.#ask(now);
    else if (!needsCurrent(change)) this.#decide(undefined, now);
    else if (this.#canDecideAlone) this.#decideAlone(now);
    else this.#readCurrent(now);
  }

  // ---- ask

  /**
   * On this node's own copy, when it gave the version itself and the decision is to write: then it goes to a majority. What another node
   * gave may be here only, and shut out elsewhere by a repeat, which would then be applied on top of what is built on it. A reason not to
   * write may be such a version, too: others have to share it.
   */
  #decideAlone(now: Now): void {
    const held = this.#context.store.peek(this.#slot, this.#request.key);
    const isOwn = held === undefined || held.origin === this.#context.origin;
    const isWrite = decide(this.#request.change, liveOf(held, now), now.wallMs).type === "write";
    if ((isOwn && isWrite) || this.#request.write === "async") this.#decide(held, now);
    else this.#readCurrent(now);
  }

  /** What is there, held by a majority: a write is never built on a version that might still be lost. */
  #readCurrent(now: Now): void {
    const { change, write } = this.#request;
    if (change.type === "delete" && write !== "async") this.#lookForAny(now);
    else this.#readNewest(now);
  }

  /**
   * A delete of nothing needs no tombstone only when nobody holds anything: the majority may have evicted the newest value, and
   * another replica may have missed it and hold the one before, which would be all that is left. And a delete of what has expired needs
   * none only when nobody holds the value any more: by another node's clock it may have a moment to live.
   */
  #lookForAny(now: Now): void {
    const { key } = this.#request;
    const request = {
      key,
      slot: this.#slot,
      mode: "quorum",
      ...NO_OPERATION,
      deadlineMs: this.#deadlineMs,
      wantsAll: true,
      patienceMs: EVERYBODY_MS,
    } as const;
    const heard = (result: GatherResult, at: Now) => {
      if (this.#isOver) return;
      const isTold = result.status === "ok" && result.isComplete;
      const entries = isTold ? result.answers.map(({ reply }) => reply.entry) : [];
      this.#isNoValueHeld = isTold && entries.every((entry) => entry?.value === undefined);
      if (isTold && entries.every((entry) => entry === undefined)) this.#succeed(false, at);
      else this.#readNewest(at);
    };
    new Gather(this.#context, request, heard).start(now);
  }

  #readNewest(now: Now): void {
    const mode = this.#request.write === "async" ? "degraded" : "quorum";
    const request = { key: this.#request.key, slot: this.#slot, mode, deadlineMs: this.#deadlineMs } as const;
    const decideOn = (result: ReadResult, at: Now) => {
      if (this.#isOver) return;
      if (result.status === "noQuorum") {
        this.#fail("ERR_NO_QUORUM", "No majority of the key's replicas can be reached", at);
      } else if (
        result.entry !== undefined &&
        this.#isOwn(result.entry) &&
        this.#leftNewerBehind(result.entry)
      ) {
        this.#failMaybe("Another issue of this write was first", at);
      } else if (this.#isOwn(result.entry)) {
        // An earlier issue of this very write was the newest, and reading has just completed it on a majority: not on the others.
        this.#entry = result.entry;
        this.#ringId = this.#context.view.ring?.id;
        this.#list = this.#context.view.ring?.preferenceList(this.#slot) ?? [];
        for (const set of [this.#counted, this.#uncounted, this.#waiting, this.#again]) set.clear();
        this.#tellNewcomers();
        const { change, opClient, opSeq } = this.#request;
        const remembered = [rememberedOf(result.entry!), this.#context.replica.remembered(opClient, opSeq)];
        this.#succeed(outcomeOf(change, remembered), at);
      } else if (this.#askedRingId !== this.#context.view.ring?.id) {
        // Another attempt may have been made meanwhile. It has shut out this one where the ring before had its replicas, and nowhere else.
        this.#ask(at);
      } else {
        this.#decide(result.entry, at);
      }
    };
    new ReadTask(this.#context, request, decideOn).start(now);
  }

  /**
   * Does any replica know this operation? Everybody gets a moment to say so: a majority that a change of the ring made may know nothing of
   * what was written before it. `wantsAll`: a majority did not tell, and the others get longer.
   */
  #ask(now: Now, wantsAll = false): void {
    const { key, opClient, opSeq, attempt, begunAt } = this.#request;
    const mode = this.#request.write === "async" ? "degraded" : "quorum";
    const request = {
      key,
      slot: this.#slot,
      mode,
      opClient,
      opSeq,
      attempt,
      begunAt: knownBegunAt(begunAt, now),
      deadlineMs: this.#deadlineMs,
      wantsAll: true,
      ...(wantsAll ? {} : { patienceMs: EVERYBODY_MS }),
    } as const;
    new Gather(this.#context, request, (result, at) => this.#asked(result, wantsAll, at)).start(now);
  }

  #asked(result: GatherResult, askedAll: boolean, now: Now): void {
    if (this.#isOver) return;
    if (result.status === "noQuorum") {
      this.#fail("ERR_NO_QUORUM", "No majority of the key's replicas can be reached", now);
      return;
    }
    this.#askedRingId = this.#context.view.ring?.id;
    this.#observe(result.answers, now);
    const { newest, answers } = result;
    const isKnowing = ({ reply }: Answer) => reply.known !== undefined || this.#isOwn(reply.entry);
    const knownBy = [...answers, ...result.formers].filter(isKnowing);
    if (newest !== undefined && this.#isOwn(newest)) {
      if (this.#mustDecideAnew(result, newest, now)) this.#decideAnew(result, askedAll, now);
      else if (this.#leftNewerBehind(newest)) this.#failMaybe("Another attempt of this write was first", now);
      else this.#complete(newest, knownBy, now);
      return;
    }
    const countedBy = answers.filter((answer) => answer.reply.counts && isKnowing(answer)).length;
    const replicas = this.#context.view.ring?.preferenceList(this.#slot).length ?? 0;
    if (countedBy >= majorityOf(replicas)) {
      this.#context.outbox.event({ type: "writeDeduplicated" });
      this.#succeed(this.#outcomeKnownBy(knownBy), now);
    } else if (knownBy.length > 0 && !result.isComplete && !askedAll) {
      this.#ask(now, true);
    } else if (knownBy.length > 0 && !this.#isCertain(result)) {
      this.#mayBeApplied = true;
      this.#failMaybe(
        "Some replicas know an earlier attempt of this write and the others cannot be asked",
        now,
      );
    } else if (needsCurrent(this.#request.change)) {
      this.#mayBeLeft = this.#isAnySilent(result);
      this.#readCurrent(now);
    } else {
      this.#decide(newest, now);
    }
  }

  /**
   * Whether all who might have stored this write have said so. Not for a repeat: a replica that has started since the first
   * attempt cannot tell, even when it counts again, because what it copied are entries and not what they replaced. And not after a
   * change of the ring: what they know may be a later attempt's, which would have shut out this one under the same ring.
   */
  #isCertain({ isComplete }: Extract<GatherResult, { status: "ok" }>): boolean {
    const isSameRing = this.#startRingId === this.#context.view.ring?.id;
    return isComplete && this.#request.attempt === 1 && isSameRing;
  }

  /** Whether somebody may hold this write and did not answer. */
  #isAnySilent({ answers, isComplete }: Extract<GatherResult, { status: "ok" }>): boolean {
    if (this.#request.attempt > 1) return !isComplete;
    const answered = new Set(answers.map(({ member }) => member));
    return this.#mayHold.values().some((member) => !answered.has(member));
  }

  /** What the write answered, as those say who know it. */
  #outcomeKnownBy(answers: readonly Answer[]): Outcome {
    const remembered = answers.map(({ reply }) => {
      const own = reply.entry !== undefined && this.#isOwn(reply.entry) ? rememberedOf(reply.entry) : 0;
      return own !== 0 ? own : Number(reply.known?.outcome ?? 0);
    });
    return outcomeOf(this.#request.change, remembered);
  }

  #observe(answers: readonly Answer[], now: Now): void {
    for (const { reply } of answers) {
      this.#observeHeld(Math.max(reply.clearedVersion, reply.entry?.version ?? 0), now);
    }
  }

  #observeHeld(version: number, now: Now): void {
    this.#newestHeld = Math.max(this.#newestHeld, version);
    this.#context.clock.observe(version, now.wallMs);
  }

  #nextVersion(now: Now): number {
    return this.#context.clock.next(now.wallMs, this.#newestHeld);
  }

  #isOwn(entry: Entry | undefined): boolean {
    return (
      entry !== undefined && entry.opClient === this.#request.opClient && entry.opSeq === this.#request.opSeq
    );
  }

  /**
   * The newest version is this write's, and others hold a write that it was decided without: that one may be acknowledged, and to
   * complete this one would undo it. This task knows that replicas refused it for that; of what an earlier attempt was decided on, it knows
   * what would have come out of what the others hold.
   */
  #mustDecideAnew({ answers }: Extract<GatherResult, { status: "ok" }>, newest: Entry, now: Now): boolean {
    const { attempt, change, write } = this.#request;
    const holders = answers.filter(({ reply }) => reply.counts && this.#isOwn(reply.entry)).length;
    if (!needsCurrent(change) || holders >= this.#majority) return false;
    if (!this.#isCompletion && newest.opAttempt === attempt) return this.#wasOvertaken;
    if (change.type === "delete" || write === "async") return false;
    const other = newestOf(this.#ofOthers(answers));
    if (other === undefined) return false;
    const decision = decide(change, liveOf(other, now), now.wallMs);
    return decision.type !== "write" || !isSameValue(decision.value, newest.value);
  }

  get #majority(): number {
    return majorityOf(this.#context.view.ring?.preferenceList(this.#slot).length ?? 0);
  }

  /** The answers without what this write left. */
  #ofOthers(answers: readonly Answer[]): readonly Answer[] {
    return answers.map((answer) =>
      this.#isOwn(answer.reply.entry) ? { ...answer, reply: { ...answer.reply, entry: undefined } } : answer,
    );
  }

  /**
   * Somebody may hold a version of this very attempt above the one that the write is stored under, by an earlier attempt or issue. Only a
   * later attempt can complete that one and leave the other dead; completed by this one, both would live, and the newer would undo what
   * came between.
   */
  #leftNewerBehind(stored: Entry): boolean {
    const issued = this.#isCompletion ? undefined : this.#entry;
    return issued !== undefined && this.#mayHold.size > 0 && issued.version > stored.version;
  }

  /** On the newest version but its own. */
  #decideAnew(
    { answers, isComplete }: Extract<GatherResult, { status: "ok" }>,
    askedAll: boolean,
    now: Now,
  ): void {
    this.#mayBeApplied = true;
    const other = newestOf(this.#ofOthers(answers));
    const base = this.#base;
    const isBaseNewest = base !== undefined && (other === undefined || compareVersions(base, other) > 0);
    const held = isBaseNewest ? base : other;
    if (!isBaseNewest && other !== undefined && !this.#isOnMajority(other, answers)) {
      // Left on one replica by a write that is repeated where nobody knows it, it would count twice if it were built upon.
      if (!isComplete && !askedAll) this.#ask(now, true);
      else this.#failMaybe("The write is stored on some replicas, and others hold what may not last", now);
      return;
    }
    if (decide(this.#request.change, liveOf(held, now), now.wallMs).type === "write") this.#decide(held, now);
    else this.#failMaybe("The write is stored on some replicas, and others hold what forbids it", now);
  }

  #isOnMajority(entry: Entry, answers: readonly Answer[]): boolean {
    const holders = answers.filter(
      ({ reply }) => reply.counts && reply.entry !== undefined && compareVersions(reply.entry, entry) === 0,
    );
    return holders.length >= this.#majority;
  }

  /** Finishes an earlier attempt under its own version. */
  #complete(entry: Entry, knownBy: readonly Answer[], now: Now): void {
    this.#context.outbox.event({ type: "writeDeduplicated" });
    this.#mayBeApplied = true;
    this.#outcome = this.#outcomeKnownBy(knownBy);
    this.#isCompletion = true;
    this.#issue({ ...entry, opAttempt: this.#request.attempt }, entry.version, now);
  }

  // ---- decide

  /** @param held What is held under the key, be it a tombstone or expired. */
  #decide(held: Entry | undefined, now: Now): void {
    const { origin } = this.#context;
    const { change, key, opClient, opSeq, attempt } = this.#request;
    const decision = decide(change, liveOf(held, now), now.wallMs);
    if (decision.type !== "write") {
      if (change.type === "delete" && this.#mayBeElsewhere(held)) this.#markDeleted(held?.version ?? 0, now);
      else this.#keep(decision, held, now);
      return;
    }
    if (isTooLate(this.#request.notAfter, now)) {
      this.#failTooLate(now);
      return;
    }
    const { value, format, expiresAt } = decision;
    if (held !== undefined) this.#observeHeld(held.version, now);
    this.#base = held;
    const version = this.#nextVersion(now);
    this.#outcome = decision.outcome;
    const entry = { key, version, origin, expiresAt, format, value, opClient, opSeq, opAttempt: attempt };
    this.#issue(entry, needsCurrent(change) ? (held?.version ?? 0) : version - 1, now);
  }

  /**
   * Whether another replica may have what a delete has not found: somebody holds something or cannot be asked, or what has expired has a
   * moment to live by another clock. Of others an asynchronous delete knows only whether this node has ever forgotten anything in the slot.
   */
  #mayBeElsewhere(held: Entry | undefined): boolean {
    if (this.#request.write === "async")
      return held !== undefined || this.#context.store.floor(this.#slot) > 0;
    return isNothing(held) || held?.value !== undefined || !this.#isNoValueHeld;
  }

  /** Nothing is to be written. */
  #keep(decision: Exclude<Decision, { type: "write" }>, held: Entry | undefined, now: Now): void {
    if (this.#mayComeUp(held, now)) {
      this.#mayBeApplied = true;
      this.#failMaybe("A replica that does not answer may have stored this write", now);
      return;
    }
    if (decision.type === "keep") {
      this.#answer({ status: "ok", outcome: decision.outcome }, now);
    } else {
      const { code, message } = decision;
      this.#answer({ status: "failed", code, message, applied: "no", elsewhere: false }, now);
    }
    this.#end(now);
  }

  /**
   * Whether what was left on a replica that does not answer may be newer than the reason for not writing: readers would find it although
   * the answer was no. An earlier attempt has seen a reason from long before the call, and issued nothing.
   */
  #mayComeUp(held: Entry | undefined, now: Now): boolean {
    const { attempt, begunAt, write } = this.#request;
    if (!this.#mayBeLeft || write === "async") return false;
    if (attempt === 1) return true;
    if (held === undefined) return false;
    const endedMs = isLive(held, now.wallMs) ? 0 : held.expiresAt;
    const ageMs = now.wallMs - Math.max(wallMsOf(held.version), endedMs);
    return ageMs <= now.monoMs - knownBegunAt(begunAt, now) + this.#context.options.clockSkewMsMax;
  }

  /** A tombstone, although nothing was found; over what a clear left (0 for none). */
  #markDeleted(over: number, now: Now): void {
    const { origin } = this.#context;
    const { key, opClient, opSeq, attempt, notAfter } = this.#request;
    if (isTooLate(notAfter, now)) {
      this.#failTooLate(now);
      return;
    }
    this.#observeHeld(over, now);
    this.#base = undefined;
    this.#outcome = false;
    const version = this.#nextVersion(now);
    const tombstone = {
      key,
      version,
      origin,
      expiresAt: 0,
      format: FOUND_NOTHING,
      value: undefined,
    } as const;
    // An asynchronous one has asked nobody what is there: it goes over all that is older.
    const isBlind = this.#request.write === "async";
    this.#issue({ ...tombstone, opClient, opSeq, opAttempt: attempt }, isBlind ? version - 1 : over, now);
  }

  // ---- replicate

  #issue(entry: Entry, over: number, now: Now): void {
    const { view, clock } = this.#context;
    this.#entry = entry;
    this.#over = over;
    this.#issues++;
    this.#sendRounds = 0;
    this.#issuedMs = now.monoMs;
    this.#ringId = view.ring?.id;
    this.#list = view.ring?.preferenceList(this.#slot) ?? [];
    this.#isRefused = false;
    this.#isOwnDue = false;
    this.#counted.clear();
    this.#uncounted.clear();
    this.#waiting.clear();
    this.#again.clear();
    this.#id = this.#context.register(this);
    clock.observe(entry.version, now.wallMs);
    if (this.#list.includes(view.self) && !this.#admitSelf(now)) return;
    for (const member of this.#list) if (member !== view.self) this.#send(member, now);
    const isAlone = this.#waiting.size === 0;
    if (isAlone || this.#request.write === "async") this.#storeOwn(now);
    this.#progress(now);
  }

  /**
   * The own copy is asked first, for it refuses at once what is not newer, and stored last, once another replica accepted: an
   * attempt that others have shut out must leave nothing behind here that nobody else will ever hold. False when the write
   * was issued anew, or ended.
   */
  #admitSelf(now: Now): boolean {
    const { replica, view } = this.#context;
    const verdict = replica.judge(this.#messageTo(view.self), { from: view.self, slot: this.#slot }, now);
    if (verdict.status === "newer") {
      this.#wasOvertaken = true;
      this.#observeHeld(verdict.heldVersion, now);
      this.#reissue(now);
      return false;
    }
    if (verdict.status === "fenced") {
      this.#failMaybe("Another attempt of this write took over", now);
      return false;
    }
    this.#isOwnDue = true;
    return true;
  }

  #storeOwn(now: Now): void {
    if (!this.#isOwnDue) return;
    this.#isOwnDue = false;
    const { replica, view } = this.#context;
    this.#waiting.add(view.self);
    this.replicated(view.self, replica.replicate(this.#messageTo(view.self), view.self, now), now);
  }

  #send(member: MemberId, now: Now): void {
    const { view, outbox } = this.#context;
    if (!view.isUsable(member)) {
      this.#hint(member, now);
      return;
    }
    this.#waiting.add(member);
    this.#mayHold.add(member);
    this.#mayBeApplied = true;
    outbox.peer(member, this.#messageTo(member));
  }

  #messageTo(member: MemberId): Replicate {
    const { view } = this.#context;
    const notAfter = member === view.self ? 0 : view.toPeerMono(member, this.#deadlineMs);
    const ringId = this.#ringId ?? ("" as RingId);
    return {
      kind: "replicate",
      id: this.#id,
      ringId,
      purpose: "client",
      entry: this.#entry!,
      over: this.#over,
      notAfter,
    };
  }

  replicated(from: MemberId, reply: ReplicateReply, now: Now): void {
    if (this.#isOver || !this.#waiting.delete(from)) return;
    switch (reply.status) {
      case "stored":
        this.#mayBeApplied = true;
        this.#mayHold.add(from);
        this.#uncounted.delete(from);
        (reply.counts ? this.#counted : this.#uncounted).add(from);
        this.#storeOwn(now);
        break;
      case "newer":
        this.#observeHeld(reply.heldVersion, now);
        this.#isRefused = true;
        this.#wasOvertaken = true;
        // It would have said `stored` if it had ever held this version; an earlier issue is another matter.
        if (this.#issues === 1) this.#mayHold.delete(from);
        // Nobody waits any more, but the replica holds something that the others may not.
        if (this.#isAnswered) this.#context.repair(this.#request.key, now);
        break;
      case "ring":
      case "notReplica":
        this.#again.add(from);
        break;
      case "fenced":
        // A later attempt of the same operation has taken over. What this one may have left somewhere is settled by a repair.
        this.#context.repair(this.#request.key, now);
        this.#failMaybe("Another attempt of this write took over", now);
        return;
      case "late":
      case "clock":
      case "full":
        break;
    }
    this.#progress(now);
  }

  #reissue(now: Now): void {
    if (this.#issues >= ISSUES_MAX) {
      this.#failMaybe("Too many concurrent writes of this key", now);
      return;
    }
    this.#context.outbox.event({ type: "writeReissued" });
    this.#isRefused = false;
    // What was issued, by this attempt or an earlier one, may have been stored, seen and overwritten since: writing it once
    // more would undo what came after.
    const mustAsk = this.#isCompletion || this.#mayHold.size > 0 || this.#request.attempt > 1;
    if (mustAsk || needsCurrent(this.#request.change)) {
      this.#context.forget(this);
      // What they answer to this issue is not heard any more.
      this.#waiting.clear();
      if (mustAsk) this.#ask(now);
      else this.#readCurrent(now);
      return;
    }
    if (isTooLate(this.#request.notAfter, now)) {
      this.#failTooLate(now);
      return;
    }
    const version = this.#nextVersion(now);
    this.#issue({ ...this.#entry!, version, origin: this.#context.origin }, version - 1, now);
  }

  /** Answers when enough replicas have it; ends when nobody is left to wait for. */
  #progress(now: Now): void {
    if (!this.#isAnswered && this.#counted.size >= this.#needed()) {
      if (this.#waitsForFirst(now)) {
        this.#context.wake(this, this.#issuedMs + FIRST_REPLICA_MS);
        return;
      }
      this.#tellNewcomers();
      this.#succeed(this.#outcome, now);
    }
    if (this.#isOver) return;
    if (this.#isAnswered && this.#waiting.size === 0) {
      this.#end(now);
      return;
    }
    // Whoever accepted it proves that nothing newer was acknowledged before: only when too few can is it issued anew.
    const own = this.#isOwnDue ? 1 : 0;
    const reachable = own + this.#counted.size + this.#uncounted.size + this.#waiting.size + this.#again.size;
    if (!this.#isAnswered && this.#isRefused && reachable < this.#needed()) {
      this.#reissue(now);
      return;
    }
    const { replicaTimeoutMs } = this.#context.options;
    // Asking again helps only when those who are still waited for are too few.
    const hasStragglers = this.#again.size > 0 || this.#uncounted.size > 0;
    const needsSoon =
      !this.#isAnswered && hasStragglers && own + this.#counted.size + this.#waiting.size < this.#needed();
    const nextMs = needsSoon
      ? now.monoMs + askAgainMs(this.#sendRounds)
      : Math.max(now.monoMs + 1, this.#issuedMs + replicaTimeoutMs);
    this.#context.wake(this, this.#isAnswered ? nextMs : Math.min(nextMs, this.#deadlineMs));
  }

  /**
   * Reads of mode `one` are answered by the first replica alone. Where another one coordinates although the first can be reached
   * (its caller could not), the first gets a moment to store the write before it is acknowledged.
   */
  #waitsForFirst(now: Now): boolean {
    const first = this.#list[0];
    const isFallback =
      this.#request.write !== "async" && first !== undefined && first !== this.#context.view.self;
    return isFallback && this.#waiting.has(first) && now.monoMs < this.#issuedMs + FIRST_REPLICA_MS;
  }

  #needed(): number {
    switch (this.#request.write) {
      case "async":
        return 1;
      case "quorum":
        return majorityOf(this.#list.length);
      case "all":
        // Without a ring the list is empty, and nothing is acknowledged.
        return Math.max(1, this.#list.length);
    }
  }

  timer(now: Now): void {
    if (this.#isAnswered) {
      this.#end(now);
    } else if (this.#counted.size >= this.#needed()) {
      this.#progress(now);
    } else if (now.monoMs >= this.#deadlineMs) {
      this.#failMaybe("Not enough replicas acknowledged the write in time", now);
    } else if (this.#isRefused && now.monoMs - this.#issuedMs >= this.#context.options.replicaTimeoutMs) {
      this.#reissue(now);
    } else {
      this.#sendAgain(now);
    }
  }

  /** To replicas that answered for another ring or did not count, and to those that have been silent for long. */
  #sendAgain(now: Now): void {
    this.#sendRounds++;
    const { options, view } = this.#context;
    const members = new Set([...this.#again.values(), ...this.#uncounted.values()]);
    this.#again.clear();
    if (now.monoMs - this.#issuedMs >= options.replicaTimeoutMs) {
      for (const member of this.#list) if (!this.#counted.has(member)) members.add(member);
      this.#issuedMs = now.monoMs;
    }
    for (const member of members) {
      if (member !== view.self) {
        this.#send(member, now);
      } else if (!this.#isOwnDue) {
        this.#isOwnDue = true;
        this.#storeOwn(now);
      }
      if (this.#isOver) return;
    }
    this.#progress(now);
  }

  memberLost(member: MemberId, now: Now): void {
    if (!this.#waiting.delete(member)) return;
    this.#hint(member, now);
    this.#progress(now);
  }

  /**
   * An acknowledgement from before a restart does not count with later ones: the member may have filled up since, from others that had not
   * stored the write yet, and would count without it.
   */
  memberRestarted(member: MemberId, now: Now): void {
    if (this.#isAnswered || !(this.#counted.has(member) || this.#uncounted.has(member))) return;
    this.#counted.delete(member);
    this.#uncounted.delete(member);
    this.#send(member, now);
    this.#progress(now);
  }

  /** Acknowledgements of another ring do not count: the same version goes to the new list. */
  ringChanged(now: Now): void {
    if (this.#entry === undefined || this.#isOver) return;
    if (this.#isAnswered) {
      this.#end(now);
      return;
    }
    this.#issue(this.#entry, this.#over, now);
  }

  // ---- answer

  #succeed(outcome: Outcome, now: Now): void {
    this.#answer({ status: "ok", outcome }, now);
    if (this.#entry === undefined || this.#waiting.size === 0) this.#end(now);
  }

  /**
   * What is stored while the next ring is rehearsed goes to its replicas as well. What they miss is found by the final comparison. Only what
   * enough replicas stored: a write that ends without may have issued what all of them refused, and to a newcomer it would be the newest.
   */
  #tellNewcomers(): void {
    const { view, outbox } = this.#context;
    for (const member of view.newcomers(this.#slot)) {
      if (member === view.self || !view.isUsable(member)) continue;
      outbox.peer(member, { ...this.#messageTo(member), purpose: "rehearsal" });
    }
  }

  #fail(code: ErrorCode, message: string, now: Now): void {
    const applied = this.#mayBeApplied ? "maybe" : "no";
    this.#answer(
      {
        status: "failed",
        code: applied === "maybe" ? "ERR_TIMEOUT" : code,
        message,
        applied,
        elsewhere: true,
      },
      now,
    );
    this.#end(now);
  }

  /**
   * The caller has moved on, and what it or others did since must not be overwritten: from the last instant on no version is
   * given to this write any more. One that was given before may still be completed.
   */
  #failTooLate(now: Now): void {
    this.#fail("ERR_TIMEOUT", "The caller stopped waiting before the write could be decided", now);
  }

  #failMaybe(message: string, now: Now): void {
    this.#fail("ERR_TIMEOUT", message, now);
  }

  #answer(result: WriteResult, now: Now): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#listener(result, now);
  }

  #end(now: Now): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Others may have stored what was then not stored here.
    const { view, slots } = this.#context;
    if (this.#mayHold.size > 0 && !this.#mayHold.has(view.self)) slots.doubt(this.#slot);
    for (const member of this.#list)
      if (!this.#counted.has(member) && !this.#uncounted.has(member)) this.#hint(member, now);
    this.#context.forget(this);
  }

  /** This node is a replica itself: the hint names the key, the store has the value. */
  #hint(member: MemberId, now: Now): void {
    const { view, hints } = this.#context;
    if (member === view.self || this.#entry === undefined || !this.#list.includes(view.self)) return;
    hints.add(member, { key: this.#request.key, slot: this.#slot }, now);
  }
}

function liveOf(held: Entry | undefined, now: Now): Entry | undefined {
  return held !== undefined && isLive(held, now.wallMs) ? held : undefined;
}

function isSameValue(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** When a request's call began, as far as its client could tell. */
export function knownBegunAt(begunAt: number, now: Now): number {
  return begunAt > 0 ? begunAt : Math.max(1, now.monoMs - BEGUN_MS_MAX);
}

/** Whether a request's last instant (0: it has none) is past. */
export function isTooLate(notAfter: number, now: Now): boolean {
  return notAfter > 0 && now.monoMs > notAfter;
}
