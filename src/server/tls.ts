// Certificates of a node: where they come from, and how its servers use them. A node's links are TLS 1.2 or later. Certificates are
// asked of everybody who connects, and required of nodes (`io/link.ts`).

import { createSecureContext, type SecureContextOptions, type TlsOptions } from "node:tls";
import { CacheError } from "../base/errors.ts";
import { readTextFile } from "./secret.ts";

/** Certificates in PEM. With them every link of the node is TLS; links between nodes prove both sides. */
export interface NodeTls {
  /** This node's certificate chain. Also shown to other nodes when this one dials them. */
  readonly cert: string | Uint8Array;
  /** The private key of `cert`. */
  readonly key: string | Uint8Array;
  /** The authority that signed the certificates of all nodes. */
  readonly ca: string | Uint8Array;
}

/** Files with what {@link NodeTls} says. They are read again when they change. */
export interface NodeTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** From the connection to the end of the TLS handshake. */
const HANDSHAKE_MS_MAX = 2_500;

/** What a server's secure context is made of; for a new server, and for `setSecureContext`. */
export function secureContext({ cert, key, ca }: NodeTls): SecureContextOptions {
  const pem = (part: string | Uint8Array) => (typeof part === "string" ? part : Buffer.from(part));
  return { cert: pem(cert), key: pem(key), ca: pem(ca), minVersion: "TLSv1.2" };
}

/** The options of a TLS server that asks for certificates and leaves it to others to require them. */
export function tlsServerOptions(tls: NodeTls): TlsOptions {
  return {
    ...secureContext(tls),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS_MAX,
  };
}

/** Whether the certificates come from files. */
export function isTlsFiles(tls: NodeTls | NodeTlsFiles): tls is NodeTlsFiles {
  return "certFile" in tls;
}

/**
 * Reads certificates.
 *
 * @throws {CacheError} ERR_INVALID_OPTION naming the file, or saying why they do not go together; nothing of a key
 */
export function readTlsFiles({ certFile, keyFile, caFile }: NodeTlsFiles): NodeTls {
  const tls = {
    cert: readTextFile("tls.certFile", certFile),
    ca: readTextFile("tls.caFile", caFile),
  };
  const key = readTextFile("tls.keyFile", keyFile);
  // Not enumerable: a private key must not be printed with the options.
  return checkTls(Object.freeze(Object.defineProperty(tls, "key", { value: key })) as NodeTls);
}

/** Returns its argument. @throws {CacheError} ERR_INVALID_OPTION when OpenSSL cannot use it */
export function checkTls(tls: NodeTls): NodeTls {
  try {
    createSecureContext(secureContext(tls));
    return tls;
  } catch (error) {
    // OpenSSL's reasons are fixed texts.
    const reason = error instanceof Error ? error.message : "unknown reason";
    throw new CacheError("ERR_INVALID_OPTION", `Option tls: the certificates cannot be used (${reason})`, {
      details: { option: "tls" },
    });
  }
}
