// The frequent kinds of message as columns: `[-number, bytes]`, where the bytes hold the count and then one packed column (`packed.ts`)
// per field. Against one small array per message this spares the headers, and, mostly, the fields that never change, such as
// the ring id; and no value needs a branch of a general decoder.
//
// Invariants:
// 1. Every message takes at least one byte (its id), so a group cannot announce more messages than it has bytes; and a frame
//    holds at most FRAME_ITEMS_MAX messages.
// 2. The fields are those of the single message (`schema.ts`), in their order, nested ones spread out, with the same ranges.

import type {
  Condition,
  Entry,
  GetReply,
  GetRequest,
  Message,
  Outcome,
  ReadReplica,
  ReadReplicaReply,
  ReadScope,
  Replicate,
  ReplicateReply,
  ReplicateStatus,
  ValueFormat,
  Want,
  WriteMode,
  WriteReply,
  WriteRequest,
} from "../core/messages.ts";
import {
  BOOL,
  BYTES,
  below,
  COUNT,
  type Columns,
  choice,
  FINITE,
  FORMAT,
  keysOf,
  readEntries,
  readIntegers,
  readKeys,
  readMillis,
  readRingIds,
  room,
  small,
  UINT32,
  write,
  writeEntries,
  writeIds,
  writeNotAfters,
  writeRingIds,
} from "./column-fields.ts";
import { check } from "./fields.ts";
import type { PackedReader, PackedWriter } from "./packed.ts";
import { pull, pulled } from "./pull-columns.ts";

const READ = choice<ReadScope>({ one: 0, quorum: 1, any: 2 });
const WANT = choice<Want>({ value: 0, entry: 1, exists: 2 });
const WRITE = choice<WriteMode>({ async: 0, quorum: 1, all: 2 });
const CONDITION = choice<Condition>({ none: 0, absent: 1, present: 2, version: 3 });
const READ_STATUS = choice<ReadReplicaReply["status"]>({ ok: 0, ring: 1, notReplica: 2 });
const PURPOSE = choice<Replicate["purpose"]>({ client: 0, repair: 1, hint: 2, rehearsal: 3 });
const STATUS = choice<ReplicateStatus>({
  stored: 0,
  newer: 1,
  fenced: 2,
  late: 3,
  clock: 4,
  ring: 5,
  notReplica: 6,
  full: 7,
});

// ---- kinds

const always = (): boolean => true;

const get: Columns<GetRequest> = {
  takes: always,
  write(run, out) {
    const count = run.length;
    writeIds(run, out);
    out.texts(keysOf(run));
    let scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = READ.numbers[run[index]!.read];
    out.numbers(scratch, count);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = WANT.numbers[run[index]!.want];
    out.numbers(scratch, count);
    writeNotAfters(run, out);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const keys = readKeys(bytes, count);
    const reads = readIntegers(bytes, count, READ.range);
    const wants = readIntegers(bytes, count, WANT.range);
    const notAfters = readMillis(bytes, count);
    const messages = new Array<GetRequest>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "get",
        id: ids[index]! >>> 0,
        key: keys[index]!,
        read: READ.values[reads[index]!]!,
        want: WANT.values[wants[index]!]!,
        notAfter: small(notAfters[index]!),
      };
    }
    return messages;
  },
};

const got: Columns<GetReply> = {
  takes: always,
  write(run, out) {
    const count = run.length;
    writeIds(run, out);
    let scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.found ? 1 : 0;
    out.numbers(scratch, count);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.format;
    out.numbers(scratch, count);
    const values = new Array<Uint8Array>(count);
    for (let index = 0; index < count; index++) values[index] = run[index]!.value;
    out.bytes(values);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.version;
    out.numbers(scratch, count);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.expiresAt;
    out.numbers(scratch, count);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const founds = readIntegers(bytes, count, BOOL);
    const formats = readIntegers(bytes, count, FORMAT);
    const values = bytes.bytes(count, room.take(count), BYTES);
    const versions = readIntegers(bytes, count, COUNT);
    const expiries = readMillis(bytes, count);
    const messages = new Array<GetReply>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "got",
        id: ids[index]! >>> 0,
        found: founds[index] === 1,
        format: (formats[index]! | 0) as ValueFormat,
        value: values[index]!,
        version: small(versions[index]!),
        expiresAt: small(expiries[index]!),
      };
    }
    return messages;
  },
};

