// After this node was out of touch, it may have missed writes that others acknowledged without it, and it does not know which.
// Until it has asked everybody whether they still keep something for it, it must not answer reads alone.
//
// Out of touch means: the process stalled, others suspected it, or a data link came back. Peers answer at once; the question is
// repeated until nothing is left there. An answer to a question from before does not count: it may have waited in a socket while
// this node stood still. What a peer would have handed over and cannot (it is gone, or its hints overflowed)
// makes the shared slots doubtful: they are compared with the other replicas instead.

import type { MemberId } from "../../base/ids.ts";
import type { Now } from "../machine.ts";
import type { CatchUpReply } from "../messages.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { Outbox } from "./outbox.ts";

const ASK_SPACING_MS = 50;
/** A peer that has not been reachable for this long is given up as a source of hints. */
const PATIENCE_MS = 2_000;
/** Questions to a member of which a late answer still counts. */
const QUESTIONS_MAX = 64;

/** A member that has not said yet that nothing is left. */
interface Pending {
  readonly sinceMs: number;
  /** Message ids since then, the latest ones. */
  readonly questions: number[];
  askedMs: number;
}

export interface CatchUpParts {
  readonly view: ClusterView;
  readonly outbox: Outbox;
  readonly nextId: () => number;
  /** Slots shared with a member that cannot hand over, or the slots it names, become doubtful. */
  doubtShared(member: MemberId): void;
  doubt(slots: CatchUpReply["slots"]): void;
}

/** Whom to ask still. Bounded by the number of members. */
export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #pending = new Map<MemberId, Pending>();
  #sinceMs = 0;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  /** Whether this node may have missed writes. */
  get isBehind(): boolean {
    return this.#pending.size > 0;
  }

  /** Whether the member has not said yet that it keeps nothing for this node. */
  isAsking(member: MemberId): boolean {
    return this.#pending.has(member);
  }

  /** Asks these members, this node excepted. */
  begin(members: readonly MemberId[], now: Now): void {
    if (this.#pending.size === 0) this.#sinceMs = now.monoMs;
    for (const member of members) {
      if (member === this.#parts.view.self) continue;
      this.#pending.set(member, { sinceMs: now.monoMs, questions: [], askedMs: Number.NEGATIVE_INFINITY });
    }
    this.tick(now);
  }

  replied(from: MemberId, reply: CatchUpReply, now: Now): void {
    if (reply.slots.length > 0) this.#parts.doubt(reply.slots);
    if (!reply.isDrained || this.#pending.get(from)?.questions.includes(reply.id) !== true) return;
    this.#pending.delete(from);
    this.#maybeFinish(now);
  }

  tick(now: Now): void {
    const { view, outbox, nextId } = this.#parts;
    for (const [member, state] of this.#pending) {
      if (!view.isMember(member)) {
        this.#pending.delete(member);
        this.#maybeFinish(now);
      } else if (view.isUsable(member)) {
        if (now.monoMs - state.askedMs < ASK_SPACING_MS) continue;
        state.askedMs = now.monoMs;
        const id = nextId();
        state.questions.push(id);
        if (state.questions.length > QUESTIONS_MAX) state.questions.shift();
        outbox.peer(member, { kind: "catchUp", id });
      } else if (now.monoMs - state.sinceMs > PATIENCE_MS) {
        this.#parts.doubtShared(member);
        this.#pending.delete(member);
        this.#maybeFinish(now);
      }
    }
  }

  #maybeFinish(now: Now): void {
    if (this.#pending.size > 0) return;
    this.#parts.outbox.event({ type: "caughtUp", ms: Math.round(now.monoMs - this.#sinceMs) });
  }
}
