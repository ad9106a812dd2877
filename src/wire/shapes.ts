// The values that messages are made of: constants with their numbers on the wire, entries, changes, members. A constant's
// number and the order of fields are the protocol, as in `schema.ts`.

import type { ErrorCode } from "../base/errors.ts";
import type {
  Change,
  ChangedKey,
  Condition,
  Entry,
  Liveness,
  MemberRecord,
  Place,
  ReadMode,
  ReadReplicaReply,
  ReadScope,
  Replicate,
  ReplicateStatus,
  RingState,
  SlotDigest,
  TopologyMember,
  Update,
  ValueFormat,
  Want,
  WriteMode,
} from "../core/messages.ts";
import {
  address,
  bytes,
  check,
  count,
  type Field,
  finite,
  integer,
  key,
  list,
  memberId,
  memberIdOrNone,
  millis,
  oneOf,
  optional,
  outcome,
  positive,
  ringIdOrNone,
  shortName,
  struct,
  uint32,
} from "./fields.ts";
import { MEMBERS_MAX } from "./limits.ts";

/** Its number already is the one on the wire. */
export const format = integer(0, 3) as Field<ValueFormat>;
export const writeMode: Field<WriteMode> = oneOf<WriteMode>({ async: 0, quorum: 1, all: 2 });
export const readMode: Field<ReadMode> = oneOf<ReadMode>({ one: 0, quorum: 1 });
export const readScope: Field<ReadScope> = oneOf<ReadScope>({ one: 0, quorum: 1, any: 2 });
export const want: Field<Want> = oneOf<Want>({ value: 0, entry: 1, exists: 2 });
export const condition: Field<Condition> = oneOf<Condition>({ none: 0, absent: 1, present: 2, version: 3 });
export const readStatus: Field<ReadReplicaReply["status"]> = oneOf<ReadReplicaReply["status"]>({
  ok: 0,
  ring: 1,
  notReplica: 2,
});
export const purpose: Field<Replicate["purpose"]> = oneOf<Replicate["purpose"]>({
  client: 0,
  repair: 1,
  hint: 2,
  rehearsal: 3,
});
export const replicateStatus: Field<ReplicateStatus> = oneOf<ReplicateStatus>({
  stored: 0,
  newer: 1,
  fenced: 2,
  late: 3,
  clock: 4,
  ring: 5,
  notReplica: 6,
  full: 7,
});
export const ringStatus = oneOf<"ok" | "ring">({ ok: 0, ring: 1 });
export const clearStatus = oneOf<"ok" | "ring" | "fenced">({ ok: 0, ring: 1, fenced: 2 });
export const liveness = oneOf<Liveness>({ alive: 0, suspect: 1, dead: 2 });
export const ringState = oneOf<RingState>({
  joining: 0,
  warming: 1,
  active: 2,
  leaving: 3,
  condemned: 4,
  left: 5,
  evicted: 6,
});
export const errorCode: Field<ErrorCode> = oneOf<ErrorCode>({
  ERR_INVALID_OPTION: 0,
  ERR_INVALID_ARGUMENT: 1,
  ERR_TOO_LARGE: 2,
  ERR_NO_QUORUM: 3,
  ERR_TIMEOUT: 4,
  ERR_OVERLOADED: 5,
  ERR_UNREACHABLE: 6,
  ERR_UNAUTHORIZED: 7,
  ERR_CLOSED: 8,
  ERR_PROTOCOL: 9,
  ERR_NOT_A_NUMBER: 10,
  ERR_FORBIDDEN: 11,
});

export const value: Field<Uint8Array | undefined> = optional(bytes);

export const entry = struct<Entry>({
  key,
  version: positive,
  origin: uint32,
  expiresAt: millis,
  format,
  value,
  opClient: count,
  opSeq: count,
  opAttempt: uint32,
});

const changeSet = struct<Omit<Extract<Change, { type: "set" }>, "type">>({
  value: bytes,
  format,
  ttlMs: millis,
  condition,
  ifVersion: count,
});
const changeTouch = struct<{ ttlMs: number }>({ ttlMs: millis });
const changePut = struct<Omit<Extract<Change, { type: "put" }>, "type">>({
  value,
  format,
  expiresAt: millis,
  condition,
  ifVersion: count,
});
const changeIncrement = struct<{ by: number; ttlMs: number }>({ by: finite, ttlMs: millis });

/** An array: the number of the type, then its fields as an array. */
export const change: Field<Change> = {
  pack(value) {
    if (value.type === "set") return [0, changeSet.pack(value)];
    if (value.type === "delete") return [1, null];
    if (value.type === "touch") return [2, changeTouch.pack(value)];
    if (value.type === "put") return [4, changePut.pack(value)];
    return [value.integersOnly ? 5 : 3, changeIncrement.pack(value)];
  },
  parse(raw) {
    check(Array.isArray(raw), "an array");
    check(raw.length === 2, "2 fields");
    if (raw[0] === 0) return { type: "set", ...changeSet.parse(raw[1]) };
    if (raw[0] === 2) return { type: "touch", ...changeTouch.parse(raw[1]) };
    if (raw[0] === 3) return { type: "increment", ...changeIncrement.parse(raw[1]) };
    if (raw[0] === 4) return { type: "put", ...changePut.parse(raw[1]) };
    if (raw[0] === 5) return { type: "increment", ...changeIncrement.parse(raw[1]), integersOnly: true };
    check(raw[0] === 1 && raw[1] === null, "a known change");
    return { type: "delete" };
  },
};

export const changedKey = struct<ChangedKey>({ key, version: count, opClient: count, opSeq: count });

export const weight = integer(1, 64);
export const replicas = integer(1, 7);

export const topologyMember = struct<TopologyMember>({
  id: memberId,
  address,
  zone: shortName,
  weight,
  liveness,
  ringState,
});

const place = struct<Place>({ seq: positive, zone: shortName, weight });
const settledRecord = struct<Omit<MemberRecord, "placeSeq" | "wanted">>({
  id: memberId,
  address,
  zone: shortName,
  weight,
  generation: positive,
  incarnation: count,
  liveness,
  ringSeq: count,
  ringState,
  settledRingId: ringIdOrNone,
  preparedRingId: ringIdOrNone,
});
const placeChange = struct<Pick<MemberRecord, "placeSeq" | "wanted">>({
  placeSeq: count,
  wanted: optional(place),
});

/** A record's array ends with a change of place where there was one. Builds that know of none refuse that, and read all others. */
export const memberRecord: Field<MemberRecord> = {
  pack(record) {
    const packed = settledRecord.pack(record) as readonly unknown[];
    const hasMoved = record.placeSeq > 0 || record.wanted !== undefined;
    return hasMoved ? [...packed, placeChange.pack(record)] : packed;
  },
  parse(raw) {
    check(Array.isArray(raw), "a member record");
    const hasMoved = raw.length === RECORD_FIELDS + 1;
    const record = settledRecord.parse(hasMoved ? raw.slice(0, RECORD_FIELDS) : raw);
    const moved = hasMoved ? placeChange.parse(raw[RECORD_FIELDS]) : NOT_MOVED;
    return { ...record, ...moved };
  },
};
const RECORD_FIELDS = 11;
const NOT_MOVED = { placeSeq: 0, wanted: undefined };

export const updates = list(struct<Update>({ record: memberRecord, accuser: memberIdOrNone }), MEMBERS_MAX);
export const digest = struct<SlotDigest>({ sum: count, count: uint32 });
export const known = struct<{ version: number; outcome: boolean | number }>({ version: positive, outcome });
