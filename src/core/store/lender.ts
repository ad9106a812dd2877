// Hands out copies of values. Small ones share a buffer that is filled from front to back and never written again: when it is
// full, another takes its place, and the garbage collector frees it once nobody holds a piece of it. So what was read stays
// valid for as long as somebody holds it, whatever the store does meanwhile, at the price of one short copy: no pins, no
// epochs, no rule for readers. (A buffer for each value costs five times as much: measured 460 against 83 ns at 100 bytes.)
//
// Large values have a buffer each. Memory outside the heap that comes and goes with every read has the collector run most of the time,
// so who has written one out and knows that nobody else holds it may give it back, for the next one. Who does not, need not.

/** Some hundred values; held by a slow reader of a single one of them, it costs no more than a large value. */
const SHARED_BYTES = 64 * 1024;
/** Larger values get a buffer of their own, so that a shared one is never left half empty. */
const SHARED_VALUE_BYTES_MAX = 4 * 1024;
/** Bytes of buffers that were given back and wait for the next values; further ones are let go. */
const SPARE_BYTES_MAX = 4 * 1024 * 1024;
/** A spare buffer may be so many times as large as is needed. */
const SPARE_EXCESS = 2;
/** A loop beats `TypedArray.set` up to about so many words. */
const LOOP_WORDS_MAX = 64;

/** See the top of the file. */
export class Lender {
  #buffer = new ArrayBuffer(0);
  #shared = new Int32Array(this.#buffer);
  /** Words of it. */
  #used = 0;
  readonly #spares: ArrayBuffer[] = [];
  #spareBytes = 0;
  /** What may come back. */
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** A copy of the `length` bytes that begin at word `at`; it is the caller's to read for good. */
  copy(source: Int32Array, at: number, length: number): Uint8Array {
    const count = (length + 3) >> 2;
    if (length > SHARED_VALUE_BYTES_MAX) {
      const room = this.room(length);
      room.set(new Uint8Array(source.buffer, source.byteOffset + at * 4, length));
      return room;
    }
    let to = this.#used;
    if (to + count > this.#shared.length) {
      this.#buffer = new ArrayBuffer(SHARED_BYTES);
      this.#shared = new Int32Array(this.#buffer);
      to = 0;
    }
    this.#used = to + count;
    copyWords({ words: source, at }, { words: this.#shared, at: to }, count);
    return new Uint8Array(this.#buffer, to * 4, length);
  }

  /** So many bytes for a large value, to be written in full. */
  room(length: number): Uint8Array {
    return new Uint8Array(this.#takeSpare(length) ?? new ArrayBuffer(length), 0, length);
  }

  /** From now on the copy may be given back. Small ones share their buffer, and may not. */
  lend(copy: Uint8Array): void {
    if (copy.length > SHARED_VALUE_BYTES_MAX) this.#lent.add(copy.buffer);
  }

  /** Nobody holds the value any more. Does nothing for what was not lent. */
  giveBack({ buffer }: Uint8Array): void {
    if (!this.#lent.delete(buffer) || this.#spareBytes + buffer.byteLength > SPARE_BYTES_MAX) return;
    this.#spareBytes += buffer.byteLength;
    // Only what `room` made is lent.
    this.#spares.push(buffer as ArrayBuffer);
  }

  #takeSpare(length: number): ArrayBuffer | undefined {
    const isFit = ({ byteLength }: ArrayBuffer) =>
      byteLength >= length && byteLength <= SPARE_EXCESS * length;
    const index = this.#spares.findLastIndex(isFit);
    const spare = this.#spares[index];
    if (spare === undefined) return undefined;
    this.#spares[index] = this.#spares.at(-1)!; // there is at least this one
    this.#spares.pop();
    this.#spareBytes -= spare.byteLength;
    return spare;
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
