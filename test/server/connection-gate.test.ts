import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { addressOf, ConnectionGate, type GateOptions } from "../../src/server/connection-gate.ts";
import { affordableConnections } from "../../src/server/file-descriptors.ts";

const open: { destroy(): unknown }[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function setUp(options: Partial<GateOptions> = {}, isOpen = false) {
  const refused: string[] = [];
  const clock = { nowMs: 0 };
  const gate = new ConnectionGate({
    connectionsMax: 100,
    connectionsPerAddressMax: 100,
    nowMs: () => clock.nowMs,
    onRefused: (reason) => refused.push(reason),
    ...options,
  });
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    open.push(socket.on("error", () => {}));
    accepted.push(socket);
  });
  gate.attach(server, isOpen);
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const dial = async () => {
    const socket = connect(port, "127.0.0.1");
    open.push(socket.on("error", () => {}));
    await once(socket, "connect");
    // Refused ones end by themselves; nobody else does.
    return socket.resume();
  };
  const remoteOf = (socket: Socket) => `127.0.0.1:${socket.localPort}`;
  return { gate, refused, clock, dial, remoteOf, accepted };
}

describe("ConnectionGate", () => {
  test("drops connections beyond the total as they come, and takes others when some have gone", async () => {
    const { gate, refused, dial } = await setUp({ connectionsMax: 2 });
    const [first] = [await dial(), await dial()];

    const third = await dial();
    await once(third, "close");
    first!.destroy();
    await vi.waitFor(() => expect(gate.count).toBe(1));
    await dial();

    await vi.waitFor(() => expect(gate.count).toBe(2));
    expect(refused).toEqual(["total"]);
  });

  test("drops connections beyond those of one address", async () => {
    const { refused, dial } = await setUp({ connectionsPerAddressMax: 1 });
    await dial();

    await once(await dial(), "close");

    expect(refused).toEqual(["address"]);
  });

  test("tells connections from one port to two servers apart", async () => {
    const { gate, refused, clock } = await setUp();
    const other = createServer();
    gate.attach(other);
    servers.push(other);
    await once(other.listen(0, "127.0.0.1"), "listening");
    const free = createServer();
    await once(free.listen(0, "127.0.0.1"), "listening");
    const localPort = (free.address() as AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const sockets = servers.slice(-2).map((server) => {
      const { port } = server.address() as AddressInfo;
      return connect({ port, host: "127.0.0.1", localPort, localAddress: "127.0.0.1" }).resume();
    });
    open.push(...sockets);
    await vi.waitFor(() => expect(gate.strangerCount).toBe(2));

    clock.nowMs = 5_000;
    await Promise.all(sockets.map((socket) => once(socket, "close")));

    expect(refused).toEqual(["time", "time"]);
    expect(gate.strangerCount).toBe(0);
  });

  test("counts a connection that the system could not accept, and goes on", async () => {
    const { gate, refused, dial } = await setUp();

    servers.at(-1)!.emit("error", new Error("accept EMFILE"));
    await dial();

    await vi.waitFor(() => expect(gate.count).toBe(1));
    expect(refused).toEqual(["accept"]);
  });

  test("hands on one connection in a turn of the event loop when many speak at once", async () => {
    const { gate, dial, accepted } = await setUp();
    const sockets = [await dial(), await dial(), await dial(), await dial(), await dial()];
    await vi.waitFor(() => expect(gate.strangerCount).toBe(sockets.length));
    const perTurn: number[] = [];
    let before = 0;
    const count = () => {
      perTurn.push(accepted.length - before);
      before = accepted.length;
      if (before < sockets.length) setImmediate(count);
    };

    for (const socket of sockets) socket.write("x");
    setImmediate(count);

    await vi.waitFor(() => expect(accepted).toHaveLength(sockets.length));
    expect(Math.max(...perTurn)).toBe(1);
  });

  test("cuts strangers that take too long, and nobody else", async () => {
    const { gate, refused, clock, dial, remoteOf } = await setUp();
    const [stranger, friend] = [await dial(), await dial()];
    await vi.waitFor(() => expect(gate.strangerCount).toBe(2));
    gate.proved(remoteOf(friend));

    clock.nowMs = 4_499;
    const late = await dial();
    await vi.waitFor(() => expect(gate.strangerCount).toBe(2));
    clock.nowMs = 4_500;
    await once(stranger, "close");

    expect(refused).toEqual(["time"]);
    expect([friend.destroyed, late.destroyed]).toEqual([false, false]);
  });

  test("drops strangers of one address that are too many", async () => {
    const { gate, refused, dial } = await setUp({ connectionsMax: 1_000, connectionsPerAddressMax: 1_000 });
    await Promise.all(Array.from({ length: 512 }, dial));
    await vi.waitFor(() => expect(gate.strangerCount).toBe(512));

    await once(await dial(), "close");

    expect(refused).toEqual(["strangers"]);
  });

  test("backs off from an address that proved wrong things, until it has waited", async () => {
    const { gate, refused, clock, dial, remoteOf } = await setUp();
    const before = await dial();
    for (let index = 0; index < 100; index++) gate.failed("127.0.0.1:1");

    await once(await dial(), "close");
    gate.proved(remoteOf(before));
    clock.nowMs = 40;
    await once(await dial(), "close");
    clock.nowMs = 50;
    const after = await dial();
    await vi.waitFor(() => expect(gate.count).toBe(2));

    expect(refused).toEqual(["back-off", "back-off"]);
    // Other addresses, and what is connected, are not concerned.
    expect([before.destroyed, after.destroyed]).toEqual([false, false]);
  });

  test("hands a connection on once it has said something, with all that it said", async () => {
    const { gate, dial, accepted } = await setUp();
    const [silent, talker] = [await dial(), await dial()];
    const said = "x".repeat(100_000);

    talker.write(said);
    await vi.waitFor(() => expect(accepted).toHaveLength(1));
    let heard = "";
    accepted[0]!.setEncoding("latin1").on("data", (text: string) => {
      heard += text;
    });

    await vi.waitFor(() => expect(heard).toBe(said));
    silent.end();
    await once(silent, "close");
    await vi.waitFor(() => expect(gate.count).toBe(1));
    expect(accepted).toHaveLength(1);
  });

  test("hands a silent connection on where everybody is let in", async () => {
    const { dial, accepted } = await setUp({}, true);

    await dial();

    await vi.waitFor(() => expect(accepted).toHaveLength(1));
  });

  test("survives strangers that reset their connection", async () => {
    const { gate, dial } = await setUp();
    const strangers = await Promise.all(Array.from({ length: 5 }, dial));
    await vi.waitFor(() => expect(gate.count).toBe(5));

    for (const stranger of strangers) stranger.resetAndDestroy();

    await vi.waitFor(() => expect([gate.count, gate.strangerCount]).toEqual([0, 0]));
  });

  test("cuts a crowd that has grown old in small portions", async () => {
    const { gate, refused, clock, dial } = await setUp();
    const crowd = await Promise.all(Array.from({ length: 50 }, dial));
    await vi.waitFor(() => expect(gate.strangerCount).toBe(50));
    const counts = new Set<number>();
    const watch = setInterval(() => counts.add(gate.strangerCount), 0);

    clock.nowMs = 4_500;
    await Promise.all(crowd.map((socket) => once(socket, "close")));
    clearInterval(watch);

    expect(refused).toEqual(new Array(50).fill("time"));
    expect(counts.size).toBeGreaterThan(2);
  });

  test("cuts its strangers when it stops", async () => {
    const { gate, dial } = await setUp();
    const stranger = await dial();
    await vi.waitFor(() => expect(gate.strangerCount).toBe(1));

    gate.stop();

    await once(stranger, "close");
  });

  test("forgets what it counted when connections close", async () => {
    const { gate, dial } = await setUp();
    const sockets = await Promise.all(Array.from({ length: 50 }, dial));
    await vi.waitFor(() => expect(gate.count).toBe(50));

    for (const socket of sockets) socket.destroy();

    await vi.waitFor(() => expect([gate.count, gate.strangerCount]).toEqual([0, 0]));
  });
});

describe("addressOf", () => {
  test.each([
    ["10.1.2.3:4567", "10.1.2.3"],
    ["::ffff:10.1.2.3:4567", "10.1.2.3"],
    ["2001:db8:1:2:3:4:5:6:4567", "2001:db8:1:2::/64"],
    ["2001:db8::6:4567", "2001:db8:0:0::/64"],
    ["fe80::1%eth0:4567", "fe80:0:0:0::/64"],
    ["::1:4567", "0:0:0:0::/64"],
    ["unknown:0", "unknown"],
  ])("takes %s for %s", (remote, address) => {
    expect(addressOf(remote)).toBe(address);
  });
});

describe("affordableConnections", () => {
  test.each([
    ["Max open files            64                   64                   files\n", 16],
    ["Max open files            1048576              1048576              files\n", 10_000],
    ["Max open files            20                   20                   files\n", 1],
    ["Max open files            unlimited            unlimited            files\n", 10_000],
    ["", 10_000],
  ])("given %j is %d", (limits, connections) => {
    expect(affordableConnections(10_000, limits)).toBe(connections);
  });
});
