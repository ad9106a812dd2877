// Nodes with Redis doors in the test's own process, and plain connections to them. Whoever starts and dials here ends it in hooks.

import { connect } from "node:net";
import { type EmbeddedNode, startNode } from "../../src/index.ts";
import type { NodeOptions } from "../../src/server/options.ts";
import { RawRedis } from "./raw-redis.ts";

const nodes: EmbeddedNode[] = [];
const open: RawRedis[] = [];

export async function start(options: NodeOptions = {}): Promise<EmbeddedNode> {
  const node = await startNode({ listen: "127.0.0.1:0", redis: "127.0.0.1:0", memory: "64mb", ...options });
  nodes.push(node);
  return node;
}

export async function dial(node: EmbeddedNode): Promise<RawRedis> {
  return closedLater(await RawRedis.open(node.redisAddress!));
}

/** The connection, which {@link closeDialled} ends. */
export function closedLater(raw: RawRedis): RawRedis {
  open.push(raw);
  return raw;
}

/** Sends the bytes; resolves to how much comes back until the connection ends, and its last words. Keeps nothing else. */
export async function replyTo(
  node: EmbeddedNode,
  bytes: string | Uint8Array,
): Promise<{ bytes: number; end: string }> {
  const [host, port] = node.redisAddress!.split(":");
  const socket = connect(Number(port), host);
  socket.write(bytes);
  const seen = { bytes: 0, end: "" };
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    seen.bytes += chunk.length;
    seen.end = (seen.end + chunk.subarray(-200).toString("latin1")).slice(-200);
  }
  return seen;
}

/** For `afterEach`. */
export function closeDialled(): void {
  for (const raw of open.splice(0)) raw.close();
}

/** For `afterAll`. */
export async function stopNodes(): Promise<void> {
  for (const node of nodes.splice(0)) await node.stop();
}
