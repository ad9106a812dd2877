// Members for ring tests: named so that a failing list can be typed again, and drawn by fast-check for properties.

import fc from "fast-check";
import type { MemberId } from "../../../src/base/ids.ts";
import type { RingMember } from "../../../src/core/ring/ring.ts";

export function member(id: string, weight = 1, zone = ""): RingMember {
  return { id: id as MemberId, weight, zone };
}

/** `count` members of weight 1 in one zone: `<prefix>1` and so on. */
export function plainMembers(count: number, prefix = "node-"): RingMember[] {
  return Array.from({ length: count }, (_, index) => member(`${prefix}${index + 1}`));
}

/** Several ways in which people name nodes; balance must not depend on which. */
export const NAMINGS: readonly ((index: number) => string)[] = [
  (index) => `node-${index}`,
  (index) => `n${index}`,
  (index) => `10.0.0.${index}_7400`,
  (index) => `cache-eu-west-1${"abc"[index % 3]}-${index}`,
  (index) => `${(index * 2654435761).toString(16)}.internal`,
  (index) => `ringhold-${index}.ringhold.default.svc`,
  (index) => String.fromCharCode(65 + (index % 26)).repeat(1 + Math.floor(index / 26)),
  (index) => `${index}`,
];

/** Draws 1 to `max` members with distinct ids. */
export function arbitraryMembers(max: number, weightMax = 1, zones: readonly string[] = [""]) {
  return fc.uniqueArray(
    fc.record({
      id: fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/) as fc.Arbitrary<MemberId>,
      weight: fc.integer({ min: 1, max: weightMax }),
      zone: fc.constantFrom(...zones),
    }),
    { minLength: 1, maxLength: max, selector: ({ id }) => id },
  );
}
