// What must stay within its bound at every moment, whatever happens: memory, hints, requests under way.

import { SLOT_COUNT } from "../../../src/base/ids.ts";
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
    // A slot that was cleared is a hint as well, one for each target.
    over("hints", hints.count, (hintsPerTargetMax + SLOT_COUNT) * world.nodes.size);
    over("requests", pending, pendingMax);
  }
}
