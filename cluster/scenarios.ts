// Faults done to real processes under load, and what callers noticed. Each scenario starts its own five-node cluster on free ports,
// runs rounds, and returns plain data with a list of checks: what was seen, the limit, and whether it was kept. The limits are
// the promises of the README; tests run the same functions with fewer and shorter rounds.

import { setTimeout as sleep } from "node:timers/promises";
import { CacheError } from "../src/base/errors.ts";
import { LoadGenerator, type LoadResult, type Verdict } from "./load.ts";
import type { LocalCluster } from "./local-cluster.ts";
import { withLocalSession } from "./local-session.ts";

/** How hard a scenario is. */
export interface ScenarioOptions {
  /** @default 10 */
  readonly rounds?: number;
  /** Calls a second. @default 2000 */
  readonly rate?: number;
  /** Keys under load. @default 20000 */
  readonly keys?: number;
  /** Milliseconds of load before each fault, and after it was seen by all. @default 1500 */
  readonly calmMs?: number;
  readonly onProgress?: (line: string) => void;
}

/** One promise and what came of it. */
export interface Check {
  readonly what: string;
  readonly seen: number;
  /** The most that is allowed; `undefined` when the number is only stated. */
  readonly limit: number | undefined;
  readonly isKept: boolean;
}

/** One fault and what callers noticed of it. */
export interface Round {
  readonly node: string;
  readonly load: LoadResult;
  /** The longest silence from the fault until it was known or over; the rest of the round's silence belongs to the mending. */
  readonly hurtSilenceMs: number;
  /** Milliseconds until all other nodes called the node dead; `undefined` where none was meant to die. */
  readonly deadMs: number | undefined;
}

/** What a scenario found. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly rounds: readonly Round[];
  readonly verdict: Verdict | undefined;
  readonly checks: readonly Check[];
  readonly failures: readonly string[];
}

export const NODES = 5;
/** Nobody may be evicted while its round lasts: the rounds are about failover, not about moving data. */
export const NODE_ARGUMENTS = ["--dead-grace", "10m"];
/** Generous, so that a busy machine fails no call: how long callers may wait has limits of its own. */
const CALL_TIMEOUT_MS = 5_000;
/** The promise for a crash: the kernel closes its sockets, so everybody knows at once. */
const KILL_SILENCE_MS_MAX = 250;
/** A paused process closes nothing: its silence has to be noticed first. */
const PAUSE_SILENCE_MS_MAX = 500;
const DEAD_MS_MAX = 5_000;

/** SIGKILL any one of five nodes under load, round after round, with a restart in between. */
export function killOne(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  return runRounds("SIGKILL one of five, quorum writes", options, {
    silenceMsMax: KILL_SILENCE_MS_MAX,
    hurt: killUntilDead,
    mend: restartUntilSafe,
  });
}

/** The same with `async` writes: what was lost is stated, not promised. */
export function killOneAsync(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  return runRounds("SIGKILL one of five, async writes", options, {
    silenceMsMax: KILL_SILENCE_MS_MAX,
    write: "async",
    hurt: killUntilDead,
    mend: restartUntilSafe,
  });
}

/** SIGSTOP one of five nodes for some seconds under load. */
export function pauseOne(
  options: ScenarioOptions & { readonly pauseMs?: number } = {},
): Promise<ScenarioResult> {
  return runRounds("SIGSTOP one of five, quorum writes", options, {
    silenceMsMax: PAUSE_SILENCE_MS_MAX,
    hurt: async (cluster, name) => {
      cluster.pause(name);
      await sleep(options.pauseMs ?? 5_000);
      cluster.resume(name);
      return undefined;
    },
    mend: (cluster) => cluster.untilSafe(),
  });
}

/** Restarts all five nodes, one after another, with SIGTERM, under load: the way to upgrade. */
export function rollingRestart(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  return runRounds(
    "rolling restart with SIGTERM",
    { rounds: NODES, ...options },
    {
      silenceMsMax: KILL_SILENCE_MS_MAX,
      isBackToBack: true,
      hurt: (cluster, name) => cluster.stopNode(name).then(() => undefined),
      mend: restartUntilSafe,
    },
  );
}

/** SIGKILLs all five nodes, the next as soon as `/safez` says so: memory only, and yet nothing may be gone. */
export function rollingKill(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  return runRounds(
    "rolling SIGKILL, gated on /safez",
    { rounds: NODES, ...options },
    {
      silenceMsMax: KILL_SILENCE_MS_MAX,
      isBackToBack: true,
      hurt: (cluster, name) => cluster.kill(name).then(() => undefined),
      mend: restartUntilSafe,
    },
  );
}

