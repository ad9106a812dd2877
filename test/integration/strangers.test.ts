// What somebody gets who has not proved to belong here: nothing. Nodes in this process, spoken to in raw frames and bytes.

import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { askNode } from "../../cluster/node-http.ts";
import type { ClientRequest, GossipMessage, Message, Path, PeerMessage } from "../../src/core/messages.ts";
import { type Cache, type CacheError, connect, type EmbeddedNode, startNode } from "../../src/index.ts";
import { clientIdentity, dialLink, type LocalIdentity } from "../../src/io/link.ts";
import { DialerHandshake, type DialerProof } from "../../src/io/link-handshake.ts";
import { openServer } from "../../src/server/node.ts";
import { COMMANDS } from "../../src/server/redis/command-table.ts";
import { encodeFrame } from "../../src/wire/codec.ts";
import { decodeHandshake } from "../../src/wire/handshake.ts";
import { FIRST_TRY } from "../first-try.ts";
import { closeAll, connectRaw, type RawSocket } from "../io/link-fixture.ts";
import { RawRedis } from "../support/raw-redis.ts";

const SECRET = "a secret of more than sixteen bytes";
const CLUSTER = "the-cluster";
let node: EmbeddedNode;
let other: EmbeddedNode;
let admin: Cache;
let address: string;

beforeAll(async () => {
  const options = {
    listen: "127.0.0.1:0",
    redis: "127.0.0.1:0",
    memory: "16mb",
    cluster: CLUSTER,
    secret: SECRET,
  } as const;
  node = await startNode({ ...options, name: "member-one" });
  other = await startNode({ ...options, name: "member-two", join: node.url });
  admin = await connect(node.url, { secret: SECRET, cluster: CLUSTER });
  address = node.url.replace("ringhold://", "");
  await admin.set("kept", "as it was");
});
afterEach(closeAll);
afterAll(async () => {
  await admin.close();
  await Promise.all([node.stop(), other.stop()]);
});

const CLIENT = clientIdentity({ clusterName: CLUSTER, clientId: 77 });
const PEER: LocalIdentity = {
  ...CLIENT,
  role: "node",
  id: "intruder",
  generation: 9,
  address: "127.0.0.1:9",
  clientId: 0,
  replicas: 3,
};

const write = {
  kind: "write",
  id: 1,
  key: "kept",
  change: { type: "delete" },
  write: "quorum",
  opClient: 77,
  opSeq: 1,
  ...FIRST_TRY,
} as const;
/** Every request of the path. */
const OPERATIONS: Readonly<Record<Path, readonly Message[]>> = {
  client: [
    { kind: "get", id: 1, key: "kept", read: "one", want: "value", notAfter: 0 },
    write,
    { kind: "scan", id: 2, slots: [0], after: "", prefix: "", limit: 10, isAlone: false } as never,
    { kind: "count", id: 3, slots: [0] } as never,
    { kind: "clear", id: 4, slots: [0], opClient: 1, opSeq: 1, attempt: 1, notAfter: 0, begunAt: 0 } as never,
    { kind: "command", id: 5, command: "leave", member: "member-one" },
    { kind: "place", id: 6, zone: "b", weight: 64 },
    { kind: "ping", sentMs: 1 },
  ] satisfies ClientRequest[],
  peer: [
    { kind: "forward", id: 1, request: write },
    { kind: "catchUp", id: 2 },
    { kind: "secrets", fingerprints: [] },
    { kind: "ping", sentMs: 1 },
  ] satisfies PeerMessage[],
  gossip: [
    { kind: "sync", wantsReply: true, records: [] },
    { kind: "probe", seq: 1, target: "member-one" as never, updates: [] },
  ] satisfies GossipMessage[],
};
const PATHS = ["client", "peer", "gossip"] as const;

/** How a conversation ended: what came back that is no part of the handshake, and the codes of refusals. */
async function endOf(raw: RawSocket): Promise<{ refusals: string[]; others: number; words: string }> {
  await vi.waitFor(() => expect(raw.closed).toBeDefined(), { timeout: 5_000 });
  const messages = raw.frames.map(decodeHandshake);
  return {
    refusals: messages.flatMap((message) => (message?.type === "refused" ? [message.code] : [])),
    others: messages.filter((message) => message === undefined || message.type === "ready").length,
    words: Buffer.concat(raw.frames).toString("latin1"),
  };
}

