// The commands about the server: INFO, COMMAND, CONFIG, TIME, DBSIZE, FLUSHALL.

import { mayUse } from "../../base/grants.ts";
import type { Call } from "./call.ts";
import { COMMANDS, type CommandSpec, categoriesOf, fitsArity, keyIndexes } from "./command-table.ts";
import type { Context, Handler, Services } from "./context.ts";
import { CommandError, SYNTAX_ERROR } from "./errors.ts";
import { checkPattern, matchesGlob } from "./glob.ts";
import { unknownSubcommand } from "./keys.ts";
import { bytesOf, ErrorReply, MapReply, OK, type Reply, SetReply, Simple, VerbatimReply } from "./reply.ts";
import { ReplyList } from "./reply-list.ts";

// ---- INFO

type Section = readonly (readonly [name: string, value: string | number])[];

function infoSections({ services }: Context): Readonly<Record<string, Section>> {
  const status = services.status();
  const { store } = status;
  const { counters } = services;
  const caching = services.tracker.counts;
  return {
    server: [
      ["redis_version", services.version],
      ["server_name", "ringhold"],
      ["redis_mode", services.isCluster ? "cluster" : "standalone"],
      ["os", process.platform],
      ["arch_bits", 64],
      ["process_id", process.pid],
      ["run_id", services.runId],
      ["tcp_port", services.port],
      ["server_time_usec", Math.round(services.wallMs() * 1000)],
      ["uptime_in_seconds", Math.floor(status.uptimeMs / 1000)],
      ["uptime_in_days", Math.floor(status.uptimeMs / 86_400_000)],
      ["ringhold_node", status.id],
      ["ringhold_verdict", status.verdict],
    ],
    clients: [
      ["connected_clients", [...services.sessions()].length],
      ["tracking_clients", caching.clients],
      ["blocked_clients", 0],
    ],
    memory: [
      ["used_memory", store.bytes],
      ["used_memory_human", `${(store.bytes / 1024 / 1024).toFixed(2)}M`],
      ["used_memory_rss", process.memoryUsage.rss()],
      ["maxmemory", services.memoryBytes],
      ["maxmemory_human", `${(services.memoryBytes / 1024 / 1024).toFixed(2)}M`],
      ["maxmemory_policy", "allkeys-lru"],
    ],
    persistence: [
      ["loading", services.keyspace.view.ring === undefined ? 1 : 0],
      ["rdb_bgsave_in_progress", 0],
      ["aof_enabled", 0],
    ],
    stats: [
      ["total_connections_received", counters.connectionsTotal],
      ["total_commands_processed", counters.commandsTotal],
      ["rejected_connections", counters.rejectedTotal],
      ["expired_keys", store.expirationsTotal],
      ["evicted_keys", store.evictionsTotal],
      ["keyspace_hits", counters.hitsTotal],
      ["keyspace_misses", counters.missesTotal],
      ["pubsub_channels", services.pubSub.channels().length],
      ["pubsub_patterns", services.pubSub.patternCount],
      ["tracking_total_keys", caching.keys],
      ["tracking_total_items", caching.reads],
      ["tracking_total_prefixes", caching.prefixes],
    ],
    replication: [
      ["role", "master"],
      ["connected_slaves", 0],
      ["master_replid", services.runId],
      ["master_repl_offset", 0],
    ],
    cluster: [["cluster_enabled", services.isCluster ? 1 : 0]],
    keyspace: store.entries === 0 ? [] : [["db0", `keys=${store.entries},expires=0,avg_ttl=0`]],
  };
}

/** For users who are no administrators: what clients ask for when they connect, and nothing of the cluster or of others. */
const PUBLIC_SECTIONS = new Set(["persistence", "replication", "cluster"]);
const PUBLIC_FIELDS = new Set(["redis_version", "redis_mode", "tcp_port"]);

function visibleSections(context: Context): Readonly<Record<string, Section>> {
  const sections = infoSections(context);
  if (mayUse(context.session.access?.grants, "admin")) return sections;
  const server = sections.server!.filter(([name]) => PUBLIC_FIELDS.has(name));
  const others = Object.entries(sections).filter(([name]) => PUBLIC_SECTIONS.has(name));
  return { server, ...Object.fromEntries(others) };
}

