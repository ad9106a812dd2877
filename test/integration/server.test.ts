// The lifecycle of a node around a core that does what the test says, over real sockets.

import { once } from "node:events";
import { get } from "node:http";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { CacheError } from "../../src/base/errors.ts";
import type { MemberId } from "../../src/base/ids.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { Effect, Input } from "../../src/core/machine.ts";
import type { Message, Path } from "../../src/core/messages.ts";
import type { NodeCoreOptions } from "../../src/core/options.ts";
import { dialLink, type Link, type LocalIdentity } from "../../src/io/link.ts";
import { openServer, type RunningServer, startServer } from "../../src/server/node.ts";
import type { NodeOptions } from "../../src/server/options.ts";
import { aStatus, ScriptedCore } from "../server/fakes.ts";

const SECRET = "a secret of more than sixteen bytes";

const running: RunningServer[] = [];
const undo: (() => void)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) step();
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

/** A node with a scripted core, which knows the genesis id it was given. */
async function open(options: NodeOptions = {}, core = new ScriptedCore()) {
  let coreOptions: NodeCoreOptions | undefined;
  const server = await openServer({ listen: "127.0.0.1:0", name: "n1", ...options }, (given) => {
    coreOptions = given;
    core.genesisId = given.genesisId;
    return core;
  });
  running.push(server);
  return { server, core, coreOptions: coreOptions! };
}

interface Conversation {
  readonly link: Link;
  readonly received: Message[];
  readonly closed: Promise<string>;
}

async function dial(
  address: string,
  path: Path,
  { identity = {}, secret }: { identity?: Partial<LocalIdentity>; secret?: string } = {},
): Promise<Conversation> {
  const received: Message[] = [];
  let onClose: (reason: string) => void = () => {};
  const closed = new Promise<string>((resolve) => {
    onClose = resolve;
  });
  const isClient = path === "client";
  const link = await dialLink({
    address,
    path,
    secret,
    timeoutMs: 2_000,
    identity: {
      role: isClient ? "client" : "node",
      clusterName: "ringhold",
      genesisId: "",
      id: isClient ? "" : "n2",
      generation: isClient ? 0 : 1,
      address: isClient ? "" : "127.0.0.1:2",
      clientId: isClient ? 7 : 0,
      replicas: isClient ? 0 : 3,
      ...identity,
    },
    onLink: () => ({
      onMessages: (messages) => {
        received.push(...messages);
      },
      onClose,
    }),
  });
  undo.push(() => link.terminate());
  return { link, received, closed };
}

function ask(address: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(`http://${address}${path}`, { agent: false }, (incoming) => {
      let body = "";
      incoming.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body }));
    }).on("error", reject);
  });
}

