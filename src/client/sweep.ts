// Calls about all keys: they ask, for every slot, one of its replicas, grouped so that each node gets few requests. What a node could
// not answer is asked of the slots' other replicas, until the deadline.

import { setTimeout as pause } from "node:timers/promises";
import { CacheError } from "../base/errors.ts";
import type { Slot } from "../base/ids.ts";
import { isInRing } from "../core/messages.ts";
import { SCAN_KEYS_MAX, SLOTS_MAX } from "../wire/limits.ts";
import { storyOf } from "./call.ts";
import type { CallLimits, ClientDriver } from "./driver.ts";
import { allSlots, planSlots, type SlotBatch, type SlotQuestion, SlotWalk } from "./slot-walk.ts";

/** Between two rounds over what has failed: long enough for a link to be noticed as broken or made again. */
const ROUND_PAUSE_MS = 20;
/** How long after its first link a client waits for the others: links of one machine room take a few milliseconds. */
const FIRST_LINKS_MS_MAX = 500;
/** How often it is looked whether there are links, or a ring. */
const LOOK_MS = 2;

/**
 * Asks about all slots, the nodes in parallel, and repeats what failed elsewhere until the deadline. Holds the driver open meanwhile.
 *
 * @param ask Makes one call about one batch, as a part (`isPart`), and keeps its result.
 * @throws the last error when the deadline has passed, or the first that no other node can cure
 */
export async function sweepSlots(
  driver: ClientDriver,
  limits: CallLimits,
  ask: (batch: SlotBatch) => Promise<void>,
): Promise<void> {
  const release = driver.hold();
  try {
    await sweepInRounds(driver, limits, ask);
  } finally {
    release();
  }
}

async function sweepInRounds(...[driver, limits, ask]: Parameters<typeof sweepSlots>): Promise<void> {
  await firstRing(driver, limits);
  const avoided = new Set<string>();
  let left: readonly Slot[] = allSlots();
  for (;;) {
    const failed: Slot[] = [];
    let problem: unknown;
    const tries = planSlots(driver.core, left, avoided).map(async (batch) => {
      try {
        await ask(batch);
      } catch (error) {
        if (!isCurableElsewhere(error)) throw error;
        problem = error;
        avoided.add(batch.address);
        failed.push(...batch.slots);
      }
    });
    await allSettledOrFirstError(tries);
    if (failed.length === 0) return;
    if (driver.nowMs() + ROUND_PAUSE_MS >= limits.deadlineMs) throw withAllAddresses(driver, problem);
    await pause(ROUND_PAUSE_MS, undefined, { ref: true });
    limits.signal?.throwIfAborted();
    left = failed.sort((a, b) => a - b);
  }
}

/**
 * Makes one call for each run of slots, all at once: for what any node may do, and what must stay one operation however often it is repeated.
 *
 * @throws the first error, once all have ended
 */
export async function sweepInBatches(ask: (slots: readonly Slot[]) => Promise<void>): Promise<void> {
  const slots = allSlots();
  const tries: Promise<void>[] = [];
  for (let from = 0; from < slots.length; from += SLOTS_MAX)
    tries.push(ask(slots.slice(from, from + SLOTS_MAX)));
  await allSettledOrFirstError(tries);
}

/** Waits for all, so that nothing is left running behind a rejection, then throws the first error if there was one. */
async function allSettledOrFirstError(tries: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(tries)) {
    if (result.status === "rejected") throw result.reason;
  }
}

/** Whether the other replicas of the slots may do better. */
function isCurableElsewhere(error: unknown): boolean {
  if (!(error instanceof CacheError)) return false;
  return error.code === "ERR_UNREACHABLE" || error.details.elsewhere === true;
}

/** Each question was for one node. Where none can be reached, the error is about all of them. */
function withAllAddresses({ core }: ClientDriver, error: unknown): unknown {
  const isUnreachable = error instanceof CacheError && error.code === "ERR_UNREACHABLE";
  if (!isUnreachable || core.connected.length > 0) return error;
  const { failures } = core;
  const details = { ...error.details, failures };
  return new CacheError("ERR_UNREACHABLE", `No node could be reached (${storyOf(failures)})`, { details });
}

