// `ringhold ring`: who is in the ring with how much of it. `--simulate add N` or `--simulate remove NAME` works out what such a change
// would move and how long it would take, and changes nothing.

import { Command } from "commander";
import { collectView } from "../cluster-view.ts";
import { type ConnectionOptions, httpOptions, withConnectionOptions } from "../connection.ts";
import type { ClusterView } from "../members-table.ts";
import { option } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { type RingRow, renderPlan, renderRing } from "../ring-text.ts";
import { parseSimulated, ringMembersOf, simulate } from "../simulate.ts";

interface RingOptions extends ConnectionOptions {
  readonly simulate?: readonly string[];
}

/** See the top of the file. */
export function ringCommand(): Command {
  return withConnectionOptions(
    new Command("ring").description("the ring's members and shares, and what a change of it would move"),
  )
    .addOption(
      option("--simulate <change...>", "what would `add COUNT` or `remove NAME` move, and for how long"),
    )
    .action(showRing);
}

async function showRing(options: RingOptions): Promise<void> {
  const change = options.simulate === undefined ? undefined : parseSimulated(words(options.simulate));
  const view = await collectView(options.server.seeds, httpOptions(options));
  if (change !== undefined) {
    const plan = await simulate(view, change);
    if (options.json) printJson(plan);
    else for (const line of renderPlan(plan)) printLine(line);
    return;
  }
  const ring = presentRing(view);
  if (options.json) printJson(ring);
  else for (const line of renderRing(ring)) printLine(line);
}

/** From the environment it is one text. */
function words(simulated: readonly string[] | string): readonly string[] {
  return typeof simulated === "string" ? [simulated] : simulated;
}

function presentRing(view: ClusterView): { ringId: string; replicas: number; members: readonly RingRow[] } {
  const { ringId, replicas } = view.asked;
  const members = ringMembersOf(view).map((member) => {
    const { id, zone, weight, slotsOwned, slotsReplicated, share, shareIdeal } = member;
    const own = view.answers.get(id)?.store;
    return {
      ...{ id, zone, weight, slotsOwned, slotsReplicated, share, shareIdeal },
      ...{ entries: own?.entries, bytes: own?.bytes },
    };
  });
  return { ringId, replicas, members };
}