/** The change of a write that is known to be a `set`. */
function setOf(message: WriteRequest) {
  const { change } = message;
  if (change.type !== "set") throw new TypeError("a column of sets takes only sets");
  return change;
}

/** Only writes of type `set` that any replica may hand on; the others are rare and travel alone. */
const writeColumns: Columns<WriteRequest> = {
  takes: (message) => message.change.type === "set" && !message.isDecidedHere,
  write(run, out) {
    writeIds(run, out);
    out.texts(keysOf(run));
    const values = new Array<Uint8Array>(run.length);
    for (let index = 0; index < run.length; index++) values[index] = setOf(run[index]!).value;
    out.bytes(values);
    write(run, out, (message) => setOf(message).format);
    write(run, out, (message) => setOf(message).ttlMs);
    write(run, out, (message) => CONDITION.numbers[setOf(message).condition]);
    write(run, out, (message) => setOf(message).ifVersion);
    write(run, out, (message) => WRITE.numbers[message.write]);
    write(run, out, (message) => message.opClient);
    write(run, out, (message) => message.opSeq);
    write(run, out, (message) => message.attempt);
    writeNotAfters(run, out);
    write(run, out, (message) => message.begunAt);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const keys = readKeys(bytes, count);
    const values = bytes.bytes(count, room.take(count), BYTES);
    const formats = readIntegers(bytes, count, FORMAT);
    const ttls = readMillis(bytes, count);
    const conditions = readIntegers(bytes, count, CONDITION.range);
    const ifVersions = readIntegers(bytes, count, COUNT);
    const modes = readIntegers(bytes, count, WRITE.range);
    const opClients = readIntegers(bytes, count, COUNT);
    const opSeqs = readIntegers(bytes, count, COUNT);
    const attempts = readIntegers(bytes, count, UINT32);
    const notAfters = readMillis(bytes, count);
    const begunAts = readMillis(bytes, count);
    const messages = new Array<WriteRequest>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "write",
        id: ids[index]! >>> 0,
        key: keys[index]!,
        change: {
          type: "set",
          value: values[index]!,
          format: (formats[index]! | 0) as ValueFormat,
          ttlMs: small(ttls[index]!),
          condition: CONDITION.values[conditions[index]!]!,
          ifVersion: small(ifVersions[index]!),
        },
        write: WRITE.values[modes[index]!]!,
        opClient: small(opClients[index]!),
        opSeq: small(opSeqs[index]!),
        attempt: attempts[index]! >>> 0,
        isDecidedHere: false,
        notAfter: small(notAfters[index]!),
        begunAt: small(begunAts[index]!),
      };
    }
    return messages;
  },
};

// What an outcome is: `false`, `true`, or the number in the column after it.
const OUTCOME = below(3);

const written: Columns<WriteReply> = {
  takes: always,
  write(run, out) {
    writeIds(run, out);
    write(run, out, ({ outcome }) => (typeof outcome === "number" ? 2 : outcome ? 1 : 0));
    write(run, out, ({ outcome }) => (typeof outcome === "number" ? outcome : 0));
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const types = readIntegers(bytes, count, OUTCOME);
    const numbers = bytes.numbers(room.take(count), count, FINITE);
    const messages = new Array<WriteReply>(count);
    for (let index = 0; index < count; index++) {
      const type = types[index];
      const outcome: Outcome = type === 2 ? small(numbers[index]!) : type === 1;
      messages[index] = { kind: "written", id: ids[index]! >>> 0, outcome };
    }
    return messages;
  },
};

const read: Columns<ReadReplica> = {
  takes: always,
  write(run, out) {
    writeIds(run, out);
    writeRingIds(run, out);
    out.texts(keysOf(run));
    write(run, out, (message) => message.opClient);
    write(run, out, (message) => message.opSeq);
    write(run, out, (message) => message.attempt);
    write(run, out, (message) => message.begunAt);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const ringIds = readRingIds(bytes, count);
    const keys = readKeys(bytes, count);
    const opClients = readIntegers(bytes, count, COUNT);
    const opSeqs = readIntegers(bytes, count, COUNT);
    const attempts = readIntegers(bytes, count, UINT32);
    const begunAts = readMillis(bytes, count);
    const messages = new Array<ReadReplica>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "read",
        id: ids[index]! >>> 0,
        ringId: ringIds[index]!,
        key: keys[index]!,
        opClient: small(opClients[index]!),
        opSeq: small(opSeqs[index]!),
        attempt: attempts[index]! >>> 0,
        begunAt: small(begunAts[index]!),
      };
    }
    return messages;
  },
};

