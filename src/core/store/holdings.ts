// Everything the off-heap store holds: the log of records, the index over it and the ledger of the slots, kept in agreement.
// Here are the changes that touch all three: put, remove, move. What is to be put, removed or moved, others decide.
//
// Invariants:
// 1. A live record of its slot's present generation is in the index and in the ledger, once; no other is.
// 2. A live chunk belongs to exactly one live entry, which refers to it, and is in the same queue or on its way there.

import { assert } from "../../base/assert.ts";
import type { Entry } from "../messages.ts";
import { tombstoneOf as asTombstone, type EntryVersion } from "./entry.ts";
import type { KeyBuffer } from "./key-buffer.ts";
import { copyWords, Lender } from "./lender.ts";
import { FIRST_OFFSET, Log, type Queue } from "./log.ts";
import {
  assertHeader,
  CHUNK,
  CHUNK_HEADER_BYTES,
  chunkCountAt,
  chunkLengthAt,
  chunkNumberAt,
  chunkReferencesAt,
  chunkSize,
  DEAD,
  dueAt,
  entrySize,
  generationAt,
  hashAt,
  INLINE_BYTES_MAX,
  inlineBytesAt,
  isLiveEntryOf,
  KEY_BYTES_MAX,
  keyAt,
  keyBytesAt,
  LARGE,
  originAt,
  readEntry,
  readHead,
  sizeAt,
  slotAt,
  TOMBSTONE,
  valueAt,
  valueLengthAt,
  versionAt,
  writeChunkHeader,
  writeHeader,
} from "./record.ts";
import type { SegmentPool } from "./segment-pool.ts";
import { SlotIndex } from "./slot-index.ts";
import { SlotLedger } from "./slot-ledger.ts";
import type { EntryHead } from "./store.ts";
import { readUtf8 } from "./utf8.ts";

/** Records longer than this part of a segment are cut: what a segment's end cannot take is lost until the segment goes. */
const INLINE_SHARE = 1 / 16;

const NO_CHUNKS: readonly number[] = [];

/** An entry to put, and where. */
export interface Put {
  readonly slot: number;
  readonly hash: number;
  /** Holds the entry's key. */
  readonly key: KeyBuffer;
  /** With the bytes as given; they are copied. */
  readonly entry: Entry;
  readonly queue: Queue;
  readonly uses: number;
  /** When a value expires or a tombstone goes, wall ms; 0 for never. */
  readonly dueMs: number;
  /** The record held under the key; 0 for none. */
  readonly replaced: number;
}

/** See the top of the file. */
export class Holdings {
  readonly log: Log;
  readonly index: SlotIndex;
  readonly ledger = new SlotLedger();
  readonly #pool: SegmentPool;
  readonly lender = new Lender();
  readonly #inlineBytesMax: number;
  readonly #chunkBytesMax: number;

  constructor(pool: SegmentPool) {
    this.#pool = pool;
    this.log = new Log(pool);
    this.index = new SlotIndex(pool);
    const inlineMax = Math.floor(pool.segmentBytes * INLINE_SHARE);
    this.#inlineBytesMax = Math.min(inlineMax, INLINE_BYTES_MAX);
    this.#chunkBytesMax = pool.segmentBytes - FIRST_OFFSET - CHUNK_HEADER_BYTES;
  }

