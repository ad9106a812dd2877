// The fuzz of a node's paths over real sockets: frames whose messages have every field at its edges, whole and damaged, are sent on connections
// that shook hands properly. Each request that the node could read must be answered under its id; what it could not must close the
// connection. Between connections an honest client must be served. The same seed sends the same frames.

import { once } from "node:events";
import fc from "fast-check";
import WebSocket from "ws";
import { Prng } from "../../src/base/prng.ts";
import type { Message, Path } from "../../src/core/messages.ts";
import { clientIdentity, type LocalIdentity } from "../../src/io/link.ts";
import { DialerHandshake } from "../../src/io/link-handshake.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/codec.ts";
import { clientRequestArbitrary, gossipMessageArbitrary, peerMessageArbitrary } from "../wire/arbitraries.ts";
import { mutate } from "./mutate.ts";

/** What to send, and where. */
export interface FrameFuzz {
  /** `host:port` of a node without a secret, of a cluster with one copy of each key. */
  readonly address: string;
  readonly path: Path;
  readonly seed: number;
  readonly frames: number;
  /** The cluster's, for the paths of nodes. */
  readonly genesisId: string;
  /** Asks something as an honest client; returns what was wrong, or `undefined`. */
  honest(): Promise<string | undefined>;
}

/** What came out. */
export interface FrameReport {
  readonly frames: number;
  readonly connections: number;
  /** Requests that the node could read, and connections that it closed. */
  readonly requests: number;
  readonly closed: number;
  /** Unanswered requests, unread frames that closed nothing, honest calls that were not served. Must be empty. */
  readonly wrong: readonly string[];
}

const CORPUS = 400;
const FRAMES_PER_CONNECTION = 24;
const CONNECTIONS_BETWEEN = 8;
const WRONG_MAX = 5;
/** Looks at whether all is answered, 100 ms apart: a request may take a node as long as its own bound for one, and then some. */
const LOOK_MS = 100;
const LOOKS_MAX = 80;

/** Frames of a path: every kind of message, every field over its whole range. `leave` and `evict` would end what is being tested. */
export function corpusOf(path: Path, seed: number, size = CORPUS): readonly Uint8Array[] {
  const arbitrary: fc.Arbitrary<Message> =
    path === "client"
      ? clientRequestArbitrary.filter(({ kind }) => kind !== "command")
      : path === "peer"
        ? peerMessageArbitrary
        : gossipMessageArbitrary;
  return fc
    .sample(fc.array(arbitrary, { minLength: 1, maxLength: 6 }), { numRuns: size, seed })
    .map((messages) => encodeFrame(messages));
}

/** Damaged frames of all paths through the decoder alone: fast, so there can be many. Throws when it does. */
export function fuzzDecoder(
  seed: number,
  frames: number,
): { readonly frames: number; readonly read: number } {
  const prng = new Prng(seed);
  const paths = ["client", "peer", "gossip"] as const;
  const corpora = paths.map((path) => corpusOf(path, seed));
  let read = 0;
  for (let sent = 0; sent < frames; sent++) {
    const index = prng.below(paths.length);
    const corpus = corpora[index]!;
    const frame = mutate(prng.pick(corpus)!, prng.pick(corpus)!, prng);
    const path = paths[index]!;
    if (decodeFrame(frame, { path, from: path === "client" ? "client" : "node" }).ok) read++;
  }
  return { frames, read };
}

