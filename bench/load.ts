// How many calls does a cluster take, and how long do they take? One kind of call on a fresh local cluster of three nodes or a running one, in a
// closed loop (so many callers) or an open one (so many calls a second), from a client process of its own.
//
// Baseline: `--client ioredis+auto` and the like on servers named by `--server`. Ideal: `--client null`, which asks nobody.
//
// Run with `npm run bench:load -- --help`, or `ringhold bench load`.

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { above0, runBenchmark } from "./arguments.ts";
import { runApart } from "./load/client-process.ts";
import { CLIENT_NAMES, type ClientName } from "./load/target.ts";
import { OPERATIONS, type Operation, type Work } from "./load/work.ts";
import { type Servers, startRingholdNodes } from "./peers/servers.ts";

const HELP = `Usage: ringhold bench load [options]

  --operation NAME     ${OPERATIONS.join(", ")} (default get)
  --outstanding N      callers of the closed loop (default 64)
  --rate R             open loop: so many calls a second
  --bytes N            size of a value (default 100)      --keys N     different keys (default 100000)
  --batch N            keys per getMany and setMany (default 100)
  --write MODE         async, quorum or all               --nodes N    nodes of the fresh cluster (default 3)
  --seconds S          measured time (default 5)          --warmup S   before it (default 2)
  --client NAME        ${CLIENT_NAMES.join(", ")} (default ringhold)
  --server A,B         a running system instead of a fresh cluster; its CPU time is not known then
  --json               prints the measurement as JSON
`;

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
  /** `undefined` for a fresh cluster. */
  readonly server: string | undefined;
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
    valueBytes: above0("bytes", values.bytes),
    keys: above0("keys", values.keys),
    outstanding: above0("outstanding", values.outstanding),
    batch: above0("batch", values.batch),
    ...(values.rate === undefined ? {} : { rate: above0("rate", values.rate) }),
    warmupMs: Number(values.warmup) * 1_000,
    measureMs: above0("seconds", values.seconds) * 1_000,
  };
  return {
    client: oneOf<ClientName>("client", values.client, CLIENT_NAMES),
    work,
    write: oneOf("write", values.write, ["async", "quorum", "all"] as const),
    nodes: above0("nodes", values.nodes),
    server: values.server,
    isJson: values.json,
  };
}

/** Runs what the arguments ask for. Returns the exit code. */
export function runLoad(args: readonly string[]): Promise<number> {
  return runBenchmark({ help: HELP, read: readSettings, run: measureLoad }, args);
}

async function measureLoad({ client, work, write, nodes, server, isJson }: Settings): Promise<void> {
  const servers: Servers =
    server === undefined && client === "ringhold"
      ? await startRingholdNodes(nodes, ["--memory", "1gb"])
      : { addresses: (server ?? "").split(","), pids: [], stop: async () => {} };
  try {
    const target = { client, addresses: servers.addresses, pids: servers.pids, write };
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
    await servers.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await runLoad(process.argv.slice(2));
