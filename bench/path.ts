// What does an operation cost without sockets? Three nodes and a client in this process, joined by links that encode and decode
// real frames but never enter the kernel: everything from the caller's promise to the store and back, and nothing else.
//
// Baseline: the same work over sockets (`bench/versus.ts`); the difference is ws, Node's streams and system calls. Ideal: the codec alone
// (`bench/codec.ts`) and one promise. CPU time of this process, so that a busy machine hurts little.
//
// V8 takes what calls make here for long-lived after a while and puts it into the old heap, where it costs a quarter of a call. With each
// node in a process of its own it makes no difference whether V8 may do that, so it is told not to.
//
// Run with `npx tsx bench/path.ts [get|set|async|getMany|setMany] [outstanding]`; with `node --cpu-prof` it says where the time goes.

import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import type { MemberId } from "../src/base/ids.ts";
import { Prng } from "../src/base/prng.ts";
import { Cache } from "../src/client/cache.ts";
import { ClientDriver } from "../src/client/driver.ts";
import { resolveClientOptions } from "../src/client/options.ts";
import type { Failure, Message, Path } from "../src/core/messages.ts";
import { NodeCore } from "../src/core/node-core.ts";
import { resolveNodeCoreOptions } from "../src/core/options.ts";
import { SegmentStore } from "../src/core/store/segment-store.ts";
import { readNow } from "../src/io/clock.ts";
import { loadHashes } from "../src/io/hashes.ts";
import { type Link, type LinkHandlers, OPEN_ACCESS, type RemoteIdentity } from "../src/io/link.ts";
import { ClientLinks } from "../src/server/client-links.ts";
import { Driver } from "../src/server/driver.ts";
import { PeerLinks } from "../src/server/peer-links.ts";
import { RequestMetrics } from "../src/server/request-metrics.ts";
import { decodeFrame, encodeFrame } from "../src/wire/codec.ts";
import type { Target } from "./load/target.ts";
import { fill, type Measurement, measure, type Operation } from "./load/work.ts";

const GENESIS = "bench";
const MEMORY_BYTES = 512 * 1024 * 1024;

/** One end of a connection that stays within the process. */
class LocalLink implements Link {
  readonly path: Path;
  readonly remote: RemoteIdentity;
  readonly remoteAddress: string;
  readonly bufferedBytes = 0;
  isOpen = true;
  other: LocalLink | undefined;
  handlers: LinkHandlers | undefined;
  #queue: Message[] = [];

  constructor(path: Path, remote: RemoteIdentity) {
    this.path = path;
    this.remote = remote;
    this.remoteAddress = remote.address;
  }

  send(message: Message): void {
    if (!this.isOpen) return;
    if (this.#queue.push(message) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const frame = encodeFrame(this.#queue);
    this.#queue = [];
    this.other?.receive(frame);
  }

  receive(frame: Uint8Array): void {
    const decoded = decodeFrame(frame, { path: this.path, from: this.remote.role });
    if (!decoded.ok) throw new Error(decoded.reason);
    this.handlers?.onMessages(decoded.messages);
  }

  close(): void {
    this.terminate("closed");
  }

  terminate(reason = "terminated"): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.handlers?.onClose(reason);
    this.other?.terminate(reason);
  }

  ref(): void {}
  unref(): void {}
}

/** Makes a connection: the dialler's side first. */
function connectLocally(
  path: Path,
  [dialler, acceptor]: readonly [RemoteIdentity, RemoteIdentity],
  [onDialled, onAccepted]: readonly [(link: Link) => LinkHandlers, (link: Link) => LinkHandlers],
): LocalLink {
  const here = new LocalLink(path, acceptor);
  const there = new LocalLink(path, dialler);
  here.other = there;
  there.other = here;
  there.handlers = onAccepted(there);
  const handlers = onDialled(here);
  here.handlers = handlers;
  // Turned away: the dialler hears of it once it has the link, as over a socket.
  if (!here.isOpen) setImmediate(() => handlers.onClose("turned away"));
  return here;
}

/** The node of `server/node-shell.ts`, less HTTP, logs and sockets. */
class LocalNode {
  readonly identity: RemoteIdentity;
  readonly clients: ClientLinks;
  readonly peers: PeerLinks;
  readonly core: NodeCore;
  readonly #driver: Driver;

