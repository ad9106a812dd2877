// Opening a link: name lookup, TCP, TLS, WebSocket and handshake under one time limit, the connection under a shorter one of its own, and one
// sentence for each way to fail.

import { isIP, type Socket } from "node:net";
import WebSocket, { type ClientOptions } from "ws";
import { parseAddress } from "../base/address.ts";
import { CacheError, type ErrorCode } from "../base/errors.ts";
import { HANDSHAKE_BYTES_MAX, type LinkLimits, resolveLinkLimits } from "../wire/limits.ts";
import type { DialOptions, Link } from "./link.ts";
import { DialerHandshake, type HandshakeStep } from "./link-handshake.ts";
import { hardening, WebSocketLink } from "./link-socket.ts";
import { shareSignal } from "./shared-signal.ts";
import { tlsBinding } from "./tls-binding.ts";

/**
 * A connection that is not taken by then is given up, whatever time is left. The system would ask a second time after a second and a third
 * after three: who is not there yet, or behind a cut that has just been mended, is reached sooner by dialling again.
 */
const CONNECT_MS_MAX = 500;

/** One attempt. Settles exactly once; when it fails, nothing of it is left open. */
export class Dial {
  readonly #options: DialOptions;
  readonly #limits: LinkLimits;
  readonly #handshake: DialerHandshake;
  readonly #webSocket: WebSocket;
  readonly #settle: { readonly resolve: (link: Link) => void; readonly reject: (error: Error) => void };
  readonly #timer: NodeJS.Timeout;
  /** From the lookup of the name on. */
  #connectTimer: NodeJS.Timeout | undefined;
  #socket: Socket | undefined;
  #isConnected = false;
  #isSettled = false;

  /** Begins at once. */
  constructor(options: DialOptions, resolve: (link: Link) => void, reject: (error: Error) => void) {
    this.#options = options;
    this.#settle = { resolve, reject };
    this.#limits = options.limits ?? resolveLinkLimits();
    this.#handshake = new DialerHandshake(options.identity, options.path, options);
    const { address, path, tls, timeoutMs, unref } = options;
    const webSocketOptions: ClientOptions = {
      ...hardening(this.#limits.frameBytesMax[path]),
      followRedirects: false,
      // Masks protect careless proxies from the scripts of browsers. No browser speaks this protocol, and a mask of zeros
      // spares a copy and a pass over every frame at both ends.
      generateMask: (mask) => mask.fill(0),
      finishRequest: (request) => {
        request.on("socket", (socket) => {
          this.#socket = socket;
          if (unref === true) socket.unref();
          this.#limitConnect(socket);
        });
        request.end();
      },
      ...(tls === undefined ? {} : definedOf({ cert: tls.cert, key: tls.key, ca: tls.ca })),
    };
    this.#webSocket = new WebSocket(
      `${tls === undefined ? "ws" : "wss"}://${address}/${path}`,
      webSocketOptions,
    );
    this.#timer = setTimeout(() => this.#timeOut(), timeoutMs);
    if (unref === true) this.#timer.unref();
    this.#listen();
  }

