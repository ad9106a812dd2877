// Keeps this node's wall time with the cluster's, and says when it is too far off to give versions to writes.
//
// How far the others' clocks are is measured by heartbeats (links.ts); the correction is put into force here (cluster-time.ts), once
// per round of upkeep. Small differences are left alone: estimates are no better.
//
// A process that has just started gives no versions and no times to live, answers no reads and takes in no copies before it has compared its clock,
// which takes one heartbeat; or for a second, where there is nobody to compare it with. By a clock hours ahead all that has a time to live
// is expired, and what it told the other replicas of that would cost theirs, too.

import type { ClusterTime } from "../cluster-time.ts";
import { CLOCKS_MIN, type PeerLinks } from "../links.ts";
import type { Now } from "../machine.ts";
import type { HybridClock } from "../replication/clock.ts";
import type { Outbox } from "../replication/outbox.ts";
import type { Cluster } from "./cluster.ts";

/** Wall clocks that differ by less from the cluster's are left alone: estimates are no better. */
const SKEW_DEAD_BAND_MS = 50;

/** How long a process that has started waits for others to compare its clock with. */
const FIRST_COMPARISON_MS_MAX = 1_000;

/** What the watch compares and corrects. */
export interface ClockWatchParts {
  readonly time: ClusterTime;
  readonly links: PeerLinks;
  readonly clock: HybridClock;
  readonly cluster: Cluster;
  readonly outbox: Outbox;
  /** Milliseconds by which a clock may be off before its node takes no more writes. */
  readonly clockSkewMsMax: number;
}

/** See the top of the file. */
export class ClockWatch {
  readonly #parts: ClockWatchParts;
  readonly #startedMs: number;
  #isOff = false;
  #isCompared = false;

  constructor(parts: ClockWatchParts, now: Now) {
    this.#parts = parts;
    this.#startedMs = now.monoMs;
  }

  /** What is added to this node's wall clock, in ms. */
  get skewMs(): number {
    return this.#parts.time.skewMs;
  }

  /** Others were heard: the first comparison is put into force at once. Returns whether it has just been. */
  heard(): boolean {
    if (this.#isCompared || this.#parts.links.clusterSkewMs() === undefined) return false;
    this.review();
    return true;
  }

  /** Whether this node's time may be gone by: it has been compared, or there is nobody to compare it with. */
  isTimeKnown(now: Now): boolean {
    if (!this.#isComparable) return true;
    if (!this.#parts.time.isKnown(now)) return false;
    return this.#isCompared || now.monoMs >= this.#startedMs + FIRST_COMPARISON_MS_MAX;
  }

  /** Puts what was measured into force. */
  review(): void {
    const { time, links, outbox, clockSkewMsMax } = this.#parts;
    const measuredMs = links.clusterSkewMs();
    if (measuredMs !== undefined) {
      this.#isCompared = true;
      time.correct(Math.abs(measuredMs) > SKEW_DEAD_BAND_MS ? measuredMs : 0);
    } else if (this.#isComparable) {
      time.correct(undefined);
      return;
    } else {
      time.trustOwn();
    }
    const { skewMs } = time;
    const isOff = Math.abs(skewMs) > clockSkewMsMax;
    if (isOff === this.#isOff) return;
    this.#isOff = isOff;
    outbox.event({ type: "clockOff", skewMs: Math.round(skewMs), isOff });
  }

  /** Why this node must not judge what has expired now; `undefined` when it may. */
  readObstacle(now: Now): string | undefined {
    return this.isTimeKnown(now) ? undefined : "This node has not compared its clock with the others' yet";
  }

  /** Why this node must not give versions now; `undefined` when it may. */
  writeObstacle(now: Now): string | undefined {
    if (this.#isOff) return "This node's clock is too far from the cluster's";
    const obstacle = this.readObstacle(now);
    if (obstacle !== undefined) return obstacle;
    // What it issued would be refused by the others, and stay here alone.
    const isAlone = this.#parts.cluster.ring?.members.length === 1;
    return !isAlone && this.#parts.clock.isBeyondBelief(now.wallMs)
      ? "This node's clock was set back"
      : undefined;
  }

  get #isComparable(): boolean {
    return (this.#parts.cluster.ring?.members.length ?? 0) >= CLOCKS_MIN;
  }
}
