// The layout of a record in a segment: a header of 36 bytes in 32-bit words, optional words, the key, the value. Key and
// value begin at whole words, so that they are compared and copied by words; the whole is padded to 8 bytes. Two kinds: an entry (a value or a tombstone) and a chunk, a piece of a value that is too large for one record.
//
//   word 0   format 2, tombstone 1, dead 1, uses 2, due 1, large 1, chunk 1, wide 1, slot 14, generation of the slot 8
//   word 1   key length 11, length of the value in the record 16, check 5
//   word 2   hash of the key                         word 5   origin
//   word 3   version, low 32 bits                    word 6   operation's client, low 32 bits
//   word 4   version, high 21; attempt 11            word 7   client, high 21; sequence, high 11
//   word 8   operation's sequence, low 32 bits
//   then, as the flags say: due (2 words): when a value expires or a tombstone goes; wide (2 words): attempt, and the sequence's
//   high bits, when they are large; large (2 words and one for each chunk): length of the value, number of chunks, their
//   references. Each of these pairs has a check of its own. A chunk has word 0, its length in word 1, its owner's hash in word 2, its number in word 3, then its bytes.
//
// Dead and uses change in place; everything else of a header is covered by a check, so that a bit that fell over is an assertion
// and not an answer. (Of the bytes themselves there is none: it would cost as much as the rest of a read.)

import { assert } from "../../base/assert.ts";
import { SLOT_COUNT } from "../../base/ids.ts";
import type { Entry, ValueFormat } from "../messages.ts";
import type { EntryHead } from "./store.ts";

export const TOMBSTONE = 1 << 2;
export const DEAD = 1 << 3;
const USES_SHIFT = 4;
export const USES_MAX = 3;
export const DUE = 1 << 6;
export const LARGE = 1 << 7;
export const CHUNK = 1 << 8;
export const WIDE = 1 << 9;
const SLOT_SHIFT = 10;
const GENERATION_SHIFT = 24;
const OWNER_MASK = -1 << SLOT_SHIFT;
const MUTABLE = DEAD | (USES_MAX << USES_SHIFT);

const HEADER_WORDS = 9;
export const CHUNK_HEADER_BYTES = 16;
const KEY_LENGTH_MASK = 0x7ff;
/** The longest key that a record can hold, in bytes; twice what the wire lets through. */
export const KEY_BYTES_MAX = KEY_LENGTH_MASK;
/** The longest value that a header can hold in one record. */
export const INLINE_BYTES_MAX = 0xffff;
const CHECK_SHIFT = 27;
const CHECKED_MASK = 2 ** CHECK_SHIFT - 1;
const HIGH_MASK = 0x1f_ffff;
const TWO_32 = 0x1_0000_0000;
const HIGH_SHIFT = 21;
const HIGH_REST = 0x7ff;

/** What is written about an entry beside what it says itself. */
export interface Placement {
  readonly slot: number;
  readonly generation: number;
  readonly hash: number;
  readonly keyBytes: number;
  readonly uses: number;
  /** Wall ms; 0 for never. */
  readonly dueMs: number;
  /** Length of the value in the record: all of it, or 0 for tombstones and large values. */
  readonly inlineBytes: number;
  /** How many chunks a large value has; 0 for others. */
  readonly chunkCount: number;
}

function isWide(entry: Entry): boolean {
  return entry.opAttempt > HIGH_REST || entry.opSeq >= TWO_32 * (HIGH_REST + 1);
}

/** The bytes a record takes in a segment. */
export function entrySize(
  entry: Entry,
  { dueMs, chunkCount, keyBytes, inlineBytes }: Omit<Placement, "slot" | "generation" | "hash" | "uses">,
): number {
  let words = HEADER_WORDS;
  if (dueMs !== 0) words += 2;
  if (isWide(entry)) words += 2;
  if (chunkCount > 0) words += 2 + chunkCount;
  return align(words * 4 + ((keyBytes + 3) & ~3) + inlineBytes);
}

export function chunkSize(length: number): number {
  return align(CHUNK_HEADER_BYTES + length);
}

function align(size: number): number {
  return (size + 7) & ~7;
}

/**
 * Writes the header of an entry at word `at`, but for a large value's references, which no check covers: the chunks say whose they are.
 * Returns the word where the key goes.
 */
