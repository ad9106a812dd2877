// A tour of faults: five real nodes, each on a host of its own where that can be made (namespaces.ts), a load and a register storm
// from this process, and one fault after the other, drawn from a seed. After each the cluster must come to rest, every key that was
// ever written is compared with the ledger, and the storm's history is judged.
//
// The schedule is repeatable: kinds, nodes and durations follow from the seed alone. What the machine does meanwhile is not.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Prng } from "../src/base/prng.ts";
import { connect } from "../src/index.ts";
import { type DutyCycle, startDutyCycle } from "./duty-cycle.ts";
import { type CallEnd, LoadGenerator } from "./load.ts";
import type { LocalCluster, LocalClusterOptions } from "./local-cluster.ts";
import { type LocalSession, withLocalSession } from "./local-session.ts";
import { HostNetwork, type HostNumber, OBSERVER } from "./namespaces.ts";
import { RegisterStorm } from "./register-storm.ts";
import type { NodePlace } from "./state-directory.ts";

/** How long and how hard. */
export interface TourOptions {
  /** No fault begins after so many minutes. @default 2 */
  readonly minutes?: number;
  /** @default 1 */
  readonly seed?: number;
  /** Calls a second. @default 1000 */
  readonly rate?: number;
  /** Keys under load. @default 5000 */
  readonly keys?: number;
  /** Only these kinds; all that can be done here otherwise. */
  readonly only?: readonly string[];
  /** Plain processes on the loopback interface, even where hosts can be made. @default false */
  readonly isPlain?: boolean;
  readonly onProgress?: (line: string) => void;
}

/** One fault and what came of it. Times in milliseconds. */
export interface TourRow {
  readonly fault: string;
  /** The numbers of the nodes it was done to. */
  readonly nodes: readonly number[];
  /** Of the load: one writer for each key. */
  readonly calls: number;
  readonly failed: number;
  /** Of the storm: ten callers on six keys. A write that loses its race while a replica is gone may end as unknown. */
  readonly stormCalls: number;
  readonly stormFailed: number;
  /** Failed calls are part of the fault: keys without a majority, or a client that is cut off. */
  readonly mayFail: boolean;
  /** Acknowledged writes that are gone, and values that nobody wrote. */
  readonly lost: number;
  /** Keys of the storm that no order of the calls explains; and those whose search was given up. */
  readonly notLinearizable: number;
  readonly undecided: number;
  /** Healthy nodes that some node called dead while the fault lasted; `undefined` where the fault makes that right. */
  readonly saidDead: number | undefined;
  readonly silenceMs: number;
  /** Of the load's calls that fell due while the fault lasted. */
  readonly p99Ms: number;
  /** From the end of the fault until no call failed or took long any more, from when it was made. */
  readonly normalMs: number;
  /** The same from when calls were due: the callers have worked off what had queued up behind the calls that waited. */
  readonly workedOffMs: number;
  /** From the end of the fault until every slot had all its copies and every node said so; `undefined` when it did not within a minute. */
  readonly safeMs: number | undefined;
  /** How late this process itself was at worst: silence and times include that. */
  readonly ownDelayMs: number;
  readonly findings: readonly string[];
}

export interface TourResult {
  readonly seed: number;
  /** Why there were no hosts; `undefined` where there were. */
  readonly obstacle: string | undefined;
  /** Kinds that could not be done here, with the reason. */
  readonly missing: readonly string[];
  readonly rows: readonly TourRow[];
}

