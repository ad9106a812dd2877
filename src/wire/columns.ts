// Runs of one frequent kind of message as columns: `[-number, ids, field, field, ...]`. A field that is the same in the whole run
// is sent once, as itself; one that differs is an array with an item per message. Against one small array per message this
// spares the headers of the arrays and, mostly, the fields that never change, such as the ring id.
//
// Invariants:
// 1. The ids are always an array, and its length is the number of messages: a group cannot announce more messages than it has
//    bytes.
// 2. No field of a column is itself an array, so that an array is always a column.
// 3. The fields are those of the single message (`schema.ts`), nested ones spread out, checked by the same code.

import type {
  Entry,
  GetReply,
  GetRequest,
  Message,
  ReadReplica,
  ReadReplicaReply,
  Replicate,
  ReplicateReply,
  WriteReply,
  WriteRequest,
} from "../core/messages.ts";
import {
  bool,
  bytes,
  check,
  count,
  type Field,
  identity,
  key,
  millis,
  outcome,
  positive,
  ringId,
  uint32,
} from "./fields.ts";
import { codeOf } from "./schema.ts";
import {
  condition,
  format,
  purpose,
  readMode,
  readStatus,
  replicateStatus,
  value,
  want,
  writeMode,
} from "./shapes.ts";

/** How runs of one kind travel. */
export interface Columns<M> {
  /** Whether the message can be part of a run. */
  takes(message: M): boolean;
  /** The group of a run of at least one message. */
  pack(run: readonly M[]): unknown[];
  /** @throws {InvalidField} when it is no such group */
  parse(group: readonly unknown[]): M[];
}

/** A column, or the one value of a run in which it never changes. */
function fold<M, T>(run: readonly M[], field: Field<T>, read: (message: M) => T): unknown {
  const first = read(run[0]!);
  const values = new Array<T>(run.length);
  let isConstant = true;
  for (let index = 0; index < run.length; index++) {
    const value = read(run[index]!);
    values[index] = value;
    if (value !== first) isConstant = false;
  }
  if (isConstant) return field.pack(first);
  return field.pack === identity ? values : values.map((value) => field.pack(value));
}

/** The opposite of {@link fold}: one checked value per message. Takes the array over. */
function unfold<T>(raw: unknown, length: number, field: Field<T>): readonly T[] {
  if (!Array.isArray(raw)) return new Array<T>(length).fill(field.parse(raw));
  check(raw.length === length, "columns of equal length");
  for (let index = 0; index < length; index++) raw[index] = field.parse(raw[index]);
  return raw as T[];
}

/** The ids of a group that must have `fields` fields after them. */
function unfoldIds(group: readonly unknown[], fields: number): readonly number[] {
  check(group.length === fields + 2, "all columns and no more");
  const raw = group[1];
  check(Array.isArray(raw), "a column of ids");
  check(raw.length > 0, "at least one message");
  return unfold(raw, raw.length, uint32);
}

const always = () => true;

const get: Columns<GetRequest> = {
  takes: always,
  pack: (run) => [
    -codeOf("get"),
    run.map((message) => message.id),
    fold(run, key, (message) => message.key),
    fold(run, readMode, (message) => message.read),
    fold(run, want, (message) => message.want),
    fold(run, millis, (message) => message.notAfter),
  ],
  parse(group) {
    const ids = unfoldIds(group, 4);
    const keys = unfold(group[2], ids.length, key);
    const reads = unfold(group[3], ids.length, readMode);
    const wants = unfold(group[4], ids.length, want);
    const notAfters = unfold(group[5], ids.length, millis);
    return ids.map((id, index) => ({
      kind: "get",
      id,
      key: keys[index]!,
      read: reads[index]!,
      want: wants[index]!,
      notAfter: notAfters[index]!,
    }));
  },
};

const got: Columns<GetReply> = {
  takes: always,
  pack: (run) => [
    -codeOf("got"),
    run.map((message) => message.id),
    fold(run, bool, (message) => message.found),
    fold(run, format, (message) => message.format),
    fold(run, bytes, (message) => message.value),
    fold(run, count, (message) => message.version),
    fold(run, millis, (message) => message.expiresAt),
  ],
  parse(group) {
    const ids = unfoldIds(group, 5);
    const founds = unfold(group[2], ids.length, bool);
    const formats = unfold(group[3], ids.length, format);
    const values = unfold(group[4], ids.length, bytes);
    const versions = unfold(group[5], ids.length, count);
    const expiries = unfold(group[6], ids.length, millis);
    return ids.map((id, index) => ({
      kind: "got",
      id,
      found: founds[index]!,
      format: formats[index]!,
      value: values[index]!,
      version: versions[index]!,
      expiresAt: expiries[index]!,
    }));
  },
};