/** See the top of the file. */
export async function fuzzFrames(options: FrameFuzz): Promise<FrameReport> {
  const { path, seed, frames } = options;
  const prng = new Prng(seed);
  const corpus = corpusOf(path, seed);
  const wrong: string[] = [];
  let sent = 0;
  let connections = 0;
  let requests = 0;
  let closed = 0;
  while (sent < frames && wrong.length < WRONG_MAX) {
    const batch: Uint8Array[] = [];
    let isReadable = true;
    // What cannot be read ends a connection: it comes last, so that all before it is looked at.
    while (isReadable && batch.length < FRAMES_PER_CONNECTION && sent < frames) {
      const whole = prng.pick(corpus)!;
      const frame = prng.below(4) === 0 ? whole : mutate(whole, prng.pick(corpus)!, prng);
      isReadable = decodeFrame(frame, { path, from: path === "client" ? "client" : "node" }).ok;
      batch.push(frame);
      sent++;
    }
    const before = sent - batch.length;
    const outcome = await converse(options, batch, isReadable);
    connections++;
    requests += outcome.requests;
    closed += Number(outcome.isClosed);
    if (outcome.wrong !== undefined)
      wrong.push(`seed ${seed}, frames ${before} to ${sent}: ${outcome.wrong}`);
    if (connections % CONNECTIONS_BETWEEN !== 0) continue;
    const problem = await options.honest();
    if (problem !== undefined) wrong.push(`seed ${seed}, after frame ${sent}: ${problem}`);
  }
  return { frames: sent, connections, requests, closed, wrong };
}

interface Outcome {
  readonly requests: number;
  readonly isClosed: boolean;
  readonly wrong: string | undefined;
}

async function converse(
  options: FrameFuzz,
  batch: readonly Uint8Array[],
  isReadable: boolean,
): Promise<Outcome> {
  const { path } = options;
  const expected = new Set<number>();
  let webSocket: WebSocket;
  try {
    webSocket = await greet(options);
  } catch (error) {
    return { requests: 0, isClosed: true, wrong: `no handshake: ${String(error)}` };
  }
  for (const frame of batch) {
    const decoded = decodeFrame(frame, { path, from: path === "client" ? "client" : "node" });
    if (decoded.ok && path === "client") {
      for (const message of decoded.messages) if (message.kind !== "ping") expected.add(idOf(message));
    }
    webSocket.send(frame);
  }
  const requests = expected.size;
  let timer: NodeJS.Timeout | undefined;
  const ended = await new Promise<boolean>((resolve) => {
    // Counted, not timed: a test that the system does not let run must not blame the node.
    let looks = 0;
    timer = setInterval(() => {
      if (++looks >= LOOKS_MAX) resolve(false);
    }, LOOK_MS);
    const done = () => {
      resolve(true);
    };
    webSocket.on("close", done);
    webSocket.on("message", (data: Buffer) => {
      for (const id of answeredIn(data)) expected.delete(id);
      if (isReadable && expected.size === 0) done();
    });
    if (isReadable && expected.size === 0) done();
  }).finally(() => clearInterval(timer));
  const isClosed = webSocket.readyState >= WebSocket.CLOSING;
  webSocket.terminate();
  if (ended) return { requests, isClosed, wrong: undefined };
  const wrong = isReadable
    ? `no answer to requests ${[...expected].slice(0, 5).join(", ")}`
    : "a frame that cannot be read closed nothing";
  return { requests, isClosed, wrong };
}

function idOf(message: Message): number {
  return "id" in message ? message.id : -1;
}

function answeredIn(data: Buffer): readonly number[] {
  const decoded = decodeFrame(new Uint8Array(data), { path: "client", from: "node" });
  if (!decoded.ok) return [];
  return decoded.messages.flatMap((message) =>
    message.kind === "overloaded" ? message.ids : "id" in message ? [message.id] : [],
  );
}

/** A connection that has shaken hands; its frames are raw from then on. */
async function greet({ address, path, genesisId }: FrameFuzz): Promise<WebSocket> {
  const webSocket = new WebSocket(`ws://${address}/${path}`, { perMessageDeflate: false });
  webSocket.on("error", () => {});
  await once(webSocket, "open");
  const clusterName = "ringhold";
  const place = { id: "hostile", generation: 1, address: "127.0.0.1:1", replicas: 1 };
  const identity: LocalIdentity =
    path === "client"
      ? clientIdentity({ clusterName, clientId: 7 })
      : { role: "node", clusterName, genesisId, clientId: 0, ...place };
  const handshake = new DialerHandshake(identity, path);
  webSocket.send(handshake.hello);
  const [data] = (await once(webSocket, "message")) as [Buffer];
  const step = handshake.receive(new Uint8Array(data));
  if (step.kind !== "done") throw new Error(JSON.stringify(step));
  return webSocket;
}
