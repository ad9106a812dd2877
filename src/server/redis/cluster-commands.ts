// CLUSTER: the ring as a Redis Cluster shows itself (cluster-map.ts).

import { slotOfKey } from "../../base/hash.ts";
import { SLOT_COUNT } from "../../base/ids.ts";
import type { Call } from "./call.ts";
import type { MapNode } from "./cluster-map.ts";
import { nodeIdOf } from "./cluster-map.ts";
import type { Context, Handler } from "./context.ts";
import { CommandError, NOT_AN_INTEGER } from "./errors.ts";
import { unknownSubcommand } from "./keys.ts";
import { parseInt64 } from "./numbers.ts";
import { MapReply, type Reply, VerbatimReply } from "./reply.ts";
import { keyBytes, keyOf } from "./values.ts";

const cluster: Handler = (call, context) => {
  const subcommand = call.word(1).toLowerCase();
  // About keys and slots alone: true in either presentation.
  if (subcommand === "keyslot") return slotOfKey(keyOf(demand(call, 3)[2]!));
  if (subcommand === "help")
    return [
      "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "COUNTKEYSINSLOT <slot>",
      "GETKEYSINSLOT <slot> <count>",
      "INFO",
      "KEYSLOT <key>",
      "MYID",
      "NODES",
      "SHARDS",
      "SLOTS",
    ];
  if (!call.spec.subcommands.includes(subcommand)) throw unknownSubcommand(call);
  if (!context.services.isCluster) throw new CommandError("ERR This instance has cluster support disabled");
  const { sweep, map, keyspace } = context.services;
  switch (subcommand) {
    case "slots":
      return slots(map.nodes());
    case "shards":
      return map.nodes().map(shard);
    case "nodes":
      return new VerbatimReply(nodes(context));
    case "info":
      return new VerbatimReply(info(context));
    case "myid":
      return nodeIdOf(keyspace.view.self);
    case "countkeysinslot":
      return sweep.countInSlot(slotArgument(call, 3));
    case "getkeysinslot": {
      const count = Number(parseInt64(demand(call, 4) && call.word(3)) ?? -1n);
      if (count < 0 || count > 10_000) throw new CommandError("ERR Invalid number of keys");
      return sweep.keysInSlot(slotArgument(call, 4), count).then((keys) => keys.map(keyBytes));
    }
    default:
      throw unknownSubcommand(call);
  }
};

function demand(call: Call, count: number): readonly Buffer[] {
  if (call.args.length === count) return call.args;
  throw new CommandError(`ERR wrong number of arguments for 'cluster|${call.word(1).toLowerCase()}' command`);
}

function slotArgument(call: Call, count: number): number {
  demand(call, count);
  const slot = parseInt64(call.word(2));
  if (slot === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (slot < 0n || slot >= BigInt(SLOT_COUNT)) throw new CommandError("ERR Invalid slot");
  return Number(slot);
}

function slots(members: readonly MapNode[]): Reply {
  const all = members.flatMap((node) => node.ranges.map(([first, last]) => ({ first, last, node })));
  all.sort((a, b) => a.first - b.first);
  return all.map(({ first, last, node }) => [first, last, [node.host, node.port, node.nodeId, []]]);
}

function shard(node: MapNode): Reply {
  const description = new MapReply([
    ...["id", node.nodeId, "port", node.port, "ip", node.host, "endpoint", node.host],
    ...["role", "master", "replication-offset", 0, "health", "online"],
  ]);
  return new MapReply(["slots", node.ranges.flat(), "nodes", [description]]);
}

function nodes({ services: { map, keyspace } }: Context): string {
  const lines = map.nodes().map(({ member, nodeId, host, port, ranges }) => {
    const flags = member === keyspace.view.self ? "myself,master" : "master";
    const slotTexts = ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
    // The port of the bus is a formality: nothing of Redis Cluster's own protocol is spoken here.
    return [nodeId, `${host}:${port}@${port}`, flags, "-", 0, 0, map.epoch, "connected", ...slotTexts].join(
      " ",
    );
  });
  return `${lines.join("\n")}\n`;
}

function info({ services: { map, keyspace } }: Context): string {
  const isUp = keyspace.view.ring !== undefined;
  const size = map.nodes().length;
  const fields = {
    cluster_state: isUp ? "ok" : "fail",
    cluster_slots_assigned: isUp ? SLOT_COUNT : 0,
    cluster_slots_ok: isUp ? SLOT_COUNT : 0,
    cluster_slots_pfail: 0,
    cluster_slots_fail: 0,
    cluster_known_nodes: size,
    cluster_size: size,
    cluster_current_epoch: map.epoch,
    cluster_my_epoch: map.epoch,
  };
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}:${value}`)
    .join("\r\n")}\r\n`;
}

/** By name. */
export const CLUSTER_COMMANDS: Readonly<Record<string, Handler>> = { cluster };
