// Both sides of the handshake conversation (`wire/handshake.ts` has its words and rules), as two small machines that are fed the
// frames of the other side. They do no I/O themselves; randomness and HMAC are all they take from the platform.
//
// Invariants:
// 1. An acceptor with a secret says nothing but its nonce before the dialer's proof was checked.
// 2. A dialer with a secret accepts nobody who has not proved to know it; a dialer without one proves nothing.
// 3. All failed proofs take the same path: compute, compare in constant time, refuse with the same words; also those of users that
//    do not exist (`proofs.ts`).
// 4. Only holders of the cluster's secret are nodes; a user is a client, whatever it says of itself.

import { randomBytes } from "node:crypto";
import type { ErrorCode } from "../base/errors.ts";
import type { Path } from "../core/messages.ts";
import {
  CAPABILITIES,
  checkHello,
  commonProtocol,
  decodeHandshake,
  decodeWelcome,
  encodeHandshake,
  encodeWelcome,
  type Hello,
  type Identity,
  type Introduction,
  NONCE_BYTES,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  proofInput,
  type Ready,
  ringIdentity,
  type Transcript,
  type Welcome,
} from "../wire/handshake.ts";
import type { Access, LocalIdentity, RemoteIdentity } from "./link.ts";
import {
  type FindUser,
  fingerprint,
  isNodeOfUser,
  keyFingerprint,
  proveNode,
  proveSecrets,
  proveUser,
  type SecretBytes,
  type SecretRing,
  secretRing,
  secretsProved,
  type User,
  type UserKey,
  userKeyProved,
} from "./proofs.ts";

/** What a side does after a frame. */
export type HandshakeStep =
  | { readonly kind: "send"; readonly frame: Uint8Array }
  /** The link stands; `frame` goes out first, if there is one. */
  | { readonly kind: "done"; readonly remote: RemoteIdentity; readonly frame: Uint8Array | undefined }
  /** The link is not to be; `frame` tells the other side why, if it is to know. */
  | {
      readonly kind: "refused";
      readonly code: ErrorCode;
      readonly reason: string;
      readonly frame: Uint8Array | undefined;
    };

/** What a dialer proves itself with. */
export interface DialerProof {
  /** One secret, or several of which the other side may know any: the one in use first. */
  readonly secret?: SecretBytes | SecretRing | undefined;
  /** Whose secret it is; "" for the cluster's. */
  readonly user?: string | undefined;
}

/** What an acceptor asks for. */
export interface AcceptorProof {
  /** The cluster's. All are accepted; an answer is made with the first that the other side knows. */
  readonly secret?: SecretBytes | SecretRing | undefined;
  /** @default nobody */
  readonly findUser?: FindUser | undefined;
  /** See {@link Transcript.binding}. */
  readonly binding?: Uint8Array | undefined;
}

const NOTHING = new Uint8Array(0);
const WRONG_SECRET = "The secrets of the two sides differ";
const WRONG_USER = "The user or its secret is not right";
const NO_SECRET_HERE =
  "The dialling side has a secret and this cluster has none: remove it there, or give it to every node with --secret-file or RINGHOLD_SECRET";
const NO_SECRET_THERE =
  "This cluster asks for a secret and the dialling side has none: give it with --secret-file or RINGHOLD_SECRET";

/** The side that opened the connection. */
export class DialerHandshake {
  /** To be sent first. */
  readonly hello: Uint8Array;
  readonly #mine: Introduction;
  readonly #path: Path;
  readonly #secrets: SecretRing;
  readonly #user: string;
  #binding: Uint8Array = NOTHING;
  #challenge: Uint8Array | undefined;

  constructor(identity: LocalIdentity, path: Path, proof: DialerProof = {}) {
    this.#mine = introduction(identity);
    this.#path = path;
    this.#secrets = secretRing(proof.secret);
    this.#user = proof.user ?? "";
    this.hello = encodeHandshake({
      type: "hello",
      ...this.#mine,
      capabilities: CAPABILITIES,
      isSecured: this.#isSecured,
      nonce: randomBytes(NONCE_BYTES),
      user: this.#user,
    });
  }

  /** Binds the proofs to the TLS connection, see {@link Transcript.binding}. Before {@link DialerHandshake.receive}. */
  bind(binding: Uint8Array): void {
    this.#binding = binding;
  }

  receive(frame: Uint8Array): HandshakeStep {
    const message = decodeHandshake(frame);
    switch (message?.type) {
      case "refused":
        return { kind: "refused", code: message.code, reason: message.reason, frame: undefined };
      case "challenge":
        return this.#prove(frame);
      case "ready":
        return this.#finish(message);
      default:
        return silentRefusal("ERR_PROTOCOL", "It answered the handshake with something else");
    }
  }

