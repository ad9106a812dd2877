// A short run of the fuzz; `npm run fuzz` is the long one. What it found has a test of its own beside the code at fault.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../src/base/hash.ts";
import { type EmbeddedNode, startNode } from "../../src/index.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { fuzzArguments } from "./arguments.ts";
import { fuzzClientCore, fuzzPeerCore } from "./core.ts";
import { fuzzDecoder, fuzzFrames } from "./frames.ts";
import { fuzzHttp } from "./http.ts";

let hashes: Hashes;
let node: EmbeddedNode;
let address = "";

beforeAll(async () => {
  hashes = await loadHashes();
  node = await startNode({ listen: "127.0.0.1:0", memory: "32mb", replicas: 1 });
  address = node.url.replace(/^.*\/\//, "");
});
afterAll(() => node.stop());

let asked = 0;
/** A set and a get of a key that nobody else has. */
async function honest(): Promise<string | undefined> {
  const key = `honest:${asked++}`;
  try {
    await node.cache().set(key, asked);
    const value = await node.cache().get(key);
    return value === asked ? undefined : `${key} is ${String(value)}`;
  } catch (error) {
    return String(error);
  }
}

describe("The core", () => {
  test("answers every request of a client, and changes nothing where it refuses", () => {
    expect(fuzzClientCore(hashes, 1, 150)).toEqual([]);
  });

  test("throws at nothing that a member or a stranger says", () => {
    expect(() => fuzzPeerCore(hashes, 1, 60)).not.toThrow();
  });
});

test("The decoder throws at nothing, and reads some of what is damaged", () => {
  const { frames, read } = fuzzDecoder(1, 20_000);

  expect(read).toBeGreaterThan(frames / 100);
  expect(read).toBeLessThan(frames);
});

describe("A node", () => {
  test("answers or closes each damaged frame of a client, and serves the others", async () => {
    const report = await fuzzFrames({ address, path: "client", seed: 1, frames: 400, genesisId: "", honest });

    expect(report.wrong).toEqual([]);
    expect(report.requests).toBeGreaterThan(50);
    expect(report.closed).toBeGreaterThan(20);
  });

  test("answers or closes each odd HTTP request, and stays healthy", async () => {
    const report = await fuzzHttp(address, 1, 200);

    expect(report.wrong).toEqual([]);
    expect(report.answered).toBeGreaterThan(50);
  });
});

test("The SDK does what it says or rejects with a documented code, whatever it is given", async () => {
  const report = await fuzzArguments(node.cache(), 1, 600);

  expect(report.wrong).toEqual([]);
  expect(report.succeeded).toBeGreaterThan(60);
});
