// Hinted handoff: what a replica that could not be reached has missed, kept until it is back.
//
// A hint is only a name, the key: this node is a replica of it too, so the newest version is looked up in the store when the
// hint is replayed. That makes a hint some 350 bytes, coalesces any number of writes of a key into one, and never replays an
// old version. Hints never count towards a quorum and never slow or fail a write: past a bound, or past the window, the slot
// is marked for a sync instead, which the target then pulls by itself. So it is when the key is no longer held here at replay:
// its tombstone may have been dropped early, and the target would go on answering with what was deleted.
//
// A clear is kept as slots with a version. Any node coordinates it, and what it keeps for slots that are not its own would be missed for good
// when it is gone: nobody doubts those, for they were not shared with it. So every replica to which such a clear is news tells the others.
// What a coordinator keeps names the attempt, for a later one may have shut it out. It may have cleared nothing itself, nobody having told it
// in time that they had: it does once somebody has by the hint.
//
// Replay is paced by a window of unanswered messages, so a returning node is fed no faster than it answers. The window is small
// while callers have to wait here: they come first.

import { compareIds, type MemberId, type RingId, type Slot } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { ClearReplica, ClearReplicaReply, ReplicateReply } from "../messages.ts";
import type { ReplicationOptions } from "../options.ts";
import type { Store } from "../store/store.ts";
import type { ClusterView } from "./cluster-view.ts";
import { NO_OPERATION } from "./operations.ts";
import type { Outbox } from "./outbox.ts";

/** Accounted bytes of a hint beside its key: map entry, object, numbers; measured, with the map's room to grow. */
const HINT_OVERHEAD_BYTES = 320;
/** An unanswered hint is sent again after this. */
const REPLAY_TIMEOUT_MS = 1_000;
const CLEAR_SLOTS_MAX = 1_024;
/** Unanswered hints for one target while callers have to wait: they go on, and are no load worth speaking of. */
const BUSY_IN_FLIGHT_MAX = 4;
/** A target that must pull slots hears so no more often than this. */
const TELL_SPACING_MS = 10_000;

interface Hint {
  readonly key: string;
  readonly slot: Slot;
  readonly storedMs: number;
  /** When it was last sent; -Infinity when not under way. */
  sentMs: number;
}

/** A clear, and the attempt it is of; all zeros where it is told by a replica that holds it. */
export type ClearHint = Pick<ClearReplica, "version" | "opClient" | "opSeq" | "attempt">;

interface Target {
  readonly hints: Map<string, Hint>;
  bytes: number;
  /** Slots whose hints overflowed, grew too old or lost their entry: the target must pull them. Told again and again for as long as a hint would live. */
  readonly slotsToSync: Set<Slot>;
  overflowMs: number;
  toldMs: number;
  /** Slots cleared meanwhile. */
  readonly cleared: Map<Slot, ClearHint>;
  /** By message id. */
  readonly clearsInFlight: Map<number, { readonly message: ClearReplica; readonly sentMs: number }>;
  readonly inFlight: Map<number, { readonly key: string; readonly version: number; readonly sentMs: number }>;
  replayed: number;
}

/** The hints this node keeps for others. */
export class Hints {
  readonly #targets = new Map<MemberId, Target>();
  readonly #store: Store;
  readonly #view: ClusterView;
  readonly #outbox: Outbox;
  readonly #options: ReplicationOptions;
  readonly #nextId: () => number;
  readonly #givesWay: (now: Now) => boolean;
  readonly #repair: (key: string, now: Now) => void;
  readonly #clearOwn: (message: ClearReplica, now: Now) => void;
  #bytes = 0;

