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
/** A table's numbers: page, first word in the page's arena, class of capacity, count and depth. */
const STRIDE = 5;
const PAGE = 0;
const OFFSET = 1;
const CLASS = 2;
const COUNT = 3;
const DEPTH = 4;
/** Growing such a table moves 1,600 buckets: some 20 microseconds. */
const CAPACITY_MAX = 2048;
/** Tables of one slot: at most 2^14. Past that, and for keys whose hashes are all alike, {@link SlotIndex.insert} refuses. */
const DEPTH_MAX = 14;
const LOAD_MAX = 0.8;
const LOAD_MIN = 0.2;
const TABLES_AT_FIRST = 1024;

interface Directory {
  depth: number;
  tables: Int32Array;
}

/** See the top of the file. */
export class SlotIndex {
  readonly #pool: SegmentPool;
  readonly #pageBuckets: number;
  /** Ascending by half a power of two, the last one at most a page. */
  readonly #capacities: readonly number[];
  /** By slot: a table; {@link NONE}; or -2 - n for the n-th directory. */
  readonly #roots = new Int32Array(SLOT_COUNT).fill(NONE);
  readonly #directories: (Directory | undefined)[] = [];
  readonly #freeDirectories: number[] = [];
  #tables = new Int32Array(TABLES_AT_FIRST * STRIDE);
  #tableCount = 0;
  readonly #freeTables: number[] = [];

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
    return this.#scan(table, hash, homeOf(hash, this.#capacities[this.#get(table, CLASS)]!));
  }

  /** The next reference under the hash that {@link seek} found one for. */
  next(): number {
    return this.#scan(this.#soughtTable, this.#soughtHash, this.#soughtAt);
  }

  #scan(table: number, hash: number, from: number): number {
    const start = table * STRIDE;
    const words = this.#pool.wordsOf(this.#tables[start + PAGE]!);
    const offset = this.#tables[start + OFFSET]!;
    const capacity = this.#capacities[this.#tables[start + CLASS]!]!;
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
    if (this.#get(table, CLASS) < length - 1) return true;
    if (this.#get(table, COUNT) + 1 <= this.#limitOf(table)) return true;
    return this.#canSplit(table);
  }

  /** Adds a reference under a hash; the caller asked {@link hasRoom} and keeps two segments of the pool free. */
  insert(slot: number, hash: number, ref: number): void {
    let table = this.#tableOf(slot, hash);
    if (table === NONE) {
      table = this.#newTable(0, 0);
      this.#roots[slot] = table;
    }
    while (this.#get(table, COUNT) + 1 > this.#limitOf(table)) {
      const cls = this.#get(table, CLASS);
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
    const count = this.#get(table, COUNT) - 1;
    this.#set(table, COUNT, count);
    if (count === 0 && this.#roots[slot] === table) {
      this.#freeTable(table);
      this.#roots[slot] = NONE;
    } else this.#maybeShrink(table, count);
  }

  /** Forgets all of a slot. Cost: its tables, not its entries. */
  dropSlot(slot: number): void {
    this.#forEachTable(slot, (table) => this.#freeTable(table));
    const root = this.#roots[slot]!;
    if (root < NONE) {
      this.#directories[-2 - root] = undefined;
      this.#freeDirectories.push(-2 - root);
    }
    this.#roots[slot] = NONE;
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

  #get(table: number, field: number): number {
    return this.#tables[table * STRIDE + field]!;
  }

  #set(table: number, field: number, value: number): void {
    this.#tables[table * STRIDE + field] = value;
  }

  #limitOf(table: number): number {
    return Math.floor(this.#capacities[this.#get(table, CLASS)]! * LOAD_MAX);
  }

  #tableOf(slot: number, hash: number): number {
    const root = this.#roots[slot]!;
    if (root >= NONE) return root;
    const { depth, tables } = this.#directories[-2 - root]!; // a root below NONE names one
    return tables[hash >>> (32 - depth)]!;
  }

  /** Calls once for each table of the slot. */
  #forEachTable(slot: number, call: (table: number) => void): void {
    const root = this.#roots[slot]!;
    if (root === NONE) return;
    if (root > NONE) {
      call(root);
      return;
    }
    const { depth, tables } = this.#directories[-2 - root]!;
    for (let index = 0; index < tables.length; ) {
      const table = tables[index]!;
      // A table of a smaller depth fills a run of the directory.
      index += 2 ** (depth - this.#get(table, DEPTH));
      call(table);
    }
  }

  /** Points the search at a table. */
  #open(table: number): void {
    const start = table * STRIDE;
    this.#words = this.#pool.wordsOf(this.#tables[start + PAGE]!);
    this.#offset = this.#tables[start + OFFSET]!;
    this.#capacity = this.#capacities[this.#tables[start + CLASS]!]!;
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
    this.#set(table, COUNT, this.#get(table, COUNT) + 1);
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
    const cls = this.#get(table, CLASS);
    if (cls < 2 || count > this.#capacities[cls]! * LOAD_MIN) return;
    if (this.#pages[cls - 2] === NONE && this.#pool.freeCount < 4) return;
    this.#resize(table, cls - 2);
  }

  #resize(table: number, cls: number): void {
    const [page, offset, before] = [
      this.#get(table, PAGE),
      this.#get(table, OFFSET),
      this.#get(table, CLASS),
    ];
    this.#allocate(table, cls);
    this.#open(table);
    const words = this.#pool.wordsOf(page);
    const end = offset + this.#capacities[before]! * BUCKET_WORDS;
    for (let bucket = offset; bucket < end; bucket += BUCKET_WORDS) {
      if (words[bucket] !== 0) this.#place(words[bucket + 1]!, words[bucket]!);
    }
    this.#freePlace(page, offset, before);
  }

  #canSplit(table: number): boolean {
    if (this.#get(table, DEPTH) >= DEPTH_MAX) return false;
    // Hashes that are all alike cannot be told apart by any bit.
    this.#open(table);
    const depth = this.#get(table, DEPTH);
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
    const depth = this.#get(table, DEPTH) + 1;
    const directory = this.#directoryOf(slot, depth);
    const cls = this.#get(table, CLASS);
    const [page, offset] = [this.#get(table, PAGE), this.#get(table, OFFSET)];
    const halves = [this.#newTable(cls, depth), this.#newTable(cls, depth)] as const;
    const words = this.#pool.wordsOf(page);
    const end = offset + this.#capacities[cls]! * BUCKET_WORDS;
    for (let bucket = offset; bucket < end; bucket += BUCKET_WORDS) {
      if (words[bucket] === 0) continue;
      const bit = (words[bucket + 1]! >>> (32 - depth)) & 1;
      this.#put(halves[bit as 0 | 1], words[bucket + 1]!, words[bucket]!);
    }
    const run = 2 ** (directory.depth - depth);
    const first = (depth === 1 ? 0 : hash >>> (33 - depth)) * 2 * run;
    directory.tables.fill(halves[0], first, first + run);
    directory.tables.fill(halves[1], first + run, first + 2 * run);
    this.#freeTable(table);
  }

  /** The slot's directory, of at least that depth. */
  #directoryOf(slot: number, depth: number): Directory {
    const root = this.#roots[slot]!;
    if (root >= NONE) {
      const directory = { depth, tables: new Int32Array(2 ** depth).fill(root) };
      const number = this.#freeDirectories.pop() ?? this.#directories.length;
      this.#directories[number] = directory;
      this.#roots[slot] = -2 - number;
      return directory;
    }
    const directory = this.#directories[-2 - root]!;
    if (directory.depth < depth) {
      const { tables } = directory;
      directory.tables = new Int32Array(2 * tables.length).map((_, index) => tables[index >> 1]!);
      directory.depth++;
    }
    return directory;
  }

  #newTable(cls: number, depth: number): number {
    const table = this.#freeTables.pop() ?? this.#tableCount++;
    if ((table + 1) * STRIDE > this.#tables.length) {
      const before = this.#tables;
      this.#tables = new Int32Array(before.length * 2);
      this.#tables.set(before);
    }
    this.#set(table, COUNT, 0);
    this.#set(table, DEPTH, depth);
    this.#allocate(table, cls);
    return table;
  }

  #freeTable(table: number): void {
    this.#freePlace(this.#get(table, PAGE), this.#get(table, OFFSET), this.#get(table, CLASS));
    this.#freeTables.push(table);
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
    this.#set(table, PAGE, page);
    this.#set(table, OFFSET, offset);
    this.#set(table, CLASS, cls);
  }

  #freePlace(page: number, offset: number, cls: number): void {
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

/** The bucket where the search for a hash begins; the bits that a directory looks at do not count. */
function homeOf(hash: number, capacity: number): number {
  return ((hash & 0xffff) * capacity) >>> 16;
}

/** 4, 6, 8, 12, 16, 24 and so on. */
function capacitiesUpTo(max: number): number[] {
  const capacities: number[] = [];
  for (let power = 4; power <= max; power *= 2) {
    capacities.push(power);
    if (power * 1.5 <= max) capacities.push(power * 1.5);
  }
  return capacities;
}
