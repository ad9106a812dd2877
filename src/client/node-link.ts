// One address a client talks to: how its connection stands and what is on it. Plain state; `link-table.ts` changes the upper
// half, `client-core.ts` the lower.

import type { ErrorCode } from "../base/errors.ts";
import { CallQueue } from "./call-queue.ts";
import { AnswerBytes, ClockOffset, MeanLatency, SlowLatency } from "./estimates.ts";
import type { ReadGroup } from "./read-group.ts";
import { Slowness } from "./slowness.ts";
import type { ClientTiming } from "./timing.ts";
import { Window } from "./window.ts";

/**
 * `waiting` to be dialled, `dialling`, `greeting` (connected, first heartbeat not answered yet), `up`. Only an `up` link carries calls:
 * from then on the node's clock is known, so every write can be told until when it may start.
 */
export type LinkPhase = "waiting" | "dialling" | "greeting" | "up";

/** Why an address could not be reached the last time. */
export interface LinkFailure {
  readonly code: ErrorCode;
  readonly reason: string;
}

export class NodeLink {
  readonly address: string;
  phase: LinkPhase = "waiting";
  /** A member of the current view, or a seed that is needed. Others are dropped when nothing is on them. */
  isWanted = true;
  /** Waiting: when to dial. Dialling, greeting: when to give up. Up: when to send the next heartbeat. */
  nextMs: number;
  /** Upper bound of the next pause before dialling. */
  backoffMs: number;
  failedMs = Number.NEGATIVE_INFINITY;
  failure: LinkFailure | undefined;
  lastHeardMs = 0;

  /** False from an unanswered try on until anything is heard: tried last meanwhile. */
  isResponsive = true;
  /** Kept from connection to connection: a bad wire outlives them. */
  readonly slowness = new Slowness();
  /** Unanswered tries, and what they weigh in bytes, expected answers included. */
  inFlight = 0;
  bytesInFlight = 0;
  /** Calls that wait here for room. */
  readonly queue = new CallQueue();
  /** How many of them there may be. */
  readonly window = new Window();
  readonly clock = new ClockOffset();
  readonly latency: SlowLatency;
  readonly meanLatency = new MeanLatency();
  readonly answerBytes = new AnswerBytes();
  /** The group of reads that is being put together in this step; `undefined` between steps. */
  openGroup: ReadGroup | undefined;

  constructor(address: string, timing: ClientTiming, nowMs: number) {
    this.address = address;
    this.nextMs = nowMs;
    this.backoffMs = timing.redialMsMin;
    this.latency = new SlowLatency(timing.tryMsStart / 4);
  }

  /** A try here was answered, or given up, after so long. */
  took(ms: number): void {
    this.latency.sample(ms);
    this.meanLatency.sample(ms);
  }
}
