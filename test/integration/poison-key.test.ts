// A key that is no UTF-8, sent in a column: what it does to the node, to its clients, and to the other nodes.

import { afterEach, expect, test, vi } from "vitest";
import type { Message } from "../../src/core/messages.ts";
import { type EmbeddedNode, startNode } from "../../src/index.ts";
import { clientIdentity } from "../../src/io/link.ts";
import { encodeFrame } from "../../src/wire/codec.ts";
import { FIRST_TRY } from "../first-try.ts";
import { closeAll, connectGreeted, type RawSocket } from "../io/link-fixture.ts";

const nodes: EmbeddedNode[] = [];
/** Why links between nodes were closed. */
const closed: unknown[] = [];
const nothing = () => {};
const logger = {
  ...{ error: nothing, warn: nothing, info: nothing },
  debug: (facts: object, text: string) => {
    if (text === "link closed") closed.push(facts);
  },
};
afterEach(async () => {
  closeAll();
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

async function start(name: string, join?: string): Promise<EmbeddedNode> {
  const readyTimeout = "8s";
  const node = await startNode({
    name,
    listen: "127.0.0.1:0",
    memory: "16mb",
    readyTimeout,
    logger,
    ...(join && { join }),
  });
  nodes.push(node);
  return node;
}

/** Sends a message in which each byte of the key is no UTF-8: read leniently 600 of them would be a text of 1,800 bytes. */
async function say(node: EmbeddedNode, message: Message): Promise<RawSocket> {
  const identity = clientIdentity({ clusterName: "ringhold", clientId: 77 });
  const raw = await connectGreeted(node.url.replace("ringhold://", ""), "client", identity);
  const frame = encodeFrame([message]);
  raw.webSocket.send(frame.map((byte) => (byte === "~".charCodeAt(0) ? 0xff : byte)));
  return raw;
}

const KEY = "~".repeat(600);
const WRITE: Message = {
  kind: "write",
  id: 1,
  key: KEY,
  change: { type: "set", value: new Uint8Array(3), format: 2, ttlMs: 0, condition: "none", ifVersion: 0 },
  write: "async",
  opClient: 77,
  opSeq: 1,
  ...FIRST_TRY,
};

const READ: Message = { kind: "get", id: 1, key: KEY, read: "quorum", want: "value", notAfter: 0 };

test("a key that is no UTF-8 ends the connection that it came by, and no other", async () => {
  const node = await start("n1");
  const other = await start("n2", node.url);
  await vi.waitFor(() => expect(other.status().verdict).toMatch(/^SAFE/), 8_000);
  await node.cache().set("honest", 1);
  closed.length = 0;

  for (const each of [node, other]) {
    for (const message of [WRITE, READ]) {
      const raw = await say(each, message);
      await vi.waitFor(() => expect(raw.closed?.code).toBe(1002));
    }
  }

  const keys: string[] = [];
  for await (const key of other.cache().keys()) keys.push(key);
  expect(keys).toEqual(["honest"]);
  expect(await node.cache().get("honest", { read: "quorum" })).toBe(1);
  expect(closed).toEqual([]);
});
