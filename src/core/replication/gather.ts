// Collects what the replicas of one key hold. Reads, conditional writes and retried writes all begin with it.
//
// All natural replicas that can be reached are asked at once. Answers of warming replicas are kept (newer is newer) but do not
// count. Replicas on another ring, or warming, are asked again until the deadline: both pass.
//
// `quorum` waits for a majority of counted answers, and for those of everybody within the replica timeout when it `wantsAll`. `degraded`
// prefers that, and settles for any counted answer once the replica timeout has passed or nobody is left to wait for: reads of mode `one`
// with replicas missing. Nobody writes back for it, so where one of the majority holds nothing and another something, the others get a moment:
// who holds nothing may have evicted what is newer.
//
// Newcomers cannot know the operation that is asked about if it was stored under the ring before. They make up a majority once a majority of
// that ring's replicas, those who stayed and those who lost the slot, have said what they know: under neither ring it can be stored then
// by a majority that nobody has spoken for.

import type { MemberId, RingId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, ReadReplicaReply } from "../messages.ts";
import { compareVersions } from "../store/entry.ts";
import { majorityOf, toPeerBegunAt } from "./cluster-view.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";

/** A pause before a replica that could not answer properly is asked again; doubles each time, or waiting would become load. */
export const ASK_AGAIN_MS = 25;
const ASK_AGAIN_DOUBLINGS_MAX = 3;

/** Longest wait for the last replica when a majority is not enough; well within the time a caller gives one try. */
export const EVERYBODY_MS = 20;

/** The pause before the next round of asking, after so many of them. */
export function askAgainMs(rounds: number): number {
  return ASK_AGAIN_MS * 2 ** Math.min(rounds, ASK_AGAIN_DOUBLINGS_MAX);
}

export interface GatherRequest {
  readonly key: string;
  readonly slot: Slot;
  readonly mode: "quorum" | "degraded";
  /** `opClient` 0: do not ask about an operation. */
  readonly opClient: number;
  readonly opSeq: number;
  readonly attempt: number;
  /** When the operation began, in this node's monotonic clock; 0 without one. */
  readonly begunAt: number;
  readonly deadlineMs: number;
  /** Whose answers are taken in and do not count, besides those that say so themselves. */
  readonly except?: ReadonlySet<MemberId>;
  /** Whether a majority is not enough while others may still answer within the replica timeout. */
  readonly wantsAll?: boolean;
  /** How long, in milliseconds, everybody is waited for when there is a choice. @default the replica timeout */
  readonly patienceMs?: number;
}

/** One replica's answer. */
export interface Answer {
  readonly member: MemberId;
  readonly reply: ReadReplicaReply;
}

export type GatherResult =
  | {
      readonly status: "ok";
      readonly answers: readonly Answer[];
      /** The newest version anybody holds, be it a tombstone or expired; `undefined` when there is none. */
      readonly newest: Entry | undefined;
      /** What those know of the operation who lost the slot with the present ring; only asked when there are newcomers. */
      readonly formers: readonly Answer[];
      /** Whether every natural replica answered, be it one that does not count. */
      readonly isComplete: boolean;
    }
  | { readonly status: "noQuorum" };

/** Runs until `done` is called, exactly once. */
export class Gather implements Task {
  registration: Registration | undefined;
  readonly #context: TaskContext;
  readonly #request: GatherRequest;
  readonly #done: (result: GatherResult, now: Now) => void;
  readonly #answers = new Map<MemberId, ReadReplicaReply>();
  readonly #formerAnswers = new Map<MemberId, ReadReplicaReply>();
  /** Asked and not answered. */
  readonly #waiting = new Set<MemberId>();
  #list: readonly MemberId[] = [];
  /** The slot's replicas under the ring before. */
  #previousList: readonly MemberId[] = [];
  #id = 0;
  #settleMs = 0;
  #everybodyMs = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Rounds of asking after the first. */
  #rounds = 0;
  /** The own answer was given while this node may have missed writes: no answer by itself, and asked for again. */
  #isOwnOutdated = false;
  #isOver = false;

