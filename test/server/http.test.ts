import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Credentials } from "../../src/server/credentials.ts";
import { createHttpServer, type HttpPages, servePages } from "../../src/server/http.ts";
import { createLogger } from "../../src/server/logger.ts";
import { Secret } from "../../src/server/secret.ts";

const PAGES: HttpPages = {
  health: () => ({ isGood: true, line: "ok" }),
  ready: () => ({ isGood: false, line: "not ready: starting" }),
  safe: () => ({ isGood: true, line: "SAFE" }),
  status: () => ({ id: "n1" }),
  metrics: () => "ringhold_ready 0\n",
};
const SECRET = "a secret of sixteen or more bytes: ü";

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

async function listen(
  options: {
    secret?: string;
    connectionsMax?: number;
    pages?: Partial<HttpPages>;
    onWrong?: () => void;
  } = {},
): Promise<number> {
  const server = createHttpServer({ tls: undefined, connectionsMax: options.connectionsMax ?? 100 });
  const secret = options.secret === undefined ? undefined : new Secret(options.secret);
  const sources = { secret, secretFile: undefined, usersFile: undefined, tls: undefined };
  const credentials = new Credentials(sources, createLogger("silent", "n1"));
  servePages(
    server,
    { ...PAGES, ...options.pages },
    {
      isSecured: credentials.isSecured,
      accessOf: (name, given) => credentials.accessOf(name, given),
      onWrongSecret: () => options.onWrong?.(),
    },
  );
  undo.push(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

function ask(
  port: number,
  path: string,
  { method = "GET", headers = {} as Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, path, method, headers, agent: false }, (incoming) => {
      let body = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => {
        body += chunk;
      });
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body }),
      );
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** Writes raw bytes; resolves to all that comes back until the other side closes. */
async function converse(port: number, bytes: string): Promise<string> {
  const socket: Socket = connect(port, "127.0.0.1");
  undo.push(() => socket.destroy());
  let received = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    received += chunk;
  });
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return received;
}

