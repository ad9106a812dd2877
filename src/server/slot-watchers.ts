// Who is told when something in this node's store changes: doors (this node's or others') whose clients cache what they read.
//
// A watcher names slots and a round, and from its answer on is told of every version that is stored in them here, of values that expire or
// are evicted, and of slots that are cleared. All of one turn goes in one message. Messages are numbered from a random number on, so
// that the watcher notices when one was lost or when this node has forgotten it; it then starts a new round. Nothing is repeated.
//
// Bounds: 2 KiB for each watcher, at most one per member; `TOLD_MAX` changes in a turn, past which a message says "everything".

import type { MemberId, Slot } from "../base/ids.ts";
import type { Changed, ChangedKey, DoorMessage, Entry, Watch, Watching } from "../core/messages.ts";
import type { StoreWatch } from "../core/store/store.ts";
import { CHANGED_KEYS_MAX } from "../wire/limits.ts";
import { SlotSet } from "./slot-set.ts";

/** Changes of one turn that are told one by one. */
const TOLD_MAX = 10_000;

export interface SlotWatchersPorts {
  /** Sends to a member, this node itself included; may lose it. Never calls back. */
  send(member: MemberId, message: DoorMessage): void;
  /** A random integer from 0 to 2^32 - 1. */
  random(): number;
}

interface Watcher {
  readonly member: MemberId;
  readonly round: number;
  readonly slots: SlotSet;
  seq: number;
}

/** See the top of the file. */
export class SlotWatchers implements StoreWatch {
  readonly #ports: SlotWatchersPorts;
  readonly #watchers = new Map<MemberId, Watcher>();
  /** All slots that somebody watches. */
  #watched = new SlotSet();
  #slots: Slot[] = [];
  #items: ChangedKey[] = [];
  #isCleared = false;
  #isFlushDue = false;

  constructor(ports: SlotWatchersPorts) {
    this.#ports = ports;
  }

  /** How many watch. */
  get count(): number {
    return this.#watchers.size;
  }

  /** Takes what a member asks for; returns the answer. An older round than the present one changes nothing. */
  take(member: MemberId, { id, round, isAll, slots }: Watch): Watching {
    const known = this.#watchers.get(member);
    if (round === 0) this.forget(member);
    if (round === 0 || (known !== undefined && round < known.round))
      return { kind: "watching", id, round: 0, seq: 0 };
    const watcher =
      known?.round === round ? known : { member, round, slots: new SlotSet(), seq: this.#ports.random() };
    this.#watchers.set(member, watcher);
    if (known !== watcher && known !== undefined) this.#gatherWatched();
    // What has changed up to now is not news, but its number must not come after the answer.
    this.#flush();
    if (isAll) watcher.slots.addAll();
    else for (const slot of slots) watcher.slots.add(slot);
    if (isAll) this.#watched.addAll();
    else for (const slot of slots) this.#watched.add(slot);
    return { kind: "watching", id, round, seq: watcher.seq };
  }

  /** The member is gone, or asks no more. */
  forget(member: MemberId): void {
    if (this.#watchers.delete(member)) this.#gatherWatched();
  }

  // ---- what the store tells

  watches(slot: Slot): boolean {
    return this.#watchers.size > 0 && this.#watched.has(slot);
  }

  changed(slot: Slot, { key, version, opClient, opSeq }: Entry): void {
    this.#note(slot, { key, version, opClient, opSeq });
  }

  gone(slot: Slot, key: string): void {
    this.#note(slot, { key, version: 0, opClient: 0, opSeq: 0 });
  }

  cleared(_slot: Slot): void {
    this.#isCleared = true;
    this.#flushSoon();
  }

  #note(slot: Slot, item: ChangedKey): void {
    if (this.#items.length >= TOLD_MAX) this.#isCleared = true;
    if (!this.#isCleared) {
      this.#slots.push(slot);
      this.#items.push(item);
    }
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushDue = false;
    const [slots, items, isCleared] = [this.#slots, this.#items, this.#isCleared];
    if (items.length === 0 && !isCleared) return;
    this.#slots = [];
    this.#items = [];
    this.#isCleared = false;
    for (const watcher of this.#watchers.values()) {
      if (isCleared) this.#tell(watcher, [], true);
      else this.#tellItems(watcher, slots, items);
    }
  }

  #tellItems(watcher: Watcher, slots: readonly Slot[], items: readonly ChangedKey[]): void {
    const own = items.filter((_item, index) => watcher.slots.has(slots[index]!));
    for (let from = 0; from < own.length; from += CHANGED_KEYS_MAX)
      this.#tell(watcher, own.slice(from, from + CHANGED_KEYS_MAX), false);
  }

  #tell(watcher: Watcher, items: readonly ChangedKey[], isCleared: boolean): void {
    const { member, round } = watcher;
    const message: Changed = { kind: "changed", round, seq: ++watcher.seq, isCleared, items };
    this.#ports.send(member, message);
  }

  #gatherWatched(): void {
    this.#watched = new SlotSet();
    for (const { slots } of this.#watchers.values()) this.#watched.addEvery(slots);
  }
}
