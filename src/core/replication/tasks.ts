// The work under way on a node: one task per request that has to wait for other nodes. Tasks are small state machines; this
// file routes replies to them by message id, wakes them when their timer is due, and tells them about lost members and new rings.

import { Heap } from "../../base/heap.ts";
import type { MemberId } from "../../base/ids.ts";
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
  /** When {@link timer} is due; kept by {@link TaskContext.wake}. */
  timerMs: number;
  timer(now: Now): void;
  memberLost(member: MemberId, now: Now): void;
  ringChanged(now: Now): void;
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

interface Alarm {
  readonly atMs: number;
  readonly task: Task;
}

/** Registry of tasks. The coordinator bounds how many there are. */
export class Tasks {
  readonly #byId = new Map<number, Task>();
  readonly #ids = new Map<Task, number>();
  readonly #alarms = new Heap<Alarm>((a, b) => a.atMs - b.atMs);
  readonly #nextId: () => number;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get size(): number {
    return this.#ids.size;
  }

  register(task: Task): number {
    const before = this.#ids.get(task);
    if (before !== undefined) this.#byId.delete(before);
    const id = this.#nextId();
    this.#byId.set(id, task);
    this.#ids.set(task, id);
    return id;
  }

  wake(task: Task, atMs: number): void {
    // An alarm that is already set no later rings first and sets the next one.
    if (task.timerMs === atMs) return;
    task.timerMs = atMs;
    this.#alarms.push({ atMs, task });
  }

  forget(task: Task): void {
    const id = this.#ids.get(task);
    if (id !== undefined) this.#byId.delete(id);
    this.#ids.delete(task);
    task.timerMs = Number.POSITIVE_INFINITY;
  }

  byId(id: number): Task | undefined {
    return this.#byId.get(id);
  }

  tick(now: Now): void {
    for (
      let alarm = this.#alarms.peek();
      alarm !== undefined && alarm.atMs <= now.monoMs;
      alarm = this.#alarms.peek()
    ) {
      this.#alarms.pop();
      // Stale alarms (the task ended or was set anew) are dropped here.
      if (alarm.task.timerMs !== alarm.atMs || !this.#ids.has(alarm.task)) continue;
      alarm.task.timerMs = Number.POSITIVE_INFINITY;
      alarm.task.timer(now);
    }
  }

  memberLost(member: MemberId, now: Now): void {
    for (const task of [...this.#ids.keys()]) if (this.#ids.has(task)) task.memberLost(member, now);
  }

  ringChanged(now: Now): void {
    for (const task of [...this.#ids.keys()]) if (this.#ids.has(task)) task.ringChanged(now);
  }

  deadline(): number {
    return this.#alarms.peek()?.atMs ?? Number.POSITIVE_INFINITY;
  }
}
