// Walking over all keys of the cluster with a cursor that is one number and that any node understands: SCAN, KEYS, RANDOMKEY, DBSIZE and
// FLUSHALL.
//
// A cursor says "slots below this one are done", and within a slot "keys up to the one with this hash, in the order of keys". So a key that
// stays is returned, wherever the next page is asked and whatever nodes come and go; a key may come twice. Where in a slot the last
// page ended is also remembered (bounded): only a node that was not asked before has to look the key up by its hash.
//
// Of keys with one hash a cursor means the first, so that none is lost. A page that would end at another of them goes on to a further key: it would
// send its client back to the first, for ever.

import { batchesOf } from "../../base/batches.ts";
import type { Hashes } from "../../base/hash.ts";
import { slotOfKey } from "../../base/hash.ts";
import { type MemberId, SLOT_COUNT, type Slot } from "../../base/ids.ts";
import type { ScanReply } from "../../core/messages.ts";
import { SCAN_KEYS_MAX, SLOTS_MAX } from "../../wire/limits.ts";
import { ask, failureOf } from "./call.ts";
import { CommandError, errorOf } from "./errors.ts";
import type { Answer, CoreKeyspace, Waiter } from "./keyspace.ts";

/** One page of keys, and the cursor of the next; 0 after the last. */
export interface Page {
  readonly keys: readonly string[];
  readonly cursor: number;
}

/** A position: slots below `slot` are done, and in it the keys up to `after`. */
interface Position {
  readonly slot: number;
  readonly after: string;
}

const HASHES = 2 ** 32;
/** Positions within slots that are remembered; the oldest are forgotten first. */
const POSITIONS_MAX = 4_096;
/** Rounds of asking other replicas before a page fails. */
const ROUNDS_MAX = 10;
const ROUND_PAUSE_MS = 30;

/** See the top of the file. */
export class SlotSweep {
  readonly #keyspace: CoreKeyspace;
  readonly #hashes: Hashes;
  readonly #positions = new Map<number, string>();
  readonly #scope: () => readonly Slot[];

  /**
   * @param scope The slots whose keys are listed and counted, ascending: all, or those that this node shows as its own to clients that
   * ask every node of a cluster.
   */
  constructor(keyspace: CoreKeyspace, hashes: Hashes, scope: () => readonly Slot[] = everySlot) {
    this.#keyspace = keyspace;
    this.#hashes = hashes;
    this.#scope = scope;
  }