/** Waits for a condition that events of the sockets bring about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function rejection(promise: Promise<unknown>): Promise<CacheError> {
  return promise.then(
    () => {
      throw new Error("Expected a rejection");
    },
    (error: CacheError) => error,
  );
}

const readRequest: Message = { kind: "get", id: 1, key: "k", read: "one", want: "value", notAfter: 0 };
const readReply = {
  kind: "got",
  id: 1,
  found: false,
  format: 0,
  value: new Uint8Array(0),
  version: 0,
  expiresAt: 0,
} as const;

describe("openServer", () => {
  test("tells its core who and where it is", async () => {
    const { server, coreOptions } = await open({ zone: "z1", weight: 2, cluster: "c1" });

    expect(server.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(server.url).toBe(`ringhold://${server.address}`);
    expect(coreOptions).toMatchObject({
      id: "n1",
      address: server.address,
      zone: "z1",
      weight: 2,
      clusterName: "c1",
      seeds: [],
    });
    expect(coreOptions.genesisId).toMatch(/^[0-9a-f]{16}$/);
    expect(Math.abs(coreOptions.generation - Date.now())).toBeLessThan(60_000);
  });

  test("leaves the genesis to the seeds when it has some", async () => {
    const { coreOptions } = await open({ join: "127.0.0.1:1" });

    expect(coreOptions).toMatchObject({ genesisId: "", seeds: ["127.0.0.1:1"] });
  });

  test("advertises what it is told to, with the bound port for port 0", async () => {
    const { server, coreOptions } = await open({ advertise: "cache.example.com:0" });

    expect(server.address).toMatch(/^cache\.example\.com:[1-9]\d*$/);
    expect(coreOptions.address).toBe(server.address);
  });

  test("advertises an address of this machine when it listens on all of them", async () => {
    const { server } = await open({ listen: "0.0.0.0:0", secret: SECRET }).catch((error: CacheError) => {
      // A machine without a network: then it must say what to do.
      expect(error.message).toContain("--advertise");
      return { server: undefined };
    });

    expect(server?.address ?? "").not.toMatch(/^(0\.0\.0\.0|127\.)/);
  });

  test("rejects with what to do when the port is in use", async () => {
    const other = createServer();
    undo.push(() => other.close());
    await once(other.listen(0, "127.0.0.1"), "listening");
    const { port } = other.address() as { port: number };

    const error = await rejection(openServer({ listen: `127.0.0.1:${port}` }));

    expect(error.code).toBe("ERR_INVALID_OPTION");
    expect(error.message).toBe(
      `Cannot listen on 127.0.0.1:${port} (EADDRINUSE): another process listens there: stop it, or choose another port`,
    );
    expect(error.details).toMatchObject({ option: "listen", systemCode: "EADDRINUSE" });
  });

  test("rejects an address that this machine does not have", async () => {
    const error = await rejection(openServer({ listen: "192.0.2.1:0", secret: SECRET }));

    expect(error).toMatchObject({ code: "ERR_INVALID_OPTION", details: { systemCode: "EADDRNOTAVAIL" } });
  });

  test("passes requests of clients to the core and its replies back", async () => {
    const { server, core } = await open();
    core.respond = (input): Effect[] =>
      input.kind === "client" ? [{ kind: "reply", client: input.client, message: readReply }] : [];

    const { link, received } = await dial(server.address, "client");
    link.send(readRequest);
    await until(() => received.length > 0);

    expect(received).toEqual([readReply]);
    expect(core.kinds.filter((kind) => kind.startsWith("client"))).toEqual(["clientOpened", "client"]);
  });

  test("passes messages of nodes to the core as said by the node that sent them, and sends on the same link", async () => {
    const { server, core } = await open();
    const ping = { kind: "ping", sentMs: 3 } as const;
    core.respond = (input): Effect[] =>
      input.kind === "peer"
        ? [
            {
              kind: "send",
              to: "n2" as MemberId,
              address: "127.0.0.1:2",
              path: "peer",
              message: { kind: "pong", sentMs: 3, monoMs: 1, wallMs: 1 },
            },
          ]
        : [];

    const { link, received } = await dial(server.address, "peer");
    link.send(ping);
    await until(() => received.length > 0);

    expect(core.inputs).toContainEqual({ kind: "link", member: "n2", path: "peer", isUp: true });
    expect(core.inputs).toContainEqual({ kind: "peer", from: "n2", message: ping });
    expect(received).toMatchObject([{ kind: "pong", sentMs: 3 }]);
  });

  test("lets nobody without the secret in, and counts it", async () => {
    const { server } = await open({ secret: SECRET });

    expect((await rejection(dial(server.address, "client"))).code).toBe("ERR_UNAUTHORIZED");
    expect((await rejection(dial(server.address, "peer", { secret: `${SECRET}!` }))).code).toBe(
      "ERR_UNAUTHORIZED",
    );
    await dial(server.address, "client", { secret: SECRET });

    expect((await ask(server.address, "/status")).status).toBe(401);
    expect((await ask(server.address, "/healthz")).status).toBe(200);
  });

  test("says over HTTP how the core is", async () => {
    const { server, core } = await open();

    expect(await ask(server.address, "/readyz")).toEqual({ status: 200, body: "ready\n" });
    expect(await ask(server.address, "/safez")).toEqual({
      status: 200,
      body: "SAFE: all copies are there\n",
    });
    expect(JSON.parse((await ask(server.address, "/status")).body)).toEqual(aStatus());
    core.statusNow = aStatus({ isReady: false, isSafe: false, verdict: "12 slots lack a copy" });
    expect(await ask(server.address, "/readyz")).toEqual({
      status: 503,
      body: "not ready: 12 slots lack a copy\n",
    });
    expect(await ask(server.address, "/safez")).toEqual({ status: 503, body: "12 slots lack a copy\n" });
    core.genesisId = "";
    expect((await ask(server.address, "/readyz")).body).toBe("not ready: no seed has answered yet\n");
    expect((await ask(server.address, "/metrics")).body).toContain("\nringhold_ready 0\n");
  });

  test("becomes ready when its core does", async () => {
    const core = new ScriptedCore();
    core.statusNow = aStatus({ isReady: false });
    const { server } = await open({}, core);
    let isReady = false;
    void server.ready.then(() => {
      isReady = true;
    });

    await ask(server.address, "/healthz");
    expect(isReady).toBe(false);
    core.statusNow = aStatus();
    await server.ready;

    expect(isReady).toBe(true);
  });

  test("dials the seed its core names and learns the cluster from it", async () => {
    const seed = await open({ name: "seed" });
    const core = new ScriptedCore();
    core.respond = (input): Effect[] =>
      input.kind === "tick"
        ? [
            {
              kind: "send",
              to: "",
              address: seed.server.address,
              path: "gossip",
              message: { kind: "sync", wantsReply: true, records: [] },
            },
          ]
        : [];
    core.nextDeadlineMs = 0;

    await open({ join: seed.server.address }, core);
    await until(() => core.kinds.includes("link"));

    expect(core.inputs).toContainEqual({ kind: "genesis", genesisId: seed.core.genesisId });
    await until(() => seed.core.kinds.includes("gossip"));
    expect(seed.core.inputs).toContainEqual(
      expect.objectContaining({
        kind: "gossip",
        from: "n1",
        message: expect.objectContaining({ kind: "sync" }),
      }),
    );
  });

  test("after a stall tells its core so first, then hands on what waited, and only then lets it tick", async () => {
    const { server, core } = await open();
    const { link } = await dial(server.address, "client");
    await until(() => core.kinds.includes("clientOpened"));
    core.nextDeadlineMs = performance.now() + 20;
    link.send({ kind: "ping", sentMs: 1 });
    await until(() => core.kinds.includes("client"));
    // The link writes at the end of this turn; the block comes right after, with the request in the kernel's buffer.
    link.send({ kind: "ping", sentMs: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    core.inputs.length = 0;

    const end = performance.now() + 400;
    while (performance.now() < end);
    await until(() => core.kinds.includes("tick") && core.kinds.includes("client"));

    const [first] = core.inputs;
    expect(first).toMatchObject({ kind: "stall" });
    expect(first?.kind === "stall" && first.ms).toBeGreaterThan(250);
    expect(core.kinds.indexOf("tick")).toBeGreaterThan(core.kinds.indexOf("client"));
  });

  test("tells a listener of the events and survives one that throws", async () => {
    const told: NodeEvent[] = [];
    const { server, core } = await open({
      onEvent: (event) => {
        told.push(event);
        throw new Error("the listener's own");
      },
    });
    core.respond = ({ kind }): Effect[] =>
      kind === "clientOpened" ? [{ kind: "event", event: { type: "refuted", incarnation: 1 } }] : [];

    await dial(server.address, "client");
    await until(() => told.length > 0);

    expect(told).toEqual([{ type: "refuted", incarnation: 1 }]);
    expect((await ask(server.address, "/metrics")).body).toContain("ringhold_refutations_total 1\n");
  });

  test("survives a logger that throws", async () => {
    const log = () => {
      throw new Error("no space left on device");
    };
    const { server, core } = await open({ logger: { error: log, warn: log, info: log, debug: log } });
    core.respond = ({ kind }): Effect[] =>
      kind === "clientOpened" ? [{ kind: "event", event: { type: "refuted", incarnation: 1 } }] : [];

    await dial(server.address, "client");

    expect((await ask(server.address, "/healthz")).status).toBe(200);
    await server.stop();
    expect(await server.ended).toBeUndefined();
  });

  test("ends with the bug when its core throws, and logs which input it was", async () => {
    const lines: [object, string][] = [];
    const nothing = () => {};
    const logger = {
      error: (facts: object, text: string) => void lines.push([facts, text]),
      warn: nothing,
      info: nothing,
      debug: nothing,
    };
    const { server, core } = await open({ logger });
    const bug = new Error("an invariant is gone");
    const { link, closed } = await dial(server.address, "client");
    core.respond = ({ kind }) => {
      if (kind === "client") throw bug;
      return [];
    };

    link.send(readRequest);

    expect(await server.ended).toBe(bug);
    expect(lines).toEqual([[{ err: bug, input: "client" }, expect.stringContaining("bug")]]);
    await closed;
    await server.stop();
  });
});

describe("RunningServer.stop", () => {
  test("is idempotent, joins a stop in progress, and frees the port", async () => {
    const { server } = await open();

    const stops = [server.stop(), server.stop(), server[Symbol.asyncDispose]()];
    await Promise.all(stops);
    await server.stop();

    expect(await server.ended).toBeUndefined();
    const again = await open({ listen: server.address });
    expect(again.server.address).toBe(server.address);
  });

  test("answers what is under way, refuses what is new, then closes the links", async () => {
    const { server, core } = await open();
    const { link, received, closed } = await dial(server.address, "client");
    link.send(readRequest);
    await until(() => core.kinds.includes("client"));

    const stopped = server.stop();
    link.send({ ...readRequest, id: 2 } as Message);
    await until(() => received.length === 1);
    expect(received).toMatchObject([
      { kind: "failed", id: 2, code: "ERR_CLOSED", applied: "no", elsewhere: true },
    ]);
    expect((await rejection(dial(server.address, "client"))).code).toBe("ERR_UNREACHABLE");
    core.respond = ({ kind }): Effect[] =>
      kind === "peer" || kind === "clientOpened" ? [] : [{ kind: "reply", client: 1, message: readReply }];
    core.nextDeadlineMs = 0;
    link.send({ kind: "ping", sentMs: 1 });
    await stopped;
    await closed;

    expect(received.at(-1)).toEqual(readReply);
  });

  test("does not wait for ever for what is under way", async () => {
    const { server, core } = await open();
    const { link, closed } = await dial(server.address, "client");
    link.send(readRequest);
    await until(() => core.kinds.includes("client"));

    await server.stop();

    expect(await closed).toBe("closed by the other side");
  });

  test("rejects `ready` when the node was not ready yet", async () => {
    const core = new ScriptedCore();
    core.statusNow = aStatus({ isReady: false });
    const { server } = await open({}, core);

    await server.stop();

    expect((await rejection(server.ready)).code).toBe("ERR_CLOSED");
  });

  test("leaves first when told so, and not otherwise", async () => {
    const leaver = await open({ leaveOnStop: true });
    leaver.core.respond = releaseOnLeave;
    await leaver.server.ready;
    const stayer = await open();
    await stayer.server.ready;

    await Promise.all([leaver.server.stop(), stayer.server.stop()]);

    expect(leaver.core.kinds).toContain("leave");
    expect(stayer.core.kinds).not.toContain("leave");
  });
});

describe("RunningServer.leave", () => {
  test("stops once the core has handed everything over", async () => {
    const { server, core } = await open();
    core.respond = releaseOnLeave;

    await server.leave();

    expect(core.kinds).toContain("leave");
    expect(await server.ended).toBeUndefined();
    expect((await rejection(server.leave())).code).toBe("ERR_CLOSED");
  });

  test("rejects in time when the slots are not handed over, and goes on", async () => {
    const { server } = await open();

    const error = await rejection(server.leave({ timeoutMs: 1 }));

    expect(error.code).toBe("ERR_TIMEOUT");
    expect(error.message).toContain("n1");
    expect((await ask(server.address, "/healthz")).status).toBe(200);
  });

  test("is done for it when an operator told the core to", async () => {
    const { server, core } = await open();
    core.respond = ({ kind }): Effect[] => (kind === "clientOpened" ? [{ kind: "released" }] : []);

    await dial(server.address, "client");

    expect(await server.ended).toBeUndefined();
  });
});

describe("startServer", () => {
  const start = (options: NodeOptions, core = new ScriptedCore()) =>
    startServer({ listen: "127.0.0.1:0", name: "n1", ...options }, (given) => {
      core.genesisId = given.genesisId;
      return core;
    }).then((server) => {
      running.push(server);
      return server;
    });

  /** A core that is not ready and asks the shell to reach a seed at each tick. */
  function seeker(...addresses: string[]): ScriptedCore {
    const core = new ScriptedCore();
    core.statusNow = aStatus({ isReady: false, verdict: "not in the ring" });
    core.nextDeadlineMs = 0;
    core.respond = (input: Input, now): Effect[] => {
      if (input.kind !== "tick") return [];
      core.nextDeadlineMs = now.monoMs + 20;
      return addresses.map((address) => ({
        kind: "send",
        to: "",
        address,
        path: "gossip",
        message: { kind: "gossip", updates: [] },
      }));
    };
    return core;
  }

  test("resolves to a node that is ready", async () => {
    const server = await start({});

    expect(server.status().isReady).toBe(true);
  });

  test("names each seed and why it failed when none answers in time", async () => {
    const seeds = [await freeAddress(), await freeAddress()];

    const error = await rejection(start({ join: seeds, readyTimeout: 300 }, seeker(...seeds)));

    expect(error.code).toBe("ERR_UNREACHABLE");
    for (const seed of seeds) {
      expect(error.message).toContain(`${seed}: nothing listens there (ECONNREFUSED)`);
      expect(error.details.seeds).toHaveProperty([seed]);
    }
  });

  test("gives up at once when every seed refuses it", async () => {
    const seed = await open({ name: "seed", secret: SECRET });
    const { address } = seed.server;

    const error = await rejection(start({ join: address }, seeker(address)));

    expect(error.code).toBe("ERR_UNAUTHORIZED");
    expect(error.message).toContain("The cluster refuses node n1");
    expect(error.message).toContain(address);
    expect(error.message).not.toContain(SECRET);
  });

  test("says so when the seed is of another cluster", async () => {
    const seed = await open({ name: "seed", cluster: "other" });
    const { address } = seed.server;

    const error = await rejection(start({ join: address }, seeker(address)));

    expect(error.code).toBe("ERR_PROTOCOL");
    expect(error.message).toContain('"other"');
  });

  test("says what is missing when the cluster answers but does not take the node in", async () => {
    const seed = await open({ name: "seed" });
    const { address } = seed.server;

    const error = await rejection(start({ join: address, readyTimeout: 400 }, seeker(address)));

    expect(error.code).toBe("ERR_TIMEOUT");
    expect(error.message).toContain("not in the ring");
  });

  test("leaves nothing behind when it fails", async () => {
    const address = await freeAddress();

    await rejection(start({ listen: address, join: "127.0.0.1:1", readyTimeout: 1 }, seeker("127.0.0.1:1")));

    const again = await start({ listen: address });
    expect(again.address).toBe(address);
  });
});

function releaseOnLeave({ kind }: Input): readonly Effect[] {
  return kind === "leave" ? [{ kind: "released" }] : [];
}

/** An address that nobody listens on, most likely for a while. */
async function freeAddress(): Promise<string> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}
