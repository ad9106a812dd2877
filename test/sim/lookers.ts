// Callers of what the other callers do not do: they walk over all keys, count them, and give keys of their own new times to live. They have a
// client and generators of their own, so that a seed with them has the luck that it would have without.

import type { Prng } from "../../src/base/prng.ts";
import { checkCount, checkScan, checkTouched } from "./checkers/lookers.ts";
import type { Operation, Settled } from "./client-adapter.ts";
import type { ClientProcess } from "./client-process.ts";
import { describeRecorded, type Recorded } from "./history.ts";
import { prngFor } from "./randomness.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** Half of the seeds have lookers. */
export function drawsLookers(seed: number): boolean {
  return prngFor(seed, "lookers").chance(0.5);
}

const NAME = "look";
const TIMEOUT_MS = 2_000;
/** Times to live are long against what clocks may be off, so that a missing value means something. */
const TTL_MS_MIN = 1_500;
const TTL_MS_MORE = 4_000;
/** Longest that a looker waits between two calls. */
const PAUSE_MS_MAX = 400;

/** How often the last questions are asked at most. */
const ASKED_MAX = 3;

/** Starts a looker of all keys and one of its own key; they end when the world's workloads are drained. */
export class Lookers {
  readonly #world: World;
  readonly #client: ClientProcess;
  readonly #chance: Prng;
  /** The key whose times are changed; a new one after each outcome that is unknown. */
  #lives = 0;
  #values = 0;
  #isStopped = false;
  #active = 0;

  constructor(world: World) {
    this.#world = world;
    this.#client = world.startClient(`${NAME}er`);
    this.#chance = prngFor(world.seed, "lookers' calls");
    this.#walk();
    this.#touch();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Calls under way. */
  get active(): number {
    return this.#active;
  }

  #walk(): void {
    const f = this.#chance.chance(0.7) ? "scan" : "count";
    this.#call("walker", { f, key: "" }, () => this.#walk());
  }

  #touch(): void {
    const key = `${NAME}-x${this.#lives}`;
    const ttlMs = TTL_MS_MIN + this.#chance.below(TTL_MS_MORE);
    const value = `${NAME}:${++this.#values}`;
    const operations: readonly Operation[] = [
      { f: "set", key, value, write: "quorum", ttlMs, condition: "none" },
      { f: "touch", key, ttlMs, write: "quorum" },
      { f: "touch", key, ttlMs, write: "quorum" },
      { f: "get", key, read: "quorum" },
      { f: "get", key, read: "quorum" },
      { f: "delete", key, write: "quorum" },
    ];
    this.#call("toucher", this.#chance.pick(operations)!, ({ type }) => {
      if (type === "info") this.#lives++;
      this.#touch();
    });
  }

  #call(caller: string, operation: Operation, next: (recorded: Recorded) => void): void {
    const { queue, history } = this.#world;
    // Now and then long enough for a time to live to end.
    const pauseMs = this.#chance.below(this.#chance.chance(0.1) ? 8_000 : PAUSE_MS_MAX);
    queue.after(pauseMs, () => {
      if (this.#isStopped) return;
      const recorded = history.begin(
        `${NAME} ${caller} ${this.#lives}`,
        this.#client.host,
        operation,
        queue.nowMs,
      );
      this.#active++;
      this.#client.call(operation, TIMEOUT_MS, (settled) => {
        this.#active--;
        history.end(recorded, settled, queue.nowMs);
        next(recorded);
      });
    });
  }
}

/** What lookers saw during a run. @throws {Violation} */
export function judgeLookers(operations: readonly Recorded[], isEvicting: boolean): void {
  const touched = new Map<string, Recorded[]>();
  for (const recorded of operations) {
    const { key, f } = recorded.operation;
    if (f === "scan" && !isEvicting) checkScan(recorded, operations);
    if (f === "count") checkCount(recorded, operations);
    if (!key.startsWith(`${NAME}-x`)) continue;
    const list = touched.get(key);
    if (list === undefined) touched.set(key, [recorded]);
    else list.push(recorded);
  }
  for (const list of touched.values()) checkTouched(list, { isEvicting });
}

/**
 * At rest a walk finds exactly what is there, and the count says how much that is, but for what expires. `isEvicting`: a quorum gives up what
 * most replicas have evicted, and the first one may hold it still.
 *
 * @throws {Violation}
 */
export function checkLookersAtRest(world: World, isEvicting: boolean): void {
  const client = world.startClient(`${NAME}-last`);
  // The network may hold a link up for long enough to be given up even then: who asks again is answered.
  const ask = (operation: Operation): Extract<Settled, { ok: true }> => {
    let why = "";
    for (let asked = 0; asked < ASKED_MAX; asked++) {
      const settled = settle(world, client, operation);
      if (settled.ok) return settled;
      why = `${settled.code} ${settled.message}`;
    }
    throw new Violation("liveness", `the last ${operation.f} failed: ${why}`, world.queue.count);
  };
  // Until it has an answer a client does not know the ring.
  ask({ f: "get", key: `${NAME}-x0`, read: "quorum" });
  const found = new Set(ask({ f: "scan", key: "" }).keys);
  const count = Number(ask({ f: "count", key: "" }).outcome);
  let expiring = 0;
  for (const [key, list] of world.history.byKey()) {
    if (list.some(({ operation }) => "ttlMs" in operation && operation.ttlMs > 0)) {
      expiring++;
      continue;
    }
    // The last read of each key came when all was quiet.
    const last = list.findLast(({ operation, type }) => operation.f === "get" && type === "ok");
    const isGivenUp = isEvicting && last?.value === undefined;
    if (last !== undefined && !isGivenUp && found.has(key) !== (last.value !== undefined)) {
      const text = found.has(key) ? "was found by a walk" : "was not found by a walk";
      throw new Violation(
        "a walk finds what is there",
        `${key} ${text}: ${describeRecorded(last)}`,
        world.queue.count,
      );
    }
  }
  if (Math.abs(count - found.size) > expiring) {
    const text = `${count} keys were counted, ${found.size} found, and ${expiring} may expire`;
    throw new Violation("a count is right at rest", text, world.queue.count);
  }
}

function settle(world: World, client: ClientProcess, operation: Operation): Settled {
  const settled: Settled[] = [];
  client.call(operation, 5_000, (result) => settled.push(result));
  world.await(`the last ${operation.f}`, () => settled.length > 0, 6_000);
  return settled[0]!;
}