export function writeHeader(words: Int32Array, at: number, entry: Entry, place: Placement): number {
  const { slot, generation, hash, keyBytes, uses, dueMs, inlineBytes, chunkCount } = place;
  const wide = isWide(entry);
  let flags = entry.format | (uses << USES_SHIFT) | (slot << SLOT_SHIFT) | (generation << GENERATION_SHIFT);
  if (entry.value === undefined) flags |= TOMBSTONE;
  if (dueMs !== 0) flags |= DUE;
  if (wide) flags |= WIDE;
  if (chunkCount > 0) flags |= LARGE;
  const { version, opClient, opSeq, opAttempt } = entry;
  const sequenceHigh = wide ? 0 : Math.floor(opSeq / TWO_32);
  words[at] = flags;
  words[at + 1] = keyBytes | (inlineBytes << 11);
  words[at + 2] = hash;
  words[at + 3] = version;
  words[at + 4] = Math.floor(version / TWO_32) | ((wide ? 0 : opAttempt) << HIGH_SHIFT);
  words[at + 5] = entry.origin;
  words[at + 6] = opClient;
  words[at + 7] = Math.floor(opClient / TWO_32) | (sequenceHigh << HIGH_SHIFT);
  words[at + 8] = opSeq;
  let next = at + HEADER_WORDS;
  if (dueMs !== 0) next = writePair(words, next, dueMs, Math.floor(dueMs / TWO_32));
  if (wide) next = writePair(words, next, opAttempt, Math.floor(opSeq / TWO_32));
  if (chunkCount > 0) next = writePair(words, next, entry.value?.length ?? 0, chunkCount);
  words[at + 1] = words[at + 1]! | (checkOf(words, at) << CHECK_SHIFT);
  return next + chunkCount;
}

/** Two optional words; the upper one has at most 21 bits, and a check of both. */
function writePair(words: Int32Array, at: number, low: number, high: number): number {
  words[at] = low;
  words[at + 1] = high | (fold(words[at]! ^ high) << CHECK_SHIFT);
  return at + 2;
}

function assertPair(words: Int32Array, at: number): void {
  const high = words[at + 1]!;
  assert(high >>> CHECK_SHIFT === fold(words[at]! ^ (high & CHECKED_MASK)), "unharmed optional words");
}

/** Five bits of parity of all bits of a word: any single bit changes them. */
function fold(word: number): number {
  let sum = word ^ (word >>> 20);
  sum ^= sum >>> 10;
  return (sum ^ (sum >>> 5)) & 0x1f;
}

/** The check of the fixed words: any single wrong bit of them changes it. */
function checkOf(words: Int32Array, at: number): number {
  const flags = words[at]!;
  let sum = (flags & ~MUTABLE) ^ (words[at + 1]! & CHECKED_MASK) ^ words[at + 2]! ^ words[at + 3]!;
  if ((flags & CHUNK) === 0) {
    sum ^= words[at + 4]! ^ words[at + 5]! ^ words[at + 6]! ^ words[at + 7]! ^ words[at + 8]!;
  }
  return fold(sum);
}

/** The word after the fixed and the optional ones: where a large value's references begin, and otherwise the key. */
function referencesAt(flags: number, at: number): number {
  let next = at + HEADER_WORDS;
  if ((flags & DUE) !== 0) next += 2;
  if ((flags & WIDE) !== 0) next += 2;
  if ((flags & LARGE) !== 0) next += 2;
  return next;
}

/** Throws an assertion unless a whole, unharmed header lies at word `at`, of a record that ends within its segment. */
export function assertHeader(words: Int32Array, at: number, segmentBytes: number): void {
  assert(words[at + 1]! >>> CHECK_SHIFT === checkOf(words, at), "an unharmed record header");
  const flags = words[at]!;
  if ((flags & (DUE | WIDE | LARGE)) !== 0) {
    const end = referencesAt(flags, at);
    for (let pair = at + HEADER_WORDS; pair < end; pair += 2) assertPair(words, pair);
  }
  const offset = (at * 4) & (segmentBytes - 1);
  assert(offset + sizeAt(words, at) <= segmentBytes, "a record within its segment");
}

/** Writes the header of a chunk; its bytes go {@link CHUNK_HEADER_BYTES} after it. */
export function writeChunkHeader(
  words: Int32Array,
  at: number,
  chunk: {
    readonly slot: number;
    readonly generation: number;
    readonly hash: number;
    readonly number: number;
    readonly length: number;
  },
): void {
  words[at] = CHUNK | (chunk.slot << SLOT_SHIFT) | (chunk.generation << GENERATION_SHIFT);
  words[at + 1] = chunk.length;
  words[at + 2] = chunk.hash;
  words[at + 3] = chunk.number;
  words[at + 1] = words[at + 1]! | (checkOf(words, at) << CHECK_SHIFT);
}

/** The size of the record at word `at` in bytes, whatever its kind. */
export function sizeAt(words: Int32Array, at: number): number {
  const flags = words[at]!;
  if ((flags & CHUNK) !== 0) return chunkSize(chunkLengthAt(words, at));
  return align(((valueAt(words, at) - at) * 4 + inlineBytesAt(words, at)) | 0);
}

/** Whether a live entry, no chunk, of the slot's generation lies at word `at`. */
export function isLiveEntryOf(words: Int32Array, at: number, slot: number, generation: number): boolean {
  const owner = (slot << SLOT_SHIFT) | (generation << GENERATION_SHIFT);
  return (words[at]! & (OWNER_MASK | DEAD | CHUNK)) === owner;
}