/** The change of a write that is known to be a `set`. */
function setOf(message: WriteRequest) {
  const { change } = message;
  if (change.type !== "set") throw new TypeError("a column of sets takes only sets");
  return change;
}

/** Only writes of type `set`; the others are rare and travel alone. */
const write: Columns<WriteRequest> = {
  takes: (message) => message.change.type === "set",
  pack: (run) => [
    -codeOf("write"),
    run.map((message) => message.id),
    fold(run, key, (message) => message.key),
    fold(run, bytes, (message) => setOf(message).value),
    fold(run, format, (message) => setOf(message).format),
    fold(run, millis, (message) => setOf(message).ttlMs),
    fold(run, condition, (message) => setOf(message).condition),
    fold(run, count, (message) => setOf(message).ifVersion),
    fold(run, writeMode, (message) => message.write),
    fold(run, count, (message) => message.opClient),
    fold(run, count, (message) => message.opSeq),
    fold(run, uint32, (message) => message.attempt),
    fold(run, millis, (message) => message.notAfter),
    fold(run, millis, (message) => message.begunAt),
  ],
  parse(group) {
    const ids = unfoldIds(group, 12);
    const keys = unfold(group[2], ids.length, key);
    const values = unfold(group[3], ids.length, bytes);
    const formats = unfold(group[4], ids.length, format);
    const ttls = unfold(group[5], ids.length, millis);
    const conditions = unfold(group[6], ids.length, condition);
    const ifVersions = unfold(group[7], ids.length, count);
    const writes = unfold(group[8], ids.length, writeMode);
    const opClients = unfold(group[9], ids.length, count);
    const opSeqs = unfold(group[10], ids.length, count);
    const attempts = unfold(group[11], ids.length, uint32);
    const notAfters = unfold(group[12], ids.length, millis);
    const begunAts = unfold(group[13], ids.length, millis);
    return ids.map((id, index) => ({
      kind: "write",
      id,
      key: keys[index]!,
      change: {
        type: "set",
        value: values[index]!,
        format: formats[index]!,
        ttlMs: ttls[index]!,
        condition: conditions[index]!,
        ifVersion: ifVersions[index]!,
      },
      write: writes[index]!,
      opClient: opClients[index]!,
      opSeq: opSeqs[index]!,
      attempt: attempts[index]!,
      notAfter: notAfters[index]!,
      begunAt: begunAts[index]!,
    }));
  },
};

const written: Columns<WriteReply> = {
  takes: always,
  pack: (run) => [
    -codeOf("written"),
    run.map((message) => message.id),
    fold(run, outcome, (message) => message.outcome),
  ],
  parse(group) {
    const ids = unfoldIds(group, 1);
    const outcomes = unfold(group[2], ids.length, outcome);
    return ids.map((id, index) => ({ kind: "written", id, outcome: outcomes[index]! }));
  },
};

const read: Columns<ReadReplica> = {
  takes: always,
  pack: (run) => [
    -codeOf("read"),
    run.map((message) => message.id),
    fold(run, ringId, (message) => message.ringId),
    fold(run, key, (message) => message.key),
    fold(run, count, (message) => message.opClient),
    fold(run, count, (message) => message.opSeq),
    fold(run, uint32, (message) => message.attempt),
    fold(run, millis, (message) => message.begunAt),
  ],
  parse(group) {
    const ids = unfoldIds(group, 6);
    const ringIds = unfold(group[2], ids.length, ringId);
    const keys = unfold(group[3], ids.length, key);
    const opClients = unfold(group[4], ids.length, count);
    const opSeqs = unfold(group[5], ids.length, count);
    const attempts = unfold(group[6], ids.length, uint32);
    const begunAts = unfold(group[7], ids.length, millis);
    return ids.map((id, index) => ({
      kind: "read",
      id,
      ringId: ringIds[index]!,
      key: keys[index]!,
      opClient: opClients[index]!,
      opSeq: opSeqs[index]!,
      attempt: attempts[index]!,
      begunAt: begunAts[index]!,
    }));
  },
};

/** The nine columns of entries. */
function packEntries<M>(run: readonly M[], entryOf: (message: M) => Entry): unknown[] {
  return [
    fold(run, key, (message) => entryOf(message).key),
    fold(run, positive, (message) => entryOf(message).version),
    fold(run, uint32, (message) => entryOf(message).origin),
    fold(run, millis, (message) => entryOf(message).expiresAt),
    fold(run, format, (message) => entryOf(message).format),
    fold(run, value, (message) => entryOf(message).value),
    fold(run, count, (message) => entryOf(message).opClient),
    fold(run, count, (message) => entryOf(message).opSeq),
    fold(run, uint32, (message) => entryOf(message).opAttempt),
  ];
}

