// For `run.sh`: stands between Redis' suite and the door, and makes the keys "of another type" that some tests begin with.
// LPUSH, RPUSH, SADD, RPOP and LRANGE, which the door does not know, work on an array through the SDK; every other request is passed on as it is. So the tests that want WRONGTYPE get a key whose value a Redis client cannot read, as it can be here.

import { connect as connectTcp, createServer, type Socket } from "node:net";
import { type Cache, connect } from "../../src/index.ts";
import { Request } from "../../src/server/redis/request.ts";
import { RequestError, RequestParser } from "../../src/server/redis/request-parser.ts";
import { replyEnd } from "./reply-end.ts";

const FIXTURES = /^(lpush|rpush|sadd|rpop|lrange)$/i;
const LIMITS = { argumentsMax: 65_536, argumentBytesMax: 2 ** 24, requestBytesMax: 2 ** 26 };

class Passage {
  readonly #client: Socket;
  readonly #door: Socket;
  readonly #cache: Cache;
  readonly #parser = new RequestParser(LIMITS);
  #replies = "";
  #onReply: () => void = () => {};
  #isBusy = false;

  constructor(client: Socket, doorPort: number, cache: Cache) {
    this.#client = client;
    this.#cache = cache;
    this.#door = connectTcp(doorPort, "127.0.0.1");
    this.#door.on("data", (chunk) => {
      this.#replies += chunk.toString("latin1");
      this.#onReply();
    });
    this.#door.on("close", () => client.destroy());
    for (const socket of [client, this.#door]) socket.on("error", () => {});
    client.on("close", () => this.#door.destroy());
    client.on("data", (chunk: Buffer) => {
      this.#parser.push(chunk);
      void this.#work();
    });
  }

  /** One request after the other. */
  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let next = this.#parser.next(); next instanceof Request; next = this.#parser.next())
      await this.#handle(next.all);
    if (this.#parser.next() instanceof RequestError) this.#client.destroy();
    this.#isBusy = false;
  }

  async #handle(request: readonly Buffer[]): Promise<void> {
    const [name, key, ...items] = request.map(String);
    if (name !== undefined && key !== undefined && FIXTURES.test(name)) {
      this.#client.write(await this.#onList(name.toLowerCase(), key, items));
      return;
    }
    const parts = request.flatMap((arg) => [Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from("\r\n")]);
    this.#door.write(Buffer.concat([Buffer.from(`*${request.length}\r\n`), ...parts]));
    this.#client.write(await this.#reply(), "latin1");
  }

  async #onList(name: string, key: string, items: readonly string[]): Promise<string> {
    const bulk = (item: string) => `$${Buffer.byteLength(item)}\r\n${item}\r\n`;
    const found = await this.#cache.get<unknown>(key);
    const held = Array.isArray(found) ? found.map(String) : [];
    if (name === "lrange") return `*${held.length}\r\n${held.map(bulk).join("")}`;
    if (name === "rpop") {
      const item = held.pop();
      if (held.length > 0) await this.#cache.set(key, held);
      else await this.#cache.delete(key);
      return item === undefined ? "$-1\r\n" : bulk(item);
    }
    const all = name === "lpush" ? [...[...items].reverse(), ...held] : [...held, ...items];
    await this.#cache.set(key, all);
    return `:${all.length}\r\n`;
  }

  async #reply(): Promise<string> {
    for (;;) {
      const end = replyEnd(this.#replies, 0);
      if (end > 0) {
        const reply = this.#replies.slice(0, end);
        this.#replies = this.#replies.slice(end);
        return reply;
      }
      if (this.#door.destroyed) return "";
      await new Promise<void>((resolve) => {
        this.#onReply = resolve;
        this.#door.once("close", () => resolve());
      });
    }
  }
}

const [url = "", redis = ""] = process.argv.slice(2);
const cache = await connect(url);
const server = createServer((socket) => new Passage(socket, Number(redis.split(":").at(-1)), cache));
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : "");
});
