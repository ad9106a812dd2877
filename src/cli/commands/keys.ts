// `ringhold keys`: prints the cluster's keys, one per line, in no particular order. With `--json`, each line is a JSON string.

import type { Command } from "commander";
import type { ConnectionOptions } from "../connection.ts";
import { withCache } from "../connection.ts";
import { integer, option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand, given } from "./data.ts";

interface KeysOptions extends ConnectionOptions {
  readonly prefix?: string;
  readonly limit?: number;
}

/** See the top of the file. */
export function keysCommand(): Command {
  return dataCommand("keys", "print the keys, one per line")
    .addOption(option("--prefix <text>", "only those that begin so"))
    .addOption(option("--limit <count>", "at most so many", { parse: integer(1, Number.MAX_SAFE_INTEGER) }))
    .action((options: KeysOptions) =>
      withCache(options, async (cache) => {
        let left = options.limit ?? Number.POSITIVE_INFINITY;
        for await (const key of cache.keys(given({ prefix: options.prefix }))) {
          if (options.json) printJson(key);
          else printLine(key);
          if (--left <= 0) break;
        }
      }),
    );
}
