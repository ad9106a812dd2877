// What must stay within its bound at every moment, whatever happens: memory, hints, requests under way.

import { Violation } from "../violation.ts";
import type { World } from "../world.ts";

/** @throws {Violation} when a running node is over a bound */
export function checkBounds(world: World): void {
  for (const node of world.running) {
    const { status, options } = node;
    if (status === undefined || options === undefined) continue;
    const { store, hints, pending } = status;
    const { hintsPerTargetMax, hintBytesPerTargetMax, pendingMax } = options.replication;
    const over = (what: string, value: number, max: number) => {
      if (value <= max) return;
      throw new Violation("bounds", `${node.id} has ${value} of ${max} ${what}`, world.queue.count);
    };
    over("store bytes", store.bytes, store.bytesMax);
    over("hint bytes", hints.bytes, 4 * hintBytesPerTargetMax);
    over("hints", hints.count, hintsPerTargetMax * world.nodes.size);
    over("requests", pending, pendingMax);
  }
}
