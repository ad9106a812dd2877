// `ringhold has KEY`: prints true and exits 0, or prints false and exits 1.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { EXIT, QuietExit } from "../failure.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand, given, type ReadOptions, withReadMode } from "./data.ts";

/** See the top of the file. */
export function hasCommand(): Command {
  return withReadMode(dataCommand("has <key>", "print whether a key is there; exit 1 when it is not")).action(
    (key: string, options: ReadOptions) =>
      withCache(options, async (cache) => {
        const isFound = await cache.has(key, given({ read: options.read }));
        if (options.json) printJson({ key, found: isFound });
        else printLine(String(isFound));
        if (!isFound) throw new QuietExit(EXIT.failed);
      }),
  );
}
