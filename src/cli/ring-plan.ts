// What a change of the ring would move, worked out before anything is done: the ring of now and the ring of then, both built as every
// node builds them, compared slot by slot. Pure. Keys and bytes per slot come from what the nodes said that they hold (a node's
// entries over the slots that it keeps), so they are estimates; slots and shares are exact.

import type { Hashes } from "../base/hash.ts";
import { compareIds, type MemberId } from "../base/ids.ts";
import type { CopyPace } from "../core/replication/copy.ts";
import { Ring, type RingMember, ringParameters } from "../core/ring/ring.ts";
import { idealMovedCopiesShare, movedCopiesShare, ringDiff } from "../core/ring/ring-diff.ts";

/** What a member said of itself; `undefined` for one that did not answer. */
export interface MemberLoad {
  readonly entries: number;
  /** Of memory: keys, values and what is kept about them. */
  readonly bytes: number;
  /** Its largest finished copy; zeros when it has copied nothing yet. */
  readonly pace: CopyPace;
}

/** What a plan is made from. */
export interface RingPlanInput {
  readonly members: readonly RingMember[];
  readonly replicas: number;
  /** Who comes, and who goes. Who does both gets another place. */
  readonly add: readonly RingMember[];
  readonly remove: readonly MemberId[];
  /** By member. */
  readonly loads: ReadonlyMap<MemberId, MemberLoad>;
}

/** A member in one ring. Entries and bytes are estimates for the ring of then. */
export interface Place {
  readonly slotsOwned: number;
  readonly slotsReplicated: number;
  /** Owned slots over all, 0 to 1. */
  readonly share: number;
  readonly entries: number;
  readonly bytes: number;
}

/** What the change does to one member. */
export interface MemberPlan {
  readonly id: MemberId;
  /** `undefined` for one that is not in the ring before, or after. */
  readonly before: Place | undefined;
  readonly after: Place | undefined;
  /** Copies of slots that it receives and may drop, and what is in those that it receives. */
  readonly slotsGained: number;
  readonly slotsLost: number;
  readonly entriesReceived: number;
  readonly bytesReceived: number;
}

/** On which measurement an estimate of time rests. */
export interface CopyRate {
  /** Entries a second that one node receives. */
  readonly entriesPerSecond: number;
  /** The node that copied so fast; `undefined` where none of the cluster has copied enough to tell. */
  readonly measuredAt: MemberId | undefined;
  readonly pace: CopyPace;
}

/** See the top of the file. */
export interface ChangePlan {
  readonly replicas: number;
  readonly ringIdBefore: string;
  readonly ringIdAfter: string;
  /** By id: everybody who is in one of the two rings. */
  readonly members: readonly MemberPlan[];
  /** Those of them that stay, with another weight or zone than now. */
  readonly moved: readonly RingMember[];
  /** Copies of slots that move, of so many in the ring of then; and the least that could. */
  readonly slotsMoved: number;
  readonly slotsMovedIdeal: number;
  readonly slotCopies: number;
  readonly entriesMoved: number;
  readonly bytesMoved: number;
  readonly rate: CopyRate;
  readonly seconds: number;
}

/** A copy of fewer entries tells more of its beginning than of its pace. */
const PACE_ENTRIES_MIN = 5_000;
/** What `npm run bench:rebalance` measured with keys of 100 bytes and all nodes on two cores: a cautious figure. */
const PACE_DEFAULT: CopyPace = Object.freeze({ entries: 20_000, bytes: 2_200_000, ms: 1_000 });

/** Works the plan out. At least one member must stay. Costs two builds of the ring. */
export function planChange(input: RingPlanInput, hashes: Hashes): ChangePlan {
  const { members, replicas, add, remove, loads } = input;
  const parameters = ringParameters(replicas);
  const from = Ring.build(members, parameters, hashes);
  const to = Ring.build([...members.filter(({ id }) => !remove.includes(id)), ...add], parameters, hashes);
  const ids = [...new Set([...from.members, ...to.members].map(({ id }) => id))].sort(compareIds);
  const perSlot = meansPerSlot(from, loads);
  const plans = ids.map((id) => planMember(id, { from, to, perSlot, loads }));
  const copies = Math.min(replicas, to.members.length);
  const moved = add.filter(({ id }) => from.has(id));
  const slotCopies = plans.reduce((sum, { after }) => sum + (after?.slotsReplicated ?? 0), 0);
  const rate = rateOf(loads);
  return {
    replicas: copies,
    ...{ ringIdBefore: from.id, ringIdAfter: to.id, members: plans, moved, slotCopies },
    slotsMoved: Math.round(movedCopiesShare(from, to) * slotCopies),
    slotsMovedIdeal: Math.round(idealMovedCopiesShare(from, to) * slotCopies),
    entriesMoved: plans.reduce((sum, { entriesReceived }) => sum + entriesReceived, 0),
    bytesMoved: plans.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0),
    rate,
    // Nodes copy at the same time: the one that receives the most decides.
    seconds: Math.max(0, ...plans.map(({ entriesReceived }) => entriesReceived)) / rate.entriesPerSecond,
  };
}

