// `ringhold del KEY...`: deletes keys and prints how many of them existed.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand, given, type WriteOptions, withWriteMode } from "./data.ts";

/** See the top of the file. */
export function delCommand(): Command {
  return withWriteMode(dataCommand("del <key...>", "delete keys; print how many existed")).action(
    (keys: string[], options: WriteOptions) =>
      withCache(options, async (cache) => {
        const deleted = await cache.deleteMany(keys, given({ write: options.write }));
        if (options.json) printJson({ keys, deleted });
        else printLine(String(deleted));
      }),
  );
}
