// Which node a call's next try goes to.
//
// The order: replicas that answer and are said to be alive, in ring order; replicas that answer although others suspect them, that
// are slow (slowness.ts), or that are filling up after a start and would have to ask the others themselves; at most two more nodes per round (any node
// forwards); last those that are silent, unless they owe this call an answer already. A node is tried once per round. A read that any
// replica may answer begins with the better of two drawn at random, by latency and by what is under way there: so the load
// spreads, and nobody chases the one that was best a moment ago (Mitzenmacher, "The power of two choices", 2001).

import type { MemberId, Slot } from "../base/ids.ts";
import type { Prng } from "../base/prng.ts";
import type { ReadScope } from "../core/messages.ts";
import { type Call, scopeOf } from "./call.ts";
import type { LinkTable } from "./link-table.ts";
import type { NodeLink } from "./node-link.ts";
import type { TopologyView } from "./topology-view.ts";

/** Nodes that are no replicas, tried per round. */
const OTHERS_PER_ROUND_MAX = 2;
/** Of so many reads that any replica may answer one asks a replica whatever it costs. */
const ANYHOW_ONE_IN = 16;

export class Router {
  readonly #view: TopologyView;
  readonly #links: LinkTable;
  readonly #prng: Prng;

  constructor(view: TopologyView, links: LinkTable, prng: Prng) {
    this.#view = view;
    this.#links = links;
    this.#prng = prng;
  }

  /** The best candidate that this round has not tried; see the top for the order. Allocates nothing in the common case. */
  pick(call: Call, nowMs: number): NodeLink | undefined {
    if (call.target !== "") {
      const link = this.#links.get(call.target);
      return link?.phase === "up" ? link : undefined;
    }
    const list = this.#view.preferenceList(call.slot);
    const { request } = call;
    if (request.kind === "get" && scopeOf(request, this.#view.defaultRead) === "any") {
      const better = this.#betterOfTwo(list, nowMs, call);
      if (better !== undefined) return better;
    }
    let doubted: NodeLink | undefined;
    let silent: NodeLink | undefined;
    for (const id of list) {
      const link = this.#linkTo(id);
      if (link?.phase !== "up" || call.hasTried(link)) continue;
      if (!link.isResponsive) silent ??= link;
      else if (!this.#view.isWell(id) || this.#links.isSpared(link, nowMs)) doubted ??= link;
      else return link;
    }
    return (
      doubted ??
      this.#pickOther(call, list, nowMs) ??
      (silent && isAwaiting(call, silent) ? undefined : silent)
    );
  }

  /**
   * What {@link Router.pick} would say of a read that nobody was asked for yet, where that takes little thought: the better of two for one that
   * any replica may answer, else the slot's first replica when nothing is wrong with it.
   */
  first(slot: Slot, read: ReadScope, nowMs: number): NodeLink | undefined {
    const list = this.#view.preferenceList(slot);
    if (read === "any") return this.#betterOfTwo(list, nowMs);
    const id = list[0];
    if (id === undefined || !this.#view.isWell(id)) return undefined;
    const link = this.#linkTo(id);
    const isWell = link?.phase === "up" && link.isResponsive && !this.#links.isSpared(link, nowMs);
    return isWell ? link : undefined;
  }

  /** A replica that is well for a read that any may answer, and that has not been tried. */
  another(call: Call, nowMs: number): NodeLink | undefined {
    return this.#betterOfTwo(this.#view.preferenceList(call.slot), nowMs, call);
  }

  /** Whether a connected replica that comes before the link in the key's list was passed over: it is slow, silent, or said to be unwell. */
  isPassingOver(call: Call, chosen: NodeLink): boolean {
    for (const id of this.#view.preferenceList(call.slot)) {
      const link = this.#linkTo(id);
      if (link?.phase === "up") return link !== chosen;
    }
    return false;
  }

  #linkTo(id: MemberId): NodeLink | undefined {
    const member = this.#view.member(id);
    return member === undefined ? undefined : this.#links.get(member.address);
  }

  /** Of two replicas drawn at random that are well and that the call has not tried; `undefined` for none. */
  #betterOfTwo(list: readonly MemberId[], nowMs: number, call?: Call): NodeLink | undefined {
    const links: NodeLink[] = [];
    for (const id of list) {
      const link = this.#linkTo(id);
      if (link?.phase !== "up" || !link.isResponsive || this.#links.isSpared(link, nowMs)) continue;
      if (this.#view.isWell(id) && call?.hasTried(link) !== true) links.push(link);
    }
    if (links.length < 2) return links[0];
    const first = this.#prng.below(links.length);
    const second = (first + 1 + this.#prng.below(links.length - 1)) % links.length;
    const [a, b] = [links[first]!, links[second]!];
    // Now and then whoever comes: a node that was slow once would never be seen to be quick again.
    return this.#prng.below(ANYHOW_ONE_IN) === 0 || costOf(a) <= costOf(b) ? a : b;
  }

  /** A connected node that is no replica, from a place that depends on the slot, so that the load spreads. */
  #pickOther(call: Call, list: readonly MemberId[], nowMs: number): NodeLink | undefined {
    const up = this.#links.up;
    const replicas = list.map((id) => this.#view.member(id)?.address);
    const isOther = (link: NodeLink): boolean => !replicas.includes(link.address);
    if (call.round.filter(isOther).length >= OTHERS_PER_ROUND_MAX) return undefined;
    let silent: NodeLink | undefined;
    for (let step = 0; step < up.length; step++) {
      const link = up[(call.slot + step) % up.length];
      if (link === undefined || !isOther(link) || call.hasTried(link)) continue;
      if (link.isResponsive && !this.#links.isSpared(link, nowMs)) return link;
      if (!isAwaiting(call, link)) silent ??= link;
    }
    return silent;
  }
}

/** Whether the node owes this call an answer already: asking it again would only add to its load. */
function isAwaiting(call: Call, link: NodeLink): boolean {
  return call.attempts.some((attempt) => attempt.link === link);
}

/** What one more call there may have to wait for. */
function costOf({ meanLatency, inFlight }: NodeLink): number {
  return meanLatency.ms * (inFlight + 1);
}
