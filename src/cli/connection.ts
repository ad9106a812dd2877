// The options that every command which talks to a cluster has, and what is made of them: a client, or questions over HTTP.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { NodeHttpOptions } from "../../cluster/node-http.ts";
import { DEFAULT_PORT } from "../base/address.ts";
import type { Cache } from "../index.ts";
import { UsageError } from "./failure.ts";
import { duration, option, type ServerAddress, serverAddress } from "./options.ts";

/** What {@link withConnectionOptions} adds. */
export interface ConnectionOptions {
  readonly server: ServerAddress;
  readonly timeout: number;
  readonly secretFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
}

/** Adds `--server`, `--timeout`, `--secret-file`, `--tls-*` and `--json` to a command. */
export function withConnectionOptions(command: Command): Command {
  return command
    .addOption(
      option("--server <url>", "addresses of some nodes: ringhold://HOST:PORT,HOST:PORT or HOST:PORT", {
        parse: serverAddress,
        fallback: { seeds: [`127.0.0.1:${DEFAULT_PORT}`], isTls: false },
        env: "RINGHOLD_URL",
      }),
    )
    .addOption(
      option("--timeout <duration>", "longest time for the call", { parse: duration, fallback: 5000 }),
    )
    .addOption(option("--secret-file <file>", "file with the cluster's secret (or RINGHOLD_SECRET)"))
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
  const secret = readSecret(options.secretFile);
  const tls = readTls(options) ?? options.server.isTls;
  const { connect } = await import("../index.ts");
  const cache = await connect({ seeds: options.server.seeds }, { timeout: options.timeout, secret, tls });
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
    secret: readSecret(options.secretFile),
    tls: readTls(options) ?? (options.server.isTls ? {} : undefined),
  };
}

/**
 * The shared secret: from the file when one is named, else from RINGHOLD_SECRET. White space around it does not count.
 *
 * @throws {UsageError} when the file cannot be read or is empty
 */
export function readSecret(file: string | undefined): string | undefined {
  if (file === undefined) return process.env.RINGHOLD_SECRET || undefined;
  const secret = readFile("--secret-file", file).trim();
  if (secret === "") throw new UsageError(`--secret-file ${file} is empty`);
  return secret;
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
