// Every message of the system, tagged by `kind`: what clients and nodes, and nodes among themselves, say to each other.
// Messages are plain data. The wire layer turns them into bytes and back, and checks every field's type and range on the
// way in, so that the core may rely on the types below. Value bytes are opaque here: only the client knows what they mean.
//
// Three paths carry them: `client` (callers and nodes), `peer` (data between nodes) and `gossip` (membership, apart from
// data so that a bulk transfer cannot look like a death).

import type { ErrorCode } from "../base/errors.ts";
import type { MemberId, RingId, Slot } from "../base/ids.ts";

/** Which of a node's WebSocket endpoints carries a message. */
export type Path = "client" | "peer" | "gossip";

/** `1`: UTF-8 text. `2`: raw bytes. `3`: a finite number as decimal text. `0`: msgpack. Only clients look inside. */
export type ValueFormat = 0 | 1 | 2 | 3;
export const VALUE_FORMAT = { msgpack: 0, text: 1, bytes: 2, number: 3 } as const;

/** When a write is acknowledged, from the fastest to the surest. */
export const WRITE_MODES = ["async", "quorum", "all"] as const;
export type WriteMode = (typeof WRITE_MODES)[number];
/** What answers a read. */
export const READ_MODES = ["one", "quorum"] as const;
export type ReadMode = (typeof READ_MODES)[number];

/** What a request asks for: `any` is `one` by whichever replica the client picked, as it has it. */
export type ReadScope = ReadMode | "any";

/**
 * One version of one key. Its order is (`version`, `origin`); equal pairs are the same write.
 * `value` is `undefined` for a tombstone (a remembered delete or expiry).
 */
export interface Entry {
  readonly key: string;
  /** Hybrid logical clock stamp, a safe integer above 0 (see `replication/clock.ts`). */
  readonly version: number;
  /** xxHash32 of the coordinator's member id: breaks ties between coordinators. */
  readonly origin: number;
  /** Instant in cluster wall time (ms since 1970) from which the entry is gone; 0 for never. For a tombstone 0. */
  readonly expiresAt: number;
  readonly format: ValueFormat;
  readonly value: Uint8Array | undefined;
  /** The operation that wrote it: `client` 0 when unknown. */
  readonly opClient: number;
  readonly opSeq: number;
  /** The attempt of that operation which wrote this version: an earlier attempt's version is dead once a later one completed. */
  readonly opAttempt: number;
}

/**
 * What a write asks for. `ttlMs` 0 means no expiry. `put` leaves exactly this behind, with an absolute expiry (0 for none): it is how a
 * decision that was taken outside the core, on a version that `condition` names, is written; without a value it deletes.
 * `integersOnly`: refuses to add to a number that is not a safe integer.
 */
export type Change =
  | {
      readonly type: "set";
      readonly value: Uint8Array;
      readonly format: ValueFormat;
      readonly ttlMs: number;
      readonly condition: Condition;
      readonly ifVersion: number;
    }
  | { readonly type: "delete" }
  | { readonly type: "touch"; readonly ttlMs: number }
  | {
      readonly type: "increment";
      readonly by: number;
      readonly ttlMs: number;
      readonly integersOnly?: true;
    }
  | {
      readonly type: "put";
      readonly value: Uint8Array | undefined;
      readonly format: ValueFormat;
      readonly expiresAt: number;
      readonly condition: Condition;
      readonly ifVersion: number;
    };

/** `version` compares the held version with `ifVersion`. */
export type Condition = "none" | "absent" | "present" | "version";

/** `true`/`false` for set, put, delete and touch; the new number for increment. */
export type Outcome = boolean | number;

// ---- client path: requests. `id` is unique per connection among those in flight (uint32).
// `notAfter` is an instant of the receiver's monotonic clock past which it must not start the work; 0 for none.

/** `value`: format and bytes. `entry`: also version and expiry. `exists`: neither, only whether it is there. */
export type Want = "value" | "entry" | "exists";

