// Columns of numbers, texts and bytes, packed into one run of bytes: what the frequent messages travel as. A column costs one look per
// message and no object; msgpack would spend a header and a branch on every single value.
//
// - Numbers: a head byte, `16 * base + width`; then a base of `base` bytes (1 or 4: an unsigned integer, 8: a double); then per
//   message an unsigned integer of `width` bytes (0, 1, 2 or 4) that is added to the base. With `base` 0 and `width` 8 there is a double per
//   message. Times, versions and sequence numbers of one moment differ by little, and flags mostly not at all.
// - Texts: lengths in bytes as numbers, then all of them as one UTF-8 text. Likewise bytes.
// Multi-byte numbers are little-endian.
//
// Writing trusts its input. Reading trusts nothing: every length is checked against what is there, and nothing is allocated
// that was only announced.

import { check } from "./fields.ts";

/** New frames begin in the same block of memory until it is used up. Larger than most frames, small enough to be let go soon. */
const BLOCK_BYTES = 64 * 1024;
/** A block with less room than this is left: growing copies. */
const ROOM_BYTES_MIN = 4 * 1024;
/**
 * Blocks of large frames that were sent, kept for the next ones: memory outside the heap that comes and goes with each frame has the
 * garbage collector running most of the time. Further ones, and larger ones, are let go.
 */
const SPARES_MAX = 4;
const SPARE_BYTES_MAX = 4 * 1024 * 1024;
/** A spare block may be so many times as large as is needed. */
const SPARE_EXCESS = 4;
/** Shorter bytes are copied by a loop: a call costs more. */
const LOOP_BYTES_MAX = 24;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Room for numbers on their way in or out, reused from column to column. */
export type Scratch = Float64Array<ArrayBuffer>;

/** Writes one frame at a time: {@link begin}, anything, {@link finish}. */
export class PackedWriter {
  #bytes = new Uint8Array(BLOCK_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #start = 0;
  #end = 0;
  /** The block of the frames before, while the present frame has one to itself. */
  #shared: { readonly bytes: Uint8Array<ArrayBuffer>; readonly end: number } | undefined;
  readonly #spares: Uint8Array<ArrayBuffer>[] = [];
  #scratch: Scratch = new Float64Array(256);