describe("servePages", () => {
  test.each([
    ["/healthz", 200, "ok\n"],
    ["/readyz", 503, "not ready: starting\n"],
    ["/safez?x=1", 200, "SAFE\n"],
    ["/status", 200, '{"id":"n1"}\n'],
    ["/metrics", 200, "ringhold_ready 0\n"],
    ["/", 404, "Not found: there are /healthz, /readyz, /safez, /status and /metrics\n"],
    ["/client", 404, "Not found: there are /healthz, /readyz, /safez, /status and /metrics\n"],
    ["/../status", 404, "Not found: there are /healthz, /readyz, /safez, /status and /metrics\n"],
  ])("answers %s with %d", async (path, status, body) => {
    const port = await listen();

    expect(await ask(port, path)).toMatchObject({ status, body });
  });

  test("says what the pages are made of", async () => {
    const port = await listen();

    expect((await ask(port, "/metrics")).headers["content-type"]).toBe(
      "text/plain; version=0.0.4; charset=utf-8",
    );
    expect((await ask(port, "/status")).headers["content-type"]).toBe("application/json");
  });

  test("answers HEAD without a body and other methods with 405", async () => {
    const port = await listen();

    expect(await ask(port, "/healthz", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
    expect(await ask(port, "/status", { method: "POST" })).toMatchObject({ status: 405 });
  });

  test("asks for the secret where there is one, but for the three probes", async () => {
    const port = await listen({ secret: SECRET });

    for (const path of ["/healthz", "/readyz", "/safez"]) {
      expect((await ask(port, path)).status).not.toBe(401);
    }
    for (const path of ["/status", "/metrics", "/unknown"]) {
      expect(await ask(port, path)).toMatchObject({
        status: 401,
        body: "The cluster's secret is required\n",
      });
    }
  });

  test.each([
    ["the secret", `Bearer ${Buffer.from(SECRET).toString("latin1")}`, 200],
    ["the secret after a lower-case scheme", `bearer ${Buffer.from(SECRET).toString("latin1")}`, 200],
    ["a part of the secret", "Bearer a secret of", 401],
    ["more than the secret", `Bearer ${Buffer.from(`${SECRET}x`).toString("latin1")}`, 401],
    ["nothing", "Bearer ", 401],
    ["another scheme", "Basic YTpi", 401],
  ])("takes %s for what it is", async (_what, authorization, status) => {
    const port = await listen({ secret: SECRET });

    expect((await ask(port, "/status", { headers: { authorization } })).status).toBe(status);
  });

  test("refuses large headers and garbage, and goes on", async () => {
    const port = await listen();

    expect(await converse(port, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(9_000)}\r\n\r\n`)).toContain(
      " 431 ",
    );
    expect(await converse(port, "\x16\x03\x01 hello\r\n\r\n")).toContain(" 400 ");
    expect((await ask(port, "/healthz")).status).toBe(200);
  });

  test("does not wait for a body", async () => {
    const port = await listen();

    const answer = await converse(
      port,
      "GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n",
    );

    expect(answer).toContain(" 200 ");
    expect(answer.toLowerCase()).toContain("connection: close");
  });

  test("keeps no connection of somebody who has not given the secret, and keeps the others", async () => {
    const port = await listen({ secret: SECRET });
    const authorization = `Bearer ${Buffer.from(SECRET).toString("latin1")}`;

    const [probe, refused, entitled] = [
      await ask(port, "/healthz", { headers: { connection: "keep-alive" } }),
      await ask(port, "/status", { headers: { connection: "keep-alive" } }),
      await ask(port, "/status", { headers: { connection: "keep-alive", authorization } }),
    ];

    expect([probe, refused, entitled].map(({ status, headers }) => [status, headers.connection])).toEqual([
      [200, "close"],
      [401, "close"],
      [200, "keep-alive"],
    ]);
  });

  test("makes one page for somebody who has not given the secret, however many are asked for at once", async () => {
    let made = 0;
    const safe = () => {
      made++;
      return { isGood: true, line: "SAFE" };
    };
    const port = await listen({ secret: SECRET, pages: { safe } });

    const answers = await converse(port, "GET /safez HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000));

    expect(answers.match(/SAFE/g)).toEqual(["SAFE"]);
    expect(made).toBe(1);
  });

  test("drops connections beyond its bound", async () => {
    const port = await listen({ connectionsMax: 1 });
    const first = connect(port, "127.0.0.1");
    undo.push(() => first.destroy());
    await once(first, "connect");
    first.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(first, "data");

    expect(await converse(port, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")).toBe("");
  });
});

describe("createHttpServer", () => {
  test("bounds how long a connection may take over a request, or say nothing at all", () => {
    const server = createHttpServer({ tls: undefined, connectionsMax: 5 });

    expect(server).toMatchObject({
      headersTimeout: 5_000,
      requestTimeout: 5_000,
      keepAliveTimeout: 2_500,
      timeout: 5_500,
      maxHeadersCount: 64,
      maxConnections: 5,
    });
  });

  test.each([
    ["/status", "GET"],
    ["/healthz", "GET"],
    ["/status", "POST"],
  ])(
    "counts a wrong secret that comes with %s (%s), where the answer tells whether it was right",
    async (path, method) => {
      let wrong = 0;
      const port = await listen({ secret: SECRET, onWrong: () => wrong++ });
      const bearer = (text: string) => ({ authorization: `Bearer ${Buffer.from(text).toString("latin1")}` });

      const right = await ask(port, path, {
        method,
        headers: { ...bearer(SECRET), connection: "keep-alive" },
      });
      const guessed = await ask(port, path, {
        method,
        headers: { ...bearer("a guess"), connection: "keep-alive" },
      });

      expect([right, guessed].map(({ headers }) => headers.connection)).toEqual(["keep-alive", "close"]);
      expect(wrong).toBe(1);
    },
  );

  test("refuses requests that name an origin, as the links do", async () => {
    const port = await listen();

    expect((await ask(port, "/status", { headers: { origin: "https://example.com" } })).status).toBe(403);
  });

  test("shows what it knows without a secret to who names this machine only, and that it lives to everybody", async () => {
    const port = await listen();
    const statusFor = async (path: string, host: string) =>
      (await ask(port, path, { headers: { host } })).status;

    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, "LOCALHOST"])
      expect(await statusFor("/status", host)).toBe(200);
    for (const path of ["/status", "/metrics"])
      expect(await statusFor(path, `rebound.example.com:${port}`)).toBe(403);
    expect(await statusFor("/healthz", `rebound.example.com:${port}`)).toBe(200);
  });
});
