// Hashes. CRC16 places keys on slots, exactly as Redis Cluster does; xxHash (a WebAssembly module that the io layer
// loads, hence the port) serves everything else: node seeds, ring ids, digests, the store's index.

import { SLOT_COUNT, type Slot } from "./ids.ts";

/** The xxHash port. The real one is loaded once per process by `io/hashes.ts`; tests may inject a readable one. */
export interface Hashes {
  /** xxHash32 of the text's UTF-8 bytes: an unsigned 32-bit integer. */
  hash32(text: string, seed?: number): number;
  /**
   * What {@link Hashes.hash32} answers for ASCII text without a seed, given its bytes in words, the first the lowest of a word.
   * Absent where there is nothing faster than the text.
   */
  readonly hashWords32?: (words: Int32Array, length: number) => number;
  /** xxHash64 of the text's UTF-8 bytes: 16 lower-case hex digits. */
  hash64Hex(text: string): string;
}

/**
 * CRC16-XMODEM: polynomial 0x1021, initial value 0, no reflection (Redis Cluster specification, appendix A). Four tables, one behind
 * the other: what a byte does to the sum when 0, 1, 2 or 3 more follow, so that four bytes are taken in one step (slicing,
 * Kounavis and Berry 2005).
 */
const CRC16_TABLES = buildCrc16Tables();

function buildCrc16Tables(): Uint16Array {
  const tables = new Uint16Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256]!;
    tables[at] = (before << 8) ^ tables[before >>> 8]!;
  }
  return tables;
}

function crc16Byte(crc: number, byte: number): number {
  return ((crc << 8) ^ CRC16_TABLES[((crc >>> 8) ^ byte) & 0xff]!) & 0xffff;
}

/** CRC16-XMODEM of the UTF-8 bytes of `text[start, end)`; lone surrogates count as U+FFFD. Allocates nothing. */
export function crc16(text: string, start = 0, end = text.length): number {
  let crc = 0;
  let index = start;
  for (; index + 4 <= end; index += 4) {
    const a = text.charCodeAt(index);
    const b = text.charCodeAt(index + 1);
    const c = text.charCodeAt(index + 2);
    const d = text.charCodeAt(index + 3);
    if ((a | b | c | d) >= 0x80) break;
    const tables = CRC16_TABLES;
    crc =
      tables[0x300 + (a ^ (crc >>> 8))]! ^
      tables[0x200 + (b ^ (crc & 0xff))]! ^
      tables[0x100 + c]! ^
      tables[d]!;
  }
  for (; index < end; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      crc = crc16Byte(crc, unit);
      continue;
    }
    let point = unit;
    if (unit >= 0xd800 && unit < 0xe000) {
      const low = index + 1 < end ? text.charCodeAt(index + 1) : 0;
      const isPair = unit < 0xdc00 && low >= 0xdc00 && low < 0xe000;
      point = isPair ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
      if (isPair) index++;
    }
    if (point < 0x800) {
      crc = crc16Byte(crc, 0xc0 | (point >> 6));
    } else if (point < 0x10000) {
      crc = crc16Byte(crc16Byte(crc, 0xe0 | (point >> 12)), 0x80 | ((point >> 6) & 0x3f));
    } else {
      crc = crc16Byte(crc16Byte(crc, 0xf0 | (point >> 18)), 0x80 | ((point >> 12) & 0x3f));
      crc = crc16Byte(crc, 0x80 | ((point >> 6) & 0x3f));
    }
    crc = crc16Byte(crc, 0x80 | (point & 0x3f));
  }
  return crc;
}

/**
 * The slot of a key. When the key holds `{tag}` with something between the first `{` and the next `}`, only the tag is
 * hashed, so that related keys share a slot.
 */
export function slotOfKey(key: string): Slot {
  const open = key.indexOf("{");
  if (open !== -1) {
    const close = key.indexOf("}", open + 1);
    if (close > open + 1) return (crc16(key, open + 1, close) & (SLOT_COUNT - 1)) as Slot;
  }
  return (crc16(key) & (SLOT_COUNT - 1)) as Slot;
}

/** Finaliser of MurmurHash3: spreads every input bit over all 32 output bits. Integers only, so every engine agrees. */
export function mix32(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