  #listen(): void {
    const webSocket = this.#webSocket;
    const { signal } = this.#options;
    if (signal !== undefined) shareSignal(signal).addEventListener("abort", this.#abort, { once: true });
    webSocket.on("error", this.#onError);
    webSocket.on("close", this.#onClose);
    webSocket.on("message", this.#onMessage);
    webSocket.on("open", () => {
      this.#isConnected = true;
      if (this.#socket !== undefined) this.#handshake.bind(tlsBinding(this.#socket));
      webSocket.send(this.#handshake.hello);
    });
    webSocket.on("unexpected-response", (_request, response) => {
      const status = response.statusCode ?? 0;
      // A node that is full says 503; so do proxies whose node is away.
      const isAway = status >= 502 && status <= 504;
      if (status === 401) this.#fail("ERR_UNAUTHORIZED", "it asks nodes for a certificate of its authority");
      else if (isAway) this.#fail("ERR_UNREACHABLE", `it answered with HTTP status ${status}`);
      else this.#fail("ERR_PROTOCOL", `it answered with HTTP status ${status} and is no Ringhold node`);
    });
    // Last, because an abort settles at once.
    if (signal?.aborted === true) this.#abort();
  }

  #limitConnect(socket: Socket): void {
    const check = () => {
      if (socket.connecting)
        this.#fail("ERR_UNREACHABLE", `it took no connection within ${CONNECT_MS_MAX} ms`);
    };
    const begin = () => {
      // What came while this process stood still is read first.
      this.#connectTimer = setTimeout(() => setImmediate(check), CONNECT_MS_MAX);
      if (this.#options.unref === true) this.#connectTimer.unref();
    };
    if (isIP(parseAddress(this.#options.address)?.host ?? "") === 0) socket.once("lookup", begin);
    else begin();
  }

  readonly #abort = (): void => this.#fail("ERR_CLOSED", "the attempt was abandoned");

  #timeOut(): void {
    const phase = this.#isConnected ? "it did not finish the handshake" : "it did not answer";
    this.#fail("ERR_UNREACHABLE", `${phase} within ${this.#options.timeoutMs} ms`);
  }

  readonly #onError = (error: Error): void => {
    const { code, problem } = classify(error);
    this.#fail(code, problem, error);
  };

  readonly #onClose = (code: number): void => {
    // 1006: no close frame. 1001 and 1012: it is going away or restarting.
    const isAway = code === 1006 || code === 1001 || code === 1012;
    if (isAway) this.#fail("ERR_UNREACHABLE", "it closed the connection in the handshake");
    else this.#fail("ERR_PROTOCOL", `it closed the connection in the handshake with code ${code}`);
  };

  readonly #onMessage = (data: WebSocket.RawData, isBinary: boolean): void => {
    const frame = data as Uint8Array;
    if (!isBinary || frame.length > HANDSHAKE_BYTES_MAX) {
      this.#fail("ERR_PROTOCOL", "it answered the handshake with something else");
    } else {
      this.#follow(this.#handshake.receive(frame));
    }
  };

  #follow(step: HandshakeStep): void {
    if (step.kind === "send") this.#webSocket.send(step.frame);
    else if (step.kind === "refused") this.#fail(step.code, step.reason);
    else this.#succeed(step);
  }

  #succeed({ remote }: Extract<HandshakeStep, { kind: "done" }>): void {
    if (this.#isSettled || this.#socket === undefined) return;
    this.#finish();
    const webSocket = this.#webSocket;
    webSocket.off("error", this.#onError);
    webSocket.off("close", this.#onClose);
    webSocket.off("message", this.#onMessage);
    const link = new WebSocketLink({
      webSocket,
      socket: this.#socket,
      path: this.#options.path,
      remote,
      limits: this.#limits,
      sharing: undefined,
      isAsking: this.#options.path === "client",
      register: undefined,
    });
    link.start(this.#options.onLink);
    this.#settle.resolve(link);
  }

  #fail(code: ErrorCode, problem: string, cause?: Error): void {
    if (this.#isSettled) return;
    this.#finish();
    const { address, path } = this.#options;
    const details = { address, path, reason: problem };
    const message = `Cannot open a /${path} link to ${address}: ${problem}`;
    // Its own events after this change nothing: the attempt is settled.
    this.#webSocket.terminate();
    this.#settle.reject(
      new CacheError(code, message, cause === undefined ? { details } : { details, cause }),
    );
  }

  #finish(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#connectTimer);
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }
}

/** The code and the words for an error of the socket, of TLS, of Node's HTTP parser or of ws. */
function classify(error: Error): { readonly code: ErrorCode; readonly problem: string } {
  const system = systemCode(error);
  if (system.startsWith("HPE_") || system === "EPROTO" || system === "ERR_SSL_WRONG_VERSION_NUMBER") {
    return { code: "ERR_PROTOCOL", problem: `it speaks another protocol (${system})` };
  }
  if (system.startsWith("WS_ERR_")) {
    return { code: "ERR_PROTOCOL", problem: `it sent what is not allowed in the handshake (${system})` };
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALERT/.test(system)) {
    return { code: "ERR_UNAUTHORIZED", problem: `its TLS certificate or ours was not accepted (${system})` };
  }
  if (system === "" && /Sec-WebSocket|Upgrade header|subprotocol/i.test(error.message)) {
    return { code: "ERR_PROTOCOL", problem: `it is no WebSocket server (${error.message})` };
  }
  const words = SYSTEM_ERRORS[system] ?? "the connection failed";
  return { code: "ERR_UNREACHABLE", problem: `${words} (${system === "" ? error.message : system})` };
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it cut the connection",
  ENOTFOUND: "the name is unknown",
  EAI_AGAIN: "the name could not be looked up",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ETIMEDOUT: "it did not answer",
  EMFILE: "this process has too many open files",
};

/** The code of an error, or of the first one behind it (a name with several addresses fails with one error per address). */
function systemCode(error: Error): string {
  if ("code" in error && typeof error.code === "string") return error.code;
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error && "code" in first && typeof first.code === "string" ? first.code : "";
}

/** The properties that have a value: ws passes `undefined` on to TLS, which takes it for one. */
function definedOf(tls: {
  readonly [name: string]: string | Uint8Array | undefined;
}): Record<string, string | Buffer> {
  const defined: Record<string, string | Buffer> = {};
  for (const [name, value] of Object.entries(tls)) {
    if (value !== undefined) defined[name] = typeof value === "string" ? value : Buffer.from(value);
  }
  return defined;
}