  get #isSecured(): boolean {
    return this.#secrets.length > 0;
  }

  #prove(challenge: Uint8Array): HandshakeStep {
    if (!this.#isSecured || this.#challenge !== undefined) {
      return silentRefusal("ERR_PROTOCOL", "It sent a challenge out of turn");
    }
    // Copied: the frame is a view of a buffer that is not ours.
    this.#challenge = new Uint8Array(challenge);
    const input = proofInput("dialer", this.#transcript(NOTHING));
    const proof =
      this.#user === "" ? proveSecrets(this.#secrets, input) : proveUser(this.#user, this.#secrets, input);
    return { kind: "send", frame: encodeHandshake({ type: "proof", proof }) };
  }

  #finish({ welcome, proof }: Ready): HandshakeStep {
    const provedBy = this.#isSecured ? this.#check(welcome, proof) : [];
    if (provedBy === undefined) {
      return silentRefusal("ERR_UNAUTHORIZED", "It did not prove that it knows the secret");
    }
    const theirs = decodeWelcome(welcome);
    if (theirs === undefined || theirs.identity.role !== "node") {
      return silentRefusal("ERR_PROTOCOL", "It answered the handshake with something else");
    }
    const mismatch = checkHello(this.#mine, asIntroduction(theirs), this.#path);
    if (mismatch !== undefined) return silentRefusal(mismatch.code, mismatch.reason);
    const access = { user: this.#user, grants: theirs.grants, provedBy };
    return { kind: "done", remote: remoteIdentity(theirs, access), frame: undefined };
  }

  /** Names of the secrets that the other side proved to know; `undefined` when it did not. */
  #check(welcome: Uint8Array, proof: Uint8Array): readonly string[] | undefined {
    if (this.#challenge === undefined) return undefined;
    const input = proofInput("acceptor", this.#transcript(welcome));
    if (this.#user !== "") return isNodeOfUser(this.#user, this.#secrets, input, proof) ? [] : undefined;
    const proved = secretsProved(this.#secrets, input, proof);
    return proved.length === 0 ? undefined : proved.map(fingerprint);
  }

  #transcript(welcome: Uint8Array): Transcript {
    return {
      path: this.#path,
      hello: this.hello,
      challenge: this.#challenge ?? NOTHING,
      welcome,
      binding: this.#binding,
    };
  }
}

/** What a right proof showed: secrets of the cluster, or a user's key. */
type Proved =
  | { readonly kind: "secrets"; readonly secrets: SecretRing }
  | { readonly kind: "user"; readonly user: User; readonly key: UserKey };

function provedBy(proved: Proved | undefined): readonly string[] {
  if (proved === undefined) return [];
  return proved.kind === "user" ? [keyFingerprint(proved.key)] : proved.secrets.map(fingerprint);
}

/** The side that was connected to. */
export class AcceptorHandshake {
  readonly #mine: Introduction;
  readonly #path: Path;
  readonly #secrets: SecretRing;
  readonly #findUser: FindUser;
  readonly #binding: Uint8Array;
  #hello: { readonly message: Hello; readonly frame: Uint8Array } | undefined;
  #challenge: Uint8Array | undefined;

  constructor(identity: LocalIdentity, path: Path, proof: AcceptorProof = {}) {
    this.#mine = introduction(identity);
    this.#path = path;
    this.#secrets = secretRing(proof.secret);
    this.#findUser = proof.findUser ?? (() => undefined);
    this.#binding = proof.binding ?? NOTHING;
  }

  receive(frame: Uint8Array): HandshakeStep {
    const message = decodeHandshake(frame);
    if (message?.type === "hello" && this.#hello === undefined) {
      // Copied: the frame is a view of a buffer that is not ours.
      return this.#greet(message, new Uint8Array(frame));
    }
    if (message?.type === "proof" && this.#hello !== undefined && this.#isSecured) {
      return this.#verify(this.#hello.message, message.proof);
    }
    return silentRefusal("ERR_PROTOCOL", "It sent something else than a handshake");
  }

  get #isSecured(): boolean {
    return this.#secrets.length > 0;
  }

  #greet(message: Hello, frame: Uint8Array): HandshakeStep {
    this.#hello = { message, frame };
    if (!this.#isSecured) {
      return message.isSecured
        ? refusal("ERR_UNAUTHORIZED", NO_SECRET_HERE)
        : this.#finish(message, undefined);
    }
    if (!message.isSecured) return refusal("ERR_UNAUTHORIZED", NO_SECRET_THERE);
    this.#challenge = encodeHandshake({ type: "challenge", nonce: randomBytes(NONCE_BYTES) });
    return { kind: "send", frame: this.#challenge };
  }

  #verify(hello: Hello, proof: Uint8Array): HandshakeStep {
    const input = proofInput("dialer", this.#transcript(NOTHING));
    const name = hello.user ?? "";
    const proved = name === "" ? this.#secretsProved(input, proof) : this.#userProved(hello, input, proof);
    if (proved === undefined) return refusal("ERR_UNAUTHORIZED", name === "" ? WRONG_SECRET : WRONG_USER);
    return this.#finish(hello, proved);
  }

  #secretsProved(input: Uint8Array, proof: Uint8Array): Proved | undefined {
    const secrets = secretsProved(this.#secrets, input, proof);
    return secrets.length === 0 ? undefined : { kind: "secrets", secrets };
  }

  #userProved(
    { user: name = "", identity }: Hello,
    input: Uint8Array,
    proof: Uint8Array,
  ): Proved | undefined {
    const user = this.#findUser(name);
    const key = userKeyProved(user, input, proof);
    const isClient = this.#path === "client" && identity.role === "client";
    return user === undefined || key === undefined || !isClient ? undefined : { kind: "user", user, key };
  }

  #finish(hello: Hello, proved: Proved | undefined): HandshakeStep {
    const mismatch = checkHello(this.#mine, hello, this.#path);
    if (mismatch !== undefined) {
      const { code, reason } = mismatch;
      // Where nothing is asked for, anybody may look; a secret may be shared by clusters that are not to know each other.
      const told = this.#isSecured ? (mismatch.told ?? reason) : reason;
      return {
        kind: "refused",
        code,
        reason,
        frame: encodeHandshake({ type: "refused", code, reason: told }),
      };
    }
    const protocol = commonProtocol(this.#mine, hello);
    const capabilities = CAPABILITIES.filter((name) => hello.capabilities.includes(name));
    const user = proved?.kind === "user" ? proved.user : undefined;
    const mine = { protocol, capabilities, identity: this.#mine.identity, grants: user?.grants };
    const welcome = encodeWelcome(mine);
    const access = {
      user: user?.name ?? "",
      grants: user?.grants,
      provedBy: provedBy(proved),
    };
    return {
      kind: "done",
      remote: remoteIdentity({ identity: hello.identity, protocol, capabilities }, access),
      frame: encodeHandshake({ type: "ready", welcome, proof: this.#answer(proved, welcome) }),
    };
  }

  #answer(proved: Proved | undefined, welcome: Uint8Array): Uint8Array {
    if (proved === undefined) return NOTHING;
    const input = proofInput("acceptor", this.#transcript(welcome));
    return proved.kind === "user"
      ? proveNode(proved.key, input)
      : proveSecrets(proved.secrets.slice(0, 1), input);
  }

  #transcript(welcome: Uint8Array): Transcript {
    return {
      path: this.#path,
      hello: this.#hello?.frame ?? NOTHING,
      challenge: this.#challenge ?? NOTHING,
      welcome,
      binding: this.#binding,
    };
  }
}

function introduction(local: LocalIdentity): Introduction {
  const { role, clusterName, genesisId, id, generation, address, clientId, replicas } = local;
  const ring = ringIdentity(replicas);
  const identity: Identity = { role, clusterName, genesisId, id, generation, address, clientId, ring };
  return { protocolMin: PROTOCOL_MIN, protocolMax: PROTOCOL_MAX, identity };
}

/** The acceptor has chosen the version, so it stands for its whole range. */
function asIntroduction({ protocol, identity }: Welcome): Introduction {
  return { protocolMin: protocol, protocolMax: protocol, identity };
}

function remoteIdentity(
  said: Pick<Welcome, "identity" | "protocol" | "capabilities">,
  access: Access,
): RemoteIdentity {
  const { ring, ...rest } = said.identity;
  const { protocol, capabilities } = said;
  return Object.freeze({ ...rest, replicas: ring.replicas, protocol, capabilities, access });
}

function refusal(code: ErrorCode, reason: string): HandshakeStep {
  return { kind: "refused", code, reason, frame: encodeHandshake({ type: "refused", code, reason }) };
}

/** For strangers, and for the side that has nobody to tell. */
function silentRefusal(code: ErrorCode, reason: string): HandshakeStep {
  return { kind: "refused", code, reason, frame: undefined };
}
