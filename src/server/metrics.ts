// The page behind /metrics: counters of events and requests, the core's status as gauges, and how the process is doing.

import type { Liveness } from "../core/messages.ts";
import type { NodeStatus } from "../core/status.ts";
import type { EventFold } from "./events.ts";
import { MetricWriter } from "./prometheus.ts";
import type { RequestMetrics } from "./request-metrics.ts";

/** What the shell itself counts. Totals only grow. */
export interface ShellCounts {
  readonly clients: number;
  readonly peerLinks: number;
  /** Messages between nodes given up before they were sent. */
  readonly messagesDroppedTotal: number;
  /** Connections turned away, by code. */
  readonly refusalsTotal: ReadonlyMap<string, number>;
  /** Requests that their users may not make. */
  readonly deniedTotal: number;
  /** The Redis door: its connections, and the commands it was sent; `undefined` without one. */
  readonly redis?: { readonly connections: number; readonly commandsTotal: number } | undefined;
  /** The event loop's worst lateness since the page was last read. */
  readonly loopLateMsMax: number;
}

const LIVENESS: readonly Liveness[] = ["alive", "suspect", "dead"];

/** Writes the whole page. */
export function metricsPage(
  parts: { readonly events: EventFold; readonly requests: RequestMetrics },
  status: NodeStatus,
  shell: ShellCounts,
): string {
  const writer = new MetricWriter();
  writeStatus(writer, status);
  writeShell(writer, shell);
  writeProcess(writer);
  parts.requests.write(writer);
  parts.events.write(writer);
  return writer.toString();
}

function writeStatus(writer: MetricWriter, status: NodeStatus): void {
  const { store, hints } = status;
  writer.metric("ringhold_node_info", "gauge", "Always 1; the labels say who this is");
  writer.sample(
    "ringhold_node_info",
    { node: status.id, cluster: status.clusterName, ring: status.ringId },
    1,
  );
  writer.single("ringhold_ready", "gauge", "1 when in the ring and answering", Number(status.isReady));
  writer.single("ringhold_safe", "gauge", "1 when every slot has all its copies", Number(status.isSafe));
  writer.metric("ringhold_members", "gauge", "Members in this node's view, by liveness");
  for (const liveness of LIVENESS) {
    const count = status.members.filter((member) => member.liveness === liveness).length;
    writer.sample("ringhold_members", { liveness }, count);
  }
  const gauges: readonly (readonly [string, string, number])[] = [
    ["slots_warming", "Slots of this node that are still being filled", status.slotsWarming],
    ["slots_under_replicated", "Slots of which some copy is missing", status.slotsUnderReplicated],
    ["store_entries", "Live values", store.entries],
    ["store_tombstones", "Remembered deletes", store.tombstones],
    ["store_bytes", "Bytes of entries and what is kept about them", store.bytes],
    ["store_bytes_max", "Budget for them", store.bytesMax],
    ["hints", "Hints held for unreachable replicas", hints.count],
    ["hint_bytes", "Bytes of these hints", hints.bytes],
    ["requests_pending", "Requests under way on this node", status.pending],
    ["clock_skew_seconds", "This node's clock against the others'", status.clockSkewMs / 1000],
    ["uptime_seconds", "Since the node started", status.uptimeMs / 1000],
  ];
  for (const [name, help, value] of gauges) writer.single(`ringhold_${name}`, "gauge", help, value);
  writer.single(
    "ringhold_store_evictions_total",
    "counter",
    "Values evicted for space",
    store.evictionsTotal,
  );
  writer.single("ringhold_store_expirations_total", "counter", "Values that expired", store.expirationsTotal);
  if (status.secrets !== undefined) {
    const help = "Members that have other secrets than most";
    writer.single("ringhold_secrets_behind", "gauge", help, status.secrets.behind.length);
  }
  const { entriesTotal, bytesTotal } = status.copied;
  writer.single("ringhold_copied_entries_total", "counter", "Entries copied from other nodes", entriesTotal);
  writer.single("ringhold_copied_bytes_total", "counter", "Bytes of these entries", bytesTotal);
}

function writeShell(writer: MetricWriter, shell: ShellCounts): void {
  writer.single("ringhold_clients", "gauge", "Clients connected", shell.clients);
  writer.single("ringhold_peer_links", "gauge", "Links to other nodes, all paths", shell.peerLinks);
  writer.single(
    "ringhold_peer_messages_dropped_total",
    "counter",
    "Messages between nodes given up before they were sent",
    shell.messagesDroppedTotal,
  );
  writer.metric("ringhold_connections_refused_total", "counter", "Connections turned away, by reason");
  for (const [code, count] of shell.refusalsTotal) {
    writer.sample("ringhold_connections_refused_total", { code }, count);
  }
  const deniedHelp = "Requests refused because their user may not make them";
  writer.single("ringhold_requests_denied_total", "counter", deniedHelp, shell.deniedTotal);
  if (shell.redis !== undefined) {
    const { connections, commandsTotal } = shell.redis;
    writer.single("ringhold_redis_connections", "gauge", "Connections of Redis clients", connections);
    writer.single("ringhold_redis_commands_total", "counter", "Commands of Redis clients", commandsTotal);
  }
  const help = "Worst lateness of the event loop since the last scrape";
  writer.single("ringhold_event_loop_late_seconds_max", "gauge", help, shell.loopLateMsMax / 1000);
}

function writeProcess(writer: MetricWriter): void {
  const { rss, heapUsed, external } = process.memoryUsage();
  const cpu = process.cpuUsage();
  writer.single("process_resident_memory_bytes", "gauge", "Resident memory", rss);
  writer.single("nodejs_heap_size_used_bytes", "gauge", "JavaScript heap in use", heapUsed);
  writer.single("nodejs_external_memory_bytes", "gauge", "Memory outside the JavaScript heap", external);
  const seconds = (cpu.user + cpu.system) / 1e6;
  writer.single("process_cpu_seconds_total", "counter", "Processor time used", seconds);
}
