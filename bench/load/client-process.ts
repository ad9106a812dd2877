// One client process: connects to a target, fills it or measures one work on it, prints the result as a line of JSON. Every measurement runs in a
// process of its own, so that no client is slowed down by what another one left in the heap or taught the compiler.
//
// Run by `runApart` with the task as its only argument. It ends when whoever started it is gone, however that went.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { openTarget } from "./clients.ts";
import type { TargetSpec } from "./target.ts";
import { fill, type Measurement, measure, type Work } from "./work.ts";

/** What the process is to do; `fill` instead of measuring. */
export interface ClientTask {
  readonly target: TargetSpec;
  readonly work: Work;
  readonly isFill?: boolean;
}

/** A measurement that hangs is given up after its own time and this. */
const PATIENCE_MS = 60_000;

/** Runs the task in a process of its own. @throws {Error} with what it printed, when it fails */
export function runApart(task: ClientTask): Promise<Measurement> {
  const file = fileURLToPath(import.meta.url);
  const child = fork(file, [JSON.stringify(task)], {
    stdio: ["ignore", "inherit", "pipe", "ipc"],
    execArgv: file.endsWith(".ts") ? ["--import", "tsx"] : [],
  });
  let errors = "";
  child.stderr?.on("data", (chunk) => {
    errors = (errors + String(chunk)).slice(-4_000);
  });
  const timer = setTimeout(
    () => child.kill("SIGKILL"),
    task.work.warmupMs + task.work.measureMs + PATIENCE_MS,
  );
  return new Promise((resolve, reject) => {
    let result: Measurement | undefined;
    child.on("message", (message) => {
      result = message as Measurement;
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (result !== undefined) resolve(result);
      else reject(new Error(`The client process ended with ${code}: ${errors.trim() || "no words"}`));
    });
  });
}

async function run({ target: spec, work, isFill }: ClientTask): Promise<void> {
  const target = await openTarget(spec);
  if (spec.client === "null" || isFill === true) await fill(target, work);
  const result = isFill === true ? {} : await measure(target, work, spec.pids);
  await target.close();
  process.send?.(result, () => process.disconnect());
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2]?.startsWith("{") === true) {
  // Its parent, which has the result by then, or is gone: a client that dials servers which do not answer would never end by itself.
  process.once("disconnect", () => process.exit());
  // While this one was loading.
  if (!process.connected) process.exit();
  await run(JSON.parse(process.argv[2]) as ClientTask);
}
