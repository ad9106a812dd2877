// `ringhold incr KEY`: adds to a number and prints the new one. An absent key counts as 0.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { duration, finiteNumber, option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand, given, type WriteOptions, withWriteMode } from "./data.ts";

interface IncrementOptions extends WriteOptions {
  readonly by: number;
  readonly ttl?: number;
}

/** See the top of the file. */
export function incrCommand(): Command {
  return withWriteMode(dataCommand("incr <key>", "add to a number; print the new one"))
    .addOption(option("--by <number>", "how much", { parse: finiteNumber, fallback: 1 }))
    .addOption(option("--ttl <duration>", "let it expire, when this call creates it", { parse: duration }))
    .action((key: string, options: IncrementOptions) =>
      withCache(options, async (cache) => {
        const { by, ttl, write } = options;
        const value = await cache.increment(key, by, given({ ttl, write }));
        if (options.json) printJson({ key, value });
        else printLine(String(value));
      }),
    );
}
