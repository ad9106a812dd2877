// A running fingerprint of everything that happens in a run. Two runs of one seed must end with the same fingerprint: any
// difference means that chance, real time or iteration order leaked into code that must be deterministic.

/** Order-sensitive fingerprint over numbers, texts and bytes (two FNV-1a streams; not for security). */
export class TraceDigest {
  #low = 0x811c9dc5;
  #high = 0x01000193;
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);

  addNumber(value: number): void {
    this.#float[0] = value;
    this.#mix(this.#words[0]!);
    this.#mix(this.#words[1]!);
  }

  addText(text: string): void {
    for (let index = 0; index < text.length; index++) this.#mix(text.charCodeAt(index));
  }

  addBytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#mix(byte);
  }

  /** 16 hex digits. */
  hex(): string {
    const part = (word: number) => (word >>> 0).toString(16).padStart(8, "0");
    return part(this.#high) + part(this.#low);
  }

  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193);
    this.#high = Math.imul(this.#high ^ word ^ (this.#low >>> 15), 0x85ebca6b);
  }
}
