// What bounds replies: how much `bytesOf` says they are, and what is refused while it is gathered.

import { expect, test } from "vitest";
import type { Call } from "../../../src/server/redis/call.ts";
import type { Context } from "../../../src/server/redis/context.ts";
import { KEY_COMMANDS } from "../../../src/server/redis/keys.ts";
import { PUB_SUB_COMMANDS } from "../../../src/server/redis/pub-sub-commands.ts";
import {
  bytesOf,
  MapReply,
  type Reply,
  ReplyWriter,
  Simple,
  VerbatimReply,
} from "../../../src/server/redis/reply.ts";

const text = "x".repeat(1_000);

test.each<[string, Reply]>([
  ["a string", text],
  ["strings in an array", [text, text]],
  ["a map", new MapReply([text, Buffer.from(text)])],
  ["a status", new Simple(text)],
  ["a verbatim text", new VerbatimReply(text)],
])("bytesOf counts %s", (_name, reply) => {
  const writer = new ReplyWriter();
  writer.write(reply, 3);

  expect(bytesOf(reply)).toBeGreaterThan(0.9 * writer.length);
});

/** As many texts of 1,000 bytes, each another. */
function texts(count: number, from = 0): readonly string[] {
  return Array.from({ length: count }, (_, index) => String(from + index).padEnd(1_000, "k"));
}

/** What stands for a request of these words. */
function callOf(...words: readonly string[]): Call {
  const args = words.map((word) => Buffer.from(word));
  return { args, word: (index: number) => words[index] } as unknown as Call;
}

test("KEYS reads no further once its reply is over 64 MiB", async () => {
  let pages = 0;
  const sweep = {
    page: (cursor: number) => {
      pages++;
      return Promise.resolve({ keys: texts(1_000, cursor), cursor: cursor + 1_000 });
    },
  };
  const context = { services: { sweep }, session: {} } as unknown as Context;

  await expect(KEY_COMMANDS.keys!(callOf("keys", "*"), context)).rejects.toThrow(/^ERR the reply is over/);
  expect(pages).toBe(67);
});

test("PUBSUB CHANNELS is refused when its reply is over 64 MiB", () => {
  const channels = texts(70_000);
  const context = { services: { pubSub: { channels: () => channels } } } as unknown as Context;

  expect(() => PUB_SUB_COMMANDS.pubsub!(callOf("pubsub", "channels"), context)).toThrow(
    /^ERR the reply is over/,
  );
});
