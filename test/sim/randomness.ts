// One generator per concern, each derived from the run's seed and the concern's name. Taking away a fault, a client or a
// message then never reshuffles the chance of anything else, which is what makes a failing run shrinkable.

import { Prng } from "../../src/base/prng.ts";

/** The generator of one concern of one run. */
export function prngFor(seed: number, concern: string): Prng {
  let mixed = (0x811c9dc5 ^ seed) >>> 0;
  for (let index = 0; index < concern.length; index++) {
    mixed = Math.imul(mixed ^ concern.charCodeAt(index), 0x01000193) >>> 0;
  }
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b) >>> 0;
  return new Prng(mixed);
}
