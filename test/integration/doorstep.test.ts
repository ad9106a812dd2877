// What meets those who come to a node's port at an awkward moment or in an unusual way.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { CacheError, startNode } from "../../src/index.ts";
import { openServer } from "../../src/server/node.ts";

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const item of open.splice(0).reverse()) await item.close();
});

function dial(port: number, localAddress?: string): Socket {
  const socket = connect({ port, host: "127.0.0.1", ...(localAddress && { localAddress }) });
  open.push({ close: () => socket.destroy() });
  return socket.on("error", () => {});
}

/** The first line of the answer to a request for /healthz; "" when the connection is cut, "nothing" when there is none in time. */
function health(socket: Socket, ms = 2_000): Promise<string> {
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  return Promise.race([
    new Promise<string>((resolve) => {
      socket.once("data", (data) => resolve(String(data).split("\r\n")[0]!)).once("close", () => resolve(""));
    }),
    new Promise<string>((resolve) => setTimeout(resolve, ms, "nothing")),
  ]);
}

test("answers a probe that offers HTTP/2, as Java's client and curl --http2 do", async () => {
  const node = await startNode({ listen: "127.0.0.1:0", memory: "16mb" });
  open.push({ close: () => node.stop() });
  const headers = {
    connection: "Upgrade, HTTP2-Settings",
    upgrade: "h2c",
    "http2-settings": "AAMAAABkAAQAAP__",
  };

  const status = await new Promise((resolve, reject) => {
    const url = `${node.url.replace("ringhold", "http")}/healthz`;
    request(url, { headers }, (response) => resolve(response.resume().statusCode))
      .on("error", reject)
      .end();
  });

  expect(status).toBe(200);
});

test("says which option is wrong when certificates given as texts cannot be used", async () => {
  const pem = "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n";
  const error = await startNode({ listen: "127.0.0.1:0", tls: { cert: pem, key: pem, ca: pem } }).catch(
    (e) => e,
  );

  expect(error).toBeInstanceOf(CacheError);
  expect(error).toMatchObject({ code: "ERR_INVALID_OPTION" });
});

test.each([170, 352])(
  "leaves half of the connections to others where the limit of open files is low (%i of one)",
  async (count) => {
    const command = "ulimit -n 400; exec node --import tsx test/integration/limited-node.ts";
    const child = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
    open.push({ close: () => child.kill("SIGKILL") });
    const [line] = await once(child.stdout, "data");
    const port = Number(String(line).trim().split(":")[1]);

    // What the limit affords: 400 less the 48 that are kept back.
    const crowd = Array.from({ length: count }, () => dial(port, "127.0.0.1"));
    await Promise.all(crowd.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    const other = dial(port, "127.0.0.2");
    await new Promise((resolve) => other.once("connect", resolve));

    expect(await health(other)).toBe("HTTP/1.1 200 OK");
  },
);

test("answers who connects while a node with a Redis door starts", async () => {
  const answers: string[] = [];
  for (let round = 0; round < 8; round++) {
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, "close");
    const opening = openServer({ listen: `127.0.0.1:${port}`, redis: "localhost:0", memory: "16mb" });
    let first: Promise<string> | undefined;
    while (first === undefined) {
      const socket = dial(port);
      const isTaken = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      if (isTaken) first = health(socket);
    }
    const server = await opening;
    open.push({ close: () => server.stop() });
    answers.push(await first);
  }

  expect(new Set(answers)).toEqual(new Set(["HTTP/1.1 200 OK"]));
});
