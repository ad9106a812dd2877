// Changing the cluster's secret, and what slips through: a handshake that began before.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { type EmbeddedNode, startNode } from "../../src/index.ts";
import { clientIdentity } from "../../src/io/link.ts";
import { DialerHandshake } from "../../src/io/link-handshake.ts";
import { fingerprint } from "../../src/io/proofs.ts";
import { closeAll, connectRaw } from "../io/link-fixture.ts";

const OLD = "the old secret of the cluster";
const NEW = "the new secret of the cluster";
const folder = mkdtempSync(join(tmpdir(), "ringhold-rotation-gaps-"));
const nodes = new Map<string, EmbeddedNode>();
afterEach(async () => {
  closeAll();
  await Promise.all([...nodes.values()].map((node) => node.stop()));
  nodes.clear();
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, ...secrets: string[]): void {
  writeFileSync(join(folder, name), `${secrets.join("\n")}\n`);
}

async function start(name: string, listen = "127.0.0.1:0"): Promise<EmbeddedNode> {
  const seed = [...nodes.values()].map(({ url }) => url)[0];
  const node = await startNode({
    ...{ name, listen, memory: "16mb", secretFile: join(folder, name) },
    ...(seed === undefined ? {} : { join: seed }),
  });
  nodes.set(name, node);
  return node;
}

/** A client's conversation up to the challenge, and the step that proves the old secret. */
async function beginHandshake(address: string) {
  const raw = await connectRaw(address, "client");
  const handshake = new DialerHandshake(clientIdentity({ clusterName: "ringhold", clientId: 77 }), "client", {
    secret: OLD,
  });
  raw.webSocket.send(handshake.hello);
  await vi.waitFor(() => expect(raw.frames).toHaveLength(1));
  const finish = () => {
    const step = handshake.receive(raw.frames[0]!);
    if (step.kind === "send") raw.webSocket.send(step.frame);
  };
  return { raw, finish };
}

test("a secret that was removed opens nothing, also where the handshake began before", async () => {
  write("n1", OLD);
  const node = await start("n1");
  const address = node.url.replace("ringhold://", "");
  const accepts = (secret: string) => node.status().secrets!.accepted.includes(fingerprint(secret));

  write("n1", NEW);
  // Somebody who has the old secret always has a handshake open, and finishes it when the change has come.
  let held = await beginHandshake(address);
  while (accepts(OLD)) {
    const next = await beginHandshake(address);
    if (!accepts(OLD)) break;
    held = next;
    await vi.waitFor(() => expect(accepts(OLD)).toBe(false), 500).catch(() => {});
  }
  held.finish();

  await vi.waitFor(() => expect(held.raw.closed).toBeDefined(), 3_000);
  // The challenge, and at most the end of the handshake: no ring is told.
  expect(held.raw.frames.length).toBeLessThanOrEqual(2);
});
