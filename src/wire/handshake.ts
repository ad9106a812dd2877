// The handshake: what two processes tell each other before the first message, and whether they fit together.
//
//   dialer                                acceptor
//   hello (who I am, nonce)          ->
//                                    <-   challenge (nonce)            only with a secret
//   proof                            ->                                only with a secret
//                                    <-   ready (who I am, proof)      or refused (why)
//
// With a secret, a proof is HMAC-SHA256 over the whole conversation so far: who speaks, the path, the hello (role, cluster name,
// id), both nonces, and for the acceptor its own answer. So a recorded proof is useless, none can be sent back to its maker, and no
// name can be exchanged. The acceptor says nothing of itself or the cluster before the dialer has proved that it knows the
// secret. Without a secret on either side the middle is left out: one round trip. Under TLS the conversation includes a value that
// only the two ends of this TLS connection can compute (RFC 9266), so that nobody can pass a proof on from one to another.
//
// A client may be a user instead of a holder of the cluster's secret: then the hello names it, the proofs are made with its own
// keys, and `ready` says what it may do.
//
// The layout of a hello never changes, so that any two versions understand each other well enough to disagree; items that a
// later version appends are ignored. Here are the bytes and the rules; `io/link-handshake.ts` has the conversation.

import type { ErrorCode } from "../base/errors.ts";
import {
  COMMAND_CLASSES,
  type CommandClass,
  type Grants,
  PREFIX_BYTES_MAX,
  PREFIXES_MAX,
} from "../base/grants.ts";
import { SLOT_COUNT } from "../base/ids.ts";
import type { Message, Path } from "../core/messages.ts";
import { HASH_VERSION, ringParameters } from "../core/ring/ring.ts";
import { packValue, unpackValue } from "./codec.ts";
import {
  address,
  bool,
  bytes,
  check,
  clipped,
  count,
  type Field,
  InvalidField,
  integer,
  list,
  memberIdOrNone,
  oneOf,
  shortName,
  struct,
  text,
} from "./fields.ts";
import { FAILURE_TEXT_MAX, HANDSHAKE_BYTES_MAX } from "./limits.ts";
import { errorCode } from "./shapes.ts";

/** Oldest and newest protocol version this build speaks. Two sides use the newest that both have. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/**
 * Knows what Redis doors need of other nodes: the messages that doors and stores tell each other with, `put`, and increments of integers
 * only. To a node without it nothing of that is sent.
 */
export const REDIS_DOOR = "redis-door";

/** Nodes tell each other the names of their secrets. */
const SECRETS = "secrets";

/** What this build can do beyond its protocol version. Two sides use what both have. `overloaded`: a client takes that message. */
export const CAPABILITIES: readonly string[] = Object.freeze(["overloaded", REDIS_DOOR, SECRETS]);

/** What the receiver must have for the message to be sent to it; `undefined` for what every version knows. */
export function capabilityFor(message: Message): string | undefined {
  switch (message.kind) {
    case "doorAddress":
    case "publish":
    case "watch":
    case "watching":
    case "changed":
      return REDIS_DOOR;
    case "secrets":
      return SECRETS;
    case "forward": {
      const { request } = message;
      if (request.kind !== "write") return undefined;
      const { change } = request;
      const isOfDoors =
        change.type === "put" || (change.type === "increment" && change.integersOnly === true);
      return isOfDoors ? REDIS_DOOR : undefined;
    }
    default:
      return undefined;
  }
}

/** Bytes of a nonce: as many as SHA-256 yields, so that none ever repeats. */
export const NONCE_BYTES = 32;

/** What one side says of itself. See `LocalIdentity` in `io/link.ts` for what the fields mean. */
export interface Identity {
  readonly role: "client" | "node";
  readonly clusterName: string;
  readonly genesisId: string;
  readonly id: string;
  readonly generation: number;
  readonly address: string;
  readonly clientId: number;
  readonly ring: RingIdentity;
}

