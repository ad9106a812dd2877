// A cluster of real node processes on this machine: started, watched, hurt and mended by name (node-1, node-2, ...). The demo,
// the resilience runs and `ringhold cluster` all work through this class.
//
// 1. The state directory is the truth (see state-directory.ts); the object itself remembers only which cluster it is, so that a
//    command in another terminal can kill or add a node of a running cluster. When that one has been stopped and another was
//    started in its directory, the object has no cluster any more, and does nothing to the other one.
// 2. A process is signalled only while its start time is the remembered one.
// 3. A cluster that is not detached has an owner, the process that started it. Its nodes watch the owner and stop when it is
//    gone, however it went.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { NodeStatus } from "../src/core/status.ts";
import { secretLines } from "../src/server/secret.ts";
import { choosePorts, nextPort, portsFrom, portsOf } from "./cluster-ports.ts";
import { isPortFree } from "./free-port.ts";
import { sendCommand } from "./node-command.ts";
import { askNode, fetchNodeStatus, type NodeHttpOptions } from "./node-http.ts";
import { commandFile } from "./node-process.ts";
import { identifyProcess, type ProcessState, processState, signalProcess } from "./os-process.ts";
import {
  type ClusterState,
  LocalClusterError,
  livingNodes,
  type NodeEntry,
  type NodePlace,
  StateDirectory,
} from "./state-directory.ts";
import { waitFor } from "./wait.ts";

/** How to start a local cluster. */
export interface LocalClusterOptions {
  /** Where `cluster.json` and the logs go. @default ".ringhold" */
  readonly stateDirectory?: string;
  /** 1 to 64. @default 5 */
  readonly nodes?: number;
  /** The first node's port, the others follow; 0 for any free ones. @default 7400 */
  readonly basePort?: number;
  /** The first node's port for Redis clients, the others follow; 0 for any free ones. @default none: no Redis doors */
  readonly redisBasePort?: number | undefined;
  /** Where the nodes run, one place each; then `nodes` is their number, and every node has the base port unless that is 0. @default loopback */
  readonly places?: readonly NodePlace[];
  /** Further flags for every node, such as `["--memory", "64mb"]`. */
  readonly nodeArguments?: readonly string[];
  readonly secretFile?: string | undefined;
  /** Whether the nodes outlive this process. @default false */
  readonly isDetached?: boolean;
  /** Told of what goes on, in words. */
  readonly onProgress?: (line: string) => void;
  /** Aborting gives the start up, stops what has been started, and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** One node and how it is now. */
export interface LocalNode {
  readonly name: string;
  readonly port: number;
  readonly address: string;
  /** Where Redis clients reach it, if they may. */
  readonly redisAddress: string | undefined;
  readonly pid: number | undefined;
  readonly state: ProcessState;
}

/** A node process that has not become ready by then is given up. A loaded machine needs a few seconds. */
const READY_TIMEOUT_MS = 30_000;
/** A node that joins may also wait until a dead one is evicted: a minute, as nodes are told by default. */
const JOIN_TIMEOUT_MS = 90_000;
/** The system takes a moment to give the port of a killed process free. */
const PORT_TIMEOUT_MS = 1_000;
/** SIGTERM is followed by SIGKILL after this long: a node that stops lets its calls finish, which takes a second or two. */
const STOP_TIMEOUT_MS = 10_000;
/** Handing over a node's slots takes as long as its data is large. */
const REMOVE_TIMEOUT_MS = 120_000;
const NODES_MAX = 64;

/** See the top of the file. */
export class LocalCluster {
  readonly #directory: StateDirectory;
  /** See rule 1. */
  readonly #id: string;

  private constructor(directory: StateDirectory, id: string) {
    this.#directory = directory;
    this.#id = id;
  }

