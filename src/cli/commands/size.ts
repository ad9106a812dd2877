// `ringhold size`: prints about how many keys the cluster holds.

import type { Command } from "commander";
import { type ConnectionOptions, withCache } from "../connection.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand } from "./data.ts";

/** See the top of the file. */
export function sizeCommand(): Command {
  return dataCommand("size", "print about how many keys there are").action((options: ConnectionOptions) =>
    withCache(options, async (cache) => {
      const keys = await cache.size();
      if (options.json) printJson({ keys });
      else printLine(String(keys));
    }),
  );
}
