// The table of messages: every kind with its number on the wire, its fields in their order, and who may send it where. A
// message alone travels as `[number, ...fields]`; runs of the frequent kinds travel as columns (`columns.ts`) of the same fields.
//
// Numbers and the order of fields are the protocol. Changing either needs a new PROTOCOL_MAX; a number is never used again.
// `test/wire/golden.test.ts` holds the bytes.

import { SLOT_COUNT } from "../base/ids.ts";
import type { Forwarded, ForwardedRequest, Message, Path } from "../core/messages.ts";
import {
  address,
  bool,
  bytes,
  check,
  clipped,
  count,
  type Field,
  type Fields,
  InvalidField,
  integer,
  key,
  keyPart,
  list,
  memberId,
  millis,
  oneOf,
  optional,
  outcome,
  positive,
  ringId,
  ringIdOrNone,
  shortName,
  slots,
  uint32,
} from "./fields.ts";
import {
  CHANGED_KEYS_MAX,
  FAILURE_TEXT_MAX,
  FINGERPRINTS_MAX,
  MEMBERS_MAX,
  PULL_ENTRIES_MAX,
  REFUSED_IDS_MAX,
  SCAN_KEYS_MAX,
  SLOTS_MAX,
} from "./limits.ts";
import {
  change,
  changedKey,
  clearStatus,
  digest,
  entry,
  errorCode,
  format,
  known,
  memberRecord,
  purpose,
  readMode,
  readScope,
  readStatus,
  replicas,
  replicateStatus,
  ringStatus,
  topologyMember,
  updates,
  want,
  weight,
  writeMode,
} from "./shapes.ts";

/** A message within another: an array, of one of the given kinds. */
function nested<M extends Message>(kinds: readonly M["kind"][]): Field<M> {
  const allowed = new Set<string>(kinds);
  return { pack: packMessage, parse: (raw) => parseMessage(raw, allowed) as M };
}

/** One kind of message. */
interface Schema<M> {
  readonly code: number;
  readonly kind: string;
  readonly fields: readonly (readonly [name: string, field: Field<unknown>])[];
  /** What must hold between fields. */
  agrees(message: M): boolean;
}

type MessageOf<K extends Message["kind"]> = Extract<Message, { kind: K }>;

function schema<K extends Message["kind"]>(
  kind: K,
  code: number,
  fields: Fields<Omit<MessageOf<K>, "kind">>,
  agrees: (message: MessageOf<K>) => boolean = () => true,
): Schema<MessageOf<K>> {
  return { code, kind, fields: Object.entries<Field<unknown>>(fields), agrees };
}

const id = uint32;
const notAfter = millis;

