// The walk over the headers of a packed value that comes before it is unpacked. A stored value may come from anybody with access
// to the cache: nothing in it may make the decoder allocate what is not there, follow pointers, define records, or build more
// objects than an honest value has. Without recursion, and without a look at the contents.
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md; extension numbers: msgpackr's, and those of `values.ts`.

import { VALUE_CONTAINERS_MAX, VALUE_DEPTH_MAX } from "./value-check.ts";

/** Extensions that carry their bytes: undefined, big integer, typed array, date, negative zero, text with a byte order mark. */
const EXTENSIONS_WITH_BYTES = new Set([0x00, 0x42, 0x74, 0xff, 0x6e, 0x6f]);
/** Extensions of one filler byte that are followed by one value: Set, Error, RegExp, Map. */
const EXTENSIONS_BEFORE_VALUE = new Set([0x73, 0x65, 0x78, 0x6d]);
/** Each Map, Set or Error is an extension and an array. */
const DEPTH_MAX = 2 * VALUE_DEPTH_MAX + 2;

/** What follows a first byte. `length`: bytes of a length field. `count`: values that follow per unit of length. */
type Shape =
  | { readonly kind: "scalar"; readonly bytes: number }
  | { readonly kind: "bytes"; readonly length: 1 | 2 | 4 }
  | { readonly kind: "container"; readonly length: 2 | 4; readonly count: 1 | 2 }
  | { readonly kind: "extension"; readonly length: 1 | 2 | 4 }
  | { readonly kind: "fixedExtension"; readonly bytes: 1 | 2 | 4 | 8 | 16 };

const SHAPES: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [0xc0, { kind: "scalar", bytes: 0 }],
  [0xc2, { kind: "scalar", bytes: 0 }],
  [0xc3, { kind: "scalar", bytes: 0 }],
  [0xc4, { kind: "bytes", length: 1 }],
  [0xc5, { kind: "bytes", length: 2 }],
  [0xc6, { kind: "bytes", length: 4 }],
  [0xc7, { kind: "extension", length: 1 }],
  [0xc8, { kind: "extension", length: 2 }],
  [0xc9, { kind: "extension", length: 4 }],
  [0xca, { kind: "scalar", bytes: 4 }],
  [0xcb, { kind: "scalar", bytes: 8 }],
  [0xcc, { kind: "scalar", bytes: 1 }],
  [0xcd, { kind: "scalar", bytes: 2 }],
  [0xce, { kind: "scalar", bytes: 4 }],
  [0xcf, { kind: "scalar", bytes: 8 }],
  [0xd0, { kind: "scalar", bytes: 1 }],
  [0xd1, { kind: "scalar", bytes: 2 }],
  [0xd2, { kind: "scalar", bytes: 4 }],
  [0xd3, { kind: "scalar", bytes: 8 }],
  [0xd4, { kind: "fixedExtension", bytes: 1 }],
  [0xd5, { kind: "fixedExtension", bytes: 2 }],
  [0xd6, { kind: "fixedExtension", bytes: 4 }],
  [0xd7, { kind: "fixedExtension", bytes: 8 }],
  [0xd8, { kind: "fixedExtension", bytes: 16 }],
  [0xd9, { kind: "bytes", length: 1 }],
  [0xda, { kind: "bytes", length: 2 }],
  [0xdb, { kind: "bytes", length: 4 }],
  [0xdc, { kind: "container", length: 2, count: 1 }],
  [0xdd, { kind: "container", length: 4, count: 1 }],
  [0xde, { kind: "container", length: 2, count: 2 }],
  [0xdf, { kind: "container", length: 4, count: 2 }],
]);

/** Whether `bytes` are exactly one packed value of the kinds that a client writes: `undefined` if so, otherwise why not. */
export function scanValue(bytes: Uint8Array): string | undefined {
  return new Scan(bytes).run();
}

class Scan {
  readonly #bytes: Uint8Array;
  #position = 0;
  /** Values still to come at each depth. */
  readonly #pending: number[] = [1];
  #containers = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  run(): string | undefined {
    const pending = this.#pending;
    for (;;) {
      while (pending.at(-1) === 0) pending.pop();
      if (pending.length === 0)
        return this.#position === this.#bytes.length ? undefined : "bytes after the end";
      pending[pending.length - 1]! -= 1;
      if (this.#position >= this.#bytes.length) return "cut short";
      const problem = this.#value(this.#bytes[this.#position++]!);
      if (problem !== undefined) return problem;
    }
  }

  #value(first: number): string | undefined {
    if (first < 0x80 || first >= 0xe0) return undefined;
    if (first < 0x90) return this.#open(2 * (first & 0x0f));
    if (first < 0xa0) return this.#open(first & 0x0f);
    if (first < 0xc0) return this.#skip(first & 0x1f);
    const shape = SHAPES.get(first);
    switch (shape?.kind) {
      case undefined:
        return "an unknown type";
      case "scalar":
        return this.#skip(shape.bytes);
      case "bytes":
        return this.#skip(this.#length(shape.length));
      case "container":
        return this.#open(shape.count * this.#length(shape.length));
      case "extension":
        return this.#extension(this.#length(shape.length), false);
      case "fixedExtension":
        return this.#extension(shape.bytes, shape.bytes === 1);
    }
  }

  #extension(bytes: number, mayPrecedeValue: boolean): string | undefined {
    const type = this.#bytes[this.#position++] ?? -1;
    const skipped = this.#skip(bytes);
    if (skipped !== undefined) return skipped;
    if (EXTENSIONS_WITH_BYTES.has(type)) return undefined;
    return mayPrecedeValue && EXTENSIONS_BEFORE_VALUE.has(type) ? this.#open(1) : "an unknown extension";
  }

  /** Every value takes at least one byte, so a count beyond what is left can never be satisfied. */
  #open(count: number): string | undefined {
    if (count > this.#bytes.length - this.#position) return "cut short";
    if (++this.#containers > 2 * VALUE_CONTAINERS_MAX) return "too many objects";
    if (this.#pending.length >= DEPTH_MAX) return "nested too deeply";
    this.#pending.push(count);
    return undefined;
  }

  #skip(bytes: number): string | undefined {
    this.#position += bytes;
    return this.#position > this.#bytes.length ? "cut short" : undefined;
  }

  /** Big-endian; past the end it reads as more than there is. */
  #length(size: number): number {
    let length = 0;
    for (let index = 0; index < size; index++) {
      length = length * 256 + (this.#bytes[this.#position++] ?? Number.POSITIVE_INFINITY);
    }
    return length;
  }
}
