// What only the two ends of one TLS connection can compute: taken into the proofs of the handshake, it keeps a man in the middle, who has one
// connection with each side, from passing a proof on. Source: RFC 9266, "tls-exporter".

import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

const LABEL = "EXPORTER-Channel-Binding";
const BYTES = 32;

/** 32 bytes; none for a connection without TLS. */
export function tlsBinding(socket: Duplex): Uint8Array {
  if (!(socket instanceof TLSSocket)) return new Uint8Array(0);
  return socket.exportKeyingMaterial(BYTES, LABEL, Buffer.alloc(0));
}