  /** The record held under the key, 0 for none. */
  find(slot: number, hash: number, key: KeyBuffer): number {
    const { log, index } = this;
    const generation = this.ledger.generation(slot);
    for (let ref = index.seek(slot, hash); ref !== 0; ref = index.next()) {
      const words = log.wordsOf(ref);
      const at = log.wordOf(ref);
      assertHeader(words, at, this.#pool.segmentBytes);
      assert(
        isLiveEntryOf(words, at, slot, generation),
        "a live entry of the slot's generation in the index",
      );
      assert(hashAt(words, at) === hash, "an entry of the hash");
      if (key.isAt(words, keyAt(words, at), keyBytesAt(words, at))) return ref;
    }
    return 0;
  }

  isTombstone(ref: number): boolean {
    return (this.log.wordsOf(ref)[this.log.wordOf(ref)]! & TOMBSTONE) !== 0;
  }

  /** When a value expires or a tombstone goes; 0 for never. */
  dueOf(ref: number): number {
    return dueAt(this.log.wordsOf(ref), this.log.wordOf(ref));
  }

  versionOf(ref: number): EntryVersion {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    return { version: versionAt(words, at), origin: originAt(words, at) };
  }

  keyOf(ref: number): string {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    return readUtf8(words, keyAt(words, at), keyBytesAt(words, at));
  }

  /** The entry with a copy of its value, which stays as it is for good. */
  entryOf(ref: number, key: string): Entry {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    const flags = words[at]!;
    if ((flags & TOMBSTONE) !== 0) return readEntry(words, at, key, undefined);
    const value =
      (flags & LARGE) !== 0
        ? this.#assemble(words, at)
        : this.lender.copy(words, valueAt(words, at), inlineBytesAt(words, at));
    return readEntry(words, at, key, value);
  }

  /** The entry without its bytes, which are not touched. */
  headOf(ref: number, key: string): EntryHead {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    const isLarge = (words[at]! & LARGE) !== 0;
    const isTombstone = (words[at]! & TOMBSTONE) !== 0;
    const size = isLarge ? valueLengthAt(words, at) : inlineBytesAt(words, at);
    return readHead(words, at, key, isTombstone ? undefined : size);
  }

  /** What the value would be as a tombstone: its bytes are not touched. */
  tombstoneOf(ref: number): Entry {
    const entry = readEntry(this.log.wordsOf(ref), this.log.wordOf(ref), this.keyOf(ref), undefined);
    return { ...asTombstone(entry), format: 0 };
  }

  #assemble(words: Int32Array, at: number): Uint8Array {
    const value = this.lender.room(valueLengthAt(words, at));
    const first = chunkReferencesAt(words, at);
    const count = chunkCountAt(words, at);
    let offset = 0;
    for (let number = 0; number < count; number++) {
      const ref = words[first + number]!;
      const chunkWords = this.log.wordsOf(ref);
      const chunkAt = this.log.wordOf(ref);
      assertHeader(chunkWords, chunkAt, this.#pool.segmentBytes);
      assert((chunkWords[chunkAt]! & (CHUNK | DEAD)) === CHUNK, "a live chunk");
      assert(chunkNumberAt(chunkWords, chunkAt) === number, "the value's next chunk");
      assert(hashAt(chunkWords, chunkAt) === hashAt(words, at), "a chunk of the value's key");
      const start = chunkAt * 4 + CHUNK_HEADER_BYTES;
      const length = chunkLengthAt(chunkWords, chunkAt);
      value.set(this.log.bytesOf(ref).subarray(start, start + length), offset);
      offset += length;
    }
    assert(offset === value.length, "chunks of the value's length");
    return value;
  }

  /** At least what an entry takes: its record or records and its bucket in the index. `Infinity` when no segment can hold its header. */
  bytesFor(entry: Entry, { keyBytes, dueMs }: { readonly keyBytes: number; readonly dueMs: number }): number {
    const length = entry.value?.length ?? 0;
    const isLarge = length > this.#inlineBytesMax;
    const chunkCount = isLarge ? this.#chunkCountMax(length) : 0;
    const place = { dueMs, chunkCount, keyBytes, inlineBytes: isLarge ? 0 : length };
    const size = entrySize(entry, place);
    if (keyBytes > KEY_BYTES_MAX || size > this.#pool.segmentBytes / 2) return Number.POSITIVE_INFINITY;
    return size + (isLarge ? length + chunkCount * chunkSize(0) : 0);
  }

  #chunkCountMax(length: number): number {
    return Math.ceil(length / this.#chunkBytesMax) + 1;
  }

  /** The most segments that {@link put} may take for such an entry, the index included. */
  segmentsFor(entry: Entry): number {
    const length = entry.value?.length ?? 0;
    return 3 + (length > this.#inlineBytesMax ? this.#chunkCountMax(length) : 0);
  }

  /** Stores an entry in the place of `replaced`. There must be room: {@link bytesFor}, {@link segmentsFor}, {@link SlotIndex.hasRoom}. */
  put(put: Put): void {
    const { slot, hash, key, entry, replaced } = put;
    const { value } = entry;
    const isLarge = value !== undefined && value.length > this.#inlineBytesMax;
    const chunks = isLarge ? this.#putChunks(put, value) : NO_CHUNKS;
    const place = {
      slot,
      hash,
      generation: this.ledger.generation(slot),
      keyBytes: key.length,
      uses: put.uses,
      dueMs: put.dueMs,
      inlineBytes: isLarge ? 0 : (value?.length ?? 0),
      chunkCount: chunks.length,
    };
    const size = entrySize(entry, place);
    if (replaced !== 0) this.#forget(replaced);
    const isInPlace = replaced !== 0 && !isLarge && this.#canOverwrite(replaced, put.queue, size);
    const ref = isInPlace ? replaced : this.log.append(put.queue, size);
    const words = this.log.wordsOf(ref);
    const keyWord = writeHeader(words, this.log.wordOf(ref), entry, place);
    for (let number = 0; number < chunks.length; number++) {
      words[keyWord - chunks.length + number] = chunks[number]!;
    }
    key.copyTo(words, keyWord);
    if (!isLarge && value !== undefined)
      this.log.bytesOf(ref).set(value, (keyWord + ((key.length + 3) >> 2)) * 4);
    if (put.dueMs !== 0) this.log.noteDue(this.log.segmentOf(ref), put.dueMs);
    this.ledger.add(slot, hash, entry, value !== undefined);
    if (replaced === 0) this.index.insert(slot, hash, ref);
    else if (!isInPlace) {
      this.index.replace(slot, hash, replaced, ref);
      this.#bury(replaced);
    }
  }

  /** Nobody reads a record but through a copy, so one of the same size can take its place: no garbage, no cleaning. */
  #canOverwrite(ref: number, queue: Queue, size: number): boolean {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    return this.log.queueOf(ref) === queue && (words[at]! & LARGE) === 0 && sizeAt(words, at) === size;
  }

  #putChunks({ slot, hash, queue }: Put, value: Uint8Array): number[] {
    const refs: number[] = [];
    const generation = this.ledger.generation(slot);
    for (let offset = 0; offset < value.length; ) {
      // The rest of the open segment, if it is worth a header.
      const room = this.log.roomIn(queue) - CHUNK_HEADER_BYTES;
      const isWorthIt = room > this.#inlineBytesMax || room >= value.length - offset + 8;
      const length = Math.min(
        value.length - offset,
        isWorthIt && refs.length === 0 ? room : this.#chunkBytesMax,
      );
      const ref = this.log.append(queue, chunkSize(length));
      const at = this.log.wordOf(ref);
      const chunk = { slot, hash, generation, number: refs.length, length };
      writeChunkHeader(this.log.wordsOf(ref), at, chunk);
      this.log.bytesOf(ref).set(value.subarray(offset, offset + length), at * 4 + CHUNK_HEADER_BYTES);
      refs.push(ref);
      offset += length;
    }
    return refs;
  }

  /** Removes an entry and its chunks. */
  remove(ref: number): void {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    assertHeader(words, at, this.#pool.segmentBytes);
    const [slot, hash] = [slotAt(words, at), hashAt(words, at)];
    this.#forget(ref);
    this.index.remove(slot, hash, ref);
    this.#bury(ref);
  }

  /** Takes an entry out of the ledger. */
  #forget(ref: number): void {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    const version = { version: versionAt(words, at), origin: originAt(words, at) };
    this.ledger.subtract(slotAt(words, at), hashAt(words, at), version, (words[at]! & TOMBSTONE) === 0);
  }

  /** Marks an entry and its chunks dead. */
  #bury(ref: number): void {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    const count = chunkCountAt(words, at);
    const first = chunkReferencesAt(words, at);
    for (let number = 0; number < count; number++) this.log.kill(words[first + number]!);
    this.log.kill(ref);
  }