  /**
   * Starts the nodes and waits until all of them are ready.
   *
   * @throws {LocalClusterError} when a cluster runs in the directory already, a port is taken, or a node does not come up
   */
  static async start(options: LocalClusterOptions = {}): Promise<LocalCluster> {
    const { places } = options;
    const count = places?.length ?? options.nodes ?? 5;
    if (!Number.isInteger(count) || count < 1 || count > NODES_MAX) {
      throw new LocalClusterError(`A local cluster has from 1 to ${NODES_MAX} nodes, received ${count}`);
    }
    const directory = new StateDirectory(resolve(options.stateDirectory ?? ".ringhold"));
    replaceStale(directory, options.onProgress);
    const basePort = options.basePort ?? 7400;
    const { redisBasePort } = options;
    const ports =
      places === undefined || basePort === 0
        ? await choosePorts("--port", { basePort, count, besides: portsFrom(redisBasePort, count) })
        : places.map(() => basePort);
    const redisPorts =
      redisBasePort === undefined
        ? []
        : await choosePorts("--redis-port", { basePort: redisBasePort, count, besides: ports });
    const cluster = new LocalCluster(directory, randomBytes(8).toString("hex"));
    directory.write({
      format: 1,
      id: cluster.#id,
      owner: options.isDetached === true ? undefined : identifyProcess(process.pid),
      basePort,
      nodeArguments: options.nodeArguments ?? [],
      secretFile: options.secretFile === undefined ? undefined : resolve(options.secretFile),
      redisBasePort,
      nodes: ports.map((port, index) => ({
        name: `node-${index + 1}`,
        port,
        place: places?.[index],
        redisPort: redisPorts[index],
      })),
    });
    try {
      await cluster.#startAll(options.signal);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /**
   * The cluster that was started with this state directory.
   *
   * @throws {LocalClusterError} when there is none, or none of its processes is left
   */
  static open(stateDirectory = ".ringhold"): LocalCluster {
    const directory = new StateDirectory(resolve(stateDirectory));
    const state = directory.demand();
    if (livingNodes(state).length === 0) {
      const flag = stateDirectory === ".ringhold" ? "" : ` --state ${stateDirectory}`;
      throw new LocalClusterError(
        `The cluster in ${stateDirectory} is not running any more: start it again with \`ringhold cluster start${flag}\``,
      );
    }
    return new LocalCluster(directory, state.id);
  }

  /** All nodes, in the order of their making, with what their processes do now. */
  nodes(): LocalNode[] {
    return (this.#read()?.nodes ?? []).map(describeNode);
  }

  /** Where the clients find the cluster: every node's address. */
  url(): string {
    return `ringhold://${this.nodes()
      .map((node) => node.address)
      .join(",")}`;
  }

  /** How to ask its nodes over HTTP. */
  http(): NodeHttpOptions {
    const secret = this.secrets()?.[0];
    return secret === undefined ? {} : { secret };
  }

  /** The shared secrets, the one in use first, when it was started with one. */
  secrets(): readonly string[] | undefined {
    const file = this.#read()?.secretFile;
    const text = file === undefined ? (process.env.RINGHOLD_SECRET ?? "") : readFileSync(file, "utf8");
    const secrets = secretLines(text);
    return secrets.length === 0 ? undefined : secrets;
  }

  /** Whether the nodes end when another process does. */
  isDetached(): boolean {
    return this.#read()?.owner === undefined;
  }

  /** The file the node's output goes to. */
  logFile(name: string): string {
    return this.#directory.logFile(name);
  }

  /** What the node sees. @throws {Error} when it does not answer */
  async status(name: string): Promise<NodeStatus> {
    return fetchNodeStatus(this.#demandNode(name).address, this.http());
  }

  /** What every running node sees, by name; those that do not answer are left out. */
  async statuses(): Promise<Map<string, NodeStatus>> {
    const running = this.nodes().filter((node) => node.state === "running");
    const answers = await Promise.allSettled(running.map((node) => this.status(node.name)));
    const statuses = new Map<string, NodeStatus>();
    for (const [index, answer] of answers.entries()) {
      if (answer.status === "fulfilled") statuses.set(running[index]!.name, answer.value);
    }
    return statuses;
  }

  /** Waits until every running node says that all slots have all their copies. */
  async untilSafe(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    let unsafe: string[] = [];
    await waitFor(
      async () => {
        unsafe = await this.#unsafeNodes();
        return unsafe.length === 0;
      },
      {
        what: "every node to be safe",
        timeoutMs: options.timeoutMs ?? 60_000,
        intervalMs: 100,
        explain: () => unsafe.join("; "),
      },
    );
  }

  /** Waits until the node is ready. */
  async untilReady(
    name: string,
    options: {
      readonly timeoutMs?: number;
      /** Told what the node waits for, once for each thing. */
      readonly onProgress?: ((line: string) => void) | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<void> {
    const { address } = this.#demandNode(name);
    let waitsFor = "";
    const look = async (): Promise<boolean> => {
      const unready = await this.#unreadiness(name, address);
      if (unready !== waitsFor && unready.includes("WAITING to join"))
        options.onProgress?.(`${name} ${unready}`);
      waitsFor = unready;
      return unready === "";
    };
    await waitFor(look, {
      what: `${name} to be ready`,
      timeoutMs: options.timeoutMs ?? READY_TIMEOUT_MS,
      // Looking costs the nodes time: the more of them there are, the less often.
      intervalMs: Math.max(40, 10 * this.nodes().length),
      signal: options.signal,
      explain: () => [waitsFor, `its log is ${this.logFile(name)}`].filter(Boolean).join("; "),
    });
  }

  /** Waits until all running nodes but itself say that the member is dead, or out of the ring. Returns the milliseconds it took. */
  async untilDead(name: string, options: { readonly timeoutMs?: number } = {}): Promise<number> {
    const startMs = performance.now();
    await waitFor(
      async () => {
        const statuses = [...(await this.statuses())].filter(([other]) => other !== name);
        return statuses.length > 0 && statuses.every(([, status]) => isGoneFor(status, name));
      },
      { what: `all nodes to see that ${name} is dead`, timeoutMs: options.timeoutMs ?? 30_000 },
    );
    return performance.now() - startMs;
  }

  /** The name that {@link add} gives. */
  nextName(): string {
    return `node-${1 + Math.max(0, ...this.#demand().nodes.map((node) => numberOf(node.name)))}`;
  }

  /** Starts one more node under the next free name and waits until it is ready. */
  async add(options: { readonly onProgress?: (line: string) => void } = {}): Promise<LocalNode> {
    const entry = await this.#reserve();
    try {
      this.#spawn(entry);
      await this.untilReady(entry.name, { timeoutMs: JOIN_TIMEOUT_MS, onProgress: options.onProgress });
    } catch (error) {
      await this.#end(entry.name, STOP_TIMEOUT_MS);
      this.#forget(entry.name);
      throw error;
    }
    return this.#demandNode(entry.name);
  }

  /**
   * Takes the node out of the cluster for good: it hands its slots over and ends. A node whose process is gone is evicted by
   * the word of another.
   */
  async remove(name: string): Promise<void> {
    const node = this.#demandNode(name);
    if (node.state === "paused") this.resume(name);
    if (node.state === "gone") {
      const other = this.#demandLiving(name);
      await sendCommand(other.address, { command: "evict", member: name, secret: this.secrets() });
    } else {
      if (livingNodes(this.#demand()).length === 1) {
        throw new LocalClusterError(
          `${name} is the last node and has nobody to hand its slots to: use \`ringhold cluster stop\``,
        );
      }
      await sendCommand(node.address, { command: "leave", member: name, secret: this.secrets() });
      await waitFor(() => this.#stateOf(name) === "gone", {
        what: `${name} to hand its slots over and end`,
        timeoutMs: REMOVE_TIMEOUT_MS,
        explain: () => `its log is ${this.logFile(name)}`,
      });
    }
    this.#forget(name);
  }

  /** Ends the node at once, as a power cut would (SIGKILL). */
  async kill(name: string): Promise<void> {
    this.#signal(name, "SIGKILL");
    await waitFor(() => this.#stateOf(name) === "gone", { what: `${name} to be gone`, intervalMs: 5 });
  }

  /** Freezes the node (SIGSTOP): it answers nobody, but its connections stay open. */
  pause(name: string): void {
    this.#signal(name, "SIGSTOP");
  }

  /** Lets a paused node go on (SIGCONT). */
  resume(name: string): void {
    this.#signal(name, "SIGCONT");
  }

  /** Stops the node so that it can come back under the same name (SIGTERM), and waits until it has ended. */
  async stopNode(name: string): Promise<void> {
    await this.#end(name, STOP_TIMEOUT_MS);
  }

  /**
   * Stops the node if it runs, starts it under the same name and port, and waits until it is ready: as long as {@link add} does, because one
   * that was evicted meanwhile joins anew.
   */
  async restart(name: string, options: { readonly onProgress?: (line: string) => void } = {}): Promise<void> {
    await this.#end(name, STOP_TIMEOUT_MS);
    const entry = this.#demand().nodes.find((node) => node.name === name);
    if (entry === undefined) throw unknownNode(name, this.nodes());
    await waitFor(() => entry.place !== undefined || isPortFree(entry.port), {
      what: `port ${entry.port} to be free`,
      timeoutMs: PORT_TIMEOUT_MS,
      intervalMs: 10,
    }).catch(() => {
      throw new LocalClusterError(`Port ${entry.port} of ${name} is in use by another program`);
    });
    this.#spawn(entry);
    await this.untilReady(name, { timeoutMs: JOIN_TIMEOUT_MS, onProgress: options.onProgress });
  }

  /** Stops all nodes, by force those that take too long, and forgets the cluster. The logs stay. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes().map((node) => this.#end(node.name, STOP_TIMEOUT_MS)));
    if (this.#read() !== undefined) this.#directory.clear();
  }

  /** As {@link stop}, and removes the logs too. */
  async destroy(): Promise<void> {
    await this.stop();
    // Else another cluster writes there now.
    if (this.#directory.read() === undefined) this.#directory.removeAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  /** The state of this cluster, or `undefined` when it is no more, whatever else may run in its directory. */
  #read(): ClusterState | undefined {
    const state = this.#directory.read();
    return state?.id === this.#id ? state : undefined;
  }

  /** As {@link #read}. @throws {LocalClusterError} when it is no more */
  #demand(): ClusterState {
    return this.#checked(this.#directory.demand());
  }

  /** Changes the state in one go. @throws {LocalClusterError} when it is no more */
  #update(change: (state: ClusterState) => ClusterState): ClusterState {
    return this.#directory.update((state) => change(this.#checked(state)));
  }

  #checked(state: ClusterState): ClusterState {
    if (state.id === this.#id) return state;
    throw new LocalClusterError(
      `The cluster in ${this.#directory.path} was stopped, and another one was started there`,
    );
  }

  /** Writes down a node that is to be, under a name and ports that no other command has taken while free ports were looked for. */
  async #reserve(): Promise<NodeEntry> {
    for (;;) {
      const state = this.#demand();
      const taken = state.nodes.flatMap(portsOf);
      const port = await nextPort(state, "port", taken);
      const redisPort =
        state.redisBasePort === undefined ? undefined : await nextPort(state, "redisPort", [...taken, port]);
      const entry: NodeEntry = { name: this.nextName(), port, redisPort };
      const { nodes } = this.#update((now) => {
        const isTaken = now.nodes.some(
          (node) => node.name === entry.name || portsOf(node).some((each) => portsOf(entry).includes(each)),
        );
        return isTaken ? now : { ...now, nodes: [...now.nodes, entry] };
      });
      if (nodes.includes(entry)) return entry;
    }
  }

  /** The first node founds the cluster; the others start beside it and join as soon as it answers. */
  async #startAll(signal: AbortSignal | undefined): Promise<void> {
    const [founder, ...others] = this.#demand().nodes;
    this.#spawn(founder!, { seeds: [] });
    for (const node of others) this.#spawn(node, { seeds: [addressOf(founder!)] });
    // In turn: they are ready at about the same time, and who looks at all of them at once takes processor time from them.
    for (const node of [founder!, ...others]) await this.untilReady(node.name, { signal });
  }

  /** Starts the node's process. Without seeds given, it joins the nodes that run; if none does, it founds the cluster anew. */
  #spawn(entry: NodeEntry, options: { readonly seeds?: readonly string[] } = {}): void {
    const state = this.#demand();
    const running = livingNodes(state).filter((node) => node.name !== entry.name);
    const seeds = options.seeds ?? running.map(addressOf);
    const log = openSync(this.#directory.logFile(entry.name), "a");
    try {
      const { launcher = [], environment = {} } = entry.place ?? {};
      const [program, ...words] = [...launcher, process.execPath];
      const child = spawn(
        program!,
        [
          ...words,
          commandFile(),
          "node",
          ...["--name", entry.name, "--listen", addressOf(entry)],
          ...(entry.redisPort === undefined ? [] : ["--redis", redisAddressOf(entry)]),
          ...(seeds.length === 0 ? ["--bootstrap"] : ["--join", seeds.join(",")]),
          ...(state.secretFile === undefined ? [] : ["--secret-file", state.secretFile]),
          ...(state.owner === undefined ? [] : ["--owner-pid", String(state.owner.pid)]),
          ...state.nodeArguments,
        ],
        {
          stdio: ["ignore", log, log],
          detached: state.owner === undefined,
          env: { ...nodeEnvironment(), ...environment },
        },
      );
      // A process that could not be started has no pid; the wait for readiness then finds it gone.
      child.on("error", () => {});
      child.unref();
      const started = child.pid === undefined ? undefined : identifyProcess(child.pid);
      this.#update((now) => ({
        ...now,
        nodes: now.nodes.map((node) => (node.name === entry.name ? { ...node, process: started } : node)),
      }));
    } finally {
      closeSync(log);
    }
  }