const SCHEMAS: { readonly [K in Message["kind"]]: Schema<MessageOf<K>> } = {
  // Client path, requests.
  get: schema("get", 1, { id, key, read: readScope, want, notAfter }),
  write: schema("write", 2, {
    id,
    key,
    change,
    write: writeMode,
    opClient: count,
    opSeq: count,
    attempt: uint32,
    isDecidedHere: bool,
    notAfter,
    begunAt: millis,
  }),
  scan: schema("scan", 3, {
    id,
    slots: slots(SLOTS_MAX),
    after: keyPart,
    prefix: keyPart,
    limit: integer(1, SCAN_KEYS_MAX),
    isAlone: bool,
  }),
  clear: schema("clear", 4, {
    id,
    slots: slots(SLOTS_MAX),
    opClient: count,
    opSeq: count,
    attempt: uint32,
    notAfter,
    begunAt: millis,
  }),
  count: schema("count", 5, { id, slots: slots(SLOTS_MAX) }),
  command: schema("command", 6, {
    id,
    command: oneOf<"leave" | "evict">({ leave: 0, evict: 1 }),
    member: shortName,
  }),
  place: schema("place", 44, { id, zone: optional(shortName), weight: optional(weight) }),
  ping: schema("ping", 7, { sentMs: millis }),
  // Client path, replies.
  got: schema("got", 8, { id, found: bool, format, value: bytes, version: count, expiresAt: millis }),
  written: schema("written", 9, { id, outcome }),
  scanned: schema("scanned", 10, {
    id,
    keys: list(key, SCAN_KEYS_MAX),
    slotsDone: integer(0, SLOTS_MAX),
    after: keyPart,
  }),
  cleared: schema("cleared", 11, { id }),
  counted: schema("counted", 12, { id, count }),
  commanded: schema("commanded", 13, { id }),
  failed: schema("failed", 14, {
    id,
    code: errorCode,
    message: clipped(FAILURE_TEXT_MAX),
    applied: oneOf<"no" | "maybe">({ no: 0, maybe: 1 }),
    elsewhere: bool,
  }),
  pong: schema("pong", 15, { sentMs: millis, monoMs: millis, wallMs: millis }),
  topology: schema("topology", 16, {
    ringId: ringIdOrNone,
    replicas,
    defaultWrite: writeMode,
    defaultRead: readMode,
    valueBytesMax: positive,
    members: list(topologyMember, MEMBERS_MAX),
  }),
  // Peer path.
  read: schema("read", 17, {
    id,
    ringId,
    key,
    opClient: count,
    opSeq: count,
    attempt: uint32,
    begunAt: millis,
  }),
  readReply: schema("readReply", 18, {
    id,
    status: readStatus,
    counts: bool,
    isNewcomer: bool,
    entry: optional(entry),
    clearedVersion: count,
    known: optional(known),
  }),
  replicate: schema("replicate", 19, { id, ringId, purpose, entry, over: count, notAfter }),
  replicated: schema("replicated", 20, { id, status: replicateStatus, counts: bool, heldVersion: count }),
  clearReplica: schema("clearReplica", 21, {
    id,
    ringId,
    slots: slots(SLOTS_MAX),
    version: count,
    opClient: count,
    opSeq: count,
    attempt: uint32,
    begunAt: millis,
  }),
  clearReplicaReply: schema("clearReplicaReply", 22, {
    id,
    status: clearStatus,
    counts: list(bool, SLOTS_MAX),
    newest: count,
    known: count,
  }),
  forward: schema("forward", 23, {
    id,
    request: nested<ForwardedRequest>(["get", "write", "scan", "count"]),
  }),
  forwarded: schema("forwarded", 24, {
    id,
    reply: nested<Forwarded["reply"]>(["got", "written", "failed", "scanned", "counted"]),
  }),
  pull: schema(
    "pull",
    25,
    {
      id,
      ringId,
      isRehearsal: bool,
      slots: slots(SLOTS_MAX),
      digests: list(digest, SLOTS_MAX),
      after: keyPart,
    },
    (message) => message.digests.length === message.slots.length,
  ),
  pulled: schema(
    "pulled",
    26,
    {
      id,
      status: ringStatus,
      entries: list(entry, PULL_ENTRIES_MAX),
      slotsDone: integer(0, SLOTS_MAX),
      floors: list(count, SLOTS_MAX),
      cleared: list(count, SLOTS_MAX),
      entitled: list(bool, SLOTS_MAX),
      isSame: list(bool, SLOTS_MAX),
      after: keyPart,
      isBusy: bool,
    },
    ({ floors, cleared, entitled, isSame, slotsDone }) =>
      [floors, cleared, entitled, isSame].every((perSlot) => perSlot.length === slotsDone),
  ),
  catchUp: schema("catchUp", 27, { id }),
  catchUpReply: schema("catchUpReply", 28, { id, isDrained: bool, slots: slots(SLOT_COUNT) }),
  // Gossip path.
  probe: schema("probe", 29, { seq: count, target: memberId, updates }),
  ack: schema("ack", 30, { seq: count, updates }),
  probeRequest: schema("probeRequest", 31, { seq: count, target: memberId, updates }),
  nack: schema("nack", 32, { seq: count }),
  gossip: schema("gossip", 33, { updates }),
  sync: schema("sync", 34, { wantsReply: bool, records: list(memberRecord, MEMBERS_MAX) }),
  // Peer path again: what the Redis doors of nodes say to each other.
  doorAddress: schema("doorAddress", 37, { address }),
  publish: schema("publish", 38, { channel: bytes, payload: bytes }),
  // Client path again, to clients that know it.
  overloaded: schema("overloaded", 39, { ids: list(id, REFUSED_IDS_MAX), retryAfterMs: millis }),
  // And what stores tell doors.
  watch: schema("watch", 40, { id, round: count, isAll: bool, slots: slots(SLOTS_MAX) }),
  watching: schema("watching", 41, { id, round: count, seq: count }),
  changed: schema("changed", 42, {
    round: count,
    seq: count,
    isCleared: bool,
    items: list(changedKey, CHANGED_KEYS_MAX),
  }),
  // And what nodes tell each other of their secrets.
  secrets: schema("secrets", 43, { fingerprints: list(shortName, FINGERPRINTS_MAX) }),
};

