// Declares a command by its usage line: "set <key> <value>".

import { Command } from "commander";

/** A command with the arguments that follow its name: `<required>`, `[optional]`, `<several...>`. */
export function namedCommand(usage: string, description: string): Command {
  const [name = "", ...args] = usage.split(" ");
  const command = new Command(name).description(description);
  for (const argument of args) command.argument(argument);
  return command;
}
