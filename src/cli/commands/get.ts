// `ringhold get KEY`: prints the value. A missing key prints `(nil)` on stderr, nothing on stdout, and exits 1.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { EXIT, QuietExit } from "../failure.ts";
import { printJson, tell, writeValue } from "../output.ts";
import { dataCommand, given, type ReadOptions, withReadMode } from "./data.ts";

/** See the top of the file. */
export function getCommand(): Command {
  return withReadMode(dataCommand("get <key>", "print a value; exit 1 when the key is absent")).action(
    (key: string, options: ReadOptions) =>
      withCache(options, async (cache) => {
        const value = await cache.get(key, given({ read: options.read }));
        const isFound = value !== undefined;
        if (options.json) printJson({ key, found: isFound, ...(isFound ? { value } : {}) });
        else if (isFound) writeValue(value);
        else tell("(nil)");
        if (!isFound) throw new QuietExit(EXIT.failed);
      }),
  );
}
