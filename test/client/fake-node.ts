// Nodes with a real socket and nothing behind it but a Map: what the client's shell is tested against. A cluster of them shares
// one Map, so that it does not matter which of them is asked.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId } from "../../src/base/ids.ts";
import type { ClientReply, ClientRequest, Topology, ValueFormat } from "../../src/core/messages.ts";
import { computeRingId, ringParameters } from "../../src/core/ring/ring.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { type Link, LinkAcceptor, type LinkHandlers } from "../../src/io/link.ts";
import { resolveLinkLimits } from "../../src/wire/limits.ts";

type Request = Exclude<ClientRequest, { kind: "ping" }>;

interface Stored {
  readonly value: Uint8Array;
  readonly format: ValueFormat;
  readonly version: number;
  readonly expiresAt: number;
}

export interface FakeClusterOptions {
  readonly nodes?: number;
  readonly clusterName?: string;
  readonly secret?: string;
  readonly valueBytesMax?: number;
}

export class FakeNode {
  readonly id: string;
  readonly requests: Request[] = [];
  /** Decides the answer; `undefined` for none, `"usual"` for what the Map says. */
  answer: (request: Request) => ClientReply | "usual" | undefined = () => "usual";
  /** A paused node reads nothing into its ears and says nothing. */
  isPaused = false;
  address = "";
  readonly #cluster: FakeCluster;
  readonly #links = new Set<Link>();
  #http: Server | undefined;
  #acceptor: LinkAcceptor | undefined;

  constructor(id: string, cluster: FakeCluster) {
    this.id = id;
    this.#cluster = cluster;
  }

  get links(): number {
    return this.#links.size;
  }

