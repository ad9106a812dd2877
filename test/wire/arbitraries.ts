// Every message there can be, for property tests: of the wire, and of whatever carries messages. All fields lie within what the
// wire accepts, edges included; there is no NaN and no negative zero, so that messages can be compared with `toEqual`.

import fc from "fast-check";
import { ERROR_CODES } from "../../src/base/errors.ts";
import type { MemberId, RingId, Slot } from "../../src/base/ids.ts";
import type {
  Change,
  ClientReply,
  ClientRequest,
  Entry,
  GossipMessage,
  MemberRecord,
  Message,
  PeerMessage,
  Update,
  ValueFormat,
} from "../../src/core/messages.ts";

const MAX = Number.MAX_SAFE_INTEGER;

const id = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 0xffff_ffff }));
const count = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: MAX }), fc.constantFrom(0, 2 ** 32, MAX));
const positive = count.map((value) => Math.max(1, value));
const attempt = fc.nat({ max: 9 });
const millis = fc.oneof(
  fc.constantFrom(0, 1, MAX),
  fc.nat({ max: MAX }),
  fc.double({ min: 0, max: 1e13, noNaN: true }).map((value) => value + 0),
);
const finite = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .map((value) => (Object.is(value, -0) ? 0 : value));

/** Text of at most 250 code points (1,000 bytes), with marks, controls and characters outside the first plane. */
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 250 }),
  fc.string({ unit: "binary", minLength: 30, maxLength: 80 }).map((rest) => `\ufeff${rest}`),
);
const key = text.map((value) => (value === "" ? "k" : value));
const bytes = fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 300 }));
const format = fc.constantFrom<ValueFormat>(0, 1, 2, 3);
const outcome = fc.oneof(fc.boolean(), finite);
const memberId = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/).map((value) => value as MemberId);
const memberIdOrNone = fc.oneof(memberId, fc.constant<"">(""));
const ringId = fc.stringMatching(/^[0-9a-f]{16}$/).map((value) => value as RingId);
const ringIdOrNone = fc.oneof(ringId, fc.constant<"">(""));
const zone = fc.stringMatching(/^[A-Za-z0-9._-]{0,64}$/);
const address = fc.stringMatching(/^[a-z0-9.-]{1,60}:[0-9]{1,5}$/);
const slots = (maxLength: number) =>
  fc
    .uniqueArray(fc.nat({ max: 16_383 }), { maxLength })
    .map((values) => values.sort((a, b) => a - b) as Slot[]);
const weight = fc.integer({ min: 1, max: 64 });
const liveness = fc.constantFrom("alive", "suspect", "dead");
const ringState = fc.constantFrom("joining", "warming", "active", "leaving", "condemned", "left", "evicted");
const writeMode = fc.constantFrom("async", "quorum", "all");
const readMode = fc.constantFrom("one", "quorum");

export const entryArbitrary: fc.Arbitrary<Entry> = fc.record({
  key,
  version: positive,
  origin: fc.nat({ max: 0xffff_ffff }),
  expiresAt: millis,
  format,
  value: fc.option(bytes, { nil: undefined }),
  opClient: count,
  opSeq: count,
  opAttempt: attempt,
});

const changeArbitrary: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    type: fc.constant("set" as const),
    value: bytes,
    format,
    ttlMs: millis,
    condition: fc.constantFrom("none" as const, "absent", "present", "version"),
    ifVersion: count,
  }),
  fc.constant({ type: "delete" as const }),
  fc.record({ type: fc.constant("touch" as const), ttlMs: millis }),
  fc.record({ type: fc.constant("increment" as const), by: finite, ttlMs: millis }),
  fc.record({
    type: fc.constant("increment" as const),
    by: finite,
    ttlMs: millis,
    integersOnly: fc.constant(true as const),
  }),
  fc.record({
    type: fc.constant("put" as const),
    value: fc.option(bytes, { nil: undefined }),
    format,
    expiresAt: millis,
    condition: fc.constantFrom("none" as const, "absent", "present", "version"),
    ifVersion: count,
  }),
);

export const recordArbitrary: fc.Arbitrary<MemberRecord> = fc.record({
  id: memberId,
  address,
  zone,
  weight,
  placeSeq: count,
  wanted: fc.option(fc.record({ seq: positive, zone, weight }), { nil: undefined }),
  generation: positive,
  incarnation: count,
  liveness,
  ringSeq: count,
  ringState,
  settledRingId: ringIdOrNone,
  preparedRingId: ringIdOrNone,
});

const updates: fc.Arbitrary<Update[]> = fc.array(
  fc.record({ record: recordArbitrary, accuser: memberIdOrNone }),
  { maxLength: 5 },
);

