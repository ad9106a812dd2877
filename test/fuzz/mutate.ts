// Damage to bytes: bits flipped, bytes cut, spliced, doubled and overwritten with what begins other values. Draws from the given generator
// only, so a seed repeats everything.

import type { Prng } from "../../src/base/prng.ts";

/** First bytes of msgpack values that are longer, shorter or of another type than what they replace. */
const HEADS = [0xc0, 0xc1, 0xc4, 0xc6, 0xcb, 0xcf, 0xd4, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xff];

/** A damaged copy; `other` is what a splice ends with. */
export function mutate(bytes: Uint8Array, other: Uint8Array, prng: Prng): Uint8Array {
  const mutant = bytes.slice();
  const at = prng.below(mutant.length);
  switch (prng.below(8)) {
    case 0:
    case 1:
      for (let flips = 1 + prng.below(4); flips > 0; flips--) {
        const index = prng.below(mutant.length);
        mutant[index] = mutant[index]! ^ (1 << prng.below(8));
      }
      return mutant;
    case 2:
      return mutant.subarray(0, at);
    case 3:
      return mutant.subarray(at);
    case 4:
      return joined(mutant.subarray(0, at), other.subarray(prng.below(other.length)));
    case 5:
      mutant[at] = prng.pick(HEADS)!;
      return mutant;
    case 6:
      return joined(mutant.subarray(0, at), mutant.subarray(Math.max(0, at - prng.below(16))));
    default:
      return joined(mutant.subarray(0, at), mutant.subarray(at + prng.below(8)));
  }
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
