// Whom to probe and when, and what the answers mean (SWIM section 4; Lifeguard's nacks). The prober knows ids and times only: it
// returns actions, and the membership turns them into messages and verdicts.
//
// Each interval one member is probed, round robin over a list that is shuffled at every wrap, so that each is probed within
// two rounds. No answer within the timeout: others are asked to probe it for us. No answer by the end of the (health-scaled)
// interval: the verdict is "silent". An urgent probe (its link just broke) asks everyone at once and decides after 1.25
// timeouts, or as soon as all helpers said that they got no answer either: a broken link is evidence, waiting adds little.
//
// Invariants:
// 1. At most one probe per target is under way; each ends in exactly one verdict, unless the target is dropped.
// 2. Only the target itself, or a helper that was asked, can answer a probe.
// 3. A helper always answers: with an ack when it got one, or else with a nack at 80 % of the timeout. Helpers that do
//    neither are the sign that this node, not the target, is cut off.

import { compareIds, type MemberId } from "../../base/ids.ts";
import type { Prng } from "../../base/prng.ts";
import type { MembershipOptions } from "../options.ts";

/** Indirect probes done for others at once. Further requests are ignored: to the asker that is a missed nack. */
export const RELAYS_MAX = 1_024;

/** Part of the timeout after which a helper says that it got no answer, so that the nack arrives before the verdict. */
const NACK_SHARE = 0.8;

/** Length of an urgent probe in timeouts: the helpers' nacks (at 0.8) and their way back fit in. */
const URGENT_TIMEOUTS = 1.25;

/** What the prober wants done. */
export type ProbeAction =
  | { readonly do: "probe"; readonly target: MemberId; readonly seq: number }
  | { readonly do: "request"; readonly helper: MemberId; readonly target: MemberId; readonly seq: number }
  /** Answers a request of another member. */
  | {
      readonly do: "ack" | "nack";
      readonly to: MemberId;
      readonly address: string;
      readonly seq: number;
    }
  | {
      readonly do: "verdict";
      readonly target: MemberId;
      readonly outcome: "answered" | "silent";
      /** When the probe was sent. */
      readonly sinceMs: number;
      /** What the outcome says of this node's own health. */
      readonly awarenessDelta: number;
    };

/** Who there is to probe and to ask. Lists are in the order of ids. */
export interface ProbeView {
  isProbeable(member: MemberId): boolean;
  /** Everyone to be probed: alive or suspect. */
  readonly targets: readonly MemberId[];
  /** Alive members, who may be asked to help. */
  readonly helpers: readonly MemberId[];
  /** The local health score. */
  readonly score: number;
}

interface RunningProbe {
  readonly seq: number;
  readonly target: MemberId;
  readonly sinceMs: number;
  readonly isUrgent: boolean;
  /** When others are asked; `Infinity` once they are. */
  indirectMs: number;
  verdictMs: number;
  isPostponed: boolean;
  readonly helpers: Set<MemberId>;
  readonly nacks: Set<MemberId>;
}

/** One indirect probe done for another member. */
interface Relay {
  readonly seq: number;
  readonly target: MemberId;
  readonly asker: MemberId;
  readonly address: string;
  readonly askerSeq: number;
  nackMs: number;
}

/** See the top of the file. All times are monotonic milliseconds. */
export class Prober {
  readonly #options: MembershipOptions;
  readonly #prng: Prng;
  /** The rest of this round, next one last. */
  #round: MemberId[] = [];
  #nextMs: number;
  /** Set by the first sequence number drawn, so that a restarted process does not take an old answer for its own. */
  #seq: number;
  readonly #probes = new Map<number, RunningProbe>();
  readonly #relays = new Map<number, Relay>();

  constructor(options: MembershipOptions, prng: Prng, nowMs: number) {
    this.#options = options;
    this.#prng = prng;
    this.#seq = prng.uint32();
    // Nodes started together do not probe in step.
    this.#nextMs = nowMs + prng.float() * options.probeIntervalMs;
  }

