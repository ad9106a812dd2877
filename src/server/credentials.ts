// What a node knows its callers by, and shows of itself: secrets, users, certificates. Those that come from files are read again when the files
// change. A file that cannot be used changes nothing: the log says why, once, and what was valid stays valid.

import { CacheError } from "../base/errors.ts";
import { equalGrants } from "../base/grants.ts";
import type { Access } from "../io/link.ts";
import {
  fingerprint,
  keyFingerprint,
  type SecretRing,
  secretsLike,
  type User,
  userKeyOf,
} from "../io/proofs.ts";
import { FileWatch } from "./file-watch.ts";
import type { NodeLogger } from "./logger.ts";
import { readSecretFile, type Secret } from "./secret.ts";
import { checkTls, isTlsFiles, type NodeTls, type NodeTlsFiles, readTlsFiles } from "./tls.ts";
import { DEFAULT_USER, readUsersFile, type Users } from "./users.ts";

/** Where credentials come from: the options of a node that concern them. */
export interface CredentialOptions {
  readonly secret: Secret | undefined;
  readonly secretFile: string | undefined;
  readonly usersFile: string | undefined;
  readonly tls: NodeTls | NodeTlsFiles | undefined;
}

/** What has changed. */
export type CredentialPart = "secrets" | "users" | "certificates";

/** See the top of the file. */
export class Credentials {
  readonly #options: CredentialOptions;
  readonly #logger: NodeLogger;
  readonly #watch: FileWatch;
  #secret: Secret | undefined;
  #users: Users;
  #tls: NodeTls | undefined;
  /** Why a part could not be used when it was read last: said once. */
  readonly #objections = new Map<CredentialPart, string>();
  #onChange: (part: CredentialPart) => void = () => {};

  /**
   * Reads the files.
   *
   * @param lookIntervalMs for tests
   * @throws {CacheError} ERR_INVALID_OPTION naming the file that cannot be used, and why
   */
  constructor(options: CredentialOptions, logger: NodeLogger, lookIntervalMs?: number) {
    const { secret, secretFile, usersFile, tls } = options;
    this.#options = options;
    this.#logger = logger;
    const tlsFiles = tls !== undefined && isTlsFiles(tls) ? [tls.certFile, tls.keyFile, tls.caFile] : [];
    const files = [secretFile, usersFile, ...tlsFiles].filter((file) => file !== undefined);
    this.#watch = new FileWatch(files, () => this.reload(), lookIntervalMs);
    this.#secret = secretFile === undefined ? secret : readSecretFile(secretFile);
    this.#users = usersFile === undefined ? new Map() : readUsersFile(usersFile);
    this.#tls = tls === undefined ? undefined : isTlsFiles(tls) ? readTlsFiles(tls) : checkTls(tls);
  }

  /** Begins to watch the files; `onChange` is told of each part that has changed. */
  start(onChange: (part: CredentialPart) => void): void {
    this.#onChange = onChange;
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
    this.#onChange = () => {};
  }

  /** Whether callers must prove anything. It never changes. */
  get isSecured(): boolean {
    return this.#secret !== undefined;
  }

  /** The secrets that are accepted, the one in use first; none when nothing is asked for. */
  get secrets(): SecretRing {
    return this.#secret?.ring() ?? [];
  }

  /** Names of the secrets, in their order. */
  get fingerprints(): readonly string[] {
    return this.#secret?.fingerprints() ?? [];
  }

  get tls(): NodeTls | undefined {
    return this.#tls;
  }

  readonly findUser = (name: string): User | undefined => this.#users.get(name);

  /**
   * As whom somebody acts who sent a secret as it is; `undefined` for a wrong one, at the same cost whoever it names.
   *
   * @param name A user's, or {@link DEFAULT_USER} for the cluster's secret.
   */
  accessOf(name: string, secret: Uint8Array): Access | undefined {
    const user = this.#users.get(name);
    const key = userKeyOf(user, name, secret);
    const proved = secretsLike(this.secrets, secret);
    if (name === DEFAULT_USER && proved.length > 0)
      return { user: "", grants: undefined, provedBy: proved.map(fingerprint) };
    return user !== undefined && key !== undefined
      ? { user: name, grants: user.grants, provedBy: [keyFingerprint(key)] }
      : undefined;
  }

  /** Whether what was proved once is still so: the same grants, the same user, a secret that is accepted. */
  isValid(access: Access): boolean {
    if (!this.isSecured) return true;
    const { user: name, grants, provedBy } = access;
    const user = this.#users.get(name);
    const valid = name === "" ? this.fingerprints : (user?.keys.map(keyFingerprint) ?? []);
    if (!provedBy.some((fingerprint) => valid.includes(fingerprint))) return false;
    return user === undefined || grants === undefined || equalGrants(user.grants, grants);
  }

  /** Reads the files again, now. Returns whether the system let them all be read: what is wrong with a text stays wrong until it changes. */
  reload(): boolean {
    const { secretFile, usersFile, tls } = this.#options;
    const reads = [
      secretFile === undefined || this.#read("secrets", () => this.#takeSecret(readSecretFile(secretFile))),
      usersFile === undefined || this.#read("users", () => this.#takeUsers(readUsersFile(usersFile))),
      tls === undefined ||
        !isTlsFiles(tls) ||
        this.#read("certificates", () => this.#takeCertificates(readTlsFiles(tls))),
    ];
    return reads.every((isRead) => isRead);
  }

  // Each returns whether it is another one than before.

  #takeSecret(secret: Secret): boolean {
    const isSame = isSameList(secret.fingerprints(), this.fingerprints);
    this.#secret = secret;
    return !isSame;
  }

  #takeUsers(users: Users): boolean {
    const isSame = isSameList(textsOf(users), textsOf(this.#users));
    this.#users = users;
    return !isSame;
  }

  #takeCertificates(tls: NodeTls): boolean {
    const { cert, key, ca } = this.#tls!;
    const isSame = tls.cert === cert && tls.key === key && tls.ca === ca;
    this.#tls = tls;
    return !isSame;
  }

  /** Returns whether the system let the file be read. */
  #read(part: CredentialPart, take: () => boolean): boolean {
    try {
      const isNew = take();
      this.#objections.delete(part);
      if (!isNew) return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : "unknown reason";
      if (this.#objections.get(part) !== reason)
        this.#logger.error({ part, reason }, "credentials cannot be used: the old ones stay valid");
      this.#objections.set(part, reason);
      return !(error instanceof CacheError && error.details.systemCode !== undefined);
    }
    this.#logger.info({ part }, "credentials changed");
    this.#onChange(part);
    return true;
  }
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function textsOf(users: Users): readonly string[] {
  return [...users.values()].map((user) => JSON.stringify(user));
}
