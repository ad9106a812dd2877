// How fast is Ringhold from a Node application, against what one would otherwise run?
//
// Baselines: ioredis (with and without auto-pipelining) and node-redis on a Redis Cluster of 3 masters (for sets with 3 replicas besides), and
// memjs on 3 memcached. Ideal: a client that does nothing (`null`). Ringhold: 3 nodes, 3 copies of each key.
//
// Every measurement runs in a client process of its own; the systems take turns, `--rounds` times, and medians are compared within
// that. Without the peers' servers or packages their rows are skipped, and it says so.
//
// Run with `npm run bench:versus -- --help`.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { drawChart } from "./chart.ts";
import { runApart } from "./load/client-process.ts";
import { hasClient } from "./load/clients.ts";
import type { ClientName, TargetSpec } from "./load/target.ts";
import type { Measurement, Operation, Work } from "./load/work.ts";
import { median } from "./median.ts";
import {
  type Servers,
  startMemcached,
  startRedisCluster,
  startRingholdNodes,
  versionOf,
} from "./peers/servers.ts";

type SystemName = "ringhold" | "redis" | "redisReplicated" | "memcached" | "none";

/** One client on one system. */
interface Contender {
  readonly name: string;
  readonly client: ClientName;
  readonly system: SystemName;
  readonly write?: "async" | "quorum" | "all";
}

/** One comparison: the same work for all contenders. */
interface Comparison {
  readonly name: string;
  readonly operation: Operation;
  readonly valueBytes: number;
  readonly outstanding: number;
  readonly keys?: number;
  readonly batch?: number;
  readonly rate?: number;
  readonly contenders: readonly Contender[];
}

const ringhold: Contender = { name: "ringhold", client: "ringhold", system: "ringhold" };
const NULL: Contender = { name: "null", client: "null", system: "none" };
const onRedis = (client: ClientName): Contender => ({ name: client, client, system: "redis" });
const withReplicas = (client: ClientName): Contender => ({
  name: `${client} (+replica)`,
  client,
  system: "redisReplicated",
});
const memjs: Contender = { name: "memjs", client: "memjs", system: "memcached" };
const ioredisAuto = onRedis("ioredis+auto");

const READERS = [ringhold, ioredisAuto, onRedis("ioredis"), onRedis("node-redis"), memjs];
const WRITERS: readonly Contender[] = [
  { ...ringhold, name: "ringhold quorum", write: "quorum" },
  { ...ringhold, name: "ringhold async", write: "async" },
  withReplicas("ioredis+auto"),
  withReplicas("node-redis"),
];

const COMPARISONS: readonly Comparison[] = [
  { name: "get-64", operation: "get", valueBytes: 100, outstanding: 64, contenders: [...READERS, NULL] },
  { name: "get-512", operation: "get", valueBytes: 100, outstanding: 512, contenders: READERS },
  { name: "get-1", operation: "get", valueBytes: 100, outstanding: 1, contenders: READERS },
  { name: "get-1k-64", operation: "get", valueBytes: 1024, outstanding: 64, contenders: READERS },
  {
    name: "get-16k-64",
    operation: "get",
    valueBytes: 16_384,
    outstanding: 64,
    keys: 5_000,
    contenders: READERS,
  },
  { name: "set-64", operation: "set", valueBytes: 100, outstanding: 64, contenders: WRITERS },
  { name: "set-512", operation: "set", valueBytes: 100, outstanding: 512, contenders: WRITERS },
  { name: "set-1", operation: "set", valueBytes: 100, outstanding: 1, contenders: WRITERS },
  { name: "set-1k-64", operation: "set", valueBytes: 1024, outstanding: 64, contenders: WRITERS },
  {
    name: "set-16k-64",
    operation: "set",
    valueBytes: 16_384,
    outstanding: 64,
    keys: 5_000,
    contenders: WRITERS,
  },
  {
    name: "set-wait-64",
    operation: "set",
    valueBytes: 100,
    outstanding: 64,
    contenders: [WRITERS[0]!, { ...withReplicas("ioredis"), name: "ioredis WAIT 1" }],
  },
  {
    name: "getmany-100",
    operation: "getMany",
    valueBytes: 100,
    outstanding: 8,
    batch: 100,
    contenders: READERS,
  },
  {
    name: "setmany-100",
    operation: "setMany",
    valueBytes: 100,
    outstanding: 8,
    batch: 100,
    contenders: WRITERS,
  },
];