  /** Whether the record is of a generation that its slot has left behind. */
  isForeign(words: Int32Array, at: number): boolean {
    return generationAt(words, at) !== this.ledger.generation(slotAt(words, at));
  }

  /** The entry that a live chunk of the present generation belongs to. */
  ownerOf(chunk: number): number {
    const words = this.log.wordsOf(chunk);
    const at = this.log.wordOf(chunk);
    const number = chunkNumberAt(words, at);
    const { index } = this;
    for (let ref = index.seek(slotAt(words, at), hashAt(words, at)); ref !== 0; ref = index.next()) {
      const ownerWords = this.log.wordsOf(ref);
      const ownerAt = this.log.wordOf(ref);
      if (number >= chunkCountAt(ownerWords, ownerAt)) continue;
      if (ownerWords[chunkReferencesAt(ownerWords, ownerAt) + number] === chunk) return ref;
    }
    assert(false, "the owner of a chunk");
    return 0;
  }

  /** Moves a record, whatever its kind: to the young end of `queue`, or with `beside` next to that segment. */
  move(ref: number, queue: Queue, beside: number | undefined): number {
    const words = this.log.wordsOf(ref);
    const at = this.log.wordOf(ref);
    assertHeader(words, at, this.#pool.segmentBytes);
    const size = sizeAt(words, at);
    const moved = beside === undefined ? this.log.append(queue, size) : this.log.appendBeside(beside, size);
    const target = { words: this.log.wordsOf(moved), at: this.log.wordOf(moved) };
    copyWords({ words, at }, target, size >> 2);
    if ((words[at]! & CHUNK) !== 0) {
      const owner = this.ownerOf(ref);
      const ownerWords = this.log.wordsOf(owner);
      const first = chunkReferencesAt(ownerWords, this.log.wordOf(owner));
      ownerWords[first + chunkNumberAt(words, at)] = moved;
    } else {
      this.index.replace(slotAt(words, at), hashAt(words, at), ref, moved);
      const dueMs = dueAt(words, at);
      if (dueMs !== 0) this.log.noteDue(this.log.segmentOf(moved), dueMs);
    }
    this.log.kill(ref);
    return moved;
  }

  /** Makes everything of the slot foreign; the records are buried later. Whether it could. */
  maybeDisown(slot: number): boolean {
    if (!this.ledger.canDisown(slot)) return false;
    this.ledger.disown(slot);
    this.index.dropSlot(slot);
    return true;
  }
}
