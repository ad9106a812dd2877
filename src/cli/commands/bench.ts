// `ringhold bench ...`: benchmarks that start their own servers. They read their options themselves; here they are only found, and their
// usage shown as help.

import { Command } from "commander";
import { FAILOVER_USAGE, LOAD_USAGE, REBALANCE_USAGE } from "../../../bench/usage.ts";
import { QuietExit } from "../failure.ts";

/** Runs a benchmark with its own arguments; returns the exit code. */
type Run = (args: readonly string[]) => Promise<number>;

interface Benchmark {
  readonly name: string;
  readonly description: string;
  readonly usage: string;
  readonly load: () => Promise<Run>;
}

const BENCHMARKS: readonly Benchmark[] = [
  {
    name: "load",
    description: "how many calls a fresh cluster takes, or a running one (--server), and how long they take",
    usage: LOAD_USAGE,
    load: async () => (await import("../../../bench/load.ts")).runLoad,
  },
  {
    name: "rebalance",
    description: "add and remove nodes under load, beside Redis Cluster where it is installed",
    usage: REBALANCE_USAGE,
    load: async () => (await import("../../../bench/rebalance/run.ts")).runRebalance,
  },
  {
    name: "failover",
    description: "kill a node under load, beside Redis Cluster where it and ioredis are installed",
    usage: FAILOVER_USAGE,
    load: async () => (await import("../../../bench/failover.ts")).runFailover,
  },
];

/** See the top of the file. */
export function benchCommand(): Command {
  const command = new Command("bench").description("measure on a fresh local cluster");
  for (const { name, description, usage, load } of BENCHMARKS) {
    command.addCommand(
      new Command(name)
        .description(description)
        .argument("[options...]", "options of the benchmark")
        .allowUnknownOption()
        .configureHelp({ formatHelp: () => usage })
        .action(async (options: readonly string[]) => {
          const run = await load();
          const exitCode = await run(options);
          if (exitCode !== 0) throw new QuietExit(exitCode);
        }),
    );
  }
  return command;
}
