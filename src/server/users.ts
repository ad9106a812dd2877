// The users file: who may connect beside the holders of the cluster's secret, with which secret of its own, and what it may do. JSON:
//
//   { "users": [ { "name": "api", "keys": ["ringhold-1:..."], "classes": ["read", "write"], "prefixes": ["api:"] } ] }
//
// `keys` are made of the user's secret (`ringhold user`; `io/proofs.ts` says how) and cannot be turned back into it. A user has two while its
// secret is being changed. `prefixes` are those of the keys it may use, "" for all. Nothing else is allowed in it: a mistyped restriction
// must not be taken for none. A file that is not right as a whole changes nothing.

import { CacheError } from "../base/errors.ts";
import {
  COMMAND_CLASSES,
  type CommandClass,
  type Grants,
  PREFIX_BYTES_MAX,
  PREFIXES_MAX,
} from "../base/grants.ts";
import {
  deriveUserKey,
  PROOF_BYTES,
  type SecretBytes,
  USER_KEYS_MAX,
  type User,
  type UserKey,
} from "../io/proofs.ts";
import { readTextFile } from "./secret.ts";

/** Users in one file; one with more is refused. */
export const USERS_MAX = 1_024;
/** Characters of a users file: room for that many of the largest. */
const FILE_CHARACTERS_MAX = 4 * 1024 * 1024;
const KEY_FORM = "ringhold-1";
/** What Redis clients call whoever gives no name: the holder of the cluster's secret. */
export const DEFAULT_USER = "default";

/** Users by name. */
export type Users = ReadonlyMap<string, User>;

/**
 * Reads a users file.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the file and what is wrong with it, and no key
 */
export function readUsersFile(file: string): Users {
  const text = readTextFile("usersFile", file);
  try {
    return parseUsers(text);
  } catch (error) {
    if (!(error instanceof BadUsers)) throw error;
    throw new CacheError("ERR_INVALID_OPTION", `Option usersFile ${file}: ${error.message}`, {
      details: { option: "usersFile", file },
    });
  }
}

/** What is wrong with a users file. */
export class BadUsers extends Error {
  override readonly name = "BadUsers";
}

/** The users in the text of a users file. @throws {BadUsers} */
export function parseUsers(text: string): Users {
  if (text.length > FILE_CHARACTERS_MAX) throw new BadUsers(`more than ${FILE_CHARACTERS_MAX} characters`);
  const { users: list } = record(parsedJson(text), "the file", ["users"]);
  if (!Array.isArray(list)) throw new BadUsers("users must be a list");
  if (list.length > USERS_MAX) throw new BadUsers(`at most ${USERS_MAX} users, received ${list.length}`);
  const users = new Map<string, User>();
  for (const [index, value] of list.entries()) {
    const user = parseUser(value, index);
    if (users.has(user.name)) throw new BadUsers(`user ${user.name} stands there twice`);
    users.set(user.name, user);
  }
  return users;
}

/** A user's entry in a users file, for `JSON.stringify`. */
export function userEntry(name: string, secrets: readonly SecretBytes[], grants: Grants): object {
  const keys = secrets.map((secret) => formatKey(deriveUserKey(name, secret)));
  return { name, keys, classes: grants.classes, prefixes: grants.prefixes };
}

/** Whether a text can be a user's name. */
export function isUserName(name: unknown): name is string {
  return typeof name === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(name) && name !== DEFAULT_USER;
}

function parseUser(value: unknown, index: number): User {
  const at = `users[${index}]`;
  const { name, keys, classes, prefixes } = record(value, at, ["name", "keys", "classes", "prefixes"]);
  if (!isUserName(name)) {
    throw new BadUsers(
      `${at}.name must be 1 to 64 characters of A-Z a-z 0-9 . _ - and not "${DEFAULT_USER}"`,
    );
  }
  const user = `user ${name}`;
  return {
    name,
    keys: bounded(keys, `${user}: keys`, USER_KEYS_MAX).map((key) => parseKey(key, user)),
    grants: { classes: parseClasses(classes, user), prefixes: parsePrefixes(prefixes, user) },
  };
}

function parseClasses(value: unknown, user: string): readonly CommandClass[] {
  const given = bounded(value, `${user}: classes`, COMMAND_CLASSES.length);
  for (const name of given) {
    if (!COMMAND_CLASSES.includes(name as CommandClass))
      throw new BadUsers(`${user}: classes must be of ${COMMAND_CLASSES.join(", ")}`);
  }
  return COMMAND_CLASSES.filter((name) => given.includes(name));
}

function parsePrefixes(value: unknown, user: string): readonly string[] {
  const given = bounded(value, `${user}: prefixes`, PREFIXES_MAX);
  for (const prefix of given) {
    const isShort = typeof prefix === "string" && Buffer.byteLength(prefix) <= PREFIX_BYTES_MAX;
    if (!isShort) throw new BadUsers(`${user}: prefixes must be texts of at most ${PREFIX_BYTES_MAX} bytes`);
  }
  const prefixes = [...new Set(given as string[])].sort();
  // What another one covers adds nothing.
  return prefixes.filter((prefix) => !prefixes.some((other) => other !== prefix && prefix.startsWith(other)));
}

function parseKey(value: unknown, user: string): UserKey {
  const [form, ...parts] = typeof value === "string" ? value.split(":") : [];
  const bytes = parts.map((part) => Buffer.from(part, "base64url"));
  const isKey =
    form === KEY_FORM && bytes.length === 2 && bytes.every(({ length }) => length === PROOF_BYTES);
  if (!isKey) throw new BadUsers(`${user}: a key is none (\`ringhold user\` makes them)`);
  return { stored: bytes[0]!, server: bytes[1]! };
}

function formatKey({ stored, server }: UserKey): string {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  return `${KEY_FORM}:${text(stored)}:${text(server)}`;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Its message would show a piece of the file.
    throw new BadUsers("it is no JSON");
  }
}

/** An object with no other fields than these. */
function record(value: unknown, at: string, fields: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadUsers(`${at} must be an object with ${fields.join(", ")}`);
  const unknown = Object.keys(value).find((name) => !fields.includes(name));
  if (unknown !== undefined)
    throw new BadUsers(`${at} has an unknown field ${JSON.stringify(unknown.slice(0, 40))}`);
  return value as Record<string, unknown>;
}

/** A list of 1 to `lengthMax`. */
function bounded(value: unknown, at: string, lengthMax: number): readonly unknown[] {
  if (Array.isArray(value) && value.length >= 1 && value.length <= lengthMax) return value;
  throw new BadUsers(`${at} must be a list of 1 to ${lengthMax}`);
}
