// `ringhold bench ...`: benchmarks that start their own servers. They read their options themselves; here they are only found.

import { Command } from "commander";
import { QuietExit } from "../failure.ts";

/** Runs a benchmark with its own arguments; returns the exit code. */
type Run = (args: readonly string[]) => Promise<number>;

/** See the top of the file. */
export function benchCommand(): Command {
  const benchmarks: readonly (readonly [name: string, description: string, load: () => Promise<Run>])[] = [
    [
      "load",
      "how many calls a fresh cluster takes, or a running one (--server), and how long they take",
      async () => (await import("../../../bench/load.ts")).runLoad,
    ],
    [
      "rebalance",
      "add and remove nodes under load, beside Redis Cluster where it is installed",
      async () => (await import("../../../bench/rebalance/run.ts")).runRebalance,
    ],
    [
      "failover",
      "kill a node under load, beside Redis Cluster where it and ioredis are installed",
      async () => (await import("../../../bench/failover.ts")).runFailover,
    ],
  ];
  const command = new Command("bench").description("measure on a fresh local cluster");
  for (const [name, description, load] of benchmarks) {
    command.addCommand(
      new Command(name)
        .description(description)
        .argument("[options...]", "options of the benchmark; a wrong one lists them")
        .allowUnknownOption()
        .action(async (options: readonly string[]) => {
          const run = await load();
          const exitCode = await run(options);
          if (exitCode !== 0) throw new QuietExit(exitCode);
        }),
    );
  }
  return command;
}
