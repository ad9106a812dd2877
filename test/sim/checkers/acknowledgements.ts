// The strongest check of durability: at the very moment at which a node tells a client that a quorum write happened, enough of
// the key's natural replicas must hold it, or something newer. It finds a lost write at its cause, long before a reader would.
//
// Not judged, because the onlooker cannot tell: writes during which the ring changed (also for the node alone that gave the version), during which a
// replica of the key crashed, writes that every replica has replaced already, and values with a ttl once a replica's clock has been off.

import { slotOfKey } from "../../../src/base/hash.ts";
import type { RingId } from "../../../src/base/ids.ts";
import type { ClientHandle } from "../../../src/core/machine.ts";
import type {
  ClientReply,
  ClientRequest,
  Entry,
  WriteMode,
  WriteRequest,
} from "../../../src/core/messages.ts";
import type { NodeProcess } from "../node-process.ts";
import { Violation } from "../violation.ts";
import type { RingRegistry } from "./rings.ts";

/** Requests remembered per run; more means that requests are never answered. */
const REQUESTS_MAX = 100_000;

interface Watched {
  readonly request: WriteRequest;
  readonly ringId: RingId | "";
  readonly sinceMs: number;
}

/** What the auditor needs of the world. */
export interface AuditedWorld {
  readonly nodes: ReadonlyMap<string, NodeProcess>;
  readonly rings: RingRegistry;
  readonly nowMs: number;
}

export class AcknowledgementAuditor {
  readonly #world: AuditedWorld;
  readonly #watched = new Map<string, Watched>();
  /** Acknowledgements that were judged. */
  judgedTotal = 0;

  constructor(world: AuditedWorld) {
    this.#world = world;
  }

  request(node: NodeProcess, client: ClientHandle, request: ClientRequest): void {
    if (request.kind !== "write" || request.write === "async") return;
    if (this.#watched.size >= REQUESTS_MAX) this.#watched.clear();
    const key = `${node.id} ${node.epoch} ${client} ${request.id}`;
    this.#watched.set(key, { request, ringId: this.#ringOf(node), sinceMs: this.#world.nowMs });
  }

  reply(node: NodeProcess, client: ClientHandle, message: ClientReply): void {
    if (message.kind !== "written" && message.kind !== "failed") return;
    const key = `${node.id} ${node.epoch} ${client} ${message.id}`;
    const watched = this.#watched.get(key);
    this.#watched.delete(key);
    if (watched === undefined || message.kind === "failed") return;
    // A condition that did not hold, or a delete of nothing, need not have written anything.
    if (message.outcome !== false) this.#judge(node, watched);
  }

  #judge(node: NodeProcess, { request, ringId, sinceMs }: Watched): void {
    const world = this.#world;
    const replicas = world.rings.replicasOf(ringId, request.key).map((id) => world.nodes.get(id));
    if (replicas.length === 0 || this.#ringOf(node) !== ringId) return;
    const isDisturbed = replicas.some(
      (replica) => replica?.store === undefined || replica.startedAtMs >= sinceMs,
    );
    if (isDisturbed) return;
    // By a clock that is far off, a value is gone before it is there.
    const wasClockOff = replicas.some((replica) => replica!.loop.clock.wasOff);
    if ("ttlMs" in request.change && request.change.ttlMs > 0 && wasClockOff) return;
    const held = replicas.map((replica) => this.#heldBy(replica!, request.key));
    // Of several versions of one write the oldest is the one that was acknowledged; the others are dead, or newer.
    const versions = held.filter((entry) => entry !== undefined && isWrittenBy(entry, request));
    const [own, ...others] = versions.filter((entry) => entry !== undefined);
    if (own === undefined || this.#hasOtherRing(own.origin, ringId)) return;
    const oldest = others.reduce((least, entry) => (isAtLeast(entry, least) ? least : entry), own);
    this.judgedTotal++;
    const isCleared = (node: NodeProcess) =>
      (node.store?.clearedVersion(slotOfKey(request.key)) ?? 0) >= oldest.version;
    const holders = held.filter(
      (entry, index) => (entry !== undefined && isAtLeast(entry, oldest)) || isCleared(replicas[index]!),
    ).length;
    const needed = copiesNeeded(request.write, replicas.length);
    if (holders < needed) {
      const where = replicas.map((replica, index) => `${replica!.id}:${held[index]?.version ?? "-"}`);
      throw new Violation(
        "acknowledged means stored",
        `${node.id} acknowledged ${request.change.type} of ${request.key} (op ${request.opClient}/${request.opSeq}, attempt ${request.attempt}) held by ${holders} of ${needed} needed: ${where.join(" ")}`,
      );
    }
  }

  /** Until the others have heard of a second process under a node's id, the first one may be the replica. */
  #heldBy(node: NodeProcess, key: string): Entry | undefined {
    const slot = slotOfKey(key);
    const entry = node.store?.peek(slot, key);
    const older = this.#world.nodes.get(`${node.id}-old`)?.store?.peek(slot, key);
    return older !== undefined && (entry === undefined || isAtLeast(older, entry)) ? older : entry;
  }

  /** The node that was asked may have handed the write on, to one that has heard of another ring. */
  #hasOtherRing(origin: number, ringId: RingId | ""): boolean {
    const giver = [...this.#world.nodes.values()].find((node) => node.origin === origin);
    return giver !== undefined && this.#ringOf(giver) !== ringId;
  }

  #ringOf(node: NodeProcess): RingId | "" {
    return node.ringId;
  }
}

function copiesNeeded(write: WriteMode, replicas: number): number {
  return write === "all" ? replicas : write === "quorum" ? Math.floor(replicas / 2) + 1 : 1;
}

function isWrittenBy(entry: Entry | undefined, { opClient, opSeq }: WriteRequest): boolean {
  return entry !== undefined && entry.opClient === opClient && entry.opSeq === opSeq;
}

function isAtLeast(entry: Entry, other: Entry): boolean {
  return entry.version > other.version || (entry.version === other.version && entry.origin >= other.origin);
}