export interface GetRequest {
  readonly kind: "get";
  readonly id: number;
  readonly key: string;
  readonly read: ReadScope;
  readonly want: Want;
  readonly notAfter: number;
}

export interface WriteRequest {
  readonly kind: "write";
  readonly id: number;
  readonly key: string;
  readonly change: Change;
  readonly write: WriteMode;
  /** The operation: the caller's client id (safe integer above 0) and a number it never uses twice. */
  readonly opClient: number;
  readonly opSeq: number;
  /** 1 for the first try of the operation, one more for each that follows on any node. */
  readonly attempt: number;
  /** A replica that gets this hands it on to nobody: the one that would decide otherwise is slow, as the caller has found. */
  readonly isDecidedHere: boolean;
  readonly notAfter: number;
  /** When the call began, in the receiver's monotonic clock, early rather than late; 0 for unknown, 1 for before its process began. */
  readonly begunAt: number;
}

/** Keys of some slots, in slot order of the request, for those greater than `after` within the first slot. */
export interface ScanRequest {
  readonly kind: "scan";
  readonly id: number;
  /** At most 1,024, strictly ascending. */
  readonly slots: readonly Slot[];
  readonly after: string;
  readonly prefix: string;
  /** 1 to 1,000 keys. */
  readonly limit: number;
  /** Nobody else is asked: only slots are answered for of which this node's copy is known to have what was acknowledged. */
  readonly isAlone: boolean;
}

/** Deletes everything in the slots that was written before the request arrived. An operation like a {@link WriteRequest}: applied once. */
export interface ClearRequest {
  readonly kind: "clear";
  readonly id: number;
  readonly slots: readonly Slot[];
  readonly opClient: number;
  readonly opSeq: number;
  readonly attempt: number;
  readonly notAfter: number;
  readonly begunAt: number;
}

/** Live entries of the given slots on this node. */
export interface CountRequest {
  readonly kind: "count";
  readonly id: number;
  readonly slots: readonly Slot[];
}

/** `leave`: hand over the slots and leave for good. `evict`: an operator says that `member` is gone. */
export interface CommandRequest {
  readonly kind: "command";
  readonly id: number;
  readonly command: "leave" | "evict";
  readonly member: string;
}

/** Asks the node for another place in the ring; what is `undefined` stays as it is. Answered when it is noted, long before it has the place. */
export interface PlaceRequest {
  readonly kind: "place";
  readonly id: number;
  readonly zone: string | undefined;
  /** 1 to 64. */
  readonly weight: number | undefined;
}

/** Sent on client and peer links; answered with {@link Pong}. Times are the sender's. */
export interface Ping {
  readonly kind: "ping";
  readonly sentMs: number;
}

// ---- client path: replies

export interface GetReply {
  readonly kind: "got";
  readonly id: number;
  readonly found: boolean;
  readonly format: ValueFormat;
  /** Empty unless found and `want` was not `exists`. */
  readonly value: Uint8Array;
  /** 0 unless `want` was `entry`. */
  readonly version: number;
  readonly expiresAt: number;
}

export interface WriteReply {
  readonly kind: "written";
  readonly id: number;
  readonly outcome: Outcome;
}

export interface ScanReply {
  readonly kind: "scanned";
  readonly id: number;
  readonly keys: readonly string[];
  /** How many of the request's slots are done, from the first. */
  readonly slotsDone: number;
  /** Where to go on within the next slot; "" to begin it. */
  readonly after: string;
}

export interface ClearReply {
  readonly kind: "cleared";
  readonly id: number;
}

export interface CountReply {
  readonly kind: "counted";
  readonly id: number;
  readonly count: number;
}

export interface CommandReply {
  readonly kind: "commanded";
  readonly id: number;
}

/** Any request can end in this. `elsewhere`: another node may well succeed, so a client within its deadline goes on. */
export interface Failure {
  readonly kind: "failed";
  readonly id: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly applied: "no" | "maybe";
  readonly elsewhere: boolean;
}

