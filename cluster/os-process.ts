// What the operating system knows of a process. A process id alone names nobody: ids are used again after a reboot or a long
// day. So a process is remembered by id and start time, and is signalled only while both still agree.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** One process, unmistakably. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal means the same process. "" where the system does not tell. */
  readonly startTime: string;
}

/** What {@link processState} sees. A zombie counts as gone: it only waits for its parent to notice. */
export type ProcessState = "running" | "paused" | "gone";

/** The identity of a process that runs now, or `undefined`. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const facts = readFacts(pid);
  return facts === undefined || facts.state === "gone" ? undefined : { pid, startTime: facts.startTime };
}

/** Whether this very process still runs. */
export function processState(identity: ProcessIdentity): ProcessState {
  const facts = readFacts(identity.pid);
  if (facts === undefined) return "gone";
  if (identity.startTime !== "" && facts.startTime !== identity.startTime) return "gone";
  return facts.state;
}

/** Signals this very process. Returns whether it was there to be signalled. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (processState(identity) === "gone") return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    // It ended between the look and the signal.
    return false;
  }
}

/** Resident memory of a process in bytes; 0 when it is gone, and where there is no /proc. */
export function residentBytesOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

interface Facts {
  readonly startTime: string;
  readonly state: ProcessState;
}

function readFacts(pid: number): Facts | undefined {
  return process.platform === "linux" ? readLinuxFacts(pid) : readPsFacts(pid);
}

/** /proc/PID/stat: the name may hold anything, so fields are counted from the last parenthesis (proc(5)). */
function readLinuxFacts(pid: number): Facts | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // The main thread can be a zombie while others still end; until the last has, the process keeps its sockets.
    const isEnding = fields[0] === "Z" && Number(fields[17]) > 1;
    return { startTime: fields[19] ?? "", state: isEnding ? "running" : stateOfLetter(fields[0] ?? "") };
  } catch {
    return undefined;
  }
}

function readPsFacts(pid: number): Facts | undefined {
  try {
    const question = ["-o", "state=,lstart=", "-p", String(pid)];
    const line = execFileSync("ps", question, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
    const [letters = "", ...start] = line.split(/\s+/);
    return line === "" ? undefined : { startTime: start.join(" "), state: stateOfLetter(letters[0] ?? "") };
  } catch {
    return undefined;
  }
}

function stateOfLetter(letter: string): ProcessState {
  if (letter === "Z" || letter === "X") return "gone";
  return letter === "T" ? "paused" : "running";
}
