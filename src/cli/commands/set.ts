// `ringhold set KEY VALUE`: stores a value. VALUE is text unless `--as` says otherwise; `-` reads it from stdin. When a condition
// does not hold, nothing is stored and the exit code is 1.

import { buffer } from "node:stream/consumers";
import type { Command } from "commander";
import { withCache } from "../connection.ts";
import { EXIT, QuietExit, UsageError } from "../failure.ts";
import { duration, integer, numberIn, option } from "../options.ts";
import { printJson, printLine, tell } from "../output.ts";
import { dataCommand, given, type WriteOptions, withWriteMode } from "./data.ts";

interface SetOptions extends WriteOptions {
  readonly ttl?: number;
  readonly ifAbsent?: boolean;
  readonly ifPresent?: boolean;
  readonly ifVersion?: number;
  readonly as: "text" | "json" | "number" | "bytes";
}

/** See the top of the file. */
export function setCommand(): Command {
  return withWriteMode(dataCommand("set <key> <value>", "store a value; VALUE - reads stdin"))
    .addOption(option("--ttl <duration>", "let it expire", { parse: duration }))
    .addOption(option("--if-absent", "only when the key is absent"))
    .addOption(option("--if-present", "only when the key is present"))
    .addOption(
      option("--if-version <version>", "only when this version is held", {
        parse: integer(1, Number.MAX_SAFE_INTEGER),
      }),
    )
    .addOption(
      option("--as <type>", "what VALUE is", {
        choices: ["text", "json", "number", "bytes"],
        fallback: "text",
      }),
    )
    .action(async (key: string, text: string, options: SetOptions) => {
      const value = await readValue(text, options.as);
      await withCache(options, async (cache) => {
        const { ttl, ifAbsent, ifPresent, ifVersion, write } = options;
        const isStored = await cache.set(key, value, given({ ttl, ifAbsent, ifPresent, ifVersion, write }));
        if (options.json) printJson({ key, stored: isStored });
        else if (isStored) printLine("OK");
        else tell("not stored: the condition does not hold");
        if (!isStored) throw new QuietExit(EXIT.failed);
      });
    });
}

async function readValue(text: string, type: SetOptions["as"]): Promise<unknown> {
  const bytes = text === "-" ? await buffer(process.stdin) : Buffer.from(text);
  if (type === "bytes") return new Uint8Array(bytes);
  const value = bytes.toString("utf8");
  if (type === "number") return numberOf(value);
  if (type === "text") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch (error) {
    throw new UsageError(`VALUE is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function numberOf(text: string): number {
  const value = numberIn(text);
  if (value !== undefined) return value;
  throw new UsageError(`VALUE is no number: ${JSON.stringify(text.slice(0, 40))}`);
}
