// Notices that files have changed, by looking at them once a second. No notifications of the system: they miss files that are replaced through links, as
// mounted secrets are, and on some file systems everything.
//
// A change is told when two looks in a row saw the same, so that what is being written, and a certificate whose key comes a moment later,
// is not taken for the whole. It is told again at each look until whoever reads the files could.

import { type Stats, statSync } from "node:fs";
import { stat } from "node:fs/promises";

/** Between two looks. A change is told after one to two of them. */
export const LOOK_INTERVAL_MS = 1_000;

/** See the top of the file. */
export class FileWatch {
  readonly #files: readonly string[];
  readonly #onChange: () => boolean;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #told: string;
  #seen: string | undefined;

  /**
   * What the files are now counts as told: whoever reads them does so after this, and misses nothing.
   *
   * @param onChange Called after a change, not before {@link FileWatch.start}. Returns whether the system let the files be read.
   */
  constructor(files: readonly string[], onChange: () => boolean, intervalMs = LOOK_INTERVAL_MS) {
    this.#files = files;
    this.#onChange = onChange;
    this.#intervalMs = intervalMs;
    this.#told = files.map(describeNow).join(", ");
  }

  /** Begins to look. Does not keep the process alive. */
  start(): void {
    if (this.#files.length > 0) void this.#look();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#seen = STOPPED;
  }

  async #look(): Promise<void> {
    const now = await describeFiles(this.#files);
    if (this.#seen === STOPPED) return;
    if (now !== this.#told && now === this.#seen && this.#onChange()) this.#told = now;
    if (this.#seen === STOPPED) return;
    this.#seen = now;
    this.#timer = setTimeout(() => void this.#look(), this.#intervalMs);
    this.#timer.unref();
  }
}

const STOPPED = "stopped";

/** What differs when any of the files has changed. */
async function describeFiles(files: readonly string[]): Promise<string> {
  const parts = files.map((file) => stat(file).then(describe, () => NO_FILE));
  return (await Promise.all(parts)).join(", ");
}

function describeNow(file: string): string {
  try {
    return describe(statSync(file));
  } catch {
    return NO_FILE;
  }
}

const NO_FILE = "none";

function describe({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}
