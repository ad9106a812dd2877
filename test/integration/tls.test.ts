// TLS of nodes in this process, with certificates made for the occasion: who is let in, who is refused and learns nothing, and certificates that
// change while the nodes run.

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import WebSocket from "ws";
import { type CacheError, connect, type EmbeddedNode, type NodeOptions, startNode } from "../../src/index.ts";
import { dialLink, type LocalIdentity } from "../../src/io/link.ts";
import { FIRST_TRY } from "../first-try.ts";
import { Authority, type Certificate, pemOf } from "../support/authority.ts";
import { RawRedis } from "../support/raw-redis.ts";

const SECRET = "a secret of more than sixteen bytes";
const folder = mkdtempSync(join(tmpdir(), "ringhold-tls-"));
let authority: Authority;
let stranger: Authority;
let tls: Certificate;
let node: EmbeddedNode;

beforeAll(async () => {
  authority = new Authority(folder);
  stranger = new Authority(folder, "stranger");
  tls = authority.issue("n1");
  node = await start({ name: "n1", tls });
});

const extra: EmbeddedNode[] = [];
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const item of open.splice(0)) item.close();
  await Promise.all(extra.splice(0).map((each) => each.stop()));
});
afterAll(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

function start(options: NodeOptions): Promise<EmbeddedNode> {
  const redis = "127.0.0.1:0";
  return startNode({ listen: "127.0.0.1:0", redis, memory: "16mb", secret: SECRET, replicas: 2, ...options });
}

function addressOf({ url }: EmbeddedNode): string {
  return url.replace("ringhold://", "");
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "accepted",
    (error: CacheError) => error.code,
  );
}

function ca(): string {
  return pemOf(tls).ca;
}

const SILENT = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

const PEER: LocalIdentity = {
  role: "node",
  clusterName: "ringhold",
  genesisId: "",
  id: "x",
  generation: 1,
  address: "127.0.0.1:9",
  clientId: 0,
  replicas: 2,
};

/** Dials as a node with that certificate, and the right secret. */
function dialPeer(certificate: Certificate, address = PEER.address): Promise<unknown> {
  return dialLink({
    address: addressOf(node),
    path: "gossip",
    identity: { ...PEER, address },
    secret: SECRET,
    tls: { ...pemOf(certificate), ca: ca() },
    timeoutMs: 2_000,
    onLink: (link) => {
      open.push({ close: () => link.terminate() });
      return { onMessages: () => {}, onClose: () => {} };
    },
  });
}

