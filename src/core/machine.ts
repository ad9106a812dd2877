// The contract between the pure core and whoever drives it.
//
// A machine consumes one input at a time and returns what is to be done, in order. It never waits, never reads a clock and
// never draws from global randomness: `now` comes with every step and its generators come with the constructor. The real
// driver (server/driver.ts) and the simulator (test/sim) are two small programs over the same machines.
//
// Rules for a driver:
// 1. `now.monoMs` never decreases from step to step. `now.wallMs` may jump.
// 2. Effects of one step are carried out in order, and before the next step.
// 3. A `tick` is due at `deadline()`. An early tick is harmless; a late one only delays.
// 4. After the event loop stalled, input that is already waiting goes in first, then one `stall` input that says how long,
//    and only then overdue ticks: otherwise every pause of ours accuses healthy peers. (Where the driver learns of the stall
//    before it can see waiting input, the `stall` input comes first of all; that is as good.)
// 5. Sends may be lost, late, repeated or out of order. The driver says `link` when it knows that a connection came or went.

import type { MemberId } from "../base/ids.ts";
import type { NodeEvent } from "./events.ts";
import type { ClientReply, ClientRequest, GossipMessage, PeerMessage } from "./messages.ts";

/** Both clocks, read once per step. */
export interface Now {
  /** Milliseconds of a clock that only goes forward; may have fractions. */
  readonly monoMs: number;
  /** Milliseconds since 1970 of this process's wall clock; it may be wrong. */
  readonly wallMs: number;
}

/** What can happen to a node. */
export type Input =
  | { readonly kind: "tick" }
  | { readonly kind: "stall"; readonly ms: number }
  | { readonly kind: "peer"; readonly from: MemberId; readonly message: PeerMessage }
  | {
      readonly kind: "gossip";
      readonly from: MemberId;
      readonly fromAddress: string;
      readonly message: GossipMessage;
    }
  /** `to`: the member that is to answer, when the client knows better than this node; only for what can be handed on. */
  | {
      readonly kind: "client";
      readonly client: ClientHandle;
      readonly request: ClientRequest;
      readonly to?: MemberId;
      /** Milliseconds that it waited before this step, as far as the driver can see. @default 0 */
      readonly waitedMs?: number;
    }
  /** What one frame held, in order: one step does for all of it. */
  | { readonly kind: "peerBatch"; readonly from: MemberId; readonly messages: readonly PeerMessage[] }
  | {
      readonly kind: "clientBatch";
      readonly client: ClientHandle;
      readonly requests: readonly ClientRequest[];
      /** As above. */
      readonly waitedMs?: number;
    }
  | { readonly kind: "clientOpened"; readonly client: ClientHandle }
  | { readonly kind: "clientClosed"; readonly client: ClientHandle }
  /** A peer or gossip connection to a member was established or lost. */
  | {
      readonly kind: "link";
      readonly member: MemberId;
      readonly path: "peer" | "gossip";
      readonly isUp: boolean;
    }
  /** The genesis id learnt from the first seed that answered; ignored when one is known. */
  | { readonly kind: "genesis"; readonly genesisId: string }
  | { readonly kind: "leave" };

/** Names one client connection of this node, unique as long as the process lives. */
export type ClientHandle = number;

/** What a node wants done. */
export type Effect =
  /** To a member at its address. Dropped, not queued for ever, when it cannot be sent. */
  | {
      readonly kind: "send";
      readonly to: MemberId;
      readonly address: string;
      readonly path: "peer";
      readonly message: PeerMessage;
    }
  /** `to` is "" when only an address is known (a seed). */
  | {
      readonly kind: "send";
      readonly to: MemberId | "";
      readonly address: string;
      readonly path: "gossip";
      readonly message: GossipMessage;
    }
  | { readonly kind: "reply"; readonly client: ClientHandle; readonly message: ClientReply }
  /** The connection to this member is silent: close it at once and dial again. */
  | { readonly kind: "redial"; readonly member: MemberId; readonly path: "peer" | "gossip" }
  | { readonly kind: "event"; readonly event: NodeEvent }
  /** This node has left the ring and handed everything over: the process may end. */
  | { readonly kind: "released" };

/** A deterministic state machine. See the rules at the top. */
export interface Machine<I, E> {
  /** Consumes one input; returns the effects in order. Never throws for bad input, only for bugs. */
  step(input: I, now: Now): readonly E[];
  /** Monotonic time of the next tick; `Infinity` for none. */
  deadline(): number;
}
