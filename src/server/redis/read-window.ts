// How many operations may be under way for one request, or one connection: as many as their answers have room for. A client names a
// hundred values of a megabyte in a few bytes; asked for at once they would all be in this node's memory together, and those that come from
// one other node would overflow the link to it, which is then cut.
//
// It begins small, doubles with each small answer and shrinks at once with a large one, as portions of a link do (`io/link-socket.ts`).

/** Answers under way. Enough for a link of 10 Gbit/s and some milliseconds. */
const BYTES_MAX = 8 * 1024 * 1024;
/** Before anything is known of the answers: a usual pipeline does not wait. */
const COUNT_FIRST = 32;
/** What an answer leaves of the memory of larger ones before it. */
const MEMORY = 0.95;

/** See the top of the file. */
export class ReadWindow {
  readonly #countMax: number;
  #count: number;
  #answerBytes = 0;

  /** @param countMax Operations under way, however small their answers. */
  constructor(countMax: number) {
    this.#countMax = countMax;
    this.#count = Math.min(COUNT_FIRST, countMax);
  }

  /** Operations that may be under way, 1 or more. */
  get count(): number {
    return this.#count;
  }

  /** An operation has been answered with so many bytes. */
  answered(bytes: number): void {
    this.#answerBytes = Math.max(bytes, MEMORY * this.#answerBytes);
    const fitting = Math.floor(BYTES_MAX / Math.max(1, this.#answerBytes));
    this.#count = Math.max(1, Math.min(this.#countMax, 2 * this.#count, fitting));
  }
}
