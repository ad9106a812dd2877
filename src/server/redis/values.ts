// Between the bytes of Redis clients and the core's keys and values. A key is UTF-8 text of 1 to 1,024 bytes, because that is what a key of
// the cache is: other bytes are refused, never changed. A value is whatever bytes: text when it is UTF-8, so that other clients of
// the cache read a string, and bytes otherwise. Numbers that others stored are the decimal text of the number.

import { isUtf8 } from "node:buffer";
import { type GetReply, VALUE_FORMAT, type ValueFormat } from "../../core/messages.ts";
import { KEY_BYTES_MAX } from "../../wire/limits.ts";
import { CommandError, WRONG_TYPE } from "./errors.ts";

/**
 * The key in an argument.
 *
 * @throws {CommandError} when it cannot be a key
 */
export function keyOf(bytes: Buffer): string {
  const { length } = bytes;
  if (length === 0 || length > KEY_BYTES_MAX) {
    throw new CommandError(`ERR keys must have from 1 to ${KEY_BYTES_MAX} bytes, received ${length}`);
  }
  for (let index = 0; index < length; index++) {
    if (bytes[index]! < 0x80) continue;
    if (!isUtf8(bytes)) throw new CommandError("ERR keys must be valid UTF-8");
    return bytes.toString("utf8");
  }
  return bytes.toString("latin1");
}

/** The bytes of a key. */
export function keyBytes(key: string): Buffer {
  return Buffer.from(key);
}

/** How a value of these bytes is kept. */
export function formatOf(bytes: Uint8Array): ValueFormat {
  return isUtf8(bytes) ? VALUE_FORMAT.text : VALUE_FORMAT.bytes;
}

/**
 * What a Redis client sees of an answer; `undefined` when there is nothing.
 *
 * @throws {CommandError} WRONGTYPE for a value that is neither text, bytes nor number
 */
export function stringOf(reply: GetReply): Uint8Array | undefined {
  if (!reply.found) return undefined;
  if (reply.format === VALUE_FORMAT.msgpack) throw new CommandError(WRONG_TYPE);
  return reply.value;
}

/** What TYPE says of a format. */
export function typeName(format: ValueFormat): string {
  return format === VALUE_FORMAT.msgpack ? "object" : "string";
}
