// A second, plain statement of what every message may hold, written from the interfaces and not from the codec, so that the
// codec's checks are themselves checked. Slow and obvious.

import { ERROR_CODES } from "../../src/base/errors.ts";

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

const isInteger =
  (min: number, max: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max && !Object.is(value, -0);
const uint32 = isInteger(0, 2 ** 32 - 1);
const count = isInteger(0, Number.MAX_SAFE_INTEGER);
const positive = isInteger(1, Number.MAX_SAFE_INTEGER);
const boolean: Check = (value) => typeof value === "boolean";
const finite: Check = (value) => typeof value === "number" && Number.isFinite(value) && !Object.is(value, -0);
const millis: Check = (value) =>
  finite(value) && Number(value) >= 0 && Number(value) <= Number.MAX_SAFE_INTEGER;
const bytes: Check = (value) => value instanceof Uint8Array;
const among =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const matches =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const or =
  (...checks: readonly Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));
const text: Check = (value) => typeof value === "string" && Buffer.byteLength(value) <= 1024;
const key: Check = (value) => text(value) && value !== "";
const memberId = matches(/^[A-Za-z0-9._-]{1,64}$/);
const ringId = matches(/^[0-9a-f]{16}$/);
const none = among("");
const absent = among(undefined);
const address = matches(/^[!-~]{0,300}$/);
const shortName = matches(/^[A-Za-z0-9._-]{0,64}$/);
const listOf =
  (check: Check, lengthMax: number): Check =>
  (value) =>
    Array.isArray(value) && value.length <= lengthMax && value.every((item) => check(item));
const slots =
  (lengthMax: number): Check =>
  (value) =>
    listOf(isInteger(0, 16_383), lengthMax)(value) &&
    (value as number[]).every((slot, index, all) => index === 0 || slot > all[index - 1]!);
const shaped =
  (shape: Shape): Check =>
  (value) => {
    if (typeof value !== "object" || value === null) return false;
    if (Object.keys(value).sort().join() !== Object.keys(shape).sort().join()) return false;
    return Object.entries(shape).every(([name, check]) => check((value as Record<string, unknown>)[name]));
  };

const format = among(0, 1, 2, 3);
const outcome = or(boolean, finite);
const entry = shaped({
  key,
  version: positive,
  origin: uint32,
  expiresAt: millis,
  format,
  value: or(bytes, among(undefined)),
  opClient: count,
  opSeq: count,
  opAttempt: uint32,
});
const change = or(
  shaped({
    type: among("set"),
    value: bytes,
    format,
    ttlMs: millis,
    condition: among("none", "absent", "present", "version"),
    ifVersion: count,
  }),
  shaped({ type: among("delete") }),
  shaped({ type: among("touch"), ttlMs: millis }),
  shaped({ type: among("increment"), by: finite, ttlMs: millis }),
  shaped({ type: among("increment"), by: finite, ttlMs: millis, integersOnly: among(true) }),
  shaped({
    type: among("put"),
    value: or(bytes, among(undefined)),
    format,
    expiresAt: millis,
    condition: among("none", "absent", "present", "version"),
    ifVersion: count,
  }),
);
const weight = isInteger(1, 64);
const liveness = among("alive", "suspect", "dead");
const ringState = among("joining", "warming", "active", "leaving", "condemned", "left", "evicted");
const record = shaped({
  id: memberId,
  address,
  zone: shortName,
  weight,
  placeSeq: count,
  wanted: or(shaped({ seq: positive, zone: shortName, weight }), absent),
  generation: positive,
  incarnation: count,
  liveness,
  ringSeq: count,
  ringState,
  settledRingId: or(ringId, none),
  preparedRingId: or(ringId, none),
});
const updates = listOf(shaped({ record, accuser: or(memberId, none) }), 4096);
const writeMode = among("async", "quorum", "all");
const readMode = among("one", "quorum");

const nested =
  (...kinds: readonly string[]): Check =>
  (value) =>
    isValidMessage(value) && kinds.includes((value as { kind: string }).kind);

