// Numbers for the messages that wait for an answer: unsigned 32-bit integers, as the wire has them, each used again only after
// all others. A busy node uses them up within a day, and none is then still waiting.
//
// The first one is random. A node that was just restarted would otherwise use the numbers of its earlier life again, and a
// late answer to that one could pass for an acknowledgement of something else.

import type { Prng } from "../base/prng.ts";

const ID_MAX = 0xffff_ffff;

/** Issues message ids; 0 is never one. */
export class MessageIds {
  #last: number;

  constructor(prng: Prng) {
    this.#last = prng.uint32();
  }

  /** From 1 to 2^32 - 1. */
  next(): number {
    this.#last = this.#last >= ID_MAX ? 1 : this.#last + 1;
    return this.#last;
  }
}
