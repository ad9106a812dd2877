// The key that a call is about, written out once: its UTF-8 bytes in whole words, the last one filled up with zeros, as records
// hold it. From then on it is hashed, compared and stored word by word, and nobody looks at the text again.

import type { Hashes } from "../../base/hash.ts";
import { KEY_BYTES_MAX } from "./record.ts";
import { utf8Length, writeUtf8 } from "./utf8.ts";

/** See the top of the file. Holds one key at a time. */
export class KeyBuffer {
  readonly #words = new Int32Array((KEY_BYTES_MAX >> 2) + 1);
  readonly #hashes: Hashes;
  #length = 0;
  #hash = 0;

  constructor(hashes: Hashes) {
    this.#hashes = hashes;
  }

  /** Its hash as a signed integer. */
  get hash(): number {
    return this.#hash;
  }

  /** Length of the key in bytes; more than {@link KEY_BYTES_MAX} for one that no record can hold. */
  get length(): number {
    return this.#length;
  }

  set(text: string): void {
    if (!this.#isAscii(text)) {
      this.#length = utf8Length(text);
      if (this.#length <= KEY_BYTES_MAX) writeUtf8(text, this.#words);
      this.#hash = this.#hashes.hash32(text) | 0;
      return;
    }
    const { hashWords32 } = this.#hashes;
    this.#length = text.length;
    this.#hash =
      (hashWords32 === undefined ? this.#hashes.hash32(text) : hashWords32(this.#words, text.length)) | 0;
  }

  /** Writes out a text whose bytes are its units; answers false for others, which take longer. */
  #isAscii(text: string): boolean {
    const { length } = text;
    if (length > KEY_BYTES_MAX) return false;
    const words = this.#words;
    let units = 0;
    let index = 0;
    for (; index + 4 <= length; index += 4) {
      const a = text.charCodeAt(index);
      const b = text.charCodeAt(index + 1);
      const c = text.charCodeAt(index + 2);
      const d = text.charCodeAt(index + 3);
      units |= a | b | c | d;
      words[index >> 2] = a | (b << 8) | (c << 16) | (d << 24);
    }
    let last = 0;
    for (let at = index; at < length; at++) {
      const unit = text.charCodeAt(at);
      units |= unit;
      last |= unit << ((at & 3) * 8);
    }
    if (index < length) words[index >> 2] = last;
    return units < 0x80;
  }

  /** Whether the key of so many bytes that begins at word `at` is this one. */
  isAt(words: Int32Array, at: number, length: number): boolean {
    if (length !== this.#length) return false;
    const own = this.#words;
    const count = (length + 3) >> 2;
    for (let index = 0; index < count; index++) {
      if (own[index] !== words[at + index]) return false;
    }
    return true;
  }

  /** Writes the key at word `at`; there must be room. */
  copyTo(words: Int32Array, at: number): void {
    const own = this.#words;
    const count = (this.#length + 3) >> 2;
    for (let index = 0; index < count; index++) words[at + index] = own[index]!;
  }
}
