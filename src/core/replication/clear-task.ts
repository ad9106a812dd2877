// Clears whole slots. First a majority of each slot's counted replicas is asked how new what they hold is: every write that was
// acknowledged before is known to one of them, and the clear must be newer, whatever this node's clock says. Then one version is
// sent to every replica of every slot; answered when a majority of each slot's counted replicas has it. Whoever has not said so by the
// end, for whatever reason, gets it as a hint: it would answer for what was cleared otherwise. Where this node is no replica itself, those that
// have cleared tell the others as well (`hints.ts`).
//
// A repeated attempt is completed under the version that an earlier one was given, if any replica knows one: what was written since
// is newer, and stays. The question shuts earlier attempts out, as with other writes.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { ClearReplicaReply, ClearRequest } from "../messages.ts";
import { majorityOf, toPeerBegunAt } from "./cluster-view.ts";
import { ASK_AGAIN_MS } from "./gather.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";
import { EVERYBODY_MS, isTooLate, knownBegunAt } from "./write-task.ts";

/** Calls `done` exactly once: true when all slots are cleared on a majority. Goes on for a while to see to the remaining replicas. */
export class ClearTask implements Task {
  registration: Registration | undefined;
  readonly #context: TaskContext;
  readonly #request: ClearRequest;
  readonly #deadlineMs: number;
  readonly #done: (isCleared: boolean, now: Now) => void;
  /** 0 while it is asked how new it must be. */
  #version = 0;
  /** The newest version that any replica of the slots holds; and that under which any of them knows this very operation. */
  #newest = 0;
  #known = 0;
  #acknowledged = new Map<Slot, Set<MemberId>>();
  #byMember = new Map<MemberId, Slot[]>();
  readonly #waiting = new Set<MemberId>();
  /** Said that they cleared, whether they count or not. */
  readonly #cleared = new Set<MemberId>();
  #sentMs = 0;
  /** By a later attempt, which may have given the clear another version: this one is spread no further. */
  #isTakenOver = false;
  #isAnswered = false;
  #isOver = false;

  constructor(
    context: TaskContext,
    request: ClearRequest,
    deadlineMs: number,
    done: (isCleared: boolean, now: Now) => void,
  ) {
    this.#context = context;
    this.#request = request;
    this.#deadlineMs = deadlineMs;
    this.#done = done;
  }

  start(now: Now): void {
    this.ringChanged(now);
  }

  ringChanged(now: Now): void {
    if (this.#isAnswered) {
      this.#end();
      return;
    }
    const { view } = this.#context;
    this.#acknowledged = new Map(this.#request.slots.map((slot) => [slot, new Set()]));
    this.#byMember = new Map();
    this.#waiting.clear();
    this.#cleared.clear();
    for (const slot of this.#request.slots) {
      for (const member of view.ring?.preferenceList(slot) ?? []) {
        const slots = this.#byMember.get(member) ?? [];
        slots.push(slot);
        this.#byMember.set(member, slots);
      }
    }
    this.#send(now);
  }

