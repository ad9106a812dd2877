// `ringhold bench ...`: benchmarks that start their own servers. They read their options themselves; here they are only found.

import { Command } from "commander";
import { QuietExit } from "../failure.ts";

/** See the top of the file. */
export function benchCommand(): Command {
  const command = new Command("bench").description("measure on a fresh local cluster");
  command.addCommand(
    new Command("rebalance")
      .description("add and remove nodes under load, beside Redis Cluster where it is installed")
      .argument("[options...]", "options of the benchmark; a wrong one lists them")
      .allowUnknownOption()
      .action(async (options: readonly string[]) => {
        const { runRebalance } = await import("../../../bench/rebalance/run.ts");
        const exitCode = await runRebalance(options);
        if (exitCode !== 0) throw new QuietExit(exitCode);
      }),
  );
  return command;
}
