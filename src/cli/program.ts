// The `ringhold` program: all commands in one tree, and the way from how a command ended to the exit code. Commands import what
// they work with only when they run, so that help, mistakes and small commands are quick.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { benchCommand } from "./commands/bench.ts";
import { clearCommand } from "./commands/clear.ts";
import { clusterCommand } from "./commands/cluster.ts";
import { delCommand } from "./commands/del.ts";
import { getCommand } from "./commands/get.ts";
import { hasCommand } from "./commands/has.ts";
import { incrCommand } from "./commands/incr.ts";
import { keysCommand } from "./commands/keys.ts";
import { locateCommand } from "./commands/locate.ts";
import { memberCommand } from "./commands/member.ts";
import { nodeCommand } from "./commands/node.ts";
import { ringCommand } from "./commands/ring.ts";
import { secretCommand } from "./commands/secret.ts";
import { setCommand } from "./commands/set.ts";
import { sizeCommand } from "./commands/size.ts";
import { statusCommand } from "./commands/status.ts";
import { touchCommand } from "./commands/touch.ts";
import { ttlCommand } from "./commands/ttl.ts";
import { userCommand } from "./commands/user.ts";
import { describeError, EXIT, errorLine, exitCodeOf, QuietExit } from "./failure.ts";
import { isFlagSet } from "./options.ts";
import { tell } from "./output.ts";

/** Runs the command that the arguments name, to its end. Returns the exit code; what went wrong has been said on stderr. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const isJson = args.includes("--json") || isFlagSet("RINGHOLD_JSON");
  try {
    await buildProgram(isJson).parseAsync([...args], { from: "user" });
    return Number(process.exitCode ?? EXIT.fine);
  } catch (error) {
    // Commander has said already what was wrong; help and version are not wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    if (!(error instanceof QuietExit)) {
      tell(isJson ? JSON.stringify({ error: describeError(error) }) : errorLine(error));
    }
    return exitCodeOf(error);
  }
}

/**
 * The tree of commands.
 *
 * @param isJson Whether complaints about the arguments are JSON, as other errors are with `--json`.
 */
export function buildProgram(isJson = false): Command {
  const program = new Command("ringhold")
    .description("a replicated, self-healing cache for Node.js")
    .version(packageVersion(), "-V, --version", "print the version")
    .addHelpText("after", HELP_END);
  for (const command of [
    nodeCommand(),
    clusterCommand(),
    statusCommand(),
    ringCommand(),
    memberCommand(),
    getCommand(),
    setCommand(),
    delCommand(),
    incrCommand(),
    ttlCommand(),
    touchCommand(),
    hasCommand(),
    keysCommand(),
    sizeCommand(),
    clearCommand(),
    locateCommand(),
    secretCommand(),
    userCommand(),
    benchCommand(),
  ]) {
    program.addCommand(command);
  }
  withoutExit(program, isJson);
  return program;
}

const HELP_END = `
Options can also be given as environment variables: --secret-file as RINGHOLD_SECRET_FILE, --server as RINGHOLD_URL. Those that cannot, the
benchmarks' and the --secret-file of user set, name none in their help.
Data goes to stdout, words to stderr. Exit code 0: done, 1: failed (or absent), 2: asked wrongly.

Start with:  ringhold cluster start`;

/** Commander must not end the process: errors come back as exceptions, from every level of the tree. */
function withoutExit(command: Command, isJson: boolean): void {
  command
    .exitOverride()
    .helpOption("-h, --help", "show help")
    .configureOutput({ outputError: (text, write) => write(isJson ? asJson(text) : asOneLine(text)) });
  if (command.commands.length > 0) command.helpCommand("help [command]", "show the help of a command");
  for (const child of command.commands) withoutExit(child, isJson);
}

/** One clear line: commander's suggestion stands on a line of its own. */
function asOneLine(text: string): string {
  return `${text.trim().replaceAll(/\s*\n\s*/g, " ")}\n`;
}

function asJson(text: string): string {
  const message = asOneLine(text)
    .trim()
    .replace(/^error: /, "");
  return `${JSON.stringify({ error: { message } })}\n`;
}

/** From the package's own description: two folders up from `src/cli`, three from `dist/src/cli`. */
function packageVersion(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), "utf8");
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      // Try the next place.
    }
  }
  return "unknown";
}
