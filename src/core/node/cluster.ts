// The cluster as this node sees it: members' records made into the ring of the moment, and into the ring that is planned next.
//
//   membership --records--> ring          the members in it, and their weights and zones: same records, same ring on every node
//              --records--> plan          who is to come and go, and the ring that this makes (ring-change.ts)
//              --records--> who changed   dead, or another process than before
//
// Nothing is done about it here: a listener is told, within the step that shows the change. What replication may ask of the
// cluster at any time is its `ClusterView`.

import type { Hashes } from "../../base/hash.ts";
import type { MemberId, RingId, Slot } from "../../base/ids.ts";
import type { Prng } from "../../base/prng.ts";
import type { PeerLinks } from "../links.ts";
import type { Now } from "../machine.ts";
import { Membership } from "../membership/membership.ts";
import { isInRing, type MemberRecord, wantedPlace } from "../messages.ts";
import type { NodeCoreOptions } from "../options.ts";
import type { ClusterView } from "../replication/cluster-view.ts";
import type { SlotStates } from "../replication/slot-states.ts";
import { computeRingId, RING_MEMBERS_MAX, Ring, type RingMember, ringParameters } from "../ring/ring.ts";
import { planOf, type RingPlan } from "../ring-change.ts";

/** Addresses tried by a node that starts over. */
const SEEDS_MAX = 16;
const NOBODY: readonly MemberId[] = Object.freeze([]);

/** What a cluster is made from. */
export interface ClusterParts {
  readonly options: NodeCoreOptions;
  readonly hashes: Hashes;
  readonly prng: Prng;
  readonly links: PeerLinks;
  readonly slots: SlotStates;
}

/** Told of changes, in this order, before the step goes on. */
export interface ClusterListener {
  /** Some record changed; what that means comes next. */
  recordsChanged(): void;
  /** The ring is another one. `previous`: `undefined` for the first that this node knows. */
  ringChanged(ring: Ring, previous: Ring | undefined, now: Now): void;
  /** The ring to rehearse; `undefined` when none is planned, or this node will not be in it. */
  ringPlanned(planned: Ring | undefined, now: Now): void;
  /** Another member died, or is another process than before. */
  memberChanged(member: MemberId, change: MemberChange, now: Now): void;
}

/** What has become of a member. */
export interface MemberChange {
  readonly isGone: boolean;
  readonly isAnew: boolean;
  /** The ring until this was known: the member may be out of the present one already. */
  readonly ringBefore: Ring | undefined;
}

/** See the top of the file. */
export class Cluster implements ClusterView {
  readonly self: MemberId;
  readonly #parts: ClusterParts;
  readonly #listener: ClusterListener;
  #membership: Membership;
  #ring: Ring | undefined;
  #previousRing: Ring | undefined;
  #plan: RingPlan | undefined;
  #plannedRing: Ring | undefined;
  #viewVersion = -1;
  #hasTable = false;
  #isSettled = false;
  #seen = new Map<MemberId, MemberRecord>();

  constructor(parts: ClusterParts, listener: ClusterListener, now: Now) {
    const { id, generation, seeds } = parts.options;
    this.self = id;
    this.#parts = parts;
    this.#listener = listener;
    this.#membership = this.#newMembership({ generation, seeds, place: parts.options }, now);
  }

  /** Who is there and who is alive. Another object after the node started over. */
  get membership(): Membership {
    return this.#membership;
  }

  /** This node's own record. */
  get own(): MemberRecord {
    return this.#membership.self;
  }

  get ring(): Ring | undefined {
    return this.#ring;
  }

  get previousRing(): Ring | undefined {
    return this.#previousRing;
  }

  get ringId(): RingId | "" {
    return this.#ring?.id ?? "";
  }

  /** The change of the ring that is being rehearsed. */
  get plan(): RingPlan | undefined {
    return this.#plan;
  }

  /** The ring that the plan makes; "" without one. */
  get plannedRingId(): RingId | "" {
    return this.#plannedRing?.id ?? "";
  }

  /** Another number whenever a record was another at the last refresh. */
  get viewVersion(): number {
    return this.#viewVersion;
  }

