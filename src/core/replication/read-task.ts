// A read that one replica cannot answer alone: gather, and for mode `quorum` write the newest version back to the answering
// replicas that lack it before answering. The write-back is what makes quorum reads monotonic: a value that a read returned
// is on a majority, so no later read can return an older one (Attiya, Bar-Noy and Dolev 1995). So it is with what a clear
// has hidden: who has not heard of the clear gets a tombstone of its version, which goes when the clear comes.
//
// Three things can stand in the way of a write-back:
// - `newer`: a write overtook the read. Gather again.
// - A replica cannot take the version: it has no room, or holds nothing and has a floor above it, so that it cannot tell an old
//   value from a deleted one. The majority has to come from the others; where it cannot, a value below floors is given up
//   rather than brought back.
// - `fenced`: the newest version is that of an abandoned attempt of an operation that completed under another version. It is
//   dead. The version it hides is written again above it, so that the dead one loses everywhere.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, ReplicateReply } from "../messages.ts";
import { compareVersions } from "../store/entry.ts";
import { majorityOf } from "./cluster-view.ts";
import { type Answer, Gather, type GatherResult, newestOf } from "./gather.ts";
import { NO_OPERATION } from "./operations.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";

/** Gathers again at most this often before giving up: each round lost to a concurrent write. */
const ROUNDS_MAX = 8;

export interface ReadRequest {
  readonly key: string;
  readonly slot: Slot;
  readonly mode: "quorum" | "degraded";
  readonly deadlineMs: number;
  /** How long everybody is waited for, in ms, although a majority has answered. @default not at all */
  readonly patienceMs?: number;
}

/** `undefined` in `entry`: nothing is there. It may also be a tombstone or expired. */
export type ReadResult =
  | { readonly status: "ok"; readonly entry: Entry | undefined }
  | { readonly status: "noQuorum" };

/** Runs until `done` is called, exactly once. */
export class ReadTask implements Task {
  registration: Registration | undefined;
  readonly #context: TaskContext;
  readonly #request: ReadRequest;
  readonly #done: (result: ReadResult, now: Now) => void;
  /** By version. */
  readonly #dead = new Map<number, Entry>();
  /** Replicas that cannot take the newest version; and whether a floor was the reason for one of them. */
  readonly #refusing = new Set<MemberId>();
  #isBelowFloor = false;
  #rounds = 0;
  #newest: Entry | undefined;
  /** The newest is what a dead version hid, written again by this read. */
  #isWrittenAgain = false;
  #answers: readonly Answer[] = [];
  #holders = 0;
  readonly #waiting = new Set<MemberId>();
  #isOver = false;

  constructor(context: TaskContext, request: ReadRequest, done: (result: ReadResult, now: Now) => void) {
    this.#context = context;
    this.#request = request;
    this.#done = done;
  }

