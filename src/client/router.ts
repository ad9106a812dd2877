// Which node a call's next try goes to.
//
// The order: replicas that answer and are said to be alive, in ring order; replicas that answer although others suspect them, or
// that are filling up after a start and would have to ask the others themselves; at most two more nodes per round (any node
// forwards); last those that are silent, unless they owe this call an answer already. A node is tried once per round.

import type { MemberId } from "../base/ids.ts";
import type { Call } from "./call.ts";
import type { LinkTable } from "./link-table.ts";
import type { NodeLink } from "./node-link.ts";
import type { TopologyView } from "./topology-view.ts";

/** Nodes that are no replicas, tried per round. */
const OTHERS_PER_ROUND_MAX = 2;

export class Router {
  readonly #view: TopologyView;
  readonly #links: LinkTable;

  constructor(view: TopologyView, links: LinkTable) {
    this.#view = view;
    this.#links = links;
  }

  /** The best candidate that this round has not tried; see the top for the order. Allocates nothing in the common case. */
  pick(call: Call): NodeLink | undefined {
    if (call.target !== "") {
      const link = this.#links.get(call.target);
      return link?.phase === "up" ? link : undefined;
    }
    const list = this.#view.preferenceList(call.slot);
    let doubted: NodeLink | undefined;
    let silent: NodeLink | undefined;
    for (const id of list) {
      const member = this.#view.member(id);
      const link = member === undefined ? undefined : this.#links.get(member.address);
      if (member === undefined || link?.phase !== "up" || call.hasTried(link)) continue;
      if (!link.isResponsive) silent ??= link;
      else if (member.liveness !== "alive" || member.ringState === "warming") doubted ??= link;
      else return link;
    }
    return (
      doubted ?? this.#pickOther(call, list) ?? (silent && isAwaiting(call, silent) ? undefined : silent)
    );
  }

  /** A connected node that is no replica, from a place that depends on the slot, so that the load spreads. */
  #pickOther(call: Call, list: readonly MemberId[]): NodeLink | undefined {
    const up = this.#links.up;
    const replicas = list.map((id) => this.#view.member(id)?.address);
    const isOther = (link: NodeLink): boolean => !replicas.includes(link.address);
    if (call.round.filter(isOther).length >= OTHERS_PER_ROUND_MAX) return undefined;
    let silent: NodeLink | undefined;
    for (let step = 0; step < up.length; step++) {
      const link = up[(call.slot + step) % up.length];
      if (link === undefined || !isOther(link) || call.hasTried(link)) continue;
      if (link.isResponsive) return link;
      if (!isAwaiting(call, link)) silent ??= link;
    }
    return silent;
  }
}

/** Whether the node owes this call an answer already: asking it again would only add to its load. */
function isAwaiting(call: Call, link: NodeLink): boolean {
  return call.attempts.some((attempt) => attempt.link === link);
}
