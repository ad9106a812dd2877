// `ringhold cluster ...`: local clusters of real processes. `start` is in cluster-start.ts; here are the commands that work on a
// cluster which runs already, found by its state directory.

import { resolve } from "node:path";
import { Command } from "commander";
import type { LocalCluster } from "../../../cluster/local-cluster.ts";
import { collectView, processesOf } from "../cluster-view.ts";
import { renderMembers } from "../members-table.ts";
import { namedCommand } from "../named-command.ts";
import { option } from "../options.ts";
import { paintFor, printJson, printLine, tell } from "../output.ts";
import { renderPlan } from "../ring-text.ts";
import { type Simulated, simulate } from "../simulate.ts";
import { clusterStartCommand } from "./cluster-start.ts";

interface StateOptions {
  readonly state: string;
  readonly json?: boolean;
}

interface ChangeOptions extends StateOptions {
  readonly dryRun?: boolean;
}

/** See the top of the file. */
export function clusterCommand(): Command {
  const command = new Command("cluster").description("run a local cluster of real processes");
  command.addCommand(clusterStartCommand());
  command.addCommand(
    withState("status", "the members, their processes, and whether losing one would lose anything").action(
      showStatus,
    ),
  );
  command.addCommand(
    withState("stop", "stop all nodes").action((options: StateOptions) =>
      work(options, async (cluster) => {
        const names = cluster.nodes().map((node) => node.name);
        await cluster.stop();
        return { stopped: names };
      }),
    ),
  );
  command.addCommand(
    withDryRun(withState("add", "start one more node")).action((options: ChangeOptions) =>
      options.dryRun
        ? showPlan(options, (cluster) => ({ verb: "add", count: 1, names: [cluster.nextName()] }))
        : work(options, async (cluster) => {
            const { name, address, pid } = await cluster.add({ onProgress: tell });
            return { added: name, address, pid };
          }),
    ),
  );
  command.addCommand(
    withDryRun(
      withState("remove <name>", "let a node hand its slots over and end; evict it when it is dead"),
    ).action((name: string, options: ChangeOptions) =>
      options.dryRun
        ? showPlan(options, () => ({ verb: "remove", name }))
        : work(options, async (cluster) => {
            await cluster.remove(name);
            return { removed: name };
          }),
    ),
  );
  for (const { verb, description, done, act } of NODE_VERBS) {
    command.addCommand(
      withState(`${verb} <name>`, description).action((name: string, options: StateOptions) =>
        work(options, async (cluster) => {
          await act(cluster, name, tell);
          return { [done]: name };
        }),
      ),
    );
  }
  return command;
}

/** The other commands on one node. */
const NODE_VERBS: readonly {
  readonly verb: string;
  readonly description: string;
  /** The word for what has happened. */
  readonly done: string;
  readonly act: (
    cluster: LocalCluster,
    name: string,
    onProgress: (line: string) => void,
  ) => Promise<void> | void;
}[] = [
  {
    verb: "kill",
    description: "end a node at once (SIGKILL)",
    done: "killed",
    act: (cluster, name) => cluster.kill(name),
  },
  {
    verb: "pause",
    description: "freeze a node (SIGSTOP)",
    done: "paused",
    act: (cluster, name) => cluster.pause(name),
  },
  {
    verb: "resume",
    description: "let a paused node go on",
    done: "resumed",
    act: (cluster, name) => cluster.resume(name),
  },
  {
    verb: "restart",
    description: "stop a node if it runs, and start it under the same name",
    done: "restarted",
    act: (cluster, name, onProgress) => cluster.restart(name, { onProgress }),
  },
];

function withState(nameAndArguments: string, description: string): Command {
  return namedCommand(nameAndArguments, description)
    .addOption(option("--state <directory>", "the cluster's state directory", { fallback: ".ringhold" }))
    .addOption(option("--json", "print JSON"));
}

function withDryRun(command: Command): Command {
  return command.addOption(option("--dry-run", "only say what would move, and for how long"));
}

/** Says what a change would move; changes nothing. */
async function showPlan(
  options: StateOptions,
  changeOf: (cluster: LocalCluster) => Simulated,
): Promise<void> {
  const { LocalCluster } = await import("../../../cluster/local-cluster.ts");
  const cluster = LocalCluster.open(options.state);
  const running = cluster.nodes().filter((node) => node.state === "running");
  const view = await collectView(
    running.map((node) => node.address),
    cluster.http(),
  );
  const plan = await simulate(view, changeOf(cluster));
  if (options.json) printJson(plan);
  else for (const line of renderPlan(plan)) printLine(line);
}

/** Opens the cluster, does the work, and prints what was done: `killed node-3`, or the same as JSON. */
async function work(
  options: StateOptions,
  act: (cluster: LocalCluster) => Promise<Readonly<Record<string, unknown>>>,
): Promise<void> {
  const { LocalCluster } = await import("../../../cluster/local-cluster.ts");
  const done = await act(LocalCluster.open(options.state));
  if (options.json) printJson(done);
  else {
    const words = Object.entries(done).map(([what, which]) => `${what} ${String(which)}`);
    printLine(words.join(", ").replaceAll(",node", ", node"));
  }
}

async function showStatus(options: StateOptions): Promise<void> {
  const { LocalCluster } = await import("../../../cluster/local-cluster.ts");
  const cluster = LocalCluster.open(options.state);
  const nodes = cluster.nodes();
  const running = nodes.filter((node) => node.state === "running").map((node) => node.address);
  const view = await collectView(running, cluster.http());
  if (options.json) {
    printJson({ state: resolve(options.state), processes: nodes, status: view.asked });
    return;
  }
  for (const line of renderMembers({ ...view, processes: processesOf(cluster) }, paintFor(process.stdout))) {
    printLine(line);
  }
}
