// CPU time of processes: what an operation costs, which a noisy machine changes far less than how long it takes.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

let ticksPerSecond: number | undefined;

/**
 * User and system time of all the processes together, in microseconds; those that are gone count nothing. The system counts in
 * steps of 10 ms, so measure for a second at least. 0 where there is no /proc.
 */
export function cpuMicrosOf(pids: readonly number[]): number {
  ticksPerSecond ??= readTicksPerSecond();
  let ticks = 0;
  for (const pid of pids) ticks += ticksOf(pid);
  return (ticks * 1_000_000) / ticksPerSecond;
}

/** User and system time of this process, in microseconds. */
export function ownCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** proc(5): the name may hold anything, so fields are counted from the last parenthesis. */
function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}

function readTicksPerSecond(): number {
  try {
    return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" })) || 100;
  } catch {
    return 100;
  }
}
