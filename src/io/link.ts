// Links: authenticated connections that carry messages, over WebSockets. `dialLink` opens one, `LinkAcceptor` takes those that
// others open. The users of a link see messages only: bytes, batching, the handshake and slow readers are dealt with here.
// `link-socket.ts` has the established link, `link-handshake.ts` the conversation before it, `link-dial.ts` the ways to fail.

import { type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { ErrorCode } from "../base/errors.ts";
import type { Grants } from "../base/grants.ts";
import type { Message, Path } from "../core/messages.ts";
import { encodeHandshake } from "../wire/handshake.ts";
import { HANDSHAKE_BYTES_MAX, type LinkLimits, resolveLinkLimits } from "../wire/limits.ts";
import { ignoreError } from "./ignored-error.ts";
import { Dial } from "./link-dial.ts";
import { AcceptorHandshake, type HandshakeStep } from "./link-handshake.ts";
import { CLOSE_CODES, hardening, WebSocketLink } from "./link-socket.ts";
import { isCertifiedFor, isNodeCertified } from "./node-certificate.ts";
import type { FindUser, SecretBytes, SecretRing } from "./proofs.ts";
import { tlsBinding } from "./tls-binding.ts";
import { TurnTaking } from "./turn-taking.ts";
import { LOOK_INTERVAL_MS, UnfinishedInput } from "./unfinished-input.ts";
import { UnreadOutput } from "./unread-output.ts";

/** What this process says of itself in the handshake. Protocol range, capabilities and ring parameters are added inside. */
export interface LocalIdentity {
  readonly role: "client" | "node";
  /** A client may say "" for any cluster. */
  readonly clusterName: string;
  /** "" while not known: then any genesis is accepted (and `RemoteIdentity.genesisId` is the one to adopt). */
  readonly genesisId: string;
  /** A node's member id; "" for a client. */
  readonly id: string;
  /** A node's boot number; 0 for a client. */
  readonly generation: number;
  /** `host:port` at which a node is reached; "" for a client. */
  readonly address: string;
  /** A client's number, a safe integer above 0; 0 for a node. */
  readonly clientId: number;
  /** Copies of each key; 0 for a client. */
  readonly replicas: number;
}

/** What a client says of itself. Without a cluster's name it is content with any, without a genesis id likewise. */
export function clientIdentity({
  clientId,
  clusterName = "",
  genesisId = "",
}: Pick<LocalIdentity, "clientId"> &
  Partial<Pick<LocalIdentity, "clusterName" | "genesisId">>): LocalIdentity {
  const noNode = { id: "", generation: 0, address: "", replicas: 0 };
  return { role: "client", clusterName, genesisId, clientId, ...noNode };
}

/** What the other side said of itself, and, where a secret is set, proved. */
export interface RemoteIdentity extends LocalIdentity {
  /** The protocol version both sides speak on this link. */
  readonly protocol: number;
  /** Capabilities that both sides have. */
  readonly capabilities: readonly string[];
  readonly access: Access;
}

/** As whom the client of a link acts, and how that was proved. It holds for as long as the link does, whatever a message says. */
export interface Access {
  /** The user whose secret the dialer proved; "" for the cluster's, or where there is none. */
  readonly user: string;
  /** What that user may do; `undefined` for everything. */
  readonly grants: Grants | undefined;
  /**
   * Fingerprints of the secrets, or the one of the user's key, that the other side proved to know. Empty where there is no secret, and at a user's
   * own end.
   */
  readonly provedBy: readonly string[];
}

/** The access of links without a secret. */
export const OPEN_ACCESS: Access = Object.freeze({
  user: "",
  grants: undefined,
  provedBy: Object.freeze([]),
});

/** An established connection. After {@link LinkHandlers.onClose} all methods do nothing. */
export interface Link {
  readonly path: Path;
  readonly remote: RemoteIdentity;
  /** `host:port` of the other end of the socket: for logs. */
  readonly remoteAddress: string;
  /** Queues a message; all of one turn of the event loop leave as one frame. Owns the message's byte arrays until it has been sent at the end of the turn. */
  send(message: Message): void;
  /** Bytes accepted by {@link send} that the operating system has not taken yet. */
  readonly bufferedBytes: number;
  readonly isOpen: boolean;
  /** Sends what is queued, then closes; cut after a second if the other side does not answer. */
  close(): void;
  /** Cuts the connection at once. `reason` is what onClose is told. */
  terminate(reason?: string): void;
  /** Keeps the process alive (the default). */
  ref(): void;
  /** Lets the process end although the link is open. */
  unref(): void;
}

/** What the user of a link wants to be told. None of these may throw. */
export interface LinkHandlers {
  /** The messages of one frame, in order, checked. Byte arrays are views of the frame: copy what is kept for long. */
  onMessages(messages: readonly Message[]): void;
  /** Exactly once. Reasons of this side: "closed", "terminated", "protocol: ...", "slow reader"; otherwise what is known of the other's. */
  onClose(reason: string): void;
  /** A message was not sent because it alone is larger than a frame may be. */
  onOversized?(message: Message, reason: string): void;
  /** The messages have been written into a large frame: the link does not need their bytes any more. Not called for small frames. */
  onLargeWritten?(messages: readonly Message[]): void;
}

/** Certificates in PEM. */
export interface TlsOptions {
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly ca?: string | Uint8Array | undefined;
}

export interface DialOptions {
  /** `host:port`. */
  readonly address: string;
  readonly path: Path;
  readonly identity: LocalIdentity;
  /** Several when the other side may know any of them: the one in use first. */
  readonly secret?: SecretBytes | SecretRing | undefined;
  /** Whose secret it is. @default "", the cluster's */
  readonly user?: string | undefined;
  /** When given, dials `wss:`. */
  readonly tls?: TlsOptions | undefined;
  /** One limit for everything: name lookup, connection, handshake. */
  readonly timeoutMs: number;
  /** Aborting rejects with ERR_CLOSED. */
  readonly signal?: AbortSignal | undefined;
  readonly limits?: LinkLimits | undefined;
  /** Lets the process end while dialling and afterwards. @default false */
  readonly unref?: boolean | undefined;
  /** Called once, before the promise resolves and before any message is delivered. */
  readonly onLink: (link: Link) => LinkHandlers;
}

/**
 * Opens a link. The message of a rejection says what happened and where.
 *
 * @throws {CacheError} ERR_UNREACHABLE when nobody answered in time, the name is unknown or the connection was refused;
 * ERR_UNAUTHORIZED when the secrets differ or one is missing, or a certificate was not accepted; ERR_PROTOCOL when something
 * else than a Ringhold node of this cluster answered, or this node itself; ERR_CLOSED when aborted
 */
export function dialLink(options: DialOptions): Promise<Link> {
  return new Promise((resolve, reject) => {
    // It settles the promise; there is nothing else to do with it.
    void new Dial(options, resolve, reject);
  });
}

/** A connection that was turned away. */
export interface Refusal {
  readonly path: string;
  readonly remoteAddress: string;
  readonly code: ErrorCode;
  readonly reason: string;
}

export interface AcceptorOptions {
  /** Read at each handshake: the genesis id may become known later. */
  readonly identity: () => LocalIdentity;
  /** What dialers must prove to know one of. Read at each handshake when it is a function. */
  readonly secret?: SecretBytes | SecretRing | (() => SecretRing) | undefined;
  /** Clients that have secrets of their own. @default nobody */
  readonly findUser?: FindUser | undefined;
  readonly limits?: LinkLimits | undefined;
  /**
   * Whether nodes must show a TLS certificate of the server's authority, for servers and for the address they are reached at. For servers that ask for
   * one (`requestCert`). @default false
   */
  readonly nodesNeedCertificate?: boolean | undefined;
  readonly onLink: (link: Link) => LinkHandlers;
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
}

const PATHS: ReadonlyMap<string, Path> = new Map([
  ["/client", "client"],
  ["/peer", "peer"],
  ["/gossip", "gossip"],
]);

/**
 * Takes the connections that others open to `/client`, `/peer` and `/gossip` of an HTTP server. Upgrades to something else than WebSockets, such as probes
 * that offer HTTP/2, are answered as the requests that they are; other WebSockets get a 404.
 */
export class LinkAcceptor {
  readonly #options: AcceptorOptions;
  readonly #limits: LinkLimits;
  /** One per path, because each path has its own largest frame. */
  readonly #webSocketServers: ReadonlyMap<Path, WebSocketServer>;
  readonly #httpServers = new Map<Server | SecureServer, UpgradeListener>();
  readonly #handshakes = new Set<WebSocket>();
  readonly #links = new Set<WebSocketLink>();
  readonly #unread: UnreadOutput;
  readonly #unfinished: UnfinishedInput;
  #lookTimer: NodeJS.Timeout | undefined;
  readonly #turns = new TurnTaking(() => this.#unread.isFull());
  #isClosed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#limits = options.limits ?? resolveLinkLimits();
    this.#unread = new UnreadOutput(this.#limits.unreadBytesMax, () => performance.now());
    this.#unfinished = new UnfinishedInput(this.#limits.unfinishedBytesMax);
    const servers = new Map<Path, WebSocketServer>();
    for (const path of PATHS.values()) {
      const base = hardening(this.#limits.frameBytesMax[path]);
      servers.set(path, new WebSocketServer({ ...base, noServer: true, clientTracking: false }));
    }
    this.#webSocketServers = servers;
  }

  /** Starts to handle the server's upgrades. May be called for several servers. Does nothing after {@link close}. */
  attach(server: Server | SecureServer): void {
    if (this.#isClosed || this.#httpServers.has(server)) return;
    const onUpgrade: UpgradeListener = (request, duplex, head) => {
      // Only an HTTP parser of TCP or TLS connections emits upgrades.
      const socket = duplex as Socket;
      const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket";
      if (isWebSocket) this.#onUpgrade(request, socket, head);
      else answerPlainly(server, request, socket);
    };
    this.#httpServers.set(server, onUpgrade);
    this.#lookTimer ??= setInterval(() => this.#lookAtInput(), LOOK_INTERVAL_MS).unref();
    server.on("upgrade", onUpgrade);
  }

  /** Takes no more connections, cuts those in the handshake and closes the established ones. The HTTP servers go on. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#lookTimer);
    for (const [server, onUpgrade] of this.#httpServers) server.off("upgrade", onUpgrade);
    this.#httpServers.clear();
    for (const webSocket of this.#handshakes) webSocket.terminate();
    for (const link of [...this.#links]) link.close();
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const path = PATHS.get((request.url ?? "").split("?", 1)[0] ?? "");
    if (path === undefined) {
      refuseUpgrade(socket, "404 Not Found");
    } else if (request.headers.origin !== undefined) {
      // Browsers say where their scripts come from. A web page has no business here, least of all on a loopback node without
      // a secret, which it could otherwise reach from any site that its user looks at.
      refuseUpgrade(socket, "403 Forbidden");
    } else if (path !== "client" && this.#options.nodesNeedCertificate === true && !isNodeCertified(socket)) {
      refuseUpgrade(socket, "401 Unauthorized");
    } else if (this.#isFull) {
      refuseUpgrade(socket, "503 Service Unavailable");
    } else {
      this.#webSocketServers.get(path)?.handleUpgrade(request, socket, head, (webSocket) => {
        this.#shakeHands(webSocket, socket, path);
      });
    }
  }

  #lookAtInput(): void {
    const clients = [...this.#links].filter(({ path }) => path === "client");
    this.#unfinished.look(clients, performance.now());
  }

  get #isFull(): boolean {
    const { handshakesMax, connectionsMax } = this.#limits;
    const handshakes = this.#handshakes.size;
    return handshakes >= handshakesMax || handshakes + this.#links.size >= connectionsMax;
  }

  /** Speaks with a stranger: little is read, little is kept, and not for long. */
  #shakeHands(webSocket: WebSocket, socket: Socket, path: Path): void {
    const { secret, findUser, identity } = this.#options;
    const handshake = new AcceptorHandshake(identity(), path, {
      secret: typeof secret === "function" ? secret() : secret,
      findUser,
      binding: tlsBinding(socket),
    });
    const remoteAddress = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    let bytes = 0;
    const end = () => {
      this.#handshakes.delete(webSocket);
      clearTimeout(timer);
      socket.off("data", onData);
      webSocket.off("message", onMessage);
      webSocket.off("close", onClose);
    };
    const refuse = (code: ErrorCode, reason: string, frame?: Uint8Array) => {
      if (!this.#handshakes.has(webSocket)) return;
      end();
      if (frame === undefined) {
        webSocket.terminate();
      } else {
        webSocket.send(frame);
        webSocket.close(CLOSE_CODES.policy);
      }
      this.#options.onRefused?.({ path, remoteAddress, code, reason });
    };
    const onClose = () => refuse("ERR_UNREACHABLE", "It closed the connection in the handshake");
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > HANDSHAKE_BYTES_MAX)
        refuse("ERR_PROTOCOL", "It sent too much before the handshake was over");
    };
    const onMessage = (data: unknown, isBinary: boolean) => {
      const step: HandshakeStep = isBinary ? handshake.receive(data as Uint8Array) : TEXT_FRAME;
      if (step.kind === "refused") {
        refuse(step.code, step.reason, step.frame);
        return;
      }
      if (step.kind === "done" && !this.#isOwnAddress(path, socket, step.remote.address)) {
        refuse(
          "ERR_UNAUTHORIZED",
          "Its certificate is not for the address that it gave",
          FOREIGN_CERTIFICATE,
        );
        return;
      }
      if (step.frame !== undefined) webSocket.send(step.frame);
      if (step.kind === "send") return;
      end();
      const { remote } = step;
      const sharing = path === "client" ? { turns: this.#turns, unread: this.#unread } : undefined;
      const limits = this.#limits;
      const register = this.#links;
      const parts = { webSocket, socket, path, remote, limits, sharing, isAsking: false, register };
      new WebSocketLink(parts).start(this.#options.onLink);
    };
    const timer = setTimeout(() => {
      refuse("ERR_TIMEOUT", `It did not finish the handshake within ${this.#limits.handshakeMs} ms`);
    }, this.#limits.handshakeMs);
    this.#handshakes.add(webSocket);
    webSocket.on("error", ignoreError);
    webSocket.on("message", onMessage);
    webSocket.on("close", onClose);
    socket.on("data", onData);
  }

  /** Whether a node that needs a certificate has one for the address that it wants to be dialled at. */
  #isOwnAddress(path: Path, socket: Socket, address: string): boolean {
    if (path === "client" || this.#options.nodesNeedCertificate !== true) return true;
    return isCertifiedFor(socket, address);
  }
}

const FOREIGN_CERTIFICATE = encodeHandshake({
  type: "refused",
  code: "ERR_UNAUTHORIZED",
  reason: "The certificate is not for the address that the node is reached at",
});

const TEXT_FRAME: HandshakeStep = {
  kind: "refused",
  code: "ERR_PROTOCOL",
  reason: "It sent a text frame",
  frame: undefined,
};

type UpgradeListener = (request: IncomingMessage, duplex: Duplex, head: Buffer) => void;

/** Whoever offers another protocol takes an answer in this one. Its connection has left the parser, so it ends with that. */
function answerPlainly(server: Server | SecureServer, request: IncomingMessage, socket: Socket): void {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once("finish", () => socket.end(() => socket.destroy()));
  socket.on("error", ignoreError);
  server.emit("request", request, response);
}

/** Answers an upgrade that is not to be, and cuts the connection. */
function refuseUpgrade(socket: Socket, status: string): void {
  socket.on("error", ignoreError);
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