/** Speaks the handshake with this proof, with the operations sent behind it at once. */
async function knock(path: Path, proof: DialerProof, identity = path === "client" ? CLIENT : PEER) {
  const raw = await connectRaw(address, path);
  const handshake = new DialerHandshake(identity, path, proof);
  raw.webSocket.on("message", (data) => {
    const step = handshake.receive(new Uint8Array(data as Buffer));
    if (step.kind === "send") raw.webSocket.send(step.frame);
    raw.webSocket.send(encodeFrame(OPERATIONS[path]));
  });
  raw.webSocket.send(handshake.hello);
  return endOf(raw);
}

async function expectUnharmed(): Promise<void> {
  expect(await admin.get("kept")).toBe("as it was");
  expect(
    node
      .status()
      .members.map(({ id }) => id)
      .sort(),
  ).toEqual(["member-one", "member-two"]);
}

describe("A node by default", () => {
  test("listens on loopback only, and on other addresses only with a secret", async () => {
    const server = await openServer({ listen: "127.0.0.1:0" });
    const port = Number(server.address.split(":")[1]);
    const others = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ internal, family }) => !internal && family === "IPv4");

    for (const { address: host } of others) {
      const socket = connectTcp(port, host);
      await expect(once(socket, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    }
    await server.stop();
    for (const listen of ["0.0.0.0:0", "[::]:0", "192.0.2.1:7400"])
      await expect(openServer({ listen })).rejects.toThrow(/^Refusing to listen on .* without a secret/);
  });
});

