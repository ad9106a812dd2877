// Whole nodes within this process: real cores, real sockets, real time.

import { afterEach, describe, expect, test } from "vitest";
import type { CacheError } from "../../src/base/errors.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { ClientReply, ClientRequest } from "../../src/core/messages.ts";
import { clientIdentity, dialLink, type Link, type TlsOptions } from "../../src/io/link.ts";
import { type RunningServer, startServer } from "../../src/server/node.ts";
import type { NodeOptions } from "../../src/server/options.ts";
import { FIRST_TRY } from "../first-try.ts";
import {
  AUTHORITY,
  NODE_CERTIFICATE,
  NODE_KEY,
  STRANGER_CERTIFICATE,
  STRANGER_KEY,
} from "../support/certificates.ts";

const SECRET = "a secret of more than sixteen bytes";

const running = new Set<RunningServer>();
const callers: Caller[] = [];
afterEach(async () => {
  for (const caller of callers.splice(0)) caller.link.terminate();
  await Promise.all([...running].map((server) => server.stop()));
  running.clear();
});

async function start(options: NodeOptions): Promise<RunningServer> {
  const server = await startServer({ listen: "127.0.0.1:0", memory: "16mb", ...options });
  running.add(server);
  void server.ended.then(() => running.delete(server));
  return server;
}

/** `count` nodes in one ring that all see it as safe. */
async function startCluster(count: number, options: NodeOptions = {}): Promise<RunningServer[]> {
  const founder = await start({ name: "n1", ...options });
  const names = Array.from({ length: count - 1 }, (_, index) => `n${index + 2}`);
  const others = await Promise.all(names.map((name) => start({ name, join: founder.address, ...options })));
  const servers = [founder, ...others];
  await until(() => servers.every((server) => isSafeWith(server, count)));
  return servers;
}

function isSafeWith(server: RunningServer, count: number): boolean {
  const { isSafe, members } = server.status();
  const alive = members.filter(
    (member) => member.liveness === "alive" && member.ringState === "active" && member.isReachable,
  );
  return isSafe && alive.length === count;
}

/** Waits for something that the nodes' own timers bring about; the test's time limit bounds it. */
async function until(condition: () => boolean): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!condition()) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
}

/** One connection to one node, without any of the client's cleverness. */
class Caller {
  readonly link: Link;
  readonly #waiting: Map<number, (reply: ClientReply) => void>;
  #lastId = 0;

  private constructor(link: Link, waiting: Map<number, (reply: ClientReply) => void>) {
    this.link = link;
    this.#waiting = waiting;
  }

  static async open(address: string, secret?: string, tls?: TlsOptions): Promise<Caller> {
    const waiting = new Map<number, (reply: ClientReply) => void>();
    const link = await dialLink({
      address,
      path: "client",
      secret,
      tls,
      timeoutMs: 2_000,
      identity: clientIdentity({ clusterName: "ringhold", clientId: 1 + callers.length }),
      onLink: () => ({
        onMessages: (messages) => {
          for (const message of messages as readonly ClientReply[]) {
            if ("id" in message) waiting.get(message.id)?.(message);
          }
        },
        onClose: () => {},
      }),
    });
    const caller = new Caller(link, waiting);
    callers.push(caller);
    return caller;
  }

  ask(request: (id: number) => ClientRequest): Promise<ClientReply> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.link.send(request(id));
    });
  }

  async set(key: string, text: string): Promise<ClientReply> {
    const value = new TextEncoder().encode(text);
    return this.ask((id) => ({
      kind: "write",
      id,
      key,
      change: { type: "set", value, format: 1, ttlMs: 0, condition: "none", ifVersion: 0 },
      write: "quorum",
      opClient: 77 + callers.indexOf(this),
      opSeq: id,
      ...FIRST_TRY,
    }));
  }

  /** The text under the key; `undefined` for a miss. */
  async get(key: string, read: "one" | "quorum" = "one"): Promise<string | undefined> {
    const reply = await this.ask((id) => ({ kind: "get", id, key, read, want: "value", notAfter: 0 }));
    if (reply.kind !== "got") throw new Error(`Unexpected ${JSON.stringify(reply)}`);
    return reply.found ? new TextDecoder().decode(reply.value) : undefined;
  }
}

