// `ringhold ttl KEY`: prints the milliseconds until the key expires, or `none`. A missing key prints `(nil)` on stderr and exits 1.

import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { EXIT, QuietExit } from "../failure.ts";
import { printJson, printLine, tell } from "../output.ts";
import { dataCommand, given, type ReadOptions, withReadMode } from "./data.ts";

/** See the top of the file. */
export function ttlCommand(): Command {
  return withReadMode(
    dataCommand("ttl <key>", "print the milliseconds until a key expires, or none; exit 1 when it is absent"),
  ).action((key: string, options: ReadOptions) =>
    withCache(options, async (cache) => {
      const entry = await cache.getEntry(key, given({ read: options.read }));
      const isFound = entry !== undefined;
      const ttlMs = entry?.expiresAt === undefined ? null : Math.max(0, entry.expiresAt - Date.now());
      if (options.json) printJson({ key, found: isFound, ...(isFound ? { ttlMs } : {}) });
      else if (isFound) printLine(ttlMs === null ? "none" : String(Math.round(ttlMs)));
      else tell("(nil)");
      if (!isFound) throw new QuietExit(EXIT.failed);
    }),
  );
}
