// A certificate authority for tests of TLS, made with the openssl command when a test begins. Certificates are of elliptic curves: making one
// takes some 20 ms.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What a certificate is to say. */
export interface Subject {
  /** @default ["IP:127.0.0.1", "DNS:localhost"] */
  readonly names?: readonly string[];
  /** @default ["serverAuth", "clientAuth"], as a node's must have */
  readonly usages?: readonly string[];
  /** Valid from now on; negative for one that has expired. @default 30 */
  readonly days?: number;
}

/** Files in PEM. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Its files are in a folder of the test's, under its own name. */
export class Authority {
  readonly #folder: string;
  readonly #name: string;
  #serial = 0;

  constructor(folder: string, name = "ca") {
    this.#folder = folder;
    this.#name = name;
    openssl(
      "req",
      "-x509",
      ...KEY,
      "-days",
      "30",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      this.#path("key"),
      "-out",
      this.caFile,
    );
  }

  get caFile(): string {
    return this.#path("pem");
  }

  /** Signs a certificate with a key of its own. The same name again replaces the files. */
  issue(
    name: string,
    { names = ["IP:127.0.0.1", "DNS:localhost"], usages, days = 30 }: Subject = {},
  ): Certificate {
    const file = (suffix: string) => join(this.#folder, `${this.#name}-${name}.${suffix}`);
    const [keyFile, certFile, request, extensions] = ["key", "pem", "csr", "ext"].map(file) as [
      string,
      string,
      string,
      string,
    ];
    openssl("req", ...KEY, "-subj", `/CN=${name}`, "-keyout", `${keyFile}.new`, "-out", request);
    const usage = (usages ?? ["serverAuth", "clientAuth"]).join(",");
    writeFileSync(
      extensions,
      `subjectAltName=${names.join(",")}\n${usage === "" ? "" : `extendedKeyUsage=${usage}\n`}`,
    );
    const signed = ["-CA", this.caFile, "-CAkey", this.#path("key"), "-set_serial", String(++this.#serial)];
    openssl(
      "x509",
      "-req",
      "-in",
      request,
      ...signed,
      "-days",
      String(days),
      "-extfile",
      extensions,
      "-out",
      certFile,
    );
    // Written last, so that whoever watches meets a pair that does not fit together for a moment, as in life.
    writeFileSync(keyFile, readFileSync(`${keyFile}.new`));
    return { certFile, keyFile, caFile: this.caFile };
  }

  #path(suffix: string): string {
    return join(this.#folder, `${this.#name}.${suffix}`);
  }
}

/** The PEM texts of a certificate's files. */
export function pemOf({ certFile, keyFile, caFile }: Certificate): { cert: string; key: string; ca: string } {
  const text = (file: string) => readFileSync(file, "utf8");
  return { cert: text(certFile), key: text(keyFile), ca: text(caFile) };
}

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}
