// One node as a process of its own, in the foreground of whoever starts it: for benches and fuzzers, which want its process id, its addresses and an end.
// A whole cluster, remembered in a directory, is `local-cluster.ts`.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LocalClusterError } from "./state-directory.ts";

/** A node that is ready. */
export interface NodeProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  /** `host:port`, for clients, nodes and HTTP. */
  readonly address: string;
  /** `host:port` for Redis clients; `undefined` where they have no door. */
  readonly redisAddress: string | undefined;
  /** Ends it with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

/**
 * Starts `ringhold node` on any free port of 127.0.0.1 and waits until it is ready. It logs errors only, to this process's standard error, unless `flags` say otherwise.
 *
 * @param flags Further flags, such as `["--memory", "64mb"]`.
 * @throws {LocalClusterError} when the command has not been built, or the node ends before it is ready
 */
export async function startNodeProcess(flags: readonly string[] = []): Promise<NodeProcess> {
  const all = ["node", "--listen", "127.0.0.1:0", "--json", "--log-level", "error", ...flags];
  const child = spawn(process.execPath, [commandFile(), ...all], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("\n")) resolve(output);
    });
    child.once("exit", (code) =>
      reject(new LocalClusterError(`The node ended with ${code} before it was ready`)),
    );
  });
  const { url, redis } = JSON.parse(line) as { url: string; redis?: string };
  return {
    child,
    pid: child.pid!, // it has spoken
    address: url.replace(/^.*\/\//, ""),
    redisAddress: redis,
    kill: () => {
      child.kill("SIGKILL");
      return gone;
    },
  };
}

/** The compiled command beside this file, or, when this file runs as TypeScript, the one in `dist`. */
export function commandFile(): string {
  const here = fileURLToPath(import.meta.url);
  const root = here.endsWith(".ts") ? join(dirname(here), "..", "dist") : join(dirname(here), "..");
  const file = join(root, "src", "cli", "main.js");
  if (!existsSync(file)) throw new LocalClusterError(`${file} is missing: run \`npm run build\` first`);
  return file;
}