const BY_KIND: Readonly<Record<string, Schema<Message>>> = SCHEMAS;
const BY_CODE: readonly (Schema<Message> | undefined)[] = byCode();

function byCode(): (Schema<Message> | undefined)[] {
  const table: (Schema<Message> | undefined)[] = [];
  for (const schema of Object.values(BY_KIND)) table[schema.code] = schema;
  return table;
}

/** The number of a kind on the wire: 1 to 127. */
export function codeOf(kind: Message["kind"]): number {
  return SCHEMAS[kind].code;
}

/** The kind with that number on the wire; `undefined` for none. */
export function kindOf(code: number): Message["kind"] | undefined {
  return BY_CODE[code]?.kind as Message["kind"] | undefined;
}

/** `[number, ...fields]`. */
export function packMessage(message: Message): unknown[] {
  const { code, fields } = BY_KIND[message.kind]!;
  const packed: unknown[] = [code];
  const values = message as unknown as Readonly<Record<string, unknown>>;
  for (const [name, field] of fields) packed.push(field.pack(values[name]));
  return packed;
}

/**
 * The message of `[number, ...fields]`.
 *
 * @throws {InvalidField} when it is no message of an allowed kind
 */
export function parseMessage(raw: unknown, allowed: ReadonlySet<string>): Message {
  check(Array.isArray(raw), "a message");
  const code: unknown = raw[0];
  const schema = typeof code === "number" ? BY_CODE[code] : undefined;
  check(schema !== undefined, "a known kind of message");
  if (!allowed.has(schema.kind)) throw new InvalidField(`no ${schema.kind} here`);
  const { fields } = schema;
  check(raw.length === fields.length + 1, "all fields and no more");
  const message: Record<string, unknown> = { kind: schema.kind };
  for (let index = 0; index < fields.length; index++) {
    const [name, field] = fields[index]!;
    message[name] = parseField(schema.kind, name, field, raw[index + 1]);
  }
  // Every property that the type names has been parsed by the field that the type demanded.
  const parsed = message as unknown as Message;
  check(schema.agrees(parsed), "fields that agree with each other");
  return parsed;
}

/** Parses a field and, when it is invalid, says which one it was. */
function parseField(kind: string, name: string, field: Field<unknown>, raw: unknown): unknown {
  try {
    return field.parse(raw);
  } catch (error) {
    if (error instanceof InvalidField) throw new InvalidField(`${kind}.${name}: ${error.message}`);
    throw error;
  }
}

/** Where a message came from: the path of its link, and whether a client or a node sent it. */
export interface Source {
  readonly path: Path;
  readonly from: "client" | "node";
}

const REQUESTS = new Set<string>(["get", "write", "scan", "clear", "count", "command", "place", "ping"]);
const REPLIES = new Set<string>([
  "got",
  "written",
  "scanned",
  "cleared",
  "counted",
  "commanded",
  "failed",
  "overloaded",
  "pong",
  "topology",
]);
const PEER = new Set<string>([
  "read",
  "readReply",
  "replicate",
  "replicated",
  "clearReplica",
  "clearReplicaReply",
  "forward",
  "forwarded",
  "pull",
  "pulled",
  "catchUp",
  "catchUpReply",
  "doorAddress",
  "publish",
  "watch",
  "watching",
  "changed",
  "secrets",
  "ping",
  "pong",
]);
const GOSSIP = new Set<string>(["probe", "ack", "probeRequest", "nack", "gossip", "sync"]);
const NOTHING: ReadonlySet<string> = new Set<string>();

/** The kinds of message that may come from there. Clients say nothing on the paths between nodes. */
export function allowedFrom(source: Source): ReadonlySet<string> {
  if (source.path === "client") return source.from === "client" ? REQUESTS : REPLIES;
  if (source.from === "client") return NOTHING;
  return source.path === "peer" ? PEER : GOSSIP;
}
