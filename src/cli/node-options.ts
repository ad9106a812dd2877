// The flags that say how a node behaves: those of `ringhold node`, and, where they make sense for all nodes alike, of
// `ringhold cluster start`, which checks them and hands them on.

import type { Command } from "commander";
import { CacheError } from "../base/errors.ts";
import { READ_MODES, type ReadMode, WRITE_MODES, type WriteMode } from "../core/messages.ts";
import { readSecrets } from "./connection.ts";
import { UsageError } from "./failure.ts";
import { duration, integer, option, size } from "./options.ts";

/** Flags that all nodes of a cluster can share. */
export interface SharedNodeFlags {
  readonly memory?: number;
  readonly replicas?: number;
  readonly write?: WriteMode;
  readonly read?: ReadMode;
  readonly valueBytesMax?: number;
  readonly deadGrace?: number;
  readonly logLevel: "silent" | "error" | "warn" | "info" | "debug";
}

/** Adds the {@link SharedNodeFlags}. */
export function withSharedNodeFlags(command: Command): Command {
  return command
    .addOption(option("--memory <size>", "budget for entries (default 256mb)", { parse: size }))
    .addOption(
      option("--replicas <count>", "copies of each key, 1 to 7 (default 3)", { parse: integer(1, 7) }),
    )
    .addOption(
      option("--write <mode>", "when writes count as done unless the call says otherwise (default quorum)", {
        choices: WRITE_MODES,
      }),
    )
    .addOption(
      option("--read <mode>", "who answers reads unless the call says otherwise (default one)", {
        choices: READ_MODES,
      }),
    )
    .addOption(
      option("--value-bytes-max <size>", "largest value (default 8mb, or a quarter of --memory)", {
        parse: size,
      }),
    )
    .addOption(
      option(
        "--dead-grace <duration>",
        "how long a node is dead before the others replace it (default 60s)",
        {
          parse: duration,
        },
      ),
    )
    .addOption(
      option("--log-level <level>", "what is logged on stderr, as JSON lines", {
        choices: ["silent", "error", "warn", "info", "debug"],
        fallback: "info",
      }),
    );
}

/** The flags as arguments again, to hand on to node processes. */
export function sharedNodeArguments(flags: SharedNodeFlags): string[] {
  const pairs: [string, string | number | undefined][] = [
    ["--memory", flags.memory],
    ["--replicas", flags.replicas],
    ["--write", flags.write],
    ["--read", flags.read],
    ["--value-bytes-max", flags.valueBytesMax],
    ["--dead-grace", flags.deadGrace],
    ["--log-level", flags.logLevel],
  ];
  return pairs.flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));
}

/**
 * Checks what the nodes will be told, so that one who was asked wrongly says so before any of them is started.
 *
 * @throws {UsageError} in the words of {@link inFlagWords}
 */
export async function checkSharedFlags(
  flags: SharedNodeFlags & { readonly secretFile?: string },
): Promise<void> {
  const { memory, replicas, write, read, valueBytesMax, deadGrace, logLevel, secretFile } = flags;
  const secret = readSecrets(secretFile);
  const { resolveNodeOptions } = await import("../server/options.ts");
  try {
    resolveNodeOptions(
      { memory, replicas, write, read, valueBytesMax, deadGrace, logLevel, secret },
      () => "node-1",
    );
  } catch (error) {
    throw inFlagWords(error, secretFile);
  }
}

/**
 * The error as one of usage when an option was wrong: the server speaks of options (`valueBytesMax`); whoever typed the command knows flags
 * (`--value-bytes-max`). The secret has no flag of its own: it came from the file, where one is named, and else from the environment.
 */
export function inFlagWords(error: unknown, secretFile: string | undefined): unknown {
  if (!(error instanceof CacheError) || error.code !== "ERR_INVALID_OPTION") return error;
  const isAddressTaken = error.cause !== undefined;
  if (isAddressTaken) return error;
  const message = error.message.replace(/^Option (\w+)/, (_match, name: string) => {
    if (name === "secret") return secretFile === undefined ? "RINGHOLD_SECRET" : "--secret-file";
    const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return `option --${flag}`;
  });
  return new UsageError(message);
}