async function rejection(promise: Promise<unknown>): Promise<CacheError> {
  return promise.then(
    () => {
      throw new Error("Expected a rejection");
    },
    (error: CacheError) => error,
  );
}

const KEYS = Array.from({ length: 50 }, (_, index) => `key:${index}`);

describe("embedded nodes", () => {
  test("one node alone is a cluster that answers", async () => {
    const node = await start({});
    const caller = await Caller.open(node.address);

    expect(await caller.get("a")).toBeUndefined();
    expect(await caller.set("a", "1")).toMatchObject({ kind: "written", outcome: true });
    expect(await caller.get("a")).toBe("1");
    expect(node.status()).toMatchObject({ isReady: true, store: { entries: 1 } });
  });

  test("three nodes are one cache: what is written through one is read through all", async () => {
    const servers = await startCluster(3);
    const [first, ...others] = await Promise.all(servers.map(({ address }) => Caller.open(address)));

    const replies = await Promise.all(KEYS.map((key) => first!.set(key, `of ${key}`)));

    expect(new Set(replies.map(({ kind }) => kind))).toEqual(new Set(["written"]));
    for (const other of others) {
      expect(await Promise.all(KEYS.map((key) => other.get(key)))).toEqual(KEYS.map((key) => `of ${key}`));
    }
  });

  test("a node that stops and comes back under its name loses nothing and is filled again", async () => {
    const [n1, n2, n3] = await startCluster(3);
    const caller = await Caller.open(n1!.address);
    await Promise.all(KEYS.map((key) => caller.set(key, "before")));

    await n3!.stop();
    await until(() => n1!.status().members.some(({ id, isReachable }) => id === "n3" && !isReachable));
    expect(await Promise.all(KEYS.map((key) => caller.get(key)))).toEqual(KEYS.map(() => "before"));
    const replies = await Promise.all(KEYS.map((key) => caller.set(key, "meanwhile")));
    expect(replies.every(({ kind }) => kind === "written")).toBe(true);
    const back = await start({ name: "n3", listen: n3!.address, join: [n1!.address, n2!.address] });
    await until(() => [n1!, n2!, back].every((server) => isSafeWith(server, 3)));

    expect(back.status().store.entries).toBe(KEYS.length);
    const late = await Caller.open(back.address);
    expect(await Promise.all(KEYS.map((key) => late.get(key)))).toEqual(KEYS.map(() => "meanwhile"));
  });

  test("a node that leaves hands its slots over first", async () => {
    const [n1, n2, n3, n4] = await startCluster(4);
    const caller = await Caller.open(n1!.address);
    await Promise.all(KEYS.map((key) => caller.set(key, "kept")));

    await n4!.leave();
    await until(() => [n1!, n2!, n3!].every((server) => isSafeWith(server, 3)));

    expect(n1!.status().members.find(({ id }) => id === "n4")).toMatchObject({ ringState: "left" });
    for (const server of [n1!, n2!, n3!]) {
      expect(server.status().store.entries).toBe(KEYS.length);
    }
    expect(await Promise.all(KEYS.map((key) => caller.get(key, "quorum")))).toEqual(KEYS.map(() => "kept"));
  });

  test("a node told to leave by an operator ends by itself", async () => {
    const [n1, , , n4] = await startCluster(4);
    const caller = await Caller.open(n4!.address);

    const reply = await caller.ask((id) => ({ kind: "command", id, command: "leave", member: "n4" }));

    expect(reply.kind).toBe("commanded");
    expect(await n4!.ended).toBeUndefined();
    await until(() => isSafeWith(n1!, 3));
  });

  test("two nodes find each other through a third that has gone", async () => {
    const events: NodeEvent[] = [];
    const [n1, n2] = await startCluster(2, { replicas: 2 });
    const n3 = await start({
      name: "n3",
      replicas: 2,
      join: [n1!.address, "127.0.0.1:1"],
      onEvent: (event) => events.push(event),
    });

    await n1!.stop();
    await until(() => n3.status().members.some(({ id, isReachable }) => id === "n2" && isReachable));

    expect(events).toContainEqual(expect.objectContaining({ type: "peerReachable", member: "n2" }));
    const caller = await Caller.open(n2!.address);
    expect(await Promise.all(KEYS.map((key) => caller.get(key)))).toEqual(KEYS.map(() => undefined));
  });

  test("a secret keeps nodes and clients without it out, and everything else works with it", async () => {
    const servers = await startCluster(2, { secret: SECRET, replicas: 2 });
    const { address } = servers[0]!;

    const stranger = await rejection(start({ name: "x", join: address, replicas: 2 }));
    const liar = await rejection(start({ name: "x", join: address, replicas: 2, secret: `${SECRET}!` }));

    for (const error of [stranger, liar]) {
      expect(error.code).toBe("ERR_UNAUTHORIZED");
      expect(error.message).toContain(address);
      expect(error.message).not.toContain(SECRET);
    }
    expect((await rejection(Caller.open(address))).code).toBe("ERR_UNAUTHORIZED");
    const caller = await Caller.open(address, SECRET);
    expect(await caller.set("a", "1")).toMatchObject({ kind: "written" });
  });

  test("with certificates every link is TLS, and only the authority's nodes get in", async () => {
    const tls = { cert: NODE_CERTIFICATE, key: NODE_KEY, ca: AUTHORITY };
    const servers = await startCluster(2, { tls, replicas: 2 });
    const { address } = servers[0]!;
    const join = { name: "x", join: address, replicas: 2, readyTimeout: 2_000 };

    const plain = await rejection(start(join));
    const stranger = { cert: STRANGER_CERTIFICATE, key: STRANGER_KEY, ca: AUTHORITY };
    const unsigned = await rejection(start({ ...join, tls: stranger }));
    const distrusting = await rejection(start({ ...join, tls: { ...tls, ca: STRANGER_CERTIFICATE } }));

    expect(plain.code).toMatch(/ERR_PROTOCOL|ERR_UNREACHABLE/);
    expect([unsigned.code, distrusting.code]).toEqual(["ERR_UNAUTHORIZED", "ERR_UNAUTHORIZED"]);
    // Clients need no certificate of their own, only the authority to trust.
    const caller = await Caller.open(address, undefined, { ca: AUTHORITY });
    expect(await caller.set("a", "1")).toMatchObject({ kind: "written" });
    expect((await rejection(Caller.open(address))).code).toMatch(/ERR_PROTOCOL|ERR_UNREACHABLE/);
  });

  test.each([
    [{ cluster: "other" }, "Cluster names differ"],
    [{ replicas: 2 }, "replicas"],
    [{ name: "n1" }, "n1"],
  ])("a node that does not fit (%j) is refused at once, with the reason", async (options, reason) => {
    const founder = await start({ name: "n1" });

    const error = await rejection(start({ name: "n2", join: founder.address, ...options }));

    expect(error.code).toBe("ERR_PROTOCOL");
    expect(error.message).toContain(reason);
    expect(founder.status().members.map(({ id }) => id)).toEqual(["n1"]);
  });

  test("a node whose seeds do not answer says which and why, and frees its port", async () => {
    const error = await rejection(start({ join: "127.0.0.1:1,127.0.0.1:2", readyTimeout: 300 }));

    expect(error.code).toBe("ERR_UNREACHABLE");
    expect(error.message).toMatch(/127\.0\.0\.1:1.*ECONNREFUSED.*127\.0\.0\.1:2.*ECONNREFUSED/);
  });
});
