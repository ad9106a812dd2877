import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { isCertifiedFor } from "../../src/io/node-certificate.ts";

/** The connection of somebody who has shown a certificate for these names. */
function shown(subjectaltname: string): Socket {
  const getPeerCertificate = () => ({ subject: { CN: "node" }, subjectaltname });
  return Object.assign(Object.create(TLSSocket.prototype) as Socket, { getPeerCertificate });
}

describe("isCertifiedFor", () => {
  test("compares the host with the certificate's names", () => {
    const socket = shown("DNS:a.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");

    for (const address of ["a.example:7400", "127.0.0.1:1", "[::1]:7400"])
      expect(isCertifiedFor(socket, address)).toBe(true);
    for (const address of ["b.example:7400", "127.0.0.2:1", "[::2]:7400"])
      expect(isCertifiedFor(socket, address)).toBe(false);
  });

  test("takes what is no address for one that is not certified", () => {
    const socket = shown("DNS:a.example");

    for (const address of ["", "a.example:99999", ":::", "[::", "a.example:x", "%zz"])
      expect(isCertifiedFor(socket, address)).toBe(false);
  });
});