  /** When there is next something to do, given whether anyone can be probed. */
  deadlineMs(hasTargets: boolean): number {
    let deadlineMs = hasTargets ? this.#nextMs : Number.POSITIVE_INFINITY;
    for (const probe of this.#probes.values()) {
      deadlineMs = Math.min(deadlineMs, probe.indirectMs, probe.verdictMs);
    }
    for (const relay of this.#relays.values()) deadlineMs = Math.min(deadlineMs, relay.nackMs);
    return deadlineMs;
  }

  /** A member can be probed from now on: it gets a random place in the rest of the round. */
  add(member: MemberId, nowMs: number): void {
    this.#wake(nowMs);
    if (this.#round.includes(member)) return;
    this.#round.splice(this.#prng.below(this.#round.length + 1), 0, member);
  }

  /** Makes the member the next one to be probed: it was accused, and a second opinion (or its answer) is wanted soon. */
  prefer(member: MemberId, nowMs: number): void {
    this.#wake(nowMs);
    const index = this.#round.indexOf(member);
    if (index !== -1) this.#round.splice(index, 1);
    this.#round.push(member);
  }

  /** Ends all that is under way about a member that is dead or out, without a verdict. */
  drop(member: MemberId): void {
    for (const probe of this.#probes.values()) {
      if (probe.target === member) this.#probes.delete(probe.seq);
    }
  }

  /** Probes the member at once, directly and indirectly. */
  probeUrgently(member: MemberId, view: ProbeView, nowMs: number, out: ProbeAction[]): void {
    const running = this.#probeOf(member);
    if (running?.isUrgent) return;
    // What the older probe asked for is asked again, so nothing is lost with it.
    if (running !== undefined) this.#probes.delete(running.seq);
    const lengthMs = URGENT_TIMEOUTS * this.#options.probeTimeoutMs * (view.score + 1);
    this.#start(member, { isUrgent: true, indirectMs: nowMs, verdictMs: nowMs + lengthMs }, nowMs, out);
    this.#askDue(view, nowMs, out);
  }

  /** Another member asks for an indirect probe. Does nothing past {@link RELAYS_MAX}. */
  relay(
    request: {
      readonly asker: MemberId;
      readonly address: string;
      readonly seq: number;
      readonly target: MemberId;
    },
    nowMs: number,
    out: ProbeAction[],
  ): void {
    if (this.#relays.size >= RELAYS_MAX) return;
    const seq = this.#nextSeq();
    const nackMs = nowMs + NACK_SHARE * this.#options.probeTimeoutMs;
    const { asker, address, target } = request;
    this.#relays.set(seq, { seq, target, asker, address, askerSeq: request.seq, nackMs });
    out.push({ do: "probe", target, seq });
  }

  /** An ack arrived. One of nobody who was asked is ignored. */
  onAck(from: MemberId, seq: number, out: ProbeAction[]): void {
    const relay = this.#relays.get(seq);
    if (relay !== undefined && relay.target === from) {
      this.#relays.delete(seq);
      out.push({ do: "ack", to: relay.asker, address: relay.address, seq: relay.askerSeq });
      return;
    }
    const probe = this.#probes.get(seq);
    if (probe === undefined || (probe.target !== from && !probe.helpers.has(from))) return;
    this.#finish(probe, "answered", out);
  }

  /** A helper says that it got no answer either. */
  onNack(from: MemberId, seq: number, view: ProbeView, out: ProbeAction[]): void {
    const probe = this.#probes.get(seq);
    if (probe === undefined || !probe.helpers.has(from)) return;
    probe.nacks.add(from);
    const isUnanimous = probe.nacks.size === probe.helpers.size;
    if (probe.isUrgent && isUnanimous && view.score === 0) this.#finish(probe, "silent", out);
  }

  /** Does what is due. */
  tick(view: ProbeView, nowMs: number, out: ProbeAction[]): void {
    for (const relay of this.#relays.values()) if (relay.nackMs <= nowMs) this.#nack(relay, out);
    this.#askDue(view, nowMs, out);
    for (const probe of this.#probes.values()) {
      if (probe.verdictMs <= nowMs) this.#finish(probe, "silent", out);
    }
  }

  /** Starts the next probe of the round if it is due. Separate from {@link tick}: verdicts change the score first. */
  tickRound(view: ProbeView, nowMs: number, out: ProbeAction[]): void {
    if (nowMs < this.#nextMs) return;
    const intervalMs = this.#options.probeIntervalMs * (view.score + 1);
    // A late tick neither shortens the next interval nor makes up for what was missed.
    this.#nextMs = Math.max(this.#nextMs + intervalMs, nowMs + intervalMs / 2);
    const target = this.#nextTarget(view);
    if (target === undefined) return;
    const indirectMs = nowMs + this.#options.probeTimeoutMs;
    this.#start(target, { isUrgent: false, indirectMs, verdictMs: nowMs + intervalMs }, nowMs, out);
  }

  /** Gives all that is under way `ms` more: this node stood still until now, and answers may be waiting. */
  shift(ms: number, nowMs: number): void {
    this.#nextMs = Math.max(this.#nextMs, nowMs);
    for (const probe of this.#probes.values()) {
      probe.indirectMs += ms;
      probe.verdictMs += ms;
    }
    for (const relay of this.#relays.values()) relay.nackMs += ms;
  }

  /** Puts verdicts that are due off to `untilMs`, each at most once. */
  postponeDue(nowMs: number, untilMs: number): void {
    for (const probe of this.#probes.values()) {
      if (probe.isPostponed || probe.verdictMs > nowMs) continue;
      probe.isPostponed = true;
      probe.verdictMs = untilMs;
    }
  }

  /** With nobody to probe the time of the next one may have passed: it is due now, not late. */
  #wake(nowMs: number): void {
    this.#nextMs = Math.max(this.#nextMs, nowMs);
  }

  #start(
    target: MemberId,
    times: { readonly isUrgent: boolean; readonly indirectMs: number; readonly verdictMs: number },
    nowMs: number,
    out: ProbeAction[],
  ): void {
    const seq = this.#nextSeq();
    this.#probes.set(seq, {
      ...times,
      seq,
      target,
      sinceMs: nowMs,
      isPostponed: false,
      helpers: new Set(),
      nacks: new Set(),
    });
    out.push({ do: "probe", target, seq });
  }

  #askDue(view: ProbeView, nowMs: number, out: ProbeAction[]): void {
    for (const probe of this.#probes.values()) {
      if (probe.indirectMs > nowMs) continue;
      probe.indirectMs = Number.POSITIVE_INFINITY;
      const others = view.helpers.filter((helper) => helper !== probe.target);
      for (const helper of this.#prng.shuffled(others).slice(0, this.#options.indirectProbes)) {
        probe.helpers.add(helper);
        out.push({ do: "request", helper, target: probe.target, seq: probe.seq });
      }
    }
  }

  #finish(probe: RunningProbe, outcome: "answered" | "silent", out: ProbeAction[]): void {
    this.#probes.delete(probe.seq);
    const missed = probe.helpers.size === 0 ? 1 : probe.helpers.size - probe.nacks.size;
    const awarenessDelta = outcome === "answered" ? -1 : missed;
    out.push({ do: "verdict", target: probe.target, outcome, sinceMs: probe.sinceMs, awarenessDelta });
  }

  #nack(relay: Relay, out: ProbeAction[]): void {
    this.#relays.delete(relay.seq);
    out.push({ do: "nack", to: relay.asker, address: relay.address, seq: relay.askerSeq });
  }

  /** The next member of the round that can be probed and is not being probed already. */
  #nextTarget(view: ProbeView): MemberId | undefined {
    for (let wraps = 0; wraps < 2; ) {
      const target = this.#round.pop();
      if (target === undefined) {
        this.#round = this.#prng.shuffled([...view.targets].sort(compareIds));
        wraps++;
      } else if (view.isProbeable(target) && this.#probeOf(target) === undefined) return target;
    }
    return undefined;
  }

  #probeOf(target: MemberId): RunningProbe | undefined {
    for (const probe of this.#probes.values()) if (probe.target === target) return probe;
    return undefined;
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }
}
