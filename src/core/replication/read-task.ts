// A read that one replica cannot answer alone: gather, and for mode `quorum` write the newest version back to the answering
// replicas that lack it before answering. The write-back is what makes quorum reads monotonic: a value that a read returned
// is on a majority, so no later read can return an older one (Attiya, Bar-Noy and Dolev 1995).
//
// Two things can stand in the way of a write-back:
// - `newer`: a write overtook the read. Gather again.
// - `fenced`: the newest version is that of an abandoned attempt of an operation that completed under another version. It is
//   dead. The version it hides is written again above it, so that the dead one loses everywhere.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { Entry, ReplicateReply } from "../messages.ts";
import { compareVersions } from "../store/entry.ts";
import { majorityOf } from "./cluster-view.ts";
import { type Answer, Gather, type GatherResult } from "./gather.ts";
import type { Task, TaskContext } from "./tasks.ts";

/** Gathers again at most this often before giving up: each round lost to a concurrent write. */
const ROUNDS_MAX = 8;

export interface ReadRequest {
  readonly key: string;
  readonly slot: Slot;
  readonly mode: "quorum" | "degraded";
  readonly deadlineMs: number;
}

/** `undefined` in `entry`: nothing is there. It may also be a tombstone or expired. */
export type ReadResult =
  | { readonly status: "ok"; readonly entry: Entry | undefined }
  | { readonly status: "noQuorum" };

/** Runs until `done` is called, exactly once. */
export class ReadTask implements Task {
  timerMs = Number.POSITIVE_INFINITY;
  readonly #context: TaskContext;
  readonly #request: ReadRequest;
  readonly #done: (result: ReadResult, now: Now) => void;
  readonly #dead = new Set<number>();
  #rounds = 0;
  #newest: Entry | undefined;
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
    const { key, slot, mode, deadlineMs } = this.#request;
    const request = { key, slot, mode, deadlineMs, opClient: 0, opSeq: 0, attempt: 0 } as const;
    new Gather(this.#context, request, (result, at) => this.#gathered(result, at)).start(now);
  }

  #gathered(result: GatherResult, now: Now): void {
    if (result.status === "noQuorum") {
      this.#finish(result, now);
      return;
    }
    this.#answers = result.answers;
    const newest = this.#newestAlive(result.answers, result.newest, now);
    if (this.#request.mode === "degraded") this.#finish({ status: "ok", entry: newest }, now);
    else this.#writeBack(newest, now);
  }

  #newestAlive(answers: readonly Answer[], newest: Entry | undefined, now: Now): Entry | undefined {
    if (newest === undefined || !this.#dead.has(newest.version)) return newest;
    let best: Entry | undefined;
    for (const { reply } of answers) {
      const entry = reply.entry;
      if (entry === undefined || this.#dead.has(entry.version)) continue;
      if (best === undefined || compareVersions(entry, best) > 0) best = entry;
    }
    if (best === undefined) return undefined;
    const version = this.#context.clock.next(now.wallMs);
    return { ...best, version, origin: this.#context.origin };
  }

  #writeBack(newest: Entry | undefined, now: Now): void {
    const { view, outbox, replica } = this.#context;
    const ring = view.ring;
    const list = ring?.preferenceList(this.#request.slot) ?? [];
    this.#newest = newest;
    const lacking = newest === undefined ? [] : this.#answers.filter((answer) => lacks(answer, newest));
    const counted = this.#answers.filter(({ reply }) => reply.counts).length;
    this.#holders = counted - lacking.length;
    if (newest === undefined || ring === undefined || this.#holders >= majorityOf(list.length)) {
      this.#finish({ status: "ok", entry: newest }, now);
      return;
    }
    const id = this.#context.register(this);
    this.#context.wake(
      this,
      Math.min(now.monoMs + this.#context.options.replicaTimeoutMs, this.#request.deadlineMs),
    );
    const purpose = this.#dead.size > 0 ? "client" : "repair";
    const over = newest.version - 1;
    const message = {
      kind: "replicate",
      id,
      ringId: ring.id,
      purpose,
      entry: newest,
      over,
      notAfter: 0,
    } as const;
    outbox.event({ type: "readRepaired", replicas: lacking.length });
    for (const { member } of lacking) if (member !== view.self) this.#waiting.add(member);
    for (const member of this.#waiting) outbox.peer(member, message);
    if (lacking.some(({ member }) => member === view.self)) {
      this.replicated(view.self, replica.replicate(message, view.self, now), now);
    }
  }

  replicated(from: MemberId, reply: ReplicateReply, now: Now): void {
    if (this.#isOver) return;
    this.#waiting.delete(from);
    switch (reply.status) {
      case "stored":
        if (reply.counts) this.#holders++;
        break;
      case "fenced":
        if (this.#newest !== undefined) {
          this.#dead.add(this.#newest.version);
          this.#context.clock.observe(this.#newest.version, now.wallMs);
        }
        this.#again(now);
        return;
      case "newer":
        this.#newer(from, reply.heldVersion, now);
        return;
      default:
        this.#again(now);
        return;
    }
    const list = this.#context.view.ring?.preferenceList(this.#request.slot) ?? [];
    if (this.#holders >= majorityOf(list.length)) this.#finish({ status: "ok", entry: this.#newest }, now);
  }

  /**
   * A replica that holds nothing and still refuses has a floor above the version: it cannot tell an old value from a deleted
   * one. The value is given up rather than brought back.
   */
  #newer(from: MemberId, heldVersion: number, now: Now): void {
    this.#context.clock.observe(heldVersion, now.wallMs);
    const answer = this.#answers.find(({ member }) => member === from);
    if (answer !== undefined && answer.reply.entry === undefined && this.#rounds > 1) {
      this.#finish({ status: "ok", entry: undefined }, now);
    } else {
      this.#again(now);
    }
  }

  #again(now: Now): void {
    if (this.#rounds >= ROUNDS_MAX || now.monoMs >= this.#request.deadlineMs) {
      this.#finish({ status: "noQuorum" }, now);
      return;
    }
    this.#context.forget(this);
    this.start(now);
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

/** Whether a counted answer needs `newest` written to it. Holding nothing is as good as holding the tombstone. */
function lacks({ reply }: Answer, newest: Entry): boolean {
  if (!reply.counts) return false;
  if (reply.entry === undefined) return newest.value !== undefined && reply.clearedVersion < newest.version;
  return compareVersions(newest, reply.entry) > 0;
}
