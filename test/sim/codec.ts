// Every frame crosses the real codec, and what comes out must equal what went in: the codec is part of what is simulated.

import { isDeepStrictEqual } from "node:util";
import type { Message, Path } from "../../src/core/messages.ts";
import { Violation } from "./violation.ts";

/** What kind of process is at an end of a connection. */
export type Role = "node" | "client";

export interface Codec {
  encode(messages: readonly Message[]): Uint8Array;
  /** @throws {Violation} when the bytes are refused */
  decode(bytes: Uint8Array, path: Path, from: Role): readonly Message[];
}

/** Turns messages into bytes and back with the given codec, comparing every `compareEvery`-th frame in full. */
export class CheckedCodec {
  readonly #codec: Codec;
  readonly #compareEvery: number;
  #frames = 0;

  constructor(codec: Codec, compareEvery = 16) {
    this.#codec = codec;
    this.#compareEvery = compareEvery;
  }

  /** @throws {Violation} when the bytes do not decode to the same messages. */
  encode(messages: readonly Message[], path: Path, from: Role): Uint8Array {
    const bytes = this.#codec.encode(messages);
    if (this.#frames++ % this.#compareEvery === 0) {
      const back = this.#codec.decode(bytes, path, from);
      if (!isDeepStrictEqual(back, messages)) {
        throw new Violation("codec", `${describe(messages)} came back as ${describe(back)}`);
      }
    }
    return bytes;
  }

  decode(bytes: Uint8Array, path: Path, from: Role): readonly Message[] {
    return this.#codec.decode(bytes, path, from);
  }
}

function describe(messages: readonly Message[]): string {
  return JSON.stringify(messages, (_key, value: unknown) =>
    value instanceof Uint8Array ? `bytes(${value.join(",")})` : value,
  ).slice(0, 2000);
}
