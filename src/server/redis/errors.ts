// What goes wrong, in Redis' words: clients and test suites match on the first word, people read the rest.

import type { Failure } from "../../core/messages.ts";
import { ErrorReply } from "./reply.ts";

/** Thrown by a command that cannot run as it was given; its message is the error reply. */
export class CommandError extends Error {}

export const SYNTAX_ERROR = "ERR syntax error";
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
export const NOT_A_FLOAT = "ERR value is not a valid float";
export const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
export const OVERFLOW = "ERR increment or decrement would overflow";
export const TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/** What an operation's failure is to a Redis client. */
export function errorOf(failure: Failure, isWrite: boolean): ErrorReply {
  const doubt = failure.applied === "maybe" ? "; the write may have been applied" : "";
  switch (failure.code) {
    case "ERR_NO_QUORUM":
      return new ErrorReply(
        isWrite && failure.applied === "no"
          ? "NOREPLICAS Not enough good replicas to write."
          : isWrite
            ? `TIMEOUT Not enough replicas answered${doubt}`
            : "CLUSTERDOWN Not enough replicas of the key can be reached",
      );
    case "ERR_TIMEOUT":
      return new ErrorReply(`TIMEOUT ${failure.message}${doubt}`);
    case "ERR_OVERLOADED":
      return new ErrorReply(`BUSY ${failure.message}${doubt}`);
    case "ERR_TOO_LARGE":
      return new ErrorReply(`${TOO_LONG}${doubt}`);
    case "ERR_NOT_A_NUMBER":
      return new ErrorReply(NOT_AN_INTEGER);
    default:
      return new ErrorReply(`ERR ${failure.message}${doubt}`);
  }
}

/** The error of a request whose number of arguments does not fit. */
export function wrongArity(name: string): ErrorReply {
  return new ErrorReply(`ERR wrong number of arguments for '${name}' command`);
}

/** The error of a request that names no command here; quotes the arguments as Redis does, up to 128 characters. */
export function unknownCommand(args: readonly Uint8Array[]): ErrorReply {
  const name = latin1(args[0]!, 128);
  let rest = "";
  for (const arg of args.slice(1)) {
    if (rest.length >= 128) break;
    rest += `'${latin1(arg, 128 - rest.length)}' `;
  }
  return new ErrorReply(`ERR unknown command '${name}', with args beginning with: ${rest}`);
}

function latin1(bytes: Uint8Array, lengthMax: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, lengthMax)).toString("latin1");
}
