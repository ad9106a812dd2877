// The HTTP side of a node's port: probes, status and metrics. It is made for hostile neighbours: short time limits, small headers,
// a bound on connections, no request bodies. With a secret set, what tells about the cluster asks for it (`Authorization: Bearer`), or for a
// user of the class `admin` and its own (`Authorization: Basic`).

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isLoopbackHost, parseAddress } from "../base/address.ts";
import { mayUse } from "../base/grants.ts";
import { type Access, OPEN_ACCESS } from "../io/link.ts";
import { METRICS_CONTENT_TYPE } from "./prometheus.ts";
import { type NodeTls, tlsServerOptions } from "./tls.ts";
import { DEFAULT_USER } from "./users.ts";

/** From the beginning of a request to its end. Longer than the gate lets a stranger be one: it cuts crowds in small portions, http does not. */
const REQUEST_MS_MAX = 5_000;
/** From the end of a response to the next request. */
const IDLE_MS_MAX = 2_500;
/** How often that is looked at. */
const CHECK_INTERVAL_MS = 500;
const HEADER_BYTES_MAX = 8 * 1024;
const HEADERS_MAX = 64;

/** A verdict: whether it is good, and one line about it. */
export interface Verdict {
  readonly isGood: boolean;
  readonly line: string;
}

/** What the endpoints tell. Called at each request. */
export interface HttpPages {
  /** The process lives. */
  health(): Verdict;
  /** It is in the ring and answers. */
  ready(): Verdict;
  /** Losing any one node now loses nothing. */
  safe(): Verdict;
  /** Anything that JSON can say. */
  status(): unknown;
  /** In the Prometheus text format. */
  metrics(): string;
}

/** How the server listens. */
export interface HttpOptions {
  readonly tls: NodeTls | undefined;
  /** Further connections are dropped as they come. */
  readonly connectionsMax: number;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const TEXT = "text/plain; charset=utf-8";
const NOT_FOUND = "Not found: there are /healthz, /readyz, /safez, /status and /metrics\n";

/** A server that does not listen yet and answers nothing until {@link servePages}. Upgrades are left to whoever listens for them. */
export function createHttpServer({ tls, connectionsMax }: HttpOptions): Server {
  const limits = {
    headersTimeout: REQUEST_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    noDelay: true,
  };
  const server: Server =
    tls === undefined ? createServer(limits) : createTlsServer({ ...limits, ...tlsServerOptions(tls) });
  server.maxHeadersCount = HEADERS_MAX;
  server.maxConnections = connectionsMax;
  // A connection that says nothing at all is none of the cases above. Links lift this when they take a socket over.
  server.setTimeout(REQUEST_MS_MAX + CHECK_INTERVAL_MS);
  return server;
}

/** Who may read the pages. */
export interface HttpGuard {
  /** Whether pages that tell about the cluster ask who reads them. */
  readonly isSecured: boolean;
  /** As whom somebody acts who sent a name and a secret; `undefined` for wrong ones. */
  accessOf(name: string, secret: Uint8Array): Access | undefined;
  /** Somebody at `host:port` sent wrong ones. */
  onWrongSecret?(remoteAddress: string): void;
  /** Somebody at `host:port` is entitled to what they ask for. */
  onEntitled?(remoteAddress: string): void;
}

/**
 * Answers the server's requests from `pages`, asking for the secret where there is one. Who does not give it is answered once per connection: keeping
 * connections is not for strangers.
 */
export function servePages(server: Server, pages: HttpPages, guard: HttpGuard): void {
  const ending = new WeakSet<object>();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    // Thousands of requests come in one read. The answer to the first ends the connection.
    if (ending.has(request.socket)) return;
    const access = guard.isSecured ? accessIn(request.headers.authorization, guard) : OPEN_ACCESS;
    if (access !== undefined) guard.onEntitled?.(remoteOf(request));
    // Whatever was asked for: the answer tells whether it was right.
    else if (request.headers.authorization !== undefined) guard.onWrongSecret?.(remoteOf(request));
    const answer = answerTo(pages, guard, request, access);
    // A body is not read, so the connection cannot carry another request.
    const isLast = access === undefined || hasBody(request);
    if (isLast) ending.add(request.socket);
    respond(answer, request, response, isLast);
  });
}

function respond(answer: Answer, request: IncomingMessage, response: ServerResponse, isLast: boolean): void {
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    "content-type": answer.type,
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(isLast ? { connection: "close" } : {}),
    ...answer.headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function answerTo(
  pages: HttpPages,
  guard: HttpGuard,
  request: IncomingMessage,
  access: Access | undefined,
): Answer {
  // Browsers say where their scripts come from, and a web page has no business here: as with links (io/link.ts).
  if (request.headers.origin !== undefined) return { status: 403, type: TEXT, body: "Not for web pages\n" };
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, type: TEXT, body: "Only GET and HEAD\n", headers: { allow: "GET, HEAD" } };
  }
  const path = (request.url ?? "").split("?", 1)[0];
  if (path === "/healthz") return verdict(pages.health());
  if (path === "/readyz") return verdict(pages.ready());
  if (path === "/safez") return verdict(pages.safe());
  // A page whose own name was made to lead here (DNS rebinding) names no origin, but that name. Without a secret nodes listen on loopback only.
  if (!guard.isSecured && !namesThisMachine(request))
    return { status: 403, type: TEXT, body: "Ask at localhost, or by the address\n" };
  // Asked for before unknown paths are told apart: without the secret there is nothing to find out.
  if (access === undefined) {
    const headers = { "www-authenticate": "Bearer" };
    return { status: 401, type: TEXT, body: "The cluster's secret is required\n", headers };
  }
  if (!mayUse(access.grants, "admin"))
    return { status: 403, type: TEXT, body: "This user may not read that\n" };
  if (path === "/metrics") return { status: 200, type: METRICS_CONTENT_TYPE, body: pages.metrics() };
  if (path === "/status")
    return { status: 200, type: "application/json", body: `${JSON.stringify(pages.status())}\n` };
  return { status: 404, type: TEXT, body: NOT_FOUND };
}

function namesThisMachine({ headers }: IncomingMessage): boolean {
  const address = parseAddress(headers.host ?? "localhost");
  return address !== undefined && isLoopbackHost(address.host.toLowerCase());
}

function remoteOf({ socket }: IncomingMessage): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

function verdict({ isGood, line }: Verdict): Answer {
  return { status: isGood ? 200 : 503, type: TEXT, body: `${line}\n` };
}

function accessIn(header: string | undefined, guard: HttpGuard): Access | undefined {
  const [, scheme = "", given = ""] = /^(Bearer|Basic) +(.+)$/i.exec(header ?? "") ?? [];
  // Node reads header bytes as Latin-1, whatever the client meant by them. Nothing given is as wrong as anything.
  if (scheme.toLowerCase() !== "basic") return guard.accessOf(DEFAULT_USER, Buffer.from(given, "latin1"));
  const pair = Buffer.from(given, "base64");
  const colon = pair.indexOf(":");
  return guard.accessOf(pair.toString("utf8", 0, Math.max(0, colon)), pair.subarray(colon + 1));
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers["content-length"];
  return request.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
