// `npm run fuzz:redis [-- REQUESTS [SEED]]`: the fuzz of the Redis door at full length, against a node process of its own.

import { startNodeProcess } from "../../cluster/node-process.ts";
import { residentBytesOf } from "../../cluster/os-process.ts";
import { fuzz } from "./redis-fuzz.ts";

const [requests = 1_000_000, seed = 1] = process.argv.slice(2).map(Number);
const node = await startNodeProcess(["--redis", "127.0.0.1:0", "--memory", "64mb", "--log-level", "warn"]);
const startMs = performance.now();
const port = Number(node.redisAddress!.split(":")[1]);
const rss = () => residentBytesOf(node.pid);
let hasEnded = false;
node.child.once("exit", () => {
  hasEnded = true;
});
const report = await fuzz({ port, seed, requests, rss });
const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
console.log(
  JSON.stringify({ seed, ...report, growthMb: Math.round(report.growthBytes / 2 ** 20), seconds, hasEnded }),
);
node.child.kill("SIGTERM");
// Entries may fill the 64 MB that the node was given; the rest is the process.
const isGood = report.wrong.length === 0 && !hasEnded && report.growthBytes < 256 * 2 ** 20;
process.exitCode = isGood ? 0 : 1;
