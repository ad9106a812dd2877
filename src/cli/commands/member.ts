// `ringhold member set NAME`: another weight or zone for a node that runs. The node is told, its record spreads, and the ring changes as it
// does for joins and leaves: once everybody has copied what it gains. `--dry-run` says what that would move.

import { Command } from "commander";
import { sendCommand } from "../../../cluster/node-command.ts";
import { isZone } from "../../base/ids.ts";
import { isInRing } from "../../core/messages.ts";
import { collectView } from "../cluster-view.ts";
import { type ConnectionOptions, commandOptions, httpOptions, withConnectionOptions } from "../connection.ts";
import { UsageError } from "../failure.ts";
import { namedCommand } from "../named-command.ts";
import { integer, option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { renderPlan } from "../ring-text.ts";
import { simulate } from "../simulate.ts";

interface SetOptions extends ConnectionOptions {
  readonly weight?: number;
  readonly zone?: string;
  readonly dryRun?: boolean;
}

/** See the top of the file. */
export function memberCommand(): Command {
  const set = namedCommand("set <name>", "give a running node another weight or zone")
    .addOption(
      option("--weight <number>", "share of the ring against other nodes, 1 to 64", {
        parse: integer(1, 64),
      }),
    )
    .addOption(option("--zone <name>", "failure domain, such as the machine's name"))
    .addOption(option("--dry-run", "only say what would move, and for how long"));
  return new Command("member")
    .description("change a member of a running cluster")
    .addCommand(withConnectionOptions(set).action(setPlace));
}

async function setPlace(name: string, options: SetOptions): Promise<void> {
  const { weight, zone } = options;
  if (weight === undefined && zone === undefined) throw new UsageError("say what: --weight, --zone or both");
  if (zone !== undefined && !isZone(zone))
    throw new UsageError(`--zone takes at most 64 characters of A-Z a-z 0-9 . _ -, received ${zone}`);
  const view = await collectView(options.server.seeds, httpOptions(options));
  if (options.dryRun) {
    const plan = await simulate(view, { verb: "set", name, zone, weight });
    if (options.json) printJson(plan);
    else for (const line of renderPlan(plan)) printLine(line);
    return;
  }
  const member = view.asked.members.find(({ id, ringState }) => id === name && isInRing(ringState));
  if (member === undefined) {
    const names = view.asked.members.map(({ id }) => id).join(", ");
    throw new UsageError(`${name} is not in the ring: the members are ${names}`);
  }
  await sendCommand(member.address, { command: "place", zone, weight, ...commandOptions(options) });
  const place = { weight: weight ?? member.weight, zone: zone ?? member.zone };
  if (options.json) printJson({ asked: name, ...place });
  else
    printLine(
      `${name} asks for weight ${place.weight}${place.zone && ` in zone ${place.zone}`}: it has it when all have copied what they gain (ringhold status --watch)`,
    );
}
