// `npm run fuzz:redis [-- REQUESTS [SEED]]`: the fuzz of the Redis door at full length, against a node process of its own.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fuzz } from "./redis-fuzz.ts";

const [requests = 1_000_000, seed = 1] = process.argv.slice(2).map(Number);
const main = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
const flags = [
  "--listen",
  "127.0.0.1:0",
  "--redis",
  "127.0.0.1:0",
  "--memory",
  "64mb",
  "--json",
  "--log-level",
  "warn",
];
const node = spawn(process.execPath, [main, "node", ...flags], { stdio: ["ignore", "pipe", "inherit"] });

const ready = await new Promise<{ redis: string }>((resolve, reject) => {
  node.stdout.once("data", (line: Buffer) => resolve(JSON.parse(line.toString()) as { redis: string }));
  node.once("exit", (code) => reject(new Error(`The node ended with ${code}: has it been built?`)));
});
const startMs = performance.now();
const port = Number(ready.redis.split(":")[1]);
const rss = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
let hasEnded = false;
node.once("exit", () => {
  hasEnded = true;
});
const report = await fuzz({ port, seed, requests, rss });
const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
console.log(
  JSON.stringify({ seed, ...report, growthMb: Math.round(report.growthBytes / 2 ** 20), seconds, hasEnded }),
);
node.kill("SIGTERM");
// Entries may fill the 64 MB that the node was given; the rest is the process.
const isGood = report.wrong.length === 0 && !hasEnded && report.growthBytes < 256 * 2 ** 20;
process.exitCode = isGood ? 0 : 1;