interface PerSlot {
  readonly entries: number;
  readonly bytes: number;
}

interface Comparison {
  readonly from: Ring;
  readonly to: Ring;
  /** Means of a slot by member, and of all. */
  readonly perSlot: ReadonlyMap<MemberId | "", PerSlot>;
  readonly loads: ReadonlyMap<MemberId, MemberLoad>;
}

function planMember(id: MemberId, { from, to, perSlot, loads }: Comparison): MemberPlan {
  const { gained, lost } = ringDiff(from, to, id);
  const all = perSlot.get("") ?? NOTHING;
  let [entries, bytes] = [0, 0];
  for (const slot of gained) {
    const mean = perSlot.get(from.ownerOf(slot)) ?? all;
    entries += mean.entries;
    bytes += mean.bytes;
  }
  const own = loads.get(id);
  const ownMean = perSlot.get(id) ?? all;
  const before = from.has(id)
    ? {
        ...placeOf(from, id),
        entries: own?.entries ?? Math.round(ownMean.entries * from.slotsReplicatedBy(id)),
        bytes: own?.bytes ?? Math.round(ownMean.bytes * from.slotsReplicatedBy(id)),
      }
    : undefined;
  const after = to.has(id)
    ? {
        ...placeOf(to, id),
        entries: Math.max(0, Math.round((before?.entries ?? 0) + entries - lost.length * ownMean.entries)),
        bytes: Math.max(0, Math.round((before?.bytes ?? 0) + bytes - lost.length * ownMean.bytes)),
      }
    : undefined;
  return {
    ...{ id, before, after, slotsGained: gained.length, slotsLost: lost.length },
    ...{ entriesReceived: Math.round(entries), bytesReceived: Math.round(bytes) },
  };
}

function placeOf(ring: Ring, id: MemberId): Omit<Place, "entries" | "bytes"> {
  const slotsOwned = ring.slotsOwnedBy(id);
  const all = ring.members.reduce((sum, member) => sum + ring.slotsOwnedBy(member.id), 0);
  return { slotsOwned, slotsReplicated: ring.slotsReplicatedBy(id), share: slotsOwned / all };
}

const NOTHING: PerSlot = Object.freeze({ entries: 0, bytes: 0 });

function meansPerSlot(
  ring: Ring,
  loads: ReadonlyMap<MemberId, MemberLoad>,
): ReadonlyMap<MemberId | "", PerSlot> {
  const means = new Map<MemberId | "", PerSlot>();
  let [entries, bytes, slots] = [0, 0, 0];
  for (const { id } of ring.members) {
    const load = loads.get(id);
    const count = ring.slotsReplicatedBy(id);
    if (load === undefined || count === 0) continue;
    means.set(id, { entries: load.entries / count, bytes: load.bytes / count });
    entries += load.entries;
    bytes += load.bytes;
    slots += count;
  }
  means.set("", slots === 0 ? NOTHING : { entries: entries / slots, bytes: bytes / slots });
  return means;
}

/** The slowest of the cluster's own large copies; the benchmark's when there is none. */
function rateOf(loads: ReadonlyMap<MemberId, MemberLoad>): CopyRate {
  let slowest: CopyRate | undefined;
  for (const [id, { pace }] of loads) {
    if (pace.entries < PACE_ENTRIES_MIN || pace.ms === 0) continue;
    const entriesPerSecond = (pace.entries * 1000) / pace.ms;
    if (slowest === undefined || entriesPerSecond < slowest.entriesPerSecond)
      slowest = { entriesPerSecond, measuredAt: id, pace };
  }
  const byDefault = (PACE_DEFAULT.entries * 1000) / PACE_DEFAULT.ms;
  return slowest ?? { entriesPerSecond: byDefault, measuredAt: undefined, pace: PACE_DEFAULT };
}
