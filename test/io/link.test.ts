import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { CacheError } from "../../src/base/errors.ts";
import type { Message } from "../../src/core/messages.ts";
import { OPEN_ACCESS } from "../../src/io/link.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/codec.ts";
import { CAPABILITIES } from "../../src/wire/handshake.ts";
import { resolveLinkLimits } from "../../src/wire/limits.ts";
import { FIRST_TRY } from "../first-try.ts";
import {
  CLIENT,
  closeAll,
  connectGreeted,
  connectRaw,
  deadAddress,
  dial,
  get,
  got,
  listen,
  NODE,
  OTHER_NODE,
  RawSocket,
  startAcceptor,
} from "./link-fixture.ts";

afterEach(closeAll);

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
}

/** The error of an attempt that must fail. */
async function failureOf(attempt: Promise<unknown>): Promise<CacheError> {
  const error = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(CacheError);
  return error as CacheError;
}

/** A listener that stands still and whose queue of connections is full: who dials now is not answered. */
async function startFull(): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const code = `
    const { parentPort } = require("node:worker_threads");
    const server = require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const worker = new Worker(code, { eval: true });
  const [port] = (await once(worker, "message")) as [number];
  const taken: Socket[] = [];
  for (let isTaken = true; isTaken; ) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    taken.push(socket);
    isTaken = await Promise.race([
      once(socket, "connect").then(() => true),
      new Promise<boolean>((resolve) => setTimeout(resolve, 200, false)),
    ]);
  }
  return {
    address: `127.0.0.1:${port}`,
    stop: async () => {
      for (const socket of taken) socket.destroy();
      await worker.terminate();
    },
  };
}

/** Bytes that wait for all who dialled. */
function unreadOf(acceptor: Awaited<ReturnType<typeof startAcceptor>>): number {
  return acceptor.ends.reduce((sum, { link }) => sum + (link?.bufferedBytes ?? 0), 0);
}

describe("dialLink and LinkAcceptor", () => {
  test("introduce both sides to each other and carry messages both ways", async () => {
    const acceptor = await startAcceptor();

    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;
    near.link!.send(get(1));
    await vi.waitFor(() => expect(far.messages).toEqual([get(1)]));
    far.link!.send(got(1));
    await vi.waitFor(() => expect(near.messages).toEqual([got(1)]));

    expect(near.link!.remote).toEqual({
      ...NODE,
      protocol: 1,
      capabilities: CAPABILITIES,
      access: OPEN_ACCESS,
    });
    expect(far.link!.remote).toEqual({
      ...CLIENT,
      protocol: 1,
      capabilities: CAPABILITIES,
      access: OPEN_ACCESS,
    });
    expect(far.link!.path).toBe("client");
    expect(near.link!.remoteAddress).toBe(acceptor.address);
  });

  test("keep nothing of the conversation that they began with", async () => {
    const rings: WeakRef<readonly string[]>[] = [];
    const secret = () => {
      const ring = ["sesame"];
      rings.push(new WeakRef(ring));
      return ring;
    };
    const acceptor = await startAcceptor({ secret });
    await dial(acceptor.address, { secret: "sesame" });

    await vi.waitFor(() => {
      collectGarbage();
      expect(rings.map((ring) => ring.deref())).toEqual([undefined]);
    });

    expect(acceptor.ends[0]!.link!.isOpen).toBe(true);
  });

  test("connect nodes on the paths of nodes", async () => {
    const acceptor = await startAcceptor();

    const gossip = await dial(acceptor.address, { path: "gossip", identity: OTHER_NODE });
    const nack: Message = { kind: "nack", seq: 5 };
    gossip.link!.send(nack);

    await vi.waitFor(() => expect(acceptor.ends[0]!.messages).toEqual([nack]));
    expect(acceptor.ends[0]!.link!.remote.id).toBe("n2");
  });

  test("let a node without a genesis id learn it", async () => {
    const acceptor = await startAcceptor();

    const near = await dial(acceptor.address, { path: "gossip", identity: { ...OTHER_NODE, genesisId: "" } });

    expect(near.link!.remote.genesisId).toBe("genesis-1");
  });

  test("agree when both know the secret", async () => {
    const acceptor = await startAcceptor({ secret: "sesame" });

    const near = await dial(acceptor.address, { secret: "sesame" });
    near.link!.send(get(1));

    await vi.waitFor(() => expect(acceptor.ends[0]!.messages).toEqual([get(1)]));
  });

  test("deliver what was sent right behind the handshake", async () => {
    const acceptor = await startAcceptor();
    acceptor.onOpen = (end) => end.link!.send(got(9));

    const near = await dial(acceptor.address);

    await vi.waitFor(() => expect(near.messages).toEqual([got(9)]));
  });
});

describe("dialLink rejects", () => {
  test.each([
    [
      "another cluster's name",
      { clusterName: "other" },
      /Cluster names differ: "test" at .*n1.*"other" at client 77/,
    ],
    ["another genesis", { genesisId: "genesis-2" }, /genesis genesis-1 at .*genesis-2 at/],
    ["a client without an id", { clientId: 0 }, /without a client id/],
  ])("%s with ERR_PROTOCOL, and the acceptor says why too", async (_name, patch, reason) => {
    const acceptor = await startAcceptor();

    const error = await failureOf(dial(acceptor.address, { identity: { ...CLIENT, ...patch } }));

    expect(error.code).toBe("ERR_PROTOCOL");
    expect(error.message).toMatch(reason);
    expect(error.message).toContain(acceptor.address);
    await vi.waitFor(() => expect(acceptor.refusals).toHaveLength(1));
    expect(acceptor.refusals[0]).toMatchObject({ path: "client", code: "ERR_PROTOCOL" });
    expect(acceptor.refusals[0]!.reason).toMatch(reason);
    expect(acceptor.ends).toEqual([]);
  });

  test.each([
    ["another number of replicas", { replicas: 2 }, /replicas differs: 3 at node n1 .*, 2 at node n2/],
    ["itself", { id: NODE.id, generation: NODE.generation }, /node n1 .* reached itself/],
  ])("nodes: %s", async (_name, patch, reason) => {
    const acceptor = await startAcceptor();

    const error = await failureOf(
      dial(acceptor.address, { path: "peer", identity: { ...OTHER_NODE, ...patch } }),
    );

    expect(error.code).toBe("ERR_PROTOCOL");
    expect(error.message).toMatch(reason);
  });

  test("a client on the path of nodes", async () => {
    const acceptor = await startAcceptor();

    const error = await failureOf(dial(acceptor.address, { path: "peer" }));

    expect(error).toMatchObject({
      code: "ERR_PROTOCOL",
      message: expect.stringMatching("/peer is for nodes"),
    });
  });

  test.each([
    ["the wrong one", "sesame", "open", /secrets of the two sides differ/],
    ["none", "sesame", undefined, /asks for a secret/],
    ["one where there is none", undefined, "sesame", /has a secret and this cluster has none/],
  ])("a secret that does not fit (%s) with ERR_UNAUTHORIZED", async (_name, theirs, ours, reason) => {
    const acceptor = await startAcceptor({ secret: theirs });

    const error = await failureOf(dial(acceptor.address, { secret: ours }));

    expect(error.code).toBe("ERR_UNAUTHORIZED");
    expect(error.message).toMatch(reason);
    expect(JSON.stringify([error.message, error.details])).not.toMatch(/"sesame|"open|n1|genesis/);
    await vi.waitFor(() => expect(acceptor.refusals).toHaveLength(1));
    expect(acceptor.ends).toEqual([]);
  });

  test("an acceptor that cannot prove that it knows the secret", async () => {
    const impostor = await startAcceptor();
    // It leaves the proof out, as one that never heard of secrets would.
    const server = new WebSocketServer({ noServer: true });
    const http = createServer();
    http.on("upgrade", (request, socket, head) => {
      server.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.once("message", async () => {
          const greeted = await connectRaw(impostor.address, "client");
          greeted.webSocket.send(await helloOf());
          await once(greeted.webSocket, "message");
          webSocket.send(greeted.frames[0]!);
        });
      });
    });

    const error = await failureOf(dial(await listen(http), { secret: "sesame" }));

    expect(error.code).toBe("ERR_UNAUTHORIZED");
    expect(error.message).toMatch("did not prove");
  });

  test("a plain HTTP server with ERR_PROTOCOL and its status", async () => {
    const address = await listen(createServer((_request, response) => response.writeHead(418).end()));

    const error = await failureOf(dial(address));

    expect(error.code).toBe("ERR_PROTOCOL");
    expect(error.message).toMatch(`${address}: it answered with HTTP status 418 and is no Ringhold node`);
  });

  test("a server that speaks no HTTP with ERR_PROTOCOL", async () => {
    const address = await listen(createTcpServer((socket) => socket.write("-ERR unknown command\r\n")));

    expect(await failureOf(dial(address))).toMatchObject({
      code: "ERR_PROTOCOL",
      message: expect.stringMatching("speaks another protocol"),
    });
  });

  test("a WebSocket server of another kind with ERR_PROTOCOL", async () => {
    const http = createServer();
    new WebSocketServer({ server: http }).on("connection", (webSocket) => {
      webSocket.on("message", (data) => webSocket.send(data));
    });

    const error = await failureOf(dial(await listen(http)));

    expect(error).toMatchObject({ code: "ERR_PROTOCOL", message: expect.stringMatching("something else") });
  });

  test("a port where nobody listens with ERR_UNREACHABLE and the system's code", async () => {
    const address = await deadAddress();

    const error = await failureOf(dial(address));

    expect(error.code).toBe("ERR_UNREACHABLE");
    expect(error.message).toBe(
      `Cannot open a /client link to ${address}: nothing listens there (ECONNREFUSED)`,
    );
    expect(error.details).toMatchObject({ address });
  });

  test("a name that does not exist with ERR_UNREACHABLE", async () => {
    const error = await failureOf(dial("no-such-host.invalid:7400"));

    expect(error.code).toBe("ERR_UNREACHABLE");
    expect(error.message).toMatch("no-such-host.invalid:7400");
  });

  test("a server that accepts and says nothing, when the time is over", async () => {
    const sockets: Socket[] = [];
    const address = await listen(createTcpServer((socket) => sockets.push(socket)));

    const error = await failureOf(dial(address, { timeoutMs: 50 }));

    expect(error).toMatchObject({
      code: "ERR_UNREACHABLE",
      message: expect.stringMatching("did not answer within 50 ms"),
    });
    await Promise.all(sockets.map((socket) => socket.destroyed || once(socket.resume(), "close")));
  });

  test("a host that takes no connection, after half a second", async () => {
    const { address, stop } = await startFull();

    const error = await failureOf(dial(address));

    expect(error).toMatchObject({
      code: "ERR_UNREACHABLE",
      message: expect.stringMatching("took no connection within 500 ms"),
    });
    await stop();
  });

  test("a server that upgrades and says nothing, when the time is over", async () => {
    const http = createServer();
    new WebSocketServer({ server: http });

    const error = await failureOf(dial(await listen(http), { timeoutMs: 50 }));

    expect(error).toMatchObject({
      code: "ERR_UNREACHABLE",
      message: expect.stringMatching("did not finish the handshake within 50 ms"),
    });
  });

  test("with ERR_CLOSED when it is aborted, before or meanwhile", async () => {
    const address = await listen(createTcpServer(() => {}));
    const controller = new AbortController();

    const attempt = failureOf(dial(address, { signal: controller.signal }));
    controller.abort();

    expect((await attempt).code).toBe("ERR_CLOSED");
    expect((await failureOf(dial(address, { signal: AbortSignal.abort() }))).code).toBe("ERR_CLOSED");
  });
});

describe("LinkAcceptor", () => {
  test("answers other paths with 404 and web pages with 403", async () => {
    const { address } = await startAcceptor();

    const other = new RawSocket(`ws://${address}/other`);
    const page = new RawSocket(`ws://${address}/client`, { origin: "http://example.com" });

    await vi.waitFor(() => expect([other.status, page.status]).toEqual([404, 403]));
  });

  test("cuts whoever sends too much before the handshake is over", async () => {
    const acceptor = await startAcceptor();
    const flood = await connectRaw(acceptor.address, "client");
    const manyPings = await connectRaw(acceptor.address, "peer");

    flood.webSocket.send(new Uint8Array(5_000));
    for (let round = 0; round < 50; round++) manyPings.webSocket.ping(new Uint8Array(100));
    await Promise.all([once(flood.webSocket, "close"), once(manyPings.webSocket, "close")]);

    expect(flood.frames).toEqual([]);
    expect(acceptor.refusals.map(({ code }) => code)).toEqual(["ERR_PROTOCOL", "ERR_PROTOCOL"]);
    expect(acceptor.ends).toEqual([]);
  });

  test.each([
    ["text", "hello"],
    ["an empty frame", new Uint8Array(0)],
    ["a message of the protocol", encodeFrame([get(1)])],
    ["garbage", new Uint8Array(200).fill(0xdd)],
  ])("cuts whoever begins with %s, without a word", async (_name, data) => {
    const acceptor = await startAcceptor();
    const raw = await connectRaw(acceptor.address, "client");

    raw.webSocket.send(data);
    await once(raw.webSocket, "close");

    expect(raw.frames).toEqual([]);
    expect(raw.closed!.code).toBe(1006);
    expect(acceptor.refusals).toHaveLength(1);
  });

  test("cuts whoever says nothing", async () => {
    const acceptor = await startAcceptor({ limits: { ...resolveLinkLimits(), handshakeMs: 50 } });

    const raw = await connectRaw(acceptor.address, "client");
    await once(raw.webSocket, "close");

    expect(acceptor.refusals).toMatchObject([{ code: "ERR_TIMEOUT" }]);
  });

  test("says nothing but a nonce before the secret is proved", async () => {
    const acceptor = await startAcceptor({ secret: "sesame" });
    const raw = await connectRaw(acceptor.address, "client");

    raw.webSocket.send(await helloOf(true));
    await once(raw.webSocket, "message");

    expect(raw.frames[0]!.length).toBeLessThan(50);
    expect(Buffer.from(raw.frames[0]!).includes("n1")).toBe(false);
    raw.webSocket.send(await helloOf(true));
    await once(raw.webSocket, "close");
    expect(raw.frames).toHaveLength(1);
  });

  test("refuses more connections than it may have with 503", async () => {
    const acceptor = await startAcceptor({ limits: { ...resolveLinkLimits(), connectionsMax: 1 } });
    const near = await dial(acceptor.address);

    const error = await failureOf(dial(acceptor.address));
    near.link!.close();
    await vi.waitFor(() => expect(acceptor.ends[0]!.closes).toHaveLength(1));

    expect(error).toMatchObject({ code: "ERR_UNREACHABLE", message: expect.stringMatching("503") });
    await dial(acceptor.address);
  });

  test("closes its links and takes no more when it is closed", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const halfway = await connectRaw(acceptor.address, "client");

    acceptor.acceptor.close();
    await vi.waitFor(() => expect(near.closes).toEqual(["closed by the other side"]));
    await vi.waitFor(() => expect(halfway.closed).toBeDefined());

    expect(acceptor.ends[0]!.closes).toEqual(["closed"]);
    expect((await failureOf(dial(acceptor.address))).code).not.toBe("ERR_CLOSED");
  });

  test("survives connections that vanish at any point of the upgrade", async () => {
    const acceptor = await startAcceptor();
    const upgrade = "GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (const text of ["GET /cl", upgrade, upgrade.replace("other", "client")]) {
      const [host, port] = acceptor.address.split(":");
      const socket = connect(Number(port), host);
      await once(socket, "connect");
      socket.write(text, () => socket.resetAndDestroy());
      await once(socket, "close");
    }

    await dial(acceptor.address);
  });
});

