// `npm run demo`: five real nodes, 50,000 keys, a mixed load; one node is killed with SIGKILL, another is added, and at the end every
// key is compared with what was acknowledged. Exits 0 only when no call failed and no acknowledged write is lost.

import { styleText } from "node:util";
import { isPortFree } from "./free-port.ts";
import { LoadGenerator, type LoadResult, type Verdict } from "./load.ts";
import type { LocalCluster } from "./local-cluster.ts";
import { type LocalSession, withLocalSession } from "./local-session.ts";
import { type MovedKeys, movedByJoin } from "./moved-keys.ts";
import { formatMs, loadFacts, movedFact } from "./report.ts";
import { formatCount, renderFacts } from "./text-table.ts";
import { waitFor } from "./wait.ts";

const NODES = 5;
const KEYS = 50_000;
const RATE = 2_000;
const VICTIM = "node-3";
const FIRST_PORT = 7400;
/** Short, so that the demo shows how the copies of a dead node are made anew; the default gives a node a minute to come back. */
const DEAD_GRACE = "6s";
/** Generous, so that a busy machine fails no call; how long callers really waited is in the table. */
const CALL_TIMEOUT_MS = 5_000;
/** The load runs this long before the kill: a picture of good days, to compare with. */
const CALM_MS = 2_000;

/** What the phases did to the callers. */
interface Seen {
  readonly moved: MovedKeys;
  readonly killSilenceMs: number;
  readonly moveSilenceMs: number;
}

interface DemoResult extends Seen {
  readonly load: LoadResult;
  readonly verdict: Verdict;
}

const startMs = performance.now();

async function runDemo(): Promise<boolean> {
  say(`starting ${NODES} nodes, each a process of its own`);
  const basePort = await chooseBasePort();
  const options = {
    nodes: NODES,
    basePort,
    nodeArguments: ["--dead-grace", DEAD_GRACE],
    client: { timeout: CALL_TIMEOUT_MS },
  };
  const result = await withLocalSession(options, runStory);
  const isGood = result.load.failed === 0 && result.verdict.lost === 0 && result.verdict.phantoms === 0;
  const facts = [
    ...loadFacts(result.load, result.verdict),
    ["  until the dead node was known", formatMs(result.killSilenceMs)],
    ["  while its copies were made anew", formatMs(result.moveSilenceMs)],
    movedFact(result.moved),
  ] as const;
  process.stdout.write(`\n${renderFacts(facts).join("\n")}\n\n`);
  for (const line of [...result.load.failures, ...result.verdict.examples])
    process.stdout.write(`  ${line}\n`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  process.stdout.write(
    isGood
      ? `${styleText("green", "No call failed and nothing was lost.")} (${seconds} s)\n`
      : `${styleText("red", "Something broke: see above.")} (${seconds} s)\n`,
  );
  return isGood;
}

async function runStory({ cluster, cache, readyMs }: LocalSession): Promise<DemoResult> {
  say(`${NODES} nodes up in ${(readyMs / 1000).toFixed(1)} s: ${cluster.url()}`);
  const load = new LoadGenerator(cache, { keys: KEYS, rate: RATE });
  const fillMs = await timed(() => load.fill());
  say(
    `${formatCount(KEYS)} keys of 100 bytes written, three copies each, in ${(fillMs / 1000).toFixed(1)} s`,
  );

  load.start();
  say(`load: ${formatCount(RATE)} calls a second (70 % get, 25 % set, 5 % increment and delete)`);
  try {
    const seen = await hurtAndMend(cluster, load);
    const result = await load.stop();
    say("load stopped; comparing every key with what was acknowledged");
    return { load: result, verdict: await load.verify(), ...seen };
  } finally {
    await load.stop();
  }
}

async function hurtAndMend(cluster: LocalCluster, load: LoadGenerator): Promise<Seen> {
  const calmEndMs = performance.now() + CALM_MS;
  await waitFor(() => performance.now() >= calmEndMs, { what: "a calm start" });

  load.takeSilenceMs();
  await cluster.kill(VICTIM);
  say(styleText("red", `killed ${VICTIM} with SIGKILL`));
  const deadMs = await cluster.untilDead(VICTIM);
  say(`the other nodes agree that ${VICTIM} is dead, after ${(deadMs / 1000).toFixed(1)} s`);

  const killSilenceMs = load.takeSilenceMs();

  const addMs = await timed(() => cluster.add());
  const newcomer = cluster.nodes().at(-1)!.name;
  const moved = await movedByJoin(await cluster.status(newcomer), newcomer);
  say(styleText("green", `added ${newcomer}, in the ring after ${(addMs / 1000).toFixed(1)} s`));

  const safeMs = await timed(() => cluster.untilSafe({ timeoutMs: 40_000 }));
  say(`every key has all its copies again, after another ${(safeMs / 1000).toFixed(1)} s`);
  return { moved, killSilenceMs, moveSilenceMs: load.takeSilenceMs() };
}

/** The usual ports if they are free, so that `ringhold status` finds the cluster; any others if not. */
async function chooseBasePort(): Promise<number> {
  for (let port = FIRST_PORT; port <= FIRST_PORT + NODES; port++) {
    if (await isPortFree(port)) continue;
    say(`port ${port} is in use: taking others`);
    return 0;
  }
  return FIRST_PORT;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const sinceMs = performance.now();
  await work();
  return performance.now() - sinceMs;
}

function say(text: string): void {
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1).padStart(5);
  process.stdout.write(`${styleText("dim", `${seconds} s`)}  ${text}\n`);
}

try {
  process.exitCode = (await runDemo()) ? 0 : 1;
} catch (error) {
  process.stderr.write(
    `The demo could not go on: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
}
