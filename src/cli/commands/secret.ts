// `ringhold secret`: makes a secret file, and changes the secret in it step by step. Each step is done on every node's file before the next one;
// nodes read the file again by themselves within two seconds. No secret is printed, only fingerprints: what `ringhold status --json` shows.

import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { readSecretFile, secretLines } from "../../server/secret.ts";
import { UsageError } from "../failure.ts";
import { namedCommand } from "../named-command.ts";
import { option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { newSecret, replaceFile } from "../private-file.ts";

/** See the top of the file. */
export function secretCommand(): Command {
  const command = new Command("secret").description("make a secret file, and change the secret in it");
  const steps: readonly (readonly [usage: string, description: string, step: (file: string) => void])[] = [
    ["new <file>", "make a file with a new random secret", create],
    ["install <file>", "step 1: accept a new random secret beside the one in use", install],
    ["use <file>", "step 2: use the installed secret, and still accept the old one", use],
    ["remove <file>", "step 3: accept only the secret in use", remove],
    ["show <file>", "print the fingerprints, the one in use first", () => {}],
  ];
  for (const [usage, description, step] of steps) {
    command.addCommand(
      namedCommand(usage, description)
        .addOption(option("--json", "print JSON"))
        .action((file: string, { json }: { readonly json?: boolean }) => {
          step(file);
          const fingerprints = readSecretFile(file).fingerprints();
          if (json) printJson({ file, fingerprints });
          else for (const name of fingerprints) printLine(name);
        }),
    );
  }
  return command;
}

function create(file: string): void {
  if (existsSync(file))
    throw new UsageError(`${file} exists: \`ringhold secret install\` adds a secret to it`);
  write(file, [newSecret()]);
}

function install(file: string): void {
  const secrets = read(file);
  if (secrets.length > 1)
    throw new UsageError(`${file} has ${secrets.length} secrets: remove the old one first`);
  write(file, [...secrets, newSecret()]);
}

function use(file: string): void {
  const [old, next, ...more] = read(file);
  if (old === undefined || next === undefined || more.length > 0)
    throw new UsageError(`${file} must have two secrets to choose from: install one first`);
  write(file, [next, old]);
}

function remove(file: string): void {
  const secrets = read(file);
  if (secrets.length < 2) throw new UsageError(`${file} has one secret: there is none to remove`);
  write(file, secrets.slice(0, 1));
}

function read(file: string): readonly string[] {
  readSecretFile(file);
  return secretLines(readFileSync(file, "utf8"));
}

function write(file: string, secrets: readonly string[]): void {
  replaceFile(file, `${secrets.join("\n")}\n`);
}
