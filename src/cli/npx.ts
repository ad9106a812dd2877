// What `npx ringhold` cannot do: hand on the signal that ends it. npx runs commands in a shell, and a signal to npx ends that shell and nothing
// else; a node started so would keep its port after whoever started it had stopped it. Nodes of a detached cluster are not told of npx
// (`nodeEnvironment` in cluster/local-cluster.ts).

/** How often it is looked: the most that this process outlives its shell. */
const LOOK_MS = 250;

/** Calls `onEnd` once when npx has started this process and its shell has ended. Does not keep the process alive. */
export function whenNpxEnds(onEnd: () => void, environment: NodeJS.ProcessEnv = process.env): void {
  const { npm_lifecycle_event: event, npm_lifecycle_script: script } = environment;
  // Every process below npx has the first; only what it runs itself is named by the second.
  if (event !== "npx" || script?.replaceAll("'", "") !== "ringhold") return;
  const shell = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(timer);
    onEnd();
  }, LOOK_MS);
  timer.unref();
}
