// Which ports the nodes of a local cluster and their Redis doors listen on: so many in a row from a first one, or any free ones. The two
// ranges may meet, and a node that is down keeps its ports.

import { PORT_MAX } from "../src/base/address.ts";
import { findFreePorts, isPortFree } from "./free-port.ts";
import { type ClusterState, LocalClusterError, type NodeEntry } from "./state-directory.ts";

/** So many in a row; none where any free ones will do, or where there are none at all. */
export function portsFrom(basePort: number | undefined, count: number): number[] {
  if (basePort === undefined || basePort === 0) return [];
  return Array.from({ length: count }, (_, index) => basePort + index);
}

/**
 * Ports for a new cluster's nodes, or for their Redis doors.
 *
 * @param flag What chooses other ones, for the error.
 * @throws {LocalClusterError} when one of them is in use, or there are not as many above the first
 */
export async function choosePorts(
  flag: "--port" | "--redis-port",
  options: {
    /** The first one, the others follow; 0 for any free ones. */
    readonly basePort: number;
    readonly count: number;
    /** Not to be chosen where any free ones will do. */
    readonly besides: readonly number[];
  },
): Promise<number[]> {
  const { basePort, count, besides } = options;
  if (basePort === 0) return findFreePorts(count, besides);
  if (basePort + count - 1 > PORT_MAX) {
    throw new LocalClusterError(
      `${count} ports from ${basePort} on do not fit below ${PORT_MAX + 1}: choose a lower ${flag}`,
    );
  }
  const ports = portsFrom(basePort, count);
  for (const port of ports) {
    if (await isPortFree(port)) continue;
    throw new LocalClusterError(
      `Port ${port} is in use by another program: choose others with ${flag}, or any free ones with ${flag} 0`,
    );
  }
  return ports;
}

/**
 * A port for one more node, or for its Redis door: the first free one above those of the others.
 *
 * @param taken Ports that the cluster has already; their nodes may be down.
 * @throws {LocalClusterError} when none is left
 */
export async function nextPort(
  state: ClusterState,
  kind: "port" | "redisPort",
  taken: readonly number[],
): Promise<number> {
  const basePort = (kind === "port" ? state.basePort : state.redisBasePort) ?? 0;
  if (basePort === 0) return (await findFreePorts(1, taken))[0]!;
  let port = Math.max(...state.nodes.map((node) => node[kind] ?? 0), basePort - 1) + 1;
  while (port <= PORT_MAX && (taken.includes(port) || !(await isPortFree(port)))) port++;
  if (port > PORT_MAX) throw new LocalClusterError("No port above the cluster's others is free");
  return port;
}

/** All ports of a node. */
export function portsOf({ port, redisPort }: NodeEntry): number[] {
  return redisPort === undefined ? [port] : [port, redisPort];
}