  constructor(parts: {
    readonly store: Store;
    readonly view: ClusterView;
    readonly outbox: Outbox;
    readonly options: ReplicationOptions;
    readonly nextId: () => number;
    /** Whether callers have to wait on this node now: then fewer hints are on their way. */
    givesWay(now: Now): boolean;
    /** Makes the replicas of a key agree. */
    repair(key: string, now: Now): void;
    /** Clears this node's own copies. */
    clearOwn(message: ClearReplica, now: Now): void;
  }) {
    this.#store = parts.store;
    this.#view = parts.view;
    this.#outbox = parts.outbox;
    this.#options = parts.options;
    this.#nextId = parts.nextId;
    this.#givesWay = parts.givesWay;
    this.#repair = parts.repair;
    this.#clearOwn = parts.clearOwn;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    let count = 0;
    for (const target of this.#targets.values()) count += target.hints.size + target.cleared.size;
    return count;
  }

  /** Remembers that `member` has not got `key`'s version. Past the bounds the whole slot is marked instead. */
  add(member: MemberId, hint: { readonly key: string; readonly slot: Slot }, now: Now): void {
    const target = this.#target(member);
    if (target.slotsToSync.has(hint.slot)) {
      // What it was told of the slot before does not tell it of this.
      target.overflowMs = now.monoMs;
      return;
    }
    if (target.hints.has(hint.key)) return;
    const bytes = bytesOf(hint.key);
    const { hintsPerTargetMax, hintBytesPerTargetMax } = this.#options;
    const isFull = target.hints.size >= hintsPerTargetMax || target.bytes + bytes > hintBytesPerTargetMax;
    const isOver = this.#bytes + bytes > 4 * hintBytesPerTargetMax;
    // Hints share the budget of entries, and may not push out more than a part of them.
    if (isFull || isOver || !this.#store.reserve(this.#bytes + bytes)) {
      this.#overflow(member, target, hint.slot, "overflow", now);
      return;
    }
    target.hints.set(hint.key, { ...hint, storedMs: now.monoMs, sentMs: Number.NEGATIVE_INFINITY });
    target.bytes += bytes;
    this.#bytes += bytes;
    this.#outbox.event({ type: "hintStored", target: member });
  }

  /** Remembers that `member` has not heard that the slot was cleared. At most one per slot. */
  addClear(member: MemberId, slot: Slot, clear: ClearHint): void {
    const { cleared } = this.#target(member);
    if (clear.version >= (cleared.get(slot)?.version ?? 0)) cleared.set(slot, clear);
  }

  /**
   * This node has just cleared these slots by the member's word. Tells the other replicas of those of which that member is none; it may have
   * missed them, and be gone before they answer.
   */
  keepClears(from: MemberId, slots: readonly Slot[], version: number): void {
    const { ring, self } = this.#view;
    for (const slot of slots) {
      const list = ring?.preferenceList(slot) ?? [];
      if (list.includes(from) || !list.includes(self)) continue;
      for (const member of list)
        if (member !== self) this.addClear(member, slot, { version, ...NO_OPERATION });
    }
  }

  /** Whether nothing is left for the member; and the slots it must pull itself. */
  drain(member: MemberId): { readonly isDrained: boolean; readonly slots: readonly Slot[] } {
    const target = this.#targets.get(member);
    if (target === undefined) return { isDrained: true, slots: [] };
    const slots = [...target.slotsToSync].sort((a, b) => a - b);
    return { isDrained: target.hints.size === 0 && target.cleared.size === 0, slots };
  }

  /** Sends what the window allows to every target that can be reached; drops what is for members that are gone. */
  replay(now: Now): void {
    for (const [member, target] of this.#targets) {
      if (!this.#view.isMember(member)) {
        this.#forget(member, target);
        continue;
      }
      this.#expire(member, target, now);
      if (!this.#view.isUsable(member)) continue;
      this.#tellSlots(member, target, now);
      this.#replayTo(member, target, now);
    }
  }

  /** The target may not know that it missed anything, so it is told without being asked. */
  #tellSlots(member: MemberId, target: Target, now: Now): void {
    if (target.slotsToSync.size === 0 || now.monoMs - target.toldMs < TELL_SPACING_MS) return;
    target.toldMs = now.monoMs;
    const { isDrained, slots } = this.drain(member);
    this.#outbox.peer(member, { kind: "catchUpReply", id: 0, isDrained, slots });
  }

  #replayTo(member: MemberId, target: Target, now: Now): void {
    const ring = this.#view.ring;
    if (ring === undefined) return;
    for (const [id, sent] of target.inFlight) {
      if (now.monoMs - sent.sentMs > REPLAY_TIMEOUT_MS) target.inFlight.delete(id);
    }
    if (target.cleared.size > 0) this.#replayClears(member, target, ring.id, now);
    const { hintsInFlightMax } = this.#options;
    const inFlightMax = this.#givesWay(now)
      ? Math.min(BUSY_IN_FLIGHT_MAX, hintsInFlightMax)
      : hintsInFlightMax;
    for (const hint of target.hints.values()) {
      if (target.inFlight.size >= inFlightMax) break;
      if (now.monoMs - hint.sentMs <= REPLAY_TIMEOUT_MS) continue;
      const entry = this.#store.peek(hint.slot, hint.key);
      if (entry === undefined || !ring.isReplica(hint.slot, member)) {
        this.#remove(target, hint.key);
        if (ring.isReplica(hint.slot, member)) this.#markForSync(target, hint.slot, now);
        continue;
      }
      hint.sentMs = now.monoMs;
      const id = this.#nextId();
      target.inFlight.set(id, { key: hint.key, version: entry.version, sentMs: now.monoMs });
      this.#outbox.peer(member, {
        kind: "replicate",
        id,
        ringId: ring.id,
        purpose: "hint",
        entry,
        over: entry.version - 1,
        notAfter: 0,
      });
    }
    this.#maybeForget(member, target);
  }

  /** One message per version and at most 1,024 slots; sent again until acknowledged. */
  #replayClears(member: MemberId, target: Target, ringId: RingId, now: Now): void {
    for (const [id, sent] of target.clearsInFlight) {
      if (now.monoMs - sent.sentMs > REPLAY_TIMEOUT_MS) target.clearsInFlight.delete(id);
    }
    if (target.clearsInFlight.size > 0) return;
    const byVersion = new Map<number, { readonly clear: ClearHint; readonly slots: Slot[] }>();
    for (const [slot, clear] of target.cleared) {
      const group = byVersion.get(clear.version) ?? { clear, slots: [] };
      // Another attempt's goes with the next round.
      if (group.slots.length < CLEAR_SLOTS_MAX && isSameClear(group.clear, clear)) group.slots.push(slot);
      byVersion.set(clear.version, group);
    }
    for (const { clear, slots } of byVersion.values()) {
      slots.sort((a, b) => a - b);
      const id = this.#nextId();
      const { version, opClient, opSeq, attempt } = clear;
      const operation = { opClient, opSeq, attempt, begunAt: 0 };
      const message = { kind: "clearReplica", id, ringId, slots, version, ...operation } as const;
      target.clearsInFlight.set(id, { message, sentMs: now.monoMs });
      this.#outbox.peer(member, message);
    }
  }

  /** An answer to a replayed clear. Returns false when the message was not one of ours. */
  clearReplied(from: MemberId, reply: ClearReplicaReply, now: Now): boolean {
    const target = this.#targets.get(from);
    const message = target?.clearsInFlight.get(reply.id)?.message;
    if (target === undefined || message === undefined) return false;
    target.clearsInFlight.delete(reply.id);
    if (reply.status !== "ring") {
      for (const slot of message.slots) {
        const clear = target.cleared.get(slot);
        if (clear !== undefined && isSameClear(clear, message)) target.cleared.delete(slot);
      }
    }
    if (reply.status === "fenced") this.#tellOwn(from, message);
    else if (reply.status === "ok") this.#followClear(message, now);
    this.#maybeForget(from, target);
    return true;
  }

  /** The clear that a later attempt has shut out may have come in place of an earlier one, which this node has cleared by. */
  #tellOwn(member: MemberId, { slots, version }: ClearReplica): void {
    for (const slot of slots) {
      const own = this.#store.clearedVersion(slot);
      if (own > 0 && own < version) this.addClear(member, slot, { version: own, ...NO_OPERATION });
    }
  }

  /** Where this node has not cleared its own copy, because nobody else had. */
  #followClear(message: ClearReplica, now: Now): void {
    const { ring, self } = this.#view;
    const slots = message.slots.filter(
      (slot) => ring?.isReplica(slot, self) === true && message.version > this.#store.clearedVersion(slot),
    );
    if (slots.length > 0) this.#clearOwn({ ...message, slots }, now);
  }

  /** An answer to a replayed hint. Returns false when the message was not one of ours. */
  replicated(from: MemberId, reply: ReplicateReply, now: Now): boolean {
    const target = this.#targets.get(from);
    const sent = target?.inFlight.get(reply.id);
    if (target === undefined || sent === undefined) return false;
    target.inFlight.delete(reply.id);
    const hint = target.hints.get(sent.key);
    if (hint !== undefined) {
      hint.sentMs = Number.NEGATIVE_INFINITY;
      // The target holds something that this node, which kept the hint, has never seen.
      if (reply.status === "newer" && reply.heldVersion > sent.version) this.#repair(sent.key, now);
      const isDone = reply.status !== "clock" && reply.status !== "late" && reply.status !== "ring";
      const held = this.#store.head(hint.slot, hint.key);
      if (isDone && (held === undefined || held.version <= sent.version)) {
        this.#remove(target, sent.key);
        target.replayed++;
      } else {
        // Written again meanwhile, or refused for now: goes out with the next window.
        hint.sentMs = isDone ? Number.NEGATIVE_INFINITY : now.monoMs;
      }
    }
    this.#replayTo(from, target, now);
    return true;
  }

  #expire(member: MemberId, target: Target, now: Now): void {
    // What it was told may have been lost with its link.
    const isTold = target.toldMs > target.overflowMs && this.#view.isUsable(member);
    if (isTold && now.monoMs - target.overflowMs > this.#options.hintWindowMs) target.slotsToSync.clear();
    // Insertion order is age order: the first young hint ends the search.
    for (const hint of target.hints.values()) {
      if (now.monoMs - hint.storedMs <= this.#options.hintWindowMs) return;
      this.#remove(target, hint.key);
      this.#overflow(member, target, hint.slot, "expired", now);
    }
  }

  #overflow(member: MemberId, target: Target, slot: Slot, reason: "overflow" | "expired", now: Now): void {
    this.#markForSync(target, slot, now);
    this.#outbox.event({ type: "hintsDropped", target: member, count: 1, reason });
  }

  #markForSync(target: Target, slot: Slot, now: Now): void {
    target.slotsToSync.add(slot);
    target.overflowMs = now.monoMs;
  }

  #forget(member: MemberId, target: Target): void {
    this.#giveBack(target.bytes);
    this.#targets.delete(member);
    if (target.hints.size === 0) return;
    this.#outbox.event({ type: "hintsDropped", target: member, count: target.hints.size, reason: "gone" });
  }

  #maybeForget(member: MemberId, target: Target): void {
    if (target.hints.size > 0 || target.cleared.size > 0 || target.slotsToSync.size > 0) return;
    if (target.replayed > 0)
      this.#outbox.event({ type: "hintsReplayed", target: member, count: target.replayed });
    this.#targets.delete(member);
  }

  #remove(target: Target, key: string): void {
    if (!target.hints.delete(key)) return;
    target.bytes -= bytesOf(key);
    this.#giveBack(bytesOf(key));
  }

  #giveBack(bytes: number): void {
    this.#bytes -= bytes;
    this.#store.reserve(this.#bytes);
  }

  #target(member: MemberId): Target {
    let target = this.#targets.get(member);
    if (target === undefined) {
      target = {
        hints: new Map(),
        bytes: 0,
        slotsToSync: new Set(),
        overflowMs: 0,
        toldMs: Number.NEGATIVE_INFINITY,
        cleared: new Map(),
        clearsInFlight: new Map(),
        inFlight: new Map(),
        replayed: 0,
      };
      this.#targets.set(member, target);
    }
    return target;
  }

  /** Targets with something left, for a status page; sorted. */
  targets(): readonly MemberId[] {
    return [...this.#targets.keys()].sort(compareIds);
  }
}

function bytesOf(key: string): number {
  return key.length * 2 + HINT_OVERHEAD_BYTES;
}

function isSameClear(a: ClearHint, b: ClearHint): boolean {
  const isSameOperation = a.opClient === b.opClient && a.opSeq === b.opSeq && a.attempt === b.attempt;
  return isSameOperation && a.version === b.version;
}