const info: Handler = (call, context) => {
  const sections = visibleSections(context);
  const wanted = new Set(call.args.slice(1).map((_arg, index) => call.word(index + 1).toLowerCase()));
  const isAll = wanted.size === 0 || ["all", "default", "everything"].some((word) => wanted.has(word));
  const texts = Object.entries(sections)
    .filter(([name]) => isAll || wanted.has(name))
    .map(([name, section]) => {
      const title = `# ${name[0]!.toUpperCase()}${name.slice(1)}`;
      return `${[title, ...section.map(([field, value]) => `${field}:${value}`)].join("\r\n")}\r\n`;
    });
  return new VerbatimReply(texts.join("\r\n"));
};

// ---- COMMAND

function commandInfo(spec: CommandSpec): Reply {
  const { name, arity, flags, firstKey, lastKey, keyStep, subcommands } = spec;
  return [
    name,
    arity,
    new SetReply(flags.map((flag) => new Simple(flag))),
    firstKey,
    lastKey,
    keyStep,
    new SetReply(categoriesOf(spec).map((category) => new Simple(category))),
    [],
    firstKey === 0 ? [] : [keySpec(spec)],
    subcommands.map((sub) => [
      `${name}|${sub}`,
      -2,
      new SetReply([]),
      0,
      0,
      0,
      new SetReply([new Simple("@slow")]),
      [],
      [],
      [],
    ]),
  ];
}

function keySpec({ flags, firstKey, lastKey, keyStep }: CommandSpec): Reply {
  const access = flags.includes("readonly") ? "RO" : "RW";
  const range = new MapReply([
    ...["lastkey", lastKey < 0 ? lastKey : lastKey - firstKey],
    ...["keystep", keyStep],
    ...["limit", 0],
  ]);
  return new MapReply([
    ...["flags", new SetReply([new Simple(access), new Simple("access")])],
    ...["begin_search", new MapReply(["type", "index", "spec", new MapReply(["index", firstKey])])],
    ...["find_keys", new MapReply(["type", "range", "spec", range])],
  ]);
}

function commandDocs(spec: CommandSpec): readonly Reply[] {
  const { summary, since, group, subcommands, name } = spec;
  const fields: Reply[] = ["summary", summary, "since", since, "group", group, "complexity", "O(1)"];
  if (subcommands.length > 0) {
    const docs = subcommands.flatMap((sub) => [
      `${name}|${sub}`,
      new MapReply(["summary", `${sub} of ${name}`, "since", since, "group", group, "complexity", "O(1)"]),
    ]);
    fields.push("subcommands", new MapReply(docs));
  }
  return [name, new MapReply(fields)];
}

/** What is said of each command, and how much that is: made once, as a transaction may ask thousands of times. */
const INFOS: ReadonlyMap<string, { readonly reply: Reply; readonly bytes: number }> = new Map(
  [...COMMANDS.values()].map((spec) => {
    const reply = commandInfo(spec);
    return [spec.name, { reply, bytes: bytesOf(reply) }];
  }),
);
const ALL_INFOS: Reply = [...INFOS.values()].map(({ reply }) => reply);
const DOCS: ReadonlyMap<string, readonly Reply[]> = new Map(
  [...COMMANDS.values()].map((spec) => [spec.name, commandDocs(spec)]),
);
const ALL_DOCS: Reply = new MapReply([...DOCS.values()].flat());

const command: Handler = (call) => {
  if (call.args.length === 1) return ALL_INFOS;
  const names = call.args.slice(2).map((_arg, index) => call.word(index + 2).toLowerCase());
  switch (call.word(1).toLowerCase()) {
    case "count":
      demandCount(call, 2, 2);
      return COMMANDS.size;
    case "info":
      return names.length === 0 ? ALL_INFOS : commandInfos(names);
    case "docs":
      // A map has each name once.
      return names.length === 0
        ? ALL_DOCS
        : new MapReply([...new Set(names)].flatMap((name) => DOCS.get(name) ?? []));
    case "list":
      return [...COMMANDS.values()].filter(commandFilter(call)).map(({ name }) => name);
    case "getkeys":
      demandCount(call, 4);
      return keysOfRequest(call);
    case "help":
      return [
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "COUNT",
        "DOCS [<command-name> ...]",
        "GETKEYS <full-command>",
        "INFO [<command-name> ...]",
        "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
      ];
    default:
      throw unknownSubcommand(call);
  }
};

/** Which commands COMMAND LIST names. @throws {CommandError} when the filter is none */
function commandFilter(call: Call): (spec: CommandSpec) => boolean {
  if (call.args.length === 2) return () => true;
  if (call.args.length !== 5 || call.word(2).toLowerCase() !== "filterby")
    throw new CommandError(SYNTAX_ERROR);
  const wanted = call.word(4).toLowerCase();
  switch (call.word(3).toLowerCase()) {
    case "module":
      return () => false;
    case "aclcat":
      return (spec) => categoriesOf(spec).includes(`@${wanted}`);
    case "pattern":
      checkPattern(call.args[4]!);
      return ({ name }) => matchesGlob(wanted, name);
    default:
      throw new CommandError(SYNTAX_ERROR);
  }
}

