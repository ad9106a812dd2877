// The walk over a frame's headers that comes before every decode. A decoder allocates what a header announces, so the headers
// are checked first: nesting, number of items, and every length against the bytes that are there. It walks without recursion
// and allocates nothing, whatever it is fed, and costs a few nanoseconds per item.
//
// Only what this protocol uses passes: nil, booleans, numbers, text, bytes and arrays. Maps and extension types (records,
// dates, sets, errors, pointers: all objects that a decoder would build from a stranger's data) end the walk.
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md

import { FRAME_DEPTH_MAX, FRAME_ITEMS_MAX } from "./limits.ts";

/** Bounds of {@link scanFrame}. */
export interface ScanLimits {
  /** Arrays within arrays, from 1 to {@link FRAME_DEPTH_MAX}. */
  readonly depthMax: number;
  /** Values of any kind, arrays included. */
  readonly itemsMax: number;
}

// Scratch, meaningless between two calls: items still to come at each depth.
const pending = new Float64Array(FRAME_DEPTH_MAX + 1);

// What a first byte says, by its high bits and then by this table for 0xc0 to 0xdf. Scalars: bytes of payload that follow.
const REFUSED = -1;
// Bytes of a length field that follows; the payload is as long as it says. Kept apart from scalars by the sign bit of a kind.
const KIND_SCALAR = 0;
const KIND_BYTES = 1;
const KIND_ARRAY = 2;
const KINDS = new Int8Array(32).fill(REFUSED);
const SIZES = new Uint8Array(32);
for (const [first, kind, size] of [
  [0xc0, KIND_SCALAR, 0], // nil
  [0xc2, KIND_SCALAR, 0], // false
  [0xc3, KIND_SCALAR, 0], // true
  [0xc4, KIND_BYTES, 1], // bin
  [0xc5, KIND_BYTES, 2],
  [0xc6, KIND_BYTES, 4],
  [0xca, KIND_SCALAR, 4], // float
  [0xcb, KIND_SCALAR, 8],
  [0xcc, KIND_SCALAR, 1], // uint
  [0xcd, KIND_SCALAR, 2],
  [0xce, KIND_SCALAR, 4],
  [0xcf, KIND_SCALAR, 8],
  [0xd0, KIND_SCALAR, 1], // int
  [0xd1, KIND_SCALAR, 2],
  [0xd2, KIND_SCALAR, 4],
  [0xd3, KIND_SCALAR, 8],
  [0xd9, KIND_BYTES, 1], // str
  [0xda, KIND_BYTES, 2],
  [0xdb, KIND_BYTES, 4],
  [0xdc, KIND_ARRAY, 2],
  [0xdd, KIND_ARRAY, 4],
] as const) {
  KINDS[first - 0xc0] = kind;
  SIZES[first - 0xc0] = size;
}

/**
 * Whether `bytes` are exactly one msgpack value within the limits: `undefined` if so, otherwise why not. Says nothing about
 * what the value means. Linear in the number of items, not in bytes.
 */
export function scanFrame(bytes: Uint8Array, limits: Partial<ScanLimits> = {}): string | undefined {
  const end = bytes.length;
  const depthMax = Math.min(limits.depthMax ?? FRAME_DEPTH_MAX, FRAME_DEPTH_MAX);
  let items = limits.itemsMax ?? FRAME_ITEMS_MAX;
  let position = 0;
  let depth = 0;
  pending[0] = 1;
  for (;;) {
    while (pending[depth] === 0) {
      if (depth === 0) return position === end ? undefined : "bytes after the end";
      depth--;
    }
    pending[depth]!--;
    if (position >= end) return "cut short";
    if (--items < 0) return "too many items";
    const first = bytes[position++]!;
    if (first < 0x80 || first >= 0xe0) continue;
    let count = -1;
    if (first < 0x90) return "a map";
    if (first < 0xa0) {
      count = first & 0x0f;
    } else if (first < 0xc0) {
      position += first & 0x1f;
    } else {
      const kind = KINDS[first - 0xc0]!;
      const size = SIZES[first - 0xc0]!;
      if (kind === REFUSED) return "a type this protocol does not use";
      if (size > end - position) return "cut short";
      if (kind !== KIND_SCALAR) {
        const length = readLength(bytes, position, size);
        if (kind === KIND_ARRAY) count = length;
        else position += length;
      }
      position += size;
    }
    if (position > end) return "cut short";
    if (count < 0) continue;
    // Every item takes at least one byte, so a count beyond what is left can never be satisfied.
    if (count > end - position) return "cut short";
    if (count > items) return "too many items";
    if (++depth > depthMax) return "nested too deeply";
    pending[depth] = count;
  }
}

/** The big-endian unsigned integer of 1, 2 or 4 bytes at `position`; they must be there. */
function readLength(bytes: Uint8Array, position: number, size: number): number {
  let length = 0;
  for (let index = 0; index < size; index++) length = length * 256 + bytes[position + index]!;
  return length;
}