/** Kills all nodes: a call must end by its deadline and name the addresses tried; when one node is back, the next call works. */
export function killAll(
  options: Pick<ScenarioOptions, "onProgress"> & { readonly timeoutMs?: number } = {},
): Promise<ScenarioResult> {
  const timeoutMs = options.timeoutMs ?? 1_000;
  const session = { nodes: 3, client: { timeout: timeoutMs }, nodeArguments: NODE_ARGUMENTS };
  return withLocalSession(session, async ({ cluster, cache }) => {
    await cache.set("before", "x");
    for (const node of cluster.nodes()) await cluster.kill(node.name);
    options.onProgress?.("all nodes killed");

    const calls = { get: () => cache.get("k"), set: () => cache.set("k", "v") };
    const failures: string[] = [];
    const checks: Check[] = [];
    for (const [kind, call] of Object.entries(calls)) {
      const startMs = performance.now();
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      const tookMs = performance.now() - startMs;
      failures.push(
        `${kind}: ${error instanceof CacheError ? `${error.code} ${error.message}` : String(error)}`,
      );
      const isNamed =
        error instanceof CacheError &&
        error.code === "ERR_UNREACHABLE" &&
        cluster.nodes().every((node) => error.message.includes(node.address));
      checks.push(check(`${kind}: not ERR_UNREACHABLE with every address`, isNamed ? 0 : 1, 0));
      checks.push(check(`${kind}: ms past its deadline`, Math.max(0, tookMs - timeoutMs), 100));
    }
    await cluster.restart(cluster.nodes()[0]!.name);
    options.onProgress?.("one node is back");
    const startMs = performance.now();
    const error = await cache.set("after", "y").then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error !== undefined) failures.push(`after the return: ${String(error)}`);
    checks.push(check("first call after the return: failed", error === undefined ? 0 : 1, 0));
    checks.push(check("first call after the return: ms", performance.now() - startMs, timeoutMs));
    return { scenario: "all nodes dead, one comes back", rounds: [], verdict: undefined, checks, failures };
  });
}

interface Fault {
  readonly silenceMsMax: number;
  readonly write?: "async" | "quorum";
  /** Whether the next fault follows as soon as the last is mended, without calm in between. */
  readonly isBackToBack?: boolean;
  /** Does it to the node; resolves when that is known or over, to how long the others took to call it dead. */
  readonly hurt: (cluster: LocalCluster, name: string) => Promise<number | undefined>;
  readonly mend: (cluster: LocalCluster, name: string) => Promise<void>;
}

async function killUntilDead(cluster: LocalCluster, name: string): Promise<number> {
  await cluster.kill(name);
  return cluster.untilDead(name);
}

async function restartUntilSafe(cluster: LocalCluster, name: string): Promise<void> {
  await cluster.restart(name);
  await cluster.untilSafe();
}

async function runRounds(
  scenario: string,
  options: ScenarioOptions,
  { silenceMsMax, write, isBackToBack = false, hurt, mend }: Fault,
): Promise<ScenarioResult> {
  const { rounds: count = 10, rate = 2_000, keys = 20_000, calmMs = 1_500, onProgress } = options;
  const client = { timeout: CALL_TIMEOUT_MS, ...(write === undefined ? {} : { write }) };
  return withLocalSession(
    { nodes: NODES, nodeArguments: NODE_ARGUMENTS, client },
    async ({ cluster, cache }) => {
      const load = new LoadGenerator(cache, { keys, rate });
      await load.fill();
      load.start();
      const rounds: Round[] = [];
      try {
        await sleep(calmMs);
        for (let round = 0; round < count; round++) {
          const node = nameOfRound(cluster, round);
          load.takeSilenceMs();
          const deadMs = await hurt(cluster, node);
          if (!isBackToBack) await sleep(calmMs);
          const hurtSilenceMs = load.takeSilenceMs();
          await mend(cluster, node);
          if (!isBackToBack) await sleep(calmMs);
          rounds.push({ node, load: load.takeResult(), hurtSilenceMs, deadMs });
          onProgress?.(roundLine(scenario, rounds.length, rounds.at(-1)!));
        }
      } finally {
        await load.stop();
      }
      const rest = load.result();
      const verdict = await load.verify();
      const failures = [
        ...rounds.flatMap(({ load: { failures, staleExamples } }) => [...failures, ...staleExamples]),
        ...verdict.examples,
      ];
      const results = [...rounds.map((round) => round.load), rest];
      return {
        scenario,
        rounds,
        verdict,
        failures,
        checks: [...loadChecks(results, silenceMsMax), ...lossChecks(verdict, write), ...deadChecks(rounds)],
      };
    },
  );
}

function nameOfRound(cluster: LocalCluster, round: number): string {
  const nodes = cluster.nodes();
  return nodes[round % nodes.length]!.name;
}

function loadChecks(results: readonly LoadResult[], silenceMsMax: number): Check[] {
  const sum = (field: "failed" | "skipped" | "staleReads"): number =>
    results.reduce((total, result) => total + result[field], 0);
  return [
    check("failed calls", sum("failed"), 0),
    check("calls never made", sum("skipped"), 0),
    check("longest silence, ms", Math.max(...results.map((result) => result.silenceMaxMs)), silenceMsMax),
    check("stale reads", sum("staleReads"), undefined),
  ];
}

function lossChecks(verdict: Verdict, write: Fault["write"]): Check[] {
  // With `async`, a coordinator that dies may take what it alone had: that is stated, not promised.
  const limit = write === "async" ? undefined : 0;
  return [
    check("acknowledged writes lost", verdict.lost, limit),
    check("values never written", verdict.phantoms, 0),
  ];
}

function deadChecks(rounds: readonly Round[]): Check[] {
  const times = rounds.map((round) => round.deadMs).filter((ms) => ms !== undefined);
  return times.length === 0 ? [] : [check("dead everywhere after, ms", Math.max(...times), DEAD_MS_MAX)];
}

/** One promise beside what was seen; without a limit it is kept. */
export function check(what: string, seen: number, limit: number | undefined): Check {
  return { what, seen, limit, isKept: limit === undefined || seen <= limit };
}

function roundLine(scenario: string, number: number, round: Round): string {
  const { node, load, hurtSilenceMs, deadMs } = round;
  const dead = deadMs === undefined ? "" : `, dead everywhere after ${Math.round(deadMs)} ms`;
  return `${scenario}: round ${number}, ${node}: ${load.calls} calls, ${load.failed} failed, longest silence ${Math.round(load.silenceMaxMs)} ms (${Math.round(hurtSilenceMs)} ms before mending)${dead}`;
}
