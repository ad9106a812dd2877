// What the rebalance benchmark moves keys in: a cluster that nodes can be added to and removed from, and a client of it. One
// implementation for Ringhold, one for Redis Cluster.

import type { LoadTarget } from "../../cluster/load.ts";

/** How many keys of what size, on how many nodes. */
export interface SubjectOptions {
  readonly nodes: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** Copies of each key; Ringhold's `--replicas`, and masters' replicas plus one for Redis Cluster. */
  readonly copies: number;
  /** Milliseconds a call may take. */
  readonly callTimeoutMs: number;
}

/** The steps a scenario can take. `kill` ends a node with SIGKILL and waits until the others made its copies anew. */
export const STEPS = ["add", "remove", "kill"] as const;
export type Step = (typeof STEPS)[number];

/** What one step moved, and how long it took. */
export interface Moved {
  /** The node that came or went. */
  readonly node: string;
  /** Until a new process answered, or a dead one was given up: no key moves yet. 0 where there is nothing to wait for. */
  readonly startMs: number;
  /** From then until every key had all its copies where they belong. */
  readonly moveMs: number;
  /** Copies of keys that were received by nodes, repeats included; and bytes of keys and values. */
  readonly keysMoved: number;
  readonly bytesMoved: number;
  /** Copies of keys that change their node with this step, by the tables before and after; and the least that could. */
  readonly keysPlanned: number;
  readonly keysIdeal: number;
}

/** A cluster under test. */
export interface Subject {
  readonly name: string;
  /** What runs, for people: versions and settings that matter. */
  readonly description: string;
  /** Copies of each key. */
  readonly copies: number;
  readonly target: LoadTarget;
  /** Whether it can take the step at all. */
  can(step: Step): boolean;
  /** Takes the step and returns when it is over. */
  take(step: Step): Promise<Moved>;
  /** Waits until what a step leaves behind has been cleaned up, such as keys that moved away. Bounded. */
  untilTidy(): Promise<void>;
  /** Ends everything. Idempotent. */
  stop(): Promise<void>;
}