export function slotAt(words: Int32Array, at: number): number {
  return (words[at]! >>> SLOT_SHIFT) & (SLOT_COUNT - 1);
}

export function generationAt(words: Int32Array, at: number): number {
  return words[at]! >>> GENERATION_SHIFT;
}

export function hashAt(words: Int32Array, at: number): number {
  return words[at + 2]!;
}

export function usesAt(words: Int32Array, at: number): number {
  return (words[at]! >>> USES_SHIFT) & USES_MAX;
}

export function setUsesAt(words: Int32Array, at: number, uses: number): void {
  words[at] = (words[at]! & ~(USES_MAX << USES_SHIFT)) | (uses << USES_SHIFT);
}

export function versionAt(words: Int32Array, at: number): number {
  return (words[at + 4]! & HIGH_MASK) * TWO_32 + (words[at + 3]! >>> 0);
}

export function originAt(words: Int32Array, at: number): number {
  return words[at + 5]! >>> 0;
}

/** When a value expires or a tombstone goes; 0 for never. */
export function dueAt(words: Int32Array, at: number): number {
  if ((words[at]! & DUE) === 0) return 0;
  return (words[at + HEADER_WORDS + 1]! & CHECKED_MASK) * TWO_32 + (words[at + HEADER_WORDS]! >>> 0);
}

export function keyBytesAt(words: Int32Array, at: number): number {
  return words[at + 1]! & KEY_LENGTH_MASK;
}

export function inlineBytesAt(words: Int32Array, at: number): number {
  return (words[at + 1]! >>> 11) & INLINE_BYTES_MAX;
}

/** The word at which the key begins. */
export function keyAt(words: Int32Array, at: number): number {
  const flags = words[at]!;
  if ((flags & (DUE | WIDE | LARGE)) === 0) return at + HEADER_WORDS;
  const next = referencesAt(flags, at);
  return (flags & LARGE) !== 0 ? next + (words[next - 1]! & CHECKED_MASK) : next;
}

/** The word at which a value begins that is not large. */
export function valueAt(words: Int32Array, at: number): number {
  return keyAt(words, at) + ((keyBytesAt(words, at) + 3) >> 2);
}

/** Of a large value: its length, the number of its chunks, and the word where their references begin. */
export function valueLengthAt(words: Int32Array, at: number): number {
  return words[referencesAt(words[at]!, at) - 2]!;
}

export function chunkCountAt(words: Int32Array, at: number): number {
  return (words[at]! & LARGE) === 0 ? 0 : words[referencesAt(words[at]!, at) - 1]! & CHECKED_MASK;
}

export function chunkReferencesAt(words: Int32Array, at: number): number {
  return referencesAt(words[at]!, at);
}

export function chunkLengthAt(words: Int32Array, at: number): number {
  return words[at + 1]! & CHECKED_MASK;
}

export function chunkNumberAt(words: Int32Array, at: number): number {
  return words[at + 3]!;
}

/** The entry whose header is at word `at`. A tombstone's own due time is no expiry. */
export function readEntry(words: Int32Array, at: number, key: string, value: Uint8Array | undefined): Entry {
  return {
    key,
    version: versionAt(words, at),
    origin: originAt(words, at),
    expiresAt: value === undefined ? 0 : dueAt(words, at),
    format: formatAt(words, at),
    value,
    opClient: clientAt(words, at),
    opSeq: sequenceAt(words, at),
    opAttempt: attemptAt(words, at),
  };
}

/** The same without the value; `size` is its length, `undefined` for a tombstone. */
export function readHead(words: Int32Array, at: number, key: string, size: number | undefined): EntryHead {
  return {
    key,
    version: versionAt(words, at),
    origin: originAt(words, at),
    expiresAt: size === undefined ? 0 : dueAt(words, at),
    format: formatAt(words, at),
    opClient: clientAt(words, at),
    opSeq: sequenceAt(words, at),
    opAttempt: attemptAt(words, at),
    size,
  };
}

function formatAt(words: Int32Array, at: number): ValueFormat {
  return (words[at]! & 3) as ValueFormat; // two bits: 0 to 3
}

function clientAt(words: Int32Array, at: number): number {
  return (words[at + 7]! & HIGH_MASK) * TWO_32 + (words[at + 6]! >>> 0);
}

function sequenceAt(words: Int32Array, at: number): number {
  const isWide = (words[at]! & WIDE) !== 0;
  const high = isWide ? words[wideAt(words, at) + 1]! & CHECKED_MASK : words[at + 7]! >>> HIGH_SHIFT;
  return high * TWO_32 + (words[at + 8]! >>> 0);
}

function attemptAt(words: Int32Array, at: number): number {
  return (words[at]! & WIDE) !== 0 ? words[wideAt(words, at)]! >>> 0 : words[at + 4]! >>> HIGH_SHIFT;
}

function wideAt(words: Int32Array, at: number): number {
  return at + HEADER_WORDS + ((words[at]! & DUE) !== 0 ? 2 : 0);
}