/** These requests of one frame were not begun: the node has more to do than it can. Sent to clients with the capability `overloaded`. */
export interface Overloaded {
  readonly kind: "overloaded";
  /** At most 4,096. */
  readonly ids: readonly number[];
  /** Milliseconds after which the client may ask again. */
  readonly retryAfterMs: number;
}

/** Answer to {@link Ping}: the receiver's clocks when it answered. */
export interface Pong {
  readonly kind: "pong";
  readonly sentMs: number;
  readonly monoMs: number;
  readonly wallMs: number;
}

/** The cluster as the sender sees it. Pushed to a client after the handshake and whenever it changes. */
export interface Topology {
  readonly kind: "topology";
  /** "" while there is no ring. */
  readonly ringId: RingId | "";
  readonly replicas: number;
  readonly defaultWrite: WriteMode;
  readonly defaultRead: ReadMode;
  readonly valueBytesMax: number;
  readonly members: readonly TopologyMember[];
}

export interface TopologyMember {
  readonly id: MemberId;
  readonly address: string;
  readonly zone: string;
  readonly weight: number;
  readonly liveness: Liveness;
  readonly ringState: RingState;
}

// ---- peer path. `id` is unique per sender among those in flight. `ringId` is the sender's: a replica of another ring
// answers `ring` and both sides exchange records, so that no quorum is ever collected across two rings.

/** A member's copy of one key, whatever it is. */
export interface ReadReplica {
  readonly kind: "read";
  readonly id: number;
  /** The sender's ring. Or the one before it: who lost the key's slot since is to say whether it knows the operation. */
  readonly ringId: RingId;
  readonly key: string;
  /** When above 0: asks whether the operation is known, and fences all its attempts below `attempt`. */
  readonly opClient: number;
  readonly opSeq: number;
  readonly attempt: number;
  /** When the operation began, in the receiver's monotonic clock; a replica that has counted for less time cannot vouch that nobody knows it. 0 without an operation. */
  readonly begunAt: number;
}

export interface ReadReplicaReply {
  readonly kind: "readReply";
  readonly id: number;
  readonly status: "ok" | "ring" | "notReplica";
  /**
   * False while this replica is warming for the slot: its answer must not count towards a quorum. With `notReplica`: whether it can tell of
   * the ring before that the asked operation is not known there.
   */
  readonly counts: boolean;
  /**
   * It counts, and cannot know the asked operation: a change of the ring has given it the slot since the operation began. That it does not
   * know it means something only when a majority of the replicas of the ring before do not know it either.
   */
  readonly isNewcomer: boolean;
  /** The held entry, be it a tombstone or expired; `undefined` when nothing is held. */
  readonly entry: Entry | undefined;
  /** Everything of the slot up to this version is known to be deleted; 0 for none. */
  readonly clearedVersion: number;
  /** The asked operation, when this replica stored it: its version, and the number if it was an increment. */
  readonly known: { readonly version: number; readonly outcome: Outcome } | undefined;
}

/**
 * Store one version. `purpose` `client` is a foreground write, bound to the ring; the others merge by version. `rehearsal` goes to who
 * will keep the key under the planned ring, and is not answered.
 */
export interface Replicate {
  readonly kind: "replicate";
  readonly id: number;
  readonly ringId: RingId;
  readonly purpose: "client" | "repair" | "hint" | "rehearsal";
  readonly entry: Entry;
  /** Refused when the replica holds a version above this. At most `entry.version - 1`, or `entry.version` when it is the same write again. */
  readonly over: number;
  /** In the receiver's monotonic clock, 0 for none: refused later. */
  readonly notAfter: number;
}

/**
 * `stored`: held now (or already). `newer`: refused, `heldVersion` says what is held. `fenced`: a later attempt of the same
 * operation took over. `late`: past `notAfter`. `clock`: the version is too far in the future. `ring`: another ring.
 */
