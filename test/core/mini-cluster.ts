// The smallest possible driver: several NodeCores, every message delivered in order after a fixed delay, virtual time. For tests
// of a node's behaviour where the simulator's faults would only be in the way.

import type { Hashes } from "../../src/base/hash.ts";
import { Heap } from "../../src/base/heap.ts";
import { Prng } from "../../src/base/prng.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import type { ClientReply, ClientRequest } from "../../src/core/messages.ts";
import { NodeCore } from "../../src/core/node-core.ts";
import { type NodeCoreInput, resolveNodeCoreOptions } from "../../src/core/options.ts";
import { SegmentStore } from "../../src/core/store/segment-store.ts";
import { FIRST_TRY } from "../first-try.ts";

const DELAY_MS = 1;
const WALL_MS = 1_800_000_000_000;

interface Running {
  readonly core: NodeCore;
  readonly store: SegmentStore;
  readonly address: string;
  isUp: boolean;
}

interface Happening {
  readonly atMs: number;
  readonly order: number;
  run(): void;
}

/** A cluster in one process. */
export class MiniCluster {
  readonly nodes = new Map<string, Running>();
  readonly events: { readonly node: string; readonly event: NodeEvent }[] = [];
  readonly replies: ClientReply[] = [];
  readonly #hashes: Hashes;
  readonly #happenings = new Heap<Happening>((a, b) => a.atMs - b.atMs || a.order - b.order);
  #nowMs = 1_000;
  #order = 0;
  #generation = WALL_MS;
  #lastId = 0;
  #lastSeq = 0;
  /** Messages for which this is true are lost. */
  isLost: (from: string, to: string, kind: string) => boolean = () => false;

  constructor(hashes: Hashes) {
    this.#hashes = hashes;
  }

