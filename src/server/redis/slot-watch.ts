// Sees to it that this door is told of changes before its clients cache what they read, and notices when it may have missed one.
//
// Every replica of a slot that can be reached is asked to tell (slot-watchers.ts), and has answered, before a key of the slot is read for a client that
// caches. So whatever replaces what was read is stored by somebody who tells. What is lost otherwise is found out: messages are numbered
// without gaps, and a question each `BEAT_MS` compares the numbers; a member that does not answer, or comes, goes, or changes the ring, ends the
// round. Then nothing that was read before is vouched for (`onLost`), and a new round begins with nothing.
//
// Bounds: 2 KiB per member; questions end after `ANSWER_MS_MAX`.

import type { MemberId, Slot } from "../../base/ids.ts";
import type { Changed, ChangedKey, Watch, Watching } from "../../core/messages.ts";
import type { ClusterView } from "../../core/replication/cluster-view.ts";
import { SlotSet } from "../slot-set.ts";

/** How often members are asked whether anything was missed: the longest that a client keeps a stale value because of a lost message. */
const BEAT_MS = 250;
/** Without an answer for so long, a member may not tell any more. */
const SILENCE_MS_MAX = 1_000;
/** A read waits for the answer so long, and is not vouched for without it. */
const ANSWER_MS_MAX = 300;

export interface SlotWatchPorts {
  readonly view: ClusterView;
  /** Sends to a member, this node itself included. False when the member cannot be asked: there is no link, or it is of an older version. */
  send(member: MemberId, message: Watch): boolean;
  nowMs(): number;
  /** A number that is greater at each start of the node, above 0. */
  readonly firstRound: number;
  onChanged(items: readonly ChangedKey[]): void;
  /** Nothing that was read up to now is vouched for. */
  onLost(): void;
}

interface Told {
  readonly slots: SlotSet;
  isAll: boolean;
  /** Of the last message; `undefined` until the first answer of the round. */
  seq: number | undefined;
  heardMs: number;
}

interface Question {
  readonly member: MemberId;
  readonly sinceMs: number;
  readonly isAll: boolean;
  readonly slots: readonly Slot[];
  readonly settle: (isAnswered: boolean) => void;
}

/** See the top of the file. Idle until {@link SlotWatch.start}. */
export class SlotWatch {
  readonly #ports: SlotWatchPorts;
  readonly #told = new Map<MemberId, Told>();
  readonly #questions = new Map<number, Question>();
  #round: number;
  #lastId = 0;
  #members = "";
  #beat: NodeJS.Timeout | undefined;

  constructor(ports: SlotWatchPorts) {
    this.#ports = ports;
    this.#round = ports.firstRound;
  }

  /** Whether anybody is to be told at all. */
  get isOn(): boolean {
    return this.#beat !== undefined;
  }