  /** Whether this node began the cluster: there is nobody it could copy from. */
  get isFounder(): boolean {
    return this.#parts.options.genesisId !== "";
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  isUsable(member: MemberId): boolean {
    if (member === this.self) return true;
    return this.#membership.get(member)?.liveness !== "dead" && this.#parts.links.isReachable(member);
  }

  mayCount(member: MemberId): boolean {
    const state = this.#membership.get(member)?.ringState;
    return state === "active" || state === "leaving";
  }

  isMember(member: MemberId): boolean {
    const state = this.#membership.get(member)?.ringState;
    return state !== undefined && isInRing(state);
  }

  isCondemned(member: MemberId): boolean {
    const record = this.#membership.get(member);
    return record?.ringState === "condemned" && record.liveness === "dead";
  }

  hasLeft(member: MemberId): boolean {
    return this.#membership.get(member)?.ringState === "left";
  }

  newcomers(slot: Slot): readonly MemberId[] {
    const planned = this.#plannedRing?.preferenceList(slot);
    if (planned === undefined) return NOBODY;
    const present = this.#ring?.preferenceList(slot) ?? NOBODY;
    return planned.filter((member) => !present.includes(member));
  }

  toPeerMono(member: MemberId, monoMs: number): number {
    return this.#parts.links.toPeerMono(member, monoMs);
  }

  ringMemberIds(): readonly MemberId[] {
    return this.#ring?.members.map(({ id }) => id) ?? NOBODY;
  }

  /** Records may have changed: is it still the same ring, and who has come, gone or started anew? */
  refresh(now: Now): void {
    const { viewVersion, hasTable } = this.#membership;
    if (viewVersion === this.#viewVersion && hasTable === this.#hasTable) return;
    this.#viewVersion = viewVersion;
    this.#hasTable = hasTable;
    this.#listener.recordsChanged();
    const records = this.#membership.records();
    if (this.own.ringState === "evicted") {
      this.startOver(now);
      return;
    }
    this.#parts.links.track(this.#idsToReach(records));
    const ringBefore = this.#ring;
    if (hasTable) {
      this.#adoptRing(records, now);
      this.#planRing(records, now);
    }
    const { ringId } = this;
    this.#isSettled = records.every(
      (record) => !isInRing(record.ringState) || record.settledRingId === ringId,
    );
    this.#noteChanges(records, ringBefore, now);
  }

  /**
   * The others took this node for gone and gave its slots away: it comes back as a new member. What it holds counts for nothing
   * any more, and is kept until it has its place in the ring: it may be all that is left of what it acknowledged with another
   * that was taken for gone as well.
   */
  startOver(now: Now): void {
    const addresses = this.#membership
      .records()
      .filter(({ id }) => id !== this.self)
      .map(({ address }) => address);
    const outGeneration = this.own.generation;
    const place = wantedPlace(this.own) ?? this.own;
    const generation = Math.max(outGeneration + 1, Math.floor(now.wallMs));
    this.#parts.slots.reset();
    this.#ring = undefined;
    this.#previousRing = undefined;
    this.#seen = new Map();
    this.#listener.ringPlanned(undefined, now);
    const seeds = addresses.slice(0, SEEDS_MAX);
    this.#membership = this.#newMembership({ generation, seeds, place, outGeneration }, now);
    this.#viewVersion = -1;
    this.refresh(now);
  }

  #newMembership(
    boot: {
      readonly generation: number;
      readonly seeds: readonly string[];
      readonly place: { readonly zone: string; readonly weight: number };
      readonly outGeneration?: number;
    },
    now: Now,
  ): Membership {
    const { options, links, prng } = this.#parts;
    const { generation, seeds, place, outGeneration = 0 } = boot;
    const { zone, weight } = place;
    const { id, address, membership, replicas } = options;
    const startsInRing = this.isFounder && generation === options.generation;
    return new Membership(
      {
        self: { id, address, zone, weight, generation },
        seeds,
        startsInRing,
        outGeneration,
        options: membership,
        replicas,
        condemns: true,
        isReachable: (member) => links.isReachable(member),
      },
      prng.fork("membership"),
      now,
    );
  }

  #adoptRing(records: readonly MemberRecord[], now: Now): void {
    const ring = this.#ringOf(records.filter(({ ringState }) => isInRing(ringState)));
    if (ring === undefined || ring.id === this.#ring?.id) return;
    this.#previousRing = this.#ring;
    this.#ring = ring;
    this.#listener.ringChanged(ring, this.#previousRing, now);
  }

  /** The ring that the next change would make, when one is in preparation; rehearsed by everybody who will be in it. */
  #planRing(records: readonly MemberRecord[], now: Now): void {
    this.#plan = this.#ring === undefined ? undefined : planOf(records, this.#parts.options.replicas);
    this.#plannedRing = this.#plan === undefined ? undefined : this.#ringOf(this.#plan.members);
    const isMember = this.#plannedRing?.has(this.self) === true;
    this.#listener.ringPlanned(isMember ? this.#plannedRing : undefined, now);
  }

  /** The ring of these members; the present or the planned one when it is that. None of more members than are ever let in: that is forged. */
  #ringOf(records: readonly MemberRecord[]): Ring | undefined {
    if (records.length === 0 || records.length > RING_MEMBERS_MAX) return undefined;
    const members: readonly RingMember[] = records.map(({ id, weight, zone }) => ({ id, weight, zone }));
    const { hashes, options } = this.#parts;
    const parameters = ringParameters(options.replicas);
    const id = computeRingId(members, parameters, hashes);
    const known = [this.#ring, this.#plannedRing].find((ring) => ring?.id === id);
    return known ?? Ring.build(members, parameters, hashes);
  }

  #noteChanges(records: readonly MemberRecord[], ringBefore: Ring | undefined, now: Now): void {
    const seen = new Map<MemberId, MemberRecord>();
    for (const record of records) {
      const before = this.#seen.get(record.id);
      seen.set(record.id, record);
      if (before === undefined || record.id === this.self) continue;
      const isGone = record.liveness === "dead" && before.liveness !== "dead";
      const isAnew = record.generation !== before.generation;
      if (isGone || isAnew) this.#listener.memberChanged(record.id, { isGone, isAnew, ringBefore }, now);
    }
    this.#seen = seen;
  }

  /** Everybody alive, save those that left and have nothing to hand over any more. */
  #idsToReach(records: readonly MemberRecord[]): readonly MemberId[] {
    const isFilled = this.#parts.slots.warmingCount === 0;
    const hasLeft = ({ id, ringState }: MemberRecord) =>
      ringState === "left" && (this.#seen.get(id)?.ringState ?? "left") === "left";
    return records
      .filter(
        ({ id, liveness, ringState }) => id !== this.self && liveness !== "dead" && ringState !== "evicted",
      )
      .filter((record) => !(isFilled && hasLeft(record)))
      .map(({ id }) => id);
  }
}
