// The state directory of a local cluster: `cluster.json` says which processes belong to it, `logs/` holds what they wrote. The
// file is the single truth: the process that started the cluster and the commands that work on it later all read it, change it
// and write it back at once, replacing it whole, so that a reader never sees half a file.

import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ProcessIdentity, processState } from "./os-process.ts";

/** Where a node runs, when not on this machine's loopback interface. */
export interface NodePlace {
  /** The address it listens on, without a port. */
  readonly host: string;
  /** Words that go before the node's command; what they start must keep the process id. @default none */
  readonly launcher?: readonly string[];
  /** Added to the node's environment. @default none */
  readonly environment?: Readonly<Record<string, string>>;
}

/** One node as the file remembers it. */
export interface NodeEntry {
  readonly name: string;
  readonly port: number;
  /** `undefined` for the loopback interface. */
  readonly place?: NodePlace | undefined;
  /** `undefined` when the node has no Redis door. */
  readonly redisPort?: number | undefined;
  /** `undefined` before it was first started. It may long be gone: see {@link processState}. */
  readonly process?: ProcessIdentity | undefined;
}

/** The contents of `cluster.json`. */
export interface ClusterState {
  readonly format: 1;
  /** Tells this cluster from others that were started in the same directory before and after it; random. */
  readonly id: string;
  /** The process whose end ends the cluster; `undefined` for a detached one. */
  readonly owner?: ProcessIdentity | undefined;
  /** 0 when the operating system chose the ports. */
  readonly basePort: number;
  /** As `basePort`, for the nodes' Redis doors; `undefined` when they have none. */
  readonly redisBasePort?: number | undefined;
  /** Flags that every node of this cluster is started with. */
  readonly nodeArguments: readonly string[];
  /** Where the shared secret is kept, if there is one; never the secret itself. */
  readonly secretFile?: string | undefined;
  readonly nodes: readonly NodeEntry[];
}

/** A local cluster cannot do what was asked; the message is one sentence that says what to do. */
export class LocalClusterError extends Error {
  override readonly name = "LocalClusterError";
}

/** A directory with the state of one local cluster. Makes nothing on disk until something is written. */
export class StateDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The file a node's output is appended to. */
  logFile(name: string): string {
    return join(this.path, "logs", `${name}.log`);
  }

  /**
   * The cluster's state, or `undefined` when there is none.
   *
   * @throws {LocalClusterError} when the file is there but is no state of a cluster
   */
  read(): ClusterState | undefined {
    let text: string;
    try {
      text = readFileSync(this.#file(), "utf8");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw new LocalClusterError(`Cannot read ${this.#file()} (${code}): check its permissions`);
    }
    const state = parseState(text);
    if (state === undefined) {
      throw new LocalClusterError(
        `${this.#file()} is not the state of a local cluster: remove it, or name another directory with --state`,
      );
    }
    return state;
  }

  /** Replaces the state, making the directory when needed. */
  write(state: ClusterState): void {
    try {
      makeDirectory(join(this.path, "logs"));
      const next = `${this.#file()}.${process.pid}.tmp`;
      writeFileSync(next, `${JSON.stringify(state, undefined, 2)}\n`);
      renameSync(next, this.#file());
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      throw new LocalClusterError(
        `Cannot write to the state directory ${this.path} (${code}): name another with --state`,
      );
    }
  }

  /**
   * Changes the state in one go.
   *
   * @throws {LocalClusterError} when there is no cluster
   */
  update(change: (state: ClusterState) => ClusterState): ClusterState {
    const state = change(this.demand());
    this.write(state);
    return state;
  }

  /**
   * The state of a cluster that has been started here.
   *
   * @throws {LocalClusterError} when there is none
   */
  demand(): ClusterState {
    const state = this.read();
    if (state === undefined) {
      throw new LocalClusterError(
        `No local cluster in ${this.path}: start one with \`ringhold cluster start\`, or name its directory with --state`,
      );
    }
    return state;
  }

  /** Forgets the cluster; its logs stay. */
  clear(): void {
    rmSync(this.#file(), { force: true });
  }

  /** Removes the directory as far as it holds what a cluster put there. */
  removeAll(): void {
    this.clear();
    rmSync(join(this.path, "logs"), { recursive: true, force: true });
    try {
      rmdirSync(this.path);
    } catch {
      // It holds something else, or is gone already.
    }
  }

  #file(): string {
    return join(this.path, "cluster.json");
  }
}

/** The nodes of the state whose processes still are there, paused ones included. */
export function livingNodes(state: ClusterState): NodeEntry[] {
  return state.nodes.filter((node) => node.process !== undefined && processState(node.process) !== "gone");
}

/** With what leads to it. Node's own recursive way never ends where nothing can be made, as under `/proc`. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path);
  }
}

function parseState(text: string): ClusterState | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<ClusterState> | null;
    return parsed?.format === 1 && Array.isArray(parsed.nodes) ? (parsed as ClusterState) : undefined;
  } catch {
    return undefined;
  }
}
