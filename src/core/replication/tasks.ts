// The work under way on a node: one task per request that has to wait for other nodes. Tasks are small state machines; this
// file routes replies to them by message id, wakes them when their timer is due, and tells them about lost members and new rings.

import { type Alarmed, Alarms } from "../../base/alarms.ts";
import type { MemberId } from "../../base/ids.ts";
import { NumberMap } from "../../base/number-map.ts";
import type { Now } from "../machine.ts";
import type { ClearReplicaReply, ReadReplicaReply, ReplicateReply } from "../messages.ts";
import type { ReplicationOptions } from "../options.ts";
import type { Store } from "../store/store.ts";
import type { HybridClock } from "./clock.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { Hints } from "./hints.ts";
import type { Outbox } from "./outbox.ts";
import type { Replica } from "./replica.ts";
import type { SlotStates } from "./slot-states.ts";

/** Something that waits for other nodes. Each method may end the task. */
export interface Task {
  /** Kept by {@link Tasks}; `undefined` while the task is not registered. */
  registration: Registration | undefined;
  timer(now: Now): void;
  memberLost(member: MemberId, now: Now): void;
  ringChanged(now: Now): void;
  /** The member is another process now: what it acknowledged is lost there. */
  memberRestarted?(member: MemberId, now: Now): void;
  readReplied?(from: MemberId, reply: ReadReplicaReply, now: Now): void;
  replicated?(from: MemberId, reply: ReplicateReply, now: Now): void;
  clearReplied?(from: MemberId, reply: ClearReplicaReply, now: Now): void;
}

/** What tasks work with. */
export interface TaskContext {
  readonly view: ClusterView;
  readonly store: Store;
  readonly clock: HybridClock;
  readonly slots: SlotStates;
  readonly replica: Replica;
  readonly hints: Hints;
  readonly outbox: Outbox;
  readonly options: ReplicationOptions;
  /** xxHash32 of this node's id, for {@link Entry.origin}. */
  readonly origin: number;
  /** Whether this node may have missed writes. */
  isBehind(): boolean;
  /** Makes the replicas of a key agree, in the background; at most so many at a time, further ones are left to later syncs. */
  repair(key: string, now: Now): void;
  /** Routes answers to a new message id to the task; replaces the task's earlier id. */
  register(task: Task): number;
  /** Calls {@link Task.timer} at (or soon after) `atMs`; a later call replaces an earlier one. */
  wake(task: Task, atMs: number): void;
  /** The task has ended: no more calls. */
  forget(task: Task): void;
}

/** A task's message id and alarm. */
export interface Registration extends Alarmed {
  id: number;
  readonly task: Task;
}

/** Registry of tasks. The coordinator bounds how many there are. */
export class Tasks {
  readonly #byId = new NumberMap<Registration>();
  readonly #alarms = new Alarms<Registration>();
  readonly #nextId: () => number;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get size(): number {
    return this.#byId.size;
  }

  register(task: Task): number {
    const id = this.#nextId();
    const before = task.registration;
    if (before === undefined) {
      task.registration = newRegistration(id, task);
      this.#byId.set(id, task.registration);
    } else {
      this.#byId.delete(before.id);
      before.id = id;
      this.#byId.set(id, before);
    }
    return id;
  }

  /** Does nothing for a task that is not registered. */
  wake(task: Task, atMs: number): void {
    const { registration } = task;
    if (registration !== undefined && registration.alarmMs !== atMs) this.#alarms.set(registration, atMs);
  }

  forget(task: Task): void {
    const { registration } = task;
    if (registration === undefined) return;
    this.#byId.delete(registration.id);
    this.#alarms.clear(registration);
    task.registration = undefined;
  }

  byId(id: number): Task | undefined {
    return this.#byId.get(id)?.task;
  }

  tick(now: Now): void {
    for (let due = this.#alarms.takeDue(now.monoMs); due.length > 0; due = this.#alarms.takeDue(now.monoMs)) {
      for (const registration of due) {
        // What came before may have ended it, or set its alarm anew.
        const isDue = registration.alarmMs === Number.POSITIVE_INFINITY;
        if (isDue && registration.task.registration === registration) registration.task.timer(now);
      }
    }
  }

  memberLost(member: MemberId, now: Now): void {
    for (const { task } of this.#byId.values()) {
      if (task.registration !== undefined) task.memberLost(member, now);
    }
  }

  memberRestarted(member: MemberId, now: Now): void {
    for (const { task } of this.#byId.values()) {
      if (task.registration !== undefined) task.memberRestarted?.(member, now);
    }
  }

  ringChanged(now: Now): void {
    for (const { task } of this.#byId.values()) if (task.registration !== undefined) task.ringChanged(now);
  }

  deadline(): number {
    return this.#alarms.deadline();
  }
}

function newRegistration(id: number, task: Task): Registration {
  return {
    id,
    task,
    alarmMs: Number.POSITIVE_INFINITY,
    alarmPrevious: undefined,
    alarmNext: undefined,
    alarmOrder: 0,
  };
}
