// How fast could it be? What a round trip costs that does nothing: an echo over bare TCP, an echo over ws, and an echo over a link of this
// project with its frames, each between two processes; and a client that asks nobody.
//
// Baseline and ideal are these floors themselves: an operation that shares a frame with n - 1 others cannot cost less than the n-th
// part of an echo and what `bench/path.ts` says of the way without sockets.
//
// Run with `npm run bench:floors`.

import { fork } from "node:child_process";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocket, WebSocketServer } from "ws";
import { Histogram } from "./histogram.ts";
import { cpuMicrosOf, ownCpuMicros } from "./load/cpu.ts";

const ECHOES = ["tcp", "ws"] as const;
type Echo = (typeof ECHOES)[number];

/** A frame of twenty gets, and of their answers with 100-byte values. */
const SIZES = [64, 640, 2_400] as const;

/** What one floor came to. */
export interface Floor {
  readonly echo: Echo;
  readonly bytes: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly clientCpuMicros: number;
  readonly serverCpuMicros: number;
}

/** Round trips of `bytes` each way, one at a time, for `measureMs` after a quarter of that to warm up. */
export async function measureFloor(echo: Echo, bytes: number, measureMs: number): Promise<Floor> {
  const file = fileURLToPath(import.meta.url);
  const execArgv = file.endsWith(".ts") ? ["--import", "tsx"] : [];
  const server = fork(file, ["--serve", echo], { execArgv });
  try {
    const port = await new Promise<number>((resolve, reject) => {
      server.once("message", (message) => resolve(message as number));
      server.once("exit", () => reject(new Error("the echo server ended")));
    });
    const link = echo === "tcp" ? await openTcp(port, bytes) : await openWs(port);
    const payload = Buffer.alloc(bytes, 7);
    const run = { histogram: new Histogram(), isOver: false };
    const ended = (async () => {
      while (!run.isOver) {
        const startMs = performance.now();
        await link.roundTrip(payload);
        run.histogram.record(performance.now() - startMs);
      }
    })();
    await sleep(measureMs / 4);
    run.histogram = new Histogram();
    const before = { client: ownCpuMicros(), server: cpuMicrosOf([server.pid!]), atMs: performance.now() };
    await sleep(measureMs);
    const { count } = run.histogram;
    const result = {
      echo,
      bytes,
      perSecond: (count * 1_000) / (performance.now() - before.atMs),
      p50Ms: run.histogram.percentileMs(50),
      clientCpuMicros: (ownCpuMicros() - before.client) / Math.max(1, count),
      serverCpuMicros: (cpuMicrosOf([server.pid!]) - before.server) / Math.max(1, count),
    };
    run.isOver = true;
    await ended;
    link.close();
    return result;
  } finally {
    server.kill("SIGKILL");
  }
}

interface EchoLink {
  roundTrip(payload: Buffer): Promise<void>;
  close(): void;
}

async function openTcp(port: number, bytes: number): Promise<EchoLink> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  let received = 0;
  let done: (() => void) | undefined;
  socket.on("data", (chunk) => {
    received += chunk.length;
    if (received < bytes) return;
    received = 0;
    done?.();
  });
  return {
    roundTrip: (payload) =>
      new Promise((resolve) => {
        done = resolve;
        socket.write(payload);
      }),
    close: () => socket.destroy(),
  };
}

async function openWs(port: number): Promise<EchoLink> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false });
  await new Promise((resolve) => webSocket.once("open", resolve));
  let done: (() => void) | undefined;
  webSocket.on("message", () => done?.());
  return {
    roundTrip: (payload) =>
      new Promise((resolve) => {
        done = resolve;
        webSocket.send(payload);
      }),
    close: () => webSocket.terminate(),
  };
}

function serve(echo: Echo): void {
  const tell = (address: unknown) => process.send?.((address as AddressInfo).port);
  if (echo === "tcp") {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on("data", (chunk) => socket.write(chunk));
      socket.on("error", () => {});
    });
    server.listen(0, "127.0.0.1", () => tell(server.address()));
    return;
  }
  const server = createHttpServer();
  new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (webSocket) => {
    webSocket.on("message", (data) => webSocket.send(data));
    webSocket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1", () => tell(server.address()));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { serve: { type: "string" }, seconds: { type: "string", default: "2" } },
  });
  if (values.serve === "tcp" || values.serve === "ws") {
    serve(values.serve);
    return;
  }
  process.stdout.write("one echo at a time between two processes, per round trip\n");
  for (const bytes of SIZES) {
    for (const echo of ECHOES) {
      const floor = await measureFloor(echo, bytes, Number(values.seconds) * 1_000);
      const { perSecond, p50Ms, clientCpuMicros, serverCpuMicros } = floor;
      const facts = [
        `${Math.round(perSecond).toLocaleString("en")} a second`,
        `p50 ${Math.round(p50Ms * 1_000)} us`,
        `CPU client ${clientCpuMicros.toFixed(1)} us, server ${serverCpuMicros.toFixed(1)} us`,
      ];
      process.stdout.write(`${echo.padEnd(4)} ${String(bytes).padStart(5)} bytes: ${facts.join(", ")}\n`);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
