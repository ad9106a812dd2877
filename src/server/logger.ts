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

/** Bytes that wait for a log that cannot be written (a full disk, a terminal that is gone). Further lines are lost until it can. */
const WAITING_BYTES_MAX = 64 * 1024;

/**
 * A pino logger whose lines carry the node's name. Writes are synchronous: a node logs little, and the last line before a crash is the one
 * that matters.
 *
 * @param destination where to, instead of stderr; for tests
 */
export function createLogger(level: LogLevel, name: string, destination?: DestinationStream): NodeLogger {
  return pino(
    { level, base: { node: name }, timestamp: pino.stdTimeFunctions.isoTime },
    destination ?? stderr(),
  );
}

/** A logger that does no harm when the one behind it throws, as a full disk makes some do. */
export function harmless(logger: NodeLogger): NodeLogger {
  const log =
    (level: "error" | "warn" | "info" | "debug") =>
    (facts: object, text: string): void => {
      try {
        logger[level](facts, text);
      } catch {
        // There is nobody left to tell.
      }
    };
  return { error: log("error"), warn: log("warn"), info: log("info"), debug: log("debug") };
}

function stderr(): DestinationStream {
  const stream = pino.destination({ dest: 2, sync: true, maxLength: WAITING_BYTES_MAX });
  // A node must not end because its log cannot be written.
  stream.on("error", () => {});
  return stream;
}
