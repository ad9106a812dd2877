// The real things under test, fitted to the simulator's sockets: NodeCore, ClientCore and the wire codec.

import { CacheError } from "../../src/base/errors.ts";
import { SLOT_COUNT, type Slot } from "../../src/base/ids.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import type { CallReply, CallRequest } from "../../src/client/client-machine.ts";
import type { Now } from "../../src/core/machine.ts";
import { VALUE_FORMAT } from "../../src/core/messages.ts";
import { NodeCore } from "../../src/core/node-core.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/codec.ts";
import type { ClientEffect, ClientInput, ClientMachine, Operation, Settled } from "./client-adapter.ts";
import type { Codec } from "./codec.ts";
import type { NodeFactory } from "./node-process.ts";
import { prngFor } from "./randomness.ts";
import { Violation } from "./violation.ts";
import type { ClientFactory } from "./world.ts";

/** At most as many as one message takes, in the scaled-down build. */
const ALL_SLOTS = Array.from({ length: SLOT_COUNT }, (_, slot) => slot as Slot);

export const createCoreNode: NodeFactory = (options, ports, now) => new NodeCore(options, ports, now);

export const createCoreClient: ClientFactory = ({ seed, name, seeds, hashes, now }) => {
  const prng = prngFor(seed, `client ${name}`);
  const clientId = 1 + prng.uint32();
  return new CoreClient(new ClientCore({ seeds, clientId }, { hashes, prng }, now));
};

export const WIRE_CODEC: Codec = {
  encode: encodeFrame,
  decode(bytes, path, from) {
    const decoded = decodeFrame(bytes, { path, from });
    if (!decoded.ok)
      throw new Violation("codec", `a frame on ${path} from a ${from} is refused: ${decoded.reason}`);
    return decoded.messages;
  },
};

/** Words of the simulator to words of ClientCore and back. */
export class CoreClient implements ClientMachine {
  readonly #core: ClientCore;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();

  constructor(core: ClientCore) {
    this.#core = core;
  }

  deadline(): number {
    return this.#core.deadline();
  }

  step(input: ClientInput, now: Now): readonly ClientEffect[] {
    const effects: ClientEffect[] = [];
    for (const effect of this.#core.step(this.#translate(input, now), now)) {
      if (effect.kind === "settle") {
        effects.push({ kind: "settle", call: effect.callId, settled: this.#settled(effect.result) });
      } else if (effect.kind !== "topology") {
        effects.push(effect);
      }
    }
    return effects;
  }

  #translate(input: ClientInput, now: Now) {
    if (input.kind !== "call") return input;
    const { call, operation, timeoutMs } = input;
    return {
      kind: "call",
      callId: call,
      request: this.#request(operation),
      deadlineMs: now.monoMs + timeoutMs,
    } as const;
  }

  #request(operation: Operation): CallRequest {
    const { key } = operation;
    switch (operation.f) {
      case "get":
        return { kind: "get", key, want: "value", read: operation.read };
      case "delete":
        return { kind: "write", key, change: { type: "delete" }, write: operation.write };
      case "clear":
        return { kind: "clear", slots: ALL_SLOTS };
      case "increment":
        return {
          kind: "write",
          key,
          change: { type: "increment", by: operation.by, ttlMs: 0 },
          write: operation.write,
        };
      case "set": {
        const { value, ttlMs, condition, write } = operation;
        const bytes = this.#encoder.encode(value);
        const format = VALUE_FORMAT.text;
        return {
          kind: "write",
          key,
          change: { type: "set", value: bytes, format, ttlMs, condition, ifVersion: 0 },
          write,
        };
      }
    }
  }

  #settled(result: CallReply | CacheError): Settled {
    if (result instanceof CacheError) {
      const { code, message, applied } = result;
      return { ok: false, code, message, applied: applied ?? "maybe" };
    }
    if (result.kind === "got") {
      const value = result.found ? this.#decoder.decode(result.value) : undefined;
      return { ok: true, value, outcome: undefined };
    }
    if (result.kind === "cleared") return { ok: true, value: undefined, outcome: true };
    if (result.kind === "written") return { ok: true, value: undefined, outcome: result.outcome };
    throw new Violation("settle", `a call ended with ${result.kind}`);
  }
}
