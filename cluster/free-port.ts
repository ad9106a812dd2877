// Finding TCP ports on the loopback interface. A port found free can be taken by someone else before it is used; a node that
// then fails to listen says so.

import { createServer } from "node:net";

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

/** `count` different ports that are free now, chosen by the operating system. */
export async function findFreePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  try {
    // All are held open until the last one has been found, so that none is handed out twice.
    return await Promise.all(servers.map((server) => listen(server, 0)));
  } finally {
    for (const server of servers) server.close();
  }
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