  start(): void {
    if (this.#beat !== undefined) return;
    this.#members = this.#membersNow();
    this.#beat = setInterval(() => this.check(), BEAT_MS);
  }

  /** Nobody caches any more: the members are told to stop. */
  stop(): void {
    if (this.#beat === undefined) return;
    clearInterval(this.#beat);
    this.#beat = undefined;
    const members = [...this.#told.keys()];
    this.#startRound();
    for (const member of members) this.#ports.send(member, this.#message({ round: 0 }));
  }

  /** Whether all who must are telling of changes in the slot. */
  isWatched(slot: Slot): boolean {
    const { view } = this.#ports;
    if (!this.isOn || view.ring === undefined) return false;
    for (const member of view.ring.preferenceList(slot)) {
      if (this.#told.get(member)?.slots.has(slot) !== true && view.isUsable(member)) return false;
    }
    return true;
  }

  /** Asks for the slot; resolves to {@link SlotWatch.isWatched}. */
  async watch(slot: Slot): Promise<boolean> {
    const { view } = this.#ports;
    if (!this.isOn) return false;
    this.#maybeLose();
    const missing = (view.ring?.preferenceList(slot) ?? []).filter(
      (member) => view.isUsable(member) && this.#told.get(member)?.slots.has(slot) !== true,
    );
    await Promise.all(missing.map((member) => this.#ask(member, { slots: [slot] })));
    return this.isWatched(slot);
  }

  /** Whether all members that can be reached are telling of all slots. */
  get isWatchingAll(): boolean {
    const { view } = this.#ports;
    const members = view.ring?.members ?? [];
    return members.length > 0 && members.every(({ id }) => this.#told.get(id)?.isAll || !view.isUsable(id));
  }

  /** Asks all members for all slots; resolves to whether all will tell. */
  async watchAll(): Promise<boolean> {
    const { view } = this.#ports;
    if (!this.isOn) return false;
    this.#maybeLose();
    const round = this.#round;
    const members = (view.ring?.members ?? []).map(({ id }) => id).filter((id) => view.isUsable(id));
    const missing = members.filter((id) => this.#told.get(id)?.isAll !== true);
    const answers = await Promise.all(missing.map((id) => this.#ask(id, { isAll: true })));
    return members.length > 0 && answers.every((isAnswered) => isAnswered) && round === this.#round;
  }

  /** Takes what a member says. */
  heard(member: MemberId, message: Watching | Changed): void {
    if (message.round !== this.#round) return;
    const told = this.#told.get(member);
    if (told !== undefined) told.heardMs = this.#ports.nowMs();
    if (message.kind === "watching") this.#answered(member, message);
    else if (told?.seq === undefined || message.seq !== told.seq + 1) this.#lose();
    else {
      told.seq = message.seq;
      if (message.isCleared) this.#ports.onLost();
      else this.#ports.onChanged(message.items);
    }
  }

  /** Looks whether anything was missed: at each beat, and when the cluster has changed. */
  check(): void {
    if (!this.isOn || this.#maybeLose()) return;
    const nowMs = this.#ports.nowMs();
    for (const [id, question] of [...this.#questions]) {
      if (nowMs - question.sinceMs < ANSWER_MS_MAX) continue;
      this.#questions.delete(id);
      question.settle(false);
    }
    for (const { heardMs } of this.#told.values()) {
      if (nowMs - heardMs <= SILENCE_MS_MAX) continue;
      this.#lose();
      return;
    }
    for (const member of this.#told.keys()) this.#ports.send(member, this.#message({}));
  }

  /** The link to a member came or went: what it told meanwhile may be lost. */
  linkChanged(member: MemberId): void {
    if (this.#told.has(member)) this.#lose();
  }

  #ask(
    member: MemberId,
    { isAll = false, slots = [] }: { readonly isAll?: boolean; readonly slots?: readonly Slot[] },
  ): Promise<boolean> {
    return new Promise((resolve) => {
      const message = this.#message({ isAll, slots });
      const sinceMs = this.#ports.nowMs();
      this.#questions.set(message.id, { member, sinceMs, isAll, slots, settle: resolve });
      if (this.#ports.send(member, message)) return;
      this.#questions.delete(message.id);
      resolve(false);
    });
  }

  #message(part: Partial<Watch>): Watch {
    this.#lastId = (this.#lastId + 1) >>> 0;
    return { kind: "watch", id: this.#lastId, round: this.#round, isAll: false, slots: [], ...part };
  }

  #answered(member: MemberId, { id, seq }: Watching): void {
    let told = this.#told.get(member);
    if (told?.seq !== undefined && told.seq !== seq) {
      this.#lose();
      return;
    }
    const question = this.#questions.get(id);
    if (question === undefined || question.member !== member) return;
    if (told === undefined) {
      told = { slots: new SlotSet(), isAll: false, seq, heardMs: this.#ports.nowMs() };
      this.#told.set(member, told);
    }
    told.seq = seq;
    if (question.isAll) told.slots.addAll();
    else for (const slot of question.slots) told.slots.add(slot);
    told.isAll ||= question.isAll;
    this.#questions.delete(id);
    question.settle(true);
  }

  /** Another ring, or others in it that can be reached. */
  #maybeLose(): boolean {
    const members = this.#membersNow();
    if (members === this.#members) return false;
    this.#members = members;
    this.#lose();
    return true;
  }

  #membersNow(): string {
    const { ring, isUsable } = this.#ports.view;
    if (ring === undefined) return "";
    const usable = ring.members.map(({ id }) => id).filter((id) => isUsable.call(this.#ports.view, id));
    return `${ring.id}:${usable.join()}`;
  }

  #lose(): void {
    this.#startRound();
    this.#ports.onLost();
  }

  #startRound(): void {
    this.#round++;
    this.#told.clear();
    const questions = [...this.#questions.values()];
    this.#questions.clear();
    for (const { settle } of questions) settle(false);
  }
}
