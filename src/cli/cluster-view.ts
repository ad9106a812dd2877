// Collects what the members table shows: one node's view, and every member's own answer.

import type { LocalCluster } from "../../cluster/local-cluster.ts";
import { fetchNodeStatus, type NodeHttpOptions } from "../../cluster/node-http.ts";
import { CacheError } from "../base/errors.ts";
import type { NodeStatus } from "../core/status.ts";
import type { ClusterView, MemberProcess } from "./members-table.ts";

/** A member that does not answer its status this fast is shown without keys, memory and uptime. */
const OWN_ANSWER_TIMEOUT_MS = 500;

/**
 * Asks the servers in turn until one answers, then every alive member it names.
 *
 * @throws {CacheError} ERR_UNREACHABLE when none answers, naming each and why
 */
export async function collectView(servers: readonly string[], http: NodeHttpOptions): Promise<ClusterView> {
  const asked = await askAny(servers, http);
  const alive = asked.members.filter((member) => member.liveness === "alive" && member.id !== asked.id);
  const timeoutMs = Math.min(OWN_ANSWER_TIMEOUT_MS, http.timeoutMs ?? OWN_ANSWER_TIMEOUT_MS);
  const own = await Promise.allSettled(
    alive.map((member) => fetchNodeStatus(member.address, { ...http, timeoutMs })),
  );
  const answers = new Map<string, NodeStatus>([[asked.id, asked]]);
  for (const result of own) if (result.status === "fulfilled") answers.set(result.value.id, result.value);
  return { asked, answers };
}

/** The first answer to `/status`. @throws {CacheError} ERR_UNREACHABLE when no server answers, naming each and why */
export async function askAny(servers: readonly string[], http: NodeHttpOptions): Promise<NodeStatus> {
  const failures: string[] = servers.length === 0 ? ["none is running"] : [];
  for (const server of servers) {
    try {
      return await fetchNodeStatus(server, http);
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new CacheError("ERR_UNREACHABLE", `No node answered: ${failures.join("; ")}`);
}

/** A local cluster's processes by name, as the members table wants them. */
export function processesOf(cluster: LocalCluster): Map<string, MemberProcess> {
  return new Map(cluster.nodes().map(({ name, pid, state }) => [name, { pid, state }]));
}
