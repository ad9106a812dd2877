// The options that every command which talks to a cluster has, and what is made of them: a client, or questions over HTTP.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { NodeCommandOptions } from "../../cluster/node-command.ts";
import type { NodeHttpOptions } from "../../cluster/node-http.ts";
import { DEFAULT_PORT } from "../base/address.ts";
import type { Cache } from "../index.ts";
import { secretLines } from "../server/secret.ts";
import { UsageError } from "./failure.ts";
import { option, type ServerAddress, serverAddress, timeout } from "./options.ts";

const DEFAULT_SERVER = `127.0.0.1:${DEFAULT_PORT}`;

/** What {@link withConnectionOptions} adds. */
export interface ConnectionOptions {
  readonly server: ServerAddress;
  readonly timeout: number;
  readonly cluster?: string;
  readonly secretFile?: string;
  readonly user?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
}

/** Adds `--server`, `--timeout`, `--cluster`, `--user`, `--secret-file`, `--tls-*` and `--json` to a command. */
export function withConnectionOptions(command: Command): Command {
  return command
    .addOption(
      option("--server <url>", "addresses of some nodes: ringhold://HOST:PORT,HOST:PORT or HOST:PORT", {
        parse: serverAddress,
        fallback: { seeds: [DEFAULT_SERVER], isTls: false },
        fallbackText: DEFAULT_SERVER,
        env: "RINGHOLD_URL",
      }),
    )
    .addOption(
      option("--timeout <duration>", "longest time for the call", {
        parse: timeout,
        fallback: 5000,
        fallbackText: "5s",
      }),
    )
    .addOption(option("--cluster <name>", "the cluster's name (default ringhold)"))
    .addOption(
      option("--secret-file <file>", "file with the cluster's or the user's secret (or RINGHOLD_SECRET)"),
    )
    .addOption(option("--user <name>", "the user whose secret it is"))
    .addOption(option("--tls-ca <file>", "certificate authority of the nodes; turns TLS on"))
    .addOption(option("--tls-cert <file>", "certificate to show to the nodes"))
    .addOption(option("--tls-key <file>", "its private key"))
    .addOption(option("--json", "print JSON"));
}

/** Connects, lets `use` work with the cache, and closes. */
export async function withCache(
  options: ConnectionOptions,
  use: (cache: Cache) => Promise<void>,
): Promise<void> {
  const { user, secret } = readLogin(options);
  const tls = readTls(options) ?? options.server.isTls;
  const { connect } = await import("../index.ts");
  const { server, timeout, cluster } = options;
  const cache = await connect({ seeds: server.seeds }, { timeout, cluster, user, secret, tls });
  try {
    await use(cache);
  } finally {
    await cache.close();
  }
}

/** How to ask the nodes over HTTP. */
export function httpOptions(options: ConnectionOptions): NodeHttpOptions {
  return {
    timeoutMs: options.timeout,
    ...httpLogin(options),
    tls: tlsFor(options),
  };
}

/** How to send a node a command. */
export function commandOptions(options: ConnectionOptions): NodeCommandOptions {
  return { timeoutMs: options.timeout, ...readLogin(options), tls: tlsFor(options) };
}

/** `undefined` for plain connections. */
function tlsFor(options: ConnectionOptions): NodeHttpOptions["tls"] {
  return readTls(options) ?? (options.server.isTls ? {} : undefined);
}

/** Who one is: from the flags, or from a URL in the environment. */
function readLogin({ server, user, secretFile }: ConnectionOptions): {
  readonly user: string | undefined;
  readonly secret: readonly string[] | undefined;
} {
  const { login } = server;
  if (login === undefined) return { user, secret: readSecrets(secretFile) };
  if (user === undefined && secretFile === undefined) return { user: login.user, secret: [login.secret] };
  throw new UsageError("RINGHOLD_URL names a user: leave --user and --secret-file out");
}

function httpLogin(options: ConnectionOptions): Pick<NodeHttpOptions, "user" | "secret"> {
  const { user, secret } = readLogin(options);
  return { user, secret: secret?.[0] };
}

/**
 * The secret, or several of which the one in use comes first: from the file when one is named, else from RINGHOLD_SECRET. One per line; white
 * space around them, empty lines and lines that begin with # do not count.
 *
 * @throws {UsageError} when the file cannot be read or is empty
 */
export function readSecrets(file: string | undefined): readonly string[] | undefined {
  const text = file === undefined ? (process.env.RINGHOLD_SECRET ?? "") : readFile("--secret-file", file);
  const secrets = secretLines(text);
  if (secrets.length > 0) return secrets;
  if (file === undefined) return undefined;
  throw new UsageError(`--secret-file ${file} is empty`);
}

/** Reads a file that a flag names. @throws {UsageError} naming the flag, the file and the reason */
export function readFile(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${flag} ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function readTls(options: ConnectionOptions): { ca: string; cert?: string; key?: string } | undefined {
  const { tlsCa, tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key go together: give both or none");
  }
  if (tlsCa === undefined) {
    if (tlsCert !== undefined) throw new UsageError("--tls-cert needs --tls-ca, to know the nodes by");
    return undefined;
  }
  return {
    ca: readFile("--tls-ca", tlsCa),
    ...(tlsCert === undefined ? {} : { cert: readFile("--tls-cert", tlsCert) }),
    ...(tlsKey === undefined ? {} : { key: readFile("--tls-key", tlsKey) }),
  };
}
