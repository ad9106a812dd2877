// Clears whole slots. First a majority of each slot's counted replicas is asked how new what they hold is: every write that was
// acknowledged before is known to one of them, and the clear must be newer, whatever this node's clock says. Then one version is
// sent to every replica of every slot; answered when a majority of each slot's counted replicas has it. Whoever has not said so by the end, for whatever reason, gets it as a hint: it would answer for what was cleared
// otherwise. Idempotent, so a repeat is harmless.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { ClearReplicaReply } from "../messages.ts";
import { majorityOf } from "./cluster-view.ts";
import { ASK_AGAIN_MS } from "./gather.ts";
import type { Registration, Task, TaskContext } from "./tasks.ts";
import { isTooLate } from "./write-task.ts";

/** Calls `done` exactly once: true when all slots are cleared on a majority. Goes on for a while to see to the remaining replicas. */
export class ClearTask implements Task {
  registration: Registration | undefined;
  readonly #context: TaskContext;
  readonly #slots: readonly Slot[];
  readonly #deadlineMs: number;
  readonly #notAfter: number;
  readonly #done: (isCleared: boolean, now: Now) => void;
  /** 0 while it is asked how new it must be. */
  #version = 0;
  /** The newest version that any replica of the slots holds. */
  #newest = 0;
  #acknowledged = new Map<Slot, Set<MemberId>>();
  #byMember = new Map<MemberId, Slot[]>();
  readonly #waiting = new Set<MemberId>();
  /** Said that they cleared, whether they count or not. */
  readonly #cleared = new Set<MemberId>();
  #sentMs = 0;
  #isAnswered = false;
  #isOver = false;

  constructor(
    context: TaskContext,
    request: { readonly slots: readonly Slot[]; readonly deadlineMs: number; readonly notAfter: number },
    done: (isCleared: boolean, now: Now) => void,
  ) {
    this.#context = context;
    this.#slots = request.slots;
    this.#deadlineMs = request.deadlineMs;
    this.#notAfter = request.notAfter;
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
    this.#acknowledged = new Map(this.#slots.map((slot) => [slot, new Set()]));
    this.#byMember = new Map();
    this.#waiting.clear();
    this.#cleared.clear();
    for (const slot of this.#slots) {
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
    this.#sentMs = now.monoMs;
    if (ring !== undefined) {
      for (const [member, slots] of this.#byMember) {
        const message = { kind: "clearReplica", id, ringId: ring.id, slots, version: this.#version } as const;
        if (member === view.self) {
          this.#take(member, replica.clear(message, now), now);
        } else if (view.isUsable(member)) {
          this.#waiting.add(member);
          outbox.peer(member, message);
        }
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
    if (reply.status !== "ok") return;
    if (this.#version === 0) {
      this.#newest = Math.max(this.#newest, reply.newest);
      this.#context.clock.observe(reply.newest, now.wallMs);
    } else this.#cleared.add(from);
    for (const [index, slot] of (this.#byMember.get(from) ?? []).entries()) {
      if (reply.counts[index] === true) this.#acknowledged.get(slot)?.add(from);
    }
  }

  /** Answers when enough replicas cleared; ends when nobody is left to wait for. */
  #progress(now: Now): void {
    if (!this.#isAnswered && this.#hasQuorum()) {
      if (this.#version === 0) {
        // Its caller has asked another node and moved on: what was written since must stay.
        if (isTooLate(this.#notAfter, now)) {
          this.#end();
          this.#done(false, now);
          return;
        }
        this.#version = this.#context.clock.next(now.wallMs, this.#newest);
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

  #hasQuorum(): boolean {
    const { ring } = this.#context.view;
    if (ring === undefined) return false;
    return this.#slots.every(
      (slot) => (this.#acknowledged.get(slot)?.size ?? 0) >= majorityOf(ring.preferenceList(slot).length),
    );
  }

  timer(now: Now): void {
    if (this.#isAnswered) {
      this.#end();
    } else if (now.monoMs >= this.#deadlineMs) {
      this.#end();
      this.#done(false, now);
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

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.forget(this);
    if (this.#version > 0) this.#keepHints();
  }

  #keepHints(): void {
    const { view, hints } = this.#context;
    for (const [member, slots] of this.#byMember) {
      if (member === view.self || this.#cleared.has(member)) continue;
      for (const slot of slots) hints.addClear(member, slot, this.#version);
    }
  }
}
