// Who may prove what: secrets and users' keys as the handshake computes with them. No I/O; HMAC and SHA-256 are all it takes.
//
// A secret of the cluster is known to both sides, and a proof is its HMAC over the conversation. Several may be valid at a time, so that
// secrets can be changed while everything runs; then a proof is the proofs under each, one after the other, and one that fits is enough.
//
// A user's secret is known to the user only. The node keeps two keys that are derived from it, and learns no more from a proof (SCRAM, RFC 5802,
// without its slow hash: secrets are random and long, and whoever knocks must not be able to buy 30 ms of a node with one packet):
//   salted = HMAC(secret, "ringhold user 1" name), client = HMAC(salted, "client"), stored = SHA-256(client), server = HMAC(salted, "server")
//   proof  = client XOR HMAC(stored, conversation); the node's answer is HMAC(server, conversation).
// Whoever reads the users file can answer as a node, but cannot be the user.
//
// Invariants: 1. Every comparison is constant-time. 2. Each proof takes the same steps whether the user exists or not, and whether any
// part of it is right; only its own length, which its maker knows, decides how many.

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Grants } from "../base/grants.ts";

/** Text counts as its bytes in UTF-8. */
export type SecretBytes = string | Uint8Array;

/** Secrets that are valid at a time: the one in use first. */
export type SecretRing = readonly SecretBytes[];

/** Secrets of a cluster, or of one side of a conversation, at a time. Changing one takes two; the rest is room for mistakes. */
export const SECRETS_MAX = 4;

/** Keys of one user at a time: the present one and the next. */
export const USER_KEYS_MAX = 2;

/** Bytes of a proof under one secret, of a key, and of a digest. */
export const PROOF_BYTES = 32;

/** What a node keeps of a user's secret, see the top of the file. */
export interface UserKey {
  readonly stored: Uint8Array;
  readonly server: Uint8Array;
}

/** A user as a node knows it. */
export interface User {
  readonly name: string;
  /** 1 to {@link USER_KEYS_MAX}. */
  readonly keys: readonly UserKey[];
  readonly grants: Grants;
}

/** Finds a user by its name. */
export type FindUser = (name: string) => User | undefined;

/** A secret given in one of the forms that options take. */
export function secretRing(secret: SecretBytes | SecretRing | undefined): SecretRing {
  if (secret === undefined) return [];
  return typeof secret === "string" || secret instanceof Uint8Array ? [secret] : secret;
}

/** What a node keeps of a user's secret. */
export function deriveUserKey(name: string, secret: SecretBytes): UserKey {
  const { client, server } = derive(name, secret);
  return { stored: sha256(client), server };
}

/**
 * Eight bytes in hexadecimal that name a secret among those of a cluster. They tell nothing about a secret that cannot be guessed,
 * and are said only to those who proved to know one.
 */
export function fingerprint(secret: SecretBytes): string {
  return hmac(secret, "ringhold secret fingerprint").subarray(0, 8).toString("hex");
}

/** The same for a user's key. */
export function keyFingerprint({ stored }: UserKey): string {
  return sha256(stored).subarray(0, 8).toString("hex");
}

/** The proof under every secret of the ring, one after the other. */
export function proveSecrets(ring: SecretRing, input: Uint8Array): Uint8Array {
  return Buffer.concat(ring.slice(0, SECRETS_MAX).map((secret) => hmac(secret, input)));
}

/** The secrets of the ring that the proof was made with, in the ring's order; none for a wrong proof. */
export function secretsProved(ring: SecretRing, input: Uint8Array, proof: Uint8Array): SecretRing {
  const parts = partsOf(proof);
  return ring.filter((secret) => {
    const expected = hmac(secret, input);
    // Each part is looked at, also behind one that fits.
    return parts.map((part) => isEqual(expected, part)).includes(true);
  });
}

/** A user's proof under every secret it has, one after the other. */
export function proveUser(name: string, ring: SecretRing, input: Uint8Array): Uint8Array {
  const proofs = ring.slice(0, SECRETS_MAX).map((secret) => {
    const { client } = derive(name, secret);
    return xor(client, hmac(sha256(client), input));
  });
  return Buffer.concat(proofs);
}

/** Whether the other side's proof is that of a node that knows the user. */
export function isNodeOfUser(name: string, ring: SecretRing, input: Uint8Array, proof: Uint8Array): boolean {
  const fits = ring.map((secret) => isEqual(hmac(derive(name, secret).server, input), proof));
  return fits.includes(true);
}

/** The key that the proof was made for; `undefined` for a wrong one, and for no user, at the same cost. */
export function userKeyProved(
  user: User | undefined,
  input: Uint8Array,
  proof: Uint8Array,
): UserKey | undefined {
  const parts = partsOf(proof);
  let proved: UserKey | undefined;
  for (const key of paddedKeys(user)) {
    const signature = hmac(key.stored, input);
    for (const part of parts) {
      const isRight = isEqual(key.stored, sha256(xor(part, signature)));
      proved = isRight ? key : proved;
    }
  }
  return proved;
}

/** The node's answer to a user whose proof was right. */
export function proveNode(key: UserKey, input: Uint8Array): Uint8Array {
  return hmac(key.server, input);
}

/**
 * The user's key that a secret belongs to which was sent as it is (a Redis client's password, a header). Costs the same for a user that
 * does not exist.
 */
export function userKeyOf(user: User | undefined, name: string, secret: Uint8Array): UserKey | undefined {
  const { stored } = deriveUserKey(name, secret);
  let found: UserKey | undefined;
  for (const key of paddedKeys(user)) {
    const isRight = isEqual(key.stored, stored);
    found = isRight ? key : found;
  }
  return found;
}

/** The secrets of the ring that equal one which was sent as it is: one or none. */
export function secretsLike(ring: SecretRing, secret: Uint8Array): SecretRing {
  return ring.filter((own) => isEqual(Buffer.from(own), secret));
}

/** Constant-time: both are hashed first, so that the comparison is always of 32 bytes. */
export function isEqual(expected: Uint8Array, received: Uint8Array): boolean {
  return timingSafeEqual(sha256(expected), sha256(received));
}

/** Nobody can prove this one: its hash is random. */
const NOBODY: UserKey = { stored: randomBytes(PROOF_BYTES), server: randomBytes(PROOF_BYTES) };

/** Always as many as a user may have, so that the number tells nothing. */
function paddedKeys(user: User | undefined): readonly UserKey[] {
  const keys = user?.keys ?? [];
  return Array.from({ length: USER_KEYS_MAX }, (_, index) => keys[index] ?? NOBODY);
}

function derive(
  name: string,
  secret: SecretBytes,
): { readonly client: Uint8Array; readonly server: Uint8Array } {
  const salted = hmac(secret, `ringhold user 1\0${name}`);
  return { client: hmac(salted, "client"), server: hmac(salted, "server") };
}

/** The proofs that stand one after the other; none when the length is none of theirs. */
function partsOf(proof: Uint8Array): readonly Uint8Array[] {
  const count = proof.length / PROOF_BYTES;
  if (!Number.isInteger(count) || count > SECRETS_MAX) return [];
  return Array.from({ length: count }, (_, index) =>
    proof.subarray(index * PROOF_BYTES, (index + 1) * PROOF_BYTES),
  );
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ b[index]!);
}

function hmac(key: SecretBytes, input: string | Uint8Array): Buffer {
  return createHmac("sha256", key).update(input).digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