  constructor(context: TaskContext, request: GatherRequest, done: (result: GatherResult, now: Now) => void) {
    this.#context = context;
    this.#request = request;
    this.#done = done;
  }

  start(now: Now): void {
    this.#everybodyMs = now.monoMs + EVERYBODY_MS;
    this.#settleMs = now.monoMs + (this.#request.patienceMs ?? this.#context.options.replicaTimeoutMs);
    this.ringChanged(now);
  }

  /** Answers given under another ring do not count: everybody is asked anew. */
  ringChanged(now: Now): void {
    const { ring, previousRing } = this.#context.view;
    this.#answers.clear();
    this.#formerAnswers.clear();
    this.#waiting.clear();
    this.#list = ring?.preferenceList(this.#request.slot) ?? [];
    this.#previousList = previousRing?.preferenceList(this.#request.slot) ?? [];
    this.#id = this.#context.register(this);
    this.#askedMs = now.monoMs;
    this.#ask(now);
  }

  readReplied(from: MemberId, reply: ReadReplicaReply, now: Now): void {
    if (!this.#waiting.delete(from)) return;
    if (this.#list.includes(from)) this.#answers.set(from, reply);
    else this.#formerAnswers.set(from, reply);
    this.#askFormers();
    this.#maybeFinish(now);
  }

  memberLost(member: MemberId, now: Now): void {
    if (this.#waiting.delete(member)) this.#maybeFinish(now);
  }

  timer(now: Now): void {
    if (now.monoMs >= this.#request.deadlineMs) {
      this.#finish({ status: "noQuorum" }, now);
      return;
    }
    if (now.monoMs >= this.#silentAtMs) {
      // Whoever has been silent this long may have lost the question.
      this.#waiting.clear();
      this.#askedMs = now.monoMs;
    }
    this.#rounds++;
    for (const [member, reply] of this.#formerAnswers) if (!reply.counts) this.#formerAnswers.delete(member);
    this.#ask(now);
  }

  /** Asks every usable replica that has not given an answer that counts and is not being waited for. */
  #ask(now: Now): void {
    const { view, isBehind } = this.#context;
    const ring = view.ring;
    if (ring !== undefined) {
      for (const member of this.#list) {
        const answer = this.#answers.get(member);
        const isAnswered = answer?.counts === true && !(member === view.self && this.#isOwnOutdated);
        if (this.#waiting.has(member) || isAnswered || !view.isUsable(member)) continue;
        if (member === view.self) this.#isOwnOutdated = isBehind();
        this.#askMember(member, ring.id, this.#answers);
      }
      this.#askFormers();
    }
    this.#maybeFinish(now);
  }

  /** With newcomers: asks everybody who lost the slot with the present ring and was not asked in this round. */
  #askFormers(): void {
    const { view } = this.#context;
    if (this.#request.opClient === 0 || view.previousRing === undefined) return;
    if (![...this.#answers.values()].some(({ isNewcomer }) => isNewcomer)) return;
    for (const member of this.#previousList) {
      const isAsked = this.#waiting.has(member) || this.#formerAnswers.has(member);
      if (isAsked || this.#list.includes(member) || !view.isUsable(member)) continue;
      this.#askMember(member, view.previousRing.id, this.#formerAnswers);
    }
  }

  /** This node's own answer comes at once. */
  #askMember(member: MemberId, ringId: RingId, answers: Map<MemberId, ReadReplicaReply>): void {
    const { view, outbox, replica } = this.#context;
    const { key, opClient, opSeq, attempt } = this.#request;
    const isOwn = member === view.self;
    const begunAt = isOwn ? this.#request.begunAt : toPeerBegunAt(view, member, this.#request.begunAt);
    const message = { kind: "read", id: this.#id, ringId, key, opClient, opSeq, attempt, begunAt } as const;
    if (isOwn) {
      answers.set(member, replica.read(message));
    } else {
      this.#waiting.add(member);
      outbox.peer(member, message);
    }
  }

  /** How many of the answers make up a majority: see the top of the file for newcomers. */
  #countOf(counting: readonly Answer[]): number {
    const vouching = counting.filter(({ reply }) => !reply.isNewcomer);
    if (vouching.length === counting.length) return counting.length;
    const stayed = vouching.filter(({ member }) => this.#previousList.includes(member)).length;
    const formers = this.#formers().filter(({ reply }) => reply.counts && !reply.isNewcomer).length;
    const isClosed = stayed + formers >= majorityOf(this.#previousList.length);
    return isClosed ? counting.length : vouching.length;
  }

  #formers(): readonly Answer[] {
    return [...this.#formerAnswers].map(([member, reply]) => ({ member, reply }));
  }

  #maybeFinish(now: Now): void {
    if (this.#isOver) return;
    const answers = this.#usefulAnswers();
    const counting = answers.filter(
      ({ member, reply }) => reply.counts && !this.#request.except?.has(member),
    );
    const counted = this.#countOf(counting);
    const untilMs = this.#patientUntilMs(answers);
    if (this.#list.length > 0 && this.#isEnough(counted, counting.length, untilMs, now)) {
      this.#finish(
        {
          status: "ok",
          answers,
          newest: newestOf(answers),
          formers: this.#formers(),
          isComplete: answers.length === this.#list.length,
        },
        now,
      );
      return;
    }
    const mayStillDo = counted + this.#waiting.size >= majorityOf(this.#list.length);
    const isSettling = now.monoMs < untilMs && counted >= majorityOf(this.#list.length);
    const silentMs = isSettling ? Math.min(untilMs, this.#silentAtMs) : this.#silentAtMs;
    const nextMs = mayStillDo ? silentMs : now.monoMs + askAgainMs(this.#rounds);
    this.#context.wake(this, Math.min(Math.max(nextMs, now.monoMs + 1), this.#request.deadlineMs));
  }

  /** From when on those who are waited for count as silent. */
  get #silentAtMs(): number {
    return (
      this.#askedMs +
      this.#context.options.replicaTimeoutMs * 2 ** Math.min(this.#rounds, ASK_AGAIN_DOUBLINGS_MAX)
    );
  }

  /** Until when everybody is waited for although a majority has answered. */
  #patientUntilMs(answers: readonly Answer[]): number {
    if (this.#request.wantsAll === true) return this.#settleMs;
    const isAnyWithout = answers.some(({ reply }) => reply.entry === undefined);
    const isDivided = this.#request.mode === "degraded" && isAnyWithout && newestOf(answers) !== undefined;
    return isDivided ? this.#everybodyMs : Number.NEGATIVE_INFINITY;
  }

  #isEnough(counted: number, answered: number, untilMs: number, now: Now): boolean {
    const isHeard = this.#waiting.size === 0;
    if (counted >= majorityOf(this.#list.length)) return isHeard || now.monoMs >= untilMs;
    const isSettled = isHeard || now.monoMs >= this.#settleMs;
    return this.#request.mode === "degraded" && isSettled && answered > 0 && !this.#isOnlyOwnAndOutdated();
  }

  /** A copy that may have missed writes is no answer by itself; peers come back, or are given up, within seconds. */
  #isOnlyOwnAndOutdated(): boolean {
    const { view } = this.#context;
    if (!this.#isOwnOutdated) return false;
    for (const [member, reply] of this.#answers) if (reply.counts && member !== view.self) return false;
    return true;
  }

  #usefulAnswers(): readonly Answer[] {
    const answers: Answer[] = [];
    for (const [member, reply] of this.#answers) if (reply.status === "ok") answers.push({ member, reply });
    return answers;
  }

  #finish(result: GatherResult, now: Now): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.forget(this);
    this.#done(result, now);
  }
}

/** The newest entry among the answers that no answer knows to be cleared. */
export function newestOf(answers: readonly Answer[]): Entry | undefined {
  let newest: Entry | undefined;
  let cleared = 0;
  for (const { reply } of answers) {
    cleared = Math.max(cleared, reply.clearedVersion);
    if (reply.entry !== undefined && (newest === undefined || compareVersions(reply.entry, newest) > 0))
      newest = reply.entry;
  }
  return newest !== undefined && newest.version > cleared ? newest : undefined;
}
