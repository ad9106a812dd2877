// `ringhold touch KEY DURATION`: lets a key expire that much from now. Prints whether it existed; exits 1 when not.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { EXIT, QuietExit } from "../failure.ts";
import { duration } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand, given, type WriteOptions, withWriteMode } from "./data.ts";

/** See the top of the file. */
export function touchCommand(): Command {
  return withWriteMode(dataCommand("touch", "let a key expire that much from now; exit 1 when it is absent"))
    .argument("<key>")
    .argument("<duration>", 'such as "30s"', duration)
    .action((key: string, ttl: number, options: WriteOptions) =>
      withCache(options, async (cache) => {
        const isFound = await cache.touch(key, ttl, given({ write: options.write }));
        if (options.json) printJson({ key, found: isFound });
        else printLine(String(isFound));
        if (!isFound) throw new QuietExit(EXIT.failed);
      }),
    );
}
