// Two ends of a link on a real loopback connection, and a bare WebSocket that can misbehave.

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket, Server as TcpServer } from "node:net";
import WebSocket from "ws";
import type { Message, Path } from "../../src/core/messages.ts";
import {
  type AcceptorOptions,
  clientIdentity,
  type DialOptions,
  dialLink,
  type Link,
  LinkAcceptor,
  type LinkHandlers,
  type LocalIdentity,
  type Refusal,
} from "../../src/io/link.ts";
import { DialerHandshake } from "../../src/io/link-handshake.ts";

export const NODE: LocalIdentity = {
  role: "node",
  clusterName: "test",
  genesisId: "genesis-1",
  id: "n1",
  generation: 10,
  address: "127.0.0.1:7401",
  clientId: 0,
  replicas: 3,
};
export const OTHER_NODE: LocalIdentity = { ...NODE, id: "n2", generation: 20, address: "127.0.0.1:7402" };
export const CLIENT = clientIdentity({ clusterName: NODE.clusterName, clientId: 77 });

/** One end of a link, and all it has been told. */
export class End implements LinkHandlers {
  readonly batches: (readonly Message[])[] = [];
  readonly closes: string[] = [];
  readonly oversized: string[] = [];
  readonly largeWritten: Message[] = [];
  link: Link | undefined;
  onEach: (message: Message) => void = () => {};
  readonly onMessages = (messages: readonly Message[]): void => {
    this.batches.push(messages);
    for (const message of messages) this.onEach(message);
  };
  readonly onClose = (reason: string): void => {
    this.closes.push(reason);
  };
  readonly onOversized = (_message: Message, reason: string): void => {
    this.oversized.push(reason);
  };
  readonly onLargeWritten = (messages: readonly Message[]): void => {
    this.largeWritten.push(...messages);
  };

  get messages(): readonly Message[] {
    return this.batches.flat();
  }
}

/** A listening HTTP server with an acceptor. Closed by {@link closeAll}. */
export class Acceptor {
  readonly ends: End[] = [];
  readonly refusals: Refusal[] = [];
  readonly server: Server = createServer((_request, response) => response.writeHead(404).end());
  readonly acceptor: LinkAcceptor;
  /** Called for each end as it opens. */
  onOpen: (end: End) => void = () => {};

  constructor(options: Partial<AcceptorOptions> = {}) {
    this.acceptor = new LinkAcceptor({
      identity: () => NODE,
      onRefused: (refusal) => this.refusals.push(refusal),
      onLink: (link) => {
        const end = new End();
        end.link = link;
        this.ends.push(end);
        this.onOpen(end);
        return end;
      },
      ...options,
    });
    this.acceptor.attach(this.server);
  }

  get address(): string {
    return addressOf(this.server);
  }
}

const open: { close(): void }[] = [];

export async function startAcceptor(options: Partial<AcceptorOptions> = {}): Promise<Acceptor> {
  const acceptor = new Acceptor(options);
  await listen(acceptor.server);
  open.push({
    close: () => {
      for (const { link } of acceptor.ends) link?.terminate();
      acceptor.acceptor.close();
    },
  });
  return acceptor;
}

/** Listens on a free loopback port. */
export async function listen(server: TcpServer): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push({ close: () => server.close() });
  return addressOf(server);
}

/** A port at which nobody listens any more. */
export async function deadAddress(): Promise<string> {
  const server = createServer();
  const address = await listen(server);
  server.close();
  await once(server, "close");
  return address;
}

function addressOf(server: TcpServer): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function dial(address: string, options: Partial<DialOptions> = {}): Promise<End> {
  const end = new End();
  end.link = await dialLink({
    address,
    path: "client",
    identity: CLIENT,
    timeoutMs: 5_000,
    onLink: () => end,
    ...options,
  });
  const { link } = end;
  open.push({ close: () => link.terminate() });
  return end;
}

/** A WebSocket without manners: what it receives is kept, what it sends is up to the test. */
export class RawSocket {
  readonly frames: Uint8Array[] = [];
  readonly webSocket: WebSocket;
  closed: { readonly code: number; readonly reason: string } | undefined;
  status: number | undefined;

  constructor(url: string, options: WebSocket.ClientOptions = {}) {
    this.webSocket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.webSocket.on("message", (data) => this.frames.push(new Uint8Array(data as Buffer)));
    this.webSocket.on("error", () => {});
    this.webSocket.on("unexpected-response", (_request, response) => {
      this.status = response.statusCode;
      response.resume();
      this.webSocket.terminate();
    });
    this.webSocket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    open.push({ close: () => this.webSocket.terminate() });
  }

  /** The TCP connection below it. */
  get socket(): Socket {
    return (this.webSocket as unknown as { _socket: Socket })._socket;
  }
}

/** A connected raw socket that has not said anything. */
export async function connectRaw(address: string, path: Path): Promise<RawSocket> {
  const raw = new RawSocket(`ws://${address}/${path}`);
  await once(raw.webSocket, "open");
  return raw;
}

/** A raw socket that has shaken hands; its frames begin after that. */
export async function connectGreeted(
  address: string,
  path: Path = "client",
  identity = CLIENT,
): Promise<RawSocket> {
  const raw = await connectRaw(address, path);
  const handshake = new DialerHandshake(identity, path);
  raw.webSocket.send(handshake.hello);
  await once(raw.webSocket, "message");
  const step = handshake.receive(raw.frames.shift()!);
  if (step.kind !== "done") throw new Error(`the handshake failed: ${JSON.stringify(step)}`);
  return raw;
}

/** Ends everything that the functions above began. */
export function closeAll(): void {
  for (const item of open.splice(0)) item.close();
}

export function get(id: number, key = `k${id}`): Message {
  return { kind: "get", id, key, read: "one", want: "value", notAfter: 0 };
}

export function got(id: number, bytes = 10): Message {
  return { kind: "got", id, found: true, format: 2, value: new Uint8Array(bytes), version: 0, expiresAt: 0 };
}
