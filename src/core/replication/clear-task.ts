// Clears whole slots: one version, sent to every replica of every slot; done when a majority of each slot's counted replicas
// has it. Who cannot be reached gets it as a hint. Idempotent, so a repeat is harmless.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { ClearReplicaReply } from "../messages.ts";
import { majorityOf } from "./cluster-view.ts";
import { ASK_AGAIN_MS } from "./gather.ts";
import type { Task, TaskContext } from "./tasks.ts";

/** Calls `done` exactly once: true when all slots are cleared on a majority. */
export class ClearTask implements Task {
  timerMs = Number.POSITIVE_INFINITY;
  readonly #context: TaskContext;
  readonly #slots: readonly Slot[];
  readonly #deadlineMs: number;
  readonly #done: (isCleared: boolean, now: Now) => void;
  readonly #version: number;
  #acknowledged = new Map<Slot, Set<MemberId>>();
  #byMember = new Map<MemberId, Slot[]>();
  readonly #waiting = new Set<MemberId>();
  #sentMs = 0;
  #isOver = false;

  constructor(
    context: TaskContext,
    request: { readonly slots: readonly Slot[]; readonly deadlineMs: number; readonly version: number },
    done: (isCleared: boolean, now: Now) => void,
  ) {
    this.#context = context;
    this.#slots = request.slots;
    this.#deadlineMs = request.deadlineMs;
    this.#version = request.version;
    this.#done = done;
  }

  start(now: Now): void {
    this.ringChanged(now);
  }

  ringChanged(now: Now): void {
    const { view } = this.#context;
    this.#acknowledged = new Map(this.#slots.map((slot) => [slot, new Set()]));
    this.#byMember = new Map();
    this.#waiting.clear();
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
    const { view, outbox, hints, replica } = this.#context;
    const ring = view.ring;
    const id = this.#context.register(this);
    this.#sentMs = now.monoMs;
    if (ring !== undefined) {
      for (const [member, slots] of this.#byMember) {
        const message = { kind: "clearReplica", id, ringId: ring.id, slots, version: this.#version } as const;
        this.#waiting.add(member);
        if (member === view.self) {
          this.clearReplied(member, replica.clear(message, now), now);
        } else if (view.isUsable(member)) {
          outbox.peer(member, message);
        } else {
          this.#waiting.delete(member);
          for (const slot of slots) hints.addClear(member, slot, this.#version);
        }
      }
    }
    this.#progress(now);
  }

  clearReplied(from: MemberId, reply: ClearReplicaReply, now: Now): void {
    if (!this.#waiting.delete(from) || reply.status !== "ok") return;
    for (const [index, slot] of (this.#byMember.get(from) ?? []).entries()) {
      if (reply.counts[index] === true) this.#acknowledged.get(slot)?.add(from);
    }
    this.#progress(now);
  }

  #progress(now: Now): void {
    if (this.#isOver) return;
    const ring = this.#context.view.ring;
    const isCleared =
      ring !== undefined &&
      this.#slots.every(
        (slot) => (this.#acknowledged.get(slot)?.size ?? 0) >= majorityOf(ring.preferenceList(slot).length),
      );
    if (isCleared) this.#finish(true, now);
    else this.#context.wake(this, Math.min(now.monoMs + ASK_AGAIN_MS, this.#deadlineMs));
  }

  timer(now: Now): void {
    if (now.monoMs >= this.#deadlineMs) this.#finish(false, now);
    else if (this.#waiting.size === 0 || now.monoMs - this.#sentMs > this.#context.options.replicaTimeoutMs)
      this.#send(now);
    else this.#progress(now);
  }

  memberLost(member: MemberId, now: Now): void {
    if (this.#waiting.delete(member)) this.#progress(now);
  }

  #finish(isCleared: boolean, now: Now): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Who has not answered will hear of it later.
    for (const member of this.#waiting) {
      for (const slot of this.#byMember.get(member) ?? [])
        this.#context.hints.addClear(member, slot, this.#version);
    }
    this.#context.forget(this);
    this.#done(isCleared, now);
  }
}
