// `npm run fuzz [-- --frames N --seed S --only PART]`: the fuzz at full length, against a node process of its own: frames of clients, HTTP, arguments of the SDK, the
// core by itself, the Redis door, and last what a hostile member may send. Prints one line of JSON for each and ends with 1 if anything was
// wrong: run it again with the seed of that line.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { askNode } from "../../cluster/node-http.ts";
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

const main = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
const where = ["--listen", "127.0.0.1:0", "--redis", "127.0.0.1:0"];
const flags = [...where, "--memory", "64mb", "--replicas", "1", "--json", "--log-level", "error"];
const node = spawn(process.execPath, [main, "node", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
let hasEnded = false;
const ready = await new Promise<{ url: string; redis: string }>((resolve, reject) => {
  node.stdout.once("data", (line: Buffer) => resolve(JSON.parse(line.toString()) as never));
  node.once("exit", (code) => {
    hasEnded = true;
    reject(new Error(`The node ended with ${code}: has it been built?`));
  });
});
const address = ready.url.replace(/^.*\/\//, "");
const { genesisId } = JSON.parse((await askNode(address, "/status")).body) as { genesisId: string };
const rss = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
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
  fuzzRedis({ port: Number(ready.redis.split(":")[1]), seed, requests: frames, rss }),
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
node.removeAllListeners("exit");
node.kill("SIGKILL");
process.exitCode = isGood ? 0 : 1;
