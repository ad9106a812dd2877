// The rebalance benchmark, from its options to its report. Question: what does a change of the ring cost those who call meanwhile, and how long does it
// take? A fresh local cluster of real processes is filled and offered a steady open-loop load; nodes are added and removed.
// Baseline: the same scenario on Redis Cluster in the same run (`redis-cli --cluster rebalance`), skipped where it is not installed.
// Ideal: only the newcomer's share moves, no call fails, no present key is missed, nothing acknowledged is lost, and latency
// stays what it was before.
//
// Ringhold keeps three copies of each key and Redis Cluster one here, so Ringhold moves three times as many bytes for one node:
// compare copies per second, or run it with `--copies 1`. One machine for servers and load: absolute figures are its own.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { REBALANCE_USAGE } from "../usage.ts";
import { svgChart, terminalChart } from "./chart.ts";
import { redisObstacle, startRedis } from "./redis.ts";
import { isClean, renderMoves, renderPhases, renderVerdicts } from "./report.ts";
import { startRinghold } from "./ringhold.ts";
import { runScenario, type SubjectResult } from "./scenario.ts";
import { STEPS, type Step, type Subject, type SubjectOptions } from "./subject.ts";

const SUBJECTS = ["ringhold", "redis"] as const;
type SubjectName = (typeof SUBJECTS)[number];

interface Settings extends SubjectOptions {
  readonly rate: number;
  readonly steps: readonly Step[];
  readonly quietMs: number;
  readonly subjects: readonly SubjectName[];
  readonly svgFile: string;
  readonly isJson: boolean;
}

/** Runs what the arguments ask for. Returns the exit code: 0 only when Ringhold's callers noticed nothing but time. */
export async function runRebalance(args: readonly string[]): Promise<number> {
  try {
    return await runWith(args);
  } catch (error) {
    tell(`The run could not go on: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

async function runWith(args: readonly string[]): Promise<number> {
  const settings = readSettings(args);
  if (settings === undefined) {
    process.stderr.write(REBALANCE_USAGE);
    return 2;
  }
  const results: SubjectResult[] = [];
  const isAlone = settings.subjects.length === 1;
  for (const name of settings.subjects) {
    const result = await (isAlone ? runSubject(name, settings) : runApart(name, args));
    if (result !== undefined) results.push(result);
  }
  const { keys, valueBytes, rate, nodes } = settings;
  const title = `${keys} keys of ${valueBytes} bytes, ${rate} calls a second, ${nodes} nodes: ${settings.steps.join(", ")}`;
  const hasChart = results.length > 0 && settings.svgFile !== "";
  if (hasChart) writeFileSync(settings.svgFile, svgChart(results, title));
  process.stdout.write(
    settings.isJson
      ? `${JSON.stringify({ environment: environment(), settings, results })}\n`
      : text(results, title),
  );
  if (!settings.isJson && hasChart) process.stdout.write(`chart: ${settings.svgFile}\n`);
  const own = results.find(({ subject }) => subject === "Ringhold");
  return own === undefined || isClean(own) ? 0 : 1;
}

/**
 * Runs one of several subjects in a process of its own: the load's heap starts empty for each, or the second one's callers would wait
 * for the garbage of the first one's.
 */
async function runApart(name: SubjectName, args: readonly string[]): Promise<SubjectResult | undefined> {
  const entry = new URL(
    import.meta.url.endsWith(".ts") ? "../rebalance.ts" : "../rebalance.js",
    import.meta.url,
  );
  const own = ["--only", name, "--json", "--svg", ""];
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(entry), ...args, ...own], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const onEnd = (): boolean => child.kill("SIGTERM");
  process.once("SIGTERM", onEnd);
  await once(child, "close");
  process.off("SIGTERM", onEnd);
  if (!output.startsWith("{")) throw new Error(`the run of ${name} ended without a result`);
  return (JSON.parse(output) as { results: SubjectResult[] }).results[0];
}

async function runSubject(name: SubjectName, settings: Settings): Promise<SubjectResult | undefined> {
  const obstacle = name === "redis" ? await redisObstacle(settings) : undefined;
  if (obstacle !== undefined) {
    tell(`Redis Cluster is left out: ${obstacle}`);
    return undefined;
  }
  const subject = name === "redis" ? await startRedis(settings) : await startRinghold(settings);
  return useSubject(subject, async () => {
    tell(`${subject.name}: ${settings.nodes} nodes ready (${subject.description})`);
    const steps = settings.steps.filter((step) => subject.can(step));
    if (steps.length < settings.steps.length)
      tell(`${subject.name}: left out what it cannot do without replicas: kill`);
    return runScenario(subject, { ...settings, steps, onProgress: tell });
  });
}

/** Ends the subject's processes also when the benchmark is interrupted. */
async function useSubject<T>(subject: Subject, use: () => Promise<T>): Promise<T> {
  const onInterrupt = (): void => {
    subject.stop().finally(() => process.exit(130));
  };
  process.once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  try {
    return await use();
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
    await subject.stop();
  }
}

function text(results: readonly SubjectResult[], title: string): string {
  const blocks = [
    [environment(), title, ...results.map(({ subject, description }) => `${subject}: ${description}`)],
    renderMoves(results),
    renderPhases(results),
    renderVerdicts(results),
    terminalChart(results),
  ];
  return `\n${blocks.map((lines) => `${lines.join("\n")}\n`).join("\n")}\n`;
}

function readSettings(args: readonly string[]): Settings | undefined {
  const options = {
    keys: { type: "string", default: "1000000" },
    "value-bytes": { type: "string", default: "100" },
    nodes: { type: "string", default: "3" },
    copies: { type: "string", default: "3" },
    rate: { type: "string", default: "2000" },
    steps: { type: "string", default: "add,remove" },
    "quiet-seconds": { type: "string", default: "8" },
    only: { type: "string", default: SUBJECTS.join(",") },
    svg: { type: "string", default: "rebalance.svg" },
    json: { type: "boolean", default: false },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    return {
      keys: count(values.keys, 1),
      valueBytes: count(values["value-bytes"], 1),
      nodes: count(values.nodes, 1),
      copies: count(values.copies, 1),
      rate: count(values.rate, 1),
      steps: oneOf(values.steps, STEPS),
      quietMs: count(values["quiet-seconds"], 1) * 1000,
      subjects: oneOf(values.only, SUBJECTS),
      svgFile: values.svg,
      isJson: values.json,
      callTimeoutMs: 5_000,
    };
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function count(text: string, min: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new Error(`A whole number from ${min} was expected, received ${text}`);
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): readonly T[] {
  return text.split(",").map((word) => {
    const found = allowed.find((name) => name === word.trim());
    if (found === undefined) throw new Error(`One of ${allowed.join(", ")} was expected, received ${word}`);
    return found;
  });
}

function environment(): string {
  return `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores; Node ${process.version}; ${commit()}`;
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return "unknown";
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