  begin(): void {
    this.#start = this.#end;
    if (this.#bytes.length - this.#end < ROOM_BYTES_MIN) this.#replace(BLOCK_BYTES);
  }

  /** The bytes written since {@link begin}. They are the caller's: later frames are written behind them, or elsewhere. */
  finish(): Uint8Array {
    const frame = this.#bytes.subarray(this.#start, this.#end);
    if (this.#shared !== undefined) {
      const { bytes, end } = this.#shared;
      this.#shared = undefined;
      this.#use(bytes);
      this.#end = end;
    }
    return frame;
  }

  /** Nobody holds the frame any more: where it had a block to itself, that serves for another one. */
  release(frame: Uint8Array): void {
    const { buffer } = frame;
    const isSpare = buffer.byteLength > BLOCK_BYTES && buffer.byteLength <= SPARE_BYTES_MAX;
    if (isSpare && this.#spares.length < SPARES_MAX) this.#spares.push(new Uint8Array(buffer as ArrayBuffer));
  }

  /** Bytes written since {@link begin}. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Room for `count` numbers, to be filled and given to {@link numbers} at once. */
  scratch(count: number): Scratch {
    if (this.#scratch.length < count) this.#scratch = new Float64Array(2 * count);
    return this.#scratch;
  }

  byte(value: number): void {
    this.#ensure(1);
    this.#bytes[this.#end++] = value;
  }

  /** Four bytes to be filled in later by {@link patchUint32}, big-endian as msgpack has them. Returns where. */
  reserveUint32(): number {
    this.#ensure(4);
    const at = this.length;
    this.#end += 4;
    return at;
  }

  patchUint32(at: number, value: number): void {
    this.#view.setUint32(this.#start + at, value);
  }

  uint32(value: number): void {
    this.#ensure(4);
    this.#view.setUint32(this.#end, value, true);
    this.#end += 4;
  }

  raw(bytes: Uint8Array): void {
    this.#ensure(bytes.length);
    this.#copy(bytes);
  }

  /** A column of the first `count` numbers of `values`. `widthMin` 1: even if they are all the same. */
  numbers(values: Scratch, count: number, widthMin: 0 | 1 = 0): void {
    this.#ensure(9 + 8 * count);
    let least = values[0]!;
    let most = least;
    let isWhole = true;
    for (let index = 0; index < count; index++) {
      const value = values[index]!;
      if (value < least) least = value;
      else if (value > most) most = value;
      if (isWhole && value !== Math.floor(value)) isWhole = false;
    }
    const range = most - least;
    const width =
      range === 0
        ? widthMin
        : !isWhole
          ? 8
          : range < 0x100
            ? 1
            : range < 0x1_0000
              ? 2
              : range <= 0xffff_ffff
                ? 4
                : 8;
    if (width === 8) {
      this.#bytes[this.#end++] = 8;
      for (let index = 0; index < count; index++, this.#end += 8)
        this.#view.setFloat64(this.#end, values[index]!, true);
      return;
    }
    this.#base(least, width);
    const bytes = this.#bytes;
    let end = this.#end;
    if (width === 1) {
      for (let index = 0; index < count; index++) bytes[end++] = values[index]! - least;
    } else if (width === 2) {
      for (let index = 0; index < count; index++, end += 2) {
        const offset = values[index]! - least;
        bytes[end] = offset;
        bytes[end + 1] = offset >>> 8;
      }
    } else if (width === 4) {
      for (let index = 0; index < count; index++, end += 4)
        this.#view.setUint32(end, values[index]! - least, true);
    }
    this.#end = end;
  }

  #base(base: number, width: number): void {
    if (base >= 0 && base < 0x100 && base === Math.floor(base)) {
      this.#bytes[this.#end++] = 0x10 + width;
      this.#bytes[this.#end++] = base;
    } else if (base >= 0 && base <= 0xffff_ffff && base === Math.floor(base)) {
      this.#bytes[this.#end++] = 0x40 + width;
      this.#view.setUint32(this.#end, base, true);
      this.#end += 4;
    } else {
      this.#bytes[this.#end++] = 0x80 + width;
      this.#view.setFloat64(this.#end, base, true);
      this.#end += 8;
    }
  }

  /** A column of texts. */
  texts(values: readonly string[]): void {
    const count = values.length;
    const lengths = this.scratch(count);
    let total = 0;
    for (let index = 0; index < count; index++) {
      const { length } = values[index]!;
      lengths[index] = length;
      total += length;
    }
    const start = this.length;
    this.numbers(lengths, count);
    this.#ensure(total);
    // All at once: joining them and one call outside the language take a third of the time of a loop over their characters.
    const room = this.#bytes.subarray(this.#end, this.#end + total);
    if (encoder.encodeInto(values.join(""), room).read === total) {
      this.#end += total;
    } else {
      // Not ASCII, so that the lengths are others. The frame may lie in another block by now.
      this.#end = this.#start + start;
      this.bytes(values.map((value) => encoder.encode(value)));
    }
  }

  /** A column of bytes; they are copied. */
  bytes(values: readonly Uint8Array[]): void {
    const count = values.length;
    const lengths = this.scratch(count);
    let total = 0;
    for (let index = 0; index < count; index++) {
      const { length } = values[index]!;
      lengths[index] = length;
      total += length;
    }
    this.numbers(lengths, count);
    this.#ensure(total);
    for (let index = 0; index < count; index++) this.#copy(values[index]!);
  }

  #copy(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length > LOOP_BYTES_MAX) {
      this.#bytes.set(bytes, this.#end);
    } else {
      for (let index = 0; index < length; index++) this.#bytes[this.#end + index] = bytes[index]!;
    }
    this.#end += length;
  }

  #ensure(count: number): void {
    if (this.#bytes.length - this.#end < count)
      // Twice as much, unless most of it is at hand: large values come in one column, and behind it there is little.
      this.#replace(Math.max(BLOCK_BYTES, this.length + count + Math.max(this.length, ROOM_BYTES_MIN)));
  }

  /**
   * Another block, with what has been written of this frame. Earlier frames lie in the old one: there the next frames go on, when
   * this one needs a block to itself.
   */
  #replace(bytesMin: number): void {
    const written = this.#bytes.subarray(this.#start, this.#end);
    if (bytesMin > BLOCK_BYTES) this.#shared ??= { bytes: this.#bytes, end: this.#start };
    this.#use(this.#takeSpare(bytesMin) ?? new Uint8Array(bytesMin));
    this.#bytes.set(written);
    this.#start = 0;
    this.#end = written.length;
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #takeSpare(bytesMin: number): Uint8Array<ArrayBuffer> | undefined {
    const index = this.#spares.findIndex(
      ({ length }) => length >= bytesMin && length <= SPARE_EXCESS * bytesMin,
    );
    return index === -1 ? undefined : this.#spares.splice(index, 1)[0];
  }
}