  /**
   * At least `count` keys that begin with `prefix` from the cursor on, or all that are left; usually not many more.
   *
   * @throws {CommandError} when no replica of some slot answers
   */
  async page(cursor: number, count: number, prefix: string): Promise<Page> {
    let position = await this.#positionOf(cursor);
    const slots = this.#scope();
    const keys: string[] = [];
    // The store takes only so many keys of one hash, so the page stays bounded.
    while (position.slot < SLOT_COUNT && (keys.length < count || this.#isAmbiguous(position))) {
      const limit = Math.min(SCAN_KEYS_MAX, Math.max(10, count - keys.length));
      position = await this.#advance(position, { slots, limit, prefix }, keys);
    }
    return { keys, cursor: position.slot >= SLOT_COUNT ? 0 : this.#cursorOf(position) };
  }

  /** The keys that members say they have, each slot asked of one of its replicas. */
  async count(): Promise<number> {
    let total = 0;
    await this.#eachBatch(
      (member, slots, waiter) => this.#keyspace.count(member, slots, waiter),
      (answer) => {
        if (answer.kind === "counted") total += answer.count;
      },
      this.#scope(),
    );
    return total;
  }

  /** Deletes all that was there when it began. */
  async clear(): Promise<void> {
    const batches: Slot[][] = [];
    for (let first = 0; first < SLOT_COUNT; first += SLOTS_MAX)
      batches.push(slotRange(first, first + SLOTS_MAX));
    const answers = await Promise.all(
      batches.map((slots) => ask((waiter) => this.#keyspace.clear(slots, waiter))),
    );
    const failure = failureOf(answers);
    if (failure !== undefined) throw new CommandError(errorOf(failure, true).text);
  }

  /** Some key; every key has a chance, though not all the same. `undefined` when there is none. */
  async randomKey(): Promise<string | undefined> {
    const slots = this.#scope();
    const start = slots[Math.floor(Math.random() * slots.length)] ?? 0;
    for (const slot of [start, 0]) {
      const { keys } = await this.page(slot * 2 * HASHES, 10, "");
      if (keys.length > 0) return keys[Math.floor(Math.random() * keys.length)];
    }
    return undefined;
  }

  /** Up to `limit` keys of one slot. */
  async keysInSlot(slot: number, limit: number): Promise<readonly string[]> {
    const keys: string[] = [];
    let position: Position = { slot, after: "" };
    while (position.slot === slot && keys.length < limit) {
      const part = { slots: [slot as Slot], limit: Math.min(SCAN_KEYS_MAX, limit - keys.length), prefix: "" };
      position = await this.#advance(position, part, keys);
    }
    return keys.filter((key) => slotOfKey(key) === slot).slice(0, limit);
  }

  /** How many keys one slot has. */
  async countInSlot(slot: number): Promise<number> {
    const member = this.#replicaOf(slot as Slot, new Set());
    const answer = await ask((waiter) => this.#keyspace.count(member, [slot as Slot], waiter));
    if (answer.kind === "failed") throw new CommandError(errorOf(answer, false).text);
    return answer.kind === "counted" ? answer.count : 0;
  }

  // ---- cursors

  #numberOf({ slot, after }: Position): number {
    return slot * 2 * HASHES + (after === "" ? 0 : HASHES + this.#hashes.hash32(after));
  }

  /** Whether the cursor of this position is known to mean an earlier one. */
  #isAmbiguous(position: Position): boolean {
    const known = this.#positions.get(this.#numberOf(position));
    return known !== undefined && known < position.after;
  }

  #cursorOf(position: Position): number {
    const cursor = this.#numberOf(position);
    const { after } = position;
    if (after === "") return cursor;
    const known = this.#positions.get(cursor);
    // Of two keys with one hash the earlier: going back repeats keys, going forward would lose some.
    if (known === undefined || after < known) {
      this.#positions.delete(cursor);
      this.#positions.set(cursor, after);
    }
    if (this.#positions.size > POSITIONS_MAX) {
      for (const oldest of this.#positions.keys()) {
        this.#positions.delete(oldest);
        break;
      }
    }
    return cursor;
  }

  async #positionOf(cursor: number): Promise<Position> {
    const slot = Math.floor(cursor / (2 * HASHES));
    const rest = cursor - slot * 2 * HASHES;
    if (slot >= SLOT_COUNT || rest < HASHES) return { slot, after: "" };
    return { slot, after: this.#positions.get(cursor) ?? (await this.#findHash(slot, rest - HASHES)) };
  }

  /** The first key of the slot with this hash; "" when it is gone, and the slot begins anew. */
  async #findHash(slot: number, hash: number): Promise<string> {
    let position: Position = { slot, after: "" };
    while (position.slot === slot) {
      const keys: string[] = [];
      const part = { slots: [slot as Slot], limit: SCAN_KEYS_MAX, prefix: "" };
      position = await this.#advance(position, part, keys);
      const found = keys.find((key) => this.#hashes.hash32(key) === hash);
      if (found !== undefined) return found;
    }
    return "";
  }

  // ---- pages

  /** Takes the next keys of up to 1,024 of the slots, from the position on; returns where that ended. */
  async #advance(
    position: Position,
    {
      slots,
      limit,
      prefix,
    }: { readonly slots: readonly Slot[]; readonly limit: number; readonly prefix: string },
    keys: string[],
  ): Promise<Position> {
    const from = slots.findIndex((slot) => slot >= position.slot);
    if (from === -1) return { slot: SLOT_COUNT, after: "" };
    const part = slots.slice(from, from + SLOTS_MAX);
    const end = slots[from + SLOTS_MAX] ?? SLOT_COUNT;
    const pages: { slots: readonly Slot[]; reply: ScanReply }[] = [];
    await this.#eachBatch(
      (member, batch, waiter) => {
        const after = batch[0] === position.slot ? position.after : "";
        this.#keyspace.scan(member, { slots: batch, after, prefix, limit }, waiter);
      },
      (answer, batch) => {
        if (answer.kind === "scanned") pages.push({ slots: batch, reply: answer });
      },
      part,
    );
    // The first slot that somebody has not finished: what lies behind it comes with a later page.
    let next: Position = { slot: end, after: "" };
    for (const { slots: batch, reply } of pages) {
      const slot = batch[reply.slotsDone];
      if (slot !== undefined && slot < next.slot) next = { slot, after: reply.after };
    }
    for (const { reply } of pages) {
      for (const key of reply.keys) {
        const slot = slotOfKey(key);
        if (slot < next.slot || (slot === next.slot && key <= next.after)) keys.push(key);
      }
    }
    return next;
  }

  /** Asks about each slot one replica that can be reached, and others where that fails. */
  async #eachBatch(
    start: (member: MemberId, slots: readonly Slot[], waiter: Waiter) => void,
    take: (answer: Answer, slots: readonly Slot[]) => void,
    slots: readonly Slot[],
  ): Promise<void> {
    const avoided = new Set<MemberId>();
    let left = slots;
    for (let round = 0; left.length > 0; round++) {
      const failed: Slot[] = [];
      let problem: Answer | undefined;
      const batches = batchesOf(left, (slot) => this.#replicaOf(slot, avoided), SLOTS_MAX);
      await Promise.all(
        batches.map(async ({ to: member, items: batch }) => {
          const answer = await ask((waiter) => start(member, batch, waiter));
          if (answer.kind !== "failed") {
            take(answer, batch);
            return;
          }
          problem = answer;
          avoided.add(member);
          failed.push(...batch);
        }),
      );
      if (problem?.kind === "failed" && round >= ROUNDS_MAX)
        throw new CommandError(errorOf(problem, false).text);
      left = failed.sort((a, b) => a - b);
      if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, ROUND_PAUSE_MS));
    }
  }

  /** This node when it is one, otherwise the first that can be reached; when all are to be avoided, they are tried again. */
  #replicaOf(slot: Slot, avoided: Set<MemberId>): MemberId {
    const { view } = this.#keyspace;
    const list = view.ring?.preferenceList(slot) ?? [];
    const usable = list.filter((member) => view.isUsable(member) && view.mayCount(member));
    const fresh = usable.filter((member) => !avoided.has(member));
    if (fresh.length === 0) for (const member of usable) avoided.delete(member);
    const candidates = fresh.length > 0 ? fresh : usable;
    return candidates.find((member) => member === view.self) ?? candidates[0] ?? view.self;
  }
}

function slotRange(from: number, to: number): Slot[] {
  return Array.from({ length: to - from }, (_, index) => (from + index) as Slot);
}

const EVERY_SLOT: readonly Slot[] = Object.freeze(slotRange(0, SLOT_COUNT));

function everySlot(): readonly Slot[] {
  return EVERY_SLOT;
}
