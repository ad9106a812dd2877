// Which cores a process may use, so that callers who attack or overload nodes do not take the processor from them, as those of another
// machine would not.

import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

/**
 * Keeps this process, and what it starts from now on, to one half of the machine's cores. `false` where that cannot be done: a single
 * core, no `taskset`.
 */
export function keepTo(half: "first" | "second"): boolean {
  const count = cpus().length;
  if (count < 2) return false;
  const middle = Math.floor(count / 2);
  const list = half === "first" ? `0-${middle - 1}` : `${middle}-${count - 1}`;
  try {
    execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", list, `${process.pid}`], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}