const SHAPES: Readonly<Record<string, Shape>> = {
  get: {
    id: uint32,
    key,
    read: among("one", "quorum", "any"),
    want: among("value", "entry", "exists"),
    notAfter: millis,
  },
  write: {
    id: uint32,
    key,
    change,
    write: writeMode,
    opClient: count,
    opSeq: count,
    attempt: uint32,
    isDecidedHere: boolean,
    notAfter: millis,
    begunAt: millis,
  },
  scan: {
    id: uint32,
    slots: slots(1024),
    after: text,
    prefix: text,
    limit: isInteger(1, 1000),
    isAlone: boolean,
  },
  clear: {
    id: uint32,
    slots: slots(1024),
    opClient: count,
    opSeq: count,
    attempt: uint32,
    notAfter: millis,
    begunAt: millis,
  },
  count: { id: uint32, slots: slots(1024) },
  command: { id: uint32, command: among("leave", "evict"), member: shortName },
  place: { id: uint32, zone: or(shortName, absent), weight: or(weight, absent) },
  ping: { sentMs: millis },
  got: { id: uint32, found: boolean, format, value: bytes, version: count, expiresAt: millis },
  written: { id: uint32, outcome },
  scanned: { id: uint32, keys: listOf(key, 1000), slotsDone: isInteger(0, 1024), after: text },
  cleared: { id: uint32 },
  counted: { id: uint32, count },
  commanded: { id: uint32 },
  failed: {
    id: uint32,
    code: among(...ERROR_CODES),
    message: (value) => typeof value === "string" && value.length <= 3072,
    applied: among("no", "maybe"),
    elsewhere: boolean,
  },
  pong: { sentMs: millis, monoMs: millis, wallMs: millis },
  topology: {
    ringId: or(ringId, none),
    replicas: isInteger(1, 7),
    defaultWrite: writeMode,
    defaultRead: readMode,
    valueBytesMax: positive,
    members: listOf(shaped({ id: memberId, address, zone: shortName, weight, liveness, ringState }), 4096),
  },
  read: { id: uint32, ringId, key, opClient: count, opSeq: count, attempt: uint32, begunAt: millis },
  readReply: {
    id: uint32,
    status: among("ok", "ring", "notReplica"),
    counts: boolean,
    isNewcomer: boolean,
    entry: or(entry, among(undefined)),
    clearedVersion: count,
    known: or(shaped({ version: positive, outcome }), among(undefined)),
  },
  replicate: {
    id: uint32,
    ringId,
    purpose: among("client", "repair", "hint", "rehearsal"),
    entry,
    over: count,
    notAfter: millis,
  },
  replicated: {
    id: uint32,
    status: among("stored", "newer", "fenced", "late", "clock", "ring", "notReplica", "full"),
    counts: boolean,
    heldVersion: count,
  },
  clearReplica: {
    id: uint32,
    ringId,
    slots: slots(1024),
    version: count,
    opClient: count,
    opSeq: count,
    attempt: uint32,
    begunAt: millis,
  },
  clearReplicaReply: {
    id: uint32,
    status: among("ok", "ring", "fenced"),
    counts: listOf(boolean, 1024),
    newest: count,
    known: count,
  },
  forward: { id: uint32, request: nested("get", "write", "scan", "count") },
  forwarded: { id: uint32, reply: nested("got", "written", "failed", "scanned", "counted") },
  pull: {
    id: uint32,
    ringId,
    isRehearsal: boolean,
    slots: slots(1024),
    digests: listOf(shaped({ sum: count, count: uint32 }), 1024),
    after: text,
  },
  pulled: {
    id: uint32,
    status: among("ok", "ring"),
    entries: listOf(entry, 1000),
    slotsDone: isInteger(0, 1024),
    floors: listOf(count, 1024),
    cleared: listOf(count, 1024),
    entitled: listOf(boolean, 1024),
    isSame: listOf(boolean, 1024),
    after: text,
    isBusy: boolean,
  },
  catchUp: { id: uint32 },
  catchUpReply: { id: uint32, isDrained: boolean, slots: slots(16_384) },
  probe: { seq: count, target: memberId, updates },
  ack: { seq: count, updates },
  probeRequest: { seq: count, target: memberId, updates },
  nack: { seq: count },
  gossip: { updates },
  sync: { wantsReply: boolean, records: listOf(record, 4096) },
  doorAddress: { address },
  publish: { channel: bytes, payload: bytes },
  overloaded: { ids: listOf(uint32, 4096), retryAfterMs: millis },
  watch: { id: uint32, round: count, isAll: boolean, slots: slots(1024) },
  watching: { id: uint32, round: count, seq: count },
  secrets: { fingerprints: listOf(shortName, 4) },
  changed: {
    round: count,
    seq: count,
    isCleared: boolean,
    items: listOf(shaped({ key, version: count, opClient: count, opSeq: count }), 1000),
  },
};

/** Whether a value is a message whose every field has a type and range that its interface allows. */
export function isValidMessage(message: unknown): boolean {
  if (typeof message !== "object" || message === null || !("kind" in message)) return false;
  const shape = SHAPES[String(message.kind)];
  return shape !== undefined && shaped({ kind: among(message.kind), ...shape })(message);
}
