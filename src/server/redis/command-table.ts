// The commands that the door knows, as data: their arity, flags and where their keys are, and what Redis says of them. What COMMAND
// and COMMAND DOCS answer, what is checked before a command runs, and which commands of one connection may run side by side all
// derive from this table. Names, numbers and summaries are those of Redis 7.0.

/** One command. Positions count the command's own name as 0, as Redis does. */
export interface CommandSpec {
  /** In lower case. */
  readonly name: string;
  /** Exactly so many arguments, the name included; at least so many when negative. */
  readonly arity: number;
  readonly flags: readonly string[];
  /** First and last key and the distance between two; all 0 for commands without keys; `lastKey` -1 is the last argument. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  readonly group: string;
  readonly since: string;
  readonly summary: string;
  /** Names of what may follow, for commands that are containers. */
  readonly subcommands: readonly string[];
  /** Whether it only reads: what it reads may be cached by a client. */
  readonly isReadOnly: boolean;
  /** Whether its first argument, and no other, is a key. */
  readonly hasOneKey: boolean;
}

// name | arity | flags | first key, last key, step | group | since | summary
const LINES = `
append|3|write denyoom fast|1 1 1|string|2.0.0|Append a value to a key
asking|1|fast|0 0 0|cluster|3.0.0|Sent by cluster clients after an -ASK redirect
auth|-2|noscript loading stale fast no_auth allow_busy|0 0 0|connection|1.0.0|Authenticate to the server
client|-2||0 0 0|connection|2.4.0|A container for client connection commands
cluster|-2||0 0 0|cluster|3.0.0|A container for cluster commands
command|-1|loading stale|0 0 0|server|2.8.13|Get array of Redis command details
config|-2||0 0 0|server|2.0.0|A container for server configuration commands
copy|-3|write denyoom|1 2 1|generic|6.2.0|Copy a key
dbsize|1|readonly fast|0 0 0|server|1.0.0|Return the number of keys in the selected database
decr|2|write denyoom fast|1 1 1|string|1.0.0|Decrement the integer value of a key by one
decrby|3|write denyoom fast|1 1 1|string|1.0.0|Decrement the integer value of a key by the given number
del|-2|write|1 -1 1|generic|1.0.0|Delete a key
discard|1|noscript loading stale fast allow_busy|0 0 0|transactions|2.0.0|Discard all commands issued after MULTI
echo|2|loading stale fast|0 0 0|connection|1.0.0|Echo the given string
exec|1|noscript loading stale skip_slowlog|0 0 0|transactions|1.2.0|Execute all commands issued after MULTI
exists|-2|readonly fast|1 -1 1|generic|1.0.0|Determine if a key exists
expire|-3|write fast|1 1 1|generic|1.0.0|Set a key's time to live in seconds
expireat|-3|write fast|1 1 1|generic|1.2.0|Set the expiration for a key as a UNIX timestamp
expiretime|2|readonly fast|1 1 1|generic|7.0.0|Get the expiration Unix timestamp for a key
flushall|-1|write|0 0 0|server|1.0.0|Remove all keys from all databases
flushdb|-1|write|0 0 0|server|1.0.0|Remove all keys from the current database
function|-2||0 0 0|scripting|7.0.0|A container for function commands
get|2|readonly fast|1 1 1|string|1.0.0|Get the value of a key
getbit|3|readonly fast|1 1 1|bitmap|2.2.0|Returns the bit value at offset in the string value stored at key
getdel|2|write fast|1 1 1|string|6.2.0|Get the value of a key and delete the key
getex|-2|write fast|1 1 1|string|6.2.0|Get the value of a key and optionally set its expiration
getrange|4|readonly|1 1 1|string|2.4.0|Get a substring of the string stored at a key
getset|3|write denyoom fast|1 1 1|string|1.0.0|Set the string value of a key and return its old value
hello|-1|noscript loading stale fast no_auth allow_busy|0 0 0|connection|6.0.0|Handshake with Redis
incr|2|write denyoom fast|1 1 1|string|1.0.0|Increment the integer value of a key by one
incrby|3|write denyoom fast|1 1 1|string|1.0.0|Increment the integer value of a key by the given amount
incrbyfloat|3|write denyoom fast|1 1 1|string|2.6.0|Increment the float value of a key by the given amount
info|-1|loading stale|0 0 0|server|1.0.0|Get information and statistics about the server
keys|2|readonly|0 0 0|generic|1.0.0|Find all keys matching the given pattern
lcs|-3|readonly|1 2 1|string|7.0.0|Find longest common substring
memory|-2||0 0 0|server|4.0.0|A container for memory diagnostics commands
mget|-2|readonly fast|1 -1 1|string|1.0.0|Get the values of all the given keys
mset|-3|write denyoom|1 -1 2|string|1.0.1|Set multiple keys to multiple values
msetnx|-3|write denyoom|1 -1 2|string|1.0.1|Set multiple keys to multiple values, only if none of the keys exist
multi|1|noscript loading stale fast allow_busy|0 0 0|transactions|1.2.0|Mark the start of a transaction block
object|-2||0 0 0|generic|2.2.3|A container for object introspection commands
persist|2|write fast|1 1 1|generic|2.2.0|Remove the expiration from a key
pexpire|-3|write fast|1 1 1|generic|2.6.0|Set a key's time to live in milliseconds
pexpireat|-3|write fast|1 1 1|generic|2.6.0|Set the expiration for a key as a UNIX timestamp specified in milliseconds
pexpiretime|2|readonly fast|1 1 1|generic|7.0.0|Get the expiration Unix timestamp for a key in milliseconds
ping|-1|fast|0 0 0|connection|1.0.0|Ping the server
psetex|4|write denyoom|1 1 1|string|2.6.0|Set the value and expiration in milliseconds of a key
psubscribe|-2|pubsub noscript loading stale|0 0 0|pubsub|2.0.0|Listen for messages published to channels matching the given patterns
pttl|2|readonly fast|1 1 1|generic|2.6.0|Get the time to live for a key in milliseconds
publish|3|pubsub loading stale fast|0 0 0|pubsub|2.0.0|Post a message to a channel
pubsub|-2||0 0 0|pubsub|2.8.0|A container for Pub/Sub commands
punsubscribe|-1|pubsub noscript loading stale|0 0 0|pubsub|2.0.0|Stop listening for messages posted to channels matching the given patterns
quit|-1|noscript loading stale fast no_auth allow_busy|0 0 0|connection|1.0.0|Close the connection
randomkey|1|readonly|0 0 0|generic|1.0.0|Return a random key from the keyspace
readonly|1|loading stale fast|0 0 0|cluster|3.0.0|Enables read queries for a connection to a cluster replica node
readwrite|1|loading stale fast|0 0 0|cluster|3.0.0|Disables read queries for a connection to a cluster replica node
rename|3|write|1 2 1|generic|1.0.0|Rename a key
renamenx|3|write fast|1 2 1|generic|1.0.0|Rename a key, only if the new key does not exist
reset|1|noscript loading stale fast no_auth allow_busy|0 0 0|connection|6.2.0|Reset the connection
scan|-2|readonly|0 0 0|generic|2.8.0|Incrementally iterate the keys space
select|2|loading stale fast|0 0 0|connection|1.0.0|Change the selected database for the current connection
set|-3|write denyoom|1 1 1|string|1.0.0|Set the string value of a key
setbit|4|write denyoom|1 1 1|bitmap|2.2.0|Sets or clears the bit at offset in the string value stored at key
setex|4|write denyoom|1 1 1|string|2.0.0|Set the value and expiration of a key
setnx|3|write denyoom fast|1 1 1|string|1.0.0|Set the value of a key, only if the key does not exist
setrange|4|write denyoom|1 1 1|string|2.2.0|Overwrite part of a string at key starting at the specified offset
strlen|2|readonly fast|1 1 1|string|2.2.0|Get the length of the value stored in a key
subscribe|-2|pubsub noscript loading stale|0 0 0|pubsub|2.0.0|Listen for messages published to the given channels
substr|4|readonly|1 1 1|string|1.0.0|Get a substring of the string stored at a key
time|1|loading stale fast|0 0 0|server|2.6.0|Return the current server time
touch|-2|readonly fast|1 -1 1|generic|3.2.1|Alters the last access time of a key(s). Returns the number of existing keys specified.
ttl|2|readonly fast|1 1 1|generic|1.0.0|Get the time to live for a key in seconds
type|2|readonly fast|1 1 1|generic|1.0.0|Determine the type stored at key
unlink|-2|write fast|1 -1 1|generic|4.0.0|Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.
unsubscribe|-1|pubsub noscript loading stale|0 0 0|pubsub|2.0.0|Stop listening for messages posted to the given channels
unwatch|1|noscript loading stale fast allow_busy|0 0 0|transactions|2.2.0|Forget about all watched keys
wait|3|noscript|0 0 0|generic|3.0.0|Wait for the synchronous replication of all the write commands sent in the context of the current connection
watch|-2|noscript loading stale fast allow_busy|1 -1 1|transactions|2.2.0|Watch the given keys to determine execution of the MULTI/EXEC block
`;