const NODES = 5;
const CALM_MS = 1_500;
const CALL_TIMEOUT_MS = 5_000;
const SAFE_TIMEOUT_MS = 60_000;
/** Goal C1 of test/README.md. */
const STORM_FAILED_SHARE_MAX = 0.01;
/** How often nodes are asked whom they take for dead. */
const LOOK_MS = 500;
/** A call that takes longer than this is not normal yet. */
const LONG_CALL_MS = 100;
const SECRET = "a secret of the fault tour";
/** The node whose wall clock can be set; the library that does it costs time at every look at a clock. */
const FAKED_NODE = NODES;
const FAKETIME = [
  "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
  "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

interface Tools {
  readonly cluster: LocalCluster;
  readonly network: HostNetwork | undefined;
  /** Sets how far off the faked node's wall clock is, in seconds; `undefined` where it cannot be. */
  readonly setClock: ((seconds: number) => void) | undefined;
  /** What ends a fault that is done again and again; set by its beginning. */
  stop?: (() => void) | undefined;
}

interface Kind {
  readonly name: string;
  /** In words, for the table. */
  readonly title: string;
  readonly needs: "nothing" | "prlimit" | "hosts" | "clock" | "hosts and clock";
  readonly mayFail?: boolean;
  /** Milliseconds from the beginning of the fault to its end, at least and at most. */
  readonly lasts: readonly [number, number];
  /** How many nodes it is done to. */
  readonly nodes: number;
  /** Everybody stays alive, however badly: nobody may be called dead. */
  readonly isHealthy?: boolean;
  begin(tools: Tools, nodes: readonly number[]): Promise<void>;
  end(tools: Tools, nodes: readonly number[]): Promise<void>;
}

const nameOf = (node: number): string => `node-${node}`;
const others = (nodes: readonly number[]): number[] =>
  Array.from({ length: NODES }, (_, index) => index + 1).filter((node) => !nodes.includes(node));

/** A healthy node that runs only some of the time. */
function interrupted(name: string, title: string, cycle: DutyCycle): Kind {
  return {
    ...{ name, title },
    needs: "nothing",
    isHealthy: true,
    lasts: [30_000, 30_001],
    nodes: 1,
    begin: async (tools, [node]) => {
      tools.stop = startDutyCycle(tools.cluster, nameOf(node!), cycle);
    },
    end: async ({ stop }) => stop?.(),
  };
}

const KINDS: readonly Kind[] = [
  {
    name: "kill",
    title: "SIGKILL",
    needs: "nothing",
    lasts: [2_000, 4_000],
    nodes: 1,
    begin: ({ cluster }, [node]) => cluster.kill(nameOf(node!)),
    end: ({ cluster }, [node]) => cluster.restart(nameOf(node!)),
  },
  {
    name: "power-off",
    title: "power off",
    needs: "hosts",
    lasts: [3_000, 5_000],
    nodes: 1,
    begin: async ({ cluster, network }, [node]) => {
      await network!.plug(node!, false);
      await cluster.kill(nameOf(node!));
    },
    end: async ({ cluster, network }, [node]) => {
      await network!.plug(node!, true);
      await cluster.restart(nameOf(node!));
    },
  },
  {
    name: "pause",
    title: "SIGSTOP",
    needs: "nothing",
    lasts: [3_000, 6_000],
    nodes: 1,
    begin: async ({ cluster }, [node]) => cluster.pause(nameOf(node!)),
    end: async ({ cluster }, [node]) => cluster.resume(nameOf(node!)),
  },
  {
    name: "isolate",
    title: "cut off, both ways",
    needs: "hosts",
    lasts: [2_000, 8_000],
    nodes: 1,
    begin: ({ network }, nodes) => network!.cut(nodes, [...others(nodes), OBSERVER], { isOneWay: false }),
    end: ({ network }, nodes) => network!.heal(nodes, [...others(nodes), OBSERVER]),
  },
  {
    name: "mute",
    title: "mute to the other nodes",
    needs: "hosts",
    lasts: [2_000, 6_000],
    nodes: 1,
    begin: ({ network }, nodes) => network!.cut(nodes, others(nodes), { isOneWay: true }),
    end: ({ network }, nodes) => network!.heal(nodes, others(nodes)),
  },
  {
    name: "deaf",
    title: "deaf to the other nodes",
    needs: "hosts",
    lasts: [2_000, 6_000],
    nodes: 1,
    begin: ({ network }, nodes) => network!.cut(others(nodes), nodes, { isOneWay: true }),
    end: ({ network }, nodes) => network!.heal(nodes, others(nodes)),
  },
  {
    name: "split",
    title: "2 | 3, client with the 3",
    needs: "hosts",
    // Keys with two copies on the other side have no majority on this one.
    mayFail: true,
    lasts: [3_000, 8_000],
    nodes: 2,
    begin: ({ network }, nodes) => network!.cut(nodes, [...others(nodes), OBSERVER], { isOneWay: false }),
    end: ({ network }, nodes) => network!.heal(nodes, [...others(nodes), OBSERVER]),
  },
  {
    name: "reset",
    title: "links of one node reset",
    needs: "hosts",
    lasts: [1_000, 3_000],
    nodes: 1,
    begin: ({ network }, [node]) => network!.reset(node!),
    end: ({ network }, [node]) => network!.reset(node!),
  },
  {
    name: "slow-link",
    title: "256 kbit/s from one node",
    needs: "hosts",
    lasts: [3_000, 6_000],
    nodes: 1,
    begin: ({ network }, [node]) => network!.limit(node!, 256),
    end: ({ network }, [node]) => network!.limit(node!, undefined),
  },
  {
    name: "large-lost",
    title: "large frames of one node vanish",
    needs: "hosts",
    isHealthy: true,
    lasts: [4_000, 6_000],
    nodes: 1,
    begin: ({ network }, [node]) => network!.narrow(node!, true),
    end: ({ network }, [node]) => network!.narrow(node!, false),
  },
  interrupted("starved", "a fifth of a core for one node", { stopMs: 80, goMs: 20 }),
  interrupted("pauses", "one node stands still 1 s in 10", { stopMs: 1_000, goMs: 9_000 }),
  {
    name: "client-resets",
    title: "links of the clients reset each second",
    needs: "hosts",
    isHealthy: true,
    lasts: [10_000, 10_001],
    nodes: 0,
    begin: async (tools) => {
      await tools.network!.resetObserver();
      // One that fails is one reset less; the first has shown that it can be done.
      const timer = setInterval(() => tools.network!.resetObserver().catch(() => {}), 1_000);
      tools.stop = () => clearInterval(timer);
    },
    end: async ({ stop }) => stop?.(),
  },
  {
    name: "memory",
    title: "no more memory for one node",
    needs: "prlimit",
    lasts: [4_000, 6_000],
    nodes: 1,
    begin: async ({ cluster }, [node]) => limitMemory(processOf(cluster, nameOf(node!)), true),
    end: async ({ cluster }, [node]) => {
      const pid = processOf(cluster, nameOf(node!));
      if (pid === undefined) await cluster.restart(nameOf(node!));
      else limitMemory(pid, false);
    },
  },
  {
    name: "clock-ahead",
    title: "clock an hour ahead",
    needs: "clock",
    lasts: [3_000, 6_000],
    nodes: 0,
    begin: async ({ setClock }) => setClock!(3_600),
    end: async ({ setClock }) => setClock!(0),
  },
  {
    name: "clock-behind",
    title: "clock five minutes behind",
    needs: "clock",
    lasts: [3_000, 6_000],
    nodes: 0,
    begin: async ({ setClock }) => setClock!(-300),
    end: async ({ setClock }) => setClock!(0),
  },
  {
    name: "pause-and-isolate",
    title: "SIGSTOP one, cut off another",
    needs: "hosts",
    mayFail: true,
    lasts: [3_000, 6_000],
    nodes: 2,
    begin: async ({ cluster, network }, [first, second]) => {
      cluster.pause(nameOf(first!));
      await network!.cut([second!], [...others([second!]), OBSERVER], { isOneWay: false });
    },
    end: async ({ cluster, network }, [first, second]) => {
      cluster.resume(nameOf(first!));
      await network!.heal([second!], [...others([second!]), OBSERVER]);
    },
  },
  {
    name: "kill-and-skew",
    title: "SIGKILL one, clock of another ahead",
    needs: "hosts and clock",
    mayFail: true,
    lasts: [3_000, 5_000],
    nodes: 1,
    begin: async ({ cluster, setClock }, [node]) => {
      setClock!(3_600);
      await cluster.kill(nameOf(node!));
    },
    end: async ({ cluster, setClock }, [node]) => {
      setClock!(0);
      await cluster.restart(nameOf(node!));
    },
  },
];

function processOf(cluster: LocalCluster, name: string): number | undefined {
  return cluster.nodes().find((node) => node.name === name)?.pid;
}

/** From now on every request of the process for more memory is refused: what it has it may go on using. */
function limitMemory(pid: number | undefined, isLimited: boolean): void {
  if (pid === undefined) return;
  execFileSync("prlimit", ["--pid", `${pid}`, `--as=${isLimited ? "4096" : "unlimited"}:`], {
    stdio: "pipe",
  });
}

function hasPrlimit(): boolean {
  try {
    execFileSync("prlimit", ["--version"], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

/** The names of all kinds of faults. */
export const TOUR_KINDS: readonly string[] = KINDS.map(({ name }) => name);

/** Runs a tour. Heals and removes everything, whatever happens. */
export async function runTour(options: TourOptions = {}): Promise<TourResult> {
  const { seed = 1, isPlain = false, onProgress = () => {} } = options;
  const obstacle = isPlain ? "plain processes were asked for" : HostNetwork.obstacle();
  const network = obstacle === undefined ? HostNetwork.create(NODES) : undefined;
  const root = mkdtempSync(join(tmpdir(), "ringhold-tour-"));
  try {
    if (obstacle !== undefined) onProgress(`no hosts of their own: ${obstacle}`);
    const clock = fakedClock(root);
    const secretFile = join(root, "secret");
    writeFileSync(secretFile, SECRET, { mode: 0o600 });
    const places = placesOf(network, clock?.environment ?? {});
    // Nobody is to be evicted: the tour is about failing over and coming back.
    const session: LocalClusterOptions = {
      places,
      secretFile,
      nodeArguments: ["--dead-grace", "10m"],
      ...(network === undefined ? { basePort: 0, nodes: NODES } : { basePort: 7400 }),
    };
    const usable = KINDS.filter((kind) => canDo(kind, network !== undefined, clock !== undefined));
    const missing = KINDS.filter((kind) => !usable.includes(kind)).map(({ name }) => name);
    const wanted = usable.filter(({ name }) => options.only?.includes(name) ?? true);
    if (wanted.length === 0) return { seed, obstacle, missing, rows: [] };
    const client = { timeout: CALL_TIMEOUT_MS, secret: SECRET };
    const rows = await withLocalSession({ ...session, client }, (parts) =>
      tour(parts, { network, setClock: clock?.set }, wanted, options),
    );
    return { seed, obstacle, missing, rows };
  } finally {
    network?.remove();
    rmSync(root, { recursive: true, force: true });
  }
}

async function tour(
  { cluster, cache }: LocalSession,
  parts: Pick<Tools, "network" | "setClock">,
  kinds: readonly Kind[],
  options: TourOptions,
): Promise<TourRow[]> {
  const { seed = 1, minutes = 2, rate = 1_000, keys = 5_000, onProgress = () => {} } = options;
  const prng = new Prng(seed).fork("tour");
  const ends: CallEnd[] = [];
  const load = new LoadGenerator(cache, { keys, rate, seed, callers: 20, onCall: (end) => ends.push(end) });
  await load.fill();
  const untilMs = performance.now() + minutes * 60_000;
  const rows: TourRow[] = [];
  await using strict = await connect(cluster.url(), {
    timeout: CALL_TIMEOUT_MS,
    secret: SECRET,
    read: "quorum",
  });
  let order: Kind[] = [];
  for (let round = 0; performance.now() < untilMs; round++) {
    if (order.length === 0) order = shuffled(kinds, prng);
    const kind = order.shift()!;
    const nodes = shuffled(others(kind.needs.endsWith("clock") ? [FAKED_NODE] : []), prng).slice(
      0,
      kind.nodes,
    );
    const [leastMs, mostMs] = kind.lasts;
    const lastsMs = leastMs + prng.below(mostMs - leastMs);
    ends.length = 0;
    const storm = new RegisterStorm(strict, { seed: seed * 10_000 + round });
    rows.push(await oneFault({ cluster, ...parts }, { kind, nodes, lastsMs }, { load, storm, ends }));
    onProgress(`${rows.length}. ${tourLine(rows.at(-1)!)}`);
  }
  return rows;
}

async function oneFault(
  tools: Tools,
  { kind, nodes, lastsMs }: { kind: Kind; nodes: readonly number[]; lastsMs: number },
  { load, storm, ends }: { load: LoadGenerator; storm: RegisterStorm; ends: CallEnd[] },
): Promise<TourRow> {
  load.takeResult();
  load.start();
  storm.start();
  await sleep(CALM_MS);
  load.takeSilenceMs();
  const beginMs = performance.now();
  let endMs = 0;
  let saidDead: number | undefined;
  try {
    await kind.begin(tools, nodes);
    if (kind.isHealthy === true) saidDead = await deadSaidDuring(tools.cluster, lastsMs);
    else await sleep(lastsMs);
  } finally {
    await kind.end(tools, nodes);
    endMs = performance.now();
  }
  const safeMs = await tools.cluster.untilSafe({ timeoutMs: SAFE_TIMEOUT_MS }).then(
    () => performance.now() - endMs,
    () => undefined,
  );
  await sleep(CALM_MS);
  const silenceMs = load.takeSilenceMs();
  const result = await load.stop();
  const [verdict, history] = [await load.verify(), await storm.stop()];
  const lastMs = (isLong: (end: CallEnd) => boolean) =>
    ends
      .filter((end) => end.outcome === "failed" || isLong(end))
      .reduce((last, end) => Math.max(last, end.dueMs + end.tookMs), endMs);
  return {
    fault: kind.title,
    nodes: kind.needs.endsWith("clock") ? [...nodes, FAKED_NODE] : nodes,
    calls: result.calls,
    failed: result.failed,
    stormCalls: history.calls,
    stormFailed: history.failed + history.unknown,
    mayFail: kind.mayFail ?? false,
    lost: verdict.lost + verdict.phantoms,
    notLinearizable: history.violatedKeys.length,
    undecided: history.undecidedKeys.length,
    saidDead,
    silenceMs,
    p99Ms: p99Of(ends.filter(({ dueMs }) => dueMs >= beginMs && dueMs < endMs)),
    normalMs: lastMs(({ tookMs, queuedMs }) => tookMs - queuedMs > LONG_CALL_MS) - endMs,
    workedOffMs: lastMs(({ tookMs }) => tookMs > LONG_CALL_MS) - endMs,
    safeMs,
    ownDelayMs: result.ownDelayMaxMs,
    findings: [
      ...verdict.examples,
      ...history.violatedKeys,
      ...(kind.mayFail ? [] : [...result.failures, ...history.failures]),
    ].slice(0, 5),
  };
}

/** The most members that any node called dead at once, looked at now and then for so long. */
async function deadSaidDuring(cluster: LocalCluster, ms: number): Promise<number> {
  const untilMs = performance.now() + ms;
  let most = 0;
  while (performance.now() < untilMs) {
    for (const { members } of (await cluster.statuses()).values())
      most = Math.max(most, members.filter(({ liveness }) => liveness === "dead").length);
    await sleep(Math.max(0, Math.min(LOOK_MS, untilMs - performance.now())));
  }
  return most;
}

function p99Of(ends: readonly CallEnd[]): number {
  const times = ends.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] ?? 0;
}

/**
 * Whether what must hold whatever fails did: nothing lost, every history explained, no call failed that need not, and of the storm's
 * no more than one in a hundred.
 */
export function isTourRowKept(row: TourRow): boolean {
  const { lost, notLinearizable, failed, mayFail, safeMs, stormCalls, stormFailed } = row;
  const isServed = mayFail || (failed === 0 && stormFailed <= STORM_FAILED_SHARE_MAX * stormCalls);
  if ((row.saidDead ?? 0) > 0) return false;
  return lost === 0 && notLinearizable === 0 && safeMs !== undefined && isServed;
}

function tourLine(row: TourRow): string {
  const { fault, nodes, calls, failed, lost, notLinearizable, silenceMs, safeMs, ownDelayMs } = row;
  const normal = `normal after ${Math.round(row.normalMs)} ms (queues worked off after ${Math.round(row.workedOffMs)} ms)`;
  const storm = `${row.stormFailed} of ${row.stormCalls} of the storm`;
  const safe = safeMs === undefined ? "NOT safe after a minute" : `safe after ${Math.round(safeMs)} ms`;
  return `${fault} (${nodes.join(", ")}): ${calls} calls, ${failed} failed, ${storm}, ${lost} lost, ${notLinearizable} keys not linearizable, longest silence ${Math.round(silenceMs)} ms, p99 ${Math.round(row.p99Ms)} ms, ${normal}, ${safe}, own delay ${Math.round(ownDelayMs)} ms${row.saidDead === undefined ? "" : `, ${row.saidDead} said dead`}`;
}

function canDo({ needs }: Kind, hasHosts: boolean, hasClock: boolean): boolean {
  if (needs === "prlimit") return hasPrlimit();
  return (!needs.includes("hosts") || hasHosts) && (!needs.includes("clock") || hasClock);
}

/** `undefined` places: plain processes, none of which has a place. */
function placesOf(network: HostNetwork | undefined, clock: Readonly<Record<string, string>>): NodePlace[] {
  return Array.from({ length: NODES }, (_, index) => {
    const host: HostNumber = index + 1;
    const environment = host === FAKED_NODE ? clock : {};
    if (network === undefined) return { host: "127.0.0.1", environment };
    return { host: network.address(host), launcher: network.launcher(host), environment };
  });
}

/** A wall clock that a file sets, for one process; `undefined` where libfaketime is not installed. */
function fakedClock(
  folder: string,
): { readonly environment: Record<string, string>; set(seconds: number): void } | undefined {
  const library = FAKETIME.find((file) => existsSync(file));
  if (library === undefined) return undefined;
  const file = join(folder, "clock");
  const set = (seconds: number) => writeFileSync(file, seconds < 0 ? `${seconds}` : `+${seconds}`);
  set(0);
  const environment = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  return { environment, set };
}

function shuffled<T>(items: readonly T[], prng: Prng): T[] {
  const rest = [...items];
  for (let index = rest.length - 1; index > 0; index--) {
    const other = prng.below(index + 1);
    [rest[index], rest[other]] = [rest[other]!, rest[index]!];
  }
  return rest;
}