type Arbitraries = { readonly [K in Message["kind"]]: fc.Arbitrary<Extract<Message, { kind: K }>> };

const kind = <K extends string>(name: K) => fc.constant(name);

const scan = fc.record({
  kind: kind("scan"),
  id,
  slots: slots(40),
  after: text,
  prefix: text,
  limit: fc.integer({ min: 1, max: 1_000 }),
  isAlone: fc.boolean(),
});
const countRequest = fc.record({ kind: kind("count"), id, slots: slots(1_024) });
const scanned = fc.record({
  kind: kind("scanned"),
  id,
  keys: fc.array(key, { maxLength: 20 }),
  slotsDone: fc.nat({ max: 1_024 }),
  after: text,
});
const counted = fc.record({ kind: kind("counted"), id, count });
const get = fc.record({
  kind: kind("get"),
  id,
  key,
  read: fc.constantFrom("one", "quorum", "any"),
  want: fc.constantFrom("value", "entry", "exists"),
  notAfter: millis,
});
const write = fc.record({
  kind: kind("write"),
  id,
  key,
  change: changeArbitrary,
  write: writeMode,
  opClient: count,
  opSeq: count,
  attempt,
  isDecidedHere: fc.boolean(),
  notAfter: millis,
  begunAt: millis,
});
const got = fc.record({
  kind: kind("got"),
  id,
  found: fc.boolean(),
  format,
  value: bytes,
  version: count,
  expiresAt: millis,
});
const written = fc.record({ kind: kind("written"), id, outcome });
const failed = fc.record({
  kind: kind("failed"),
  id,
  code: fc.constantFrom(...ERROR_CODES),
  message: text,
  applied: fc.constantFrom("no", "maybe"),
  elsewhere: fc.boolean(),
});