/** One for each name, in their order. */
function commandInfos(names: readonly string[]): Reply {
  const list = new ReplyList();
  for (const name of names) {
    const found = INFOS.get(name);
    list.add(found?.reply ?? null, found?.bytes);
  }
  return list.items;
}

function demandCount(call: Call, min: number, max = Number.POSITIVE_INFINITY): void {
  if (call.args.length >= min && call.args.length <= max) return;
  const name = `${call.spec.name}|${call.word(1).toLowerCase()}`;
  throw new CommandError(`ERR wrong number of arguments for '${name}' command`);
}

function keysOfRequest(call: Call): Reply {
  const request = call.args.slice(2);
  const spec = request.length === 0 ? undefined : COMMANDS.get(call.word(2).toLowerCase());
  if (spec === undefined) throw new CommandError("ERR Invalid command specified");
  if (!fitsArity(spec, request.length))
    throw new CommandError("ERR Invalid number of arguments specified for command");
  // The key of these stands behind a subcommand.
  const isContainer = spec.name === "object" || spec.name === "memory";
  const indexes = isContainer && request.length > 2 ? [2] : keyIndexes(spec, request.length);
  if (indexes.length === 0) throw new CommandError("ERR The command has no key arguments");
  return indexes.map((index) => request[index]!);
}

// ---- CONFIG

/** What tools ask for. Nothing of it can be set: a node is told by its own options. */
function configValues(services: Services): Readonly<Record<string, string>> {
  return {
    appendonly: "no",
    databases: "1",
    "cluster-enabled": services.isCluster ? "yes" : "no",
    maxclients: String(services.connectionsMax),
    maxmemory: String(services.memoryBytes),
    "maxmemory-policy": "allkeys-lru",
    port: String(services.port),
    "proto-max-bulk-len": String(services.valueBytesMax),
    save: "",
    timeout: "0",
  };
}

const config: Handler = (call, { services }) => {
  const subcommand = call.word(1).toLowerCase();
  if (subcommand === "resetstat") {
    const { counters } = services;
    for (const name of [
      "connectionsTotal",
      "commandsTotal",
      "rejectedTotal",
      "hitsTotal",
      "missesTotal",
    ] as const)
      counters[name] = 0;
    return OK;
  }
  if (subcommand === "help")
    return ["CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", "GET <pattern>", "RESETSTAT"];
  if (subcommand === "set")
    return new ErrorReply("ERR CONFIG SET is not supported: a node is configured by its own options");
  if (subcommand !== "get") throw unknownSubcommand(call);
  if (call.args.length < 3) throw new CommandError("ERR wrong number of arguments for 'config|get' command");
  call.args.slice(2).forEach(checkPattern);
  const patterns = call.args.slice(2).map((_arg, index) => call.word(index + 2).toLowerCase());
  const values = Object.entries(configValues(services));
  const matching = values.filter(([name]) => patterns.some((pattern) => matchesGlob(pattern, name)));
  return new MapReply(matching.flat());
};

// ---- all keys

const flush: Handler = async (call, { services }) => {
  const mode = call.args.length > 1 ? call.word(1).toLowerCase() : "sync";
  if (call.args.length > 2 || (mode !== "sync" && mode !== "async")) throw new CommandError(SYNTAX_ERROR);
  await services.sweep.clear();
  return OK;
};

const time: Handler = (_call, { services }) => {
  const microseconds = Math.floor(services.wallMs() * 1000);
  const seconds = Math.floor(microseconds / 1_000_000);
  return [String(seconds), String(microseconds - seconds * 1_000_000)];
};

/** Only what clears: there are no functions. */
const functions: Handler = (call) => {
  if (call.word(1).toLowerCase() === "flush") return OK;
  throw unknownSubcommand(call);
};

/** By name. */
export const SERVER_COMMANDS: Readonly<Record<string, Handler>> = {
  ...{ info, command, config, time },
  dbsize: (_call, { services }) => services.sweep.count(),
  flushall: flush,
  flushdb: flush,
  function: functions,
  // Every acknowledged write has reached its quorum already; nobody has to wait for more.
  wait: (_call, { services }) => Math.max(0, services.status().replicas - 1),
};
