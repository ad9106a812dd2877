// This node's view: one record per known member, its own included, with what only this node knows of it (since when it is dead
// here, when it was last heard, who says that it is dead). Lists are always in the order of ids, so that a random pick from
// one depends on the generator alone.

import { assert } from "../../base/assert.ts";
import { compareIds, type MemberId } from "../../base/ids.ts";
import type { MemberRecord } from "../messages.ts";
import { isOut, isSameLiveness } from "./record.ts";
import type { Suspicion } from "./suspicion.ts";

/** Members in one view. Records of further members are ignored (and counted) until some are forgotten. */
export const MEMBERS_MAX = 4_096;

/** How long what left or was evicted is remembered, and a node that died before it ever was in the ring: 24 hours. */
export const TOMBSTONE_MS = 86_400_000;

/** Members that are remembered as saying "dead" of one other; enough for any quorum of observers asked for. */
const WITNESSES_MAX = 16;

/** One member as this node sees it. Times are monotonic milliseconds, `-Infinity` for never. */
export interface Member {
  record: MemberRecord;
  /** Since when the record says its present (generation, incarnation, liveness) here; pushed back by stalls. */
  livenessSinceMs: number;
  /** Since when it is `left` or `evicted` here. */
  outSinceMs: number;
  /** When it last spoke to this node itself. */
  heardMs: number;
  /** Who accused it, "" while alive: travels with the record. */
  accuser: MemberId | "";
  suspicion: Suspicion | undefined;
  /** Members that said it is dead in its present incarnation. At most 16. */
  readonly witnesses: Set<MemberId>;
  /** Last full sync asked of it, last `redial` of its link, last time it was told what is held against it, last urgent probe. */
  syncedMs: number;
  redialledMs: number;
  toldMs: number;
  urgentMs: number;
}

/** Notes that `witness` holds the member dead. Ignored past 16: no rule asks for more. */
export function addWitness(member: Member, witness: MemberId): void {
  if (witness !== member.record.id && member.witnesses.size < WITNESSES_MAX) member.witnesses.add(witness);
}

/** Since when the member need not be remembered; `Infinity` while it must be. */
export function forgettableSinceMs({ record, outSinceMs, livenessSinceMs }: Member): number {
  if (isOut(record.ringState)) return outSinceMs;
  const neverCame = record.ringState === "joining" && record.liveness === "dead";
  return neverCame ? livenessSinceMs : Number.POSITIVE_INFINITY;
}

/** The view. */
export class MemberTable {
  readonly #selfId: MemberId;
  readonly #members = new Map<MemberId, Member>();
  #version = 0;
  /** Members that are `left` or `evicted`. */
  #outCount = 0;
  /** In the order of ids; kept as members come and go, and not sorted anew: all of a large cluster comes at once. */
  readonly #all: Member[] = [];
  /** `undefined` when somebody came, went, or changed between the lists; and when any record changed. */
  #lists: Lists | undefined;
  #records: readonly MemberRecord[] | undefined;

  constructor(self: MemberRecord, nowMs: number) {
    this.#selfId = self.id;
    this.put(self, nowMs);
  }

  /** +1 whenever any record changed. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#members.size;
  }

  get self(): MemberRecord {
    const self = this.#members.get(this.#selfId);
    assert(self !== undefined, "own record in the table");
    return self.record;
  }

  get(id: MemberId): Member | undefined {
    return this.#members.get(id);
  }

  /** Stores a record that was merged with the one held, and keeps the local knowledge that still holds true. */
  put(record: MemberRecord, nowMs: number): Member {
    this.#version++;
    this.#records = undefined;
    const member = this.#members.get(record.id);
    if (member === undefined) return this.#insert(record, nowMs);
    const before = member.record;
    if (before.liveness !== record.liveness || isOut(before.ringState) !== isOut(record.ringState))
      this.#lists = undefined;
    member.record = record;
    this.#outCount += Number(isOut(record.ringState)) - Number(isOut(before.ringState));
    if (!isSameLiveness(before, record)) member.livenessSinceMs = nowMs;
    if (before.generation !== record.generation || before.incarnation !== record.incarnation) {
      member.witnesses.clear();
    }
    if (isOut(record.ringState) && (!isOut(before.ringState) || before.generation !== record.generation)) {
      member.outSinceMs = nowMs;
    }
    return member;
  }

  delete(id: MemberId): void {
    assert(id !== this.#selfId, "never to forget oneself");
    const member = this.#members.get(id);
    if (member === undefined) return;
    this.#members.delete(id);
    this.#all.splice(this.#placeOf(id), 1);
    this.#outCount -= Number(isOut(member.record.ringState));
    this.#version++;
    this.#lists = undefined;
    this.#records = undefined;
  }

  /** Everyone, this node and those that are out included: a live view. */
  all(): readonly Member[] {
    return this.#all;
  }

  /** Their records, same order. The same array until something changes. */
  records(): readonly MemberRecord[] {
    this.#records ??= Object.freeze(this.#all.map((member) => member.record));
    return this.#records;
  }

  /** Others of whom something is to be expected: not `left`, not `evicted`. */
  peers(): readonly Member[] {
    return this.#derived().peers;
  }

  /** Peers that are alive or suspect. */
  livePeers(): readonly Member[] {
    return this.#derived().livePeers;
  }

  /** Peers that are suspect. */
  suspects(): readonly Member[] {
    return this.#derived().suspects;
  }

  /** Peers that are dead. */
  deadPeers(): readonly Member[] {
    return this.#derived().deadPeers;
  }

  /** The n of the formulas: all members that are not out, dead or not. */
  get clusterSize(): number {
    return this.#members.size - this.#outCount;
  }

  #insert(record: MemberRecord, nowMs: number): Member {
    const member: Member = {
      record,
      livenessSinceMs: nowMs,
      outSinceMs: nowMs,
      heardMs: Number.NEGATIVE_INFINITY,
      accuser: "",
      suspicion: undefined,
      witnesses: new Set(),
      syncedMs: Number.NEGATIVE_INFINITY,
      redialledMs: Number.NEGATIVE_INFINITY,
      toldMs: Number.NEGATIVE_INFINITY,
      urgentMs: Number.NEGATIVE_INFINITY,
    };
    this.#members.set(record.id, member);
    this.#all.splice(this.#placeOf(record.id), 0, member);
    this.#lists = undefined;
    this.#outCount += Number(isOut(record.ringState));
    return member;
  }

  /** Where the member is among all, or would be. */
  #placeOf(id: MemberId): number {
    let low = 0;
    let high = this.#all.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareIds(this.#all[middle]!.record.id, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #derived(): Lists {
    if (this.#lists !== undefined) return this.#lists;
    const peers = this.#all.filter(({ record }) => record.id !== this.#selfId && !isOut(record.ringState));
    this.#lists = {
      peers,
      livePeers: peers.filter(({ record }) => record.liveness !== "dead"),
      suspects: peers.filter(({ record }) => record.liveness === "suspect"),
      deadPeers: peers.filter(({ record }) => record.liveness === "dead"),
    };
    return this.#lists;
  }
}

interface Lists {
  readonly peers: readonly Member[];
  readonly livePeers: readonly Member[];
  readonly suspects: readonly Member[];
  readonly deadPeers: readonly Member[];
}