export type ReplicateStatus =
  | "stored"
  | "newer"
  | "fenced"
  | "late"
  | "clock"
  | "ring"
  | "notReplica"
  | "full";

export interface ReplicateReply {
  readonly kind: "replicated";
  readonly id: number;
  readonly status: ReplicateStatus;
  readonly counts: boolean;
  readonly heldVersion: number;
}

/**
 * Clears whole slots up to a version on one replica. Version 0 only asks: how new what they hold is, and whether the operation is known
 * (`opClient` 0: no operation); its attempts below `attempt` are refused from then on.
 */
export interface ClearReplica {
  readonly kind: "clearReplica";
  readonly id: number;
  readonly ringId: RingId;
  readonly slots: readonly Slot[];
  readonly version: number;
  readonly opClient: number;
  readonly opSeq: number;
  readonly attempt: number;
  /** As in {@link ReadReplica}. */
  readonly begunAt: number;
}

export interface ClearReplicaReply {
  readonly kind: "clearReplicaReply";
  readonly id: number;
  /** `fenced`: a later attempt of the same operation took over. */
  readonly status: "ok" | "ring" | "fenced";
  /** Per slot of the request: whether this replica counts for it, and can vouch for what it does not know. */
  readonly counts: readonly boolean[];
  /** At or above the versions of all that the slots held before. */
  readonly newest: number;
  /** The version under which the operation cleared something here; 0 for none. */
  readonly known: number;
}

/** A client's request handed on, once, to a node that can coordinate it. Its answer comes back in {@link Forwarded}. */
export interface Forward {
  readonly kind: "forward";
  readonly id: number;
  readonly request: ForwardedRequest;
}

/** What a node may hand on: what any replica can do, and questions about slots that only their replicas can answer. */
export type ForwardedRequest = GetRequest | WriteRequest | ScanRequest | CountRequest;

export interface Forwarded {
  readonly kind: "forwarded";
  readonly id: number;
  readonly reply: GetReply | WriteReply | ScanReply | CountReply | Failure;
}

/** Asks a source for slots. A slot whose digest equals the source's is done without moving an entry. */
export interface Pull {
  readonly kind: "pull";
  readonly id: number;
  /** The ring for which the slots are wanted: the sender's current ring, or the one it would like to join. */
  readonly ringId: RingId;
  /** A rehearsal before the ring changes: the source answers from whatever ring it has. */
  readonly isRehearsal: boolean;
  /** At most 1,024, strictly ascending. */
  readonly slots: readonly Slot[];
  /** Of the asker's copy of each slot; same order. */
  readonly digests: readonly SlotDigest[];
  /** Within the first slot: only keys greater than this; "" for all. */
  readonly after: string;
}

/** Sum modulo 2^53 of the hashes of (key, version, origin) over a slot's entries and tombstones, and how many there are. */
export interface SlotDigest {
  readonly sum: number;
  readonly count: number;
}

export interface PullReply {
  readonly kind: "pulled";
  readonly id: number;
  readonly status: "ok" | "ring";
  /** Entries and tombstones, in the order of the slots asked for; at most 128 KiB or 128 (always at least one). */
  readonly entries: readonly Entry[];
  /** How many of the slots asked for are done, from the first. */
  readonly slotsDone: number;
  /** For each done slot: its floor and cleared version, and whether the source was entitled to answer for it. */
  readonly floors: readonly number[];
  readonly cleared: readonly number[];
  readonly entitled: readonly boolean[];
  /**
   * For each done slot: whether the digests were equal, so that no entry had to move. Of a slot that the source may not answer for, whether
   * it is about to be: a change of the ring gave it the slot, and it has not lost it since.
   */
  readonly isSame: readonly boolean[];
  /** Within the slot after the done ones: the last key sent; "" when none was. */
  readonly after: string;
  /** The source serves callers: the next question should leave it some time. */
  readonly isBusy: boolean;
}

/** "Is there anything you still keep for me?" Answered at once; the asker repeats it until the answer is yes. */
export interface CatchUp {
  readonly kind: "catchUp";
  readonly id: number;
}