/** How a TLS handshake with the node ends: the protocol, or the error's code. */
async function shake(options: ConnectionOptions): Promise<string> {
  const { host, port } = new URL(node.url.replace("ringhold", "tcp"));
  void host;
  const socket = connectTls({ host: "127.0.0.1", port: Number(port), ca: ca(), ...options });
  open.push({ close: () => socket.destroy() });
  return new Promise((resolve) => {
    socket.on("secureConnect", () => resolve(socket.getProtocol() ?? ""));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** The serial number of the certificate that an address shows. */
async function serialAt(address: string, trusted = ca()): Promise<string> {
  const [host, port] = address.split(":");
  const socket: TLSSocket = connectTls({ host: host!, port: Number(port), ca: trusted });
  open.push({ close: () => socket.destroy() });
  await once(socket, "secureConnect");
  return socket.getPeerCertificate().serialNumber;
}

describe("A node with certificates", () => {
  test("speaks TLS 1.2 and 1.3 and nothing older, and nothing without", async () => {
    const old = { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const;

    expect(await shake({})).toBe("TLSv1.3");
    expect(await shake({ maxVersion: "TLSv1.2" })).toBe("TLSv1.2");
    expect(await shake({ ...old, maxVersion: "TLSv1.1" })).toMatch(/ALERT|UNSUPPORTED|ECONNRESET|VERSION/);
    expect(await shake({ ...old, maxVersion: "TLSv1" })).toMatch(/ALERT|UNSUPPORTED|ECONNRESET|VERSION/);
    expect(await codeOf(connect(node.url, { secret: SECRET, connectTimeout: 800 }))).toMatch(
      /PROTOCOL|UNREACHABLE/,
    );
    const redis = await RawRedis.open(node.redisAddress!);
    redis.write("PING\r\n");
    expect(await redis.reply()).toBe("");
  });

  test("is trusted by clients of its authority and name only, and lives on", async () => {
    const asClient = (cas: string, url = node.url) =>
      codeOf(
        connect(url, { secret: SECRET, tls: { ca: cas }, connectTimeout: 2_000 }).then((cache) =>
          cache.close(),
        ),
      );
    const byOther = await startNode({ listen: "127.0.0.1:0", memory: "16mb", tls: stranger.issue("n") });
    const expired = await startNode({
      listen: "127.0.0.1:0",
      memory: "16mb",
      tls: authority.issue("old", { days: -1 }),
    });
    const elsewhere = await startNode({
      ...{ listen: "127.0.0.1:0", memory: "16mb" },
      tls: authority.issue("away", { names: ["DNS:away.example", "IP:192.0.2.1"] }),
    });
    extra.push(byOther, expired, elsewhere);

    expect(await asClient(ca())).toBe("accepted");
    expect(await asClient(pemOf(stranger.issue("n")).ca)).toBe("ERR_UNAUTHORIZED");
    for (const bad of [byOther, expired, elsewhere])
      expect(await asClient(ca(), bad.url)).toBe("ERR_UNAUTHORIZED");
    expect(await asClient(ca())).toBe("accepted");
  });

  test.each([
    ["of another authority", () => stranger.issue("peer")],
    ["that has expired", () => authority.issue("peer", { days: -1 })],
    ["of a client", () => authority.issue("peer", { usages: ["clientAuth"] })],
    [
      "of a client that has no names",
      () => authority.issue("peer", { names: ["DNS:client-7"], usages: ["clientAuth"] }),
    ],
  ])("lets no node in with a certificate %s, which learns nothing", async (_name, issue) => {
    const certificate = issue();
    const joiner = { ...{ name: "x", join: node.url }, readyTimeout: 5_000 };

    const started = performance.now();
    expect(await codeOf(dialPeer(certificate))).toBe("ERR_UNAUTHORIZED");
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(await codeOf(start({ ...joiner, tls: certificate }))).toBe("ERR_UNAUTHORIZED");

    // Not a byte of a WebSocket comes back.
    const { cert, key } = pemOf(certificate);
    const socket = new WebSocket(`wss://${addressOf(node)}/gossip`, { cert, key, ca: ca() });
    const [, response] = await once(
      socket.on("error", () => {}),
      "unexpected-response",
    );
    expect(response.statusCode).toBe(401);
    expect(node.status().members.map(({ id }) => id)).toEqual(["n1"]);
  });

  test("lets no node in that shows another node's certificate, though it has the secret", async () => {
    const certificate = authority.issue("n7", { names: ["IP:192.0.2.7"] });

    expect(await codeOf(dialPeer(certificate))).toBe("ERR_UNAUTHORIZED");
    expect(await codeOf(dialPeer(certificate, "192.0.2.7:7400"))).not.toBe("ERR_UNAUTHORIZED");
  });

  test("asks the secret of whoever has a certificate as well", async () => {
    const certificate = authority.issue("n8");
    const join = { ...{ name: "x", join: node.url, tls: certificate }, readyTimeout: 5_000 };

    expect(await codeOf(start({ ...join, secret: "another secret of many bytes" }))).toBe("ERR_UNAUTHORIZED");
    expect(node.status().members.map(({ id }) => id)).toEqual(["n1"]);
  });

  test("shows neither keys nor values nor the secret on the wire", async () => {
    const second = await start({ name: "n2", join: node.url, tls: authority.issue("n2") });
    extra.push(second);
    const seen: Buffer[] = [];
    const proxy = createServer((inbound: Socket) => {
      const outbound = connectTcp(Number(addressOf(node).split(":")[1]), "127.0.0.1");
      inbound.on("data", (chunk) => seen.push(chunk)).pipe(outbound);
      outbound.on("data", (chunk) => seen.push(chunk)).pipe(inbound);
      for (const socket of [inbound, outbound]) socket.on("error", () => socket.destroy());
    });
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    open.push(proxy);
    const { port } = proxy.address() as { port: number };

    const link = await dialLink({
      address: `127.0.0.1:${port}`,
      path: "client",
      identity: { ...PEER, role: "client", id: "", generation: 0, address: "", clientId: 7, replicas: 0 },
      secret: SECRET,
      tls: { ca: ca() },
      timeoutMs: 2_000,
      onLink: () => ({ onMessages: () => {}, onClose: () => {} }),
    });
    open.push({ close: () => link.terminate() });
    const change = {
      type: "set",
      value: Buffer.from("canary-value"),
      format: 1,
      ttlMs: 0,
      condition: "none",
      ifVersion: 0,
    } as const;
    link.send({
      ...{ kind: "write", id: 1, key: "canary-key", change, write: "all", opClient: 7, opSeq: 1 },
      ...FIRST_TRY,
    } as Parameters<typeof link.send>[0]);
    await vi.waitFor(async () => expect(await node.cache().get("canary-key")).toBe("canary-value"));

    const bytes = Buffer.concat(seen);
    expect(bytes.length).toBeGreaterThan(1_000);
    for (const word of ["canary", SECRET, "ringhold"]) expect(bytes.includes(word)).toBe(false);
  });
});

describe("Certificates that change", () => {
  test("are shown to new connections, while calls go on; a file that cannot be used changes nothing", async () => {
    const certificate = authority.issue("changing");
    const complaints: unknown[] = [];
    const logger = { ...SILENT, error: (facts: object) => complaints.push(facts) };
    const changing = await start({ name: "c1", tls: certificate, logger });
    extra.push(changing);
    const cache = await connect(changing.url, { secret: SECRET, tls: { ca: ca() } });
    open.push(cache);
    let [calls, isOver] = [0, false];
    const failures: unknown[] = [];
    const load = (async () => {
      while (!isOver)
        await cache.set(`k${calls++ % 50}`, calls).catch((error: unknown) => failures.push(error));
    })();
    const addresses = [addressOf(changing), changing.redisAddress!];
    const serials = () => Promise.all(addresses.map((address) => serialAt(address)));
    const [before] = await serials();

    writeFileSync(certificate.certFile, "no certificate");
    await vi.waitFor(() => expect(complaints).toHaveLength(1), { timeout: 10_000 });
    expect(complaints[0]).toMatchObject({
      part: "certificates",
      reason: expect.stringContaining("cannot be used"),
    });
    expect(await serials()).toEqual([before, before]);
    authority.issue("changing");
    await vi.waitFor(async () => expect(await serials()).not.toContain(before), {
      timeout: 10_000,
      interval: 200,
    });

    // The new one serves for dialling as well.
    const second = await start({ name: "c2", join: changing.url, tls: authority.issue("c2") });
    extra.push(second);
    isOver = true;
    await load;
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
  });

  test("may be of a new authority, if both are trusted meanwhile", async () => {
    const next = new Authority(folder, "next");
    const certificate = authority.issue("moving");
    const both = join(folder, "both.pem");
    writeFileSync(both, ca());
    const moving = await start({ name: "m1", tls: { ...certificate, caFile: both } });
    extra.push(moving);

    writeFileSync(both, `${ca()}${pemOf(next.issue("m2")).ca}`);
    const byNext = { ...next.issue("m2"), caFile: both };
    const second = await vi.waitFor(() => start({ name: "m2", join: moving.url, tls: byNext }), {
      timeout: 20_000,
    });
    extra.push(second);

    expect(second.status().members).toHaveLength(2);

    // The old one goes; the node's own cache connects anew.
    const last = next.issue("m1");
    writeFileSync(certificate.keyFile, readFileSync(last.keyFile));
    writeFileSync(certificate.certFile, readFileSync(last.certFile));
    writeFileSync(both, pemOf(last).ca);
    await vi.waitFor(() => serialAt(addressOf(moving), pemOf(last).ca), { timeout: 20_000, interval: 200 });
    await moving.cache().close();
    expect(await moving.cache().set("k", "v", { timeout: 5_000 })).toBe(true);
  }, 60_000);
});
