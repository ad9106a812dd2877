// How long a suspect may take to answer before it is declared dead (Lifeguard's LHA-Suspicion). One accuser may itself be the
// sick one, so its word alone gives the suspect the longest time; every further independent accuser shortens it, fast at
// first, down to the shortest time once K others agree:
//
//   min = suspicionMult x max(1, log10 n) x probeInterval        max = suspicionMaxMult x min
//   timeout(c) = max - (max - min) x ln(c + 1) / ln(K + 1)        c = accusers after the first, at most K
//   K = suspicionMult - 2, or 0 when fewer than K others could agree; with K = 0 the timeout is min
//
// Source: Lifeguard section 4; memberlist suspicion.go and util.go (log10, not ln).

import type { MemberId } from "../../base/ids.ts";
import type { MembershipOptions } from "../options.ts";

/** The three numbers of the formula. */
export interface SuspicionTimes {
  readonly minMs: number;
  readonly maxMs: number;
  /** K: accusers after the first that shorten the time. */
  readonly confirmationsMax: number;
}

/** The times that go with a cluster of `members` (this node and the suspect included). */
export function suspicionTimes(members: number, options: MembershipOptions): SuspicionTimes {
  const minMs =
    options.suspicionMult * Math.max(1, Math.log10(Math.max(1, members))) * options.probeIntervalMs;
  const wanted = Math.max(0, options.suspicionMult - 2);
  const confirmationsMax = members - 2 < wanted ? 0 : wanted;
  return { minMs, maxMs: minMs * options.suspicionMaxMult, confirmationsMax };
}

/** The formula: how long a suspicion lasts that `confirmations` further members share. */
export function suspicionTimeoutMs(times: SuspicionTimes, confirmations: number): number {
  if (times.confirmationsMax === 0) return times.minMs;
  const share = Math.log(confirmations + 1) / Math.log(times.confirmationsMax + 1);
  return Math.max(times.minMs, times.maxMs - (times.maxMs - times.minMs) * share);
}

/** One running suspicion. Remembers at most K + 1 accusers. */
export class Suspicion {
  readonly #times: SuspicionTimes;
  readonly #accusers: Set<MemberId>;
  #startMs: number;
  #isPostponed = false;
  #notBeforeMs = 0;

  constructor(times: SuspicionTimes, accuser: MemberId, nowMs: number) {
    this.#times = times;
    this.#accusers = new Set([accuser]);
    this.#startMs = nowMs;
  }

  /** Monotonic instant at which the suspect is dead unless it refuted. */
  get deadlineMs(): number {
    const timeoutMs = suspicionTimeoutMs(this.#times, this.#accusers.size - 1);
    return Math.max(this.#startMs + timeoutMs, this.#notBeforeMs);
  }

  /** Who accused it so far, in order of arrival. */
  get accusers(): ReadonlySet<MemberId> {
    return this.#accusers;
  }

  /** Counts a further accuser. False when it said so before or K others already agree: then the news need not travel on. */
  confirm(accuser: MemberId, nowMs: number): boolean {
    if (this.#accusers.has(accuser) || this.#accusers.size > this.#times.confirmationsMax) return false;
    this.#accusers.add(accuser);
    // The shorter time may be over already: it ends now, not in the past, or it would look as if this node were late.
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs);
    return true;
  }

  /** Gives back time in which this node could not have heard an answer. */
  shift(ms: number): void {
    this.#startMs += ms;
  }

  /** Puts the end off to `untilMs`, once in its life: a node that is always late must still be able to decide. */
  postpone(untilMs: number): void {
    if (this.#isPostponed) return;
    this.#isPostponed = true;
    this.#notBeforeMs = Math.max(this.#notBeforeMs, untilMs);
  }
}