const SUBCOMMANDS: Readonly<Record<string, readonly string[]>> = {
  client: [
    "caching",
    "getname",
    "getredir",
    "help",
    "id",
    "info",
    "kill",
    "list",
    "no-evict",
    "reply",
    "setinfo",
    "setname",
    "tracking",
    "trackinginfo",
    "unpause",
  ],
  cluster: [
    "countkeysinslot",
    "getkeysinslot",
    "help",
    "info",
    "keyslot",
    "myid",
    "nodes",
    "shards",
    "slots",
  ],
  command: ["count", "docs", "getkeys", "help", "info", "list"],
  config: ["get", "help", "resetstat", "set"],
  function: ["flush"],
  memory: ["help", "usage"],
  object: ["encoding", "freq", "help", "idletime", "refcount"],
  pubsub: ["channels", "help", "numpat", "numsub"],
};

function parseLine(line: string): CommandSpec {
  const [name = "", arity = "", flags = "", keys = "", group = "", since = "", summary = ""] =
    line.split("|");
  const [firstKey = 0, lastKey = 0, keyStep = 0] = keys.split(" ").map(Number);
  return Object.freeze({
    name,
    arity: Number(arity),
    flags: Object.freeze(flags === "" ? [] : flags.split(" ")),
    ...{ firstKey, lastKey, keyStep, group, since, summary },
    subcommands: Object.freeze(SUBCOMMANDS[name] ?? []),
    hasOneKey: firstKey === 1 && lastKey === 1,
    isReadOnly: flags.split(" ").includes("readonly"),
  });
}

