// Both sides of the handshake conversation (`wire/handshake.ts` has its words and rules), as two small machines that are fed the
// frames of the other side. They do no I/O themselves; randomness and HMAC are all they take from the platform.
//
// Invariants:
// 1. An acceptor with a secret says nothing but its nonce before the dialer's proof was checked.
// 2. A dialer with a secret accepts nobody who has not proved to know it; a dialer without one proves nothing.
// 3. All failed proofs take the same path: compute, compare in constant time, refuse with the same words.

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
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
import type { LocalIdentity, RemoteIdentity } from "./link.ts";

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

/** Text counts as its bytes in UTF-8. */
type Secret = string | Uint8Array;

const NOTHING = new Uint8Array(0);
const WRONG_SECRET = "The secrets of the two sides differ";
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
  readonly #secret: Secret | undefined;
  #challenge: Uint8Array | undefined;

  constructor(identity: LocalIdentity, path: Path, secret: Secret | undefined) {
    this.#mine = introduction(identity);
    this.#path = path;
    this.#secret = secret;
    this.hello = encodeHandshake({
      type: "hello",
      ...this.#mine,
      capabilities: CAPABILITIES,
      isSecured: secret !== undefined,
      nonce: randomBytes(NONCE_BYTES),
    });
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

  #prove(challenge: Uint8Array): HandshakeStep {
    if (this.#secret === undefined || this.#challenge !== undefined) {
      return silentRefusal("ERR_PROTOCOL", "It sent a challenge out of turn");
    }
    // Copied: the frame is a view of a buffer that is not ours.
    this.#challenge = new Uint8Array(challenge);
    const proof = computeProof(this.#secret, "dialer", this.#transcript(NOTHING));
    return { kind: "send", frame: encodeHandshake({ type: "proof", proof }) };
  }

  #finish({ welcome, proof }: Ready): HandshakeStep {
    if (this.#secret !== undefined) {
      const expected = computeProof(this.#secret, "acceptor", this.#transcript(welcome));
      const isProved = isEqual(expected, proof) && this.#challenge !== undefined;
      if (!isProved) return silentRefusal("ERR_UNAUTHORIZED", "It did not prove that it knows the secret");
    }
    const theirs = decodeWelcome(welcome);
    if (theirs === undefined || theirs.identity.role !== "node") {
      return silentRefusal("ERR_PROTOCOL", "It answered the handshake with something else");
    }
    const { protocol } = theirs;
    const mismatch = checkHello(this.#mine, asIntroduction(theirs), this.#path);
    if (mismatch !== undefined) return silentRefusal(mismatch.code, mismatch.reason);
    return {
      kind: "done",
      remote: remoteIdentity(theirs.identity, protocol, theirs.capabilities),
      frame: undefined,
    };
  }

  #transcript(welcome: Uint8Array): Transcript {
    return { path: this.#path, hello: this.hello, challenge: this.#challenge ?? NOTHING, welcome };
  }
}

/** The side that was connected to. */
export class AcceptorHandshake {
  readonly #mine: Introduction;
  readonly #path: Path;
  readonly #secret: Secret | undefined;
  #hello: { readonly message: Hello; readonly frame: Uint8Array } | undefined;
  #challenge: Uint8Array | undefined;

  constructor(identity: LocalIdentity, path: Path, secret: Secret | undefined) {
    this.#mine = introduction(identity);
    this.#path = path;
    this.#secret = secret;
  }

  receive(frame: Uint8Array): HandshakeStep {
    const message = decodeHandshake(frame);
    if (message?.type === "hello" && this.#hello === undefined) {
      // Copied: the frame is a view of a buffer that is not ours.
      return this.#greet(message, new Uint8Array(frame));
    }
    if (message?.type === "proof" && this.#hello !== undefined && this.#secret !== undefined) {
      return this.#verify(this.#secret, this.#hello.message, message.proof);
    }
    return silentRefusal("ERR_PROTOCOL", "It sent something else than a handshake");
  }

  #greet(message: Hello, frame: Uint8Array): HandshakeStep {
    this.#hello = { message, frame };
    if (this.#secret === undefined) {
      return message.isSecured
        ? refusal("ERR_UNAUTHORIZED", NO_SECRET_HERE)
        : this.#finish(message, undefined);
    }
    if (!message.isSecured) return refusal("ERR_UNAUTHORIZED", NO_SECRET_THERE);
    this.#challenge = encodeHandshake({ type: "challenge", nonce: randomBytes(NONCE_BYTES) });
    return { kind: "send", frame: this.#challenge };
  }

  #verify(secret: Secret, hello: Hello, proof: Uint8Array): HandshakeStep {
    const expected = computeProof(secret, "dialer", this.#transcript(NOTHING));
    if (!isEqual(expected, proof)) return refusal("ERR_UNAUTHORIZED", WRONG_SECRET);
    return this.#finish(hello, secret);
  }

  #finish(hello: Hello, secret: Secret | undefined): HandshakeStep {
    const mismatch = checkHello(this.#mine, hello, this.#path);
    if (mismatch !== undefined) return refusal(mismatch.code, mismatch.reason);
    const protocol = commonProtocol(this.#mine, hello);
    const capabilities = CAPABILITIES.filter((name) => hello.capabilities.includes(name));
    const welcome = encodeWelcome({ protocol, capabilities, identity: this.#mine.identity });
    const proof =
      secret === undefined ? NOTHING : computeProof(secret, "acceptor", this.#transcript(welcome));
    return {
      kind: "done",
      remote: remoteIdentity(hello.identity, protocol, capabilities),
      frame: encodeHandshake({ type: "ready", welcome, proof }),
    };
  }

  #transcript(welcome: Uint8Array): Transcript {
    return {
      path: this.#path,
      hello: this.#hello?.frame ?? NOTHING,
      challenge: this.#challenge ?? NOTHING,
      welcome,
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
  identity: Identity,
  protocol: number,
  capabilities: readonly string[],
): RemoteIdentity {
  const { ring, ...rest } = identity;
  return Object.freeze({ ...rest, replicas: ring.replicas, protocol, capabilities });
}

function refusal(code: ErrorCode, reason: string): HandshakeStep {
  return { kind: "refused", code, reason, frame: encodeHandshake({ type: "refused", code, reason }) };
}

/** For strangers, and for the side that has nobody to tell. */
function silentRefusal(code: ErrorCode, reason: string): HandshakeStep {
  return { kind: "refused", code, reason, frame: undefined };
}

function computeProof(secret: Secret, side: "dialer" | "acceptor", transcript: Transcript): Uint8Array {
  return createHmac("sha256", secret).update(proofInput(side, transcript)).digest();
}

/** Constant-time: both are hashed first, so that the comparison is always of 32 bytes. */
function isEqual(expected: Uint8Array, received: Uint8Array): boolean {
  const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
  return timingSafeEqual(digest(expected), digest(received));
}
