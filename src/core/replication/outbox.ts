// Where the parts of a node put what they want done during one step. It knows members' addresses, so that the parts need not.

import type { MemberId } from "../../base/ids.ts";
import type { NodeEvent } from "../events.ts";
import type { ClientHandle, Effect } from "../machine.ts";
import type { ClientReply, GossipMessage, PeerMessage } from "../messages.ts";

/** Collects the effects of one step, in order. */
export class Outbox {
  #effects: Effect[] = [];
  readonly #addressOf: (member: MemberId) => string | undefined;

  constructor(addressOf: (member: MemberId) => string | undefined) {
    this.#addressOf = addressOf;
  }

  /** The list being filled, for parts that append effects themselves. */
  get effects(): Effect[] {
    return this.#effects;
  }

  /** To another node's data path; dropped when its address is unknown. */
  peer(to: MemberId, message: PeerMessage): void {
    const address = this.#addressOf(to);
    if (address !== undefined) this.#effects.push({ kind: "send", to, address, path: "peer", message });
  }

  gossip(to: MemberId, message: GossipMessage): void {
    const address = this.#addressOf(to);
    if (address !== undefined) this.#effects.push({ kind: "send", to, address, path: "gossip", message });
  }

  reply(client: ClientHandle, message: ClientReply): void {
    this.#effects.push({ kind: "reply", client, message });
  }

  event(event: NodeEvent): void {
    this.#effects.push({ kind: "event", event });
  }

  /** Hands the effects over and starts anew. */
  take(): readonly Effect[] {
    const taken = this.#effects;
    this.#effects = [];
    return taken;
  }
}
