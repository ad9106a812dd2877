// Facts about pairs of preference lists, worked out once per pair.
//
// A ring has 16,384 slots and few distinct lists: slots with the same members in the same order share one array. Whoever compares two
// rings slot by slot therefore meets few distinct pairs of arrays, and recognises them by identity.

import type { MemberId } from "../../base/ids.ts";

type List = readonly MemberId[];

/**
 * `compute` with a memory. Holds on to the lists it has seen: to be dropped with the rings they belong to. `compute` must depend on
 * nothing but the lists while the memory lives.
 */
export function rememberByLists<T>(compute: (a: List, b: List) => T): (a: List, b: List) => T {
  const memory = new Map<List, Map<List, { readonly value: T }>>();
  return (a, b) => {
    let byB = memory.get(a);
    if (byB === undefined) {
      byB = new Map();
      memory.set(a, byB);
    }
    let known = byB.get(b);
    if (known === undefined) {
      known = { value: compute(a, b) };
      byB.set(b, known);
    }
    return known.value;
  };
}
