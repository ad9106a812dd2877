// The middle of what was measured in several rounds: one round that something else disturbed does not move it.

/** The median; of an even number the upper one of the two in the middle. 0 for none. */
export function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
