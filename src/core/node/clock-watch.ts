// Keeps this node's wall time with the cluster's, and says when it is too far off to give versions to writes.
//
// How far the others' clocks are is measured by heartbeats (links.ts); the correction is put into force here (cluster-time.ts), once
// per round of upkeep. Small differences are left alone: estimates are no better.

import type { ClusterTime } from "../cluster-time.ts";
import { CLOCKS_MIN, type PeerLinks } from "../links.ts";
import type { Now } from "../machine.ts";
import type { HybridClock } from "../replication/clock.ts";
import type { Outbox } from "../replication/outbox.ts";
import type { Cluster } from "./cluster.ts";

/** Wall clocks that differ by less from the cluster's are left alone: estimates are no better. */
const SKEW_DEAD_BAND_MS = 50;

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
  #skewMs = 0;
  #isOff = false;

  constructor(parts: ClockWatchParts) {
    this.#parts = parts;
  }

  /** What is added to this node's wall clock, in ms. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /** Puts what was measured into force. */
  review(): void {
    const { time, links, outbox, clockSkewMsMax } = this.#parts;
    const skewMs = links.clusterSkewMs() ?? (this.#isComparable ? undefined : 0);
    if (skewMs === undefined) {
      time.correct(undefined);
      return;
    }
    this.#skewMs = Math.abs(skewMs) > SKEW_DEAD_BAND_MS ? skewMs : 0;
    time.correct(this.#skewMs);
    const isOff = Math.abs(skewMs) > clockSkewMsMax;
    if (isOff === this.#isOff) return;
    this.#isOff = isOff;
    outbox.event({ type: "clockOff", skewMs: Math.round(skewMs), isOff });
  }

  /** Why this node must not give versions now; `undefined` when it may. */
  writeObstacle({ wallMs }: Now): string | undefined {
    if (this.#isOff) return "This node's clock is too far from the cluster's";
    // What it issued would be refused by the others, and stay here alone.
    const isAlone = this.#parts.cluster.ring?.members.length === 1;
    return !isAlone && this.#parts.clock.isBeyondBelief(wallMs)
      ? "This node's clock was set back"
      : undefined;
  }

  get #isComparable(): boolean {
    return (this.#parts.cluster.ring?.members.length ?? 0) >= CLOCKS_MIN;
  }
}