/** Only replies that hold an entry and say nothing of an operation: the others are short. */
const readReply: Columns<ReadReplicaReply> = {
  takes: (message) => message.entry !== undefined && message.known === undefined && !message.isNewcomer,
  write(run, out) {
    writeIds(run, out);
    write(run, out, (message) => READ_STATUS.numbers[message.status]);
    write(run, out, (message) => (message.counts ? 1 : 0));
    write(run, out, (message) => message.clearedVersion);
    // `takes` saw to it that there is an entry.
    writeEntries(
      run.map((message) => message.entry!),
      out,
    );
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const statuses = readIntegers(bytes, count, READ_STATUS.range);
    const counts = readIntegers(bytes, count, BOOL);
    const clearedVersions = readIntegers(bytes, count, COUNT);
    const entries = readEntries(bytes, count);
    const messages = new Array<ReadReplicaReply>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "readReply",
        id: ids[index]! >>> 0,
        status: READ_STATUS.values[statuses[index]!]!,
        counts: counts[index] === 1,
        isNewcomer: false,
        entry: entries[index],
        clearedVersion: small(clearedVersions[index]!),
        known: undefined,
      };
    }
    return messages;
  },
};

const replicate: Columns<Replicate> = {
  takes: always,
  write(run, out) {
    const count = run.length;
    writeIds(run, out);
    writeRingIds(run, out);
    write(run, out, (message) => PURPOSE.numbers[message.purpose]);
    const entries = new Array<Entry>(count);
    for (let index = 0; index < count; index++) entries[index] = run[index]!.entry;
    writeEntries(entries, out);
    write(run, out, (message) => message.over);
    writeNotAfters(run, out);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const ringIds = readRingIds(bytes, count);
    const purposes = readIntegers(bytes, count, PURPOSE.range);
    const entries = readEntries(bytes, count);
    const overs = readIntegers(bytes, count, COUNT);
    const notAfters = readMillis(bytes, count);
    const messages = new Array<Replicate>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "replicate",
        id: ids[index]! >>> 0,
        ringId: ringIds[index]!,
        purpose: PURPOSE.values[purposes[index]!]!,
        entry: entries[index]!,
        over: small(overs[index]!),
        notAfter: small(notAfters[index]!),
      };
    }
    return messages;
  },
};

const replicated: Columns<ReplicateReply> = {
  takes: always,
  write(run, out) {
    const count = run.length;
    writeIds(run, out);
    let scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = STATUS.numbers[run[index]!.status];
    out.numbers(scratch, count);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.counts ? 1 : 0;
    out.numbers(scratch, count);
    scratch = out.scratch(count);
    for (let index = 0; index < count; index++) scratch[index] = run[index]!.heldVersion;
    out.numbers(scratch, count);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const statuses = readIntegers(bytes, count, STATUS.range);
    const counts = readIntegers(bytes, count, BOOL);
    const heldVersions = readIntegers(bytes, count, COUNT);
    const messages = new Array<ReplicateReply>(count);
    for (let index = 0; index < count; index++) {
      messages[index] = {
        kind: "replicated",
        id: ids[index]! >>> 0,
        status: STATUS.values[statuses[index]!]!,
        counts: counts[index] === 1,
        heldVersion: small(heldVersions[index]!),
      };
    }
    return messages;
  },
};

const COLUMNS: Readonly<Record<string, Columns<Message>>> = {
  get,
  got,
  write: writeColumns,
  written,
  read,
  readReply,
  replicate,
  replicated,
  pull,
  pulled,
};

/** The columns of a frequent kind; `undefined` for the others. */
export function columnsOf(kind: string): Columns<Message> | undefined {
  return Object.hasOwn(COLUMNS, kind) ? COLUMNS[kind] : undefined;
}

/** Writes the count and the columns of a run. */
export function writeRun(columns: Columns<Message>, run: readonly Message[], out: PackedWriter): void {
  out.uint32(run.length);
  columns.write(run, out);
}

/**
 * Reads the messages of a group.
 *
 * @param countMax Messages that the frame may still hold.
 * @throws {InvalidField}
 */
export function readRun(columns: Columns<Message>, bytes: PackedReader, countMax: number): Message[] {
  const count = bytes.uint32();
  check(count > 0, "at least one message");
  check(count <= countMax && count <= bytes.left, "no more messages than there can be");
  room.reset();
  const messages = columns.read(bytes, count);
  bytes.end();
  return messages;
}