  start(now: Now): void {
    this.#rounds++;
    this.#waiting.clear();
    const { key, slot, mode, deadlineMs, patienceMs } = this.#request;
    const except = this.#refusing;
    const request = {
      key,
      slot,
      mode,
      deadlineMs,
      ...NO_OPERATION,
      except,
      ...(patienceMs === undefined ? {} : { wantsAll: true, patienceMs }),
    } as const;
    new Gather(this.#context, request, (result, at) => this.#gathered(result, at)).start(now);
  }

  #gathered(result: GatherResult, now: Now): void {
    if (result.status === "noQuorum") {
      this.#finish(result, now);
      return;
    }
    this.#answers = result.answers;
    const { newest } = result;
    const hidden = newest !== undefined && this.#dead.has(newest.version) ? this.#hidden() : undefined;
    if (newest === undefined || !this.#dead.has(newest.version)) {
      this.#settle(newest, now);
    } else if (hidden === undefined) {
      this.#settle(undefined, now);
    } else {
      const { origin, clock } = this.#context;
      const version = clock.next(now.wallMs, Math.max(...this.#dead.keys()));
      const opAttempt = this.#attemptAbove(hidden);
      // Only over what it was when it was hidden: a write since then must not be undone.
      this.#settle({ ...hidden, version, origin, opAttempt }, now, hidden.version);
    }
  }

  /** The newest version that is neither dead nor cleared. */
  #hidden(): Entry | undefined {
    const alive = this.#answers.map((answer) => {
      const { entry } = answer.reply;
      const isDead = entry !== undefined && this.#dead.has(entry.version);
      return isDead ? { ...answer, reply: { ...answer.reply, entry: undefined } } : answer;
    });
    return newestOf(alive);
  }

  /**
   * What a dead attempt hides may be what one before it left, and a later one completed. Told again as the former's, it would lose to the
   * dead one wherever that is held.
   */
  #attemptAbove({ opClient, opSeq, opAttempt }: Entry): number {
    const dead = [...this.#dead.values()].filter(
      (entry) => entry.opClient === opClient && entry.opSeq === opSeq,
    );
    return Math.max(opAttempt, ...dead.map((entry) => entry.opAttempt + 1));
  }

  #settle(newest: Entry | undefined, now: Now, over?: number): void {
    if (this.#request.mode === "degraded") this.#finish({ status: "ok", entry: newest }, now);
    else this.#writeBack(newest, over, now);
  }

  /** @param over The version that a write of this read's own is to replace; without, what is there already is spread. */
  #writeBack(newest: Entry | undefined, over: number | undefined, now: Now): void {
    const { view, outbox, replica } = this.#context;
    const ring = view.ring;
    const list = ring?.preferenceList(this.#request.slot) ?? [];
    const spread = newest ?? clearedAs(this.#request.key, this.#answers);
    this.#newest = spread;
    this.#isWrittenAgain = over !== undefined;
    const counted = this.#answers.filter(({ member, reply }) => reply.counts && !this.#refusing.has(member));
    const lacking = spread === undefined ? [] : counted.filter((answer) => lacks(answer, spread));
    this.#holders = counted.length - lacking.length;
    if (spread === undefined || ring === undefined || this.#holders >= majorityOf(list.length)) {
      this.#finish({ status: "ok", entry: newest }, now);
      return;
    }
    const id = this.#context.register(this);
    this.#context.wake(
      this,
      Math.min(now.monoMs + this.#context.options.replicaTimeoutMs, this.#request.deadlineMs),
    );
    const message = {
      kind: "replicate",
      id,
      ringId: ring.id,
      purpose: over === undefined ? "repair" : "client",
      entry: spread,
      over: over ?? spread.version - 1,
      notAfter: 0,
    } as const;
    outbox.event({ type: "readRepaired", replicas: lacking.length });
    for (const { member } of lacking) {
      this.#waiting.add(member);
      if (member !== view.self) outbox.peer(member, message);
    }
    if (this.#waiting.has(view.self)) {
      this.replicated(view.self, replica.replicate(message, view.self, now), now);
    }
  }

  replicated(from: MemberId, reply: ReplicateReply, now: Now): void {
    if (this.#isOver || !this.#waiting.delete(from)) return;
    switch (reply.status) {
      case "stored":
        if (reply.counts) this.#holders++;
        break;
      case "fenced":
        // What this read wrote again is refused while somebody asks about its operation: it is not dead for that.
        if (this.#newest !== undefined && !this.#isWrittenAgain) {
          this.#dead.set(this.#newest.version, this.#newest);
          this.#context.clock.observe(this.#newest.version, now.wallMs);
        }
        this.#again(now);
        return;
      case "newer":
        this.#newer(from, reply.heldVersion, now);
        return;
      case "full":
        this.#refusing.add(from);
        this.#again(now);
        return;
      default:
        this.#again(now);
        return;
    }
    const list = this.#context.view.ring?.preferenceList(this.#request.slot) ?? [];
    if (this.#holders >= majorityOf(list.length)) this.#finish({ status: "ok", entry: this.#newest }, now);
  }

  /** A replica that holds nothing and still refuses, when asked a second time, has a floor above the version. */
  #newer(from: MemberId, heldVersion: number, now: Now): void {
    this.#context.clock.observe(heldVersion, now.wallMs);
    const answer = this.#answers.find(({ member }) => member === from);
    if (answer !== undefined && answer.reply.entry === undefined && this.#rounds > 1) {
      this.#refusing.add(from);
      this.#isBelowFloor = true;
    }
    this.#again(now);
  }

  #again(now: Now): void {
    if (this.#rounds >= ROUNDS_MAX || now.monoMs >= this.#request.deadlineMs) {
      this.#finish({ status: "noQuorum" }, now);
      return;
    }
    if (this.#refusing.size > 0 && !this.#canOthersHold()) {
      this.#finish(this.#isBelowFloor ? { status: "ok", entry: undefined } : { status: "noQuorum" }, now);
      return;
    }
    this.#context.forget(this);
    this.start(now);
  }

  /** Whether those that do not refuse, and can be reached, are a majority. */
  #canOthersHold(): boolean {
    const { view } = this.#context;
    const list = view.ring?.preferenceList(this.#request.slot) ?? [];
    const able = list.filter((member) => !this.#refusing.has(member) && view.isUsable(member));
    return able.length >= majorityOf(list.length);
  }

  memberLost(member: MemberId, now: Now): void {
    if (this.#waiting.delete(member)) this.#again(now);
  }

  ringChanged(now: Now): void {
    this.#again(now);
  }

  timer(now: Now): void {
    this.#again(now);
  }

  #finish(result: ReadResult, now: Now): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.forget(this);
    this.#done(result, now);
  }
}

/** Whether a read found nothing, or only that a clear has left nothing. A replica that was not asked may hold something newer. */
export function isNothing(entry: Entry | undefined): boolean {
  return entry === undefined || (entry.value === undefined && entry.opClient === 0);
}

/** What a clear that has reached one of the answers leaves of the key: as good as a tombstone, and of no operation. */
function clearedAs(key: string, answers: readonly Answer[]): Entry | undefined {
  const version = answers.reduce((most, { reply }) => Math.max(most, reply.clearedVersion), 0);
  if (version === 0) return undefined;
  const tombstone = { key, version, origin: 0, expiresAt: 0, format: 0, value: undefined } as const;
  return { ...tombstone, opClient: 0, opSeq: 0, opAttempt: 0 };
}

/**
 * Whether an answer needs `newest` written to it. Holding nothing is not as good as holding the tombstone: another replica may
 * hold what the delete removed, and the two of them would bring it back.
 */
function lacks({ reply }: Answer, newest: Entry): boolean {
  if (reply.entry === undefined) return reply.clearedVersion < newest.version;
  return compareVersions(newest, reply.entry) > 0;
}
