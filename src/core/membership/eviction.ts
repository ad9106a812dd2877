// When a failure changes the ring. `dead` only moves traffic; a member loses its slots when it is evicted, and that is guarded,
// because a wrong eviction copies a share of all data for nothing. A member is evicted when, in the view of the one who does it:
//
// 1. It is in the ring and has been dead for `deadGraceMs`.
// 2. At least three members (all that are alive, where they are fewer) hold it dead in its present incarnation. A member
//    counts as such a witness when it said so itself: as the accuser in an update, or in a full sync. Who is missing is asked.
// 3. A strict majority of the ring is alive and answers now, this node being in it: a minority never evicts, and a 2|2 split neither.
// 4. This node is the lowest id of those alive and `active`, or of all that are alive where none is. The next in line takes
//    over after 10 s, and so on, in case the first does not see what it should.
// 5. The last eviction is `evictionSpacingMs` ago, and within 10 minutes at most a third of the ring's weight goes (one
//    member always may): when more is lost, a human should look before the rest is loaded with it.
//
// All that qualify go at once. A batch waits up to 5 s while others are suspect or about to qualify, so that the loss of a rack
// is one change of the ring and not ten ("almost everywhere agreement"). Source: Suresh et al., Stable and Consistent Membership at
// Scale with Rapid (2018), section 4.

import type { MemberId } from "../../base/ids.ts";
import type { MembershipOptions } from "../options.ts";

/** Distinct members that must hold a member dead. */
const WITNESSES_NEEDED = 3;
/** After this each next in line may evict as well. */
const TAKEOVER_MS = 10_000;
/** Longest a batch waits for others that may join it. */
const BATCH_WAIT_MS = 5_000;
/** Over this time at most a third of the weight is evicted. */
const BUDGET_WINDOW_MS = 600_000;
/** Evictions remembered for the budget; the oldest are forgotten past it. */
const EVICTIONS_MAX = 4_096;

/** A member of the ring, as the evictor sees it. */
export interface Candidate {
  readonly id: MemberId;
  readonly weight: number;
  readonly liveness: "alive" | "suspect" | "dead";
  readonly isActive: boolean;
  /** How long this node has seen it dead; 0 while it is not. */
  readonly deadForMs: number;
  /** Others that hold it dead. */
  readonly witnesses: ReadonlySet<MemberId>;
}

/** What to do now. */
export interface EvictionDecision {
  /** To be evicted, in one batch. */
  readonly evict: readonly MemberId[];
  /** Alive members whose word on a ripe candidate is missing. */
  readonly ask: readonly MemberId[];
}

const NOTHING: EvictionDecision = Object.freeze({ evict: Object.freeze([]), ask: Object.freeze([]) });

/** Decides on evictions; remembers those that happened and since when one could happen. */
export class EvictionGuard {
  readonly #options: MembershipOptions;
  readonly #self: MemberId;
  /** Evictions seen, whoever wrote them, oldest first. */
  #evictions: { readonly atMs: number; readonly weight: number }[] = [];
  /** Since when conditions 1 to 3 have held without a break. */
  #ripeSinceMs: number | undefined;

  constructor(self: MemberId, options: MembershipOptions) {
    this.#self = self;
    this.#options = options;
  }

  /** A member of the ring was evicted, by this node or another. */
  note(weight: number, nowMs: number): void {
    this.#evictions.push({ atMs: nowMs, weight });
    if (this.#evictions.length > EVICTIONS_MAX) this.#evictions.shift();
    this.#ripeSinceMs = undefined;
  }

  /** Gives back time in which this node stood still. */
  shift(ms: number): void {
    if (this.#ripeSinceMs !== undefined) this.#ripeSinceMs += ms;
  }

  /** Decides on the members of the ring (all of them, this node included, in the order of ids). */
  decide(ring: readonly Candidate[], nowMs: number): EvictionDecision {
    const alive = ring.filter(({ liveness }) => liveness === "alive");
    const dead = ring.filter(({ deadForMs }) => deadForMs >= this.#options.deadGraceMs);
    const isMajority = alive.length * 2 > ring.length && alive.some(({ id }) => id === this.#self);
    if (dead.length === 0 || !isMajority) return this.#pause(NOTHING);

    const missing = (candidate: Candidate) => this.#missingWitnesses(candidate, alive);
    const ripe = dead.filter((candidate) => missing(candidate).length === 0);
    const ask = [...new Set(dead.flatMap(missing))];
    if (ripe.length === 0) return this.#pause({ evict: [], ask });
    this.#ripeSinceMs ??= nowMs;

    const ripeForMs = nowMs - this.#ripeSinceMs;
    const active = alive.filter(({ isActive }) => isActive);
    const place = (active.length > 0 ? active : alive).findIndex(({ id }) => id === this.#self);
    const isMyTurn = place !== -1 && ripeForMs >= place * TAKEOVER_MS;
    const isBatchOpen = ripeForMs < BATCH_WAIT_MS && ripe.length < dead.length + this.#pendingIn(ring);
    if (!isMyTurn || isBatchOpen || this.#isTooSoon(nowMs)) return { evict: [], ask };
    return { evict: this.#withinBudget(ripe, ring, nowMs), ask };
  }

  #pause(decision: EvictionDecision): EvictionDecision {
    this.#ripeSinceMs = undefined;
    return decision;
  }

  /** Alive members that have not said it is dead, unless enough have. This node's own view counts. */
  #missingWitnesses(candidate: Candidate, alive: readonly Candidate[]): readonly MemberId[] {
    const silent = alive.filter(({ id }) => id !== this.#self && !candidate.witnesses.has(id));
    const needed = Math.min(WITNESSES_NEEDED, alive.length);
    return alive.length - silent.length >= needed ? [] : silent.map(({ id }) => id);
  }

  /** Members of the ring that may soon be ripe. */
  #pendingIn(ring: readonly Candidate[]): number {
    const soonMs = this.#options.deadGraceMs - BATCH_WAIT_MS;
    const isPending = ({ liveness, deadForMs }: Candidate) =>
      liveness === "suspect" ||
      (liveness === "dead" && deadForMs >= soonMs && deadForMs < this.#options.deadGraceMs);
    return ring.filter(isPending).length;
  }

  #isTooSoon(nowMs: number): boolean {
    const last = this.#evictions.at(-1);
    return last !== undefined && nowMs - last.atMs < this.#options.evictionSpacingMs;
  }

  /** The longest dead first, as many as the weight budget allows. */
  #withinBudget(ripe: readonly Candidate[], ring: readonly Candidate[], nowMs: number): readonly MemberId[] {
    this.#evictions = this.#evictions.filter(({ atMs }) => nowMs - atMs < BUDGET_WINDOW_MS);
    let gone = sum(this.#evictions);
    const total = gone + sum(ring);
    const evict: MemberId[] = [];
    for (const { id, weight } of [...ripe].sort((a, b) => b.deadForMs - a.deadForMs)) {
      if (gone > 0 && (gone + weight) * 3 > total) continue;
      gone += weight;
      evict.push(id);
    }
    return evict;
  }
}

function sum(items: readonly { readonly weight: number }[]): number {
  return items.reduce((total, { weight }) => total + weight, 0);
}