const OPTIONS = {
  rounds: { type: "string", default: "5" },
  seconds: { type: "string", default: "2" },
  warmup: { type: "string", default: "1" },
  keys: { type: "string", default: "100000" },
  only: { type: "string" },
  clients: { type: "string" },
  rate: { type: "string" },
  json: { type: "string" },
  svg: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

const HELP = `Usage: npm run bench:versus -- [options]

  --only A,B        comparisons: ${COMPARISONS.map(({ name }) => name).join(", ")}
  --clients A,B     contenders whose name contains one of these
  --rounds N        turns of every contender (default 5)
  --seconds S       measured time of each (default 2), after --warmup S (default 1)
  --keys N          different keys (default 100000)
  --rate R          open loop: so many calls a second, latency from the instant each was due
  --json FILE       also writes everything measured to a file
  --svg FILE        also draws the operations a second as a chart
`;

interface Row {
  readonly comparison: string;
  readonly contender: string;
  readonly runs: Measurement[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const comparisons = chosen(values);
  const systems = await startSystems(comparisons);
  const rows: Row[] = [];
  try {
    say(describeMachine());
    for (const comparison of comparisons) rows.push(...(await compare(comparison, systems, values)));
  } finally {
    await Promise.all([...systems.values()].map((servers) => servers.stop()));
  }
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ machine: describeMachine(), rows }, undefined, 2)}\n`);
  }
  if (values.svg !== undefined) writeFileSync(values.svg, chartOf(comparisons, rows));
}

type Values = {
  only?: string;
  clients?: string;
  rate?: string;
  rounds: string;
  seconds: string;
  warmup: string;
  keys: string;
};

/** The comparisons asked for, with those contenders that can be had. */
function chosen({ only, clients }: Values): Comparison[] {
  const names = only?.split(",");
  const unknown = names?.filter((name) => !COMPARISONS.some((comparison) => comparison.name === name)) ?? [];
  if (unknown.length > 0) throw new Error(`Unknown comparison ${unknown.join(", ")}`);
  const parts = clients?.split(",");
  const missing = new Set<string>();
  const able = (contender: Contender) => {
    const program = contender.system === "memcached" ? "memcached" : "redis-server";
    const isPeer = contender.system !== "ringhold" && contender.system !== "none";
    if (isPeer && versionOf(program) === undefined) missing.add(`${program} is not installed`);
    else if (!hasClient(contender.client))
      missing.add(`the package for ${contender.client} is not installed`);
    else return true;
    return false;
  };
  const result: Comparison[] = [];
  for (const comparison of COMPARISONS) {
    if (names !== undefined && !names.includes(comparison.name)) continue;
    const contenders: Contender[] = [];
    for (const contender of comparison.contenders) {
      const isWanted = parts === undefined || parts.some((part) => contender.name.includes(part));
      if (isWanted && able(contender)) contenders.push(contender);
    }
    result.push({ ...comparison, contenders });
  }
  for (const reason of missing) say(`skipped: ${reason}`);
  return result;
}

async function startSystems(comparisons: readonly Comparison[]): Promise<Map<SystemName, Servers>> {
  const systems = new Map<SystemName, Servers>();
  const start: Record<SystemName, () => Promise<Servers>> = {
    ringhold: () => startRingholdNodes(3, ["--memory", "1gb"]),
    redis: () => startRedisCluster(0),
    redisReplicated: () => startRedisCluster(1),
    memcached: () => startMemcached(3),
    none: async () => ({ addresses: [], pids: [], stop: async () => {} }),
  };
  for (const { system } of comparisons.flatMap(({ contenders }) => contenders)) {
    if (!systems.has(system)) systems.set(system, await start[system]());
  }
  return systems;
}

/** What has been written to which system. */
const filled = new Set<string>();

async function compare(
  comparison: Comparison,
  systems: ReadonlyMap<SystemName, Servers>,
  values: Values,
): Promise<Row[]> {
  const work: Work = {
    operation: comparison.operation,
    valueBytes: comparison.valueBytes,
    outstanding: comparison.outstanding,
    keys: Math.min(Number(values.keys), comparison.keys ?? Number.POSITIVE_INFINITY),
    ...(comparison.batch === undefined ? {} : { batch: comparison.batch }),
    ...(values.rate === undefined ? {} : { rate: Number(values.rate) }),
    warmupMs: Number(values.warmup) * 1000,
    measureMs: Number(values.seconds) * 1000,
  };
  const rows = comparison.contenders.map(({ name }) => ({
    comparison: comparison.name,
    contender: name,
    runs: [] as Measurement[],
  }));
  for (const contender of comparison.contenders) {
    const key = `${contender.system}:${work.valueBytes}:${work.keys}`;
    if (filled.has(key) || contender.system === "none") continue;
    filled.add(key);
    await runApart({ target: specOf(contender, systems), work, isFill: true });
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [index, contender] of comparison.contenders.entries()) {
      const isWait = contender.name.includes("WAIT");
      const target = specOf(contender, systems);
      rows[index]!.runs.push(
        await runApart({ target, work: isWait ? { ...work, operation: "setAndWait" } : work }),
      );
    }
  }
  print(comparison, rows);
  return rows;
}

function specOf({ client, system, write }: Contender, systems: ReadonlyMap<SystemName, Servers>): TargetSpec {
  const { addresses, pids } = systems.get(system)!;
  return { client, addresses, pids, ...(write === undefined ? {} : { write }) };
}

function describeWork({ operation, valueBytes, outstanding, batch }: Comparison): string {
  const what = batch === undefined ? operation : `${operation} of ${batch} keys`;
  return `${what}, ${valueBytes} bytes, ${outstanding} outstanding`;
}

function print(comparison: Comparison, rows: readonly Row[]): void {
  say(`\n${comparison.name}: ${describeWork(comparison)}`);
  const head = [
    "",
    "ops/s",
    "spread",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "CPU client",
    "servers",
    "together",
    "ratio",
  ];
  const [first] = rows;
  const table = rows.map((row) => {
    const middle = medianOf(row);
    const speeds = row.runs.map(({ operationsPerSecond }) => operationsPerSecond);
    const spread = (Math.max(...speeds) - Math.min(...speeds)) / middle.operationsPerSecond;
    const ratio = medianOf(first!).operationsPerSecond / middle.operationsPerSecond;
    const wrong = row.runs.reduce((sum, run) => sum + run.wrong, 0);
    return [
      row.contender,
      Math.round(middle.operationsPerSecond).toLocaleString("en"),
      `${Math.round(spread * 100)} %`,
      ...[middle.p50Ms, middle.p99Ms, middle.p999Ms].map((ms) => Math.round(ms * 1000).toLocaleString("en")),
      ...[
        middle.clientCpuMicros,
        middle.serverCpuMicros,
        middle.clientCpuMicros + middle.serverCpuMicros,
      ].map((micros) => micros.toFixed(2)),
      ratio.toFixed(2),
      ...(wrong > 0 ? [`${wrong} WRONG`] : []),
    ];
  });
  for (const line of [head, ...table]) {
    say(line.map((cell, index) => (index === 0 ? cell.padEnd(24) : cell.padStart(11))).join(""));
  }
}

function chartOf(comparisons: readonly Comparison[], rows: readonly Row[]): string {
  const groups = comparisons.map((comparison) => ({
    title: describeWork(comparison),
    bars: rows
      .filter((row) => row.comparison === comparison.name && row.contender !== NULL.name)
      .map((row) => ({
        label: row.contender,
        value: medianOf(row).operationsPerSecond,
        isOwn: row.contender.startsWith("ringhold"),
      })),
  }));
  return drawChart("Operations a second, one client process", groups, describeMachine());
}

/** Each figure's own median over the runs. */
function medianOf({ runs }: Row): Measurement {
  const of = (read: (run: Measurement) => number) => median(runs.map(read));
  return {
    operationsPerSecond: of((run) => run.operationsPerSecond),
    p50Ms: of((run) => run.p50Ms),
    p99Ms: of((run) => run.p99Ms),
    p999Ms: of((run) => run.p999Ms),
    maxMs: of((run) => run.maxMs),
    clientCpuMicros: of((run) => run.clientCpuMicros),
    serverCpuMicros: of((run) => run.serverCpuMicros),
    wrong: of((run) => run.wrong),
  };
}

function describeMachine(): string {
  const [cpu] = cpus();
  const peers = ["redis-server", "memcached"].map(
    (program) => `${program} ${versionOf(program) ?? "missing"}`,
  );
  return `${cpus().length} x ${cpu?.model ?? "unknown"}, Node ${process.version}, ${peers.join(", ")}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
