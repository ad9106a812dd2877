// A process that runs only some of the time, in turns of SIGSTOP and SIGCONT: a starved machine, or a garbage collector at its worst.

import type { LocalCluster } from "./local-cluster.ts";

/** Milliseconds of each turn. */
export interface DutyCycle {
  readonly stopMs: number;
  readonly goMs: number;
}

/**
 * Stops the node, lets it go on, and so forth.
 *
 * @returns what ends it; the node then runs
 */
export function startDutyCycle(
  cluster: Pick<LocalCluster, "pause" | "resume">,
  name: string,
  { stopMs, goMs }: DutyCycle,
): () => void {
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const turn = (): void => {
    isStopped = !isStopped;
    if (isStopped) cluster.pause(name);
    else cluster.resume(name);
    timer = setTimeout(turn, isStopped ? stopMs : goMs);
  };
  turn();
  return () => {
    clearTimeout(timer);
    if (isStopped) cluster.resume(name);
  };
}
