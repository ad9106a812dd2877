// Asking a node over HTTP: is it ready, is it safe, what does it see. `node:http` and not `fetch`, because loading fetch costs
// a short-lived command more time than the question itself.

import { request as httpRequest, type IncomingMessage } from "node:http";
import type { NodeStatus } from "../src/core/status.ts";

/** How to ask; the same for all nodes of a cluster. */
export interface NodeHttpOptions {
  /** Milliseconds for the whole exchange. @default 1000 */
  readonly timeoutMs?: number;
  /** The cluster's shared secret, or the user's own, for the endpoints that ask for it. */
  readonly secret?: string | undefined;
  /** @default none: a holder of the cluster's secret */
  readonly user?: string | undefined;
  /** Where the cluster's links are TLS: certificates in PEM. `{}` trusts the authorities that Node trusts. */
  readonly tls?: NodeHttpTls | undefined;
}

/** In PEM. */
export interface NodeHttpTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** An answer, whatever its status. */
export interface NodeAnswer {
  readonly status: number;
  readonly body: string;
}

/** Bytes of an answer that are read; a longer one is no node's. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The node's answer to `GET path`.
 *
 * @param address `host:port`
 * @throws {Error} when there is no answer within the time, saying why
 */
export async function askNode(
  address: string,
  path: string,
  options: NodeHttpOptions = {},
): Promise<NodeAnswer> {
  const { hostname, port } = new URL(`http://${address}`);
  const timeoutMs = options.timeoutMs ?? 1000;
  const request = options.tls === undefined ? httpRequest : (await import("node:https")).request;
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || 80),
      path,
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      headers:
        options.secret === undefined ? {} : { authorization: authorization(options.secret, options.user) },
      ...options.tls,
    });
    outgoing.on("error", (error) => {
      const why = error.name === "AbortError" ? `no answer within ${timeoutMs} ms` : error.message;
      reject(new Error(`${address}: ${why}`, { cause: error }));
    });
    outgoing.on("response", (incoming) => {
      readBody(incoming).then((body) => resolve({ status: incoming.statusCode ?? 0, body }), reject);
    });
    outgoing.end();
  });
}

/**
 * What the node sees of itself and the cluster.
 *
 * @throws {Error} when it does not answer, or not with a status
 */
export async function fetchNodeStatus(address: string, options: NodeHttpOptions = {}): Promise<NodeStatus> {
  const { status, body } = await askNode(address, "/status", options);
  if (status === 403) throw new Error(`${address}: this user may not read the status (class admin)`);
  if (status === 401) {
    throw new Error(`${address}: asks for the cluster's secret (--secret-file or RINGHOLD_SECRET)`);
  }
  if (status !== 200) throw new Error(`${address}: answered /status with HTTP ${status}`);
  try {
    return JSON.parse(body) as NodeStatus;
  } catch (error) {
    throw new Error(`${address}: answered /status with something other than JSON`, { cause: error });
  }
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming) {
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`An answer longer than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function authorization(secret: string, user: string | undefined): string {
  if (user === undefined) return `Bearer ${latin1OfUtf8(secret)}`;
  return `Basic ${Buffer.from(`${user}:${secret}`, "utf8").toString("base64")}`;
}

/** Header values travel as Latin-1: so written, the bytes on the wire are the secret's UTF-8 bytes. */
function latin1OfUtf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