  /** Why the node is not ready, in its own words; "" when it is. @throws {LocalClusterError} when it has ended */
  async #unreadiness(name: string, address: string): Promise<string> {
    const answer = await askNode(address, "/readyz").catch(() => undefined);
    if (answer?.status === 200) return "";
    if (this.#stateOf(name) !== "gone") return answer?.body.trim() ?? "no answer";
    throw new LocalClusterError(
      `${name} ended while it was starting: ${lastLine(this.logFile(name))} (its log is ${this.logFile(name)})`,
    );
  }

  /** What running nodes say that are not safe, with their names. */
  async #unsafeNodes(): Promise<string[]> {
    const running = this.nodes().filter((node) => node.state === "running");
    const answers = await Promise.allSettled(running.map((node) => askNode(node.address, "/safez")));
    return answers.flatMap((answer, index) => {
      const name = running[index]!.name;
      if (answer.status === "rejected") return [`${name} does not answer`];
      return answer.value.status === 200 ? [] : [`${name}: ${answer.value.body.trim()}`];
    });
  }

  /** Ends the node's process: SIGTERM, and SIGKILL for one that does not end in time. */
  async #end(name: string, timeoutMs: number): Promise<void> {
    const entry = this.#read()?.nodes.find((node) => node.name === name);
    if (entry?.process === undefined) return;
    const { process: identity } = entry;
    const isGone = () => processState(identity) === "gone";
    // A paused process takes a SIGTERM only once it goes on.
    if (processState(identity) === "paused") signalProcess(identity, "SIGCONT");
    if (!signalProcess(identity, "SIGTERM")) return;
    try {
      await waitFor(isGone, { what: `${name} to stop`, timeoutMs, intervalMs: 10 });
    } catch {
      signalProcess(identity, "SIGKILL");
      await waitFor(isGone, { what: `${name} to be gone`, intervalMs: 10 });
    }
  }

  #signal(name: string, signal: NodeJS.Signals): void {
    const entry = this.#demand().nodes.find((node) => node.name === name);
    if (entry === undefined) throw unknownNode(name, this.nodes());
    if (entry.process === undefined || !signalProcess(entry.process, signal)) {
      throw new LocalClusterError(
        `${name} is not running: start it with \`ringhold cluster restart ${name}\``,
      );
    }
  }

  #stateOf(name: string): ProcessState {
    return this.nodes().find((node) => node.name === name)?.state ?? "gone";
  }

  #demandNode(name: string): LocalNode {
    const nodes = this.nodes();
    const node = nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw unknownNode(name, nodes);
    return node;
  }

  #demandLiving(besides: string): LocalNode {
    const living = this.nodes().find((node) => node.name !== besides && node.state === "running");
    if (living === undefined)
      throw new LocalClusterError(`No other node is running that could evict ${besides}`);
    return living;
  }

  #forget(name: string): void {
    this.#update((now) => ({ ...now, nodes: now.nodes.filter((node) => node.name !== name) }));
  }
}