  /** Listens; on the same port again after {@link FakeNode.kill}. */
  async start(): Promise<void> {
    const port = this.address === "" ? 0 : Number(this.address.split(":")[1]);
    this.#http = createServer();
    await new Promise<void>((resolve) => this.#http?.listen(port, "127.0.0.1", resolve));
    this.address = `127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
    const { clusterName = "ringhold", secret } = this.#cluster.options;
    this.#acceptor = new LinkAcceptor({
      identity: () => ({
        role: "node",
        clusterName,
        genesisId: this.#cluster.genesisId,
        id: this.id,
        generation: 1,
        address: this.address,
        clientId: 0,
        replicas: 3,
      }),
      secret,
      limits: resolveLinkLimits(this.#cluster.options.valueBytesMax),
      onLink: (link) => this.#accept(link),
    });
    this.#acceptor.attach(this.#http);
  }

  /** Cuts everything at once. */
  async kill(): Promise<void> {
    for (const link of [...this.#links]) link.terminate();
    this.#acceptor?.close();
    this.#http?.closeAllConnections();
    await new Promise((resolve) => this.#http?.close(resolve));
  }

  pushTopology(): void {
    for (const link of this.#links) link.send(this.#cluster.topology());
  }

  #accept(link: Link): LinkHandlers {
    this.#links.add(link);
    link.send(this.#cluster.topology());
    return {
      onMessages: (messages) => {
        if (!this.isPaused) for (const message of messages) this.#receive(link, message as ClientRequest);
      },
      onClose: () => this.#links.delete(link),
    };
  }

  #receive(link: Link, request: ClientRequest): void {
    if (request.kind === "ping") {
      link.send({ kind: "pong", sentMs: request.sentMs, monoMs: performance.now(), wallMs: Date.now() });
      return;
    }
    this.requests.push(request);
    const answer = this.answer(request);
    if (answer !== undefined) link.send(answer === "usual" ? this.#cluster.execute(request) : answer);
  }
}

export class FakeCluster {
  readonly options: FakeClusterOptions;
  readonly nodes: FakeNode[];
  readonly genesisId: string;
  readonly #store = new Map<string, Stored>();
  #hashes: Awaited<ReturnType<typeof loadHashes>> | undefined;
  #version = 0;
  hasRing = true;

  constructor(options: FakeClusterOptions = {}) {
    this.options = options;
    this.genesisId = `genesis-${Math.floor(performance.now() * 1000)}`;
    this.nodes = Array.from({ length: options.nodes ?? 3 }, (_, index) => new FakeNode(`n${index}`, this));
  }

  static async start(options: FakeClusterOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster(options);
    cluster.#hashes = await loadHashes();
    await Promise.all(cluster.nodes.map((node) => node.start()));
    return cluster;
  }

  get url(): string {
    return `ringhold://${this.nodes.map(({ address }) => address).join(",")}`;
  }

  get requests(): Request[] {
    return this.nodes.flatMap(({ requests }) => requests);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Puts bytes under a key as another client might. */
  plant(key: string, format: ValueFormat, value: Uint8Array): void {
    this.#store.set(key, { value, format, version: ++this.#version, expiresAt: 0 });
  }

  topology(): Topology {
    const members = this.nodes.map(({ id, address }) => ({
      id: id as MemberId,
      address,
      zone: "",
      weight: 1,
      liveness: "alive" as const,
      ringState: this.hasRing ? ("active" as const) : ("joining" as const),
    }));
    return {
      kind: "topology",
      ringId: this.hasRing ? computeRingId(members, ringParameters(3), this.#hashes!) : "",
      replicas: 3,
      defaultWrite: "quorum",
      defaultRead: "one",
      valueBytesMax: this.options.valueBytesMax ?? 8 * 1024 * 1024,
      members,
    };
  }

  execute(request: Request): ClientReply {
    const { id } = request;
    switch (request.kind) {
      case "get": {
        const held = this.#live(request.key);
        const value = held === undefined || request.want === "exists" ? new Uint8Array(0) : held.value;
        const isEntry = held !== undefined && request.want === "entry";
        return {
          kind: "got",
          id,
          found: held !== undefined,
          format: held?.format ?? 0,
          value,
          version: isEntry ? held.version : 0,
          expiresAt: isEntry ? held.expiresAt : 0,
        };
      }
      case "write":
        return this.#write(request);
      case "scan": {
        const wanted = new Set<number>(request.slots);
        const keys = [...this.#store.keys()].filter(
          (key) => wanted.has(slotOfKey(key)) && key.startsWith(request.prefix),
        );
        return { kind: "scanned", id, keys, slotsDone: request.slots.length, after: "" };
      }
      case "clear": {
        const wanted = new Set<number>(request.slots);
        for (const key of [...this.#store.keys()]) if (wanted.has(slotOfKey(key))) this.#store.delete(key);
        return { kind: "cleared", id };
      }
      case "count": {
        const wanted = new Set<number>(request.slots);
        const count = [...this.#store.keys()].filter((key) => wanted.has(slotOfKey(key))).length;
        return { kind: "counted", id, count };
      }
      case "command":
      case "place":
        return { kind: "commanded", id };
    }
  }

  #live(key: string): Stored | undefined {
    const held = this.#store.get(key);
    return held !== undefined && held.expiresAt > 0 && held.expiresAt <= Date.now() ? undefined : held;
  }

  #write(request: Extract<Request, { kind: "write" }>): ClientReply {
    const { id, key, change } = request;
    const held = this.#live(key);
    const expiresAt = "ttlMs" in change && change.ttlMs > 0 ? Date.now() + change.ttlMs : 0;
    const version = ++this.#version;
    if (change.type === "delete")
      return { kind: "written", id, outcome: this.#store.delete(key) && held !== undefined };
    if (change.type === "touch") {
      if (held !== undefined) this.#store.set(key, { ...held, version, expiresAt });
      return { kind: "written", id, outcome: held !== undefined };
    }
    if (change.type === "increment") {
      const sum = Number(held === undefined ? 0 : new TextDecoder().decode(held.value)) + change.by;
      if (held !== undefined && held.format !== 3) {
        const text = "The value is not a number";
        return {
          kind: "failed",
          id,
          code: "ERR_NOT_A_NUMBER",
          message: text,
          applied: "no",
          elsewhere: false,
        };
      }
      this.#store.set(key, {
        value: new TextEncoder().encode(String(sum)),
        format: 3,
        version,
        expiresAt: held?.expiresAt ?? expiresAt,
      });
      return { kind: "written", id, outcome: sum };
    }
    if (change.type === "put") throw new Error("No client of this kind sends a put");
    const holds =
      change.condition === "none" ||
      (change.condition === "absent" && held === undefined) ||
      (change.condition === "present" && held !== undefined) ||
      (change.condition === "version" && held?.version === change.ifVersion);
    // The bytes are a view of the frame.
    if (holds)
      this.#store.set(key, { value: change.value.slice(), format: change.format, version, expiresAt });
    return { kind: "written", id, outcome: holds };
  }
}
