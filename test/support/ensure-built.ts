// Tests of real processes run the compiled command, as users do. This builds it when it is missing or older than the sources; test
// files that run at the same time wait for one build.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { waitFor } from "../../cluster/wait.ts";

/** The project's folder. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The compiled `ringhold` command. */
export const COMMAND = join(ROOT, "dist", "src", "cli", "main.js");

/** Resolves once the compiled command is there and as new as the sources. @throws when the sources do not compile */
export async function ensureBuilt(): Promise<void> {
  const lock = join(ROOT, "node_modules", ".ringhold-build");
  await waitFor(() => tryLock(lock), { what: "another build to end", timeoutMs: 60_000 });
  try {
    if (isUpToDate()) return;
    const compiler = join(ROOT, "node_modules", ".bin", "tsc");
    await promisify(execFile)(compiler, ["-p", "tsconfig.build.json"], { cwd: ROOT }).catch(
      (error: { stdout?: string }) => {
        throw new Error(`The sources do not compile:\n${error.stdout ?? String(error)}`);
      },
    );
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function tryLock(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    // Left by a run that was ended by force: no build takes a minute.
    const isStale = existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 60_000;
    if (isStale) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

function isUpToDate(): boolean {
  if (!existsSync(COMMAND)) return false;
  const builtMs = statSync(COMMAND).mtimeMs;
  return ["src", "cluster", "bench"].every((folder) => newestMs(join(ROOT, folder)) <= builtMs);
}

function newestMs(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  return Math.max(0, ...files.map((file) => statSync(join(file.parentPath, file.name)).mtimeMs));
}