/** Every command, by name. */
export const COMMANDS: ReadonlyMap<string, CommandSpec> = new Map(
  LINES.trim()
    .split("\n")
    .map(parseLine)
    .map((spec) => [spec.name, spec]),
);

/** Whether a request of so many arguments, the name included, fits the command. */
export function fitsArity({ arity }: CommandSpec, count: number): boolean {
  return arity >= 0 ? count === arity : count >= -arity;
}

/** Indexes of the arguments that are keys, in a request of so many arguments. */
export function keyIndexes({ firstKey, lastKey, keyStep }: CommandSpec, count: number): number[] {
  const indexes: number[] = [];
  if (firstKey === 0) return indexes;
  const last = lastKey < 0 ? count + lastKey : lastKey;
  for (let index = firstKey; index <= last && index < count; index += keyStep) indexes.push(index);
  return indexes;
}

/** Whether the command may change keys. */
export function isWrite(spec: CommandSpec): boolean {
  return spec.flags.includes("write");
}

/** The access control categories that Redis derives from flags and group. */
export function categoriesOf(spec: CommandSpec): readonly string[] {
  const categories = new Set<string>();
  if (isWrite(spec)) categories.add("@write");
  if (spec.flags.includes("readonly")) categories.add("@read");
  if (spec.flags.includes("pubsub")) categories.add("@pubsub");
  if (spec.group === "string") categories.add("@string");
  else if (spec.group === "bitmap") categories.add("@bitmap");
  else if (spec.group === "generic") categories.add("@keyspace");
  else if (spec.group === "connection") categories.add("@connection");
  else if (spec.group === "transactions") categories.add("@transaction");
  categories.add(spec.flags.includes("fast") ? "@fast" : "@slow");
  return [...categories];
}