/** What two nodes must have in common to compute the same table. A client takes `replicas` from the topology. */
export interface RingIdentity {
  readonly slotCount: number;
  readonly capPercent: number;
  readonly hashVersion: number;
  /** Copies of each key; 0 from a client. */
  readonly replicas: number;
}

/** The ring of this build with that many copies. */
export function ringIdentity(replicas: number): RingIdentity {
  const { capPercent } = ringParameters(replicas);
  return { slotCount: SLOT_COUNT, capPercent, hashVersion: HASH_VERSION, replicas };
}

export interface Hello {
  readonly type: "hello";
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly capabilities: readonly string[];
  /** Whether the dialer has a secret. */
  readonly isSecured: boolean;
  readonly nonce: Uint8Array;
  readonly identity: Identity;
  /** Whose secret is proved. @default "", the cluster's */
  readonly user?: string | undefined;
}

export interface Challenge {
  readonly type: "challenge";
  readonly nonce: Uint8Array;
}

export interface Proof {
  readonly type: "proof";
  readonly proof: Uint8Array;
}

export interface Ready {
  readonly type: "ready";
  /** The encoded {@link Welcome}: kept as bytes because the proof is over them. */
  readonly welcome: Uint8Array;
  /** Empty without a secret. */
  readonly proof: Uint8Array;
}

/** What the acceptor settles and says of itself. */
export interface Welcome {
  readonly protocol: number;
  readonly capabilities: readonly string[];
  readonly identity: Identity;
  /** What the user may do; `undefined` unless the dialer is one. */
  readonly grants?: Grants | undefined;
}

export interface Refused {
  readonly type: "refused";
  readonly code: ErrorCode;
  readonly reason: string;
}

export type HandshakeMessage = Hello | Challenge | Proof | Ready | Refused;

const capabilities = list(text(32, 1), 32);
const version = integer(1, 0xffff);
const identity: Field<Identity> = struct<Identity>({
  role: oneOf<"client" | "node">({ client: 0, node: 1 }),
  clusterName: shortName,
  genesisId: shortName,
  id: memberIdOrNone as Field<string>,
  generation: count,
  address,
  clientId: count,
  ring: struct<RingIdentity>({
    slotCount: count,
    capPercent: count,
    hashVersion: count,
    replicas: integer(0, 0xffff),
  }),
});
const grants = struct<Grants>({
  classes: list(
    oneOf<CommandClass>({ read: 0, write: 1, delete: 2, admin: 3, cluster: 4 }),
    COMMAND_CLASSES.length,
  ),
  prefixes: list(text(PREFIX_BYTES_MAX), PREFIXES_MAX),
});
const welcome = struct<Omit<Welcome, "grants">>({ protocol: version, capabilities, identity });
/** Only a dialer that named a user is sent more than the fields above. */
const userWelcome = struct<Omit<Welcome, "grants"> & { readonly grants: Grants }>({
  protocol: version,
  capabilities,
  identity,
  grants,
});

const nonce: Field<Uint8Array> = {
  pack: (value) => value,
  parse(raw) {
    const value = bytes.parse(raw);
    check(value.length === NONCE_BYTES, `${NONCE_BYTES} bytes`);
    return value;
  },
};

const MESSAGES = {
  hello: struct<Omit<Hello, "type" | "user">>({
    protocolMin: version,
    protocolMax: version,
    capabilities,
    isSecured: bool,
    nonce,
    identity,
  }),
  challenge: struct<Omit<Challenge, "type">>({ nonce }),
  proof: struct<Omit<Proof, "type">>({ proof: bytes }),
  ready: struct<Omit<Ready, "type">>({ welcome: bytes, proof: bytes }),
  refused: struct<Omit<Refused, "type">>({ code: errorCode, reason: clipped(FAILURE_TEXT_MAX) }),
} as const;

/** Positions are numbers on the wire. */
const TYPES = ["hello", "challenge", "proof", "ready", "refused"] as const;
const HELLO_FIELDS = 6;

