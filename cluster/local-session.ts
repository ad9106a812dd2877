// A throw-away local cluster together with a client: what the demo and the resilience runs work on. Its state lives in a temporary
// directory that goes with it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cache, connect } from "../src/index.ts";
import { LocalCluster, type LocalClusterOptions } from "./local-cluster.ts";

/** How the client behaves. */
export interface SessionClientOptions {
  /** Milliseconds for one call. @default 2000 */
  readonly timeout?: number;
  readonly write?: "async" | "quorum" | "all";
  readonly read?: "one" | "quorum";
  readonly secret?: string;
}

/** A cluster, a client connected to it, and how long the cluster took to be ready. */
export interface LocalSession {
  readonly cluster: LocalCluster;
  readonly cache: Cache;
  readonly readyMs: number;
}

/**
 * Starts a cluster on free ports unless told otherwise, connects, lets `use` work with both, and removes everything, whatever
 * happens.
 */
export async function withLocalSession<T>(
  options: LocalClusterOptions & { readonly client?: SessionClientOptions },
  use: (session: LocalSession) => Promise<T>,
): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), "ringhold-"));
  const startMs = performance.now();
  const removeRoot = (): void => rmSync(root, { recursive: true, force: true });
  // Ctrl-C: the nodes end with this process, and the directory must not stay behind.
  const onInterrupt = (): void => process.exit(130);
  process.once("exit", removeRoot).once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  try {
    const cluster = await LocalCluster.start({
      basePort: 0,
      ...options,
      stateDirectory: join(root, "state"),
    });
    const readyMs = performance.now() - startMs;
    try {
      const cache = await connect(cluster.url(), { timeout: 2000, ...options.client });
      try {
        return await use({ cluster, cache, readyMs });
      } finally {
        await cache.close();
      }
    } finally {
      await cluster.stop();
    }
  } finally {
    process.off("exit", removeRoot).off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
    removeRoot();
  }
}