  constructor(
    index: number,
    hashes: Awaited<ReturnType<typeof loadHashes>>,
    nodes: ReadonlyMap<string, LocalNode>,
  ) {
    const id = `node-${index}` as MemberId;
    const address = `127.0.0.1:${7400 + index}`;
    const generation = 1 + index;
    this.identity = remoteIdentity({ role: "node", id, generation, address, clientId: 0 });
    const now = readNow();
    const options = resolveNodeCoreOptions({
      id,
      address,
      generation,
      seeds: index === 0 ? [] : ["127.0.0.1:7400"],
      clusterName: "bench",
      genesisId: index === 0 ? GENESIS : "",
    });
    const store = new SegmentStore({ bytesMax: MEMORY_BYTES }, hashes);
    this.core = new NodeCore(options, { store, hashes, prng: new Prng(index + 1) }, now);
    const feed: Driver["feed"] = (input) => this.#driver.feed(input);
    const nowMs = () => readNow().monoMs;
    const refusal = (requestId: number): Failure => {
      throw new Error(`node ${index} refused request ${requestId}`);
    };
    this.clients = new ClientLinks({
      feed,
      nowMs,
      waitedMs: () => 0,
      refusal,
      metrics: new RequestMetrics(),
      onDenied: () => {},
    });
    this.peers = new PeerLinks({
      feed,
      nowMs,
      refusal,
      self: () => ({ id, generation, genesisId: this.core.genesisId }),
      dial: async (to, path, onLink) => {
        const node = nodes.get(to);
        if (node === undefined) throw new Error(`nobody at ${to}`);
        await new Promise((resolve) => setImmediate(resolve));
        const ends = [this.handshake(), node.handshake()] as const;
        connectLocally(path, ends, [onLink, (link) => node.peers.accept(link)]);
      },
      onEvent: () => {},
      random: Math.random,
      onDropped: () => {},
      trace: () => {},
    });
    this.#driver = new Driver(this.core, {
      now: readNow,
      send: (effect) => this.peers.send(effect),
      redial: (member, path) => this.peers.redial(member, path),
      reply: (client, message, atMs) => this.clients.reply(client, message, atMs),
      onEvent: () => {},
      onReleased: () => {},
      onBeat: () => {},
      onFatal: (error) => {
        throw error;
      },
    });
    this.#driver.start();
  }

  handshake(): RemoteIdentity {
    return { ...this.identity, genesisId: this.core.genesisId };
  }

  stop(): void {
    this.#driver.stop();
  }
}

function remoteIdentity(
  given: Pick<RemoteIdentity, "role" | "id" | "generation" | "address" | "clientId">,
): RemoteIdentity {
  return {
    ...given,
    clusterName: "bench",
    genesisId: GENESIS,
    replicas: 3,
    protocol: 1,
    capabilities: [],
    access: OPEN_ACCESS,
  };
}

/** A whole cluster with a client in this process. */
export async function openLocalTarget(write: "async" | "quorum" | "all" = "quorum"): Promise<Target> {
  const hashes = await loadHashes();
  const nodes = new Map<string, LocalNode>();
  for (let index = 0; index < 3; index++) {
    const node = new LocalNode(index, hashes, nodes);
    nodes.set(node.identity.address, node);
  }
  const isReady = () =>
    [...nodes.values()].every(({ core }) => {
      const status = core.status(readNow());
      const isWhole =
        status.members.length === 3 && status.members.every((member) => member.ringState === "active");
      return isWhole && status.slotsUnderReplicated === 0;
    });
  while (!isReady()) await sleep(20);
  const options = resolveClientOptions(`ringhold://${[...nodes.keys()].join(",")}`, {
    timeout: 5_000,
    write,
  });
  const driver = new ClientDriver(options, hashes, async ({ address, onLink }) => {
    const node = nodes.get(address);
    if (node === undefined) throw new Error(`nobody at ${address}`);
    await new Promise((resolve) => setImmediate(resolve));
    const client = remoteIdentity({
      role: "client",
      id: "",
      generation: 0,
      address: "",
      clientId: randomInt(1, 2 ** 40),
    });
    return connectLocally(
      "client",
      [client, node.handshake()],
      [onLink, (link) => node.clients.accept(link)],
    );
  });
  if (!(await driver.ready(5_000))) throw driver.connectError();
  const cache = new Cache(driver);
  return {
    get: (key) => cache.get<string>(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.getMany<string>(keys),
    setMany: (entries) => cache.setMany(entries),
    close: async () => {
      await cache.close();
      for (const node of nodes.values()) node.stop();
    },
  };
}

/** Measures one kind of operation. */
export async function measurePath(options: {
  readonly operation: Operation;
  readonly write?: "async" | "quorum";
  readonly outstanding: number;
  readonly keys: number;
  readonly measureMs: number;
}): Promise<Measurement> {
  const work = { valueBytes: 100, batch: 100, warmupMs: options.measureMs / 3, ...options };
  const target = await openLocalTarget(options.write);
  await fill(target, work);
  const measurement = await measure(target, work, []);
  await target.close();
  return measurement;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setFlagsFromString("--no-allocation-site-pretenuring");
  const [name = "get", outstanding = "64", seconds = "3"] = process.argv.slice(2);
  const { clientCpuMicros, operationsPerSecond } = await measurePath({
    operation: name === "async" ? "set" : (name as Operation),
    ...(name === "async" ? { write: "async" } : {}),
    outstanding: Number(outstanding),
    keys: 20_000,
    measureMs: Number(seconds) * 1_000,
  });
  process.stdout.write(
    `${name} x ${outstanding}: ${clientCpuMicros.toFixed(2)} us of CPU for client and nodes together, ${Math.round(operationsPerSecond)} a second\n`,
  );
  process.exit();
}