  get now(): Now {
    return { monoMs: this.#nowMs, wallMs: WALL_MS + this.#nowMs };
  }

  /** Nodes of these names that have settled on one ring. */
  static settled(hashes: Hashes, names: readonly string[], over: Partial<NodeCoreInput> = {}): MiniCluster {
    const cluster = new MiniCluster(hashes);
    for (const name of names) cluster.start(name, over);
    cluster.runUntil(() => cluster.isSettled, 10_000);
    return cluster;
  }

  /** Whether all nodes that are up are active, and every slot has all its copies. */
  get isSettled(): boolean {
    const up = [...this.nodes.values()].filter(({ isUp }) => isUp);
    return up.every(({ core }) => {
      const status = core.status(this.now);
      return (
        status.isReady &&
        (status.isSafe || up.length === 1) &&
        status.members.filter((m) => m.ringState === "active").length >= up.length
      );
    });
  }

  /** Starts a node; the first one founds the cluster. */
  start(id: string, over: Partial<NodeCoreInput> = {}): NodeCore {
    const address = `${id}:1`;
    const others = [...this.nodes.values()].filter(({ isUp }) => isUp).map((node) => node.address);
    const isFounder = others.length === 0;
    this.#generation += 1;
    const options = resolveNodeCoreOptions({
      id,
      address,
      generation: this.#generation,
      seeds: others,
      genesisId: isFounder ? "genesis" : "",
      ...over,
    });
    const store = new SegmentStore({ bytesMax: 64 * 1024 * 1024 }, this.#hashes);
    const core = new NodeCore(
      options,
      { store, hashes: this.#hashes, prng: new Prng(this.#generation % 1_000) },
      this.now,
    );
    this.nodes.set(id, { core, store, address, isUp: true });
    this.#tick(id, core);
    for (const other of this.nodes.keys()) {
      if (other === id || !this.nodes.get(other)!.isUp) continue;
      this.input(other, { kind: "link", member: options.id, path: "peer", isUp: true });
      this.input(id, {
        kind: "link",
        member: resolveNodeCoreOptions({ ...options, id: other }).id,
        path: "peer",
        isUp: true,
      });
    }
    return core;
  }

  /** Ends a node without a word; its links break. */
  kill(id: string): void {
    const node = this.nodes.get(id)!;
    node.isUp = false;
    for (const [other, { isUp }] of this.nodes) {
      if (isUp)
        this.input(other, {
          kind: "link",
          member: resolveNodeCoreOptions({ id, address: "", generation: 1 }).id,
          path: "peer",
          isUp: false,
        });
    }
  }

  input(id: string, input: Input): void {
    const node = this.nodes.get(id);
    if (node?.isUp !== true) return;
    this.#carryOut(id, node.core.step(input, this.now));
  }

  /** A client's request to one node; answers come in `replies`. Returns the request's id. */
  request(
    id: string,
    request: ClientRequest extends infer R ? (R extends { id: number } ? Omit<R, "id"> : never) : never,
  ): number {
    const requestId = ++this.#lastId;
    this.input(id, { kind: "client", client: 1, request: { ...request, id: requestId } as ClientRequest });
    return requestId;
  }

  /** A quorum write of a text; returns the request's id. */
  set(node: string, key: string, text: string, over: object = {}): number {
    const value = new TextEncoder().encode(text);
    const change = { type: "set", value, format: 1, ttlMs: 0, condition: "none", ifVersion: 0 } as const;
    const operation = { opClient: 7, opSeq: ++this.#lastSeq, ...FIRST_TRY } as const;
    return this.request(node, { kind: "write", key, change, write: "quorum", ...operation, ...over });
  }

  /** The text under a key, `undefined` for none, after letting time pass until it is known. */
  get(node: string, key: string, read: "one" | "quorum" = "one", limitMs = 5_000): string | undefined {
    const id = this.request(node, { kind: "get", key, read, want: "value", notAfter: 0 });
    const reply = this.answer(id, limitMs);
    if (reply.kind !== "got") throw new Error(`Unexpected ${JSON.stringify(reply)}`);
    return reply.found ? new TextDecoder().decode(reply.value) : undefined;
  }

  /** The answer to a request, after letting time pass until it is there. */
  answer(requestId: number, limitMs = 5_000): ClientReply {
    const find = () => this.replies.find((reply) => "id" in reply && reply.id === requestId);
    this.runUntil(() => find() !== undefined, limitMs);
    return find()!;
  }

  /** Lets virtual time pass. */
  run(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (
      let next = this.#happenings.peek();
      next !== undefined && next.atMs <= untilMs;
      next = this.#happenings.peek()
    ) {
      this.#happenings.pop();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
    this.#nowMs = untilMs;
  }

  /** Lets virtual time pass until the condition holds; throws past the limit. */
  runUntil(condition: () => boolean, limitMs = 30_000): number {
    const startMs = this.#nowMs;
    while (!condition()) {
      if (this.#nowMs - startMs > limitMs) throw new Error(`The condition did not hold within ${limitMs} ms`);
      this.run(5);
    }
    return this.#nowMs - startMs;
  }

  #carryOut(from: string, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === "event") this.events.push({ node: from, event: effect.event });
      if (effect.kind === "reply") this.replies.push(effect.message);
      if (effect.kind === "send") this.#deliver(from, effect);
    }
    const node = this.nodes.get(from);
    if (node?.isUp === true) this.#tick(from, node.core);
  }

  #deliver(from: string, effect: Extract<Effect, { kind: "send" }>): void {
    const to = effect.address.split(":")[0]!;
    const sender = resolveNodeCoreOptions({ id: from, address: "", generation: 1 }).id;
    if (this.isLost(from, to, effect.message.kind)) return;
    this.#at(this.#nowMs + DELAY_MS, () => {
      const genesisId = this.nodes.get(from)?.core.genesisId ?? "";
      const target = this.nodes.get(to);
      if (target === undefined || this.nodes.get(from)?.isUp !== true) return;
      if (genesisId === "") this.input(from, { kind: "genesis", genesisId: target.core.genesisId });
      if (effect.path === "peer") this.input(to, { kind: "peer", from: sender, message: effect.message });
      else
        this.input(to, { kind: "gossip", from: sender, fromAddress: `${from}:1`, message: effect.message });
    });
  }

  readonly #ticks = new Map<string, number>();

  #tick(id: string, core: NodeCore): void {
    const atMs = Math.max(this.#nowMs, core.deadline());
    if (!Number.isFinite(atMs) || (this.#ticks.get(id) ?? Number.POSITIVE_INFINITY) <= atMs) return;
    this.#ticks.set(id, atMs);
    this.#at(atMs, () => {
      if (this.nodes.get(id)?.core !== core) return;
      this.#ticks.delete(id);
      this.input(id, { kind: "tick" });
    });
  }

  #at(atMs: number, run: () => void): void {
    this.#happenings.push({ atMs, order: this.#order++, run });
  }
}
