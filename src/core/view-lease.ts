// How long a node that is cut off may go on as if it were not: it coordinates quorum operations only while members that are half of
// its ring or more, itself among them, answered a heartbeat that it sent within the lease. What may be done without a quorum (`async`
// writes, reads of mode `one`) needs no lease.
//
// Whose slots may be given away without their knowledge? Only who is evicted, by a strict majority of the ring and after `deadGrace`.
// (Who leaves and is dead is no exception. Who leaves while it is cut off, and not yet found dead, is waited for: replication/fill.ts.)
// Members that are evicted together and are the majority of some slot's replicas would find a quorum among themselves still, and
// read what has been overwritten elsewhere. Two rules keep them from it:
//
// 1. A heartbeat counts from when it was *sent*, so that nothing that lay in a socket or waited for a paused process makes a lease longer.
// 2. A heartbeat of a member that is held dead is not answered (node/peers.ts): after a cut a node hears what became of it before
//    it has a lease again. Who has left forgets whom it held dead, and answers: it tells all of them in the same step that it has left, and
//    asks each in turn until it ends, so a member whose ring still has it hears so with the answer.
//
// The bound: who is cut off at T coordinates no quorum operation from T + `leaseMs` on, whatever its failure detector has found by then. The
// others cannot evict it before T + `deadGraceMs`: they find it dead after the cut at the earliest. Half is enough, since the
// others are then no strict majority. In a healthy cluster of any size each pair of members exchanges heartbeats four times a second,
// so a lease has twenty times that to spare. Source: leases counted from the sending of a heartbeat as in Raft's (Ongaro, 6.4.1).

import type { MemberId } from "../base/ids.ts";
import type { Now } from "./machine.ts";

/** What a lease is judged by. */
export interface ViewLeaseParts {
  readonly self: MemberId;
  readonly leaseMs: number;
  /** The members of this node's ring; empty while it has none. */
  ringMemberIds(): readonly MemberId[];
  /** When the latest heartbeat that the member answered was sent, in our monotonic clock. */
  answeredMs(member: MemberId): number;
}

/** See the top of the file. */
export class ViewLease {
  readonly #parts: ViewLeaseParts;
  /** As of the last look. Later heartbeats, and members that came since, matter when it has passed. */
  #endsMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ViewLeaseParts) {
    this.#parts = parts;
  }

  /** Whether this node may coordinate quorum operations. A comparison, while held; otherwise a look at every member. */
  isHeld({ monoMs }: Now): boolean {
    if (monoMs < this.#endsMs) return true;
    this.#endsMs = this.#halfAnsweredMs(monoMs) + this.#parts.leaseMs;
    return monoMs < this.#endsMs;
  }

  /** The latest instant since which half of the ring has answered. */
  #halfAnsweredMs(monoMs: number): number {
    const { self, answeredMs, ringMemberIds } = this.#parts;
    const times = ringMemberIds().map((id) => (id === self ? monoMs : answeredMs(id)));
    times.sort((a, b) => b - a);
    return times[Math.ceil(times.length / 2) - 1] ?? Number.NEGATIVE_INFINITY;
  }
}
