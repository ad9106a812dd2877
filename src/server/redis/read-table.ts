// What clients that cache have read: by key, who and which version. When the key changes they are told, and forgotten until they read it
// again.
//
// Invariants:
// 1. Who read a version is told of every change to a newer one, and of none that is in what it read: replicas tell late, and each for itself.
// 2. A read under way counts as one whose version is not known yet: what changes meanwhile is compared when it ends.
// 3. At most `READS_MAX` reads and `KEY_UNITS_MAX` of keys are held. For a further one the oldest key is taken back, as if it had changed.

/** Reads that are held, over all clients. */
export const READS_MAX = 250_000;
/** UTF-16 units of the keys that are held. */
const KEY_UNITS_MAX = 16 * 1024 * 1024;

/** One reader's reads of one key; the table's own. */
export interface Read {
  /** What was read; while reads are under way, the least that those which ended came to. */
  version: number;
  underWay: number;
  /** The newest version that was told of while reads were under way, and of whose. */
  changed: number;
}

/** Who is to be told that what it read under the key is not so any more. */
export type OnStale = (reader: number, key: string) => void;

/** See the top of the file. */
export class ReadTable {
  readonly #byKey = new Map<string, Map<number, Read>>();
  readonly #onStale: OnStale;
  readonly #readsMax: number;
  #reads = 0;
  #keyUnits = 0;

  constructor(onStale: OnStale, readsMax: number = READS_MAX) {
    this.#onStale = onStale;
    this.#readsMax = readsMax;
  }

  /** Keys that somebody has read. */
  get keys(): number {
    return this.#byKey.size;
  }

  get reads(): number {
    return this.#reads;
  }

  /** A reader begins to read a key. What it returns is for {@link ReadTable.end}. */
  begin(reader: number, key: string): Read {
    let readers = this.#byKey.get(key);
    if (readers === undefined) {
      readers = new Map();
      this.#byKey.set(key, readers);
      this.#keyUnits += key.length;
    }
    const known = readers.get(reader);
    if (known !== undefined) {
      if (known.underWay++ === 0) known.version = Number.POSITIVE_INFINITY;
      return known;
    }
    const read: Read = { version: Number.POSITIVE_INFINITY, underWay: 1, changed: 0 };
    readers.set(reader, read);
    this.#reads++;
    while (this.#reads > this.#readsMax || this.#keyUnits > KEY_UNITS_MAX) this.#dropOldest();
    return read;
  }

  /** A read has ended with this version, 0 for none. `isVouchedFor`: changes to it will be told of. */
  end(
    reader: number,
    key: string,
    {
      read,
      version,
      isVouchedFor,
    }: { readonly read: Read; readonly version: number; readonly isVouchedFor: boolean },
  ): void {
    // Forgotten since, and told so; it may have begun to read again.
    if (this.#byKey.get(key)?.get(reader) !== read) return;
    read.version = Math.min(read.version, version);
    if (!isVouchedFor) read.changed = Number.POSITIVE_INFINITY;
    if (--read.underWay > 0) return;
    if (read.changed > read.version) {
      this.#remove(key, reader);
      this.#onStale(reader, key);
    }
    read.changed = 0;
  }

  /** @param version What the key holds now; 0 when its value went. @param except Who wrote it and does not want to be told. */
  changed(key: string, version: number, except: number | undefined): void {
    const readers = this.#byKey.get(key);
    if (readers === undefined) return;
    const newest = version === 0 ? Number.POSITIVE_INFINITY : version;
    for (const [reader, read] of [...readers]) {
      if (read.underWay > 0) read.changed = Math.max(read.changed, newest);
      else if (newest > read.version) {
        this.#remove(key, reader);
        if (reader !== except) this.#onStale(reader, key);
      }
    }
  }

  /** Forgets everything; nobody is told. */
  clear(): void {
    this.#byKey.clear();
    this.#reads = 0;
    this.#keyUnits = 0;
  }

  #remove(key: string, reader: number): void {
    const readers = this.#byKey.get(key);
    if (readers?.delete(reader) !== true) return;
    this.#reads--;
    if (readers.size > 0) return;
    this.#byKey.delete(key);
    this.#keyUnits -= key.length;
  }

  #dropOldest(): void {
    for (const [key, readers] of this.#byKey) {
      for (const reader of [...readers.keys()]) {
        this.#remove(key, reader);
        this.#onStale(reader, key);
      }
      return;
    }
  }
}
