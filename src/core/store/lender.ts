// Hands out copies of values. Small ones share a buffer that is filled from front to back and never written again: when it is
// full, another takes its place, and the garbage collector frees it once nobody holds a piece of it. So what was read stays
// valid for as long as somebody holds it, whatever the store does meanwhile, at the price of one short copy: no pins, no
// epochs, no rule for readers. (A buffer for each value costs five times as much: measured 460 against 83 ns at 100 bytes.)

/** Some hundred values; held by a slow reader of a single one of them, it costs no more than a large value. */
const SHARED_BYTES = 64 * 1024;
/** Larger values get a buffer of their own, so that a shared one is never left half empty. */
const SHARED_VALUE_BYTES_MAX = 4 * 1024;
/** A loop beats `TypedArray.set` up to about so many words. */
const LOOP_WORDS_MAX = 64;

/** See the top of the file. */
export class Lender {
  #shared = new Int32Array(0);
  /** Words of it. */
  #used = 0;

  /** A copy of the `length` bytes that begin at word `at`; it is the caller's to read for good. */
  copy(source: Int32Array, at: number, length: number): Uint8Array {
    const count = (length + 3) >> 2;
    if (length > SHARED_VALUE_BYTES_MAX)
      return new Uint8Array(source.slice(at, at + count).buffer, 0, length);
    let to = this.#used;
    if (to + count > this.#shared.length) {
      this.#shared = new Int32Array(SHARED_BYTES / 4);
      to = 0;
    }
    this.#used = to + count;
    copyWords({ words: source, at }, { words: this.#shared, at: to }, count);
    return new Uint8Array(this.#shared.buffer, to * 4, length);
  }
}

/** A place among words. */
export interface Place {
  readonly words: Int32Array;
  readonly at: number;
}

/** Copies so many words from one place to another; they do not overlap. */
export function copyWords(source: Place, target: Place, count: number): void {
  const { words: from, at: fromAt } = source;
  const { words: to, at: toAt } = target;
  if (count > LOOP_WORDS_MAX) {
    to.set(from.subarray(fromAt, fromAt + count), toAt);
    return;
  }
  for (let word = 0; word < count; word++) to[toAt + word] = from[fromAt + word]!;
}
