// The index of the off-heap store: for each slot a small hash table from a key's 32-bit hash to the reference of its record. So a
// slot is enumerated, dropped and grown at a cost proportional to itself, and growing is never one long step.
//
// A table is an open-addressing one with linear probing; a bucket is two words, the reference (0: empty) and the whole hash, so
// that a miss touches no record, and growing or deleting reads none. Tables lie in pages, which are segments of the pool; a page
// holds tables of one capacity. Where a slot has more entries than one table may hold (keys that share a hash tag), a
// directory takes its place: 2^depth tables chosen by the top bits of the hash, split one by one (extendible hashing, Fagin et
// al. 1979).
//
// Invariants:
// 1. A table has at least one empty bucket; an entry lies between its home bucket and the next empty one.
// 2. A page is in the list of its capacity exactly while it has a free place.

import { assert } from "../../base/assert.ts";
import { SLOT_COUNT } from "../../base/ids.ts";
import type { SegmentPool } from "./segment-pool.ts";

const NONE = -1;
const BUCKET_WORDS = 2;
/** In the place of a class, for a slot: it has no table; its tables are in a directory, whose number is in the place of an address. */
const NO_TABLE = 255;
const IN_DIRECTORY = 254;
/** Growing such a table moves 1,600 buckets: some 20 microseconds. */
const CAPACITY_MAX = 2048;
/** Tables of one slot: at most 2^14. Past that, and for keys whose hashes are all alike, {@link SlotIndex.insert} refuses. */
const DEPTH_MAX = 14;
const LOAD_MAX = 0.8;
const LOAD_MIN = 0.2;
/** Numbers of tables: each slot's own, and as a start so many for directories. */
const TABLES_AT_FIRST = SLOT_COUNT + 64;

interface Directory {
  depth: number;
  tables: Int32Array;
}

/** See the top of the file. */
export class SlotIndex {
  readonly #pool: SegmentPool;
  readonly #pageBuckets: number;
  /** By class, ascending by half a power of two, the last one at most a page. */
  readonly #capacities: Int32Array;
  /**
   * By table: its address, its class of capacity, and how many entries it has. A slot's own table has the slot's number; further ones are
   * those of directories. Every read looks at the first two, which are small enough to stay in the processor's cache.
   */
  #addresses = new Int32Array(TABLES_AT_FIRST);
  #classes = new Uint8Array(TABLES_AT_FIRST).fill(NO_TABLE);
  #counts = new Uint16Array(TABLES_AT_FIRST);
  /** By table: bits of the hash that its entries share. */
  #depths = new Uint8Array(TABLES_AT_FIRST);
  #tableCount: number = SLOT_COUNT;
  readonly #freeTables: number[] = [];
  readonly #directories: (Directory | undefined)[] = [];
  readonly #freeDirectories: number[] = [];

  /** By page (a segment's number): places taken, first free place, neighbours in the list of its class. Places are words of its arena. */
  readonly #pageTaken: Int32Array;
  readonly #pageFree: Int32Array;
  readonly #pageNext: Int32Array;
  readonly #pageBefore: Int32Array;
  /** By class: the first page with a free place. */
  readonly #pages: Int32Array;
  #pageCount = 0;

  /** Where {@link next} goes on: the bucket behind the one found last. */
  #soughtTable = NONE;
  #soughtHash = 0;
  #soughtAt = 0;

  /** The table that is being changed. */
  #words: Int32Array = new Int32Array(0);
  #offset = 0;
  #capacity = 0;

  constructor(pool: SegmentPool) {
    this.#pool = pool;
    this.#pageBuckets = pool.segmentBytes / (4 * BUCKET_WORDS);
    this.#capacities = capacitiesUpTo(Math.min(CAPACITY_MAX, this.#pageBuckets));
    this.#pageTaken = new Int32Array(pool.numberMax);
    this.#pageFree = new Int32Array(pool.numberMax);
    this.#pageNext = new Int32Array(pool.numberMax);
    this.#pageBefore = new Int32Array(pool.numberMax);
    this.#pages = new Int32Array(this.#capacities.length).fill(NONE);
  }

