// Golden rings: what the ring function must go on computing for ever (or HASH_VERSION must change), in a form that a client
// in another language can check itself against. Run with
// `npx tsx test/core/ring/golden.ts && npm run format` to write golden.json anew.

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Hashes } from "../../../src/base/hash.ts";
import { SLOT_COUNT, type Slot } from "../../../src/base/ids.ts";
import { Ring, type RingMember, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { member, plainMembers } from "./members.ts";

/** The rings by name. */
export const GOLDEN_RINGS: Readonly<Record<string, { members: readonly RingMember[]; replicas: number }>> = {
  one: { members: plainMembers(1), replicas: 3 },
  two: { members: plainMembers(2), replicas: 3 },
  three: { members: plainMembers(3), replicas: 3 },
  seven: { members: plainMembers(7), replicas: 3 },
  sevenWithFiveReplicas: { members: plainMembers(7), replicas: 5 },
  sevenWeightedInZones: {
    members: [1, 2, 3, 1, 2, 3, 4].map((weight, index) =>
      member(`node-${index + 1}`, weight, `zone-${index % 3}`),
    ),
    replicas: 3,
  },
  fiveWithOneLimited: {
    members: [1, 1, 1, 1, 8].map((weight, index) => member(`node-${index + 1}`, weight)),
    replicas: 3,
  },
  hundred: { members: plainMembers(100), replicas: 3 },
};

/** What is kept of a ring. Digests are xxHash64 of all slots' entries joined by newlines, ids within a list by commas. */
export function goldenOf(ring: Ring, hashes: Hashes) {
  const slots = Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);
  return {
    ringId: ring.id,
    ownersDigest: hashes.hash64Hex(slots.map((slot) => ring.ownerOf(slot)).join("\n")),
    listsDigest: hashes.hash64Hex(slots.map((slot) => ring.preferenceList(slot).join()).join("\n")),
    lists: Object.fromEntries(
      [0, 1, 5798, 12739, 16383].map((slot) => [slot, ring.preferenceList(slot as Slot)]),
    ),
  };
}

export const GOLDEN_FILE = fileURLToPath(new URL("golden.json", import.meta.url));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const hashes = await loadHashes();
  const golden = Object.fromEntries(
    Object.entries(GOLDEN_RINGS).map(([name, { members, replicas }]) => [
      name,
      { members, replicas, ...goldenOf(Ring.build(members, ringParameters(replicas), hashes), hashes) },
    ]),
  );
  writeFileSync(GOLDEN_FILE, `${JSON.stringify(golden, undefined, 2)}\n`);
}
