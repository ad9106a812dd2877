// Members that hold the secret and say what no member in order can say: not heard for a while.
//
// Only what nobody passes on counts as an offence: numbers beyond every clock and every counter, which all others refuse as well, so an
// honest member cannot have learnt them; endless lists of members; writes for slots that are not ours under our own ring. What a member
// with a wrong clock or an old view says is refused too, where it must be, and is no offence.
//
// Not to hear a member is the same as a link that loses everything, which all else is built to live with: its writes are not
// acknowledged by us, its probes are not answered, and in time it is taken for dead. At most a minority is held at a time: when most
// others seem hostile, it is this node that is out of order. This is no protection from a member that lies plausibly: whoever holds the
// secret can accuse others (they answer) and invent members.

import type { MemberId } from "../base/ids.ts";
import type { NodeEvent } from "./events.ts";
import type { PeerMessage } from "./messages.ts";
import { stampOf } from "./replication/clock.ts";

/** What a member said that it cannot know. */
export type Offence = "version" | "record" | "members" | "owner";

/** Offences within {@link OFFENCE_MS} after which a member is held: one could be a flipped bit. */
export const OFFENCES_MAX = 3;
const OFFENCE_MS = 60_000;
/** How long it is held; the next offence after that begins it anew. */
export const QUARANTINE_MS = 60_000;
/** Shortest time between two events about offences of one member. */
const TELL_SPACING_MS = 1_000;
/** Versions further ahead of the cluster's time than this come from no clock: a year. Beyond them there would be no room for later ones. */
const VERSION_AHEAD_MS = 366 * 86_400_000;

interface Record {
  count: number;
  sinceMs: number;
  heldUntilMs: number;
  toldMs: number;
}

/** See the top of the file. Bounded by the members of the view: only they can offend. */
export class Quarantine {
  readonly #records = new Map<MemberId, Record>();

  /** Whether the member is not to be heard now. */
  holds(member: MemberId, nowMs: number): boolean {
    if (this.#records.size === 0) return false;
    return (this.#records.get(member)?.heldUntilMs ?? 0) > nowMs;
  }

  /** Members held now, ascending. */
  held(nowMs: number): readonly MemberId[] {
    return [...this.#records.keys()].filter((member) => this.holds(member, nowMs)).sort();
  }

  /**
   * Notes an offence. Returns what is to be told.
   *
   * @param others how many other members there are: fewer than half of them are held
   */
  offend(member: MemberId, what: Offence, others: number, nowMs: number): readonly NodeEvent[] {
    this.#forgetOld(nowMs);
    let record = this.#records.get(member);
    if (record === undefined) {
      record = { count: 0, sinceMs: nowMs, heldUntilMs: 0, toldMs: Number.NEGATIVE_INFINITY };
      this.#records.set(member, record);
    }
    record.count++;
    const events: NodeEvent[] = [];
    if (nowMs - record.toldMs >= TELL_SPACING_MS) {
      record.toldMs = nowMs;
      events.push({ type: "forged", member, what });
    }
    const mayHold = 2 * (this.held(nowMs).length + 1) < others + 1;
    if (record.count >= OFFENCES_MAX && record.heldUntilMs <= nowMs && mayHold) {
      record.heldUntilMs = nowMs + QUARANTINE_MS;
      events.push({ type: "quarantined", member, ms: QUARANTINE_MS });
    }
    return events;
  }

  #forgetOld(nowMs: number): void {
    for (const [member, { sinceMs, heldUntilMs }] of this.#records) {
      // Who was held has its count still: the first offence afterwards is the last.
      if (nowMs - Math.max(sinceMs, heldUntilMs) > OFFENCE_MS) this.#records.delete(member);
    }
  }
}

/** Whether the message holds a version that no clock can have issued. */
export function hasForgedVersion(message: PeerMessage, wallMs: number): boolean {
  return newestVersionIn(message) > stampOf(wallMs + VERSION_AHEAD_MS);
}

function newestVersionIn(message: PeerMessage): number {
  switch (message.kind) {
    case "replicate":
      return Math.max(message.entry.version, message.over);
    case "replicated":
      return message.heldVersion;
    case "readReply": {
      const { entry, known, clearedVersion } = message;
      return Math.max(clearedVersion, entry === undefined ? 0 : entry.version, known?.version ?? 0);
    }
    case "clearReplica":
      return message.version;
    case "clearReplicaReply":
      return Math.max(message.newest, message.known);
    case "pulled": {
      let newest = 0;
      for (const { version } of message.entries) if (version > newest) newest = version;
      for (const version of message.floors) if (version > newest) newest = version;
      for (const version of message.cleared) if (version > newest) newest = version;
      return newest;
    }
    default:
      return 0;
  }
}
