// Finding TCP ports on the loopback interface. A port found free can be taken by someone else before it is used; a node that
// then fails to listen says so.

import { createServer, type Server } from "node:net";

const PORT_MIN = 10_000;
const PORT_MAX = 32_000;
const ATTEMPTS_MAX = 1_000;
/** Processes whose numbers are close to each other, as those that run tests side by side, draw from different parts of the range. */
const PARTS = 16;
const PART_SIZE = Math.floor((PORT_MAX - PORT_MIN) / PARTS);
/** Ports that this process has handed out and that may not be listened on yet. Forgotten, all together, once half of its part is. */
const handedOut = new Set<number>();

/** Whether 127.0.0.1 has this port free now. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await listen(server, port);
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/**
 * `count` different ports that are free now, chosen at random below those that systems give to outgoing connections (32768 and
 * up on Linux, 49152 on others): while a node is down, no connection may take its port.
 *
 * @param besides Ports that are not to be chosen, free or not.
 */
export async function findFreePorts(count: number, besides: readonly number[] = []): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  try {
    // All are held open until the last one has been found, so that none is handed out twice.
    for (let attempt = 0; ports.length < count && attempt < ATTEMPTS_MAX; attempt++) {
      const port = PORT_MIN + (process.pid % PARTS) * PART_SIZE + Math.floor(Math.random() * PART_SIZE);
      if (handedOut.has(port) || besides.includes(port)) continue;
      const server = createServer();
      try {
        await listen(server, port);
        servers.push(server);
        ports.push(port);
      } catch {
        // Taken: try another.
      }
    }
  } finally {
    for (const server of servers) server.close();
  }
  if (ports.length < count) throw new Error(`Found no ${count} free ports from ${PORT_MIN} to ${PORT_MAX}`);
  if (handedOut.size > PART_SIZE / 2) handedOut.clear();
  for (const port of ports) handedOut.add(port);
  return ports;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, resolve);
  });
}
