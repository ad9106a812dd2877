// Whether a certificate is that of a node: signed by the nodes' authority, meant for servers, and for the address at which the node says it is reached.
// A client's certificate is none of a node, though the same authority may have signed it; and a node's is of no use under another address.

import type { Duplex } from "node:stream";
import { checkServerIdentity, TLSSocket } from "node:tls";
import { parseAddress } from "../base/address.ts";

/** Extended key usage of TLS servers, RFC 5280. Certificates without any are good for everything. */
const SERVER_USAGE = "1.3.6.1.5.5.7.3.1";

/** Whether the other end of a connection has shown a certificate of a node of the authority. */
export function isNodeCertified(socket: Duplex): boolean {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
  const usages: readonly string[] | undefined = socket.getPeerCertificate().ext_key_usage;
  return usages === undefined || usages.includes(SERVER_USAGE);
}

/** Whether that certificate is for this `host:port`. */
export function isCertifiedFor(socket: Duplex, address: string): boolean {
  // What the other side says of itself need not be an address.
  const host = parseAddress(address)?.host;
  if (!(socket instanceof TLSSocket) || host === undefined) return false;
  return checkServerIdentity(host, socket.getPeerCertificate()) === undefined;
}
