// `ringhold cluster start`: a local cluster of real processes. In the foreground it shows a live table on a terminal, and otherwise one
// line whenever something changed; Ctrl-C stops all nodes. With --detach it returns as soon as all nodes are ready.

import { Command } from "commander";
import type { LocalCluster } from "../../../cluster/local-cluster.ts";
import { DEFAULT_PORT, PORT_MAX } from "../../base/address.ts";
import { collectView, processesOf } from "../cluster-view.ts";
import { EXIT, QuietExit, UsageError } from "../failure.ts";
import { redraw } from "../live-view.ts";
import { type ClusterView, renderMembers, renderVerdict, stateOf } from "../members-table.ts";
import {
  checkSharedFlags,
  type SharedNodeFlags,
  sharedNodeArguments,
  withSharedNodeFlags,
} from "../node-options.ts";
import { integer, option } from "../options.ts";
import { paintFor, printJson, printLine, tell } from "../output.ts";
import { untilInterrupted } from "../signals.ts";

interface StartOptions extends SharedNodeFlags {
  readonly nodes: number;
  readonly port: number;
  readonly redisPort?: number;
  readonly redisCluster?: boolean;
  readonly state: string;
  readonly detach?: boolean;
  readonly secretFile?: string;
  readonly json?: boolean;
}

/** See the top of the file. */
export function clusterStartCommand(): Command {
  const command = new Command("start")
    .description("start a local cluster")
    .addOption(option("--nodes <count>", "how many nodes, 1 to 64", { parse: integer(1, 64), fallback: 5 }))
    .addOption(
      option("--port <port>", "the first node's port, the others follow; 0 for any free ones", {
        parse: integer(0, PORT_MAX),
        fallback: DEFAULT_PORT,
      }),
    )
    .addOption(
      option(
        "--redis-port <port>",
        "let Redis clients in: the first node's port, the others follow; 0 for any free ones",
        {
          parse: integer(0, PORT_MAX),
        },
      ),
    )
    .addOption(
      option("--redis-cluster", "show Redis clients the cluster's nodes, instead of one server each"),
    )
    .addOption(option("--detach", "return when all nodes are ready, and leave them running"))
    .addOption(option("--state <directory>", "where its state and logs go", { fallback: ".ringhold" }))
    .addOption(option("--secret-file <file>", "file with the cluster's secret (or RINGHOLD_SECRET)"));
  return withSharedNodeFlags(command).addOption(option("--json", "print JSON")).action(start);
}

async function start(options: StartOptions): Promise<void> {
  checkPorts(options);
  await checkSharedFlags(options);
  const startMs = performance.now();
  const { LocalCluster } = await import("../../../cluster/local-cluster.ts");
  await untilInterrupted(async (signal) => {
    const cluster = await LocalCluster.start({
      stateDirectory: options.state,
      nodes: options.nodes,
      basePort: options.port,
      redisBasePort: options.redisPort,
      nodeArguments: [...sharedNodeArguments(options), ...(options.redisCluster ? ["--redis-cluster"] : [])],
      secretFile: options.secretFile,
      isDetached: options.detach === true,
      onProgress: tell,
      signal,
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      tell("stopped before all nodes were ready");
      throw new QuietExit(EXIT.failed);
    });
    announce(cluster, options, performance.now() - startMs);
    if (options.detach) return;
    try {
      await show(cluster, options, signal);
    } finally {
      await cluster.stop();
      tell("all nodes stopped");
    }
  });
}

function checkPorts({ nodes, port, redisPort, redisCluster }: StartOptions): void {
  if (redisCluster && redisPort === undefined) throw new UsageError("--redis-cluster needs --redis-port");
  for (const [flag, first] of Object.entries({ "--port": port, "--redis-port": redisPort })) {
    if (first !== undefined && first + nodes - 1 > PORT_MAX)
      throw new UsageError(`${nodes} nodes from ${flag} ${first} on do not fit below ${PORT_MAX + 1}`);
  }
  if (redisPort === undefined || redisPort === 0 || port === 0) return;
  if (Math.abs(port - redisPort) < nodes)
    throw new UsageError(
      `${nodes} nodes from --port ${port} on and their Redis doors from --redis-port ${redisPort} on would share ports`,
    );
}

function announce(cluster: LocalCluster, options: StartOptions, ms: number): void {
  const url = cluster.url();
  const redis = cluster.nodes().flatMap(({ redisAddress }) => redisAddress ?? []);
  if (options.json) {
    printJson({ url, readyMs: Math.round(ms), nodes: cluster.nodes() });
    return;
  }
  printLine(`${cluster.nodes().length} nodes ready in ${(ms / 1000).toFixed(1)} s: ${url}`);
  if (redis.length > 0)
    printLine(
      `Redis clients: redis://${redis[0]}${redis.length > 1 ? ` (also ${redis.slice(1).join(", ")})` : ""}`,
    );
  const [first] = cluster.nodes();
  if (first !== undefined && first.port !== DEFAULT_PORT)
    tell(`for other commands: export RINGHOLD_URL=${url}`);
  const state = options.state === ".ringhold" ? "" : ` --state ${options.state}`;
  tell(
    options.detach
      ? `stop them with: ringhold cluster stop${state}`
      : `Ctrl-C stops them; in another terminal try: ringhold cluster kill node-3${state}`,
  );
}

const NO_ANSWER = "no node answers";

/** Draws until interrupted, or until the cluster was stopped from elsewhere. */
async function show(cluster: LocalCluster, options: StartOptions, interrupted: AbortSignal): Promise<void> {
  const over = new AbortController();
  const paint = paintFor(process.stdout);
  const look = async (): Promise<ClusterView | undefined> => {
    const nodes = cluster.nodes();
    if (nodes.every((node) => node.state === "gone")) over.abort();
    const running = nodes.filter((node) => node.state === "running").map((node) => node.address);
    return collectView(running, cluster.http()).catch(() => undefined);
  };
  await redraw({
    stream: process.stdout,
    isLive: process.stdout.isTTY && !options.json,
    signal: AbortSignal.any([interrupted, over.signal]),
    lines: async () => {
      const view = await look();
      if (view === undefined) return [NO_ANSWER];
      return renderMembers({ ...view, processes: processesOf(cluster) }, paint);
    },
    plain: async () => {
      const view = await look();
      if (view !== undefined) return changeLine(view, cluster, options.json === true);
      return options.json ? JSON.stringify({ error: { message: NO_ANSWER } }) : NO_ANSWER;
    },
  });
}

/** What can change, on one line: the members' states and the verdict. */
function changeLine(view: ClusterView, cluster: LocalCluster, isJson: boolean): string {
  const processes = processesOf(cluster);
  const states = view.asked.members.map((member) => [member.id, stateOf(member, processes.get(member.id))]);
  const verdict = renderVerdict(view);
  if (isJson) return JSON.stringify({ members: Object.fromEntries(states) as unknown, verdict });
  return `${states.map(([id, state]) => `${id} ${state}`).join(", ")}; ${verdict}`;
}
