// Clears whole slots. First a majority of each slot's counted replicas is asked how new what they hold is: every write that was
// acknowledged before is known to one of them, and the clear must be newer, whatever this node's clock says. Then one version is
// sent to every replica of every slot; answered when a majority of each slot's counted replicas has it. Whoever has not said so by the
// end, for whatever reason, gets it as a hint: it would answer for what was cleared otherwise. Where this node is no replica itself, those that
// have cleared tell the others as well (`hints.ts`). Its own copy of a slot is cleared last, once another replica has: an attempt that others
// have shut out must leave nothing behind here that nobody else will ever hear of, and that would hide what came after it.
//
// A repeated attempt is completed under the version that an earlier one was given, if any replica knows one: what was written since
// is newer, and stays. The question shuts earlier attempts out, as with other writes.

import type { MemberId, RingId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { ClearReplica, ClearReplicaReply, ClearRequest } from "../messages.ts";
import { majorityOf, toPeerBegunAt } from "./cluster-view.ts";
import { ASK_AGAIN_MS, EVERYBODY_MS } from "./gather.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";
import { FIRST_REPLICA_MS, isTooLate, knownBegunAt } from "./write-task.ts";

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
  /** Other members that said that they cleared, whether they count or not; and the slots that they did. */
  readonly #cleared = new Set<MemberId>();
  readonly #clearedSlots = new Set<Slot>();
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
    this.#clearedSlots.clear();
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
    const { view, outbox } = this.#context;
    const id = this.#context.register(this);
    this.#sentMs = now.monoMs;
    if (view.ring !== undefined) {
      for (const [member, slots] of this.#byMember) {
        if (member === view.self) {
          this.#clearOwn(slots, now);
        } else if (view.isUsable(member)) {
          this.#waiting.add(member);
          outbox.peer(member, this.#messageTo(member, slots, id, now));
        }
        if (this.#isOver) return;
      }
    }
    this.#progress(now);
  }

  #messageTo(member: MemberId, slots: readonly Slot[], id: number, now: Now): ClearReplica {
    const { view } = this.#context;
    const { opClient, opSeq, attempt } = this.#request;
    const begun = knownBegunAt(this.#request.begunAt, now);
    const begunAt = member === view.self ? begun : toPeerBegunAt(view, member, begun);
    const ringId = view.ring?.id ?? ("" as RingId);
    return {
      ...{ kind: "clearReplica", id, ringId, slots, version: this.#version },
      ...{ opClient, opSeq, attempt, begunAt },
    };
  }

  /** Asks this node's own copies, or clears those that may be. */
  #clearOwn(slots: readonly Slot[], now: Now): void {
    const { view, replica } = this.#context;
    const own = this.#version === 0 ? slots : slots.filter((slot) => this.#mayClearOwn(slot));
    if (own.length > 0)
      this.#take(view.self, own, replica.clear(this.#messageTo(view.self, own, 0, now), now), now);
  }

  #mayClearOwn(slot: Slot): boolean {
    const { ring, self } = this.#context.view;
    const isOnly = ring?.preferenceList(slot).length === 1;
    return ring?.isReplica(slot, self) === true && (isOnly || this.#clearedSlots.has(slot));
  }

  clearReplied(from: MemberId, reply: ClearReplicaReply, now: Now): void {
    if (!this.#waiting.delete(from)) return;
    this.#take(from, this.#byMember.get(from) ?? [], reply, now);
    this.#progress(now);
  }

  #take(from: MemberId, slots: readonly Slot[], reply: ClearReplicaReply, now: Now): void {
    if (reply.status === "fenced" && !this.#isAnswered) {
      this.#isTakenOver = true;
      this.#giveUp(now);
    }
    if (reply.status !== "ok") return;
    for (const [index, slot] of slots.entries()) {
      if (reply.counts[index] === true) this.#acknowledged.get(slot)?.add(from);
    }
    if (this.#version === 0) {
      this.#newest = Math.max(this.#newest, reply.newest);
      this.#known = Math.max(this.#known, reply.known);
      this.#context.clock.observe(reply.newest, now.wallMs);
    } else if (from !== this.#context.view.self) {
      this.#cleared.add(from);
      const news = slots.filter((slot) => !this.#clearedSlots.has(slot));
      for (const slot of news) this.#clearedSlots.add(slot);
      this.#clearOwn(news, now);
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
      if (this.#waitsForFirst(now)) {
        this.#context.wake(this, this.#sentMs + FIRST_REPLICA_MS);
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

  /** As with writes: each slot's first replica, which may answer alone, gets a moment. */
  #waitsForFirst(now: Now): boolean {
    if (this.#waiting.size === 0 || now.monoMs >= this.#sentMs + FIRST_REPLICA_MS) return false;
    const { ring } = this.#context.view;
    return this.#request.slots.some((slot) => {
      const first = ring?.ownerOf(slot);
      return first !== undefined && this.#waiting.has(first);
    });
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

  /** Own copies that are not cleared are when one of those is that gets a hint. */
  #keepHints(): void {
    const { view, hints } = this.#context;
    const { opClient, opSeq, attempt } = this.#request;
    const clear = { version: this.#version, opClient, opSeq, attempt } as const;
    for (const [member, slots] of this.#byMember) {
      if (member === view.self || this.#cleared.has(member)) continue;
      for (const slot of slots) hints.addClear(member, slot, clear);
    }
  }
}
