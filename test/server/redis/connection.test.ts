import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, test, vi } from "vitest";
import { Connection, type ConnectionPorts } from "../../../src/server/redis/connection.ts";

test("Connection leaves in the socket what comes while the node has enough to do, and goes on reading later", async () => {
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  const keyspace = { isFull: true, view: { ring: {} } };
  const held: Connection[] = [];
  const ports = {
    services: { isSecured: false, wallMs: () => 0, keyspace, counters: {} },
    limits: { argumentsMax: 10, argumentBytesMax: 1024 * 1024, requestBytesMax: 1024 * 1024 },
    commandOf: () => undefined,
    wake: () => {},
    hold: (connection: Connection) => held.push(connection),
    onClose: () => {},
  } as unknown as ConnectionPorts;
  const connection = new Connection(1, socket as Socket, ports);

  socket.push("*2\r\n$3\r\nSET\r\n$200000\r\n");
  socket.push("x".repeat(100_000));
  await vi.waitFor(() => expect(socket.isPaused()).toBe(true));
  expect(held).toContain(connection);

  keyspace.isFull = false;
  connection.goOn();
  expect(socket.isPaused()).toBe(false);
});