/** The entries of nine columns that begin at `start`. */
function parseEntries(group: readonly unknown[], start: number, length: number): Entry[] {
  const keys = unfold(group[start], length, key);
  const versions = unfold(group[start + 1], length, positive);
  const origins = unfold(group[start + 2], length, uint32);
  const expiries = unfold(group[start + 3], length, millis);
  const formats = unfold(group[start + 4], length, format);
  const values = unfold(group[start + 5], length, value);
  const opClients = unfold(group[start + 6], length, count);
  const opSeqs = unfold(group[start + 7], length, count);
  const opAttempts = unfold(group[start + 8], length, uint32);
  return keys.map((key, index) => ({
    key,
    version: versions[index]!,
    origin: origins[index]!,
    expiresAt: expiries[index]!,
    format: formats[index]!,
    value: values[index],
    opClient: opClients[index]!,
    opSeq: opSeqs[index]!,
    opAttempt: opAttempts[index]!,
  }));
}

/** Only replies that hold an entry and know no operation: the others are short. */
const readReply: Columns<ReadReplicaReply> = {
  takes: (message) => message.entry !== undefined && message.known === undefined,
  pack: (run) => [
    -codeOf("readReply"),
    run.map((message) => message.id),
    fold(run, readStatus, (message) => message.status),
    fold(run, bool, (message) => message.counts),
    fold(run, count, (message) => message.clearedVersion),
    // `takes` saw to it that there is an entry.
    ...packEntries(run, (message) => message.entry!),
  ],
  parse(group) {
    const ids = unfoldIds(group, 12);
    const statuses = unfold(group[2], ids.length, readStatus);
    const counts = unfold(group[3], ids.length, bool);
    const clearedVersions = unfold(group[4], ids.length, count);
    const entries = parseEntries(group, 5, ids.length);
    return ids.map((id, index) => ({
      kind: "readReply",
      id,
      status: statuses[index]!,
      counts: counts[index]!,
      entry: entries[index],
      clearedVersion: clearedVersions[index]!,
      known: undefined,
    }));
  },
};

const replicate: Columns<Replicate> = {
  takes: always,
  pack: (run) => [
    -codeOf("replicate"),
    run.map((message) => message.id),
    fold(run, ringId, (message) => message.ringId),
    fold(run, purpose, (message) => message.purpose),
    fold(run, count, (message) => message.over),
    fold(run, millis, (message) => message.notAfter),
    ...packEntries(run, (message) => message.entry),
  ],
  parse(group) {
    const ids = unfoldIds(group, 13);
    const ringIds = unfold(group[2], ids.length, ringId);
    const purposes = unfold(group[3], ids.length, purpose);
    const overs = unfold(group[4], ids.length, count);
    const notAfters = unfold(group[5], ids.length, millis);
    const entries = parseEntries(group, 6, ids.length);
    return ids.map((id, index) => ({
      kind: "replicate",
      id,
      ringId: ringIds[index]!,
      purpose: purposes[index]!,
      entry: entries[index]!,
      over: overs[index]!,
      notAfter: notAfters[index]!,
    }));
  },
};

const replicated: Columns<ReplicateReply> = {
  takes: always,
  pack: (run) => [
    -codeOf("replicated"),
    run.map((message) => message.id),
    fold(run, replicateStatus, (message) => message.status),
    fold(run, bool, (message) => message.counts),
    fold(run, count, (message) => message.heldVersion),
  ],
  parse(group) {
    const ids = unfoldIds(group, 3);
    const statuses = unfold(group[2], ids.length, replicateStatus);
    const counts = unfold(group[3], ids.length, bool);
    const heldVersions = unfold(group[4], ids.length, count);
    return ids.map((id, index) => ({
      kind: "replicated",
      id,
      status: statuses[index]!,
      counts: counts[index]!,
      heldVersion: heldVersions[index]!,
    }));
  },
};

const COLUMNS: Readonly<Record<string, Columns<Message>>> = {
  get,
  got,
  write,
  written,
  read,
  readReply,
  replicate,
  replicated,
};

/** The columns of a frequent kind; `undefined` for the others. */
export function columnsOf(kind: string): Columns<Message> | undefined {
  return Object.hasOwn(COLUMNS, kind) ? COLUMNS[kind] : undefined;
}
