// The cluster's secrets as a node keeps them: one in use, and those that are accepted beside it while the secret is being changed.
//
// A secret is changed in three steps, each done on every node before the next: install (the new one is accepted beside the old one), use (the
// new one is proved first), remove (the old one is no more). In a secret file that is: append a line, move it to the top, delete the other.

import { readFileSync } from "node:fs";
import { CacheError } from "../base/errors.ts";
import { fingerprint, SECRETS_MAX, type SecretRing } from "../io/proofs.ts";

/** Shortest secret, in bytes: 128 bits, if it is random. Shorter ones can be guessed from one recorded handshake. */
export const SECRET_BYTES_MIN = 16;
const SECRET_BYTES_MAX = 1024;

/** Secrets that neither `inspect` nor `JSON.stringify` nor a template string can show. The one in use comes first. */
export class Secret {
  readonly #texts: readonly string[];

  /** @param texts One or more. */
  constructor(...texts: readonly string[]) {
    this.#texts = texts;
  }

  /** The secret in use: for the handshake and for comparing, never for output. */
  reveal(): string {
    return this.#texts[0]!;
  }

  /** All that are accepted, the one in use first. */
  ring(): SecretRing {
    return this.#texts;
  }

  /** Names of all that are accepted, in their order: for people to compare, and safe to show. */
  fingerprints(): readonly string[] {
    return this.#texts.map(fingerprint);
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }
}

/**
 * Checks secrets that were given as an option, one or a list.
 *
 * @throws {CacheError} ERR_INVALID_OPTION that shows nothing of them
 */
export function resolveSecret(value: unknown): Secret | undefined {
  if (value === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  // What was given instead may be the secret in another form: only its type is shown.
  if (!list.every((text) => typeof text === "string"))
    throw invalidSecret(
      `must be a text, or a list of texts, received ${typeof list.find((text) => typeof text !== "string")}`,
    );
  return secretOf(list as readonly string[], "must");
}

/**
 * Reads a secret file: a secret per line, the one in use first; white space around them, empty lines and lines that begin with # do
 * not count.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the file and the reason, and nothing that stands in it
 */
export function readSecretFile(file: string): Secret {
  return secretOf(secretLines(readTextFile("secretFile", file)), `${file} must`);
}

/** The secrets in the text of a secret file, unchecked. */
export function secretLines(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * Reads a file that an option names.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the option, the file and the system's code
 */
export function readTextFile(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "unknown reason";
    throw new CacheError("ERR_INVALID_OPTION", `Option ${option} ${file} cannot be read (${reason})`, {
      details: { option, file, systemCode: reason },
    });
  }
}

function secretOf(texts: readonly string[], must: string): Secret {
  if (texts.length < 1 || texts.length > SECRETS_MAX)
    throw invalidSecret(`${must} hold 1 to ${SECRETS_MAX} secrets, received ${texts.length}`);
  for (const text of texts) {
    const size = new TextEncoder().encode(text).length;
    if (size >= SECRET_BYTES_MIN && size <= SECRET_BYTES_MAX) continue;
    throw invalidSecret(
      `${must} be from ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes, received ${size} (openssl rand -hex 32 makes a good one)`,
    );
  }
  if (new Set(texts).size < texts.length) throw invalidSecret(`${must} not hold a secret twice`);
  return new Secret(...texts);
}

function invalidSecret(problem: string): CacheError {
  return new CacheError("ERR_INVALID_OPTION", `Option secret ${problem}`, { details: { option: "secret" } });
}
