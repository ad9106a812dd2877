// Seeded randomness. Every part that needs chance gets its own generator, derived by name from one seed, so that using
// one more number in one part never reshuffles another. The algorithm is sfc32 (PractRand): small, fast, integers only.

/** A seeded pseudo-random generator. Not for secrets. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed Any unsigned 32-bit integer. */
  constructor(seed: number) {
    this.#a = 0x9e3779b9 ^ seed;
    this.#b = 0x243f6a88 + seed;
    this.#c = 0xb7e15162;
    for (let round = 0; round < 12; round++) this.uint32();
  }

  /** The next unsigned 32-bit integer. */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1). */
  float(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** An integer in [0, count). `count` must be from 1 to 2^32. */
  below(count: number): number {
    return Math.floor(this.float() * count);
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One element, or `undefined` of an empty list. The list's order must itself not depend on chance. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(Math.max(1, items.length))];
  }

  /** A new, shuffled copy (Fisher-Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const copy = [...items];
    for (let index = copy.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      [copy[index], copy[other]] = [copy[other]!, copy[index]!];
    }
    return copy;
  }

  /** A new generator whose stream depends only on this one's next number and `concern`. */
  fork(concern: string): Prng {
    let seed = this.uint32();
    for (let index = 0; index < concern.length; index++)
      seed = Math.imul(seed ^ concern.charCodeAt(index), 0x01000193);
    return new Prng(seed >>> 0);
  }
}
