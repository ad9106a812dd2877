// What the data commands share: how a command is declared, and the options that several have.

import type { Command } from "commander";
import { READ_MODES, type ReadMode, WRITE_MODES, type WriteMode } from "../../core/messages.ts";
import { type ConnectionOptions, withConnectionOptions } from "../connection.ts";
import { namedCommand } from "../named-command.ts";
import { option } from "../options.ts";

/** A command with the connection options. */
export function dataCommand(nameAndArguments: string, description: string): Command {
  return withConnectionOptions(namedCommand(nameAndArguments, description));
}

/** Adds `--write`. */
export function withWriteMode(command: Command): Command {
  return command.addOption(option("--write <mode>", "when it counts as done", { choices: WRITE_MODES }));
}

/** Adds `--read`. */
export function withReadMode(command: Command): Command {
  return command.addOption(option("--read <mode>", "who answers", { choices: READ_MODES }));
}

/** See {@link withWriteMode}. */
export interface WriteOptions extends ConnectionOptions {
  readonly write?: WriteMode;
}

/** See {@link withReadMode}. */
export interface ReadOptions extends ConnectionOptions {
  readonly read?: ReadMode;
}

/** Only what was given: the public API refuses `undefined` less gladly than absence. */
export function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
