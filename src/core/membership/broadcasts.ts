// News waiting to be spread: SWIM's infection-style dissemination. Each update rides on mult x ceil(log10(n + 1)) messages and
// is then dropped: by then every member has heard it with high probability, and full syncs mend the rest.
//
// Invariants:
// 1. At most one update per member, the newest: an older one would only be merged away.
// 2. What was sent least goes first, so fresh news is never starved; among equals the newest goes first.
// Source: SWIM section 4.1; memberlist queue.go.

import type { MemberId } from "../../base/ids.ts";
import type { Update } from "../messages.ts";

/** Updates on one message. More wait for the next one. */
export const UPDATES_PER_MESSAGE_MAX = 32;

/** How often each update is sent in a cluster of `members`. */
export function transmitsMax(members: number, retransmitMult: number): number {
  return retransmitMult * Math.ceil(Math.log10(members + 1));
}

interface Item {
  readonly update: Update;
  transmits: number;
}

/** The queue. Never holds more updates than there are members. */
export class Broadcasts {
  /** The newest last. */
  readonly #items = new Map<MemberId, Item>();

  get size(): number {
    return this.#items.size;
  }

  has(member: MemberId): boolean {
    return this.#items.has(member);
  }

  /** Queues an update in place of an older one of the same member. */
  put(update: Update): void {
    this.#items.delete(update.record.id);
    this.#items.set(update.record.id, { update, transmits: 0 });
  }

  drop(member: MemberId): void {
    this.#items.delete(member);
  }

  /** At most `count` updates for one message that are not about `except`; counts them as sent. */
  take(count: number, limit: number, except: MemberId | "" = ""): Update[] {
    if (this.#items.size === 0) return [];
    const taken: Update[] = [];
    for (const item of this.#inOrder()) {
      if (taken.length >= count) break;
      if (item.update.record.id === except) continue;
      taken.push(item.update);
      item.transmits++;
      if (item.transmits >= limit) this.#items.delete(item.update.record.id);
    }
    return taken;
  }

  /** Invariant 2. By how often they were sent, which is seldom: a sort would cost most of a message when a large cluster starts. */
  #inOrder(): readonly Item[] {
    const bySent: Item[][] = [];
    for (const item of this.#items.values()) {
      while (bySent.length <= item.transmits) bySent.push([]);
      bySent[item.transmits]!.push(item);
    }
    return bySent.flatMap((items) => items.reverse());
  }
}
