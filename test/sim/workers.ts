// Spreads jobs over processes: each worker runs the same program with `--worker` and takes one job after another.

import { fork } from "node:child_process";
import type { Job, JobResult } from "./campaign.ts";

/** Jobs handed to a worker ahead of its answers, so that it never waits. */
const AHEAD = 2;

/** Runs jobs on `count` child processes; results come in the order in which they are done. `onResult` says whether to go on. */
export async function runOnWorkers(
  jobs: Iterator<Job>,
  count: number,
  onResult: (result: JobResult) => boolean,
): Promise<void> {
  const workers = Array.from({ length: count }, () => runWorker(jobs, onResult));
  await Promise.all(workers);
}

async function runWorker(jobs: Iterator<Job>, onResult: (result: JobResult) => boolean): Promise<void> {
  const child = fork(process.argv[1]!, [...process.argv.slice(2), "--worker"]);
  let open = 0;
  await new Promise<void>((resolve, reject) => {
    const hand = () => {
      const next = jobs.next();
      if (next.done !== true) {
        open++;
        child.send(next.value);
      } else if (open === 0 && child.connected) {
        child.disconnect();
      }
    };
    child.on("message", (message) => {
      open--;
      if (onResult(message as JobResult)) hand();
      else if (child.connected) child.disconnect();
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (open === 0 || code === 0) resolve();
      else reject(new Error(`A worker ended with ${code} with ${open} seeds under way`));
    });
    for (let index = 0; index < AHEAD; index++) hand();
  });
}

/** The worker's side: answers each job that the parent sends, until it hangs up. */
export function serveJobs(run: (job: Job) => JobResult): void {
  process.on("message", (job) => {
    process.send?.(run(job as Job));
  });
  // The parent may hang up in the middle of a job.
  process.on("error", () => process.exit(0));
  process.on("disconnect", () => process.exit(0));
}
