// `npm run fuzz [-- --frames N --seed S --only PART]`: the fuzz at full length, against a node process of its own: frames of clients, HTTP, arguments of the SDK, the
// core by itself, the Redis door, and last what a hostile member may send. Prints one line of JSON for each and ends with 1 if anything was
// wrong: run it again with the seed of that line.

import { parseArgs } from "node:util";
import { askNode } from "../../cluster/node-http.ts";
import { startNodeProcess } from "../../cluster/node-process.ts";
import { residentBytesOf } from "../../cluster/os-process.ts";
import { connect } from "../../src/index.ts";
import { loadHashes } from "../../src/io/hashes.ts";
import { fuzz as fuzzRedis } from "../integration/redis-fuzz.ts";
import { fuzzArguments } from "./arguments.ts";
import { fuzzClientCore, fuzzPeerCore } from "./core.ts";
import { fuzzDecoder, fuzzFrames } from "./frames.ts";
import { fuzzHttp } from "./http.ts";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const seed = Number(values.seed);
const frames = Number(values.frames);

/** More than this beside what entries may fill is a leak. */
const GROWTH_BYTES_MAX = 256 * 2 ** 20;

const flags = ["--redis", "127.0.0.1:0", "--memory", "64mb", "--replicas", "1"];
const node = await startNodeProcess(flags);
const { address } = node;
let hasEnded = false;
node.child.once("exit", () => {
  hasEnded = true;
});
const { genesisId } = JSON.parse((await askNode(address, "/status")).body) as { genesisId: string };
const rss = () => residentBytesOf(node.pid);
const startBytes = rss();
const cache = await connect(`ringhold://${address}`, { timeout: 5_000 });
let asked = 0;

/** A set and a get of a key that nobody else has. */
async function honest(): Promise<string | undefined> {
  const key = `honest:${asked++}`;
  try {
    await cache.set(key, asked);
    const value = await cache.get(key);
    return value === asked ? undefined : `${key} is ${String(value)}`;
  } catch (error) {
    return String(error);
  }
}

/** After what a member with the secret may do to a cluster: the process lives and says so. */
async function isAlive(): Promise<string | undefined> {
  const answer = await askNode(address, "/healthz", { timeoutMs: 5_000 });
  return answer.status === 200 ? undefined : `/healthz ${answer.status}`;
}

let isGood = true;
async function part(name: string, run: () => Promise<{ readonly wrong: readonly string[] }>): Promise<void> {
  if (!name.includes(values.only)) return;
  const startMs = performance.now();
  const report = await run();
  const growthBytes = rss() - startBytes;
  isGood &&= report.wrong.length === 0 && !hasEnded && growthBytes < GROWTH_BYTES_MAX;
  const seconds = Math.round((performance.now() - startMs) / 1000);
  const line = {
    part: name,
    seed,
    ...report,
    growthMb: Math.round(growthBytes / 2 ** 20),
    seconds,
    hasEnded,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const hashes = await loadHashes();
await part("decoder", async () => ({ ...fuzzDecoder(seed, 10 * frames), wrong: [] }));
await part("client frames", () => fuzzFrames({ address, path: "client", seed, frames, genesisId, honest }));
await part("http", () => fuzzHttp(address, seed, Math.ceil(frames / 20)));
await part("sdk arguments", () => fuzzArguments(cache, seed, Math.ceil(frames / 10)));
await part("redis door", () =>
  fuzzRedis({ port: Number(node.redisAddress!.split(":")[1]), seed, requests: frames, rss }),
);
await part("core, clients", async () => ({ wrong: fuzzClientCore(hashes, seed, Math.ceil(frames / 200)) }));
await part("core, members", async () => {
  fuzzPeerCore(hashes, seed, Math.ceil(frames / 500));
  return { wrong: [] };
});
for (const path of ["peer", "gossip"] as const) {
  await part(`${path} frames`, () =>
    fuzzFrames({ address, path, seed, frames: Math.ceil(frames / 2), genesisId, honest: isAlive }),
  );
}
await cache.close();
await node.kill();
process.exitCode = isGood ? 0 : 1;
