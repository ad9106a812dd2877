// Where log lines go: pino, as JSON lines on stderr, or whatever logger the embedding program gives. Texts are fixed and facts are
// fields, so that lines can be counted and searched; values of entries and secrets never get here.

import { type DestinationStream, pino } from "pino";

/** In rising order of talk. `"silent"` logs nothing. */
export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;

/** See {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The part of pino's interface that a node uses: facts first, then a fixed text. */
export interface NodeLogger {
  error(facts: object, text: string): void;
  warn(facts: object, text: string): void;
  info(facts: object, text: string): void;
  debug(facts: object, text: string): void;
}

/**
 * A pino logger whose lines carry the node's name. Writes are synchronous: a node logs little, and the last line before a crash is the one
 * that matters.
 *
 * @param destination where to, instead of stderr; for tests
 */
export function createLogger(level: LogLevel, name: string, destination?: DestinationStream): NodeLogger {
  const stream = destination ?? pino.destination({ dest: 2, sync: true });
  return pino({ level, base: { node: name }, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}
