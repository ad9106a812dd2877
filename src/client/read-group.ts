// Reads that were asked for at one moment and go to one node together: the first try of each of them, as one thing.
//
// Nearly every read is answered by the first node that is asked, soon, and then nothing of it matters any more. So as little as possible is kept
// of it: its key and its number. The link, the times and the alarm are the group's. A read that is not simply answered (it is refused, the link
// breaks, its time is over) leaves the group and becomes a call like any other, with this one try behind it: `client-core.ts` knows one way to
// deal with trouble, and one to stay out of it.
//
// Invariant: a read of a client is open in one group, or a call of its own, or over.

import type { Alarmed } from "../base/alarms.ts";
import type { GetOptions } from "./client-machine.ts";
import type { NodeLink } from "./node-link.ts";

/** Reads of one group. More make another: one alarm that rings has as many calls to make. */
export const GROUP_READS_MAX = 256;

/** What all reads of a group have in common. */
export interface GroupPlan {
  readonly link: NodeLink;
  readonly get: GetOptions;
  readonly isPatient: boolean;
  readonly sentMs: number;
  readonly deadlineMs: number;
  /** When the try of the first read is over. */
  readonly tryEndsMs: number;
  /** When somebody else is to be asked as well; `Infinity` for never. */
  readonly hedgeAtMs: number;
  /** What each weighs on the link. */
  readonly bytes: number;
}

export class ReadGroup implements Alarmed {
  readonly plan: GroupPlan;
  /** Reads that are open. */
  size = 0;
  /** When the first of its reads is to be looked at. */
  alarmMs = Number.POSITIVE_INFINITY;
  alarmPrevious: Alarmed | undefined;
  alarmNext: Alarmed | undefined;
  alarmOrder = 0;
  /** Of each read, in order: the number of its try, its key, and its call; 0 when it is no longer open. */
  readonly #ids: number[] = [];
  readonly #keys: string[] = [];
  readonly #callIds: number[] = [];
  /** Behind the read that was looked for last: answers come in the order of questions. */
  #cursor = 0;

  constructor(plan: GroupPlan) {
    this.plan = plan;
  }

  get isFull(): boolean {
    return this.#ids.length >= GROUP_READS_MAX;
  }

  /** @param callId above 0 */
  add(id: number, key: string, callId: number): void {
    this.#ids.push(id);
    this.#keys.push(key);
    this.#callIds.push(callId);
    this.size++;
  }

  /** Which of the reads it is whose try has the number, from 0. */
  indexOf(id: number): number {
    const index = this.#ids[this.#cursor] === id ? this.#cursor : this.#ids.indexOf(id);
    this.#cursor = index + 1;
    return index;
  }

  keyAt(index: number): string {
    return this.#keys[index]!;
  }

  /** Ends what the group has to do with an open read. Returns its call. */
  take(index: number): number {
    const callId = this.#callIds[index]!;
    this.#callIds[index] = 0;
    this.size--;
    return callId;
  }

  /** Numbers of the tries of the open reads; of those of certain calls, when these are given. */
  openIds(callIds?: ReadonlySet<number>): number[] {
    return this.#ids.filter((_, index) => {
      const callId = this.#callIds[index]!;
      return callId !== 0 && callIds?.has(callId) !== false;
    });
  }
}