  #send(now: Now): void {
    const { view, outbox, replica } = this.#context;
    const ring = view.ring;
    const id = this.#context.register(this);
    const { opClient, opSeq, attempt } = this.#request;
    const begunAt = knownBegunAt(this.#request.begunAt, now);
    this.#sentMs = now.monoMs;
    if (ring !== undefined) {
      for (const [member, slots] of this.#byMember) {
        const message = {
          kind: "clearReplica",
          id,
          ringId: ring.id,
          slots,
          version: this.#version,
          opClient,
          opSeq,
          attempt,
          begunAt: member === view.self ? begunAt : toPeerBegunAt(view, member, begunAt),
        } as const;
        if (member === view.self) {
          this.#take(member, replica.clear(message, now), now);
        } else if (view.isUsable(member)) {
          this.#waiting.add(member);
          outbox.peer(member, message);
        }
        if (this.#isOver) return;
      }
    }
    this.#progress(now);
  }

  clearReplied(from: MemberId, reply: ClearReplicaReply, now: Now): void {
    if (!this.#waiting.delete(from)) return;
    this.#take(from, reply, now);
    this.#progress(now);
  }

  #take(from: MemberId, reply: ClearReplicaReply, now: Now): void {
    if (reply.status === "fenced" && !this.#isAnswered) {
      this.#isTakenOver = true;
      this.#giveUp(now);
    }
    if (reply.status !== "ok") return;
    if (this.#version === 0) {
      this.#newest = Math.max(this.#newest, reply.newest);
      this.#known = Math.max(this.#known, reply.known);
      this.#context.clock.observe(reply.newest, now.wallMs);
    } else this.#cleared.add(from);
    for (const [index, slot] of (this.#byMember.get(from) ?? []).entries()) {
      if (reply.counts[index] === true) this.#acknowledged.get(slot)?.add(from);
    }
  }

  /** Answers when enough replicas cleared; ends when nobody is left to wait for. */
  #progress(now: Now): void {
    if (this.#isOver) return;
    if (!this.#isAnswered && this.#hasQuorum() && !this.#waitsForEverybody(now)) {
      if (this.#version === 0) {
        // Its caller has asked another node and moved on: what was written since must stay.
        if (this.#known === 0 && isTooLate(this.#request.notAfter, now)) {
          this.#giveUp(now);
          return;
        }
        this.#version = this.#known > 0 ? this.#known : this.#context.clock.next(now.wallMs, this.#newest);
        this.ringChanged(now);
        return;
      }
      this.#isAnswered = true;
      this.#done(true, now);
    }
    if (this.#isAnswered && this.#waiting.size === 0) this.#end();
    else if (this.#isAnswered)
      this.#context.wake(this, this.#sentMs + this.#context.options.replicaTimeoutMs);
    else this.#context.wake(this, Math.min(now.monoMs + ASK_AGAIN_MS, this.#deadlineMs));
  }

  /** Who knows a repeated attempt's version may be the last one to answer: everybody gets a moment. */
  #waitsForEverybody(now: Now): boolean {
    const isRepeat = this.#version === 0 && this.#request.attempt > 1;
    return isRepeat && this.#waiting.size > 0 && now.monoMs < this.#sentMs + EVERYBODY_MS;
  }

  #hasQuorum(): boolean {
    const { ring } = this.#context.view;
    if (ring === undefined) return false;
    return this.#request.slots.every(
      (slot) => (this.#acknowledged.get(slot)?.size ?? 0) >= majorityOf(ring.preferenceList(slot).length),
    );
  }

  timer(now: Now): void {
    if (this.#isAnswered) {
      this.#end();
    } else if (now.monoMs >= this.#deadlineMs) {
      this.#giveUp(now);
    } else if (
      this.#waiting.size === 0 ||
      now.monoMs - this.#sentMs > this.#context.options.replicaTimeoutMs
    ) {
      this.#send(now);
    } else {
      this.#progress(now);
    }
  }

  memberLost(member: MemberId, now: Now): void {
    if (this.#waiting.delete(member)) this.#progress(now);
  }

  /** As with writes: what it acknowledged before is lost there. It is told again with the next round. */
  memberRestarted(member: MemberId): void {
    if (this.#isAnswered || this.#version === 0) return;
    this.#cleared.delete(member);
    for (const members of this.#acknowledged.values()) members.delete(member);
  }

  /** Without success. */
  #giveUp(now: Now): void {
    this.#end();
    if (!this.#isAnswered) this.#done(false, now);
    this.#isAnswered = true;
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.forget(this);
    if (this.#version > 0 && !this.#isTakenOver) this.#keepHints();
  }

  #keepHints(): void {
    const { view, hints } = this.#context;
    for (const [member, slots] of this.#byMember) {
      if (member === view.self || this.#cleared.has(member)) continue;
      for (const slot of slots) hints.addClear(member, slot, this.#version);
    }
  }
}