describe("a link", () => {
  test("sends everything of one turn as one frame, from callbacks and continuations alike", async () => {
    const acceptor = await startAcceptor();
    const raw = await connectGreeted(acceptor.address, "client");
    const { link } = acceptor.ends[0]!;

    await new Promise<void>((resolve) => {
      setImmediate(async () => {
        for (let id = 0; id < 50; id++) link!.send(got(id));
        for (let id = 50; id < 100; id++) {
          await Promise.resolve();
          link!.send(got(id));
        }
        resolve();
      });
    });
    await vi.waitFor(() => expect(raw.frames.length).toBeGreaterThan(0));
    link!.send(got(100));
    await vi.waitFor(() => expect(raw.frames.length).toBeGreaterThan(1));

    const sizes = raw.frames.map((frame) => messagesOf(frame).length);
    expect(sizes).toEqual([100, 1]);
  });

  test("of a side that asks sends full frames at once, and the rest with the end of the turn or the next answer", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const sent = vi.spyOn(WebSocket.prototype, "send");
    onTestFinished(() => sent.mockRestore());

    for (let id = 0; id < 300; id++) near.link!.send(get(id));

    const sizes = sent.mock.calls.map(([frame]) => messagesOf(frame as Uint8Array, "client").length);
    expect(sizes).toEqual([128, 128]);
    const far = acceptor.ends[0]!;
    await vi.waitFor(() => expect(far.messages).toHaveLength(300));
    expect(far.messages.map((message) => "id" in message && message.id)).toEqual(
      Array.from({ length: 300 }, (_, id) => id),
    );
  });

  test("splits a turn that is too large for one frame, in order", async () => {
    const limits = resolveLinkLimits();
    const small = { ...limits, frameBytesMax: { ...limits.frameBytesMax, client: 10_000 } };
    const acceptor = await startAcceptor({ limits: small });
    const raw = await connectGreeted(acceptor.address, "client");

    for (let id = 0; id < 100; id++) acceptor.ends[0]!.link!.send(got(id, 1_000));
    await vi.waitFor(() => expect(raw.frames.flatMap((frame) => messagesOf(frame))).toHaveLength(100));

    expect(Math.max(...raw.frames.map(({ length }) => length))).toBeLessThanOrEqual(10_000);
    expect(raw.frames.length).toBeLessThan(20);
    expect(
      raw.frames.flatMap((frame) => messagesOf(frame)).map((message) => "id" in message && message.id),
    ).toEqual(Array.from({ length: 100 }, (_, id) => id));
  });

  test("splits a turn with more items than a frame may have", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address, { path: "peer", identity: OTHER_NODE });
    const slots = Array.from({ length: 16_384 }, (_, slot) => slot as never);

    for (let id = 0; id < 10; id++) near.link!.send({ kind: "catchUpReply", id, isDrained: true, slots });

    await vi.waitFor(() => expect(acceptor.ends[0]!.messages).toHaveLength(10));
    expect(acceptor.ends[0]!.closes).toEqual([]);
  });

  test("tells which messages it wrote into a large frame, and nothing of small ones", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;

    far.link!.send(got(1));
    await vi.waitFor(() => expect(near.messages).toHaveLength(1));
    expect(far.largeWritten).toEqual([]);
    const large = got(2, 70_000);
    far.link!.send(large);
    await vi.waitFor(() => expect(near.messages).toHaveLength(2));

    expect(far.largeWritten).toEqual([large]);
  });

  test("drops a message that alone is larger than a frame, says so, and goes on", async () => {
    const limits = resolveLinkLimits();
    const small = { ...limits, frameBytesMax: { ...limits.frameBytesMax, client: 10_000 } };
    const acceptor = await startAcceptor({ limits: small });
    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;

    far.link!.send(got(1));
    far.link!.send(got(2, 20_000));
    far.link!.send(got(3));
    await vi.waitFor(() => expect(near.messages).toHaveLength(2));

    expect(far.oversized).toEqual([expect.stringMatching(/^a got of 20\d\d\d bytes$/)]);
    expect(near.closes).toEqual([]);
  });

  test("carries the largest value with the longest key, written in small segments", async () => {
    const acceptor = await startAcceptor();
    const proxy = await startDrippingProxy(acceptor.address, 1_400);
    const near = await dial(proxy);
    const value = Uint8Array.from({ length: 8 * 1024 * 1024 }, (_, index) => index % 251);

    near.link!.send({
      kind: "write",
      id: 1,
      key: "k".repeat(1_024),
      change: { type: "set", value, format: 2, ttlMs: 0, condition: "none", ifVersion: 0 },
      write: "quorum",
      opClient: 1,
      opSeq: 1,
      ...FIRST_TRY,
    });
    await vi.waitFor(() => expect(acceptor.ends[0]!.messages).toHaveLength(1), 10_000);

    const [message] = acceptor.ends[0]!.messages;
    const received = message!.kind === "write" && message!.change.type === "set" && message!.change.value;
    expect(Buffer.compare(received as Uint8Array, value)).toBe(0);
  });

  test.each([
    ["text", "hello", 1003, "protocol: a text frame"],
    ["bytes that are no frame", new Uint8Array(20).fill(0xdd), 1002, "protocol: cut short"],
    ["a reply sent as a request", encodeFrame([got(1)]), 1002, "protocol: no got here"],
    ["a message of another path", encodeFrame([{ kind: "nack", seq: 1 }]), 1002, "protocol: no nack here"],
    ["an empty key", encodeFrame([get(1, "")]), 1002, "protocol: expected text of 1 to 1024 bytes"],
  ])("is closed by %s", async (_name, data, code, reason) => {
    const acceptor = await startAcceptor();
    const raw = await connectGreeted(acceptor.address, "client");

    raw.webSocket.send(encodeFrame([get(1)]));
    raw.webSocket.send(data);
    raw.webSocket.send(encodeFrame([get(2)]));
    await once(raw.webSocket, "close");
    const far = acceptor.ends[0]!;
    await vi.waitFor(() => expect(far.closes).toEqual([reason]));

    expect(raw.closed).toEqual({ code, reason });
    expect(far.messages).toEqual([get(1)]);
  });

  test("is closed by a frame that is too large, before it has arrived", async () => {
    const limits = resolveLinkLimits();
    const small = { ...limits, frameBytesMax: { ...limits.frameBytesMax, client: 10_000 } };
    const acceptor = await startAcceptor({ limits: small });
    const raw = await connectGreeted(acceptor.address, "client");

    raw.webSocket.send(new Uint8Array(10_001));
    await once(raw.webSocket, "close");

    expect(raw.closed!.code).toBe(1009);
    await vi.waitFor(() => expect(acceptor.ends[0]!.closes).toEqual([expect.stringMatching("^protocol: ")]));
  });

  test("cuts a reader that does not read", async () => {
    const limits = resolveLinkLimits();
    const acceptor = await startAcceptor({
      limits: { ...limits, outputBytesMax: { ...limits.outputBytesMax, peer: 4 * 1024 * 1024 } },
    });
    const raw = await connectGreeted(acceptor.address, "peer", OTHER_NODE);
    raw.webSocket.pause();
    const far = acceptor.ends[0]!;
    const forwarded: Message = { kind: "forwarded", id: 1, reply: got(1, 100_000) as never };
    let bufferedMax = 0;

    while (far.link!.isOpen) {
      far.link!.send(forwarded);
      bufferedMax = Math.max(bufferedMax, far.link!.bufferedBytes);
      await new Promise(setImmediate);
    }
    await vi.waitFor(() => expect(far.closes).toEqual(["slow reader"]));

    expect(bufferedMax).toBeLessThan(5 * 1024 * 1024);
    far.link!.send(forwarded);
    expect(far.link!.bufferedBytes).toBeLessThan(5 * 1024 * 1024);
  });

  test("bounds what waits for clients that read nothing, all together, and serves who reads", async () => {
    const limits = resolveLinkLimits();
    const acceptor = await startAcceptor({ limits: { ...limits, unreadBytesMax: 2 * 1024 * 1024 } });
    acceptor.onOpen = (end) => {
      end.onEach = (message) => end.link!.send(got("id" in message ? message.id : 0, 512 * 1024));
    };
    const silent = await Promise.all(
      Array.from({ length: 12 }, () => connectGreeted(acceptor.address, "client")),
    );
    for (const { webSocket } of silent) webSocket.pause();
    const asked = encodeFrame(Array.from({ length: 40 }, (_, id) => get(id)));
    for (const { webSocket } of silent) webSocket.send(asked);
    await vi.waitFor(() => expect(unreadOf(acceptor)).toBeGreaterThan(2 * 1024 * 1024));
    const near = await dial(acceptor.address);

    // That its answers are large is known from the first.
    near.link!.send(get(1));
    await vi.waitFor(() => expect(near.messages).toHaveLength(1));
    near.link!.send(get(2));
    let unreadMax = 0;
    await vi.waitFor(() => {
      unreadMax = Math.max(unreadMax, unreadOf(acceptor));
      expect(near.messages).toHaveLength(2);
    }, 10_000);

    // Above the bound nobody is given more, until somebody is cut.
    expect(unreadMax).toBeLessThan(2 * 1024 * 1024 + 2 * 512 * 1024);
    const closes = acceptor.ends.flatMap(({ closes }) => closes);
    expect(closes.length).toBeGreaterThan(0);
    expect(new Set(closes)).toEqual(new Set(["slow reader"]));
  });

  test("answers a client that asks for more than the cap at the pace at which it reads", async () => {
    const limits = resolveLinkLimits();
    const acceptor = await startAcceptor({
      limits: { ...limits, outputBytesMax: { ...limits.outputBytesMax, client: 6 * 1024 * 1024 } },
    });
    let waitingMax = 0;
    acceptor.onOpen = (end) => {
      end.onEach = (message) => {
        end.link!.send(got("id" in message ? message.id : 0, 256 * 1024));
        waitingMax = Math.max(waitingMax, end.link!.bufferedBytes);
      };
    };
    const near = await dial(acceptor.address);

    for (let id = 0; id < 160; id++) near.link!.send(get(id));
    await vi.waitFor(() => expect(near.messages).toHaveLength(160), 10_000);

    expect(near.messages.map((message) => "id" in message && message.id)).toEqual(
      Array.from({ length: 160 }, (_, id) => id),
    );
    expect(waitingMax).toBeLessThan(6 * 1024 * 1024);
    expect(acceptor.ends[0]!.closes).toEqual([]);
  });

  test("cuts who takes nothing of a frame, and not who reads it slowly", async () => {
    const valueBytes = 64 * 1024 * 1024;
    const acceptor = await startAcceptor({
      limits: { ...resolveLinkLimits(valueBytes), readerStallMs: 400 },
    });
    acceptor.onOpen = (end) => {
      end.onEach = (message) => end.link!.send(got("id" in message ? message.id : 0, valueBytes - 100));
    };
    const [slow, dead] = [await connectGreeted(acceptor.address), await connectGreeted(acceptor.address)];
    // One turn of the loop's reading at a time.
    const pace = setInterval(() => {
      slow.socket.resume();
      setImmediate(() => slow.socket.pause());
    }, 50);
    dead.webSocket.pause();

    for (const { webSocket } of [slow, dead]) webSocket.send(encodeFrame([get(1), get(2)]));
    const from = slow.socket.bytesRead;
    await vi.waitFor(() => expect(acceptor.ends[1]!.closes).toEqual(["slow reader"]), 5_000);
    await vi.waitFor(() => expect(slow.socket.bytesRead - from).toBeGreaterThan(valueBytes / 2), 20_000);
    clearInterval(pace);

    expect(acceptor.ends[0]!.closes).toEqual([]);
  });

  test("bounds what is kept of frames that never end, all together", async () => {
    const limits = { ...resolveLinkLimits(), unfinishedBytesMax: 4 * 1024 * 1024 };
    const acceptor = await startAcceptor({ limits });
    const honest = await dial(acceptor.address);
    const frame = Buffer.alloc(1024 * 1024);
    // Final, binary, masked with zeros, 16 MiB less a little: a part of it comes, the rest never does.
    frame.set([0x82, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

    const strangers = await Promise.all(Array.from({ length: 6 }, () => connectGreeted(acceptor.address)));
    for (const { socket } of strangers) socket.write(frame);

    const closes = () => acceptor.ends.flatMap((end) => end.closes);
    await vi.waitFor(() => expect(closes()).toEqual(["slow writer", "slow writer"]), 5_000);
    honest.link!.send(get(1));
    await vi.waitFor(() => expect(acceptor.ends[0]!.messages).toHaveLength(1));
  });

  test("delivers what was sent before close, then tells both sides once", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;

    near.link!.send(get(1));
    near.link!.close();
    near.link!.close();
    near.link!.send(get(2));
    await vi.waitFor(() =>
      expect([near.closes, far.closes]).toEqual([["closed"], ["closed by the other side"]]),
    );
    near.link!.terminate();
    await new Promise(setImmediate);

    expect(far.messages).toEqual([get(1)]);
    expect(near.closes).toEqual(["closed"]);
    expect([near.link!.isOpen, far.link!.isOpen]).toEqual([false, false]);
  });

  test("can be closed by the side that was connected to", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;

    far.link!.send(got(1));
    far.link!.close();

    await vi.waitFor(() => expect(near.closes).toEqual(["closed by the other side"]));
    expect(near.messages).toEqual([got(1)]);
    await vi.waitFor(() => expect(far.closes).toEqual(["closed"]));
  });

  test("is lost for the other side when one side terminates it", async () => {
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const far = acceptor.ends[0]!;

    near.link!.terminate("silent for too long");

    await vi.waitFor(() => expect(near.closes).toEqual(["silent for too long"]));
    await vi.waitFor(() => expect(far.closes).toEqual([expect.stringMatching("^connection lost")]));
  });

  test("can be turned away in onLink", async () => {
    const acceptor = await startAcceptor();
    acceptor.onOpen = (end) => end.link!.terminate("not wanted");

    const near = await dial(acceptor.address);

    await vi.waitFor(() => expect(near.closes).toHaveLength(1));
    expect(acceptor.ends[0]!.closes).toEqual(["not wanted"]);
  });

  test("is cut a second after close when the other side does not close too", async () => {
    const acceptor = await startAcceptor();
    const raw = await connectGreeted(acceptor.address, "client");
    raw.webSocket.pause();

    acceptor.ends[0]!.link!.close();

    await vi.waitFor(() => expect(acceptor.ends[0]!.closes).toEqual(["closed"]), 5_000);
  });

  test("keeps the process alive unless it is told not to", async () => {
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
    const acceptor = await startAcceptor();
    const near = await dial(acceptor.address);
    const before = sockets();

    near.link!.unref();
    const without = sockets();
    near.link!.ref();

    expect([without, sockets()]).toEqual([before - 1, before]);
  });
});