export interface CatchUpReply {
  readonly kind: "catchUpReply";
  readonly id: number;
  /** True when no hint for the asker is left here. */
  readonly isDrained: boolean;
  /** Slots for which hints overflowed: the asker must pull them. At most 16,384, ascending. */
  readonly slots: readonly Slot[];
}

/** What the sender tells of its Redis door: `host:port` that Redis clients reach it at, "" for none. Said once per connection. */
export interface DoorAddress {
  readonly kind: "doorAddress";
  readonly address: string;
}

/** A message that a Redis client published at the sender, for the subscribers at the receiver. Not repeated when it is lost. */
export interface Publish {
  readonly kind: "publish";
  readonly channel: Uint8Array;
  readonly payload: Uint8Array;
}

/** Names of the secrets that the sender accepts, the one in use first. Said once per connection, and when they change. */
export interface Secrets {
  readonly kind: "secrets";
  /** At most 4. */
  readonly fingerprints: readonly string[];
}

/**
 * "From now on, tell me of every change in these slots." Added to what was asked before in the same `round`; a later round starts anew,
 * and 0 ends it. Without slots it only asks whether all is as it was. For doors whose clients cache what they read.
 */
export interface Watch {
  readonly kind: "watch";
  readonly id: number;
  /** Greater with each start, also across restarts of the sender. */
  readonly round: number;
  /** Every slot, whatever `slots` says. */
  readonly isAll: boolean;
  /** At most 1,024, strictly ascending. */
  readonly slots: readonly Slot[];
}

/** Answer to {@link Watch}: whatever is stored here from now on is told. */
export interface Watching {
  readonly kind: "watching";
  readonly id: number;
  readonly round: number;
  /** Of the last {@link Changed} to this member; it began at a random number when the round did, so that whoever forgot is found out. */
  readonly seq: number;
}

/** What has changed in the slots that the receiver watches, since the message before. */
export interface Changed {
  readonly kind: "changed";
  readonly round: number;
  /** One more than in the message before: a gap means that one was lost. */
  readonly seq: number;
  /** Whole slots were cleared, or more changed than can be told: nothing that was read before is vouched for. */
  readonly isCleared: boolean;
  /** At most 1,000. */
  readonly items: readonly ChangedKey[];
}

/** A key, and the version that is held under it now; 0 when the value went by time or for space. */
export interface ChangedKey {
  readonly key: string;
  readonly version: number;
  /** The operation that wrote it, as in {@link Entry}. */
  readonly opClient: number;
  readonly opSeq: number;
}

// ---- gossip path

export type Liveness = "alive" | "suspect" | "dead";

/**
 * `joining`: not in the ring yet. `warming`, `active`, `leaving`, `condemned`: in the ring. `left`, `evicted`: out of it for good.
 * `condemned` is what others write of a dead member that is to be evicted once its copies have been made anew; if it lives, it
 * says so, and is what it was.
 */
export type RingState = "joining" | "warming" | "active" | "leaving" | "condemned" | "left" | "evicted";

/** What a member asks to be in the ring. A later wish of one boot has a greater number, from 1 on. */
export interface Place {
  readonly seq: number;
  readonly zone: string;
  readonly weight: number;
}

