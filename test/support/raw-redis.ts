// A Redis client without any cleverness: commands out, replies back as they are, for tests that look at every byte.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { splitArguments } from "../../src/server/redis/request-parser.ts";
import { replyEnd } from "../redis-suite/reply-end.ts";

/** One connection; replies as raw text, byte for byte a character. */
export class RawRedis {
  readonly #socket: Socket;
  #buffer = "";
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#buffer += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** @param address `host:port` of a door */
  static async open(address: string): Promise<RawRedis> {
    const [host, port] = address.split(":");
    const socket = connect(Number(port), host);
    await once(socket, "connect");
    return new RawRedis(socket);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Says that no more will be sent; replies still come. */
  end(): void {
    this.#socket.end();
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next reply; "" when the connection ends first. */
  async reply(): Promise<string> {
    for (;;) {
      const end = replyEnd(this.#buffer, 0);
      if (end > 0) {
        const reply = this.#buffer.slice(0, end);
        this.#buffer = this.#buffer.slice(end);
        return reply;
      }
      if (this.#isClosed) return "";
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Sends a line of words and waits for its reply. */
  ask(line: string): Promise<string> {
    this.write(encode(splitArguments(Buffer.from(line))!));
    return this.reply();
  }

  /** What has arrived and was not taken. */
  get unread(): string {
    return this.#buffer;
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A request as a client sends it. */
export function encode(args: readonly Uint8Array[]): Buffer {
  const parts = args.flatMap((arg) => [Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]);
}
