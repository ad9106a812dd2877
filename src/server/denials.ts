// Counts requests that users were denied, and logs them at most once a second: whoever is denied asks often.

import type { NodeLogger } from "./logger.ts";

const LOG_INTERVAL_MS = 1_000;

/** See the top of the file. */
export class Denials {
  readonly #logger: NodeLogger;
  readonly #nowMs: () => number;
  #total = 0;
  #unlogged = 0;
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(logger: NodeLogger, nowMs: () => number) {
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** Since the start. */
  get total(): number {
    return this.#total;
  }

  note(user: string, remoteAddress: string, reason: string): void {
    this.#total++;
    this.#unlogged++;
    const nowMs = this.#nowMs();
    if (nowMs - this.#loggedMs < LOG_INTERVAL_MS) return;
    this.#loggedMs = nowMs;
    this.#logger.warn({ user, remoteAddress, reason, count: this.#unlogged }, "request denied");
    this.#unlogged = 0;
  }
}
