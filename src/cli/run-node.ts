// Runs one node until it ends: by a signal, by being told to leave, with the process that owns it, or by a bug.
//
// The first SIGTERM, SIGINT or SIGHUP stops it in an orderly way; a second one ends the process at once, with exit code 1. A node of a
// local cluster leaves Ctrl-C to its owner, who gets the same SIGINT and stops all nodes in its own way.

import { identifyProcess, processState } from "../../cluster/os-process.ts";
import { openServer, type RunningServer } from "../server/node.ts";
import type { NodeOptions } from "../server/options.ts";
import type { NodeFlags } from "./commands/node.ts";
import { readFile, readSecrets } from "./connection.ts";
import { inFlagWords } from "./node-options.ts";
import { printJson, printLine, tell } from "./output.ts";

/** How often a node looks whether its owner still lives: the most that it outlives it. */
const OWNER_CHECK_MS = 500;

/**
 * Resolves when the node has ended as it was told to.
 *
 * @throws {UsageError} for flags that do not fit; the node's error when it cannot start or ends by a bug
 */
export async function runNode(flags: NodeFlags): Promise<void> {
  const server = await openServer(nodeOptions(flags)).catch((error: unknown) => {
    throw inFlagWords(error, flags.secretFile);
  });
  const forget = [stopOnSignals(server, flags), stopWithOwner(server, flags.ownerPid)];
  server.ready.then(
    () => announce(server, flags.json === true),
    // It ended before it was ready; `ended` has the reason.
    () => {},
  );
  const problem = await server.ended;
  for (const off of forget) off();
  if (problem !== undefined) throw problem;
}

function nodeOptions(flags: NodeFlags): NodeOptions {
  const { name, listen, advertise, join, bootstrap, cluster, zone, weight } = flags;
  const { memory, replicas, write, read, valueBytesMax, leaveOnStop, logLevel } = flags;
  return {
    ...{ name, listen, advertise, join, bootstrap, cluster, zone, weight },
    ...{ memory, replicas, write, read, valueBytesMax, leaveOnStop, logLevel },
    ...{ redis: flags.redis, redisCluster: flags.redisCluster },
    ...secretOptions(flags.secretFile),
    usersFile: flags.usersFile,
    tls: tlsFiles(flags),
    deadGrace: flags.deadGrace,
  };
}

/** A file is the node's own to read, and to read again. */
function secretOptions(secretFile: string | undefined): Pick<NodeOptions, "secret" | "secretFile"> {
  const secret = readSecrets(secretFile);
  return secretFile === undefined ? { secret } : { secretFile };
}

function tlsFiles({ tlsCert, tlsKey, tlsCa }: NodeFlags): NodeOptions["tls"] {
  if (tlsCert === undefined || tlsKey === undefined || tlsCa === undefined) return undefined;
  for (const [flag, file] of Object.entries({
    "--tls-cert": tlsCert,
    "--tls-key": tlsKey,
    "--tls-ca": tlsCa,
  }))
    readFile(flag, file);
  return { certFile: tlsCert, keyFile: tlsKey, caFile: tlsCa };
}

function announce(server: RunningServer, isJson: boolean): void {
  const { id, url, redisAddress: redis } = server;
  if (isJson) printJson({ ready: true, id, url, ...(redis === undefined ? {} : { redis }) });
  else printLine(`ready ${id} ${url}${redis === undefined ? "" : ` redis://${redis}`}`);
}

/** Returns how to undo it. */
function stopOnSignals(server: RunningServer, { ownerPid, leaveOnStop }: NodeFlags): () => void {
  let isStopping = false;
  const onSignal = (): void => {
    if (isStopping) {
      tell("ended by force");
      process.exit(1);
    }
    isStopping = true;
    if (leaveOnStop) tell("leaving: handing the slots over; a second signal ends at once");
    server.stop().catch((error: unknown) => tell(error instanceof Error ? error.message : String(error)));
  };
  const onInterrupt = ownerPid === undefined ? onSignal : () => {};
  process.on("SIGTERM", onSignal).on("SIGHUP", onSignal).on("SIGINT", onInterrupt);
  return () => process.off("SIGTERM", onSignal).off("SIGHUP", onSignal).off("SIGINT", onInterrupt);
}

/** Returns how to undo it. Does nothing for a node without an owner. */
function stopWithOwner(server: RunningServer, ownerPid: number | undefined): () => void {
  if (ownerPid === undefined) return () => {};
  const owner = identifyProcess(ownerPid);
  const timer = setInterval(() => {
    if (owner !== undefined && processState(owner) !== "gone") return;
    clearInterval(timer);
    // Its cluster is ending: nobody takes its slots, and nobody waits for it to stop nicely for long.
    setTimeout(() => process.exit(0), 2_000).unref();
    server.stop().catch(() => process.exit(1));
  }, OWNER_CHECK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
