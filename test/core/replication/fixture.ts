// One node's replication parts with a hand-made view of the cluster: three members, all slots counted, effects collected.

import type { Hashes } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Effect, Now } from "../../../src/core/machine.ts";
import type { Entry, PeerMessage, Replicate } from "../../../src/core/messages.ts";
import { REPLICATION_DEFAULTS } from "../../../src/core/options.ts";
import { HybridClock, stampOf } from "../../../src/core/replication/clock.ts";
import type { ClusterView } from "../../../src/core/replication/cluster-view.ts";
import { noCopies } from "../../../src/core/replication/copy.ts";
import { Hints } from "../../../src/core/replication/hints.ts";
import { OperationTable } from "../../../src/core/replication/operations.ts";
import { Outbox } from "../../../src/core/replication/outbox.ts";
import { Replica } from "../../../src/core/replication/replica.ts";
import { SlotStates } from "../../../src/core/replication/slot-states.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { LruStore } from "../../../src/core/store/lru-store.ts";

export const WALL_MS = 1_800_000_000_000;
export const SELF = "a" as MemberId;

export function at(monoMs: number): Now {
  return { monoMs, wallMs: WALL_MS + monoMs };
}

/** Version `n` ms after the fixture's epoch. */
export function version(n: number): number {
  return stampOf(WALL_MS + n);
}

export function entry(over: Partial<Entry> = {}): Entry {
  const value = new Uint8Array([1]);
  return {
    key: "k",
    version: version(0),
    origin: 9,
    expiresAt: 0,
    format: 2,
    value,
    opClient: 0,
    opSeq: 0,
    opAttempt: 1,
    ...over,
  };
}

export function makeFixture(
  hashes: Hashes,
  members: readonly string[] = ["a", "b", "c"],
  { self = SELF, replicas = 3 }: { readonly self?: MemberId; readonly replicas?: number } = {},
) {
  const ringMembers = members.map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
  const ring = Ring.build(ringMembers, ringParameters(replicas), hashes);
  const usable = new Set<string>(members);
  const gone = new Set<string>();
  const left = new Set<string>();
  const change = {
    isSettled: true,
    isTimeKnown: true,
    newcomers: [] as readonly MemberId[],
    previousRing: undefined as Ring | undefined,
    /** What the others' monotonic clocks are ahead of this node's; by default it does not know. */
    peersAheadMs: undefined as number | undefined,
  };
  const view: ClusterView = {
    self,
    ring,
    isUsable: (member) => usable.has(member),
    mayCount: () => true,
    get previousRing() {
      return change.previousRing;
    },
    get isSettled() {
      return change.isSettled;
    },
    newcomers: () => change.newcomers,
    isMember: (member) => !gone.has(member),
    isCondemned: () => false,
    hasLeft: (member) => left.has(member),
    toPeerMono: (_member, monoMs) => (change.peersAheadMs === undefined ? 0 : monoMs + change.peersAheadMs),
  };
  const store = new LruStore({ bytesMax: 64 * 1024 * 1024 }, hashes);
  const outbox = new Outbox((member) => `${member}:1`);
  const slots = new SlotStates();
  slots.adopt(ring, self, true);
  const operations = new OperationTable(1_000);
  const clock = new HybridClock(500);
  let lastId = 0;
  const nextId = () => ++lastId;
  const options = { ...REPLICATION_DEFAULTS, hintsPerTargetMax: 5 };
  const repaired: string[] = [];
  const busy = { isBusy: false };
  const replica = new Replica({
    store,
    clock,
    operations,
    slots,
    view,
    outbox,
    clockSkewMsMax: 500,
    isTimeKnown: () => change.isTimeKnown,
  });
  const hints = new Hints({
    ...{ store, view, outbox, options, nextId },
    givesWay: () => busy.isBusy,
    repair: (key) => repaired.push(key),
    clearOwn: (message, now) => replica.clear(message, now),
  });
  const replicate = (over: Partial<Replicate> = {}): Replicate => {
    const written = over.entry ?? entry();
    const base = { kind: "replicate", id: 1, ringId: ring.id, purpose: "client", notAfter: 0 } as const;
    return { ...base, over: written.version - 1, ...over, entry: written };
  };
  return {
    nextId,
    isTimeKnown: () => change.isTimeKnown,
    received: noCopies(),
    options,
    ring,
    view,
    usable,
    gone,
    left,
    change,
    store,
    outbox,
    slots,
    operations,
    clock,
    hints,
    busy,
    replica,
    replicate,
    repaired,
  };
}

/** The peer messages among effects, as [to, message]. */
export function sent(effects: readonly Effect[]): [string, PeerMessage][] {
  const messages: [string, PeerMessage][] = [];
  for (const effect of effects) {
    if (effect.kind === "send" && effect.path === "peer") messages.push([effect.to, effect.message]);
  }
  return messages;
}
