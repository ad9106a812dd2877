// How a node finds the others, and finds them again. Three situations, one idea: somebody is tried again for ever.
//
// 1. While no other member is known, the seeds are asked for a full sync, 250 ms to 2 s apart.
// 2. Once some are known, each `healIntervalMs` one more is tried that is not in view: a dead member (never one that left or was
//    evicted) or a seed whose address no live member has. One try that gets through joins the two halves of a partition,
//    however long it lasted, because a member of the ring is never forgotten.
// 3. While alone, the operator is told so, at growing intervals.
// Source: serf's reconnect, ringpop's partition healing (docs/partitions.md).

import type { MemberId } from "../../base/ids.ts";
import type { Prng } from "../../base/prng.ts";

/** Pause after the first attempt to reach the seeds; doubles up to the longest. */
const SEED_BACKOFF_MS_MIN = 250;
const SEED_BACKOFF_MS_MAX = 2_000;
/** Seeds asked at once; further ones take their turn. */
const SEEDS_PER_ROUND_MAX = 8;
/** When alone for this long the operator is told; then at doubling intervals up to the longest. */
const WAITING_MS_MIN = 2_000;
const WAITING_MS_MAX = 60_000;

/** Whom to try: a known member, or whoever answers at a seed's address. */
export type Contact = { readonly member: MemberId } | { readonly seed: string };

/** See the top of the file. All times are monotonic milliseconds. */
export class Contacts {
  /** Without this node's own address. */
  readonly seeds: readonly string[];
  readonly #healIntervalMs: number;
  readonly #prng: Prng;
  #seedTurn = 0;
  #backoffMs = SEED_BACKOFF_MS_MIN;
  #seedsAtMs: number;
  #waitingMs = WAITING_MS_MIN;
  #waitingAtMs: number;
  #healAtMs: number;

  constructor(
    config: {
      readonly seeds: readonly string[];
      readonly selfAddress: string;
      readonly healIntervalMs: number;
    },
    prng: Prng,
    nowMs: number,
  ) {
    this.seeds = [...new Set(config.seeds)].filter((seed) => seed !== config.selfAddress);
    this.#healIntervalMs = config.healIntervalMs;
    this.#prng = prng;
    this.#seedsAtMs = nowMs;
    this.#waitingAtMs = nowMs + WAITING_MS_MIN;
    this.#healAtMs = nowMs + config.healIntervalMs * prng.float();
  }

  /** When the seeds are due next, for a node that knows nobody. */
  get aloneDeadlineMs(): number {
    return this.seeds.length === 0 ? Number.POSITIVE_INFINITY : Math.min(this.#seedsAtMs, this.#waitingAtMs);
  }

  /** When a further contact is due, given that there is someone to try. */
  get healDeadlineMs(): number {
    return this.#healAtMs;
  }

  /** Seeds to ask now, for a node that knows nobody: at most 8. */
  seedsDue(nowMs: number): readonly string[] {
    if (nowMs < this.#seedsAtMs) return [];
    // Up to a tenth more, so that nodes started together do not knock in step.
    this.#seedsAtMs = nowMs + this.#backoffMs * (1 + this.#prng.float() / 10);
    this.#backoffMs = Math.min(SEED_BACKOFF_MS_MAX, this.#backoffMs * 2);
    const count = Math.min(SEEDS_PER_ROUND_MAX, this.seeds.length);
    const first = this.#seedTurn;
    this.#seedTurn = (first + count) % Math.max(1, this.seeds.length);
    return Array.from({ length: count }, (_, index) => this.seeds[(first + index) % this.seeds.length]!);
  }

  /** Whether it is time to tell that this node still waits for its seeds. */
  isWaitingNewsDue(nowMs: number): boolean {
    if (nowMs < this.#waitingAtMs || this.seeds.length === 0) return false;
    this.#waitingMs = Math.min(WAITING_MS_MAX, this.#waitingMs * 2);
    this.#waitingAtMs = nowMs + this.#waitingMs;
    return true;
  }

  /** Somebody is known: the next time this node is alone it starts with short pauses again. */
  foundSomeone(nowMs: number): void {
    this.#backoffMs = SEED_BACKOFF_MS_MIN;
    this.#seedsAtMs = nowMs;
    this.#waitingMs = WAITING_MS_MIN;
    this.#waitingAtMs = nowMs + WAITING_MS_MIN;
  }

  /** This node stood still until now: nothing is overdue because of it. */
  resume(nowMs: number): void {
    this.#seedsAtMs = Math.max(this.#seedsAtMs, nowMs);
    this.#waitingAtMs = Math.max(this.#waitingAtMs, nowMs);
    this.#healAtMs = Math.max(this.#healAtMs, nowMs);
  }

  /** Seeds at whose addresses nobody is seen. */
  unseenSeeds(isSeen: (address: string) => boolean): readonly string[] {
    return this.seeds.filter((seed) => !isSeen(seed));
  }

  /** One of the dead or of the unseen seeds, picked at random, when it is time; `dead` in the order of ids. */
  healDue(dead: readonly MemberId[], unseen: readonly string[], nowMs: number): Contact | undefined {
    if (nowMs < this.#healAtMs) return undefined;
    this.#healAtMs = nowMs + this.#healIntervalMs;
    const index = this.#prng.below(Math.max(1, dead.length + unseen.length));
    const member = dead[index];
    if (member !== undefined) return { member };
    const seed = unseen[index - dead.length];
    return seed === undefined ? undefined : { seed };
  }
}
