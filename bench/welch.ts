// Welch's t test: whether two samples have different means, when their variances may differ too. For tests of timing.

/** The statistic t. The largest twentieth of each sample is left out: interruptions, which tell nothing of the code. */
export function welchT(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [describe(a), describe(b)];
  return (x.mean - y.mean) / Math.sqrt(x.variance / x.count + y.variance / y.count);
}

function describe(sample: readonly number[]): {
  readonly mean: number;
  readonly variance: number;
  readonly count: number;
} {
  const kept = [...sample].sort((a, b) => a - b).slice(0, Math.floor(sample.length * 0.95));
  const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length;
  const variance = kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (kept.length - 1);
  return { mean, variance, count: kept.length };
}