function messagesOf(frame: Uint8Array, from: "node" | "client" = "node"): readonly Message[] {
  const decoded = decodeFrame(frame, { path: "client", from });
  return decoded.ok ? decoded.messages : [];
}

/** The first words of a client, with or without a secret. */
async function helloOf(isSecured = false): Promise<Uint8Array> {
  const { DialerHandshake } = await import("../../src/io/link-handshake.ts");
  return new DialerHandshake(CLIENT, "client", isSecured ? { secret: "guess" } : {}).hello;
}

/** Passes bytes on in pieces of at most `pieceBytes`, each in a turn of its own. */
async function startDrippingProxy(target: string, pieceBytes: number): Promise<string> {
  const [host, port] = target.split(":");
  const server = createTcpServer(async (inbound) => {
    const outbound = connect(Number(port), host);
    outbound.setNoDelay(true);
    outbound.pipe(inbound);
    inbound.on("error", () => outbound.destroy());
    outbound.on("error", () => inbound.destroy());
    for await (const chunk of inbound as AsyncIterable<Buffer>) {
      for (let start = 0; start < chunk.length; start += pieceBytes) {
        outbound.write(chunk.subarray(start, start + pieceBytes));
        await new Promise(setImmediate);
      }
    }
    outbound.end();
  });
  return listen(server);
}
