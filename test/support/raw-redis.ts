// A Redis client without any cleverness: commands out, replies back as raw text, byte for byte a character.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { splitArguments } from "../../src/server/redis/request-parser.ts";
import { replyEnd } from "../redis-suite/reply-end.ts";

export class RawRedis {
  readonly #socket: Socket;
  #buffer = "";
  #isClosed = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
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

  /** @param address `host:port` */
  static async open(address: string): Promise<RawRedis> {
    const [host, port] = address.split(":");
    const socket = connect(Number(port), host);
    await once(socket, "connect");
    return new RawRedis(socket);
  }

  get isClosed(): boolean {
    return this.#isClosed;
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
    const args = splitArguments(Buffer.from(line))!;
    const parts = args.flatMap((arg) => [Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from("\r\n")]);
    this.write(Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]));
    return this.reply();
  }

  close(): void {
    this.#socket.destroy();
  }
}
