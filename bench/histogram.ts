// A histogram of durations with log-linear buckets, after HdrHistogram (Gil Tene): each power of two is cut into 64 equal
// buckets, so that every percentile is right within 1.6 %, recording costs a few nanoseconds and memory is constant.
// Values are whole microseconds; larger than about 71 minutes counts as that.

const SUB_BUCKETS = 64;
/** Below this each microsecond has its own bucket. */
const LINEAR_MAX = SUB_BUCKETS * 2;
const VALUE_MAX = 0xffff_ffff;
const BUCKETS = bucketOf(VALUE_MAX) + 1;

/** Counts durations and answers percentiles. Not for negative numbers: those count as 0. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  /** Adds one duration in milliseconds; fractions are welcome. */
  record(ms: number): void {
    const micros = Math.min(VALUE_MAX, Math.max(0, Math.round(ms * 1000)));
    const bucket = bucketOf(micros);
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    this.#count++;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** How many durations were recorded. */
  get count(): number {
    return this.#count;
  }

  /** The longest duration in milliseconds, exact; 0 when empty. */
  get maxMs(): number {
    return this.#maxMs;
  }

  /**
   * The smallest duration in milliseconds that at least `percent` % of all recorded ones do not exceed, within 1.6 %; 0 when
   * empty.
   *
   * @param percent 0 to 100
   */
  percentileMs(percent: number): number {
    if (this.#count === 0) return 0;
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.#count - 1e-9));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= wanted) return Math.min(this.#maxMs, upperMicros(bucket) / 1000);
    }
    return this.#maxMs;
  }

  /** Adds everything `other` has recorded. */
  add(other: Histogram): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#counts[bucket] = this.#counts[bucket]! + other.#counts[bucket]!;
    }
    this.#count += other.#count;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }
}

function bucketOf(micros: number): number {
  if (micros < LINEAR_MAX) return micros;
  const shift = 31 - Math.clz32(micros) - 6;
  return (shift + 1) * SUB_BUCKETS + ((micros >>> shift) - SUB_BUCKETS);
}

/** The largest value that falls into the bucket. */
function upperMicros(bucket: number): number {
  if (bucket < LINEAR_MAX) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  const sub = (bucket % SUB_BUCKETS) + SUB_BUCKETS;
  return (sub + 1) * 2 ** shift - 1;
}
