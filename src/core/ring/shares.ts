// How much of the ring each member is entitled to. Its weight over all weights, except that a member keeps at most one copy
// of a slot: with R copies nobody can hold more than 1/R of them, so weight above that is of no use and its share is limited
// to 1/R. What it cannot take goes to the others by weight, which may bring the next heaviest to the limit too.
//
// Shares are integers over one common denominator: floating point must not decide anything that members have to agree on.
// This is water filling; the limit is Dynamo's rule of distinct nodes (section 4.3) seen from the side of the load.

/** Shares as fractions `numerators[index] / denominator`. The numerators add up to the denominator. */
export interface Shares {
  readonly numerators: readonly number[];
  readonly denominator: number;
}

/**
 * Computes the shares of members with these weights, in the order given.
 *
 * @param copies Copies of each slot, from 1 to the number of members.
 */
export function computeShares(weights: readonly number[], copies: number): Shares {
  const heaviestFirst = weights.map((_, index) => index).sort((a, b) => weights[b]! - weights[a]! || a - b);
  let weightLeft = weights.reduce((sum, weight) => sum + weight, 0);
  let copiesLeft = copies;
  const limited = new Set<number>();
  for (const index of heaviestFirst) {
    if (weights[index]! * copiesLeft <= weightLeft) break;
    limited.add(index);
    copiesLeft -= 1;
    weightLeft -= weights[index]!;
  }
  // Limited members have 1/copies each; the others divide copiesLeft/copies by weight.
  return {
    numerators: weights.map((weight, index) => (limited.has(index) ? weightLeft : weight * copiesLeft)),
    denominator: weightLeft * copies,
  };
}

/** Most slots each member may own: `percent` of its share, rounded up. At least `slots` in total when `percent` >= 100. */
export function computeCaps(shares: Shares, slots: number, percent: number): number[] {
  const divisor = 100 * shares.denominator;
  return shares.numerators.map((numerator) =>
    Math.floor((percent * slots * numerator + divisor - 1) / divisor),
  );
}
