// The cluster as this client sees it: the ring that the nodes push, built with the same code that they use, and who is well.
//
// Which push wins: the latest to arrive, whoever sent it, unless it has no ring while we have one (a node that has not joined
// yet). Pushes carry no order, and none is needed: any node accepts any key, so an outdated view costs a forward, not a wrong
// answer, and the node that holds the newer view pushes it as soon as it has it.
//
// Who is well is another matter: a node that takes half of the ring for gone is most likely the one that is cut off, and whoever
// asked it first would read what it held before. So that is told by the latest push of a node that has a majority.

import type { Hashes } from "../base/hash.ts";
import { compareIds, type MemberId, type RingId, type Slot } from "../base/ids.ts";
import {
  isInRing,
  type ReadMode,
  type Topology,
  type TopologyMember,
  type WriteMode,
} from "../core/messages.ts";
import { computeRingId, RING_MEMBERS_MAX, Ring, ringParameters } from "../core/ring/ring.ts";

/** Rings kept: while the nodes change from one to the next, their pushes alternate between the two. */
const RECENT_MAX = 3;

export class TopologyView {
  readonly #hashes: Hashes;
  readonly #recent: Ring[] = [];
  #ring: Ring | undefined;
  #members: ReadonlyMap<MemberId, TopologyMember> = new Map();
  #topology: Topology | undefined;
  /** Members that are not alive, as a node with a majority told. */
  #unwell: ReadonlySet<MemberId> = new Set();

  constructor(hashes: Hashes) {
    this.#hashes = hashes;
  }

  /** `undefined` until the first push that has one. */
  get ring(): Ring | undefined {
    return this.#ring;
  }

  get ringId(): RingId | "" {
    return this.#topology?.ringId ?? "";
  }

  /** All members told of, by id. */
  get members(): readonly TopologyMember[] {
    return [...this.#members.values()];
  }

  get defaultWrite(): WriteMode {
    return this.#topology?.defaultWrite ?? "quorum";
  }

  get defaultRead(): ReadMode {
    return this.#topology?.defaultRead ?? "one";
  }

  /** Largest value the nodes take; `Infinity` until they have said so. */
  get valueBytesMax(): number {
    return this.#topology?.valueBytesMax ?? Number.POSITIVE_INFINITY;
  }

  /** Replicas of a slot in ring order; empty while there is no ring. */
  preferenceList(slot: Slot): readonly MemberId[] {
    return this.#ring?.preferenceList(slot) ?? [];
  }

  member(id: MemberId): TopologyMember | undefined {
    return this.#members.get(id);
  }

  /** Whether the member is alive and done with filling up; see the rule at the top. False for strangers. */
  isWell(id: MemberId): boolean {
    const member = this.#members.get(id);
    return member !== undefined && member.ringState !== "warming" && !this.#unwell.has(id);
  }

  /**
   * Takes a push; see the rule at the top. Returns false when it is no usable view: no ring, or not the ring its id names (a
   * node that computes rings in another way). The table is built only when the ring is another.
   */
  apply(topology: Topology): boolean {
    const inRing = topology.members.filter((member) => isInRing(member.ringState));
    if (topology.ringId === "" || inRing.length === 0) return false;
    if (topology.ringId !== this.ringId) {
      const ring = this.#ringOf(topology, inRing);
      if (ring === undefined) return false;
      this.#ring = ring;
    }
    const sorted = [...topology.members].sort((a, b) => compareIds(a.id, b.id));
    this.#members = new Map(sorted.map((member) => [member.id, member]));
    this.#topology = topology;
    const unwell = inRing.filter(({ liveness }) => liveness !== "alive").map(({ id }) => id);
    if (2 * unwell.length < inRing.length) this.#unwell = new Set(unwell);
    return true;
  }

  #ringOf(topology: Topology, members: readonly TopologyMember[]): Ring | undefined {
    const known = this.#recent.find(({ id }) => id === topology.ringId);
    if (known !== undefined) return known;
    const isSound = new Set(members.map(({ id }) => id)).size === members.length;
    if (!isSound || members.length > RING_MEMBERS_MAX) return undefined;
    const parameters = ringParameters(topology.replicas);
    if (computeRingId(members, parameters, this.#hashes) !== topology.ringId) return undefined;
    const ring = Ring.build(members, parameters, this.#hashes);
    this.#recent.unshift(ring);
    this.#recent.length = Math.min(this.#recent.length, RECENT_MAX);
    return ring;
  }
}