describe("Whoever proves nothing", () => {
  test.each(PATHS)("gets one refusal on /%s and nothing else", async (path) => {
    const cases = [
      await knock(path, {}),
      await knock(path, { secret: "another secret of many bytes" }),
      await knock(path, { secret: ["x", "y", "z"] }),
      await knock(path, { user: "admin", secret: SECRET }),
    ];

    for (const { refusals, others } of cases)
      expect({ refusals, others }).toEqual({ refusals: ["ERR_UNAUTHORIZED"], others: 0 });
    for (const { words } of cases) expect(words).not.toMatch(/member-|the-cluster|kept|127\.0\.0\.1/);
    await expectUnharmed();
  });

  test.each(PATHS)("is cut off on /%s when it goes on without the proof", async (path) => {
    for (const message of OPERATIONS[path]) {
      const early = await connectRaw(address, path);
      early.webSocket.send(encodeFrame([message]));
      const half = await connectRaw(address, path);
      half.webSocket.send(
        new DialerHandshake(path === "client" ? CLIENT : PEER, path, { secret: "x" }).hello,
      );
      half.webSocket.send(encodeFrame([message]));

      expect(await endOf(early)).toMatchObject({ refusals: [], others: 0 });
      expect(await endOf(half)).toMatchObject({ refusals: [], others: 0 });
    }
    await expectUnharmed();
  });

  test("is shown no page but the probes", async () => {
    for (const path of ["/status", "/metrics", "/client", "/peer", "/gossip", "/nothing", "/"]) {
      for (const login of [{}, { secret: "wrong" }, { user: "admin", secret: "wrong" }]) {
        const { status, body } = await askNode(address, path, login);
        expect(status).toBe(401);
        expect(body).not.toMatch(/member|cluster"|kept/);
      }
    }
    for (const path of ["/healthz", "/readyz", "/safez"])
      expect((await askNode(address, path)).body).not.toMatch(/member-|the-cluster|127\.0\.0\.1/);
  });

  test("gets one error from the Redis door for any command, and none of what it pipelines behind", async () => {
    for (const { name } of COMMANDS.values()) {
      if (["auth", "hello", "quit", "reset"].includes(name)) continue;
      const redis = await RawRedis.open(node.redisAddress!);
      redis.write(`${name} kept kept\r\nset kept gone\r\nget kept\r\n`);
      expect(await redis.reply()).toBe("-NOAUTH Authentication required.\r\n");
      expect(await redis.reply()).toBe("");
    }
    for (const line of ["hello 3", "reset", "hello 3 auth default wrong", "auth wrong", "auth a b"]) {
      const redis = await RawRedis.open(other.redisAddress!);
      redis.write(`${line}\r\nset kept gone\r\nget kept\r\n`);
      const replies = [await redis.reply(), await redis.reply(), await redis.reply()].join("");
      expect(replies).not.toMatch(/\+OK|as it was/);
      expect(redis.isClosed).toBe(true);
    }
    await expectUnharmed();
  });
});

describe("A recording", () => {
  test.each(PATHS)("of a whole conversation on /%s is of no use", async (path) => {
    // Everything that the dialer said, byte for byte.
    const said: Buffer[] = [];
    const [host, port] = address.split(":");
    const proxy = createServer((inbound: Socket) => {
      const outbound = connectTcp(Number(port), host);
      inbound.on("data", (chunk) => said.push(chunk)).pipe(outbound);
      outbound.pipe(inbound);
      for (const socket of [inbound, outbound]) socket.on("error", () => socket.destroy());
    });
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    const { port: proxyPort } = proxy.address() as { port: number };
    let answers = 0;
    const link = await dialLink({
      ...{
        address: `127.0.0.1:${proxyPort}`,
        path,
        identity: path === "client" ? CLIENT : PEER,
        secret: SECRET,
      },
      timeoutMs: 2_000,
      onLink: () => ({
        onMessages: () => {
          answers++;
        },
        onClose: () => {},
      }),
    });
    const harmless = ["ping", "get", "probe"];
    for (const message of OPERATIONS[path]) if (harmless.includes(message.kind)) link.send(message);
    if (path === "client") await vi.waitFor(() => expect(answers).toBeGreaterThan(0));
    link.close();
    proxy.close();
    await admin.set("after", path);

    const socket = connectTcp(Number(port), host);
    const received: Buffer[] = [];
    socket.on("data", (chunk) => received.push(chunk)).on("error", () => {});
    socket.write(Buffer.concat(said));
    await once(socket, "close");

    expect(Buffer.concat(said).length).toBeGreaterThan(250);
    // The switch to WebSocket, a new challenge, and the refusal.
    const text = Buffer.concat(received).toString("latin1");
    expect(text).toContain("The secrets of the two sides differ");
    expect(text).not.toMatch(/member-|as it was/);
    expect(await admin.get("after")).toBe(path);
    await expectUnharmed();
  });
});

describe("A node that does not belong", () => {
  test.each([
    ["without a secret", {}],
    ["with another secret", { secret: "another secret of many bytes" }],
    ["with the secret, of another cluster", { secret: SECRET, cluster: "elsewhere" }],
  ])("%s is refused within a second, and learns no member and no key", async (_name, options) => {
    const started = performance.now();
    const events: string[] = [];
    const joiner = await openServer({
      ...{ name: "intruder", listen: "127.0.0.1:0", memory: "16mb", join: address, cluster: CLUSTER },
      onEvent: ({ type }) => events.push(type),
      ...options,
    });
    await vi.waitFor(() => expect(joiner.seedErrors().size).toBe(1));
    const [reason] = joiner.seedErrors().values();

    expect(performance.now() - started).toBeLessThan(1_000);
    expect((reason as CacheError).code).toMatch(/ERR_UNAUTHORIZED|ERR_PROTOCOL/);
    expect(reason!.message).not.toMatch(/member-|the-cluster/);
    expect(joiner.status().members.map(({ id }) => id)).toEqual(["intruder"]);
    expect(events).not.toContain("genesis");
    await joiner.stop();
    await expectUnharmed();
  });
});

describe("This version of Node", () => {
  test("hashes numeric texts so that they cannot be made to collide (CVE-2026-21717)", () => {
    const started = performance.now();
    const object: Record<string, number> = {};
    for (let index = 0; index < 65_536; index++) object[String(index * 65_536)] = index;

    // Quadratic, it takes more than half a minute.
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(Object.keys(object)).toHaveLength(65_536);
  });
});
