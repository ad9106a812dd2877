// Digests of slots: the sum modulo 2^53 of a hash of (key, version, origin) over the entries and tombstones of a slot. A sum
// has no order and can be adjusted by one entry at constant cost; unlike XOR, an entry counted twice does not cancel out.
// Integers only, all of them safe, so that every node computes the same. (After Riak's second generation of tree exchange,
// riak_kv docs/NextGenAAE.md, without the trees.)

import { mix32 } from "../../base/hash.ts";
import type { EntryVersion } from "./entry.ts";

const TWO_32 = 0x1_0000_0000;
/** Sums and hashes lie below this: the first integer that is no longer safe, but still exact. */
const MODULUS = 2 ** 53;

/** A 53-bit hash of one version of a key, given the key's 32-bit hash. Differs for the same key when the version differs. */
export function entryHash(keyHash: number, { version, origin }: EntryVersion): number {
  const versionHash = mix32((version >>> 0) ^ mix32(Math.floor(version / TWO_32) ^ mix32(origin)));
  const low = mix32(keyHash ^ versionHash);
  const high = mix32(low ^ mix32(keyHash + versionHash)) >>> 11;
  return high * TWO_32 + low;
}

/** `sum + hash` modulo 2^53, both from 0 to 2^53 - 1. No intermediate result is rounded. */
export function addToDigest(sum: number, hash: number): number {
  const room = MODULUS - hash;
  return sum >= room ? sum - room : sum + hash;
}

/** `sum - hash` modulo 2^53: undoes {@link addToDigest}. */
export function subtractFromDigest(sum: number, hash: number): number {
  return sum >= hash ? sum - hash : sum + (MODULUS - hash);
}
