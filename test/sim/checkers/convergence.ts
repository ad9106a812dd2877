// After quiet, every natural replica of a key holds the same version of it.

import { slotOfKey } from "../../../src/base/hash.ts";
import type { Entry } from "../../../src/core/messages.ts";
import { EPOCH_MS } from "../clock.ts";
import type { World } from "../world.ts";

/**
 * Keys whose natural replicas differ, with what each holds. Meant for a settled cluster.
 *
 * @param isEvicting Whether holding nothing agrees with everything.
 */
export function findDivergence(world: World, keys: Iterable<string>, isEvicting: boolean): string[] {
  const ringId = world.running[0]?.ringId ?? "";
  const divergent: string[] = [];
  for (const key of keys) {
    const held = world.rings.replicasOf(ringId, key).map((id) => {
      const entry = world.nodes.get(id)?.store?.peek(slotOfKey(key), key);
      return { id, text: describeEntry(entry, EPOCH_MS + world.nowMs) };
    });
    const telling = isEvicting ? held.filter(({ text }) => text !== NOTHING) : held;
    if (telling.some(({ text }) => text !== telling[0]!.text)) {
      divergent.push(`${key}: ${held.map(({ id, text }) => `${id} ${text}`).join(", ")}`);
    }
  }
  return divergent;
}

const NOTHING = "nothing";

/** Version and origin name a write. What is deleted or expired is as good as absent: nobody is given it any more. */
function describeEntry(entry: Entry | undefined, wallMs: number): string {
  if (entry?.value === undefined || (entry.expiresAt > 0 && entry.expiresAt <= wallMs)) return NOTHING;
  return `${entry.version}/${entry.origin} ${new TextDecoder().decode(entry.value)}`;
}
