// Links: authenticated connections that carry messages, over WebSockets. `dialLink` opens one, `LinkAcceptor` takes those that
// others open. The users of a link see messages only: bytes, batching, the handshake and slow readers are dealt with here.

import type { Server } from "node:http";
import type { ErrorCode } from "../base/errors.ts";
import type { Message, Path } from "../core/messages.ts";
import type { LinkLimits } from "../wire/limits.ts";

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

/** What the other side said of itself, and, where a secret is set, proved. */
export interface RemoteIdentity extends LocalIdentity {
  /** The protocol version both sides speak on this link. */
  readonly protocol: number;
  /** Capabilities that both sides have. */
  readonly capabilities: readonly string[];
}

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
  readonly secret?: string | undefined;
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
 * ERR_UNAUTHORIZED when the secrets differ or one is missing; ERR_PROTOCOL when something else than a Ringhold node of this
 * cluster answered; ERR_CLOSED when aborted
 */
export async function dialLink(options: DialOptions): Promise<Link> {
  throw new Error(`not built yet: ${options.address}`);
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
  readonly secret?: string | undefined;
  readonly limits?: LinkLimits | undefined;
  readonly onLink: (link: Link) => LinkHandlers;
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
}

/** Takes the connections that others open to `/client`, `/peer` and `/gossip` of an HTTP server. Other upgrades get a 404. */
export class LinkAcceptor {
  constructor(_options: AcceptorOptions) {}

  /** Starts to handle the server's upgrades. May be called for several servers. */
  attach(_server: Server): void {}

  /** Takes no more connections, cuts those in the handshake and closes the established ones. */
  close(): void {}
}
