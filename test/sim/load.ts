// Keys that are written once, before the trouble begins, and then only read: the plainest loss there could be.

import type { ReadMode, WriteMode } from "../../src/core/messages.ts";
import type { Operation } from "./client-adapter.ts";
import type { ClientProcess } from "./client-process.ts";
import { describeRecorded, type Recorded } from "./history.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** Writes `count` keys `keep-r0`, `keep-r1`... and waits until all are acknowledged. */
export function loadKeys(
  world: World,
  client: ClientProcess,
  count: number,
  write: WriteMode = "quorum",
): void {
  const operations = Array.from(
    { length: count },
    (_, index): Operation => ({
      f: "set",
      key: `keep-r${index}`,
      value: `kept:${index}`,
      write,
      ttlMs: 0,
      condition: "none",
    }),
  );
  const failed = callAll(world, client, operations).filter(({ type }) => type !== "ok");
  if (failed[0] !== undefined) {
    throw new Violation("availability", `loading failed: ${describeRecorded(failed[0])}`, world.queue.count);
  }
}

/** Reads every loaded key; returns the operations that did not return its value. */
export function readLoadedKeys(
  world: World,
  client: ClientProcess,
  options: { count: number; read: ReadMode },
): Recorded[] {
  const operations = Array.from(
    { length: options.count },
    (_, index): Operation => ({ f: "get", key: `keep-r${index}`, read: options.read }),
  );
  return callAll(world, client, operations).filter(
    ({ operation, value }) => `kept:${operation.key.slice("keep-r".length)}` !== value,
  );
}

/** Begins to read every loaded key, and does not wait: what comes back is judged with the rest of the history. */
export function beginReadingLoadedKeys(
  world: World,
  client: ClientProcess,
  count: number,
  name: string,
): void {
  const keys = Array.from({ length: count }, (_, index) => `keep-r${index}`);
  const recorded = keys.map((key, index) =>
    world.history.begin(`${name}/${index}`, client.host, { f: "get", key, read: "quorum" }, world.nowMs),
  );
  client.getMany(keys, { read: "quorum", timeoutMs: 5000 }, (index, settled) =>
    world.history.end(recorded[index]!, settled, world.nowMs),
  );
}

/** Carries out the operations, all under way at once, each under its own caller's name, and waits for the last. */
function callAll(world: World, client: ClientProcess, operations: readonly Operation[]): Recorded[] {
  let left = operations.length;
  const all = operations.map((operation) => {
    const recorded = world.history.begin(`${client.host}/${left}`, client.host, operation, world.nowMs);
    client.call(operation, 5000, (settled) => {
      left--;
      world.history.end(recorded, settled, world.nowMs);
    });
    return recorded;
  });
  world.await("the calls to settle", () => left === 0, 6000);
  return all;
}
