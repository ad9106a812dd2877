// How many calls does a cluster take, and how long do they take? One kind of call on a fresh local cluster of three nodes or a running one, in a
// closed loop (so many callers) or an open one (so many calls a second), from a client process of its own.
//
// Baseline: `--client ioredis+auto` and the like on servers named by `--server`. Ideal: `--client null`, which asks nobody.
//
// Run with `npm run bench:load -- --help`, or `ringhold bench load`.

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseSeeds } from "../src/base/address.ts";
import { above0, from0, runBenchmark, wholeFrom1 } from "./arguments.ts";
import { runApart } from "./load/client-process.ts";
import { CLIENT_NAMES, type ClientName } from "./load/target.ts";
import { OPERATIONS, type Operation, type Work } from "./load/work.ts";
import { type Servers, startRingholdNodes } from "./peers/servers.ts";
import { LOAD_USAGE } from "./usage.ts";

/** As many as a local cluster has. */
const NODES_MAX = 64;

const OPTIONS = {
  operation: { type: "string", default: "get" },
  outstanding: { type: "string", default: "64" },
  rate: { type: "string" },
  bytes: { type: "string", default: "100" },
  keys: { type: "string", default: "100000" },
  batch: { type: "string", default: "100" },
  write: { type: "string", default: "quorum" },
  nodes: { type: "string", default: "3" },
  seconds: { type: "string", default: "5" },
  warmup: { type: "string", default: "2" },
  client: { type: "string", default: "ringhold" },
  server: { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

interface Settings {
  readonly client: ClientName;
  readonly work: Work;
  readonly write: "async" | "quorum" | "all";
  readonly nodes: number;
  /** `host:port` texts; `undefined` for a fresh cluster. */
  readonly servers: readonly string[] | undefined;
  readonly isJson: boolean;
}

function oneOf<T extends string>(name: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found === undefined) throw new Error(`--${name} must be one of ${known.join(", ")}, received ${given}`);
  return found;
}

function readSettings(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  if (values.help) return undefined;
  const work = {
    operation: oneOf<Operation>("operation", values.operation, OPERATIONS),
    valueBytes: wholeFrom1("bytes", values.bytes),
    keys: wholeFrom1("keys", values.keys),
    outstanding: wholeFrom1("outstanding", values.outstanding),
    batch: wholeFrom1("batch", values.batch),
    ...(values.rate === undefined ? {} : { rate: above0("rate", values.rate) }),
    warmupMs: from0("warmup", values.warmup) * 1_000,
    measureMs: above0("seconds", values.seconds) * 1_000,
  };
  const client = oneOf<ClientName>("client", values.client, CLIENT_NAMES);
  return {
    client,
    work,
    write: oneOf("write", values.write, ["async", "quorum", "all"] as const),
    nodes: wholeFrom1("nodes", values.nodes, NODES_MAX),
    servers: readServers(client, values.server),
    isJson: values.json,
  };
}

/** Only Ringhold's own servers are started here, and "null" asks nobody. */
function readServers(client: ClientName, given: string | undefined): readonly string[] | undefined {
  if (given === undefined) {
    if (client === "ringhold") return undefined;
    if (client === "null") return [];
    throw new Error(`--client ${client} needs --server: its servers are not started here`);
  }
  const result = parseSeeds(given);
  if ("seeds" in result) return result.seeds;
  throw new Error(`--server must be HOST:PORT addresses separated by commas, received ${given}`);
}

/** Runs what the arguments ask for. Returns the exit code. */
export function runLoad(args: readonly string[]): Promise<number> {
  return runBenchmark({ help: LOAD_USAGE, read: readSettings, run: measureLoad }, args);
}

async function measureLoad({ client, work, write, nodes, servers, isJson }: Settings): Promise<void> {
  const running: Servers =
    servers === undefined
      ? await startRingholdNodes(nodes, ["--memory", "1gb"])
      : { addresses: servers, pids: [], stop: async () => {} };
  try {
    const target = { client, addresses: running.addresses, pids: running.pids, write };
    await runApart({ target, work, isFill: true });
    const measurement = await runApart({ target, work });
    if (isJson) {
      process.stdout.write(`${JSON.stringify({ target: client, work, measurement })}\n`);
      return;
    }
    const { operationsPerSecond, p50Ms, p99Ms, p999Ms, maxMs, clientCpuMicros, serverCpuMicros, wrong } =
      measurement;
    const ms = [p50Ms, p99Ms, p999Ms, maxMs].map((each) => each.toFixed(3));
    process.stdout.write(
      `${Math.round(operationsPerSecond).toLocaleString("en")} operations a second, ${wrong} wrong\n` +
        `p50 ${ms[0]} ms, p99 ${ms[1]} ms, p99.9 ${ms[2]} ms, longest ${ms[3]} ms\n` +
        `CPU per operation: client ${clientCpuMicros.toFixed(2)} us, servers ${serverCpuMicros.toFixed(2)} us\n`,
    );
  } finally {
    await running.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await runLoad(process.argv.slice(2));