export function encodeHandshake(message: HandshakeMessage): Uint8Array {
  // The field of a type takes the message of that type; the compiler cannot follow the pairing.
  const field = MESSAGES[message.type] as Field<object>;
  const fields = field.pack(message) as unknown[];
  if (message.type === "hello" && (message.user ?? "") !== "") fields.push(message.user);
  return packValue([TYPES.indexOf(message.type), fields]);
}

/** A handshake message, checked; `undefined` for anything else. Never throws. */
export function decodeHandshake(frame: Uint8Array): HandshakeMessage | undefined {
  if (frame.length > HANDSHAKE_BYTES_MAX) return undefined;
  const unpacked = unpackValue(frame);
  if (!unpacked.ok || !Array.isArray(unpacked.value)) return undefined;
  const [number, fields] = unpacked.value as readonly unknown[];
  const type = typeof number === "number" ? TYPES[number] : undefined;
  if (type === undefined || !Array.isArray(fields)) return undefined;
  if (type !== "hello") return typed(type, parsed<object>(MESSAGES[type], fields));
  // The user was appended to the first layout, and is left out by those who are none.
  const user = parsed(shortName, fields[HELLO_FIELDS] ?? "");
  const values = parsed<object>(MESSAGES.hello, fields.slice(0, HELLO_FIELDS));
  return user === undefined
    ? undefined
    : typed("hello", values && (user === "" ? values : { ...values, user }));
}

function typed(type: HandshakeMessage["type"], values: object | undefined): HandshakeMessage | undefined {
  return values === undefined ? undefined : ({ type, ...values } as HandshakeMessage);
}

export function encodeWelcome(value: Welcome): Uint8Array {
  const { grants } = value;
  return packValue(grants === undefined ? welcome.pack(value) : userWelcome.pack({ ...value, grants }));
}

/** The opposite of {@link encodeWelcome}; `undefined` for anything else. Never throws. */
export function decodeWelcome(frame: Uint8Array): Welcome | undefined {
  const unpacked = unpackValue(frame);
  if (!unpacked.ok) return undefined;
  return parsed(welcome, unpacked.value) ?? parsed(userWelcome, unpacked.value);
}

function parsed<T>(field: Field<T>, raw: unknown): T | undefined {
  try {
    return field.parse(raw);
  } catch (error) {
    if (error instanceof InvalidField) return undefined;
    throw error;
  }
}

/** What a proof is made over: the frames as they were sent. */
export interface Transcript {
  readonly path: Path;
  readonly hello: Uint8Array;
  readonly challenge: Uint8Array;
  /** Of the acceptor's proof; empty for the dialer's. */
  readonly welcome: Uint8Array;
  /** What only the ends of this TLS connection know; empty without TLS. */
  readonly binding?: Uint8Array | undefined;
}

/** The bytes that the HMAC of a side's proof is taken over. Different for the two sides, and for any two conversations. */
export function proofInput(side: "dialer" | "acceptor", transcript: Transcript): Uint8Array {
  const { path, hello, challenge, welcome, binding } = transcript;
  const parts = ["ringhold handshake 1", side, path, hello, challenge, welcome];
  return packValue(binding === undefined || binding.length === 0 ? parts : [...parts, binding]);
}

/** Why two processes do not fit together. */
export interface Mismatch {
  readonly code: ErrorCode;
  /** For this side. */
  readonly reason: string;
  /** For the other side, when that is less: a process of another cluster is told nothing of this one. @default `reason` */
  readonly told?: string;
}

/** What {@link checkHello} compares: a hello, or what stands for it on the other side. */
export interface Introduction {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly identity: Identity;
}

/**
 * Why `mine` and `theirs` cannot share a link on `path`; `undefined` when they can. The reason names both values, and reads
 * the same on either side.
 */
