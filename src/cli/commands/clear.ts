// `ringhold clear --yes`: deletes every key of the cluster. Without `--yes` it only says what it would do.

import type { Command } from "commander";
import { type ConnectionOptions, withCache } from "../connection.ts";
import { UsageError } from "../failure.ts";
import { option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand } from "./data.ts";

interface ClearOptions extends ConnectionOptions {
  readonly yes?: boolean;
}

/** See the top of the file. */
export function clearCommand(): Command {
  return dataCommand("clear", "delete every key of the cluster")
    .addOption(option("--yes", "really"))
    .action(async (options: ClearOptions) => {
      if (!options.yes) throw new UsageError("clear deletes every key of the cluster: say --yes to do it");
      await withCache(options, async (cache) => {
        await cache.clear();
        if (options.json) printJson({ cleared: true });
        else printLine("OK");
      });
    });
}
