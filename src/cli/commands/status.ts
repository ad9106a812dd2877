// `ringhold status`: the members table and one verdict line. `--watch` draws it again and again until Ctrl-C; `--json` prints the asked
// node's whole status.

import { Command } from "commander";
import { changeLine } from "../change-line.ts";
import { askAny, collectView } from "../cluster-view.ts";
import { type ConnectionOptions, httpOptions, withConnectionOptions } from "../connection.ts";
import { describeError } from "../failure.ts";
import { redraw } from "../live-view.ts";
import { type ClusterView, renderMembers, renderVerdict } from "../members-table.ts";
import { option } from "../options.ts";
import { paintFor, printJson, printLine } from "../output.ts";
import { untilInterrupted } from "../signals.ts";

interface StatusOptions extends ConnectionOptions {
  readonly watch?: boolean;
}

/** See the top of the file. */
export function statusCommand(): Command {
  return withConnectionOptions(
    new Command("status").description("the members, and whether losing one would lose anything"),
  )
    .addOption(option("--watch", "keep it up to date until Ctrl-C"))
    .action((options: StatusOptions) => (options.watch ? watch(options) : showOnce(options)));
}

async function showOnce(options: StatusOptions): Promise<void> {
  const http = httpOptions(options);
  if (options.json) {
    printJson(await askAny(options.server.seeds, http));
    return;
  }
  const view = await collectView(options.server.seeds, http);
  for (const line of renderMembers(view, paintFor(process.stdout))) printLine(line);
}

async function watch(options: StatusOptions): Promise<void> {
  const http = httpOptions(options);
  const paint = paintFor(process.stdout);
  const orReason = (look: Promise<string[]>): Promise<string[]> =>
    look.catch((error: unknown) => [error instanceof Error ? error.message : String(error)]);
  await untilInterrupted((signal) =>
    redraw({
      stream: process.stdout,
      isLive: process.stdout.isTTY && !options.json,
      signal,
      lines: () =>
        orReason(collectView(options.server.seeds, http).then((view) => renderMembers(view, paint))),
      plain: async () => {
        if (options.json) return jsonLine(options.server.seeds, http);
        return (
          await orReason(collectView(options.server.seeds, http).then((view) => [plainLine(view)]))
        ).join("");
      },
    }),
  );
}

/** The verdict, and the change of the ring before it if there is one. */
function plainLine(view: ClusterView): string {
  const change = changeLine(view);
  return change === undefined ? renderVerdict(view) : `${change}; ${renderVerdict(view)}`;
}

/** The status, or why there is none: both are JSON. */
async function jsonLine(...asked: Parameters<typeof askAny>): Promise<string> {
  return JSON.stringify(await askAny(...asked).catch((error: unknown) => ({ error: describeError(error) })));
}
