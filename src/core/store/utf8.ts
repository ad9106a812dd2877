// Text to UTF-8 bytes in words and back, without a TextEncoder (which the core may not use). The first byte is the lowest of a word,
// whatever the machine's order: keys are only ever looked at by words. Lone surrogates are kept as the three bytes that they would have
// as code points of their own, so that every JavaScript string comes back as what it was and different strings stay different.

/** The bytes of the code unit at `index` alone: 1 to 3; a surrogate pair counts 3 + 1, see {@link isPair}. */
function unitBytes(unit: number): number {
  return unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
}

/** Whether a high surrogate at `index` is followed by its low one. */
function isPair(text: string, index: number, unit: number): boolean {
  if (unit < 0xd800 || unit > 0xdbff || index + 1 >= text.length) return false;
  const low = text.charCodeAt(index + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}

function pairPoint(text: string, index: number): number {
  return 0x10000 + ((text.charCodeAt(index) - 0xd800) << 10) + (text.charCodeAt(index + 1) - 0xdc00);
}

/** The number of bytes that {@link writeUtf8} writes. */
export function utf8Length(text: string): number {
  let length = 0;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (isPair(text, index, unit)) {
      length += 4;
      index++;
    } else length += unitBytes(unit);
  }
  return length;
}

/** Writes `text` into words from the first on; there must be room. The last word is filled up with zeros. */
export function writeUtf8(text: string, words: Int32Array): void {
  let at = 0;
  const put = (byte: number): void => {
    const before = (at & 3) === 0 ? 0 : words[at >> 2]!;
    words[at >> 2] = before | (byte << ((at & 3) * 8));
    at++;
  };
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      put(unit);
    } else if (unit < 0x800) {
      put(0xc0 | (unit >> 6));
      put(0x80 | (unit & 0x3f));
    } else if (isPair(text, index, unit)) {
      const point = pairPoint(text, index++);
      put(0xf0 | (point >> 18));
      put(0x80 | ((point >> 12) & 0x3f));
      put(0x80 | ((point >> 6) & 0x3f));
      put(0x80 | (point & 0x3f));
    } else {
      put(0xe0 | (unit >> 12));
      put(0x80 | ((unit >> 6) & 0x3f));
      put(0x80 | (unit & 0x3f));
    }
  }
}

/** The text of `length` bytes that begins at word `start`, as {@link writeUtf8} wrote it. At most some thousand bytes. */
export function readUtf8(words: Int32Array, start: number, length: number): string {
  const units: number[] = [];
  let at = 0;
  const take = (): number => (words[start + (at >> 2)]! >>> ((at++ & 3) * 8)) & 0xff;
  while (at < length) {
    const first = take();
    if (first < 0x80) {
      units.push(first);
    } else if (first < 0xe0) {
      units.push(((first & 0x1f) << 6) | (take() & 0x3f));
    } else if (first < 0xf0) {
      units.push(((first & 0x0f) << 12) | ((take() & 0x3f) << 6) | (take() & 0x3f));
    } else {
      const high = ((first & 0x07) << 18) | ((take() & 0x3f) << 12);
      const rest = (high | ((take() & 0x3f) << 6) | (take() & 0x3f)) - 0x10000;
      units.push(0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    }
  }
  return String.fromCharCode.apply(null, units);
}