export function checkHello(mine: Introduction, theirs: Introduction, path: Path): Mismatch | undefined {
  const foreign = clusterMismatch(mine.identity, theirs.identity);
  const reason =
    protocolMismatch(mine, theirs) ??
    roleMismatch(theirs.identity, path) ??
    foreign ??
    ringMismatch(mine.identity, theirs.identity) ??
    selfMismatch(mine.identity, theirs.identity);
  if (reason === undefined) return undefined;
  const mismatch = { code: "ERR_PROTOCOL", reason } as const;
  if (foreign === undefined) return mismatch;
  const { clusterName, genesisId } = theirs.identity;
  const asked =
    mine.identity.clusterName === clusterName ? `genesis ${genesisId}` : `the name "${clusterName}"`;
  return { ...mismatch, told: `It belongs to another cluster than that of ${asked}` };
}

/** The newest protocol version that both sides speak. They must have one in common. */
export function commonProtocol(mine: Introduction, theirs: Introduction): number {
  return Math.min(mine.protocolMax, theirs.protocolMax);
}

function protocolMismatch(mine: Introduction, theirs: Introduction): string | undefined {
  if (mine.protocolMax >= theirs.protocolMin && theirs.protocolMax >= mine.protocolMin) return undefined;
  const range = (side: Introduction) =>
    `${nameOf(side.identity)} speaks ${side.protocolMin} to ${side.protocolMax}`;
  return `No common protocol version: ${range(mine)}, ${range(theirs)}`;
}

function roleMismatch(theirs: Identity, path: Path): string | undefined {
  const isNode = theirs.role === "node";
  if (isNode !== (theirs.id !== "")) return `A ${theirs.role} introduced itself with the id "${theirs.id}"`;
  if (isNode && theirs.generation === 0) return `${nameOf(theirs)} introduced itself without a generation`;
  if (isNode && theirs.address === "") return `${nameOf(theirs)} introduced itself without an address`;
  if (!isNode && theirs.clientId === 0) return "A client introduced itself without a client id";
  if (!isNode && path !== "client") return `Path /${path} is for nodes, ${nameOf(theirs)} is none`;
  return undefined;
}

function clusterMismatch(mine: Identity, theirs: Identity): string | undefined {
  if (mine.clusterName !== theirs.clusterName && mine.clusterName !== "" && theirs.clusterName !== "") {
    return `Cluster names differ: "${mine.clusterName}" at ${nameOf(mine)}, "${theirs.clusterName}" at ${nameOf(theirs)}`;
  }
  if (mine.genesisId !== theirs.genesisId && mine.genesisId !== "" && theirs.genesisId !== "") {
    return (
      `Different clusters of the same name "${mine.clusterName}": genesis ${mine.genesisId} at ${nameOf(mine)}, ` +
      `${theirs.genesisId} at ${nameOf(theirs)}`
    );
  }
  return undefined;
}

function ringMismatch(mine: Identity, theirs: Identity): string | undefined {
  const areNodes = mine.role === "node" && theirs.role === "node";
  const names = [
    "slotCount",
    "capPercent",
    "hashVersion",
    ...(areNodes ? (["replicas"] as const) : []),
  ] as const;
  const name = names.find((name) => mine.ring[name] !== theirs.ring[name]);
  if (name === undefined) return undefined;
  return (
    `Ring parameter ${name} differs: ${mine.ring[name]} at ${nameOf(mine)}, ` +
    `${theirs.ring[name]} at ${nameOf(theirs)}`
  );
}

/** Same id and another generation is a node that has restarted, or a second one of that name: for its users to tell apart. */
function selfMismatch(mine: Identity, theirs: Identity): string | undefined {
  const isSelf = mine.role === "node" && theirs.role === "node" && mine.id === theirs.id;
  return isSelf && mine.generation === theirs.generation ? `${nameOf(mine)} reached itself` : undefined;
}

/** `node n1 (127.0.0.1:7400)` or `client 77`. */
function nameOf(identity: Identity): string {
  return identity.role === "node"
    ? `node ${identity.id} (${identity.address})`
    : `client ${identity.clientId}`;
}
