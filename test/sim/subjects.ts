// The real things under test, fitted to the simulator's sockets: NodeCore, ClientCore and the wire codec.

import { CacheError } from "../../src/base/errors.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import type { CallReply, CallRequest } from "../../src/client/client-machine.ts";
import { allSlots, SlotWalk } from "../../src/client/slot-walk.ts";
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

/** Numbers of the calls that a walk over all slots consists of: above those of callers. */
const PART_CALLS_FROM = 1e9;
/** As in `client/sweep.ts`. */
const ROUND_PAUSE_MS = 20;
const PAGE_KEYS = 5;
/** One get in so many enters the core as those do that can be aborted: by itself. */
const CALLS_PER_LONE_GET = 4;

/** A scan or count under way: one question after the other. */
interface Walking {
  readonly call: number;
  readonly walk: SlotWalk;
  readonly isScan: boolean;
  readonly deadlineMs: number;
  readonly keys: Set<string>;
  count: number;
  /** The next question waits until then. */
  askAtMs: number;
}

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

  /** By the number of the question under way; and those that rest before the next one. */
  readonly #asked = new Map<number, Walking>();
  readonly #resting = new Set<Walking>();
  #lastPart = PART_CALLS_FROM;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  deadline(): number {
    let atMs = this.#core.deadline();
    for (const { askAtMs } of this.#resting) atMs = Math.min(atMs, askAtMs);
    return atMs;
  }

  step(input: ClientInput, now: Now): readonly ClientEffect[] {
    const effects: ClientEffect[] = [];
    if (input.kind === "gets") {
      this.#gets(input, now, effects);
    } else if (input.kind !== "call") {
      this.#stepCore(input, now, effects);
    } else if (input.operation.f === "get" && input.call % CALLS_PER_LONE_GET !== 0) {
      const { call, operation, timeoutMs } = input;
      const { key, read } = operation;
      this.#gets({ kind: "gets", call, keys: [key], read, timeoutMs }, now, effects);
    } else if (isWalk(input.operation)) {
      const walking = {
        call: input.call,
        walk: new SlotWalk(this.#core),
        isScan: input.operation.f === "scan",
        deadlineMs: now.monoMs + input.timeoutMs,
        keys: new Set<string>(),
        count: 0,
        askAtMs: now.monoMs,
      };
      this.#askNext(walking, now, effects);
    } else {
      const { call, operation, timeoutMs } = input;
      const deadlineMs = now.monoMs + timeoutMs;
      const request = this.#request(operation);
      this.#stepCore({ kind: "call", callId: call, request, deadlineMs }, now, effects);
    }
    for (const walking of [...this.#resting]) {
      if (walking.askAtMs > now.monoMs) continue;
      this.#resting.delete(walking);
      this.#askNext(walking, now, effects);
    }
    return effects;
  }

  #gets(
    { call: callId, keys, read, timeoutMs }: Extract<ClientInput, { kind: "gets" }>,
    now: Now,
    effects: ClientEffect[],
  ): void {
    const get = { want: "value", read } as const;
    this.#stepCore({ kind: "gets", callId, keys, get, deadlineMs: now.monoMs + timeoutMs }, now, effects);
  }

  #stepCore(input: Parameters<ClientCore["step"]>[0], now: Now, effects: ClientEffect[]): void {
    for (const effect of this.#core.step(input, now)) {
      if (effect.kind === "settle") {
        const walking = this.#asked.get(effect.callId);
        if (walking === undefined) {
          effects.push({ kind: "settle", call: effect.callId, settled: this.#settled(effect.result) });
        } else {
          this.#asked.delete(effect.callId);
          this.#walkOn(walking, effect.result, now, effects);
        }
      } else if (effect.kind !== "topology") {
        effects.push(effect);
      }
    }
  }

  #askNext(walking: Walking, now: Now, effects: ClientEffect[]): void {
    const { question } = walking.walk;
    if (question === undefined) {
      const settled = {
        ok: true,
        value: undefined,
        outcome: walking.count,
        keys: [...walking.keys],
      } as const;
      effects.push({ kind: "settle", call: walking.call, settled });
      return;
    }
    const { address: target, slots, after, isAlone } = question;
    const request: CallRequest = walking.isScan
      ? { kind: "scan", target, slots, after, isAlone, prefix: "", limit: PAGE_KEYS }
      : { kind: "count", target, slots };
    const callId = ++this.#lastPart;
    this.#asked.set(callId, walking);
    this.#stepCore({ kind: "call", callId, request, deadlineMs: walking.deadlineMs }, now, effects);
  }

  #walkOn(walking: Walking, result: CallReply | CacheError, now: Now, effects: ClientEffect[]): void {
    const { walk } = walking;
    if (result instanceof CacheError) {
      // A count asks each slot of one replica, and has no second choice here.
      const isCurable = result.code === "ERR_UNREACHABLE" || result.details.elsewhere === true;
      if (!walking.isScan || !isCurable || now.monoMs + ROUND_PAUSE_MS >= walking.deadlineMs) {
        effects.push({ kind: "settle", call: walking.call, settled: this.#settled(result) });
        return;
      }
      walk.failed();
      walking.askAtMs = now.monoMs + ROUND_PAUSE_MS;
      this.#resting.add(walking);
      return;
    }
    if (result.kind === "scanned") {
      for (const key of result.keys) walking.keys.add(key);
      walk.answered(result);
    } else if (result.kind === "counted") {
      walking.count += result.count;
      walk.answered({ slotsDone: walk.question?.slots.length ?? 0, after: "" });
    }
    this.#askNext(walking, now, effects);
  }

  #request(operation: Exclude<Operation, Walk>): CallRequest {
    const { key } = operation;
    switch (operation.f) {
      case "get":
        return { kind: "get", key, want: "value", read: operation.read };
      case "delete":
        return { kind: "write", key, change: { type: "delete" }, write: operation.write };
      case "touch": {
        const change = { type: "touch", ttlMs: operation.ttlMs } as const;
        return { kind: "write", key, change, write: operation.write };
      }
      case "clear":
        return { kind: "clear", slots: allSlots() };
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

type Walk = Extract<Operation, { f: "scan" | "count" }>;

function isWalk(operation: Operation): operation is Walk {
  return operation.f === "scan" || operation.f === "count";
}
