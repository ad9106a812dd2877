// xxHash32 (Collet's specification) of bytes that lie in words already. For a short key, handing the text to the WebAssembly module costs
// more than hashing it. Integers only, so every engine agrees; tests compare it with the module for every length.

const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;
const STRIPE_WORDS = 4;

/**
 * xxHash32 with seed 0 of the first `length` bytes of `words`, the first the lowest of a word: from 0 to 2^32 - 1.
 * Allocates nothing.
 */
export function xxh32(words: Int32Array, length: number): number {
  const wholeWords = length >> 2;
  let hash = PRIME_5;
  let index = 0;
  if (wholeWords >= STRIPE_WORDS) {
    let a = (PRIME_1 + PRIME_2) | 0;
    let b = PRIME_2;
    let c = 0;
    let d = -PRIME_1 | 0;
    for (; index + STRIPE_WORDS <= wholeWords; index += STRIPE_WORDS) {
      a = round(a, words[index]!);
      b = round(b, words[index + 1]!);
      c = round(c, words[index + 2]!);
      d = round(d, words[index + 3]!);
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  }
  hash = (hash + length) | 0;
  for (; index < wholeWords; index++) {
    hash = Math.imul(rotate((hash + Math.imul(words[index]!, PRIME_3)) | 0, 17), PRIME_4);
  }
  for (let at = wholeWords * 4; at < length; at++) {
    const byte = (words[at >> 2]! >>> ((at & 3) * 8)) & 0xff;
    hash = Math.imul(rotate((hash + Math.imul(byte, PRIME_5)) | 0, 11), PRIME_1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