  /** Segments in use as pages. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /** The first reference under this hash, 0 for none. {@link next} goes on from there; any change ends that. */
  seek(slot: number, hash: number): number {
    const table = this.#tableOf(slot, hash);
    if (table === NONE) return 0;
    return this.#scan(table, hash, homeOf(hash, this.#capacityOf(table)));
  }

  /** The next reference under the hash that {@link seek} found one for. */
  next(): number {
    return this.#scan(this.#soughtTable, this.#soughtHash, this.#soughtAt);
  }

  #scan(table: number, hash: number, from: number): number {
    const address = this.#addresses[table]!;
    const words = this.#pool.wordsAt(address);
    const offset = this.#pool.wordOf(address);
    const capacity = this.#capacityOf(table);
    for (let at = from; ; ) {
      const bucket = offset + at * BUCKET_WORDS;
      const ref = words[bucket]!;
      if (ref === 0) return 0;
      at = at + 1 === capacity ? 0 : at + 1;
      if (words[bucket + 1] !== hash) continue;
      this.#soughtTable = table;
      this.#soughtHash = hash;
      this.#soughtAt = at;
      return ref;
    }
  }

  /** Whether {@link insert} would find a place: false only when a slot holds some million entries or the hashes are alike. */
  hasRoom(slot: number, hash: number): boolean {
    const table = this.#tableOf(slot, hash);
    if (table === NONE) return true;
    const { length } = this.#capacities;
    if (this.#classes[table]! < length - 1) return true;
    if (this.#counts[table]! + 1 <= this.#limitOf(table)) return true;
    return this.#canSplit(table);
  }

  /** Adds a reference under a hash; the caller asked {@link hasRoom} and keeps two segments of the pool free. */
  insert(slot: number, hash: number, ref: number): void {
    let table = this.#tableOf(slot, hash);
    if (table === NONE) {
      table = slot;
      this.#begin(table, 0, 0);
    }
    while (this.#counts[table]! + 1 > this.#limitOf(table)) {
      const cls = this.#classes[table]!;
      if (cls + 1 < this.#capacities.length) this.#resize(table, cls + 1);
      else {
        assert(this.#canSplit(table), "room in the index");
        this.#split(slot, hash, table);
        table = this.#tableOf(slot, hash);
      }
    }
    this.#put(table, hash, ref);
  }

  /** Replaces a reference that is there: the record moved. */
  replace(slot: number, hash: number, before: number, ref: number): void {
    const bucket = this.#bucketOf(slot, hash, before);
    this.#words[bucket] = ref;
  }

  /** Removes a reference that is there. */
  remove(slot: number, hash: number, ref: number): void {
    const table = this.#tableOf(slot, hash);
    const bucket = this.#bucketOf(slot, hash, ref);
    this.#closeGap((bucket - this.#offset) / BUCKET_WORDS);
    const count = this.#counts[table]! - 1;
    this.#counts[table] = count;
    if (count === 0 && table === slot) this.#freeTable(table);
    else this.#maybeShrink(table, count);
  }

  /** Forgets all of a slot. Cost: its tables, not its entries. */
  dropSlot(slot: number): void {
    this.#forEachTable(slot, (table) => this.#freeTable(table));
    if (this.#classes[slot] !== IN_DIRECTORY) return;
    const directory = this.#addresses[slot]!;
    this.#directories[directory] = undefined;
    this.#freeDirectories.push(directory);
    this.#classes[slot] = NO_TABLE;
  }

  /** All references of a slot, in no particular order; proportional to the slot. No change may come in between. */
  *refs(slot: number): Generator<number, void> {
    const tables: number[] = [];
    this.#forEachTable(slot, (table) => tables.push(table));
    for (const table of tables) {
      this.#open(table);
      const words = this.#words;
      const start = this.#offset;
      const end = start + this.#capacity * BUCKET_WORDS;
      for (let bucket = start; bucket < end; bucket += BUCKET_WORDS) {
        if (words[bucket] !== 0) yield words[bucket]!;
      }
    }
  }

  #capacityOf(table: number): number {
    return this.#capacities[this.#classes[table]!]!;
  }

  #limitOf(table: number): number {
    return Math.floor(this.#capacityOf(table) * LOAD_MAX);
  }

  #tableOf(slot: number, hash: number): number {
    const cls = this.#classes[slot]!;
    if (cls < IN_DIRECTORY) return slot;
    if (cls === NO_TABLE) return NONE;
    const { depth, tables } = this.#directories[this.#addresses[slot]!]!; // its number
    return tables[hash >>> (32 - depth)]!;
  }

  /** Calls once for each table of the slot. */
  #forEachTable(slot: number, call: (table: number) => void): void {
    const cls = this.#classes[slot]!;
    if (cls === NO_TABLE) return;
    if (cls < IN_DIRECTORY) {
      call(slot);
      return;
    }
    const { depth, tables } = this.#directories[this.#addresses[slot]!]!; // its number
    for (let index = 0; index < tables.length; ) {
      const table = tables[index]!;
      // A table of a smaller depth fills a run of the directory.
      index += 2 ** (depth - this.#depths[table]!);
      call(table);
    }
  }

  /** Points the search at a table. */
  #open(table: number): void {
    const address = this.#addresses[table]!;
    this.#words = this.#pool.wordsAt(address);
    this.#offset = this.#pool.wordOf(address);
    this.#capacity = this.#capacityOf(table);
  }

  /** The word of the bucket that holds `ref`; leaves the search pointed at its table. */
  #bucketOf(slot: number, hash: number, ref: number): number {
    const table = this.#tableOf(slot, hash);
    assert(table !== NONE, "a table of the record's slot");
    this.#open(table);
    const words = this.#words;
    for (let at = homeOf(hash, this.#capacity); ; at = at + 1 === this.#capacity ? 0 : at + 1) {
      const bucket = this.#offset + at * BUCKET_WORDS;
      if (words[bucket] === ref) return bucket;
      assert(words[bucket] !== 0, "the record in the index");
    }
  }

  #put(table: number, hash: number, ref: number): void {
    this.#open(table);
    this.#place(hash, ref);
    this.#counts[table]!++;
  }

  /** Writes into the first empty bucket of the table that the search points at. */
  #place(hash: number, ref: number): void {
    const words = this.#words;
    const capacity = this.#capacity;
    let at = homeOf(hash, capacity);
    while (words[this.#offset + at * BUCKET_WORDS] !== 0) at = at + 1 === capacity ? 0 : at + 1;
    words[this.#offset + at * BUCKET_WORDS] = ref;
    words[this.#offset + at * BUCKET_WORDS + 1] = hash;
  }

  /** Empties a bucket and moves back what would no longer be found behind it (Knuth, volume 3, 6.4, algorithm R). */
  #closeGap(gapAt: number): void {
    const words = this.#words;
    const capacity = this.#capacity;
    let gap = gapAt;
    let at = gap;
    for (;;) {
      at = at + 1 === capacity ? 0 : at + 1;
      const bucket = this.#offset + at * BUCKET_WORDS;
      if (words[bucket] === 0) break;
      const home = homeOf(words[bucket + 1]!, capacity);
      const isBehind = gap <= at ? gap < home && home <= at : gap < home || home <= at;
      if (isBehind) continue;
      words[this.#offset + gap * BUCKET_WORDS] = words[bucket]!;
      words[this.#offset + gap * BUCKET_WORDS + 1] = words[bucket + 1]!;
      gap = at;
    }
    words[this.#offset + gap * BUCKET_WORDS] = 0;
  }

  /** Only while it costs no page: it is called where space is being made. */
  #maybeShrink(table: number, count: number): void {
    const cls = this.#classes[table]!;
    if (cls < 2 || count > this.#capacities[cls]! * LOAD_MIN) return;
    if (this.#pages[cls - 2] === NONE && this.#pool.freeCount < 4) return;
    this.#resize(table, cls - 2);
  }

  #resize(table: number, cls: number): void {
    const [address, before] = [this.#addresses[table]!, this.#classes[table]!];
    this.#allocate(table, cls);
    this.#open(table);
    const words = this.#pool.wordsAt(address);
    const start = this.#pool.wordOf(address);
    const end = start + this.#capacities[before]! * BUCKET_WORDS;
    for (let bucket = start; bucket < end; bucket += BUCKET_WORDS) {
      if (words[bucket] !== 0) this.#place(words[bucket + 1]!, words[bucket]!);
    }
    this.#freePlace(address, before);
  }

  #canSplit(table: number): boolean {
    const depth = this.#depths[table]!;
    if (depth >= DEPTH_MAX) return false;
    // Hashes that are all alike cannot be told apart by any bit.
    this.#open(table);
    const mask = (-1 << (32 - DEPTH_MAX)) & (depth === 0 ? -1 : (1 << (32 - depth)) - 1);
    let [common, seen] = [-1, 0];
    for (let at = 0; at < this.#capacity; at++) {
      const bucket = this.#offset + at * BUCKET_WORDS;
      if (this.#words[bucket] === 0) continue;
      common &= this.#words[bucket + 1]!;
      seen |= this.#words[bucket + 1]!;
    }
    return ((common ^ seen) & mask) !== 0;
  }

  /** Divides a table in two by the next bit of the hashes. */
  #split(slot: number, hash: number, table: number): void {
    const depth = this.#depths[table]! + 1;
    const [address, cls] = [this.#addresses[table]!, this.#classes[table]!];
    const directory = this.#directoryOf(slot, depth);
    const halves = [this.#newTable(cls, depth), this.#newTable(cls, depth)] as const;
    const words = this.#pool.wordsAt(address);
    const start = this.#pool.wordOf(address);
    const end = start + this.#capacities[cls]! * BUCKET_WORDS;
    for (let bucket = start; bucket < end; bucket += BUCKET_WORDS) {
      if (words[bucket] === 0) continue;
      const bit = (words[bucket + 1]! >>> (32 - depth)) & 1;
      this.#put(halves[bit as 0 | 1], words[bucket + 1]!, words[bucket]!);
    }
    const run = 2 ** (directory.depth - depth);
    const first = (depth === 1 ? 0 : hash >>> (33 - depth)) * 2 * run;
    directory.tables.fill(halves[0], first, first + run);
    directory.tables.fill(halves[1], first + run, first + 2 * run);
    this.#freePlace(address, cls);
    if (table !== slot) this.#freeTables.push(table);
  }

  /** The slot's directory, of at least that depth. One that begins is filled by the split of the slot's own table. */
  #directoryOf(slot: number, depth: number): Directory {
    if (this.#classes[slot] !== IN_DIRECTORY) {
      const directory = { depth, tables: new Int32Array(2 ** depth) };
      const number = this.#freeDirectories.pop() ?? this.#directories.length;
      this.#directories[number] = directory;
      this.#addresses[slot] = number;
      this.#classes[slot] = IN_DIRECTORY;
      return directory;
    }
    const directory = this.#directories[this.#addresses[slot]!]!; // its number
    if (directory.depth < depth) {
      const { tables } = directory;
      directory.tables = new Int32Array(2 * tables.length).map((_, index) => tables[index >> 1]!);
      directory.depth++;
    }
    return directory;
  }

  /** A table for a directory. */
  #newTable(cls: number, depth: number): number {
    const table = this.#freeTables.pop() ?? this.#tableCount++;
    if (table >= this.#addresses.length) {
      const count = 2 * table;
      this.#addresses = enlarged(this.#addresses, new Int32Array(count));
      this.#classes = enlarged(this.#classes, new Uint8Array(count));
      this.#counts = enlarged(this.#counts, new Uint16Array(count));
      this.#depths = enlarged(this.#depths, new Uint8Array(count));
    }
    this.#begin(table, cls, depth);
    return table;
  }

  #begin(table: number, cls: number, depth: number): void {
    this.#counts[table] = 0;
    this.#depths[table] = depth;
    this.#allocate(table, cls);
  }

  #freeTable(table: number): void {
    this.#freePlace(this.#addresses[table]!, this.#classes[table]!);
    this.#classes[table] = NO_TABLE;
    if (table >= SLOT_COUNT) this.#freeTables.push(table);
  }

  // ---- places for tables in pages. A free place holds the offset of the next one in its first word.

  /** Gives the table an empty place of a capacity. */
  #allocate(table: number, cls: number): void {
    if (this.#pages[cls] === NONE) this.#addPage(cls);
    const page = this.#pages[cls]!;
    const words = this.#pool.wordsOf(page);
    const offset = this.#pageFree[page]!;
    this.#pageFree[page] = words[offset]!;
    this.#pageTaken[page]!++;
    if (this.#pageFree[page] === NONE) this.#unlist(page, cls);
    words.fill(0, offset, offset + this.#capacities[cls]! * BUCKET_WORDS);
    this.#addresses[table] = this.#pool.addressOf(page, offset);
    this.#classes[table] = cls;
  }

  #freePlace(address: number, cls: number): void {
    const page = this.#pool.segmentOf(address);
    const offset = this.#pool.wordOf(address);
    if (this.#pageFree[page] === NONE) this.#list(page, cls);
    this.#pool.wordsOf(page)[offset] = this.#pageFree[page]!;
    this.#pageFree[page] = offset;
    this.#pageTaken[page]!--;
    if (this.#pageTaken[page] !== 0) return;
    this.#unlist(page, cls);
    this.#pageCount--;
    this.#pool.give(page);
  }

  #addPage(cls: number): void {
    const page = this.#pool.take();
    this.#pageCount++;
    const words = this.#pool.wordsOf(page);
    const step = this.#capacities[cls]! * BUCKET_WORDS;
    const start = this.#pool.startOf(page);
    let next = NONE;
    for (let offset = 0; offset + step <= this.#pageBuckets * BUCKET_WORDS; offset += step) {
      words[start + offset] = next;
      next = start + offset;
    }
    this.#pageFree[page] = next;
    this.#pageTaken[page] = 0;
    this.#list(page, cls);
  }

  #list(page: number, cls: number): void {
    const next = this.#pages[cls]!;
    this.#pageNext[page] = next;
    this.#pageBefore[page] = NONE;
    if (next !== NONE) this.#pageBefore[next] = page;
    this.#pages[cls] = page;
  }

  #unlist(page: number, cls: number): void {
    const next = this.#pageNext[page]!;
    const before = this.#pageBefore[page]!;
    if (before === NONE) this.#pages[cls] = next;
    else this.#pageNext[before] = next;
    if (next !== NONE) this.#pageBefore[next] = before;
  }
}

function enlarged<T extends Int32Array | Uint16Array | Uint8Array>(before: T, after: T): T {
  after.set(before);
  return after;
}

/** The bucket where the search for a hash begins; the bits that a directory looks at do not count. */
function homeOf(hash: number, capacity: number): number {
  return ((hash & 0xffff) * capacity) >>> 16;
}

/** 4, 6, 8, 12, 16, 24 and so on. */
function capacitiesUpTo(max: number): Int32Array {
  const capacities: number[] = [];
  for (let power = 4; power <= max; power *= 2) {
    capacities.push(power);
    if (power * 1.5 <= max) capacities.push(power * 1.5);
  }
  return Int32Array.from(capacities);
}