/** What is known of one member. Records form a join-semilattice; `membership/record.ts` has the order. */
export interface MemberRecord {
  readonly id: MemberId;
  /** `host:port` others reach it at. Not part of the ring. */
  readonly address: string;
  /** As the ring has it: a running member's place changes like the ring, by a plan that was rehearsed. */
  readonly zone: string;
  /** Integer from 1 to 64: share of the ring against the others. */
  readonly weight: number;
  /** Number of the wish that zone and weight are from; 0 as the member started. */
  readonly placeSeq: number;
  /** The member's last wish; `undefined` when it had none. Only the member itself writes it. */
  readonly wanted: Place | undefined;
  /** Boot number: greater at every start of the node. Milliseconds since 1970, at least one more than before. */
  readonly generation: number;
  /** Raised by the member itself only, to refute what others say of it. */
  readonly incarnation: number;
  readonly liveness: Liveness;
  /**
   * Raised by the member itself with every change of the fields below. Others write at the same number: the entry into the ring, the
   * end of leaving, `condemned`, `evicted`.
   */
  readonly ringSeq: number;
  readonly ringState: RingState;
  /** The last ring for which every slot of this member is filled and counts; "" for none. */
  readonly settledRingId: RingId | "";
  /** The planned ring for which this member has rehearsed its new slots; "" for none. */
  readonly preparedRingId: RingId | "";
}

/** A record on its way, with the member that first accused it (for suspicions: Lifeguard counts distinct accusers). */
export interface Update {
  readonly record: MemberRecord;
  /** "" unless the record says `suspect` or `dead`. */
  readonly accuser: MemberId | "";
}

/** SWIM probe. `target` names whom the sender believes it probes: an answer of anyone else is no answer. */
export interface Probe {
  readonly kind: "probe";
  readonly seq: number;
  readonly target: MemberId;
  readonly updates: readonly Update[];
}

export interface ProbeAck {
  readonly kind: "ack";
  readonly seq: number;
  readonly updates: readonly Update[];
}

/** "Please probe `target` for me": answered with an ack, or a nack at 80 % of the timeout (Lifeguard). */
export interface ProbeRequest {
  readonly kind: "probeRequest";
  readonly seq: number;
  readonly target: MemberId;
  readonly updates: readonly Update[];
}

export interface ProbeNack {
  readonly kind: "nack";
  readonly seq: number;
}

/** Broadcasts between probes. */
export interface Gossip {
  readonly kind: "gossip";
  readonly updates: readonly Update[];
}

/** Full sync (push/pull): the sender's whole table; `wantsReply` asks for the other's. */
export interface Sync {
  readonly kind: "sync";
  readonly wantsReply: boolean;
  readonly records: readonly MemberRecord[];
}

// ---- unions

export type ClientRequest =
  | GetRequest
  | WriteRequest
  | ScanRequest
  | ClearRequest
  | CountRequest
  | CommandRequest
  | PlaceRequest
  | Ping;
export type ClientReply =
  | GetReply
  | WriteReply
  | ScanReply
  | ClearReply
  | CountReply
  | CommandReply
  | Failure
  | Overloaded
  | Pong
  | Topology;
/** What doors, and the stores behind them, say to each other: for the shell, not for the core. Only to nodes that know it (see `wire/handshake.ts`). */
export type DoorMessage = DoorAddress | Publish | Watch | Watching | Changed;
export type PeerMessage =
  | ReadReplica
  | ReadReplicaReply
  | Replicate
  | ReplicateReply
  | ClearReplica
  | ClearReplicaReply
  | Forward
  | Forwarded
  | Pull
  | PullReply
  | CatchUp
  | CatchUpReply
  | DoorMessage
  | Secrets
  | Ping
  | Pong;
export type GossipMessage = Probe | ProbeAck | ProbeRequest | ProbeNack | Gossip | Sync;

export type Message = ClientRequest | ClientReply | PeerMessage | GossipMessage;

/** The place that the member asks for and has not got; `undefined` when it is content. */
export function wantedPlace({ placeSeq, wanted, zone, weight }: MemberRecord): Place | undefined {
  if (wanted === undefined || wanted.seq <= placeSeq) return undefined;
  return wanted.zone === zone && wanted.weight === weight ? undefined : wanted;
}

/** The record of a member that got the place. */
export function placed(record: MemberRecord, { zone, weight, seq }: Place): MemberRecord {
  return { ...record, zone, weight, placeSeq: seq };
}

/** Whether a member in this state owns slots. */
export function isInRing(state: RingState): boolean {
  return state === "warming" || state === "active" || state === "leaving" || state === "condemned";
}
