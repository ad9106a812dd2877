// A client's core under virtual time, with nodes that do as the test says. One message takes 1 ms each way unless said otherwise.

import type { CacheError } from "../../src/base/errors.ts";
import { slotOfKey } from "../../src/base/hash.ts";
import type { MemberId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import type {
  CallReply,
  CallRequest,
  ClientEffect,
  ClientInput,
  GetOptions,
} from "../../src/client/client-machine.ts";
import type { ClientTiming } from "../../src/client/timing.ts";
import type {
  ClientReply,
  ClientRequest,
  Failure,
  Liveness,
  RingState,
  Topology,
  TopologyMember,
} from "../../src/core/messages.ts";
import { computeRingId, ringParameters } from "../../src/core/ring/ring.ts";
import { loadHashes } from "../../src/io/hashes.ts";

export const hashes = await loadHashes();

type Request = Exclude<ClientRequest, { kind: "ping" }>;
/** An answer that takes its time. */
interface LateReply {
  readonly afterMs: number;
  readonly reply: ClientReply;
}
/** What a node answers to a request; `undefined` for nothing, a number for the usual answer after that many milliseconds. */
export type Answer = (request: Request, node: ScriptedNode) => ClientReply | LateReply | number | undefined;

/** One node as the client sees it. */
export class ScriptedNode {
  readonly id: MemberId;
  readonly address: string;
  liveness: Liveness = "alive";
  ringState: RingState = "active";
  /** Whether a dial succeeds. `silent`: neither answers nor refuses, and existing connections say nothing. */
  mode: "up" | "refusing" | "silent" = "up";
  delayMs = 1;
  /** Its clock less the client's. */
  clockOffsetMs = 0;
  answer: Answer = () => 0;
  readonly requests: { readonly atMs: number; readonly request: Request }[] = [];
  isConnected = false;
  /** Counts connections: what was sent on an earlier one does not arrive on a later. */
  epoch = 0;

  constructor(name: string, address: string) {
    this.id = name as MemberId;
    this.address = address;
  }
}

export interface Settled {
  readonly atMs: number;
  readonly result: CallReply | CacheError;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Harness {
  readonly core: ClientCore;
  readonly nodes: ScriptedNode[];
  readonly settled = new Map<number, Settled>();
  readonly dials: { readonly atMs: number; readonly address: string }[] = [];
  readonly replicas: number;
  nowMs = 1_000;
  topologyEvents = 0;
  #events: Event[] = [];
  #order = 0;
  #callId = 0;

  constructor(
    options: {
      nodes?: number;
      replicas?: number;
      seeds?: readonly string[];
      timing?: Partial<ClientTiming>;
      seed?: number;
    } = {},
  ) {
    const count = options.nodes ?? 5;
    this.replicas = options.replicas ?? 3;
    this.nodes = Array.from({ length: count }, (_, index) => new ScriptedNode(`n${index}`, `h${index}:7400`));
    this.core = new ClientCore(
      {
        seeds: options.seeds ?? ["h0:7400"],
        clientId: 77,
        ...(options.timing === undefined ? {} : { timing: options.timing }),
      },
      { hashes, prng: new Prng(options.seed ?? 1) },
      this.#now(),
    );
  }

  /** A harness whose client is connected to all nodes. */
  static connected(options: ConstructorParameters<typeof Harness>[0] = {}): Harness {
    const harness = new Harness(options);
    harness.start();
    harness.advance(50);
    return harness;
  }

  start(): void {
    this.feed({ kind: "tick" });
  }

  node(name: string): ScriptedNode {
    const node = this.nodes.find(({ id }) => id === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** The nodes of a key's preference list, its owner first. */
  replicasOf(key: string): ScriptedNode[] {
    const slotList = this.core.view.ring?.preferenceList(slotOfKey(key)) ?? [];
    return slotList.map((id) => this.node(id));
  }

  call(request: CallRequest, timeoutMs = 1_000, isPatient = false): number {
    const callId = ++this.#callId;
    this.feed({ kind: "call", callId, request, deadlineMs: this.nowMs + timeoutMs, isPatient });
    return callId;
  }

  get(key: string, timeoutMs?: number): number {
    return this.gets([key], timeoutMs)[0]!;
  }

  /** Reads of one moment. */
  gets(keys: readonly string[], timeoutMs = 1_000, more: Partial<GetOptions> = {}): number[] {
    const callId = this.#callId + 1;
    this.#callId += keys.length;
    const get = { want: "value", ...more } as const;
    this.feed({ kind: "gets", callId, keys, get, deadlineMs: this.nowMs + timeoutMs });
    return keys.map((_, index) => callId + index);
  }

  set(
    key: string,
    timeoutMs?: number,
    { value = new Uint8Array(3), isPatient = false }: { value?: Uint8Array; isPatient?: boolean } = {},
  ): number {
    const change = { type: "set", value, format: 2, ttlMs: 0, condition: "none", ifVersion: 0 } as const;
    return this.call({ kind: "write", key, change }, timeoutMs, isPatient);
  }

  result(callId: number): CallReply | CacheError | undefined {
    return this.settled.get(callId)?.result;
  }

  error(callId: number): CacheError {
    const result = this.result(callId);
    if (!(result instanceof Error)) throw new Error(`call ${callId} did not fail: ${JSON.stringify(result)}`);
    return result;
  }

  /** All requests that reached any node, in order, for the given key. */
  requestsOf(key: string): { readonly node: string; readonly atMs: number; readonly request: Request }[] {
    return this.nodes
      .flatMap((node) => node.requests.map((entry) => ({ node: node.id as string, ...entry })))
      .filter(({ request }) => "key" in request && request.key === key)
      .sort((a, b) => a.atMs - b.atMs);
  }

  /** Lets the time pass, ticking exactly when the core asks for it. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const event = this.#nextEvent();
      const dueMs = Math.max(this.core.deadline(), this.nowMs);
      if (event !== undefined && event.atMs <= untilMs && event.atMs <= dueMs) {
        this.#events.splice(this.#events.indexOf(event), 1);
        this.nowMs = event.atMs;
        event.run();
      } else if (dueMs <= untilMs) {
        this.nowMs = dueMs;
        this.feed({ kind: "tick" });
      } else break;
    }
    this.nowMs = untilMs;
  }

  /** The client's process stands still: time passes and nothing is processed; what arrived is read first, then comes the tick. */
  stall(ms: number): void {
    this.nowMs += ms;
    for (const event of this.#events.filter(({ atMs }) => atMs <= this.nowMs).sort(byTime)) {
      this.#events.splice(this.#events.indexOf(event), 1);
      event.run();
    }
    this.feed({ kind: "tick" });
  }

  feed(input: ClientInput): void {
    for (const effect of this.core.step(input, this.#now())) this.#carryOut(effect);
  }

  /** Cuts the connection to a node, as the operating system reports it. */
  disconnect(node: ScriptedNode, reason = "connection lost"): void {
    if (!node.isConnected) return;
    node.isConnected = false;
    node.epoch++;
    this.feed({ kind: "link", address: node.address, isUp: false, reason });
  }

  /** SIGKILL: connections break at once, dials are refused. */
  kill(node: ScriptedNode): void {
    node.mode = "refusing";
    this.disconnect(node, "connection reset");
  }

  pushTopology(node: ScriptedNode): void {
    this.#deliver(node, this.topology());
  }

  topology(): Topology {
    const members: TopologyMember[] = this.nodes.map((node) => ({
      id: node.id,
      address: node.address,
      zone: "",
      weight: 1,
      liveness: node.liveness,
      ringState: node.ringState,
    }));
    const inRing = members.filter(({ ringState }) => ["active", "warming", "leaving"].includes(ringState));
    return {
      kind: "topology",
      ringId: inRing.length === 0 ? "" : computeRingId(inRing, ringParameters(this.replicas), hashes),
      replicas: this.replicas,
      defaultWrite: "quorum",
      defaultRead: "one",
      valueBytesMax: 8 * 1024 * 1024,
      members,
    };
  }

  #carryOut(effect: ClientEffect): void {
    if (effect.kind === "settle") {
      if (this.settled.has(effect.callId)) throw new Error(`call ${effect.callId} was settled twice`);
      this.settled.set(effect.callId, { atMs: this.nowMs, result: effect.result });
    } else if (effect.kind === "topology") this.topologyEvents++;
    else if (effect.kind === "dial") this.#dial(effect.address);
    else if (effect.kind === "drop") this.#drop(effect.address);
    else this.#arrive(effect.address, effect.message);
  }

  #dial(address: string): void {
    this.dials.push({ atMs: this.nowMs, address });
    const node = this.nodes.find((candidate) => candidate.address === address);
    const epoch = node === undefined ? 0 : ++node.epoch;
    this.#after(2, () => {
      if (node?.epoch !== epoch && node !== undefined) return;
      if (node === undefined || node.mode === "refusing") {
        this.feed({ kind: "link", address, isUp: false, reason: "connection refused" });
      } else if (node.mode === "up") {
        node.isConnected = true;
        this.feed({ kind: "link", address, isUp: true });
        this.#deliver(node, this.topology());
      }
    });
  }

  #drop(address: string): void {
    const node = this.nodes.find((candidate) => candidate.address === address);
    if (node === undefined) return;
    node.isConnected = false;
    node.epoch++;
  }

  #arrive(address: string, message: ClientRequest): void {
    const node = this.nodes.find((candidate) => candidate.address === address);
    if (node === undefined) return;
    const { epoch } = node;
    this.#after(node.delayMs, () => {
      if (node.mode !== "up" || node.epoch !== epoch) return;
      if (message.kind === "ping") {
        const monoMs = this.nowMs + node.clockOffsetMs;
        this.#deliver(node, { kind: "pong", sentMs: message.sentMs, monoMs, wallMs: 0 });
        return;
      }
      node.requests.push({ atMs: this.nowMs, request: message });
      const answer = node.answer(message, node);
      if (answer === undefined) return;
      if (typeof answer === "number")
        this.#after(answer, () => this.#deliver(node, usualAnswer(message), epoch));
      else if ("afterMs" in answer)
        this.#after(answer.afterMs, () => this.#deliver(node, answer.reply, epoch));
      else this.#deliver(node, answer);
    });
  }

  #deliver(node: ScriptedNode, message: ClientReply, epoch = node.epoch): void {
    this.#after(node.delayMs, () => {
      if (node.mode !== "up" || node.epoch !== epoch || !node.isConnected) return;
      this.feed({ kind: "message", address: node.address, message });
    });
  }

  #after(ms: number, run: () => void): void {
    this.#events.push({ atMs: this.nowMs + ms, order: this.#order++, run });
  }

  #nextEvent(): Event | undefined {
    let first: Event | undefined;
    for (const event of this.#events) if (first === undefined || byTime(event, first) < 0) first = event;
    return first;
  }

  #now(): { monoMs: number; wallMs: number } {
    return { monoMs: this.nowMs, wallMs: 1_700_000_000_000 + this.nowMs };
  }
}

function byTime(a: Event, b: Event): number {
  return a.atMs - b.atMs || a.order - b.order;
}

/** What a healthy node says. */
export function usualAnswer(request: Request): ClientReply {
  const { id } = request;
  switch (request.kind) {
    case "get":
      return { kind: "got", id, found: false, format: 0, value: new Uint8Array(0), version: 0, expiresAt: 0 };
    case "write":
      return { kind: "written", id, outcome: true };
    case "scan":
      return { kind: "scanned", id, keys: [], slotsDone: request.slots.length, after: "" };
    case "clear":
      return { kind: "cleared", id };
    case "count":
      return { kind: "counted", id, count: 1 };
    case "command":
    case "place":
      return { kind: "commanded", id };
  }
}

/** A node's refusal. */
export function failure(
  request: Request,
  code: Failure["code"],
  more: { applied?: "no" | "maybe"; elsewhere?: boolean } = {},
): Failure {
  const { applied = "no", elsewhere = true } = more;
  return { kind: "failed", id: request.id, code, message: `says ${code}`, applied, elsewhere };
}