/**
 * Nodes get their options as flags; what else this process was told by RINGHOLD_* is not meant for them, but the secret is. Nor is what npm
 * says of the script that it runs: a node does not end with it.
 */
function nodeEnvironment(): NodeJS.ProcessEnv {
  const isForUs = (name: string) => name.startsWith("RINGHOLD_") || name.startsWith("npm_lifecycle_");
  const kept = Object.entries(process.env).filter(([name]) => !isForUs(name) || name === "RINGHOLD_SECRET");
  return Object.fromEntries(kept);
}

/** Forgets a cluster whose processes are gone. @throws {LocalClusterError} when one of them still runs */
function replaceStale(directory: StateDirectory, onProgress: LocalClusterOptions["onProgress"]): void {
  const state = directory.read();
  if (state === undefined) return;
  const living = livingNodes(state);
  if (living.length > 0) {
    const names = living.map((node) => node.name).join(", ");
    throw new LocalClusterError(
      `A cluster is already running in ${directory.path} (${names}): stop it with \`ringhold cluster stop\`, or name another directory with --state`,
    );
  }
  onProgress?.(`Replacing ${directory.path}: the cluster it describes is gone`);
  directory.clear();
}

function unknownNode(name: string, nodes: readonly LocalNode[]): LocalClusterError {
  const names = nodes.map((node) => node.name).join(", ");
  return new LocalClusterError(`There is no node ${name} in this cluster: it has ${names}`);
}

function describeNode(entry: NodeEntry): LocalNode {
  const state = entry.process === undefined ? "gone" : processState(entry.process);
  return {
    name: entry.name,
    port: entry.port,
    address: addressOf(entry),
    redisAddress: entry.redisPort === undefined ? undefined : redisAddressOf(entry),
    pid: state === "gone" ? undefined : entry.process?.pid,
    state,
  };
}

function addressOf({ place, port }: NodeEntry): string {
  return `${place?.host ?? "127.0.0.1"}:${port}`;
}

function redisAddressOf({ place, redisPort }: NodeEntry): string {
  return `${place?.host ?? "127.0.0.1"}:${redisPort}`;
}

function numberOf(name: string): number {
  return Number(/-(\d+)$/.exec(name)?.[1] ?? 0);
}

function isGoneFor(status: NodeStatus, name: string): boolean {
  const member = status.members.find((candidate) => candidate.id === name);
  return (
    member === undefined ||
    member.liveness === "dead" ||
    member.ringState === "left" ||
    member.ringState === "evicted"
  );
}

function lastLine(file: string): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").at(-1) ?? "";
  } catch {
    return "";
  }
}
