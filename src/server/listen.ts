// Binding a node's port, and finding the address to tell others.

import { isIP, type Server, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { type Address, formatAddress } from "../base/address.ts";
import { CacheError } from "../base/errors.ts";
import { ignoreError } from "../io/ignored-error.ts";
import { isWildcardHost } from "./options.ts";

/** What to do about the failures that people meet. */
const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there: stop it, or choose another port",
  EACCES: "this user may not listen there: choose a port above 1023",
  EADDRNOTAVAIL: "this machine has no such address: choose one of its own, or 0.0.0.0 for all",
  ENOTFOUND: "the host name is not known: use an IP address",
  EAI_AGAIN: "the host name could not be looked up: use an IP address",
};

/**
 * Resolves to the address that was bound, with its real port.
 *
 * @param option The option that named the address, for the error's details.
 * @throws {CacheError} ERR_INVALID_OPTION naming the address, the system's code, and what to do
 */
export async function listen(server: Server, address: Address, option = "listen"): Promise<Address> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address.host, port: address.port, backlog: 511 }, () => {
      server.off("error", reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    const code = error.code ?? error.message;
    const advice = ADVICE[code] ?? "choose another address";
    const message = `Cannot listen on ${formatAddress(address)} (${code}): ${advice}`;
    throw new CacheError("ERR_INVALID_OPTION", message, {
      details: { option, address: formatAddress(address), systemCode: code },
      cause: error,
    });
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  return { host: address.host, port };
}

/**
 * Keeps those who connect waiting while there is nobody yet to hear them; how many is the server's own bound. To be called before it
 * listens. Returns what puts its listeners back, and returns in turn what hands over those who wait: in between, others may add their listeners.
 */
export function holdConnections(server: Server): () => () => void {
  const listeners = server.listeners("connection") as ((socket: Socket) => void)[];
  const waiting: Socket[] = [];
  const hold = (socket: Socket) => waiting.push(socket.on("error", ignoreError));
  server.removeAllListeners("connection");
  server.on("connection", hold);
  return () => {
    server.off("connection", hold);
    for (const listener of listeners) server.on("connection", listener);
    return () => {
      for (const socket of waiting) if (!socket.destroyed) server.emit("connection", socket);
    };
  };
}

/**
 * What others are told to dial: the option if given (port 0 stands for the bound one), otherwise what is listened on. For a
 * wildcard it is the machine's first address that is not loopback.
 *
 * @throws {CacheError} ERR_INVALID_OPTION when a wildcard is listened on and the machine has no such address
 */
export function advertisedAddress(bound: Address, option: Address | undefined): Address {
  if (option !== undefined) return { host: option.host, port: option.port === 0 ? bound.port : option.port };
  if (!isWildcardHost(bound.host)) return bound;
  const family = isIP(bound.host) === 6 ? "IPv6" : "IPv4";
  const external = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal && !address.address.startsWith("fe80:"));
  // A socket on `::` takes IPv4 too, where the machine has only that.
  const host = (external.find((address) => address.family === family) ?? external[0])?.address;
  if (host !== undefined) return { host, port: bound.port };
  throw new CacheError(
    "ERR_INVALID_OPTION",
    `Cannot tell others how to reach ${formatAddress(bound)}: this machine has loopback addresses only; set --advertise HOST:PORT`,
    { details: { option: "advertise" } },
  );
}