/** Reads what a {@link PackedWriter} wrote. Methods throw `InvalidField` for anything else. */
export class PackedReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position: number;
  readonly #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#position = 0;
    this.#end = bytes.length;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#end - this.#position;
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  /** Numbers, fractions allowed, all of them from `min` to `max`. Returns `out`, which has room for `count`. */
  numbers(out: Scratch, count: number, { min, max, expected }: NumberRange): Scratch {
    const head = this.byte();
    const width = head & 0x0f;
    const base = this.#readBase(head >> 4, width);
    const bytes = this.#bytes;
    let at = this.#take(width * count);
    if (width === 0) {
      out.fill(base, 0, count);
    } else if (width === 1) {
      for (let index = 0; index < count; index++) out[index] = base + bytes[at++]!;
    } else if (width === 2) {
      for (let index = 0; index < count; index++, at += 2)
        out[index] = base + bytes[at]! + 256 * bytes[at + 1]!;
    } else if (width === 4) {
      for (let index = 0; index < count; index++, at += 4) out[index] = base + this.#view.getUint32(at, true);
    } else {
      for (let index = 0; index < count; index++, at += 8) out[index] = this.#view.getFloat64(at, true) + 0;
    }
    // With one base for all the first is as good as any other. NaN is in no range.
    const checked = width === 0 ? 1 : count;
    for (let index = 0; index < checked; index++) {
      check(out[index]! >= min && out[index]! <= max, expected);
    }
    return out;
  }

  /** As {@link numbers}, without fractions. */
  integers(out: Scratch, count: number, range: NumberRange): Scratch {
    this.numbers(out, count, range);
    for (let index = 0; index < count; index++) check(Number.isSafeInteger(out[index]), range.expected);
    return out;
  }

  #readBase(size: number, width: number): number {
    check(width === 0 || width === 1 || width === 2 || width === 4 || width === 8, "a width of numbers");
    if (width === 8) {
      check(size === 0, "doubles without a base");
      return 0;
    }
    if (size === 1) return this.byte();
    if (size === 4) return this.uint32();
    check(size === 8, "a base of numbers");
    return this.#view.getFloat64(this.#take(8), true) + 0;
  }

  /** Texts of `bytesMin` to `bytesMax` bytes each. */
  texts(count: number, lengths: Scratch, range: NumberRange): string[] {
    const total = this.#readLengths(lengths, count, range);
    const start = this.#take(total);
    const all = textOf(this.#bytes.subarray(start, start + total));
    const texts = new Array<string>(count);
    let at = 0;
    if (all.length === total) {
      // As many units as bytes: all of it is ASCII.
      for (let index = 0; index < count; index++) {
        const end = at + lengths[index]!;
        texts[index] = all.slice(at, end);
        at = end;
      }
      return texts;
    }
    at = start;
    for (let index = 0; index < count; index++) {
      const end = at + lengths[index]!;
      texts[index] = textOf(this.#bytes.subarray(at, end));
      at = end;
    }
    return texts;
  }

  /** Bytes, as views of what is read. */
  bytes(count: number, lengths: Scratch, range: NumberRange): Uint8Array[] {
    const total = this.#readLengths(lengths, count, range);
    let at = this.#take(total) + this.#bytes.byteOffset;
    const { buffer } = this.#bytes;
    const parts = new Array<Uint8Array>(count);
    for (let index = 0; index < count; index++) {
      const length = lengths[index]!;
      parts[index] = new Uint8Array(buffer, at, length);
      at += length;
    }
    return parts;
  }

  #readLengths(lengths: Scratch, count: number, range: NumberRange): number {
    this.integers(lengths, count, range);
    let total = 0;
    for (let index = 0; index < count; index++) total += lengths[index]!;
    return total;
  }

  /** Everything has been read. */
  end(): void {
    check(this.#position === this.#end, "no bytes after the end");
  }

  /** Moves on by `count` bytes, which must be there; returns where they begin. */
  #take(count: number): number {
    check(count <= this.#end - this.#position, "bytes that are there");
    const at = this.#position;
    this.#position += count;
    return at;
  }
}

/**
 * Bytes that are no UTF-8 are refused: read leniently each would become three, and the text one that its next reader refuses.
 *
 * @throws {InvalidField}
 */
function textOf(bytes: Uint8Array): string {
  let text: string | undefined;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Said below.
  }
  check(text !== undefined, "text in UTF-8");
  return text;
}

/** What numbers of a column may be. */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
  /** For the reason when one is not. */
  readonly expected: string;
}
