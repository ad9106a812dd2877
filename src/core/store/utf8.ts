// Text to UTF-8 bytes and back, without a TextEncoder (which the core may not use) and without garbage: keys are written
// straight into a segment and compared with what lies there. Lone surrogates are kept as the three bytes that they would have
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

/** Writes `text` into `target` from `start` on; there must be room. Returns the offset after the last byte. */
export function writeUtf8(text: string, target: Uint8Array, start: number): number {
  let at = start;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      target[at++] = unit;
    } else if (unit < 0x800) {
      target[at++] = 0xc0 | (unit >> 6);
      target[at++] = 0x80 | (unit & 0x3f);
    } else if (isPair(text, index, unit)) {
      const point = pairPoint(text, index++);
      target[at++] = 0xf0 | (point >> 18);
      target[at++] = 0x80 | ((point >> 12) & 0x3f);
      target[at++] = 0x80 | ((point >> 6) & 0x3f);
      target[at++] = 0x80 | (point & 0x3f);
    } else {
      target[at++] = 0xe0 | (unit >> 12);
      target[at++] = 0x80 | ((unit >> 6) & 0x3f);
      target[at++] = 0x80 | (unit & 0x3f);
    }
  }
  return at;
}

/** Whether the `length` bytes from `start` on are those of `text`. */
export function equalsUtf8(text: string, bytes: Uint8Array, start: number, length: number): boolean {
  // As many bytes as code units: either all of them are ASCII, or the bytes are not those of the text.
  if (length === text.length) {
    for (let index = 0; index < length; index++) {
      if (bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }
  return length > text.length && utf8Length(text) === length && readUtf8(bytes, start, length) === text;
}

/** The text whose `length` bytes begin at `start`, as {@link writeUtf8} wrote them. At most some thousand bytes. */
export function readUtf8(bytes: Uint8Array, start: number, length: number): string {
  const units: number[] = [];
  const end = start + length;
  for (let at = start; at < end; ) {
    const first = bytes[at++]!;
    if (first < 0x80) {
      units.push(first);
    } else if (first < 0xe0) {
      units.push(((first & 0x1f) << 6) | (bytes[at++]! & 0x3f));
    } else if (first < 0xf0) {
      units.push(((first & 0x0f) << 12) | ((bytes[at++]! & 0x3f) << 6) | (bytes[at++]! & 0x3f));
    } else {
      const high = ((first & 0x07) << 18) | ((bytes[at++]! & 0x3f) << 12);
      const rest = (high | ((bytes[at++]! & 0x3f) << 6) | (bytes[at++]! & 0x3f)) - 0x10000;
      units.push(0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    }
  }
  return String.fromCharCode.apply(null, units);
}
