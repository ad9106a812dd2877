// A seeded fuzz of the Redis door: honest requests are mutated (bits, cuts, splices, lengths, arguments) and sent over real sockets, and
// after each batch an honest request on another connection must be answered rightly. The same seed sends the same bytes.

import { connect, type Socket } from "node:net";
import { Prng } from "../../src/base/prng.ts";
import { COMMANDS } from "../../src/server/redis/command-table.ts";

/** What came out. */
export interface FuzzReport {
  readonly requests: number;
  readonly connections: number;
  /** Wrong or missing answers to honest requests; must be empty. */
  readonly wrong: readonly string[];
  /** Largest resident size of the node's process less that at the start, in bytes; measured by `rss`. */
  readonly growthBytes: number;
}

export interface FuzzOptions {
  readonly port: number;
  readonly seed: number;
  readonly requests: number;
  /** Resident bytes of the process under test. */
  rss(): number;
}

/** Requests on one connection. */
const BATCH_MAX = 64;
/** Connections between two honest requests. */
const CONNECTIONS_BETWEEN = 16;
/** Left alone: they would end what is being tested. */
const SPARED = new Set(["flushall", "flushdb", "keys", "subscribe", "psubscribe"]);
const NAMES = [...COMMANDS.keys()].filter((name) => !SPARED.has(name));
const EDGES = [
  ...[
    "",
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1e308",
    "nan",
    "inf",
  ],
  ...[
    "NX",
    "XX",
    "GT",
    "LT",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "GET",
    "KEEPTTL",
    "PERSIST",
    "MATCH",
    "COUNT",
    "TYPE",
    "AUTH",
  ],
  ...["*", "[", "[^", "\\", "*".repeat(200), "{", "{}", "\u0000", "\ud800", "é", "__proto__", "constructor"],
  "x".repeat(1_100),
];

/** See the top of the file. @throws {Error} when the door cannot be reached at all */
export async function fuzz({ port, seed, requests, rss }: FuzzOptions): Promise<FuzzReport> {
  const prng = new Prng(seed);
  const startBytes = rss();
  const wrong: string[] = [];
  let growthBytes = 0;
  let connections = 0;
  let sent = 0;
  const honest = new HonestClient(port);
  await honest.open();
  while (sent < requests) {
    const parts: Buffer[] = [];
    // What cannot be parsed ends a connection: it comes last, so that all before it is looked at.
    for (let isLast = false; !isLast && parts.length < BATCH_MAX && sent < requests; sent++) {
      isLast = prng.below(8) === 0;
      parts.push(isLast ? malformed(prng) : odd(prng));
    }
    await send(port, Buffer.concat(parts));
    connections++;
    if (connections % CONNECTIONS_BETWEEN !== 0) continue;
    const problem = await honest.check(sent);
    if (problem !== undefined) wrong.push(problem);
    if (wrong.length > 10) break;
    growthBytes = Math.max(growthBytes, rss() - startBytes);
  }
  honest.close();
  return { requests: sent, connections, wrong, growthBytes };
}

/** Well-formed, with arguments that mostly fit nothing. */
function odd(prng: Prng): Buffer {
  const args = [pick(prng, NAMES)];
  for (let count = prng.below(6); count > 0; count--) {
    args.push(prng.below(3) === 0 ? pick(prng, EDGES) : `key:${prng.below(50)}`);
  }
  return encode(args.map((arg) => Buffer.from(arg)));
}

/** Bits turned, cut short, spliced, or with a length that is none. */
function malformed(prng: Prng): Buffer {
  const bytes = odd(prng);
  switch (prng.below(4)) {
    case 0:
      bytes[prng.below(bytes.length)]! ^= 1 << prng.below(8);
      return bytes;
    case 1:
      return bytes.subarray(0, prng.below(bytes.length));
    case 2:
      return Buffer.concat([bytes.subarray(prng.below(bytes.length)), bytes]);
    default:
      return Buffer.from(
        bytes.toString("latin1").replace(/\d+/, () => pick(prng, EDGES)),
        "latin1",
      );
  }
}

function encode(args: readonly Buffer[]): Buffer {
  const parts = args.flatMap((arg) => [Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]);
}

function pick<T>(prng: Prng, items: readonly T[]): T {
  return items[prng.below(items.length)]!;
}

/** Sends on a connection of its own, and waits until that is over. */
function send(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.on("data", () => {});
    socket.on("close", () => resolve());
    // All has been taken in, or will never be: nobody waits for the answers of the mutated ones.
    socket.end(bytes);
    socket.setTimeout(2_000, () => socket.destroy());
  });
}

/** Asks what it knows the answer to. */
class HonestClient {
  readonly #port: number;
  #socket: Socket | undefined;
  #waiting: ((reply: string) => void) | undefined;
  #buffer = "";

  constructor(port: number) {
    this.#port = port;
  }

  async open(): Promise<void> {
    const socket = connect({ port: this.#port, host: "127.0.0.1" });
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.#buffer += chunk.toString("latin1");
      if (/PONG-\d+\r\n$/.test(this.#buffer)) this.#waiting?.(this.#buffer);
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
  }

  /** What was wrong, in words. */
  async check(round: number): Promise<string | undefined> {
    // CLIENT KILL is among the mutated requests.
    if (this.#socket?.destroyed !== false) await this.open();
    this.#buffer = "";
    const [key, value] = [`honest:${round}`, `value-${round}`];
    const asked = [
      ["SET", key, value],
      ["GET", key],
      ["DEL", key],
      ["GET", key],
      ["ECHO", `PONG-${round}`],
    ];
    const expected = `+OK\r\n$${value.length}\r\n${value}\r\n:1\r\n$-1\r\n$${5 + String(round).length}\r\nPONG-${round}\r\n`;
    const reply = await new Promise<string>((resolve) => {
      const onClose = (): void => resolve("closed");
      this.#waiting = (text) => {
        this.#socket?.off("close", onClose);
        resolve(text);
      };
      setTimeout(() => resolve(`nothing within 5 s, but ${JSON.stringify(this.#buffer)}`), 5_000).unref();
      this.#socket?.write(Buffer.concat(asked.map((args) => encode(args.map((arg) => Buffer.from(arg))))));
      this.#socket?.once("close", onClose);
    });
    if (reply === expected || reply === "closed") return undefined;
    return `after ${round} requests: ${JSON.stringify(reply)}`;
  }

  close(): void {
    this.#socket?.destroy();
  }
}