/** One arbitrary per kind of message. A kind without one does not compile. */
export const MESSAGE_ARBITRARIES = {
  get,
  write,
  scan,
  clear: fc.record({
    kind: kind("clear"),
    id,
    slots: slots(40),
    opClient: count,
    opSeq: count,
    attempt: id,
    notAfter: millis,
    begunAt: millis,
  }),
  count: countRequest,
  command: fc.record({
    kind: kind("command"),
    id,
    command: fc.constantFrom("leave", "evict"),
    member: memberIdOrNone,
  }),
  ping: fc.record({ kind: kind("ping"), sentMs: millis }),
  got,
  written,
  scanned,
  cleared: fc.record({ kind: kind("cleared"), id }),
  counted,
  commanded: fc.record({ kind: kind("commanded"), id }),
  failed,
  pong: fc.record({ kind: kind("pong"), sentMs: millis, monoMs: millis, wallMs: millis }),
  topology: fc.record({
    kind: kind("topology"),
    ringId: ringIdOrNone,
    replicas: fc.integer({ min: 1, max: 7 }),
    defaultWrite: writeMode,
    defaultRead: readMode,
    valueBytesMax: positive,
    members: fc.array(fc.record({ id: memberId, address, zone, weight, liveness, ringState }), {
      maxLength: 8,
    }),
  }),
  read: fc.record({
    kind: kind("read"),
    id,
    ringId,
    key,
    opClient: count,
    opSeq: count,
    attempt,
    begunAt: millis,
  }),
  readReply: fc.record({
    kind: kind("readReply"),
    id,
    status: fc.constantFrom("ok", "ring", "notReplica"),
    counts: fc.boolean(),
    isNewcomer: fc.boolean(),
    entry: fc.option(entryArbitrary, { nil: undefined }),
    clearedVersion: count,
    known: fc.option(fc.record({ version: positive, outcome }), { nil: undefined }),
  }),
  replicate: fc.record({
    kind: kind("replicate"),
    id,
    ringId,
    purpose: fc.constantFrom("client", "repair", "hint", "rehearsal"),
    entry: entryArbitrary,
    over: count,
    notAfter: millis,
  }),
  replicated: fc.record({
    kind: kind("replicated"),
    id,
    status: fc.constantFrom("stored", "newer", "fenced", "late", "clock", "ring", "notReplica", "full"),
    counts: fc.boolean(),
    heldVersion: count,
  }),
  clearReplica: fc.record({
    kind: kind("clearReplica"),
    id,
    ringId,
    slots: slots(40),
    version: count,
    opClient: count,
    opSeq: count,
    attempt: id,
    begunAt: millis,
  }),
  clearReplicaReply: fc.record({
    kind: kind("clearReplicaReply"),
    id,
    status: fc.constantFrom("ok", "ring", "fenced"),
    counts: fc.array(fc.boolean(), { maxLength: 40 }),
    newest: count,
    known: count,
  }),
  forward: fc.record({ kind: kind("forward"), id, request: fc.oneof(get, write, scan, countRequest) }),
  forwarded: fc.record({
    kind: kind("forwarded"),
    id,
    reply: fc.oneof(got, written, failed, scanned, counted),
  }),
  pull: slots(40).chain((slots) =>
    fc.record({
      kind: kind("pull"),
      id,
      ringId,
      isRehearsal: fc.boolean(),
      slots: fc.constant(slots),
      digests: fc.array(fc.record({ sum: count, count: id }), {
        minLength: slots.length,
        maxLength: slots.length,
      }),
      after: text,
    }),
  ),
  pulled: fc.nat({ max: 20 }).chain((slotsDone) => {
    const perSlot = { minLength: slotsDone, maxLength: slotsDone };
    return fc.record({
      kind: kind("pulled"),
      id,
      status: fc.constantFrom("ok", "ring"),
      entries: fc.array(entryArbitrary, { maxLength: 5 }),
      slotsDone: fc.constant(slotsDone),
      floors: fc.array(count, perSlot),
      cleared: fc.array(count, perSlot),
      entitled: fc.array(fc.boolean(), perSlot),
      isSame: fc.array(fc.boolean(), perSlot),
      after: text,
      isBusy: fc.boolean(),
    });
  }),
  catchUp: fc.record({ kind: kind("catchUp"), id }),
  catchUpReply: fc.record({ kind: kind("catchUpReply"), id, isDrained: fc.boolean(), slots: slots(2_000) }),
  probe: fc.record({ kind: kind("probe"), seq: count, target: memberId, updates }),
  ack: fc.record({ kind: kind("ack"), seq: count, updates }),
  probeRequest: fc.record({ kind: kind("probeRequest"), seq: count, target: memberId, updates }),
  nack: fc.record({ kind: kind("nack"), seq: count }),
  gossip: fc.record({ kind: kind("gossip"), updates }),
  sync: fc.record({
    kind: kind("sync"),
    wantsReply: fc.boolean(),
    records: fc.array(recordArbitrary, { maxLength: 8 }),
  }),
  doorAddress: fc.record({ kind: kind("doorAddress"), address }),
  publish: fc.record({ kind: kind("publish"), channel: bytes, payload: bytes }),
  overloaded: fc.record({
    kind: kind("overloaded"),
    ids: fc.array(id, { maxLength: 20 }),
    retryAfterMs: millis,
  }),
  watch: fc.record({ kind: kind("watch"), id, round: count, isAll: fc.boolean(), slots: slots(1_000) }),
  watching: fc.record({ kind: kind("watching"), id, round: count, seq: count }),
  changed: fc.record({
    kind: kind("changed"),
    round: count,
    seq: count,
    isCleared: fc.boolean(),
    items: fc.array(fc.record({ key, version: count, opClient: count, opSeq: count }), { maxLength: 20 }),
  }),
  secrets: fc.record({
    kind: kind("secrets"),
    fingerprints: fc.array(fc.stringMatching(/^[0-9a-f]{16}$/), { maxLength: 4 }),
  }),
  place: fc.record({
    kind: kind("place"),
    id,
    zone: fc.option(zone, { nil: undefined }),
    weight: fc.option(weight, { nil: undefined }),
  }),
} satisfies Arbitraries;

const all = MESSAGE_ARBITRARIES;

export const clientRequestArbitrary: fc.Arbitrary<ClientRequest> = fc.oneof(
  all.get,
  all.write,
  all.scan,
  all.clear,
  all.count,
  all.command,
  all.place,
  all.ping,
);
export const clientReplyArbitrary: fc.Arbitrary<ClientReply> = fc.oneof(
  all.got,
  all.written,
  all.scanned,
  all.cleared,
  all.counted,
  all.commanded,
  all.failed,
  all.overloaded,
  all.pong,
  all.topology,
);
export const peerMessageArbitrary: fc.Arbitrary<PeerMessage> = fc.oneof(
  all.read,
  all.readReply,
  all.replicate,
  all.replicated,
  all.clearReplica,
  all.clearReplicaReply,
  all.forward,
  all.forwarded,
  all.pull,
  all.pulled,
  all.catchUp,
  all.catchUpReply,
  all.doorAddress,
  all.publish,
  all.watch,
  all.watching,
  all.changed,
  all.secrets,
  all.ping,
  all.pong,
);
export const gossipMessageArbitrary: fc.Arbitrary<GossipMessage> = fc.oneof(
  all.probe,
  all.ack,
  all.probeRequest,
  all.nack,
  all.gossip,
  all.sync,
);
