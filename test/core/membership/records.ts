// Member records for tests: readable by default, arbitrary for properties.

import fc from "fast-check";
import type { MemberId, RingId } from "../../../src/base/ids.ts";
import type { MemberRecord } from "../../../src/core/messages.ts";

export const GENERATION = 1_700_000_000_000;

/** A record of a live, active member at `<id>:7400`. */
export function recordOf(id: string, patch: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id: id as MemberId,
    address: `${id}:7400`,
    zone: "",
    weight: 1,
    placeSeq: 0,
    wanted: undefined,
    generation: GENERATION,
    incarnation: 0,
    liveness: "alive",
    ringSeq: 0,
    ringState: "active",
    settledRingId: "",
    preparedRingId: "",
    ...patch,
  };
}

const smallText = fc.constantFrom("", "a", "b");

/** Records of one member, from ranges so small that all kinds of ties occur. */
export const anyRecord: fc.Arbitrary<MemberRecord> = fc.record({
  id: fc.constant("m" as MemberId),
  address: fc.constantFrom("a:1", "b:1"),
  zone: smallText,
  weight: fc.integer({ min: 1, max: 2 }),
  placeSeq: fc.integer({ min: 0, max: 2 }),
  wanted: fc.option(
    fc.record({
      seq: fc.integer({ min: 1, max: 2 }),
      zone: smallText,
      weight: fc.integer({ min: 1, max: 2 }),
    }),
    { nil: undefined },
  ),
  generation: fc.integer({ min: 1, max: 2 }),
  incarnation: fc.integer({ min: 0, max: 2 }),
  liveness: fc.constantFrom("alive", "suspect", "dead"),
  ringSeq: fc.integer({ min: 0, max: 2 }),
  ringState: fc.constantFrom("joining", "warming", "active", "leaving", "condemned", "left", "evicted"),
  settledRingId: smallText as fc.Arbitrary<RingId | "">,
  preparedRingId: smallText as fc.Arbitrary<RingId | "">,
});
