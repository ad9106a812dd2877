// xxHash behind the `Hashes` port. The module is WebAssembly, so it loads asynchronously and once per process; from then on
// hashing is synchronous and core never sees a promise. Text is hashed as UTF-8, lone surrogates as U+FFFD, which is what
// clients in other languages must do too.

import xxhash from "xxhash-wasm";
import type { Hashes } from "../base/hash.ts";
import { xxh32 } from "../base/xxh32.ts";

// The one exception to "no module-level state": the compiled module is a constant, only a late one.
let loading: Promise<Hashes> | undefined;

/** Resolves to the process's hashes: the same frozen object on every call. */
export function loadHashes(): Promise<Hashes> {
  loading ??= instantiate();
  return loading;
}

async function instantiate(): Promise<Hashes> {
  const { h32, h64ToString } = await xxhash();
  return Object.freeze({
    hash32: (text: string, seed = 0) => h32(text, seed),
    hash64Hex: (text: string) => h64ToString(text),
    hashWords32: xxh32,
  });
}
