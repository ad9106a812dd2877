// How much does a Redis client pay for the door? redis-benchmark against a single node's Redis door and against redis-server, in turn, so that
// what else the machine does hits both. Ideal: the same. Beside requests per second (the load generator shares the cores) it prints what
// one request costs the server in processor time, which other programs change little; the ratio is of requests per second of processor time.
//
// Needs redis-server and redis-benchmark (Debian's redis-server and redis-tools), Linux' /proc, and a built dist.
// usage: npx tsx bench/redis-door.ts [ROUNDS]

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { findFreePorts } from "../cluster/free-port.ts";
import { commandFile } from "../cluster/node-process.ts";
import { cpuMicrosOf } from "./load/cpu.ts";
import { median } from "./median.ts";

const rounds = Number(process.argv[2] ?? 3);
/** Requests of one run: some seconds on a slow machine. */
const RUNS = [
  { test: "get", pipeline: 1, requests: 50_000 },
  { test: "set", pipeline: 1, requests: 50_000 },
  { test: "get", pipeline: 16, requests: 400_000 },
  { test: "set", pipeline: 16, requests: 200_000 },
] as const;

interface Subject {
  readonly name: string;
  readonly port: number;
  readonly process: ChildProcess;
}

function isUp(port: number): boolean {
  try {
    return execFileSync("redis-cli", ["-p", String(port), "ping"], { stdio: "pipe" }).toString() === "PONG\n";
  } catch {
    return false;
  }
}

async function startSubjects(): Promise<readonly Subject[]> {
  const [redisPort = 0, doorPort = 0] = await findFreePorts(2);
  const redisFlags = ["--port", `${redisPort}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const redis = spawn("redis-server", redisFlags, { stdio: "ignore" });
  const nodeFlags = ["--listen", "127.0.0.1:0", "--redis", `127.0.0.1:${doorPort}`, "--log-level", "error"];
  const node = spawn(process.execPath, [commandFile(), "node", ...nodeFlags], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  while (!isUp(redisPort) || !isUp(doorPort)) await sleep(100);
  return [
    { name: "redis-server", port: redisPort, process: redis },
    { name: "ringhold", port: doorPort, process: node },
  ];
}

/** Requests per second, and microseconds of processor time for each. */
function measure(
  subject: Subject,
  { test, pipeline, requests }: (typeof RUNS)[number],
): readonly [number, number] {
  const flags = ["-p", `${subject.port}`, "-t", test, "-c", "50", "-P", `${pipeline}`, "-n", `${requests}`];
  const before = cpuMicrosOf([subject.process.pid!]);
  const report = execFileSync("redis-benchmark", [...flags, "-r", "100000", "--csv"], {
    stdio: "pipe",
  }).toString();
  const micros = cpuMicrosOf([subject.process.pid!]) - before;
  const line = report.split("\n").find((text) => text.startsWith(`"${test.toUpperCase()}"`));
  return [Number(line?.split(",")[1]?.replaceAll('"', "")), micros / requests];
}

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { stdio: "pipe" }).toString().trim();
console.log(
  `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, commit ${commit}, ${rounds} rounds, medians`,
);
const subjects = await startSubjects();
try {
  const results = new Map<string, (readonly [number, number])[]>();
  for (let round = 0; round < rounds; round++) {
    for (const run of RUNS) {
      for (const subject of subjects) {
        const key = `${run.test} -P ${run.pipeline} ${subject.name}`;
        results.set(key, [...(results.get(key) ?? []), measure(subject, run)]);
      }
    }
  }
  console.log("run          redis-server           ringhold               per core");
  for (const { test, pipeline } of RUNS) {
    const cells = subjects.map(({ name }) => {
      const all = results.get(`${test} -P ${pipeline} ${name}`) ?? [];
      return { rate: median(all.map(([rate]) => rate)), cost: median(all.map(([, cost]) => cost)) };
    });
    const texts = cells.map(({ rate, cost }) => `${Math.round(rate)}/s ${cost.toFixed(2)} us`.padEnd(22));
    const ratio = ((cells[0]?.cost ?? 0) / (cells[1]?.cost ?? 1)) * 100;
    console.log(`${`${test} -P ${pipeline}`.padEnd(12)} ${texts.join(" ")} ${ratio.toFixed(0)} %`);
  }
} finally {
  for (const { process: child } of subjects) child.kill("SIGTERM");
}