/** How `scanKeys` asks. */
export interface ScanOptions {
  readonly prefix: string;
  /** For each page of keys. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** All keys, a page at a time, in no particular order. A key that is there throughout is yielded at least once. */
export async function* scanKeys(
  driver: ClientDriver,
  options: ScanOptions,
): AsyncGenerator<readonly string[]> {
  const firstMs = driver.nowMs() + options.timeoutMs;
  await firstRing(driver, { deadlineMs: firstMs, signal: options.signal });
  await firstLinks(driver, firstMs);
  let deadlineMs = driver.nowMs() + options.timeoutMs;
  const walk = new SlotWalk(driver.core);
  for (let question = walk.question; question !== undefined; question = walk.question) {
    try {
      checkConnected(driver, question);
      const page = await scanPage(driver, question, { deadlineMs, options });
      walk.answered(page);
      if (page.keys.length > 0) yield page.keys;
      // Whoever reads the keys may take their time.
      deadlineMs = driver.nowMs() + options.timeoutMs;
    } catch (error) {
      const isOutOfTime = driver.nowMs() + ROUND_PAUSE_MS >= deadlineMs;
      if (!isCurableElsewhere(error) || isOutOfTime) throw withAllAddresses(driver, error);
      await pause(ROUND_PAUSE_MS);
      walk.failed();
    }
  }
}

/** A cache of a node that has just been opened anew does not know yet who has which slots, and whoever has none of them would count none. */
async function firstRing(driver: ClientDriver, { deadlineMs, signal }: CallLimits): Promise<void> {
  if (driver.core.view.ring !== undefined) return;
  // Nothing may have made it dial yet.
  driver.feed({ kind: "tick" });
  const isWaiting = () => driver.core.view.ring === undefined && driver.nowMs() < deadlineMs;
  while (isWaiting() && signal?.aborted !== true) await pause(LOOK_MS);
}

/**
 * A client that has just been made is connected to whoever answered first. Only the first replica of a slot lists it alone; others are asked in
 * several, and keys come more than once: that moment is waited for.
 */
async function firstLinks(driver: ClientDriver, deadlineMs: number): Promise<void> {
  const { core } = driver;
  const untilMs = Math.min(deadlineMs, driver.toldMs + FIRST_LINKS_MS_MAX);
  const isMissing = () =>
    core.view.members.some(
      ({ address, liveness, ringState }) =>
        liveness === "alive" && isInRing(ringState) && !core.isConnected(address),
    );
  while (driver.nowMs() < untilMs && isMissing()) await pause(LOOK_MS);
}

/** A question for one node would wait for it until the deadline, and others may be asked. @throws {CacheError} ERR_UNREACHABLE */
function checkConnected({ core }: ClientDriver, { address }: SlotQuestion): void {
  if (!core.isConnected(address)) throw new CacheError("ERR_UNREACHABLE", `${address} is not connected`);
}

async function scanPage(
  driver: ClientDriver,
  { address, slots, after, isAlone }: SlotQuestion,
  { deadlineMs, options }: { readonly deadlineMs: number; readonly options: ScanOptions },
): Promise<{ readonly keys: readonly string[]; readonly slotsDone: number; readonly after: string }> {
  const reply = await driver.call(
    { kind: "scan", target: address, slots, after, isAlone, prefix: options.prefix, limit: SCAN_KEYS_MAX },
    { deadlineMs, signal: options.signal },
  );
  const isProgress =
    reply.kind === "scanned" &&
    reply.slotsDone <= slots.length &&
    (reply.slotsDone > 0 || reply.after > after);
  if (reply.kind !== "scanned" || !isProgress) {
    throw new CacheError("ERR_PROTOCOL", `${address} does not get on with a scan`);
  }
  return reply;
}
