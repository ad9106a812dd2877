// `ringhold locate KEY`: prints the key's slot and the nodes that keep it, owner first.

import type { Command } from "commander";
import { type ConnectionOptions, withCache } from "../connection.ts";
import { printJson, printLine } from "../output.ts";
import { dataCommand } from "./data.ts";

/** See the top of the file. */
export function locateCommand(): Command {
  return dataCommand("locate <key>", "print a key's slot and the nodes that keep it, owner first").action(
    (key: string, options: ConnectionOptions) =>
      withCache(options, async (cache) => {
        const { slot, replicas } = await cache.locate(key);
        if (options.json) printJson({ key, slot, replicas });
        else printLine(`slot ${slot}  nodes ${replicas.join(", ")}`);
      }),
  );
}
