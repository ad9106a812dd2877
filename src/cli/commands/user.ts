// `ringhold user`: edits a users file. A new user's secret is printed once, on stdout, and is nowhere else: the file has only keys that are derived
// from it. Nodes read the file again by themselves within two seconds. Whoever has the cluster's secret may do everything, so no user gets that one.

import { existsSync, readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { COMMAND_CLASSES, type CommandClass } from "../../base/grants.ts";
import { SECRET_BYTES_MIN, secretLines } from "../../server/secret.ts";
import { isUserName, parseUsers, readUsersFile, userEntry } from "../../server/users.ts";
import { readFile, readSecrets } from "../connection.ts";
import { UsageError } from "../failure.ts";
import { namedCommand } from "../named-command.ts";
import { option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { newSecret, replaceFile } from "../private-file.ts";

interface FileFlags {
  readonly usersFile?: string;
  readonly json?: boolean;
}

interface UserFlags extends FileFlags {
  readonly allow: readonly CommandClass[];
  readonly prefix: readonly string[];
  readonly secretFile?: string;
}

/** An entry as it stands in the file. */
interface Entry {
  readonly name: string;
  readonly keys: readonly string[];
}

/** See the top of the file. */
export function userCommand(): Command {
  const command = new Command("user").description("edit a users file");
  command.addCommand(
    withFile(namedCommand("set <name>", "add or replace a user; prints its new secret, unless it is given"))
      .addOption(
        option("--allow <classes>", `what it may do, with commas: ${COMMAND_CLASSES.join(", ")}`, {
          parse: classes,
        }).makeOptionMandatory(),
      )
      .addOption(
        option(
          "--prefix <prefixes...>",
          'keys it may use: those that begin with these; "" for all',
        ).makeOptionMandatory(),
      )
      // Without a variable: RINGHOLD_SECRET_FILE names the cluster's secret.
      .addOption(new Option("--secret-file <file>", "a secret for it, instead of a new one"))
      .action(set),
  );
  command.addCommand(
    withFile(
      namedCommand("rotate <name>", "accept a new secret beside the present one, and print it"),
    ).action((name: string, flags: FileFlags) => rotate(name, flags)),
  );
  command.addCommand(
    withFile(namedCommand("retire <name>", "accept only the newest secret")).action(
      (name: string, flags: FileFlags) => {
        change(flags, name, (entry) => ({ ...entry, keys: entry.keys.slice(0, 1) }));
        if (flags.json) printJson({ retired: name });
      },
    ),
  );
  command.addCommand(
    withFile(namedCommand("remove <name>", "remove a user")).action((name: string, flags: FileFlags) => {
      change(flags, name, () => undefined);
      if (flags.json) printJson({ removed: name });
    }),
  );
  command.addCommand(
    withFile(namedCommand("list", "print the users and what they may do")).action((flags: FileFlags) => {
      for (const { name, grants, keys } of readUsersFile(fileIn(flags)).values())
        printJson({ name, ...grants, secrets: keys.length });
    }),
  );
  return command;
}

function withFile(command: Command): Command {
  return command
    .addOption(option("--users-file <file>", "the file"))
    .addOption(option("--json", "print JSON"));
}

function fileIn({ usersFile }: FileFlags): string {
  if (usersFile === undefined) throw new UsageError("say which file: --users-file or RINGHOLD_USERS_FILE");
  return usersFile;
}

function classes(text: string): readonly CommandClass[] {
  const given = text.split(",").map((part) => part.trim());
  const unknown = given.find((name) => !COMMAND_CLASSES.includes(name as CommandClass));
  if (unknown !== undefined) throw new UsageError(`--allow takes ${COMMAND_CLASSES.join(", ")}, with commas`);
  return COMMAND_CLASSES.filter((name) => given.includes(name));
}

function set(name: string, { allow, prefix, secretFile, ...flags }: UserFlags): void {
  if (!isUserName(name)) throw new UsageError("a user's name has 1 to 64 characters of A-Z a-z 0-9 . _ -");
  const given = secretFile === undefined ? undefined : readSecrets(secretFile);
  if (given !== undefined) checkSecrets(`--secret-file ${secretFile}`, given);
  const secrets = given ?? [newSecret()];
  const entry = userEntry(name, secrets, { classes: allow, prefixes: prefix }) as Entry;
  const others = entriesIn(fileIn(flags)).filter((other) => other.name !== name);
  write(fileIn(flags), [...others, entry]);
  if (flags.json) printJson({ name, ...(given === undefined ? { secret: secrets[0]! } : {}) });
  else if (given === undefined) printLine(secrets[0]!);
}

/** @throws {UsageError} for secrets that can be guessed, or that others have */
function checkSecrets(source: string, secrets: readonly string[]): void {
  const ofCluster = clusterSecrets();
  for (const secret of secrets) {
    if (Buffer.byteLength(secret) < SECRET_BYTES_MIN)
      throw new UsageError(`${source}: a secret must be of ${SECRET_BYTES_MIN} bytes or more`);
    if (ofCluster.includes(secret))
      throw new UsageError(
        `${source} holds the cluster's secret, which allows everything: a user needs its own`,
      );
  }
}

/** As far as the environment says them. */
function clusterSecrets(): readonly string[] {
  const { RINGHOLD_SECRET: text = "", RINGHOLD_SECRET_FILE: file = "" } = process.env;
  return [...secretLines(text), ...(file === "" ? [] : secretLines(readFile("RINGHOLD_SECRET_FILE", file)))];
}

function rotate(name: string, flags: FileFlags): void {
  const secret = newSecret();
  change(flags, name, (entry) => {
    const { grants } = parseUsers(JSON.stringify({ users: [entry] })).get(name)!;
    const fresh = userEntry(name, [secret], grants) as Entry;
    return { ...entry, keys: [...fresh.keys, entry.keys[0]!] };
  });
  if (flags.json) printJson({ name, secret });
  else printLine(secret);
}

function change(flags: FileFlags, name: string, edit: (entry: Entry) => Entry | undefined): void {
  const file = fileIn(flags);
  const entries = entriesIn(file);
  if (!entries.some((entry) => entry.name === name)) throw new UsageError(`${file} has no user ${name}`);
  write(
    file,
    entries.flatMap((entry) => (entry.name === name ? (edit(entry) ?? []) : entry)),
  );
}

/** The file's entries as they are, once they have been checked. */
function entriesIn(file: string): readonly Entry[] {
  if (!existsSync(file)) return [];
  readUsersFile(file);
  return (JSON.parse(readFileSync(file, "utf8")) as { users: readonly Entry[] }).users;
}

/** What would not be read is not written. */
function write(file: string, users: readonly Entry[]): void {
  const text = `${JSON.stringify({ users }, undefined, 2)}\n`;
  try {
    parseUsers(text);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : "the user cannot be written");
  }
  replaceFile(file, text);
}
